package provider

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

func TestEnvelope(t *testing.T) {
	for _, c := range []struct {
		name       string
		extensions []string
		from, to   string
		eightBit   bool
		want       string // how it ends
		lines      string // MAIL and RCPT as sent
	}{
		{"plain", nil, "a@x.test", "b@y.test", false, "taken",
			"MAIL FROM:<a@x.test> SIZE=26 RCPT TO:<b@y.test>"},
		{"null path", nil, "", "b@y.test", false, "taken",
			"MAIL FROM:<> SIZE=26 RCPT TO:<b@y.test>"},
		{"no extensions", []string{}, "a@x.test", "b@y.test", false, "taken",
			"MAIL FROM:<a@x.test> RCPT TO:<b@y.test>"},
		{"8-bit", nil, "a@x.test", "b@y.test", true, "taken",
			"MAIL FROM:<a@x.test> SIZE=26 BODY=8BITMIME RCPT TO:<b@y.test>"},
		{"8-bit not taken", []string{}, "a@x.test", "b@y.test", true, "content", ""},
		{"too large", []string{"SIZE 25"}, "a@x.test", "b@y.test", false, "content", ""},
		{"no limit told", []string{"SIZE"}, "a@x.test", "b@y.test", false, "taken",
			"MAIL FROM:<a@x.test> SIZE=26 RCPT TO:<b@y.test>"},
		{"quoted", nil, "a@x.test", `"a b"@y.test`, false, "taken",
			`MAIL FROM:<a@x.test> SIZE=26 RCPT TO:<"a b"@y.test>`},
		{"quotes not needed", nil, "a@x.test", `"b"@y.test`, false, "taken",
			"MAIL FROM:<a@x.test> SIZE=26 RCPT TO:<b@y.test>"},
		{"injected parameter", nil, "a@x.test", `"v@other> NOTIFY=NEVER "@y.test`, false, "taken",
			`MAIL FROM:<a@x.test> SIZE=26 RCPT TO:<"v@other> NOTIFY=NEVER "@y.test>`},
		{"raw injection", nil, "a@x.test", "v@other> NOTIFY=NEVER @y.test", false, "recipient", ""},
		{"injected line", nil, "a@x.test", "b@y.test>\r\nRCPT TO:<c@z.test", false, "recipient", ""},
		{"injected line, quoted", nil, "a@x.test", "\"b\r\nDATA\"@y.test", false, "recipient", ""},
		{"sender injected", nil, "a@x.test> SIZE=1", "b@y.test", false, "sender", ""},
		{"empty recipient", nil, "a@x.test", "", false, "recipient", ""},
		{"IDN domain", []string{}, "a@한국.test", "b@Bücher.test", false, "taken",
			"MAIL FROM:<a@xn--3e0b707e.test> RCPT TO:<b@xn--bcher-kva.test>"},
		{"IDN domain, SMTPUTF8 not needed", []string{"SMTPUTF8"}, "a@x.test", "b@bücher.test", false, "taken",
			"MAIL FROM:<a@x.test> RCPT TO:<b@xn--bcher-kva.test>"},
		{"UTF-8 local part", []string{"SMTPUTF8"}, "a@x.test", "민수@y.test", false, "taken",
			"MAIL FROM:<a@x.test> SMTPUTF8 RCPT TO:<민수@y.test>"},
		{"UTF-8 local part not taken", []string{}, "a@x.test", "민수@y.test", false, "recipient", ""},
		{"UTF-8 sender not taken", []string{}, "민수@x.test", "b@y.test", false, "sender", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{Extensions: c.extensions})
			tx := mail.Transaction{Recipients: []string{c.to}, Copy: text{from: c.from, content: content, eightBit: c.eightBit}}
			expect(t, client(t, settings(p)), tx, c.want)
			var got []string
			for _, line := range p.Commands() {
				if strings.HasPrefix(line, "MAIL") || strings.HasPrefix(line, "RCPT") {
					got = append(got, line)
				}
			}
			if got := strings.Join(got, " "); got != c.lines {
				t.Errorf("sent\n%s\nwant\n%s", got, c.lines)
			}
		})
	}
}

// A recipient whom this server cannot be asked about is no reason to leave out
// the others.
func TestOneRecipientNotWritable(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Extensions: []string{"PIPELINING"}})
	expect(t, client(t, settings(p)), letterTo("1@y.test", "민수@y.test", "3@y.test"), "taken, recipient, taken")
	if tx := p.Wait(t); strings.Join(tx.Recipients, " ") != "1@y.test 3@y.test" {
		t.Errorf("got %q", tx.Recipients)
	}
}

