package relay

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/internal/clock"
	"backstamp/relay/quirk"
)

// A stage is a server and one client in a bubble of time.
type stage struct {
	t      *testing.T
	server *Server
	queue  *shelf
	client net.Conn

	mu    sync.Mutex
	heard bytes.Buffer
	ended bool
}

// onStage runs play in a bubble, with a client at addr that has read the
// banner.
func onStage(t *testing.T, s Settings, addr string, play func(*stage)) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, s, addr)
		st.expect("220 relay.example.com")
		play(st)
		st.client.Close()
		st.server.stop()
		st.server.conns.Wait()
	})
}

// newStage is for the inside of a bubble. Nothing was said yet.
func newStage(t *testing.T, s Settings, addr string) *stage {
	ours, theirs := net.Pipe()
	st := &stage{t: t, queue: &shelf{}, client: ours}
	st.server = New(newPolicy(t, s), st.queue, clock.System{}, slog.New(slog.DiscardHandler), nil)
	st.server.take(0, farConn{theirs, addr})
	go st.listen()
	return st
}

// listen notes what the server says.
func (st *stage) listen() {
	buf := make([]byte, 4096)
	for {
		n, err := st.client.Read(buf)
		st.mu.Lock()
		st.heard.Write(buf[:n])
		st.ended = err != nil
		st.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send says something; what the server does not read is lost.
func (st *stage) send(text string) {
	st.client.SetWriteDeadline(time.Now().Add(time.Second))
	st.client.Write([]byte(text))
	synctest.Wait()
}

// expect fails unless the server has said something that begins so, and
// forgets what it said.
func (st *stage) expect(prefix string) {
	st.t.Helper()
	synctest.Wait()
	st.mu.Lock()
	defer st.mu.Unlock()
	if got := st.heard.String(); !strings.HasPrefix(got, prefix) || (prefix == "") != (got == "") {
		st.t.Fatalf("got %q, want %q", got, prefix)
	}
	st.heard.Reset()
}

// expectEnd fails unless the server has hung up.
func (st *stage) expectEnd() {
	st.t.Helper()
	synctest.Wait()
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.ended {
		st.t.Fatal("the connection is still open")
	}
}

// begin brings a transaction to the point where content is awaited.
func (st *stage) begin() {
	st.t.Helper()
	st.send("EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\n")
	st.expect("250-Hello c")
	st.send("DATA\r\n")
	st.expect("354")
}

// TestStallInData: a client that falls silent in its content is sent away, and
// what it says then is no command.
func TestStallInData(t *testing.T) {
	onStage(t, settings(t), "127.0.0.1", func(st *stage) {
		st.begin()
		st.send("From: a@example.com\r\n\r\nhalf a mess")
		time.Sleep(10*time.Second + time.Millisecond)
		st.expect("421 4.4.2")
		st.expectEnd()
		st.send("age\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@dest.test>\r\nDATA\r\nFrom: a@example.com\r\n\r\n.\r\n")
		st.expect("")
		if n := len(st.queue.all()); n != 0 {
			st.t.Errorf("%d mails kept", n)
		}
	})
}

// TestSlowData: content may take longer than any silence in it may.
func TestSlowData(t *testing.T) {
	onStage(t, settings(t), "127.0.0.1", func(st *stage) {
		st.begin()
		for _, c := range "From: a@e" {
			time.Sleep(5 * time.Second)
			st.send(string(c))
		}
		st.send("xample.com\r\n\r\n.\r\n")
		st.expect("250 2.0.0 queued as")
	})
}

// TestSessionEnds: nobody stays longer than a session may last, whatever they
// do.
func TestSessionEnds(t *testing.T) {
	onStage(t, settings(t), "127.0.0.1", func(st *stage) {
		st.begin()
		for range 12 {
			time.Sleep(5 * time.Second)
			st.send("x")
		}
		st.expect("421 4.4.2")
		st.expectEnd()
	})
}

// TestIdleClient: neither silence nor a command that trickles in keeps a
// connection.
func TestIdleClient(t *testing.T) {
	for _, trickle := range []string{"", "NOOPNOOP"} {
		onStage(t, settings(t), "127.0.0.1", func(st *stage) {
			for i := range 11 {
				if i < len(trickle) {
					st.send(trickle[i : i+1])
				}
				time.Sleep(time.Second)
			}
			st.expect("421 4.4.2")
			st.expectEnd()
		})
	}
}

// TestDeafClient: a client that does not read its replies holds nobody up.
func TestDeafClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(newPolicy(t, settings(t)), &shelf{}, clock.System{}, slog.New(slog.DiscardHandler), nil)
		ours, theirs := net.Pipe()
		defer ours.Close()
		s.take(0, farConn{theirs, "127.0.0.1"})
		s.conns.Wait()
	})
}

