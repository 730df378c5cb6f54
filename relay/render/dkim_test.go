package render

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"backstamp/mail"
)

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// testKeys are two keys of example.org: r is RSA, e is Ed25519.
func testKeys(t testing.TB) []Key {
	t.Helper()
	return []Key{
		{Domain: "Example.org", Selector: "r", Signer: rsaKey()},
		{Domain: "example.org", Selector: "e", Signer: ed25519.NewKeyFromSeed(make([]byte, 32))},
	}
}

// lookup answers for every domain with the record of a selector.
func lookup(name string) ([]string, error) {
	public := map[string]string{"e": "k=ed25519; p=" + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey))}
	der, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
	if err != nil {
		return nil, err
	}
	public["r"] = "k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	selector, _, _ := strings.Cut(name, ".")
	record, ok := public[selector]
	if !ok {
		return nil, errors.New("no such record")
	}
	return []string{"v=DKIM1; " + record}, nil
}

// valid returns the domains of the signatures that verify.
func valid(t testing.TB, text string) []string {
	t.Helper()
	vs, err := dkim.VerifyWithOptions(strings.NewReader(text), &dkim.VerifyOptions{LookupTXT: lookup})
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	var out []string
	for _, v := range vs {
		if v.Err == nil {
			out = append(out, v.Domain)
		}
	}
	return out
}

// verify checks that text has want good signatures of example.org.
func verify(t testing.TB, what, text string, want int) {
	t.Helper()
	n := 0
	for _, domain := range valid(t, text) {
		if domain == "example.org" {
			n++
		}
	}
	if n != want {
		t.Errorf("%s: %d good signatures, want %d:\n%.1000s", what, n, want, text)
	}
}

var secretTags = regexp.MustCompile(`( t=)\d+|( b=)[A-Za-z0-9+/=\r\n ]+\r\n`)

// maskSignatures hides what differs from run to run.
func maskSignatures(text string) string {
	return secretTags.ReplaceAllStringFunc(text, func(s string) string {
		if strings.HasPrefix(s, " t=") {
			return " t=0"
		}
		return " b=...\r\n"
	})
}

const signable = "From: Kim <kim@example.org>\r\nTo: a@example.net\r\nTo: b@example.net\r\nSubject: hi\r\nDate: now\r\nMessage-ID: <1@x>\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Language: ko\r\n\r\nbody  text\r\n\r\n\r\n"

func TestSignature(t *testing.T) {
	r := New(Settings{DKIM: testKeys(t)}, nil)
	_, text := written(t, r, message("Received: x"), signable, "shop/main")
	verify(t, "as sent", text, 2)
	if !strings.HasPrefix(text, "DKIM-Signature:") {
		t.Errorf("the signature is not on top:\n%s", text)
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > 998 {
			t.Errorf("a line of %d octets", len(line))
		}
	}
	for _, name := range []string{"From", "To", "Cc", "Subject", "Reply-To", "Date", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Language"} {
		verify(t, "another "+name, name+": x\r\n"+text, 0)
	}
	for _, name := range []string{"Message-ID", "Received", "X-Any", "List-Id"} {
		verify(t, "another "+name, name+": x\r\n"+text, 2)
	}
	verify(t, "another Message-ID in its place", strings.Replace(text, "<1@x>", "<2@y>", 1), 2)
	verify(t, "another body", strings.Replace(text, "body", "Body", 1), 0)
}

