package rewrite

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
	"backstamp/track"
)

// A lengthy content holds a message whose attachment, of size octets, is nowhere
// in memory. Each read tells what lies there.
type lengthy struct {
	before, after []byte
	size          int64
	read          func()
}

func (c lengthy) Size() int64 { return int64(len(c.before)) + c.size + int64(len(c.after)) }

func (c lengthy) ReadAt(p []byte, at int64) (n int, err error) {
	c.read()
	line := strings.Repeat("QUFB", 19) + "\r\n"
	for ; n < len(p) && at < c.Size(); at++ {
		switch in := at - int64(len(c.before)); {
		case in < 0:
			p[n] = c.before[at]
		case in < c.size:
			p[n] = line[in%int64(len(line))]
		default:
			p[n] = c.after[in-c.size]
		}
		n++
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// A telling linker tells when tokens are made, at the end of planning.
type telling struct {
	plainLinker
	made func()
}

func (l telling) AppendToken(dst []byte, t mail.Token) ([]byte, error) {
	l.made()
	return l.plainLinker.AppendToken(dst, t)
}

// TestPlanMemory plans messages of 25 MB: that holds no more than their HTML
// parts and 2 MB.
func TestPlanMemory(t *testing.T) {
	if slowness > 1 {
		t.Skip("the race detector holds more")
	}
	for _, encoding := range []string{"8bit", "quoted-printable", "base64"} {
		for _, padding := range []int{0, 4 << 20} {
			page := append(newsletter(100), strings.Repeat("<p>No link here.</p>\r\n", padding/22)...)
			content := letter(page, encoding, 0)
			part := len(content)
			cut := bytes.LastIndex(content, []byte("--=_m--"))
			peak, base := int64(0), int64(0)
			held := func() {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				peak = max(peak, int64(m.HeapAlloc))
			}
			reads := 0
			c := lengthy{
				before: slices.Concat(content[:cut], []byte("--=_m\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")),
				after:  append([]byte("\r\n"), content[cut:]...), size: 25<<20 - int64(part),
				read: func() {
					if reads++; reads%16 == 0 || reads > 25<<20/windowSize {
						held()
					}
				},
			}
			r, err := New(Settings{BaseURL: testBase}, telling{made: held})
			if err != nil {
				t.Fatal(err)
			}
			runtime.GC() // twice for what lay in pools
			held()
			base, peak = peak, 0
			req := request(nil)
			req.Content = c
			p := r.Plan(req)
			if !p.Edited() || len(p.Links()) != 101 {
				t.Fatalf("%q, %d links", p.Reason(), len(p.Links()))
			}
			t.Logf("%s, HTML of %d KB, encoded %d KB: %d KB held", encoding, len(page)>>10, part>>10, (peak-base)>>10)
			if limit := int64(part + 2<<20); peak-base > limit {
				t.Errorf("%s: %d KB of HTML hold %d KB, want at most %d", encoding, part>>10, (peak-base)>>10, limit>>10)
			}
			runtime.KeepAlive(p)
		}
	}
}

// TestWriteBodyAllocations: what a copy allocates does not grow with its links.
func TestWriteBodyAllocations(t *testing.T) {
	if slowness > 1 {
		t.Skip("the race detector empties pools")
	}
	r, keys := realKeys(t)
	for _, encoding := range []string{"8bit", "quoted-printable", "base64", "long lines"} {
		for _, rows := range []int{1, 80} {
			page := newsletter(rows)
			content := letter(page, encoding, 0)
			if encoding == "long lines" {
				content = letter(bytes.ReplaceAll(page, []byte("\r\n"), []byte(" ")), "8bit", 0)
			}
			p, c := r.Plan(request(content)), bytes.NewReader(content)
			got := testing.AllocsPerRun(50, func() {
				if err := p.WriteBody(discard{}, c, keys, 1); err != nil {
					t.Fatal(err)
				}
			})
			if got > 0 {
				t.Errorf("%s, %d links: %v allocations", encoding, rows+1, got)
			}
		}
	}
}

// realKeys returns a rewriter whose tokens are signed, and the keys.
func realKeys(t testing.TB) (*Rewriter, *track.Keys) {
	t.Helper()
	keys, err := track.NewKeys([]string{track.GenerateKey()})
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Settings{BaseURL: testBase}, keys)
	if err != nil {
		t.Fatal(err)
	}
	return r, keys
}

// BenchmarkRecipientWithKeys is BenchmarkRecipient with tokens that are signed.
func BenchmarkRecipientWithKeys(b *testing.B) {
	r, keys := realKeys(b)
	content := letter(newsletter(98), "quoted-printable", 0)
	p, c := r.Plan(request(content)), bytes.NewReader(content)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.WriteBody(discard{}, c, keys, 1); err != nil {
			b.Fatal(err)
		}
	}
}

