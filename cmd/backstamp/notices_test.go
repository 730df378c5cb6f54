package main

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

// A noticeRead is a notice taken apart by another reader.
type noticeRead struct {
	header   mail.Header
	text     string
	status   []string // groups of fields
	returned string
	media    string // of returned
}

func readNotice(t testing.TB, content []byte) noticeRead {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || media != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("no notice: %s", content)
	}
	n := noticeRead{header: m.Header}
	r := multipart.NewReader(m.Body, params["boundary"])
	for i := range 3 {
		p, err := r.NextRawPart()
		if err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		b, _ := io.ReadAll(p)
		switch i {
		case 0:
			text, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(b)))
			if err != nil {
				t.Error(err)
			}
			n.text = string(text)
		case 1:
			if ct := p.Header.Get("Content-Type"); ct != "message/delivery-status" {
				t.Errorf("second part is %s", ct)
			}
			n.status = strings.Split(strings.TrimSpace(string(b)), "\r\n\r\n")
		case 2:
			n.media, n.returned = p.Header.Get("Content-Type"), string(b)
		}
	}
	return n
}

func (in *instance) delivery(to string) map[string]any {
	rows := in.rows("messages", "--to", to)
	if len(rows) == 0 {
		return map[string]any{}
	}
	return rows[0]["deliveries"].([]any)[0].(map[string]any)
}

// over waits until a delivery is sent or failed.
func (in *instance) over(to string) (d map[string]any) {
	in.t.Helper()
	in.until(to+" is over", func() bool {
		d = in.delivery(to)
		return d["status"] == "sent" || d["status"] == "failed"
	})
	return d
}

// submit hands a message in with parameters of MAIL and RCPT.
func submit(t testing.TB, addr, from, mailParams, to, rcptParams, content string) string {
	t.Helper()
	c := mailtest.Dial(t, addr)
	defer c.Close()
	c.Expect("EHLO c", "250")
	c.Expect(strings.TrimSpace("MAIL FROM:<"+from+"> "+mailParams), "250")
	c.Expect(strings.TrimSpace("RCPT TO:<"+to+"> "+rcptParams), "250")
	c.Expect("DATA", "354")
	return c.Message(content)
}

const koreanLetter = "From: Shop <app@shop.test>\nTo: gone@sink.test\nBcc: secret@sink.test\nSubject: =?utf-8?b?7KO866y4IO2ZleyduA==?=\nMessage-ID: <order-1@shop.test>\n\nhello https://shop.example/\n"

// A sender whose mail fails is told so, once, in words and in fields, by way of
// the account's own provider.
func TestNotice(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{Extensions: without("DSN")})
	upstream.On(mailtest.RcptTo("gone@sink.test"), mailtest.Reply("550-5.1.1 no such\n550 5.1.1 user"))
	in := start(t, relayConfig(upstream.Addr, ""))
	if r := submit(t, in.smtp(), "app@shop.test", "ENVID=order+2B1", "gone@sink.test", "ORCPT=rfc822;other@sink.test", koreanLetter); !strings.HasPrefix(r, "250 ") {
		t.Fatal(r)
	}
	got := upstream.Wait(t)
	if got.MailFrom != "" || !slices.Equal(got.Recipients, []string{"app@shop.test"}) {
		t.Fatalf("notice from %q to %q", got.MailFrom, got.Recipients)
	}
	n := readNotice(t, got.Content)
	if n.header.Get("Auto-Submitted") != "auto-replied" || n.header.Get("In-Reply-To") != "<order-1@shop.test>" {
		t.Errorf("header %v", n.header)
	}
	subject, _ := new(mime.WordDecoder).DecodeHeader(n.header.Get("Subject"))
	if subject != "Not sent: 주문 확인" || !strings.Contains(n.text, "주문 확인") || !strings.Contains(n.text, "gone@sink.test") {
		t.Errorf("subject %q, text\n%s", subject, n.text)
	}
	for _, field := range []string{"Final-Recipient: rfc822; gone@sink.test", "Original-Recipient: rfc822; other@sink.test", "Action: failed", "Status: 5.1.1",
		"Diagnostic-Code: smtp; 550-5.1.1 no such\r\n 550 5.1.1 user"} {
		if len(n.status) != 2 || !strings.Contains(n.status[1], field) {
			t.Errorf("no %q in %q", field, n.status)
		}
	}
	if !strings.Contains(n.status[0], "Reporting-MTA: dns; relay.test") || !strings.Contains(n.status[0], "Original-Envelope-Id: order+1") {
		t.Errorf("first group %q", n.status[0])
	}
	if n.media != "text/rfc822-headers" || !strings.Contains(n.returned, "Message-ID: <order-1@shop.test>") || strings.Contains(n.returned, "secret@") {
		t.Errorf("%s: %q", n.media, n.returned)
	}
	d := in.over("gone@sink.test")
	notice := in.show(d["notice"].(string))
	if notice["tracked"] != false || notice["mail_from"] != "" {
		t.Errorf("notice %v", notice)
	}
	in.over("app@shop.test")
	if rows := in.rows("messages"); len(rows) != 2 {
		t.Errorf("%d messages, want the one that failed and its notice", len(rows))
	}
}