// TestHalfDeafClient: nor does one that reads a reply now and then stay longer
// than a session may last.
func TestHalfDeafClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(newPolicy(t, settings(t)), &shelf{}, clock.System{}, slog.New(slog.DiscardHandler), nil)
		ours, theirs := net.Pipe()
		defer ours.Close()
		began := time.Now()
		s.take(0, farConn{theirs, "127.0.0.1"})
		go io.Copy(ours, strings.NewReader(strings.Repeat("HELP\r\n", 100_000)))
		var listening sync.WaitGroup
		listening.Go(func() {
			for one := make([]byte, 512); ; time.Sleep(9 * time.Second) {
				if _, err := ours.Read(one); err != nil {
					return
				}
			}
		})
		s.conns.Wait()
		defer listening.Wait()
		if d := time.Since(began); d > time.Minute+2*farewellTime {
			t.Errorf("it stayed for %v", d)
		}
	})
}

// TestChunkCutOff: half a chunk is no message, though it was to be the last.
func TestChunkCutOff(t *testing.T) {
	onStage(t, settings(t), "127.0.0.1", func(st *stage) {
		st.send("EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\n")
		st.expect("250-")
		st.send("BDAT 1000 LAST\r\nFrom: a@example.com\r\n\r\nfirst half")
		st.client.Close()
		st.server.conns.Wait()
		if n := len(st.queue.all()); n != 0 {
			st.t.Errorf("%d mails kept", n)
		}
	})
}

// TestDrain: at the end idle clients are told so and a message on its way in
// arrives.
func TestDrain(t *testing.T) {
	for _, state := range []string{"idle", "after MAIL", "in AUTH", "in DATA"} {
		t.Run(state, func(t *testing.T) {
			onStage(t, settings(t), "127.0.0.1", func(st *stage) {
				ctx, stop := context.WithCancel(st.t.Context())
				served := make(chan struct{})
				go func() { st.server.Serve(ctx); close(served) }()
				switch state {
				case "in DATA":
					st.begin()
				case "after MAIL":
					st.send("EHLO c\r\nMAIL FROM:<a@example.com>\r\n")
					st.expect("250")
				case "in AUTH":
					st.send("EHLO c\r\nAUTH LOGIN\r\n")
					st.expect("250")
				}
				began := time.Now()
				stop()
				synctest.Wait()
				if state == "in DATA" {
					st.expect("")
					time.Sleep(time.Second)
					st.send("From: a@example.com\r\n\r\n.\r\nMAIL FROM:<a@example.com>\r\n")
					st.expect("250 2.0.0 queued as")
					if n := len(st.queue.all()); n != 1 {
						st.t.Errorf("%d mails kept", n)
					}
				} else {
					st.expect("421 4.3.2")
				}
				st.expectEnd()
				<-served
				if d := time.Since(began); d > 2*time.Second {
					st.t.Errorf("Serve ended after %v", d)
				}
			})
		})
	}
}

// TestDrainEnds: a client that does not finish is cut off in the end.
func TestDrainEnds(t *testing.T) {
	s := settings(t)
	s.Limits.Read = time.Hour
	onStage(t, s, "127.0.0.1", func(st *stage) {
		ctx, stop := context.WithCancel(st.t.Context())
		served := make(chan struct{})
		go func() { st.server.Serve(ctx); close(served) }()
		st.begin()
		stop()
		<-served
		st.expectEnd()
		if n := len(st.queue.all()); n != 0 {
			st.t.Errorf("%d mails kept", n)
		}
	})
}

