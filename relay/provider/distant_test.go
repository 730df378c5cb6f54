package provider

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

// oneWay is how long a byte travels to an upstream that is 50 ms away.
const oneWay = 25 * time.Millisecond

// BenchmarkDistant sends messages of 10 KiB for 20 recipients over one connection
// to an upstream 50 ms away. The client of go-smtp, which waits for the reply to
// every command, is there to compare with.
func BenchmarkDistant(b *testing.B) {
	to := make([]string, 20)
	for i := range to {
		to[i] = fmt.Sprintf("r%02d@y.test", i)
	}
	body := "Subject: hi\r\n\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", 160)

	run := func(name string, extensions []string, connect func(b *testing.B, p *mailtest.Peer) (send func() error)) {
		b.Run(name, func(b *testing.B) {
			p := mailtest.Start(b, mailtest.Script{Extensions: extensions, Discard: true})
			away(b, p)
			send := connect(b, p)
			if err := send(); err != nil { // the connection, and what is asked once for it
				b.Fatal(err)
			}
			for b.Loop() {
				if err := send(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
	ours := func(b *testing.B, p *mailtest.Peer) func() error {
		c := client(b, settings(p))
		t := mail.Transaction{Recipients: to, Copy: text{from: "a@x.test", content: body}}
		return func() error {
			for _, a := range c.Deliver(b.Context(), t) {
				if !a.Taken() {
					return fmt.Errorf("%v %v", a.Err, a.Reply)
				}
			}
			return nil
		}
	}
	run("pipelining", modes["pipelining"], ours)
	run("chunking", chunks, ours)
	run("go-smtp", chunks, func(b *testing.B, p *mailtest.Peer) func() error {
		c, err := smtp.Dial(p.Addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		return func() error { return c.SendMail("a@x.test", to, strings.NewReader(body)) }
	})
}

// away puts the peer at the other end of a long line: what is sent either way
// arrives after oneWay, with no limit on how much is under way.
func away(b *testing.B, p *mailtest.Peer) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	near := p.Addr
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", near)
			if err != nil {
				c.Close()
				continue
			}
			wg.Go(func() { carry(s, c) })
			wg.Go(func() { carry(c, s) })
		}
	})
	b.Cleanup(func() {
		ln.Close()
		p.Drop()
		wg.Wait()
	})
	addr := ln.Addr().(*net.TCPAddr)
	p.Addr, p.Host, p.Port = addr.String(), addr.IP.String(), addr.Port
}

// carry copies from src to dst what was read oneWay ago, until src ends.
func carry(dst, src net.Conn) {
	type piece struct {
		due  time.Time
		data []byte
	}
	line := make(chan piece, 1024)
	go func() {
		defer close(line)
		for {
			data := make([]byte, 64<<10)
			n, err := src.Read(data)
			if err != nil {
				return
			}
			line <- piece{time.Now().Add(oneWay), data[:n]}
		}
	}()
	for p := range line {
		time.Sleep(time.Until(p.due))
		dst.Write(p.data)
	}
	dst.Close()
}