// Whatever a stranger writes into a message, no notice goes to one who is not of
// the account, about a notice, or to nobody.
func TestNoNotice(t *testing.T) {
	letter := "From: app@shop.test\nSubject: x\n%s\nhello\n"
	for _, c := range []struct{ name, config, from, params, head, why string }{
		{name: "null sender", from: "", why: "null-sender"},
		{name: "never", from: "app@shop.test", params: "NOTIFY=NEVER", why: "not-asked"},
		{name: "success alone", from: "app@shop.test", params: "NOTIFY=SUCCESS", why: "not-asked"},
		{name: "automatic reply", from: "app@shop.test", head: "Auto-Submitted: auto-replied; owner=x\n", why: "automatic"},
		{name: "another's notice", from: "app@shop.test", head: "Content-Type: multipart/report; boundary=x\n", why: "automatic"},
		{name: "off", from: "app@shop.test", config: "    notices: {to: off}\n", why: "off"},
		{name: "foreign", from: "victim@elsewhere.test", config: "    align: warn\n", why: "foreign"},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := mailtest.Start(t, mailtest.Script{Extensions: everything})
			upstream.On(mailtest.RcptTo("gone@sink.test"), mailtest.Reply("550 5.1.1 no such user"))
			in := start(t, relayConfig(upstream.Addr, c.config))
			text := fmt.Sprintf(letter, c.head)
			if c.name == "foreign" {
				text = strings.Replace(text, "app@shop.test", "victim@elsewhere.test", 1)
			}
			if r := submit(t, in.smtp(), c.from, "", "gone@sink.test", c.params, text); !strings.HasPrefix(r, "250 ") {
				t.Fatal(r)
			}
			if d := in.over("gone@sink.test"); d["status"] != "failed" || d["notice"] != c.why {
				t.Errorf("%v", d)
			}
			if rows := in.rows("messages"); len(rows) != 1 {
				t.Errorf("%d messages", len(rows))
			}
		})
	}
}

// A notice that comes back, with a reverse-path and without Auto-Submitted, is
// known by its signed field: nothing goes round.
func TestNoticeLoop(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{Extensions: everything})
	upstream.On(mailtest.RcptTo("gone@sink.test"), mailtest.Reply("550 5.1.1 no such user"), mailtest.Reply("550 5.1.1 no such user"), mailtest.Reply("550 5.1.1 no such user"))
	in := start(t, relayConfig(upstream.Addr, "    align: warn\n"))
	submit(t, in.smtp(), "app@shop.test", "", "gone@sink.test", "", koreanLetter)
	field := ""
	for line := range strings.Lines(string(upstream.Wait(t).Content)) {
		if strings.HasPrefix(line, "X-Backstamp-Notice:") {
			field = line
		}
	}
	back := "From: app@shop.test\n%sSubject: back\n\nback\n"
	submit(t, in.smtp(), "app@shop.test", "", "gone@sink.test", "", fmt.Sprintf(back, mailtest.LF(field)))
	in.until("it is over", func() bool {
		d := in.delivery("gone@sink.test")
		return d["status"] == "failed" && d["notice"] == "automatic"
	})
	forged := field[:len(field)-4] + "AA\n"
	submit(t, in.smtp(), "app@shop.test", "", "gone@sink.test", "", fmt.Sprintf(back, forged))
	in.until("a forged field is none", func() bool { return len(in.rows("messages", "--to", "app@shop.test")) == 2 })
}

// A flood of failures is not a flood of notices.
func TestNoticeLimit(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{Extensions: everything})
	var no []mailtest.Action
	for range 13 {
		no = append(no, mailtest.Reply("550 5.1.1 no such user"))
	}
	upstream.On(mailtest.RcptTo("gone@sink.test"), no...)
	in := start(t, relayConfig(upstream.Addr, "    notices: {to: admin@elsewhere.test}\n"))
	for range 13 {
		submit(t, in.smtp(), "app@shop.test", "", "gone@sink.test", "", koreanLetter)
	}
	limited := 0
	in.until("all have failed", func() bool {
		failed := 0
		limited = 0
		for _, m := range in.rows("messages", "--to", "gone@sink.test") {
			d := m["deliveries"].([]any)[0].(map[string]any)
			if d["status"] == "failed" {
				failed++
			}
			if d["notice"] == "limit" {
				limited++
			}
		}
		return failed == 13
	})
	if limited != 3 {
		t.Errorf("%d of 13 notices held back, want 3", limited)
	}
	in.until("the notices are sent", func() bool {
		return len(in.rows("messages", "--to", "admin@elsewhere.test", "--status", "sent")) == 10
	})
}