func TestSignedFields(t *testing.T) {
	for name, tt := range map[string]struct {
		fields []string
		header string
		want   string
	}{
		"default":      {nil, "From: a\r\nTo: b\r\nTo: c\r\nX: y\r\n", "From From Subject To To To Cc Reply-To Date MIME-Version Content-Type Content-Transfer-Encoding"},
		"present":      {nil, "content-type: a\r\nContent-ID: b\r\nContent-Id: c\r\n", "From Subject To Cc Reply-To Date MIME-Version Content-Type Content-Type Content-Transfer-Encoding Content-ID Content-ID Content-ID"},
		"without Date": {[]string{"From", "Subject"}, "From: a\r\nDate: b\r\n", "From From Subject"},
		"From always":  {[]string{"Subject"}, "", "From Subject"},
		"forbidden":    {[]string{"Message-ID", "From", "from"}, "Message-ID: x\r\n", "From"},
		"other prefix": {[]string{"X-*"}, "X-A: 1\r\nx-b: 2\r\nY: 3\r\n", "From X-A X-A x-b x-b"},
		"many":         {[]string{"To"}, strings.Repeat("To: x\r\n", 100), "From To To To To To To To To"},
	} {
		h, _, _ := mail.ParseHeader([]byte(tt.header))
		if got := strings.Join(oversigned(tt.fields, h), " "); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
	}
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "Content-Number-%d: x\r\n", i)
	}
	h, _, _ := mail.ParseHeader([]byte(many.String()))
	if got := strings.Join(oversigned(nil, h), ":"); len(got) > namesMax {
		t.Errorf("h= has %d octets", len(got))
	}
}

func TestKeyChoice(t *testing.T) {
	key := func(domain, selector string) Key {
		return Key{Domain: domain, Selector: selector, Signer: testKeys(t)[1].Signer}
	}
	r := New(Settings{DKIM: []Key{key("example.com", "a"), key("news.example.com", "b"), key("예시.com", "c"), key("example.co.kr", "d"), key("com", "e"), key("co.kr", "f")}}, nil)
	for domain, want := range map[string]string{
		"example.com": "a", "EXAMPLE.com": "a", "www.example.com": "a", "news.example.com": "b", "x.y.news.example.com": "b",
		"예시.com": "c", "xn--vv4b11d.com": "c", "a.예시.com": "c", "example.org": "", "notexample.com": "",
		"shop.example.co.kr": "d", "other.co.kr": "", "": "", "localhost": "", "[192.0.2.1]": "", "com.": "",
	} {
		got := ""
		for _, k := range r.KeysFor(domain) {
			got += k.Selector
		}
		if got != want {
			t.Errorf("%q: got key %q, want %q", domain, got, want)
		}
	}
}