// In anonymous privacy one token stands for all recipients.
func TestAnonymousCopiesAreEqual(t *testing.T) {
	content := htmlMail("", webLink)
	for privacy, same := range map[mail.Privacy]bool{mail.Anonymous: true, mail.Pseudonymous: false, mail.Identified: false} {
		req := request(content)
		req.Privacy, req.Recipients = privacy, 2
		p := newRewriter(t, nil).Plan(req)
		first, second := rendered(t, p, content, 1), rendered(t, p, content, 2)
		if bytes.Equal(first, second) != same || p.PerRecipient() == same {
			t.Errorf("privacy %c: copies alike %v, PerRecipient %v", privacy, bytes.Equal(first, second), p.PerRecipient())
		}
		if nobody := bytes.Contains(first, []byte("Ac0000000001")); nobody != same {
			t.Errorf("privacy %c: the token of nobody: %v", privacy, nobody)
		}
	}
}

// The pixel goes to what is shown: of related parts to the root that start
// names, be it the first or not.
func TestPixelOfRelatedParts(t *testing.T) {
	r := newRewriter(t, nil)
	for start, want := range map[string]string{"": "one", ` start="<b@x>"; type="text/html"`: "two", ` start=b@x`: "two", ` start="<c@x>"`: "one"} {
		content := wire(fmt.Appendf(nil, "%sContent-Type: multipart/related; boundary=b;%s\n\n--b\nContent-Type: text/html\nContent-ID: <a@x>\n\n<p>one\n--b\nContent-ID: <b@x>\nContent-Type: text/html\n\n<p>two\n--b--\n", head, start))
		out := rendered(t, r.Plan(request(content)), content, 1)
		if !bytes.Contains(out, []byte("<p>"+want+"<img ")) {
			t.Errorf("start %q: no pixel in %q\n%s", start, want, out)
		}
	}
}

// TestCopiesAcrossWindows writes parts that are larger than a window, with
// splices at its edges, in every encoding.
func TestCopiesAcrossWindows(t *testing.T) {
	r := newRewriter(t, nil)
	for _, encoding := range []string{"8bit", "quoted-printable", "base64", "long lines"} {
		for n := 0; n < 80; n += 13 {
			page := strings.Repeat("x", n) + strings.Repeat("<p>한글 text</p>.\r\n", windowSize/20-12) + strings.Repeat(webLink+".\r\n", 20) + strings.Repeat("From x\r\n", windowSize/8)
			content := wrapHTML([]byte(page), encoding)
			if encoding == "long lines" {
				content = wrapHTML([]byte(strings.ReplaceAll(page, "</p>.\r\n", "</p>")), "8bit")
			}
			p := r.Plan(request(content))
			if _, err := judgeCopy(p, content, rendered(t, p, content, 1)); err != nil || !p.Edited() {
				t.Fatalf("%s: %q, %v", encoding, p.Reason(), err)
			}
		}
	}
}

func BenchmarkDecodeQuoted(b *testing.B) {
	for name, text := range map[string][]byte{"html": newsletter(200), "korean": bytes.Repeat([]byte("<p>안녕하세요, 주문이 접수되었습니다.</p>\r\n"), 2000)} {
		content := wrapHTML(text, "quoted-printable")
		_, enc, _ := bytes.Cut(content, []byte("\r\n\r\n"))
		dst := make([]byte, 0, len(enc))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(enc)))
			for b.Loop() {
				if _, ok := decodeQuoted(dst[:0], enc); !ok {
					b.Fatal("does not decode")
				}
			}
		})
	}
}
