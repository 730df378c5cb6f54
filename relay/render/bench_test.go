package render

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// BenchmarkCopy renders a copy without a plan and writes it once.
func BenchmarkCopy(b *testing.B) {
	for _, size := range []int{10 << 10, 1 << 20, 50 << 20} {
		content := strings.NewReader("From: kim@example.com\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78))
		r := New(Settings{}, nil)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(content.Size())
			b.ReportAllocs()
			for b.Loop() {
				c, err := r.Render(message(), content, 1, "shop/main")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.WriteTo(struct{ io.Writer }{io.Discard}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
