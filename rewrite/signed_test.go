package rewrite_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"hash"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"backstamp/internal/damage"
	"backstamp/internal/mailtest"
	"backstamp/mail"
	"backstamp/relay/render"
	"backstamp/rewrite"
)

// sent returns the copy that relay/render makes of content for its first
// recipient: by its plan, or by none where it is not tracked.
func (v prover) sent(t testing.TB, content []byte, req rewrite.Request) (copied []byte, edited bool) {
	t.Helper()
	plan := v.Plan(req)
	m := &mail.Message{ID: messageID, MailFrom: "a@example.com", Tracked: plan.Edited()}
	m.Detail.Plan = plan.Encode()
	c, err := render.New(render.Settings{}, v.keys).Render(m, bytes.NewReader(content), 1, "shop/main")
	var out bytes.Buffer
	if err == nil {
		_, err = c.WriteTo(&out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), plan.Edited()
}

// A domainKey signs mail and can be looked up.
type domainKey struct {
	name   string
	signer crypto.Signer
	record string
}

func domainKeys(t testing.TB) []domainKey {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(r.Public())
	if err != nil {
		t.Fatal(err)
	}
	public, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return []domainKey{
		{"rsa", r, "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)},
		{"ed25519", e, "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)},
	}
}

// authored are the fields that signers sign (RFC 6376 section 5.4.1). Bcc and
// Return-Path, which a relay takes off, are not among them.
var authored = []string{"From", "Reply-To", "Subject", "Date", "To", "Cc", "In-Reply-To", "References", "Message-ID",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "List-Id", "List-Unsubscribe"}

// sign puts a signature of k before content.
func (k domainKey) sign(content []byte, c dkim.Canonicalization) ([]byte, error) {
	var out bytes.Buffer
	err := dkim.Sign(&out, bytes.NewReader(content), &dkim.SignOptions{
		Domain: "test.example", Selector: k.name, Signer: k.signer, HeaderKeys: authored,
		HeaderCanonicalization: c, BodyCanonicalization: c,
	})
	return out.Bytes(), err
}

// verifies reports whether content has a good signature of k.
func (k domainKey) verifies(content []byte) bool {
	vs, _ := dkim.VerifyWithOptions(bytes.NewReader(content), &dkim.VerifyOptions{
		MaxVerifications: 50,
		LookupTXT: func(name string) ([]string, error) {
			if name == k.name+"._domainkey.test.example" {
				return []string{k.record}, nil
			}
			return nil, errors.New("no network here")
		},
	})
	return slices.ContainsFunc(vs, func(v *dkim.Verification) bool { return v.Domain == "test.example" && v.Err == nil })
}

// TestSignaturesOfOurs signs all real mail and sends it on untracked: what
// verified must verify still. Tracked, the signature that an edit breaks is gone.
func TestSignaturesOfOurs(t *testing.T) {
	v := newProver(t)
	keys := domainKeys(t)
	counts := map[string]int{}
	for _, f := range corpus(t, "mail") {
		content := damage.Wire(f.content)
		if bytes.HasPrefix(content, []byte("From ")) { // of a mail box: no signature goes before it
			_, content, _ = bytes.Cut(content, []byte("\n"))
		}
		for _, k := range keys {
			for _, c := range []dkim.Canonicalization{dkim.CanonicalizationRelaxed, dkim.CanonicalizationSimple} {
				signed, err := k.sign(content, c)
				if err != nil || !k.verifies(signed) {
					counts["cannot be signed: no mail, or no From"]++
					continue
				}
				if len(damage.Split(signed).Empty) == 0 { // the relay puts an empty line there
					counts["no empty line ends the header"]++
					continue
				}
				off := request(signed)
				off.Off = rewrite.ReasonOff
				if copied, _ := v.sent(t, signed, off); !k.verifies(copied) {
					t.Errorf("%s: the %s %s signature is broken", f.name, k.name, c)
				}
				counts["verify with tracking off"]++
				copied, edited := v.sent(t, signed, request(signed))
				switch verifies := k.verifies(copied); {
				case !edited && !verifies:
					t.Errorf("%s: left alone, yet the %s %s signature is broken", f.name, k.name, c)
				case !edited:
					counts["verify, left alone"]++
				case verifies || bytes.Contains(copied, []byte("d=test.example")):
					t.Errorf("%s: edited, yet signed", f.name)
				default:
					counts["removed, for the body was edited"]++
				}
			}
		}
	}
	t.Logf("signatures: %v", counts)
}

var (
	bodyHashTag = regexp.MustCompile(`(?:^|;)\s*bh\s*=\s*([^;]+)`)
	methodTag   = regexp.MustCompile(`(?:^|;)\s*c\s*=\s*\w+/(\w+)`)
	lengthTag   = regexp.MustCompile(`(?:^|;)\s*l\s*=`)
	blanksRE    = regexp.MustCompile(`[ \t]+`)
)

// bodyHashes returns which of the DKIM signatures of a message have a body
// hash (RFC 6376 section 3.4) that is right. Keys cannot be had without a network.
func bodyHashes(content []byte) (right []string) {
	p := damage.Split(content)
	for _, field := range p.Header()["Dkim-Signature"] {
		bh := bodyHashTag.FindStringSubmatch(field)
		if bh == nil || lengthTag.MatchString(field) {
			continue
		}
		var h hash.Hash = sha256.New()
		if strings.Contains(field, "rsa-sha1") {
			h = sha1.New()
		}
		m := methodTag.FindStringSubmatch(field)
		h.Write(canonical(p.Body, m != nil && m[1] == "relaxed"))
		if want := strings.Join(strings.Fields(bh[1]), ""); base64.StdEncoding.EncodeToString(h.Sum(nil)) == want {
			right = append(right, want)
		}
	}
	return right
}

func canonical(body []byte, relaxed bool) []byte {
	if relaxed {
		var out []byte
		for line := range bytes.Lines(body) {
			text := bytes.TrimRight(line, " \t\r\n")
			out = append(append(out, blanksRE.ReplaceAll(text, []byte(" "))...), "\r\n"...)
		}
		body = out
	}
	for bytes.HasSuffix(body, []byte("\r\n")) {
		body = body[:len(body)-2]
	}
	if relaxed && len(body) == 0 {
		return nil
	}
	return append(bytes.Clone(body), "\r\n"...)
}

// TestSignaturesFound finds the DKIM signatures, S/MIME and PGP of all real
// mail: what was good before is good in the copy. Only DKIM may be broken, by
// tracking, and then the signature is gone.
func TestSignaturesFound(t *testing.T) {
	v := newProver(t)
	openssl := ""
	counts := map[string]int{}
	for _, f := range corpus(t, "mail") {
		content := damage.Wire(f.content)
		copied, edited := v.sent(t, content, request(content))
		for _, hash := range bodyHashes(content) {
			switch still := slices.Contains(bodyHashes(copied), hash); {
			case still && !edited:
				counts["DKIM body hashes right, left alone, still right"]++
			case !edited:
				t.Errorf("%s: left alone, yet the hash %s is wrong", f.name, hash)
			case still:
				t.Errorf("%s: edited, yet the hash %s is there", f.name, hash)
			default:
				counts["DKIM of edited mail, removed"]++
			}
		}
		if was := signedOctets(content); len(was) > 0 {
			counts["multipart/signed"] += len(was)
			if is := signedOctets(copied); !slices.EqualFunc(was, is, bytes.Equal) {
				t.Errorf("%s: signed octets changed", f.name)
			}
		}
		if strings.Contains(strings.ToLower(string(content)), "pkcs7-") {
			if openssl == "" {
				openssl = mailtest.Tool(t, "openssl")
			}
			switch before, after := smime(t, openssl, content), smime(t, openssl, copied); {
			case before != after:
				t.Errorf("%s: S/MIME %v became %v", f.name, before, after)
			case before:
				counts["S/MIME good before and after"]++
			default:
				counts["S/MIME bad or encrypted before and after"]++
			}
		}
		if i := bytes.Index(content, []byte("-----BEGIN PGP SIGNED MESSAGE-----")); i >= 0 {
			counts["PGP inline"]++
			if end := bytes.Index(content[i:], []byte("-----END PGP SIGNATURE")); end < 0 || !bytes.Contains(copied, content[i:i+end]) {
				t.Errorf("%s: PGP inline changed", f.name)
			}
		}
	}
	t.Logf("%v", counts)
}

// signedOctets returns the first part, header and all, and the second of each
// multipart/signed (RFC 1847 section 2.1).
func signedOctets(content []byte) (out [][]byte) {
	var walk func(p *damage.Part)
	walk = func(p *damage.Part) {
		for _, child := range p.Children {
			if p.Media() == "multipart/signed" {
				out = append(out, slices.Concat(child.Fields, child.Empty, child.Body))
			}
			walk(child)
		}
	}
	walk(damage.Split(content))
	return out
}

// smime reports whether openssl takes the signature for good, whoever made it.
func smime(t testing.TB, openssl string, content []byte) bool {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mail")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command(openssl, "cms", "-verify", "-noverify", "-in", file, "-out", os.DevNull).Run() == nil
}
