package mailtest

import (
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

const letter = "Subject: hi\n\n.dot\nlast\n"

func TestPeerRecordsByteForByte(t *testing.T) {
	p := Start(t, Script{})
	if r := SendMail(t, p.Addr, "a@x.test", []string{"b@y.test", "c@y.test"}, letter); !strings.HasPrefix(r, "250 ") {
		t.Fatalf("reply %q", r)
	}
	tx := p.Wait(t)
	if want := CRLF(letter); string(tx.Content) != want || !tx.Complete {
		t.Errorf("content %q, want %q", tx.Content, want)
	}
	if want := "Subject: hi\r\n\r\n..dot\r\nlast\r\n.\r\n"; string(tx.Raw) != want {
		t.Errorf("raw %q, want %q", tx.Raw, want)
	}
	if tx.MailFrom != "a@x.test" || strings.Join(tx.Recipients, " ") != "b@y.test c@y.test" {
		t.Errorf("envelope %q %q", tx.MailFrom, tx.Recipients)
	}
}

func TestPeerEndsAtTrueDotOnly(t *testing.T) {
	p := Start(t, Script{})
	c := Dial(t, p.Addr)
	c.Expect("EHLO c", "250")
	c.Expect("MAIL FROM:<>", "250")
	c.Expect("RCPT TO:<b@y.test>", "250")
	c.Expect("DATA", "354")
	c.Send("x\n.\r\ny\r.\r\n.\n\r\n" + strings.Repeat("z", 4096-21) + "\r\n.\r\n")
	c.reply()
	if got := string(p.Wait(t).Content); !strings.HasPrefix(got, "x\n.\r\ny\r.\r\n\n\r\nz") {
		t.Errorf("content %.40q", got)
	}
}

func TestPeerKeepsBrokenOffTransaction(t *testing.T) {
	p := Start(t, Script{})
	c := Dial(t, p.Addr)
	c.Expect("EHLO c", "250")
	c.Expect("MAIL FROM:<a@x.test>", "250")
	c.Expect("RCPT TO:<b@y.test>", "250")
	c.Expect("DATA", "354")
	c.Send("half")
	c.Close()
	if tx := p.Wait(t); tx.Complete || string(tx.Content) != "half" && string(tx.Raw) != "half" {
		t.Errorf("got %+v", tx)
	}
}

func TestActions(t *testing.T) {
	for _, c := range []struct {
		name   string
		action Action
		want   string // prefix of what the client reads
		open   bool   // the next command is answered
	}{
		{"normal", Normal(), "250-peer", true},
		{"reply", Reply("550-no\n550 never"), "550-no\n550 never", true},
		{"reply and close", ReplyClose("421 bye"), "421 bye", false},
		{"garbage", Garbage(), "\x00\xff", true},
		{"huge", Huge(), "250-peer", true},
		{"endless", Endless(), "250-and", true},
		{"slow", Slow("250 at last", time.Millisecond), "250 at last", true},
		{"close", Close(), "", false},
		{"reset", Reset(), "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Start(t, Script{On: map[Stage][]Action{EHLO: {c.action}}})
			cl := Dial(t, p.Addr)
			cl.Send("EHLO c\r\n")
			got, _ := cl.Read()
			if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
				t.Fatalf("read %.80q, want %q", got, c.want)
			}
			cl.Conn.Write([]byte("NOOP\r\n"))
			if _, err := cl.Read(); (err == nil) != c.open {
				t.Errorf("next command: %v", err)
			}
		})
	}
}

func TestActionsInTurn(t *testing.T) {
	p := Start(t, Script{})
	p.On(RcptTo("b@y.test"), Reply("550 first"), Normal())
	p.On(RcptNo(2), Reply("450 second"))
	c := Dial(t, p.Addr)
	c.Expect("EHLO c", "250")
	c.Expect("MAIL FROM:<>", "250")
	c.Expect("RCPT TO:<b@y.test>", "550 first")
	c.Expect("RCPT TO:<x@y.test>", "450 second")
	c.Expect("RCPT TO:<b@y.test>", "250")
	c.Expect("RCPT TO:<x@y.test>", "250")
}

func TestHangEndsWithTheClient(t *testing.T) {
	p := Start(t, Script{On: map[Stage][]Action{Mail: {Hang()}}})
	c := Dial(t, p.Addr)
	c.Expect("EHLO c", "250")
	c.Send("MAIL FROM:<>\r\n")
	p.WaitHeard(t, "mail", 1)
	c.Close()
	p.WaitOpen(t, 0)
}

func TestLoginOverTLS(t *testing.T) {
	ca := NewCA(t)
	p := Start(t, Script{TLS: ca.Valid(), Username: "joe", Password: "sesam"})
	b64 := base64.StdEncoding.EncodeToString
	c := Dial(t, p.Addr)
	c.Expect("EHLO c", "250")
	c.Expect("MAIL FROM:<>", "530")
	c.Expect("STARTTLS", "220")
	c.StartTLS(&tls.Config{ServerName: "localhost", RootCAs: ca.Pool()})
	if r := c.Expect("EHLO c", "250"); strings.Contains(r, "STARTTLS") {
		t.Errorf("STARTTLS offered twice: %q", r)
	}
	c.Expect("AUTH PLAIN "+b64([]byte("\x00joe\x00wrong")), "535")
	c.Expect("AUTH LOGIN", "334")
	c.Expect("*", "501")
	c.Expect("AUTH LOGIN", "334")
	c.Expect(b64([]byte("joe")), "334")
	c.Expect(b64([]byte("sesam")), "235")
	if r := c.SendMail("", []string{"b@y.test"}, letter); !strings.HasPrefix(r, "250") {
		t.Fatal(r)
	}
	if tx := p.Wait(t); !tx.TLS || tx.User != "joe" {
		t.Errorf("got %+v", tx)
	}
}

func TestCertificates(t *testing.T) {
	ca := NewCA(t)
	for _, c := range []struct {
		name string
		cfg  *tls.Config
		good bool
	}{
		{"valid", ca.Valid(), true},
		{"expired", ca.Expired(), false},
		{"wrong host", ca.WrongHost(), false},
		{"self-signed", SelfSigned(t), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Start(t, Script{TLS: c.cfg, Implicit: true})
			conn, err := tls.Dial("tcp", p.Addr, &tls.Config{RootCAs: ca.Pool()})
			if (err == nil) != c.good {
				t.Fatalf("dial: %v", err)
			}
			if err == nil {
				conn.Close()
			}
		})
	}
}

func TestFirstDifference(t *testing.T) {
	got := firstDifference([]byte("a\nb\n"), []byte("a\nc\n"))
	if want := "line 2\n got \"b\\n\"\nwant \"c\\n\""; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