func TestPartialRefusal(t *testing.T) {
	for mode, extensions := range modes {
		t.Run(mode, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{Extensions: extensions})
			p.On(mailtest.RcptTo("2@y.test"), mailtest.Reply("550 5.1.1 unknown"))
			p.On(mailtest.RcptTo("3@y.test"), mailtest.Reply("452 4.5.3 too many"))
			p.On(mailtest.RcptTo("5@y.test"), mailtest.Reply("550 5.7.1 relaying denied"))
			expect(t, client(t, settings(p)), letterTo("1@y.test", "2@y.test", "3@y.test", "4@y.test", "5@y.test"),
				"taken, recipient, throttling, taken, account")
			if tx := p.Wait(t); strings.Join(tx.Recipients, " ") != "1@y.test 4@y.test" || string(tx.Content) != content {
				t.Errorf("got %q", tx.Recipients)
			}
		})
	}
}

func TestAllRefused(t *testing.T) {
	for mode, extensions := range modes {
		for name, granted := range map[string]mailtest.Action{"DATA refused": nil, "DATA granted": mailtest.Reply("354 go")} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				p := mailtest.Start(t, mailtest.Script{Extensions: extensions})
				p.On(mailtest.Rcpt, mailtest.Reply("550 no"), mailtest.Reply("450 no"), mailtest.Normal())
				if granted != nil {
					p.On(mailtest.Data, granted, mailtest.Normal())
				}
				c := client(t, settings(p))
				expect(t, c, letterTo("1@y.test", "2@y.test"), "recipient, temporary")
				expect(t, c, letterTo("3@y.test"), "taken")
				if p.Connections() != 1 {
					t.Errorf("%d connections", p.Connections())
				}
				for _, tx := range p.Transactions() {
					if len(tx.Recipients) == 0 && string(tx.Raw) != ".\r\n" {
						t.Errorf("nobody's message is %q", tx.Raw)
					}
				}
			})
		}
	}
}

// 421 in the middle ends the connection and decides for all who are open.
func TestClosingReply(t *testing.T) {
	for mode, extensions := range modes {
		t.Run(mode, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{Extensions: extensions})
			p.On(mailtest.RcptNo(1), mailtest.Reply("550 no"), mailtest.Normal())
			p.On(mailtest.RcptNo(3), mailtest.ReplyClose("421 4.7.0 slow down"), mailtest.Normal())
			c := client(t, settings(p))
			expect(t, c, letterTo("1@y.test", "2@y.test", "3@y.test", "4@y.test"), "recipient, throttling, throttling, throttling")
			expect(t, c, letterTo("1@y.test"), "taken")
		})
	}
}

// Replies that are well formed but answer something else.
func TestOutOfStep(t *testing.T) {
	for stage, want := range map[mailtest.Stage]string{
		mailtest.Mail: "temporary", mailtest.Rcpt: "temporary", mailtest.Dot: "temporary uncertain",
	} {
		p := mailtest.Start(t, mailtest.Script{})
		p.On(stage, mailtest.Reply("354 what?"), mailtest.Normal())
		c := client(t, settings(p))
		expect(t, c, letterTo("b@y.test"), want)
		expect(t, c, letterTo("b@y.test"), "taken")
	}
	p := mailtest.Start(t, mailtest.Script{Extensions: []string{}})
	p.On(mailtest.Data, mailtest.Reply("250 ok"), mailtest.Normal())
	c := client(t, settings(p))
	expect(t, c, letterTo("b@y.test"), "temporary")
	expect(t, c, letterTo("b@y.test"), "taken")
	if p.Connections() != 2 {
		t.Errorf("%d connections: the first was out of step", p.Connections())
	}
}

// The envelope goes out in one flight: this server answers nothing before it
// has seen DATA.
func TestPipelining(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan error, 1)
	go func() { served <- answerInFlights(ln) }()
	addr := ln.Addr().(*net.TCPAddr)
	s := settings(&mailtest.Peer{Host: addr.IP.String(), Port: addr.Port})
	s.Timeouts.Command = 5 * time.Second
	expect(t, client(t, s), letterTo("1@y.test", "2@y.test"), "taken, taken")
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A reply that came before the content was sent is no verdict on it.
func TestVerdictBeforeTheContent(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	p.On(mailtest.Data, mailtest.Reply("354 go\r\n250 2.0.0 queued"), mailtest.Normal())
	c := client(t, settings(p))
	expect(t, c, letterTo("b@y.test"), "temporary")
	expect(t, c, letterTo("b@y.test"), "taken")
	if p.Connections() != 2 {
		t.Errorf("%d connections: the first was out of step", p.Connections())
	}
}

