package provider

import (
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

// One connection, messages of 10 KiB, against the scripted peer.
func BenchmarkDeliver(b *testing.B) {
	for _, mode := range []string{"pipelining", "lock-step"} {
		b.Run(mode, func(b *testing.B) {
			p := mailtest.Start(b, mailtest.Script{Extensions: modes[mode], Discard: true})
			c := client(b, settings(p))
			tx := mail.Transaction{Recipients: []string{"b@y.test"},
				Copy: text{from: "a@x.test", content: strings.Repeat(strings.Repeat("x", 62)+"\r\n", 160)}}
			b.SetBytes(tx.Copy.Size())
			b.ReportAllocs()
			for b.Loop() {
				if a := c.Deliver(b.Context(), tx); !a[0].Taken() {
					b.Fatal(a[0].Err, a[0].Reply)
				}
			}
		})
	}
}
