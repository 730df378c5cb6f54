package track

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"backstamp/mail"
)

// fixedKeys are keys that are the same in every run.
func fixedKeys(t testing.TB) *Keys {
	var texts []string
	for i := range 2 {
		var secret [keySize]byte
		for j := range secret {
			secret[j] = byte(i*100 + j)
		}
		texts = append(texts, newKey(secret).text())
	}
	ks, err := NewKeys(texts)
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

func testToken(ks *Keys) mail.Token {
	return mail.Token{
		Key: ks.Key(), Privacy: mail.Identified, Message: mail.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
		Recipient: 258, Link: 3, Purpose: mail.PurposeClick, Destination: "https://example.com/a?b=c",
	}
}

// Links in sent mail must verify for ever: this text may not change.
func TestTokenNeverChanges(t *testing.T) {
	ks := fixedKeys(t)
	const want = "AWMNzSlpAQIDBAUGBwgJCgECAAMIkSI2pWZ5O5UwbKjuHVTD"
	text := signTest(t, ks, testToken(ks))
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(raw[:claimsSize]); got != "01"+ks.Key().String()+"69"+"0102030405060708090a"+"0102"+"0003" {
		t.Errorf("claims: %s", got)
	}
	if text != want {
		t.Errorf("token: %s, want %s", text, want)
	}
}

func TestVerifyReturnsWhatWasSigned(t *testing.T) {
	ks := fixedKeys(t)
	for _, tok := range []mail.Token{
		testToken(ks),
		{Key: ks.List()[1].ID, Privacy: mail.Anonymous, Message: mail.ID{255}, Purpose: mail.PurposeOpen},
		{Key: ks.Key(), Privacy: mail.Pseudonymous, Recipient: 65535, Link: 65535, Purpose: mail.PurposeStamp, Destination: "<a@b>"},
	} {
		text := signTest(t, ks, tok)
		if len(text) != mail.TokenLen {
			t.Errorf("token of %d characters, want %d", len(text), mail.TokenLen)
		}
		if got, err := ks.Verify(tok.Purpose, text, tok.Destination); err != nil || got != tok {
			t.Errorf("got %+v, %v; want %+v", got, err, tok)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	ks := fixedKeys(t)
	tok := testToken(ks)
	text := signTest(t, ks, tok)
	foreign := openTestKeys(t, filepath.Join(t.TempDir(), "keys"))
	same := tok
	same.Key = foreign.Key()
	tests := []struct {
		name              string
		p                 mail.Purpose
		text, destination string
	}{
		{"other purpose", mail.PurposeOpen, text, tok.Destination},
		{"other destination", mail.PurposeClick, text, tok.Destination + "/"},
		{"purpose and destination shifted", mail.PurposeClick, text, tok.Destination[1:]},
		{"no destination", mail.PurposeClick, text, ""},
		{"foreign key", mail.PurposeClick, signTest(t, foreign, same), tok.Destination},
		{"empty", mail.PurposeClick, "", tok.Destination},
		{"cut", mail.PurposeClick, text[:47], tok.Destination},
		{"longer", mail.PurposeClick, text + "A", tok.Destination},
		{"padding", mail.PurposeClick, text[:44] + "====", tok.Destination},
		{"line end inside", mail.PurposeClick, text[:44] + "\r\n" + text[46:], tok.Destination},
		{"line end after", mail.PurposeClick, text[:47] + "\n", tok.Destination},
		{"standard alphabet", mail.PurposeClick, strings.Repeat("+/", 24), tok.Destination},
		{"not ASCII", mail.PurposeClick, strings.Repeat("가", 16), tok.Destination},
		{"zeros", mail.PurposeClick, strings.Repeat("A", 48), tok.Destination},
	}
	for _, tt := range tests {
		if got, err := ks.Verify(tt.p, tt.text, tt.destination); err == nil || got != (mail.Token{}) {
			t.Errorf("%s: verified as %+v", tt.name, got)
		}
	}
	if _, err := ks.Verify(mail.PurposeClick, text, tok.Destination); err != nil {
		t.Errorf("the token itself: %v", err)
	}
}

// The one token in sixteen million that ends in zeros must not verify when line
// ends, which the decoder skips, stand in for them.
func TestTokenThatEndsInZeros(t *testing.T) {
	ks := fixedKeys(t)
	const text = "AWMNzSkAAedkLAAAAAAAAAAAAACA79rscMxBCyCPllhjAAAA"
	if _, err := ks.Verify(mail.PurposeOpen, text, ""); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"\r\n\r\n", "\n\n\n\n", "AA==", "A\n\nA"} {
		if _, err := ks.Verify(mail.PurposeOpen, text[:44]+end, ""); err == nil {
			t.Errorf("%q verifies in place of AAAA", end)
		}
	}
}

func TestAppendTokenWithoutTheKey(t *testing.T) {
	ks := fixedKeys(t)
	got, err := ks.AppendToken([]byte("x"), mail.Token{Key: mail.KeyID{1, 2, 3, 4}})
	if err == nil || !strings.Contains(err.Error(), "01020304") || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestMutatedTokens tries tokens that nobody signed for what they are used for.
// BACKSTAMP_TEST_TOKENS is how many, such as 10000000; the default is 400000.
func TestMutatedTokens(t *testing.T) {
	tries := 400_000
	if text := os.Getenv("BACKSTAMP_TEST_TOKENS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		tries = n
	}
	ks := fixedKeys(t)
	genuine := genuineTokens(t, ks)
	var accepted, tried atomic.Int64
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		wg.Go(func() {
			m := mutator{rand.New(rand.NewPCG(1, uint64(worker))), genuine}
			for n := 0; n < (tries+workers-1)/workers; n++ {
				purpose, text, destination := m.next()
				for m.genuine(purpose, text, destination) {
					purpose, text, destination = m.next()
				}
				tried.Add(1)
				if _, err := ks.Verify(purpose, text, destination); err == nil && accepted.Add(1) < 10 {
					t.Errorf("accepted: %c %s %q", purpose, text, destination)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d tokens tried, %d accepted", tried.Load(), accepted.Load())
}

// A signed token is genuine for its purpose and destination alone.
type signed struct {
	purpose           mail.Purpose
	text, destination string
}

// genuineTokens are those of several messages, recipients and links, by two
// keys in use and, with a mark that it is foreign, by one that is not.
func genuineTokens(t *testing.T, ks *Keys) (all []signed) {
	t.Helper()
	foreign, err := NewKeys([]string{GenerateKey()})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 64 {
		keys := ks
		if n%8 == 7 {
			keys = foreign
		}
		tok := mail.Token{Key: keys.Key(), Privacy: mail.Identified, Message: mail.ID{1, 9: byte(n / 4)}, Recipient: uint16(n % 2), Link: uint16(n % 3), Purpose: mail.PurposeClick, Destination: fmt.Sprintf("https://example.com/%d", n/8)}
		if n%4 == 0 {
			tok.Purpose, tok.Link, tok.Destination = mail.PurposeOpen, 0, ""
		}
		s := signed{tok.Purpose, signTest(t, keys, tok), tok.Destination}
		if keys == foreign {
			s.purpose = 0 // none that is good here
		}
		all = append(all, s)
	}
	return all
}

// A mutator makes tokens out of genuine ones.
type mutator struct {
	*rand.Rand
	from []signed
}

func (m mutator) pick() signed { return m.from[m.IntN(len(m.from))] }

func (m mutator) genuine(purpose mail.Purpose, text, destination string) bool {
	return slices.Contains(m.from, signed{purpose, text, destination})
}

func (m mutator) next() (purpose mail.Purpose, text, destination string) {
	s := m.pick()
	purpose = s.purpose
	if purpose == 0 {
		purpose = mail.PurposeClick
	}
	raw, _ := strict.DecodeString(s.text)
	other, _ := strict.DecodeString(m.pick().text)
	switch m.IntN(10) {
	case 0: // one bit
		raw[m.IntN(len(raw))] ^= 1 << m.IntN(8)
	case 1: // other claims
		raw[1+m.IntN(claimsSize-1)] += byte(1 + m.IntN(255))
	case 2: // another MAC
		raw[claimsSize+m.IntN(macSize)] += byte(1 + m.IntN(255))
	case 3: // some bytes anywhere
		for range 1 + m.IntN(5) {
			raw[m.IntN(len(raw))] = byte(m.IntN(256))
		}
	case 4: // the claims of one, the MAC of another
		copy(raw[:claimsSize], other)
	case 5: // cut, or longer
		text := s.text + "AAAA"
		return purpose, text[:m.IntN(len(text)+1)], s.destination
	case 6: // another destination
		return purpose, s.text, m.pick().destination + strings.Repeat("/", m.IntN(2))
	case 7: // another purpose
		return []mail.Purpose{mail.PurposeOpen, mail.PurposeClick, mail.PurposeUnsubscribe, mail.PurposeStamp, 0}[m.IntN(5)], s.text, s.destination
	case 8: // other letters
		b := []byte(s.text)
		b[m.IntN(len(b))] = byte(32 + m.IntN(95))
		return purpose, string(b), s.destination
	case 9: // nothing of a token
		for i := range raw {
			raw[i] = byte(m.IntN(256))
		}
	}
	return purpose, strict.EncodeToString(raw), s.destination
}

func FuzzToken(f *testing.F) {
	ks := fixedKeys(f)
	good := testToken(ks)
	f.Add(byte(good.Purpose), signTest(f, ks, good), good.Destination)
	f.Add(byte('o'), strings.Repeat("A", mail.TokenLen), "")
	f.Add(byte('c'), "AWMNzSlpAQIDBAUGBwgJCgECAAMIkSI2pWZ5O5UwbKjuHVT\n", "http://x/")
	f.Add(byte('c'), "", strings.Repeat("https://example.com/", 400))
	f.Fuzz(func(t *testing.T, purpose byte, text, destination string) {
		got, err := ks.Verify(mail.Purpose(purpose), text, destination)
		if err != nil && got != (mail.Token{}) {
			t.Errorf("refused, and yet: %+v", got)
		}
		if err == nil {
			// What verifies is what these keys sign, and has one spelling.
			again, err := ks.AppendToken(nil, got)
			if err != nil || !bytes.Equal(again, []byte(text)) || got.Destination != destination || got.Purpose != mail.Purpose(purpose) {
				t.Errorf("%q verifies as %+v, which signs as %q, %v", text, got, again, err)
			}
		}
		if destination != "" && len(destination) <= mail.DestinationMax {
			back, err := mail.DecodeDestination(mail.EncodeDestination(destination))
			if err != nil || back != destination {
				t.Errorf("destination of %d bytes comes back as %q, %v", len(destination), back, err)
			}
		}
		if d, err := mail.DecodeDestination(text); err == nil && mail.EncodeDestination(d) != text {
			t.Errorf("%q is a second spelling of %q", text, d)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	ks := fixedKeys(b)
	for _, n := range []int{0, 100, 1500} {
		tok := testToken(ks)
		tok.Destination = strings.Repeat("x", n)
		text := signTest(b, ks, tok)
		b.Run(fmt.Sprintf("destination=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ks.Verify(tok.Purpose, text, tok.Destination); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendToken(b *testing.B) {
	ks := fixedKeys(b)
	tok := testToken(ks)
	dst := make([]byte, 0, mail.TokenLen)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ks.AppendToken(dst, tok); err != nil {
			b.Fatal(err)
		}
	}
}
