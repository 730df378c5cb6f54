package render

import (
	"io"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

// BenchmarkTracked renders and writes the copy of one recipient of a page of
// about 60 KB with 63 links, unsigned and signed with each kind of key.
func BenchmarkTracked(b *testing.B) {
	row := "<p style=\"margin:0 0 10px 0\">" + strings.Repeat("season account order ", 40) + "</p>\n<a href=\"https://shop.example.com/p?id=1&amp;c=2\">offer</a>\n"
	top, _, _ := strings.Cut(page, "<html>")
	content := strings.NewReader(mailtest.CRLF(top + "<html><body>\n" + strings.Repeat(row, 63) + "</body></html>\n"))
	keys := testKeys(b)
	run := func(name string, keys []Key) {
		b.Run(name, func(b *testing.B) {
			text := make([]byte, content.Size())
			content.ReadAt(text, 0)
			m := tracked(b, string(text))
			r := New(Settings{DKIM: keys}, linker{})
			b.SetBytes(content.Size())
			b.ReportAllocs()
			for b.Loop() {
				c, err := r.Render(m, content, 1, "shop/main")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.WriteTo(struct{ io.Writer }{io.Discard}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("unsigned", nil)
	run("rsa", keys[:1])
	run("ed25519", keys[1:])
}
