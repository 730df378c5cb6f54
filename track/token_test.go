package track

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"path/filepath"
	"strings"
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

func TestMutatedTokens(t *testing.T) {
	const tries = 100_000
	ks := fixedKeys(t)
	tok := testToken(ks)
	good := []byte(signTest(t, ks, tok))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range tries {
		raw, _ := strict.DecodeString(string(good))
		switch i % 4 {
		case 0: // one bit, each in turn
			raw[i/4%len(raw)] ^= 1 << (i / 4 / len(raw) % 8)
		case 1: // other claims
			raw[1+r.IntN(claimsSize-1)] += byte(1 + r.IntN(255))
		case 2: // other MAC
			raw[claimsSize+r.IntN(macSize)] += byte(1 + r.IntN(255))
		case 3: // a few bytes anywhere
			for range 1 + r.IntN(5) {
				raw[r.IntN(len(raw))] = byte(r.IntN(256))
			}
		}
		text := strict.EncodeToString(raw)
		if text == string(good) {
			continue
		}
		if _, err := ks.Verify(tok.Purpose, text, tok.Destination); err == nil {
			t.Fatalf("a mutated token verifies: %s", text)
		}
	}
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