// answerInFlights reads up to a word before each of its answers.
func answerInFlights(ln net.Listener) error {
	conn, err := ln.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, turn := range []struct{ until, answer string }{
		{"", "220 hi\r\n"},
		{"EHLO relay.test\r\n", "250-hi\r\n250 PIPELINING\r\n"},
		{"DATA\r\n", "250 from\r\n250 to\r\n250 to\r\n354 go\r\n"},
		{".\r\n", "250 ok\r\n"},
	} {
		for line := ""; line != turn.until; {
			if line, err = r.ReadString('\n'); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(conn, turn.answer); err != nil {
			return err
		}
	}
	return nil
}

func TestManyRecipients(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	var to, want []string
	for i := range 1000 {
		to = append(to, fmt.Sprintf("%d@y.test", i))
		want = append(want, "taken")
	}
	want[7] = "recipient"
	p.On(mailtest.RcptTo("7@y.test"), mailtest.Reply("550 no"))
	expect(t, client(t, settings(p)), letterTo(to...), strings.Join(want, ", "))
	if got := p.Wait(t).Recipients; !slices.Equal(got, slices.Delete(to, 7, 8)) {
		t.Errorf("%d recipients", len(got))
	}
}

// A copy that cannot be read to its end never becomes a message.
func TestTruncatedCopyNeverCompletes(t *testing.T) {
	long := content + strings.Repeat("x\r\n", 100_000)
	for name, c := range map[string]text{
		"fails at once":     {content: "", fail: errors.New("damaged")},
		"fails later":       {content: content, fail: errors.New("damaged")},
		"fails much later":  {content: long, fail: errors.New("damaged")},
		"shorter than told": {content: content, size: 27},
		"longer than told":  {content: content, size: 25},
	} {
		t.Run(name, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{})
			c.from = "a@x.test"
			tx := mail.Transaction{Recipients: []string{"b@y.test"}, Copy: c}
			a := client(t, settings(p)).Deliver(t.Context(), tx)
			if got := told(a); got != "temporary" || c.fail != nil && !errors.Is(a[0].Err, c.fail) {
				t.Errorf("got %q, %v", got, a[0].Err)
			}
			if tx := p.Wait(t); tx.Complete {
				t.Errorf("the peer got %d octets as a message", len(tx.Content))
			}
		})
	}
}

// A peer that stops reading is given up after the deadline of one write.
func TestStalledContent(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Extensions: []string{"PIPELINING"}})
	p.On(mailtest.Content, mailtest.Stall())
	s := settings(p)
	s.Timeouts.Content = 200 * time.Millisecond
	tx := mail.Transaction{Recipients: []string{"b@y.test"},
		Copy: text{from: "a@x.test", content: strings.Repeat("0123456789abcde\r\n", 2<<20)}}
	expect(t, client(t, s), tx, "temporary")
	for _, tx := range p.Transactions() {
		if tx.Complete {
			t.Error("the peer got a message")
		}
	}
}

// A server that refuses amid the content is heard.
func TestRefusedAmidContent(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Extensions: []string{}})
	p.On(mailtest.Content, mailtest.ReplyClose("552 5.3.4 too big"))
	tx := mail.Transaction{Recipients: []string{"b@y.test"},
		Copy: text{from: "a@x.test", content: strings.Repeat("0123456789abcde\r\n", 1<<20)}}
	a := client(t, settings(p)).Deliver(t.Context(), tx)
	if a[0].Class != mail.ClassContent || a[0].Reply.Code != 552 {
		t.Errorf("got %+v", a[0])
	}
}

func TestUpstreamIDComesBack(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	p.On(mailtest.Dot, mailtest.Reply("250 2.0.0 Ok: queued as 4XyZ1"))
	a := client(t, settings(p)).Deliver(t.Context(), letterTo("b@y.test"))
	if a[0].UpstreamID != "4XyZ1" || a[0].Reply.String() != "250 2.0.0 Ok: queued as 4XyZ1" {
		t.Errorf("got %+v", a[0])
	}
}

// netPipe returns a connection that was heard from just now, and its other end.
func netPipe(t *testing.T) (*conn, net.Conn) {
	here, there := net.Pipe()
	t.Cleanup(func() { there.Close() })
	s := settings(&mailtest.Peer{})
	c := &conn{set: &s, ext: extensions([]string{"", "PIPELINING", "CHUNKING"}), tcp: here, heardAt: in(0)}
	c.use(here)
	return c, there
}