// NOTIFY, RET, ENVID and ORCPT go on to a server that knows them, which tells the
// sender then. Where it does not, a sender who asked hears that it was passed on.
func TestDSNExtension(t *testing.T) {
	for _, offered := range []bool{true, false} {
		offers := everything
		if offered {
			offers = append([]string{"DSN"}, everything...)
		}
		upstream := mailtest.Start(t, mailtest.Script{Extensions: offers})
		in := start(t, relayConfig(upstream.Addr, ""))
		r := submit(t, in.smtp(), "app@shop.test", "RET=FULL ENVID=a+2Bb", "kim@sink.test", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o+2Bn@x.test", koreanLetter)
		if !strings.HasPrefix(r, "250 ") {
			t.Fatal(r)
		}
		got := upstream.Wait(t)
		asks := strings.Contains(got.Mail, " RET=FULL ENVID=a+2Bb") && strings.Contains(got.Rcpts[0], " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o+2Bn@x.test")
		if asks != offered || strings.Contains(got.Mail, "RET=") != offered {
			t.Errorf("offered %v: %s, %s", offered, got.Mail, got.Rcpts)
		}
		d := in.over("kim@sink.test")
		if offered {
			if d["notice"] != nil {
				t.Errorf("a notice though the server makes one: %v", d)
			}
			continue
		}
		n := readNotice(t, upstream.Wait(t).Content)
		if !strings.Contains(n.status[1], "Action: relayed") || !strings.Contains(n.status[1], "Original-Recipient: rfc822; o+n@x.test") {
			t.Errorf("status %q", n.status)
		}
	}
	in := start(t, relayConfig("127.0.0.1:1", ""))
	c := mailtest.Dial(t, in.smtp())
	if r := c.Expect("EHLO c", "250"); !strings.Contains(r, "DSN") || strings.Contains(r, "XCLIENT") {
		t.Errorf("offers %s", r)
	}
	for _, bad := range []string{"RET=ALL", "ENVID=", "ENVID=a=b", "ENVID=" + strings.Repeat("x", 101)} {
		c.Expect("MAIL FROM:<app@shop.test> "+bad, "501")
	}
	c.Expect("MAIL FROM:<app@shop.test>", "250")
	for _, bad := range []string{"NOTIFY=NEVER,FAILURE", "NOTIFY=SOON", "NOTIFY=", "ORCPT=rfc822", "ORCPT=;x"} {
		c.Expect("RCPT TO:<a@sink.test> "+bad, "501")
	}
	c.Expect("XCLIENT ADDR=127.0.0.1", "500")
}

// RET=FULL brings the message back, 8-bit and all.
func TestReturnFull(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{Extensions: everything})
	upstream.On(mailtest.RcptTo("gone@sink.test"), mailtest.Reply("550 5.1.1 no such user"))
	in := start(t, relayConfig(upstream.Addr, ""))
	submit(t, in.smtp(), "app@shop.test", "RET=FULL BODY=8BITMIME", "gone@sink.test", "", koreanLetter+"본문입니다\n")
	n := readNotice(t, upstream.Wait(t).Content)
	if n.media != "message/rfc822" || !strings.Contains(n.returned, "본문입니다") || !strings.Contains(n.returned, "Message-ID: <order-1@shop.test>") {
		t.Errorf("%s: %s", n.media, n.returned)
	}
}

// Mail that waits for longer than notices.delayed is told of once, and goes on
// being tried.
func TestNoticeOfDelay(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{Extensions: everything})
	upstream.On(mailtest.RcptTo("busy@sink.test"), mailtest.Reply("451 4.3.0 busy"), mailtest.Reply("451 4.3.0 busy"), mailtest.Normal())
	in := start(t, relayConfig(upstream.Addr, "    notices: {to: sender, delayed: 1s}\n"))
	submit(t, in.smtp(), "app@shop.test", "", "busy@sink.test", "", koreanLetter)
	n := readNotice(t, upstream.Wait(t).Content)
	if !strings.Contains(n.status[1], "Action: delayed") || !strings.Contains(n.status[1], "Status: 4.3.0") || !strings.Contains(n.status[1], "Will-Retry-Until: ") {
		t.Errorf("status %q", n.status)
	}
	in.ok("queue", "retry")
	if d := in.over("busy@sink.test"); d["status"] != "sent" {
		t.Errorf("%v", d)
	}
	if rows := in.rows("messages", "--to", "app@shop.test"); len(rows) != 1 {
		t.Errorf("%d notices", len(rows))
	}
}
