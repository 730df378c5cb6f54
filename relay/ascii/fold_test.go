package ascii

import (
	"bytes"
	"mime"
	"strings"
	"testing"

	"backstamp/mail"
)

// folded folds a field and checks that it is still one, in lines that fit.
func folded(t *testing.T, text string) string {
	t.Helper()
	f := Fold(mail.Field{Name: text[:strings.Index(text, ":")], Raw: []byte(text + "\r\n")})
	h, end, _ := mail.ParseHeader(f.Raw)
	if len(h) != 1 || end != len(f.Raw) || IsLong(f.Raw) {
		t.Errorf("%q became %q", text, f.Raw)
	}
	for line := range bytes.Lines(f.Raw) {
		if len(bytes.TrimSpace(line)) == 0 {
			t.Errorf("a blank line in %q", f.Raw)
		}
	}
	return string(f.Raw)
}

// TestFold: a field that is too long for a line reads as before, as each kind of
// field is read.
func TestFold(t *testing.T) {
	long, word := strings.Repeat("many words ", 120), strings.Repeat("w", 2500)
	plain := func(s string) string { return strings.ReplaceAll(s, "\r\n", "") }
	for _, text := range []string{
		"Subject: " + strings.TrimSpace(long), "X-Odd:" + strings.Repeat("\t  a", 400), "References: <1@a.test>\r\n\t" + strings.Repeat("<2@a.test> ", 150) + "<3@a.test>",
		"To: \"" + strings.TrimSpace(long) + "\" <a@b.test>",
	} {
		if got := folded(t, text); plain(got) != plain(text) {
			t.Errorf("%q became %q", text, got)
		}
	}
	addresses := "To:" + strings.Repeat("\"Kim,J.\"<a@b.test>,", 100) + "c@d.test"
	if got := folded(t, addresses); strings.NewReplacer("\r\n ", "", "\r\n", "").Replace(got) != addresses || strings.Contains(got, "Kim,\r\n") {
		t.Errorf("%q", got)
	}
	json := `X-SMTPAPI: {"to":["` + strings.Repeat(`a@b.test","`, 200) + `"]}`
	if got := folded(t, json); strings.NewReplacer("\r\n ", "", "\r\n", "").Replace(got) != json {
		t.Errorf("%q", got)
	}
	for _, text := range []string{"Subject: " + word, "Subject: " + strings.Repeat("=?utf-8?b?7KO866y4?=", 100), "Subject: =?utf-8?b?7KO866y4?= " + word + " =?utf-8?b?7KO866y4?=", "X-Token: a " + word + "\r\n " + word + " b"} {
		got, err := new(mime.WordDecoder).DecodeHeader(plain(folded(t, text)))
		want, _ := new(mime.WordDecoder).DecodeHeader(plain(text))
		if err != nil || strings.TrimSpace(got) != want {
			t.Errorf("%v: %q became %q", err, text, got)
		}
	}
	short := mail.NewField("Subject: short")
	if got := Fold(short); !bytes.Equal(got.Raw, short.Raw) {
		t.Errorf("%q", got.Raw)
	}
	id := "Message-ID: <" + word + "@a.test>"
	if got := Fold(mail.NewField(id)); string(got.Raw) != id+"\r\n" {
		t.Errorf("an identifier became %q", got.Raw)
	}
}

// FuzzFold: whatever a field holds, it stays one field of the same characters.
func FuzzFold(f *testing.F) {
	for _, s := range []string{"a, \"b, c\" <d@e.test>;", "=?utf-8?b?7KO866y4?= x", "{\"a\":1,\"b\":[2]}", "(a, b) c", "\\\","} {
		f.Add("Subject", s, 100)
		f.Add("To", s, 1000)
	}
	f.Fuzz(func(t *testing.T, name, value string, times int) {
		value = strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(strings.Repeat(value, max(0, min(times, 3000))))
		h, _, _ := mail.ParseHeader([]byte(name + ": " + value + "\r\n"))
		if len(h) != 1 || len(value) > 1<<17 || strings.Contains(value, "=?") && len(value) > wordMax {
			return // readers differ in what encoded-words are in the middle of others
		}
		got := Fold(h[0])
		again, end, _ := mail.ParseHeader(got.Raw)
		if len(again) != 1 || end != len(got.Raw) || !again[0].Is(h[0].Name) {
			t.Fatalf("%q became %q", h[0].Raw, got.Raw)
		}
		squeeze := func(f mail.Field) string {
			text, err := new(mime.WordDecoder).DecodeHeader(strings.ReplaceAll(string(f.Raw), "\r\n", ""))
			if err != nil {
				return ""
			}
			return strings.Join(strings.Fields(text), "")
		}
		if a, b := squeeze(h[0]), squeeze(got); a != b && a != "" && b != "" {
			t.Fatalf("%q became %q", h[0].Raw, got.Raw)
		}
	})
}
