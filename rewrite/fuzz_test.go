package rewrite

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"backstamp/mail"
)

// FuzzMessage asserts for any content: the engine does not panic; what is not
// a link, the pixel or an opt-out comes out as it went in; the copy has the
// size that was said, and not many times that of the original; a plan survives
// its encoding; the copy, sent again, gets no second pixel.
func FuzzMessage(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.eml")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	r := newRewriter(f, nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		content := wire(raw)
		p := r.Plan(request(content))
		if p.Reason() == ReasonInternal {
			t.Fatal("panicked")
		}
		out := rendered(t, p, content, 1)
		if !p.Edited() {
			if !bytes.Equal(out, content) {
				t.Fatal("untouched, yet it changed")
			}
			return
		}
		if limit := 4*len(content) + 1000 + 600*len(p.Links()); len(out) > limit {
			t.Fatalf("%d bytes became %d", len(content), len(out))
		}
		if got := len(out) - len(content); p.Growth() != int64(got) {
			t.Fatalf("it grew by %d, said %d", got, p.Growth())
		}
		invert(t, p, content, out)
		q, err := Decode(p.Encode())
		if err != nil || !bytes.Equal(rendered(t, q, content, 1), out) {
			t.Fatalf("the plan changed in store: %v", err)
		}
		if !bytes.HasPrefix(content, []byte("From ")) && r.Plan(request(stamped(p, out))).Reason() != ReasonRewritten {
			t.Fatal("the copy is not known again")
		}
		for _, l := range p.Links() {
			if l.Decision == mail.Tracked && hostOf(l.URL) == "" {
				t.Fatalf("tracked %q", l.URL)
			}
		}
	})
}

// invert takes the recorded splices out of a copy again and compares with the
// original: encoded bytes for plain regions, decoded ones for others.
func invert(t *testing.T, p *Plan, content, out []byte) {
	t.Helper()
	at, copied := 0, 0 // in content, in out
	take := func(n int, want []byte) {
		if got := out[copied : copied+n]; want != nil && !bytes.Equal(got, want) {
			t.Fatalf("at %d: %q, want %q", at, got, want)
		}
		copied += n
	}
	for _, r := range p.regions {
		take(r.from-at, content[at:r.from])
		at = r.to
		if r.codec != codecPlain {
			invertEncoded(t, r, content[r.from:r.to], out[copied:copied+r.size])
			copied += r.size
			continue
		}
		done := r.from
		for _, s := range r.splices {
			take(r.from+s.from-done, content[done:r.from+s.from])
			take(s.grown()+s.to-s.from, nil)
			done = r.from + s.to
		}
		take(r.to-done, content[done:r.to])
	}
	take(len(content)-at, content[at:])
	if copied != len(out) {
		t.Fatalf("%d bytes left over", len(out)-copied)
	}
}

func invertEncoded(t *testing.T, r region, raw, enc []byte) {
	t.Helper()
	text, was := enc, raw
	if r.codec == codecBase64 {
		var ok, ok2 bool
		if text, ok = decodeBase64(nil, enc); !ok {
			t.Fatal("base64 does not decode")
		}
		if was, ok2 = decodeBase64(nil, raw); !ok2 {
			t.Fatal("edited base64 that does not decode")
		}
	} else {
		text, _ = decodeQuoted(nil, enc)
	}
	at, done := 0, 0
	for _, s := range r.splices {
		n := s.from - done
		if !bytes.Equal(text[at:at+n], was[done:s.from]) {
			t.Fatalf("%q became %q", was[done:s.from], text[at:at+n])
		}
		at, done = at+n+s.grown()+s.to-s.from, s.to
	}
	if !bytes.Equal(text[at:], was[done:]) {
		t.Fatalf("%q became %q", was[done:], text[at:])
	}
}

// FuzzDecode asserts that no plan, however made, makes its methods panic.
func FuzzDecode(f *testing.F) {
	r := newRewriter(f, nil)
	content := htmlMail("X-Backstamp: x\n", `<a href="https://example.com/">x</a>`)
	f.Add(r.Plan(request(content)).Encode())
	b64 := htmlMail("Content-Transfer-Encoding: base64\n", "PGEgaHJlZj0iaHR0cHM6Ly9leGFtcGxlLmNvbSI+eDwvYT4=\n")
	f.Add(r.Plan(request(b64)).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Encode(), data) {
			t.Skip("another spelling of the same plan")
		}
		for _, text := range [][]byte{content, b64} {
			c := bytes.NewReader(text)
			p.Header(c)
			p.BodySize(c)
			p.WriteBody(new(bytes.Buffer), c, fakeLinker{}, 1)
			p.ClickURL(fakeLinker{}, 1, 1)
			p.OpenURL(fakeLinker{}, 1)
			p.PerRecipient()
		}
	})
}
