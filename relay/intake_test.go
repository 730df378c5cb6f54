package relay

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func bdatOf(text, last string) string { return fmt.Sprintf("BDAT %d%s\r\n%s", len(text), last, text) }

// takeAll gives text to an intake in pieces of at most n octets and returns
// it with what was left over.
func takeAll(text string, stuffed bool, n int) (in *intake, rest string) {
	in = newIntake(stuffed)
	for text != "" && !in.ended {
		used := in.take([]byte(text[:min(n, len(text))]))
		text = text[used:]
	}
	in.finish()
	return in, text
}

// TestIntake states what each odd line becomes. The body begins after an empty
// line, so that lone CRs end lines.
func TestIntake(t *testing.T) {
	for _, tt := range []struct {
		name, text, want, quirks string
		rest                     string
	}{
		{"empty", ".\r\n", "", "", ""},
		{"ordinary", "\r\na\r\n.\r\nQUIT\r\n", "\r\na\r\n", "", "QUIT\r\n"},
		{"stuffed dots", "\r\n..\r\n...\r\n..a\r\n.\r\n", "\r\n.\r\n..\r\n.a\r\n", "", ""},
		{"unstuffed dot before text", "\r\n.a\r\n.\r\n", "\r\na\r\n", "", ""}, // RFC 5321 section 4.5.2
		{"dot and LF keeps its dot", "\r\n.\nx\r\n.\r\n", "\r\n.\r\nx\r\n", "bare-lf", ""},
		{"dot and CR keeps both", "\r\n.\rX\r\n.\r\n", "\r\n.\r\nX\r\n", "bare-cr", ""},
		{"dot and NUL keeps its dot", "\r\n.\x00\r\n.\r\n", "\r\n.\r\n", "nul", ""},
		{"dot, CR CR LF", "\r\n.\r\r\n.\r\n", "\r\n.\r\n", "bare-cr", ""},
		{"bare LF is no start for a dot", "\r\na\n.\r\n..\n.b\r\n.\r\n", "\r\na\r\n.\r\n.\r\n.b\r\n", "bare-lf", ""},
		{"bare CR is no start for a dot", "\r\na\r.\r\n.\r\n", "\r\na\r\n.\r\n", "bare-cr", ""},
		{"NUL before a dot", "\r\na\r\n\x00.\r\n.\r\n", "\r\na\r\n.\r\n", "nul", ""},
		{"CR CR LF is one line end", "\r\na\r\r\nb\r\r\r\n.\r\n", "\r\na\r\nb\r\n", "bare-cr", ""},
		{"CR before NUL and LF", "\r\na\r\x00\n\r\n.\r\n", "\r\na\r\n\r\n\r\n", "bare-lf bare-cr nul", ""},
		{"CRs without end are lines", "\r\n" + strings.Repeat("\r", 2*crsMax+2) + "\n.\r\n", strings.Repeat("\r\n", 1+2*crsMax+1), "bare-cr", ""},
		{"lone CR in the header", "A: b\rC: d\r\n\rE\r\n\r\nx\ry\r\n.\r\n", "A: b C: d\r\n E\r\n\r\nx\r\ny\r\n", "bare-cr", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := 1; n <= len(tt.text); n += 1 + n/100 {
				in, rest := takeAll(tt.text, true, n)
				if got := string(in.out); got != tt.want || rest != tt.rest || !in.ended {
					t.Fatalf("in pieces of %d: got %q and %q, ended %v; want %q and %q", n, got, rest, in.ended, tt.want, tt.rest)
				}
				if got := strings.Join(in.quirks(), " "); got != tt.quirks || in.odd() != (tt.quirks != "") {
					t.Fatalf("quirks %q, want %q", got, tt.quirks)
				}
			}
		})
	}
}

// TestIntakeRoundTrip stuffs dots as a client does: every well-formed content
// comes out as it went in, and stops where it ends.
func TestIntakeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringMatching(`[.a\x80 ]{0,4}`)).Draw(t, "lines")
		content := ""
		for _, l := range lines {
			content += l + "\r\n"
		}
		wire := strings.ReplaceAll("\r\n"+content, "\r\n.", "\r\n..")[2:] + ".\r\n"
		in, rest := takeAll(wire+"NEXT", true, rapid.IntRange(1, 10).Draw(t, "piece"))
		if string(in.out) != content || rest != "NEXT" || in.odd() || in.stranger {
			t.Fatalf("%q came out as %q, rest %q", wire, in.out, rest)
		}
		in, _ = takeAll(content, false, rapid.IntRange(1, 10).Draw(t, "chunk"))
		if string(in.out) != content {
			t.Fatalf("%q in chunks came out as %q", content, in.out)
		}
	})
}

// TestIntakeMemory: whatever comes, content that is passed on once it is worth a
// chunk stays in the memory that was made for it.
func TestIntakeMemory(t *testing.T) {
	for _, line := range []string{"\r", "\n", "\r\n", "\r\r\n", "x\r", strings.Repeat("\r", crsMax-1) + "x", strings.Repeat("x", 998) + "\r\n"} {
		in := newIntake(true)
		text := []byte(strings.Repeat(line, 4<<20/len(line)))
		for len(text) > 0 {
			n := min(len(text), 4096)
			text = text[in.take(text[:n]):]
			if len(in.out) > outSize {
				t.Fatalf("%.10q: %d octets", line, len(in.out))
			}
			if len(in.out) >= chunkSize {
				in.out = in.out[:0]
			}
		}
		in.free()
	}
	in, line := newIntake(true), []byte(".."+strings.Repeat("x", 70)+"\r\n")
	if n := testing.AllocsPerRun(100, func() { in.take(line); in.out = in.out[:0] }); n > 0 {
		t.Errorf("%v allocations for a line", n)
	}
}

// TestIntakeWellFormed: whatever comes, no stray CR, LF or NUL is left.
func TestIntakeWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[\r\n\x00.a:]{0,30}`).Draw(t, "text")
		stuffed := rapid.Bool().Draw(t, "stuffed")
		whole, _ := takeAll(text, stuffed, len(text)+1)
		single, _ := takeAll(text, stuffed, 1)
		if !wellFormed(whole.out) || string(whole.out) != string(single.out) {
			t.Fatalf("%q became %q, byte by byte %q", text, whole.out, single.out)
		}
	})
}
