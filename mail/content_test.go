package mail

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// counted is content that knows how far it was read.
type counted struct {
	*strings.Reader
	to int64
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.Reader.ReadAt(p, at)
	c.to = max(c.to, at+int64(n))
	return n, err
}

// TestReadHeader: wherever the header ends, it is the one that ParseHeader finds
// in all of the message, and little more than it is read.
func TestReadHeader(t *testing.T) {
	rest := strings.Repeat("body \r\n", 100_000)
	ends := []string{"\r\n", "\n", "no field\r\n", "No-Field", "\r", "X: y", "From: late@x.test\r\n\r\n", ""}
	for _, first := range []int{headerFirst, 4 * headerFirst, HeaderMax} {
		for _, end := range ends {
			for off := -20; off <= 2; off++ {
				text := "A: 1\r\nB: " + strings.Repeat("x", first+off-11) + "\r\n" + end
				c := &counted{Reader: strings.NewReader(text + rest)}
				text += "body \r\n"
				want, wantEnd, wantBody := ParseHeader([]byte(text))
				h, gotEnd, gotBody, err := ReadHeader(c)
				if err != nil {
					if !errors.Is(err, ErrHeader) || len(text)+len("body \r\n") <= HeaderMax {
						t.Fatalf("%d octets to %q: %v", first+off, end, err)
					}
				} else if gotEnd != wantEnd || gotBody != wantBody || !slices.EqualFunc(h, want, func(a, b Field) bool { return a.Name == b.Name && bytes.Equal(a.Raw, b.Raw) }) {
					t.Fatalf("%d octets to %q: %d fields, end %d, body %d; want %d, %d, %d", first+off, end, len(h), gotEnd, gotBody, len(want), wantEnd, wantBody)
				}
				if c.to > HeaderMax || first < HeaderMax && c.to > int64(16*first) {
					t.Errorf("%d octets were read of a header of %d", c.to, first+off)
				}
			}
		}
	}
	if _, _, _, err := ReadHeader(strings.NewReader("Subject: " + strings.Repeat("x", HeaderMax))); !errors.Is(err, ErrHeader) {
		t.Errorf("a field without end: %v", err)
	}
}
