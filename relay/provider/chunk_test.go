package provider

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/mail"
)

var chunks = []string{"PIPELINING", "CHUNKING", "SIZE 100000000", "8BITMIME"}

// chunkClient is a client that has seen BDAT work.
func chunkClient(t *testing.T, p *mailtest.Peer) Client {
	t.Helper()
	c := client(t, settings(p))
	expect(t, c, letterTo("first@y.test"), "taken")
	p.Wait(t)
	return c
}

// The first message asks whether the server means it; from the second on the
// whole of a small one is one flight.
func TestChunking(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Extensions: chunks})
	c := chunkClient(t, p)
	before := len(p.Commands())
	p.On(mailtest.RcptTo("2@y.test"), mailtest.Reply("550 5.1.1 no"))
	expect(t, c, letterTo("1@y.test", "2@y.test", "3@y.test"), "taken, recipient, taken")
	if tx := p.Wait(t); string(tx.Content) != content || !tx.Complete || len(tx.Recipients) != 2 || tx.Connection != 1 {
		t.Errorf("the peer got %+v", tx)
	}
	want := []string{
		"MAIL FROM:<a@x.test> SIZE=26", "RCPT TO:<1@y.test>", "RCPT TO:<2@y.test>", "RCPT TO:<3@y.test>", "BDAT 26 LAST",
	}
	if got := p.Commands()[before:]; !slices.Equal(got, want) {
		t.Errorf("sent %q", got)
	}
	if p.Heard("DATA") != 0 || p.Heard("BDAT 1") != 1 || p.Heard("RSET") != 0 {
		t.Errorf("sent %q", p.Commands())
	}
}

// This server answers nothing before the last octet of the content is there.
func TestOneFlight(t *testing.T) {
	flight := "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nBDAT 26 LAST\r\n" + content
	client, server := netPipe(t)
	x := newExchange(client, letterTo("b@y.test"))
	x.chunking, x.clock, x.observe = new(chunking), clock.System{}, func(float64) {}
	x.chunking.manner.Store(int32(byChunks))
	got := make([]byte, len(flight))
	go func() {
		io.ReadFull(server, got)
		io.WriteString(server, "250 from\r\n250 to\r\n250 ok\r\n")
	}()
	x.run(t.Context())
	if told(x.attempts) != "taken" || string(got) != flight {
		t.Errorf("%s with %q", told(x.attempts), got)
	}
}

// A large message comes in pieces, all its octets in their order.
func TestManyChunks(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Extensions: chunks})
	c := chunkClient(t, p)
	long := strings.Repeat("0123456789abcde\r\n", 7*chunkMax/17)
	tx := letterTo("b@y.test")
	tx.Copy = text{from: "a@x.test", content: long}
	expect(t, c, tx, "taken")
	if got := p.Wait(t); string(got.Content) != long {
		t.Errorf("%d octets came of %d", len(got.Content), len(long))
	}
	if n := p.Heard("BDAT 1048576"); n != 6 {
		t.Errorf("%d full chunks", n)
	}

	p.On(mailtest.Chunk, mailtest.Normal(), mailtest.Reply("552 5.3.4 full"), mailtest.Normal())
	expect(t, c, tx, "content")
	expect(t, c, letterTo("b@y.test"), "taken")
	for _, tx := range p.Transactions() {
		if tx.Complete && string(tx.Content) != long && string(tx.Content) != content {
			t.Errorf("a message of %d octets", len(tx.Content))
		}
	}
}

func TestChunkTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		stage  mailtest.Stage
		action mailtest.Action
		want   string
		conns  int // in all, with one message after it
	}{
		"4xx":                     {mailtest.Dot, mailtest.Reply("451 later"), "temporary", 1},
		"552":                     {mailtest.Dot, mailtest.Reply("552 spam"), "content", 1},
		"421":                     {mailtest.Dot, mailtest.ReplyClose("421 bye"), "throttling", 2},
		"not meant":               {mailtest.Dot, mailtest.Reply("500 what?"), "taken", 2},
		"out of sequence":         {mailtest.Dot, mailtest.Reply("503 what?"), "taken", 2},
		"closes at the end":       {mailtest.Dot, mailtest.Close(), "temporary uncertain", 2},
		"garbage at the end":      {mailtest.Dot, mailtest.Garbage(), "temporary uncertain", 2},
		"closes at MAIL":          {mailtest.Mail, mailtest.Reset(), "temporary uncertain", 2},
		"garbage at MAIL":         {mailtest.Mail, mailtest.Garbage(), "temporary uncertain", 2},
		"354 at MAIL":             {mailtest.Mail, mailtest.Reply("354 what?"), "temporary uncertain", 2},
		"421 at MAIL":             {mailtest.Mail, mailtest.ReplyClose("421 bye"), "taken", 2}, // on another connection
		"421 at RCPT":             {mailtest.Rcpt, mailtest.ReplyClose("421 bye"), "throttling", 2},
		"550 at MAIL":             {mailtest.Mail, mailtest.Reply("550 no"), "sender", 1},
		"550 at RCPT":             {mailtest.Rcpt, mailtest.Reply("550 no"), "recipient", 1},
		"550 at RCPT, all closes": {mailtest.Rcpt, mailtest.ReplyClose("550 no"), "recipient", 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{Extensions: chunks})
			cl := chunkClient(t, p)
			p.On(c.stage, c.action, mailtest.Normal())
			expect(t, cl, letterTo("b@y.test"), c.want)
			expect(t, cl, letterTo("c@y.test"), "taken")
			if p.Connections() != c.conns {
				t.Errorf("%d connections, want %d: %q", p.Connections(), c.conns, p.Commands())
			}
		})
	}
}