// TestDrainStopsPut: neither does a queue that hangs keep the server.
func TestDrainStopsPut(t *testing.T) {
	onStage(t, settings(t), "127.0.0.1", func(st *stage) {
		st.queue.gate = make(chan struct{})
		ctx, stop := context.WithCancel(st.t.Context())
		served := make(chan struct{})
		go func() { st.server.Serve(ctx); close(served) }()
		st.begin()
		st.send("From: a@example.com\r\n\r\n.\r\n")
		stop()
		<-served
		st.expectEnd()
	})
}

// TestReplyAfterPut: 250 comes after the queue is done, not before.
func TestReplyAfterPut(t *testing.T) {
	onStage(t, settings(t), "127.0.0.1", func(st *stage) {
		st.queue.gate = make(chan struct{})
		st.begin()
		st.send("From: a@example.com\r\n\r\n.\r\n")
		time.Sleep(time.Hour) // no limit runs while the client waits for us
		st.expect("")
		close(st.queue.gate)
		st.expect("250 2.0.0 queued as")
	})
}

// TestLFDot: a client whose lines all end in LF never ends its message; it is
// told so after a minute, however long another may be silent, and who runs it
// sees which box it is.
func TestLFDot(t *testing.T) {
	for _, c := range []struct {
		content string
		known   bool
	}{
		{"From: a@example.com\n\nhello\n.\n", true},
		{"From: a@example.com\n\nhello\n.\r\n", true},
		{"From: a@example.com\r\n\r\nhello\r\n.\n", true},
		{"From: a@example.com\n\nhello\n.\nQUIT\n", true}, // a script that pipes all of it into nc
		{"From: a@example.com\r\n\r\nhello\r\n.\nquit\r\n", true},
		{"From: a@example.com\n\nhello\nQUIT\n", false},
		{"From: a@example.com\n\nhello\n.\nmore", false},
		{"From: a@example.com\n\nhello.\n", false},
		{"From: a@example.com\r\n\r\nhello\r\n.", false},
	} {
		for _, addr := range []string{"127.0.0.1", "192.0.2.7"} {
			s := settings(t)
			s.Limits.Read, s.Limits.Session = 10*time.Minute, time.Hour
			onStage(t, s, addr, func(st *stage) {
				book := &diary{}
				st.server.SetVisitors(NewVisitors(book, clock.System{}, slog.New(slog.DiscardHandler), nil))
				st.begin()
				st.send(c.content)
				time.Sleep(lfDotPatience - time.Second)
				st.expect("")
				time.Sleep(2 * time.Second)
				if !c.known {
					st.expect("")
					time.Sleep(9 * time.Minute)
					st.expect("421 4.4.2 timeout")
					return
				}
				st.expect("451 4.4.2 the message ended in LF . LF")
				st.expectEnd()
				st.send("MAIL FROM:<evil@example.com>\r\n")
				st.expect("")
				if n := len(st.queue.all()); n != 0 {
					st.t.Errorf("%d mails kept", n)
				}
				v := st.server.visitors
				v.catchUp()
				if all := v.list(); len(all) != 1 || all[0].Quirks[quirk.LFDot] != 1 || !strings.Contains(all[0].Refusal, "LF . LF") || all[0].Refused != 1 {
					st.t.Errorf("visitors %+v", all)
				}
			})
		}
	}
}

// TestLFDotHangsUp: nor does it stay hidden where the client does not wait for the
// answer.
func TestLFDotHangsUp(t *testing.T) {
	for content, known := range map[string]bool{"From: a@example.com\n\nhello\n.\nQUIT\n": true, "From: a@example.com\n\nhello\n": false} {
		onStage(t, settings(t), "127.0.0.1", func(st *stage) {
			v := NewVisitors(&diary{}, clock.System{}, slog.New(slog.DiscardHandler), nil)
			st.server.SetVisitors(v)
			st.begin()
			st.send(content)
			st.client.Close()
			st.server.conns.Wait()
			v.catchUp()
			if all := v.list(); len(all) != 1 || (all[0].Quirks[quirk.LFDot] == 1) != known || len(st.queue.all()) != 0 {
				st.t.Errorf("%q: visitors %+v", content, all)
			}
		})
	}
}
