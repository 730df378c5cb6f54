package relay

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"backstamp/mail"
)

// A shredder is a queue that keeps nothing, and its one body.
type shredder struct{ content []byte }

func (s *shredder) NewBody() (mail.Body, error) {
	s.content = s.content[:0]
	return s, nil
}

func (s *shredder) Write(p []byte) (int, error) {
	s.content = append(s.content, p...)
	return len(p), nil
}

func (s *shredder) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(s.content).ReadAt(p, at)
}

func (s *shredder) Size() int64  { return int64(len(s.content)) }
func (s *shredder) Close() error { return nil }

func (s *shredder) Put(context.Context, *mail.Message, mail.ContentCloser) error { return nil }

func (s *shredder) PutAndHear(context.Context, *mail.Message, mail.ContentCloser) (*mail.Attempt, error) {
	return nil, nil
}

// BenchmarkAccept hands message after message in on one connection.
func BenchmarkAccept(b *testing.B) {
	line := strings.Repeat("0123456789", 7) + "\r\n"
	for _, size := range []int{10 << 10, 60_000, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := settings(b)
			s.Limits.Message = 64 << 20
			r := start(b, s)
			all := &shredder{}
			r.server.queue = all
			conn, err := net.Dial("tcp", r.server.Addrs()[0].String())
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			replies := bufio.NewReader(conn)
			say := func(text []byte, want string) {
				conn.Write(text)
				for {
					got, err := replies.ReadString('\n')
					if err != nil || !strings.HasPrefix(got, want) {
						b.Fatalf("got %q, %v; want %q", got, err, want)
					}
					if got[3] == ' ' {
						return
					}
				}
			}
			say(nil, "220")
			say([]byte("EHLO c\r\n"), "250")
			content := []byte("From: a@example.com\r\nSubject: x\r\n\r\n" + strings.Repeat(line, size/len(line)) + ".\r\n")
			from, to, data := []byte("MAIL FROM:<a@example.com>\r\n"), []byte("RCPT TO:<r@dest.test>\r\n"), []byte("DATA\r\n")
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				say(from, "250")
				say(to, "250")
				say(data, "354")
				say(content, "250")
			}
		})
	}
}