// A server that takes a message for nobody has taken it from nobody.
func TestTakenForNobody(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Extensions: chunks})
	c := chunkClient(t, p)
	p.On(mailtest.Rcpt, mailtest.Reply("550 no"), mailtest.Reply("450 no"), mailtest.Normal())
	p.On(mailtest.Dot, mailtest.Reply("250 fine"), mailtest.Normal())
	expect(t, c, letterTo("1@y.test", "2@y.test"), "recipient, temporary")
	expect(t, c, letterTo("3@y.test"), "taken")
	if p.Connections() != 2 {
		t.Errorf("%d connections", p.Connections())
	}
}

// A server that offers CHUNKING without meaning it never sees content where it
// expects commands.
func TestChunkingNotMeant(t *testing.T) {
	for name, trouble := range map[string]mailtest.Action{
		"500": mailtest.Reply("500 what?"), "502": mailtest.Reply("502 no"), "451": mailtest.Reply("451 no"),
		"close": mailtest.Close(), "garbage": mailtest.Garbage(),
	} {
		t.Run(name, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{Extensions: chunks})
			p.On(mailtest.Chunk, trouble)
			c := client(t, settings(p))
			for range 2 {
				expect(t, c, letterTo("b@y.test"), "taken")
			}
			if p.Heard("BDAT") != 1 || p.Heard("DATA") != 2 || p.Connections() != 2 {
				t.Errorf("%d connections: %q", p.Connections(), p.Commands())
			}
			if n := len(p.Transactions()); n != 2 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// A server that goes at the trial is heard, and given DATA the next time.
func TestChunkTrialEndsIn421(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Extensions: chunks})
	p.On(mailtest.Chunk, mailtest.ReplyClose("421 4.3.2 later"))
	c := client(t, settings(p))
	expect(t, c, letterTo("b@y.test"), "throttling")
	expect(t, c, letterTo("b@y.test"), "taken")
	if p.Heard("BDAT") != 1 || p.Heard("DATA") != 1 {
		t.Errorf("sent %q", p.Commands())
	}
}

// What BDAT would send as it is and DATA mends is sent with DATA.
func TestBareLineEndsNeverChunked(t *testing.T) {
	for _, body := range []string{"a\nb\r\n", "\na\r\n", "a\rb\r\n", "a\r\n\nb\r\n", "a\r\r\n", "a\n"} {
		p := mailtest.Start(t, mailtest.Script{Extensions: chunks})
		c := chunkClient(t, p)
		tx := letterTo("b@y.test")
		tx.Copy = text{from: "a@x.test", content: body}
		expect(t, c, tx, "taken")
		for got := p.Wait(t); ; got = p.Wait(t) {
			if !got.Complete {
				continue
			}
			if s := string(got.Content); strings.Contains(strings.ReplaceAll(s, "\r\n", ""), "\n") ||
				strings.Contains(strings.ReplaceAll(s, "\r\n", ""), "\r") || p.Heard("DATA") != 1 {
				t.Errorf("%q became %q", body, s)
			}
			break
		}
	}
}

// A copy that is not what it says never becomes a message.
func TestTruncatedChunkNeverCompletes(t *testing.T) {
	long := content + strings.Repeat("x\r\n", chunkMax)
	for name, c := range map[string]text{
		"fails at once":     {content: "", size: 26, fail: errors.New("damaged")},
		"fails at the end":  {content: content, fail: errors.New("damaged")},
		"fails much later":  {content: long, fail: errors.New("damaged")},
		"shorter than told": {content: content, size: 27},
		"longer than told":  {content: content, size: 25},
	} {
		t.Run(name, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{Extensions: chunks})
			cl := chunkClient(t, p)
			c.from = "a@x.test"
			expect(t, cl, mail.Transaction{Recipients: []string{"b@y.test"}, Copy: c}, "temporary")
			p.WaitOpen(t, 0)
			for _, tx := range p.Transactions()[1:] {
				if tx.Complete {
					t.Errorf("the peer got %d octets as a message", len(tx.Content))
				}
			}
		})
	}
}

// A server that stops reading is given up after the deadline of one write.
func TestStalledChunk(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Extensions: chunks})
	s := settings(p)
	s.Timeouts.Content = 200 * time.Millisecond
	c, err := New(s, clock.System{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	expect(t, c, letterTo("first@y.test"), "taken")
	p.On(mailtest.Content, mailtest.Stall())
	tx := letterTo("b@y.test")
	tx.Copy = text{from: "a@x.test", content: strings.Repeat("0123456789abcde\r\n", 2<<20)}
	expect(t, c, tx, "temporary")
}

// Content that waited on a connection for long does not go out unasked: the
// envelope shows first whether somebody is there.
func TestStaleConnectionIsAskedFirst(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Extensions: chunks})
	c := chunkClient(t, p)
	p.On(mailtest.Mail, mailtest.Reset(), mailtest.Normal())
	for _, ic := range c.(*SMTP).pool.idle {
		ic.conn.heardAt = ic.conn.heardAt.Add(-time.Minute)
	}
	expect(t, c, letterTo("b@y.test"), "taken")
}