// TestSignerFails: mail is not sent unsigned because a key fails.
func TestSignerFails(t *testing.T) {
	for name, s := range map[string]crypto.Signer{"key": failing{testKeys(t)[1].Signer.Public()}, "kind": failing{"no key"}} {
		r := New(Settings{DKIM: append(testKeys(t), Key{Domain: "example.org", Selector: "x", Signer: s})}, nil)
		if _, err := r.Render(message(), strings.NewReader(signable), 1, "shop/main"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type failing struct{ public crypto.PublicKey }

func (f failing) Public() crypto.PublicKey { return f.public }
func (f failing) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("token is gone")
}

// TestForeignSignature: the signature of somebody else stays exactly as long
// as it holds.
func TestForeignSignature(t *testing.T) {
	const content = "From: Kim <kim@example.com>\r\nTo: a@example.net\r\nSubject: hi\r\nReceived: old\r\nX-Track: on\r\n\r\nbody\r\n"
	sign := func(fields ...string) string {
		var b bytes.Buffer
		if err := dkim.Sign(&b, strings.NewReader(content), &dkim.SignOptions{Domain: "example.com", Selector: "e", Signer: testKeys(t)[1].Signer,
			HeaderKeys: fields, HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	removes := message("Received: new")
	removes.Detail.Header.Remove = []string{"X-Track"}
	for _, tt := range []struct {
		name   string
		m      *mail.Message
		fields []string
		stays  bool
	}{
		{"trace added", message("Received: new"), []string{"From", "To", "Subject"}, true},
		{"signed trace below", message("Received: new"), []string{"From", "Received"}, true},
		{"oversigned trace", message("Received: new"), []string{"From", "Received", "Received"}, false},
		{"Date added", message("Date: x"), []string{"From", "Subject"}, true},
		{"oversigned Date added", message("Date: x"), []string{"From", "Date"}, false},
		{"unsigned removed", removes, []string{"From"}, true},
		{"signed removed", removes, []string{"From", "X-Track"}, false},
		{"From rewritten", rewritten("shop@example.net"), []string{"From"}, false},
	} {
		_, text := written(t, New(Settings{}, nil), tt.m, sign(tt.fields...), "shop/main")
		h, _, _ := mail.ParseHeader([]byte(text))
		if h.Has("DKIM-Signature") != tt.stays || (len(valid(t, text)) == 1) != tt.stays {
			t.Errorf("%s: signature there %v, valid %v, want %v", tt.name, h.Has("DKIM-Signature"), valid(t, text), tt.stays)
		}
	}
}

func TestParseKey(t *testing.T) {
	block := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	pkcs8 := func(key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return block("PRIVATE KEY", der, err)
	}
	public, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
	for name, tt := range map[string]struct{ text, want string }{
		"PKCS #8 RSA":      {pkcs8(rsaKey()), ""},
		"PKCS #1 RSA":      {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()), nil), ""},
		"Ed25519":          {pkcs8(testKeys(t)[1].Signer), ""},
		"text around":      {"Bag Attributes\n" + pkcs8(rsaKey()), ""},
		"empty":            {"", "no PEM block"},
		"no PEM":           {"MIIEvg==", "no PEM block"},
		"public":           {block("PUBLIC KEY", public, err), `"PUBLIC KEY" in PEM; expected a PRIVATE KEY`},
		"encrypted":        {block("ENCRYPTED PRIVATE KEY", []byte{1}, nil), "without a passphrase"},
		"encrypted, old":   {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "without a passphrase"},
		"damaged":          {block("PRIVATE KEY", []byte("junk"), nil), "damaged private key"},
		"damaged, PKCS #1": {block("RSA PRIVATE KEY", []byte("junk"), nil), "damaged private key"},
		"elliptic curve":   {ecKey, "expected RSA or Ed25519"},
		"short":            {shortKey, "RSA key of 768 bits; expected at least 1024"},
	} {
		signer, err := ParseKey([]byte(tt.text))
		if tt.want == "" && (err != nil || signer == nil) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// Keys of no use, in use nowhere.
const (
	ecKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/e4oiyMMHofd6oR5
q5t8BbwvUZcH9znroUTvSmoxvVKhRANCAAQzT8uda0k4tcKjrsjLOrGHCCsobtM9
ZEEEZDbQ7+aaPbV6WmlLjSwU2h24MKyC2KEcYeVxXW1B0IAZxeI3drlJ
-----END PRIVATE KEY-----
`
	shortKey = `-----BEGIN PRIVATE KEY-----
MIIB5QIBADANBgkqhkiG9w0BAQEFAASCAc8wggHLAgEAAmEApskjgWpydUSCPJS6
qWtzJ/cv3ic4kVHQ0OFQOH3JH+Vaqd9N6EpDvjR4UiqsHLOAQ8PeIZdzVnqUFLTi
p7FFhLiAObSEupf16BdBkW8gy0MltsnGtzYOHA0SyYBiskTXAgMBAAECYCN5Nl8J
N+zvNFAURhtQqj5+2aSDbQmjgCldMsXBIyzwiDcHMrfMS9pBqLG5N8AnATH4EOJI
9tSYrkaozDjnkJxgr+bzp61aleCOs0WUfBXTrB2tB1/Uk3PDE0EYWf5HoQIxANUK
6cwLqDbWxGcHIHyiqhsuwyZqelJ77IjF+uqpqCfbupFCNpZZP/mhS8Rw8qrVpwIx
AMhqeveI3wWRy/sNX2cZOzthJSkdqFCrhhwbTV4/4pDuuFAiqSUkhKpRWUy7C6Fd
UQIxALJmUSHtIQ/LCOy9qxazoH7iyciBoa0w2QIvx856A7Zc6f550/xTAJ+p0ijN
7GfiQQIwH4ENf2fWlwuKIxbBDnXa58SnkMUGtlegJz7rdItaVCoScxZfvGT3LcbH
4NXuSBlhAjEAmF73c+Q617IIY/bLl/qFqsULlCd7U9lF53cdEkDZnssSGJEpj8J/
s3pW02jMZA7n
-----END PRIVATE KEY-----
`
)
