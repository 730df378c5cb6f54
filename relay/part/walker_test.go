package part

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
)

// A copyist writes down all it hears, with marks where headers and contents end.
type copyist struct{ strings.Builder }

func (c *copyist) Header(e *Entity, head, empty []byte) error {
	fmt.Fprintf(c, "%s[%d %s]%s", head, e.N, e.Media, empty)
	return nil
}
func (c *copyist) Opens(*Entity) bool                { return true }
func (c *copyist) Content(_ *Entity, p []byte) error { c.Write(p); return nil }
func (c *copyist) Gap(_ *Entity, p []byte) error     { c.Write(p); return nil }
func (c *copyist) End(e *Entity) error {
	fmt.Fprintf(c, "[end %d]", e.N)
	return nil
}

// TestWalk has a message in pieces of every size heard the same, and whole.
func TestWalk(t *testing.T) {
	const head = "Content-Type: multipart/mixed; boundary=b\r\n"
	const body = "\r\npreamble\r\n--b\r\n\r\none\r\n-two\r\n--bc\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n" +
		"--bb\r\nContent-Type: text/html\r\n\r\n<p>\r\n-\r\n\r\n--bb--\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny\r\n--b--\r\nepilogue\r\n"
	const want = "\r\npreamble\r\n--b\r\n[1 text/plain]\r\none\r\n-two\r\n--bc\r\n[end 1]\r\n--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n[2 multipart/alternative]\r\n" +
		"--bb\r\nContent-Type: text/html\r\n[3 text/html]\r\n<p>\r\n-\r\n[end 3]\r\n--bb--\r\n[end 2]\r\n--b\r\nContent-Type: message/rfc822\r\n[4 message/rfc822]\r\nSubject: x\r\n[5 text/plain]\r\ny[end 5]\r\n--b--\r\nepilogue\r\n"
	h, _, _ := mail.ParseHeader([]byte(head))
	for size := 1; size <= len(body); size++ {
		var c copyist
		err := Walk(h, func(w io.Writer) error {
			for piece := range slices.Chunk([]byte(body), size) {
				if _, err := w.Write(piece); err != nil {
					return err
				}
			}
			return nil
		}, &c)
		if err != nil || c.String() != want {
			t.Fatalf("in pieces of %d: %v\n got %q\nwant %q", size, err, c.String(), want)
		}
	}
}

// silent hears and does nothing.
type silent struct{}

func (silent) Header(*Entity, []byte, []byte) error { return nil }
func (silent) Opens(*Entity) bool                   { return true }
func (silent) Content(*Entity, []byte) error        { return nil }
func (silent) Gap(*Entity, []byte) error            { return nil }
func (silent) End(*Entity) error                    { return nil }

func BenchmarkWalk(b *testing.B) {
	head := "Content-Type: multipart/mixed; boundary=b\r\n"
	body := "\r\n--b\r\nContent-Type: text/html\r\n\r\n" + strings.Repeat("<p>Some text that is as long as most lines.</p>\r\n", 100) +
		"\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat(strings.Repeat("abcd", 19)+"\r\n", 200) + "\r\n--b--\r\n"
	h, _, _ := mail.ParseHeader([]byte(head))
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		Walk(h, func(w io.Writer) error { _, err := w.Write([]byte(body)); return err }, silent{})
	}
}
