package relay

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/relay/provider"
	"backstamp/relay/render"
)

// A recorder is the server of a provider that keeps each octet it gets, and
// believes in CRLF alone.
type recorder struct {
	ln       net.Listener
	chunking bool
	starttls string // what it says to STARTTLS, and what it goes on to say
	cut      bool   // with that in pieces of their own
	tls      *tls.Config
	wg       sync.WaitGroup

	mu     sync.Mutex
	octets bytes.Buffer
	mails  [][]byte
	lines  []string // commands
}

func newRecorder(t testing.TB, r *recorder) *recorder {
	t.Helper()
	var err error
	if r.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r.wg.Go(func() {
		for {
			conn, err := r.ln.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { defer conn.Close(); r.serve(conn) })
		}
	})
	t.Cleanup(func() { r.ln.Close(); r.wg.Wait() })
	return r
}

// Write keeps what the client sends.
func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.octets.Write(p)
}

// all returns what came since it was last called.
func (r *recorder) all() (octets string, mails [][]byte, lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	octets, mails, lines = r.octets.String(), r.mails, r.lines
	r.octets.Reset()
	r.mails, r.lines = nil, nil
	return octets, mails, lines
}

func (r *recorder) keep(content []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mails = append(r.mails, content)
}

func (r *recorder) serve(conn net.Conn) {
	in := bufio.NewReader(io.TeeReader(conn, r))
	say := func(text string) { io.WriteString(conn, text+"\r\n") }
	var content []byte
	say("220 provider.test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		r.mu.Lock()
		r.lines = append(r.lines, line)
		r.mu.Unlock()
		words := append(strings.Fields(strings.ToUpper(line)), "") // a handshake has empty lines too
		switch words[0] {
		case "EHLO":
			ext := "250-provider.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
			if r.chunking {
				ext += "250-CHUNKING\r\n"
			}
			if r.starttls != "" {
				ext += "250-STARTTLS\r\n"
			}
			say(ext + "250 SIZE 100000000")
		case "STARTTLS":
			for i, piece := range strings.SplitAfter(r.starttls, "|") {
				if i > 0 && !r.cut {
					piece = strings.ReplaceAll(piece, "|", "")
				}
				io.WriteString(conn, strings.ReplaceAll(piece, "|", ""))
			}
		case "DATA":
			say("354 go on")
			for !bytes.HasSuffix(append([]byte("\r\n"), content...), []byte("\r\n.\r\n")) {
				c, err := in.ReadByte()
				if err != nil {
					return
				}
				content = append(content, c)
			}
			r.keep(content)
			content = nil
			say("250 2.0.0 taken")
		case "BDAT":
			n, _ := strconv.Atoi(words[1])
			chunk := make([]byte, n)
			if _, err := io.ReadFull(in, chunk); err != nil {
				return
			}
			if content = append(content, chunk...); len(words) > 3 {
				r.keep(content)
				content = nil
			}
			say("250 2.0.0 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 2.0.0 fine")
		}
	}
}

// client returns what delivers to the recorder.
func (r *recorder) client(t testing.TB, s provider.Settings) provider.Client {
	t.Helper()
	s.Name, s.Preset, s.Host, s.Port, s.Hostname = "shop/main", "generic", "127.0.0.1", r.ln.Addr().(*net.TCPAddr).Port, "relay.example.com"
	c, err := provider.New(s, clock.System{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// pass sends a message on as the queue does: a copy for each recipient.
func pass(client provider.Client, k kept) error {
	for i, rcpt := range k.m.Recipients {
		c, err := render.New(render.Settings{}, noKeys{}).Render(k.m, bytes.NewReader(k.content), i+1, "shop/main")
		if err != nil {
			return err
		}
		tx := mail.Transaction{
			Message: k.m.ID, Recipients: []string{rcpt}, Ret: k.m.Ret, EnvID: k.m.EnvID, Copy: c,
			Started: func(context.Context) error { return nil },
		}
		if k.m.Asked != nil {
			tx.Asked = k.m.Asked[i : i+1]
		}
		for _, a := range client.Deliver(context.Background(), tx) {
			if !a.Taken() && a.Unreachable {
				return fmt.Errorf("not taken: %+v", a)
			}
		}
	}
	return nil
}
