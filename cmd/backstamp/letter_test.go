package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"backstamp/internal/mailtest"
)

// What is read of a file with bare line ends is what it holds with CRLF, from
// every offset, and what is written of that is the file again.
func TestBareLineEnds(t *testing.T) {
	for _, text := range []string{
		"\n", "a\n", "a", "\n\n\nb", "a\rb\n\r", strings.Repeat("line\n", blockSize), strings.Repeat("\n", 2*blockSize+1),
		strings.Repeat("x", blockSize-1) + "\n" + strings.Repeat("y", blockSize) + "\nz",
	} {
		l, err := readLetter(strings.NewReader(text), "test")
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(text, "\n", "\r\n")
		if l.bare != strings.Contains(text, "\n") || l.Size() != int64(len(want)) {
			t.Fatalf("%.20q: bare %v, %d octets, want %d", text, l.bare, l.Size(), len(want))
		}
		got, err := io.ReadAll(io.NewSectionReader(l, 0, l.Size()))
		if err != nil || string(got) != want {
			t.Fatalf("%.20q: read %.40q, %v", text, got, err)
		}
		for at := 0; at <= len(want); at += 1 + at/3 {
			p := make([]byte, 7)
			n, err := l.ReadAt(p, int64(at))
			if rest := want[at:min(len(want), at+7)]; string(p[:n]) != rest || (err == io.EOF) != (n < 7) {
				t.Errorf("%.20q from %d: %q, %v, want %q", text, at, p[:n], err, rest)
			}
		}
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(want), "bytewise": iotest.OneByteReader(strings.NewReader(want))} {
			var out bytes.Buffer
			w := &bareWriter{w: &out}
			if _, err := io.Copy(struct{ io.Writer }{w}, struct{ io.Reader }{r}); err != nil || w.flush() != nil || out.String() != text {
				t.Errorf("%.20q, written %s: %.40q, %v", text, name, out.String(), err)
			}
		}
	}
}

// A file that has both line ends, or CRLF alone, is read as it is.
func TestOtherLineEnds(t *testing.T) {
	for _, text := range []string{"", "\r", "a\r\nb\n", "a\nb\r\n", mailtest.CRLF("a\nb\n"), strings.Repeat("\n", blockSize-1) + "\r\n"} {
		l, err := readLetter(strings.NewReader(text), "test")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(l, 0, l.Size()))
		if l.bare || string(got) != text || err != nil {
			t.Errorf("%.20q: bare %v, %.40q, %v", text, l.bare, got, err)
		}
	}
}
