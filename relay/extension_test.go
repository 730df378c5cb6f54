package relay

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
)

// EHLO offers what is done, and nothing by which a client could pass for
// another.
func TestExtensions(t *testing.T) {
	r := start(t, settings(t))
	c := r.dial()
	reply := c.Expect("EHLO c", "250")
	var offered []string
	for line := range strings.SplitSeq(reply, "\n") {
		offered = append(offered, strings.Fields(line[4:])[0])
	}
	for _, name := range []string{"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "SIZE", "SMTPUTF8", "DSN"} {
		if !slices.Contains(offered, name) {
			t.Errorf("%s is not offered: %q", name, offered)
		}
	}
	for _, name := range []string{"XCLIENT", "XFORWARD", "VRFY", "EXPN", "ETRN", "BINARYMIME", "BURL"} {
		if slices.Contains(offered, name) {
			t.Errorf("%s is offered", name)
		}
	}
	c.Expect("XCLIENT ADDR=127.0.0.1 LOGIN=shop", "500 5.5.2")
	c.Expect("XFORWARD NAME=spike.example.com", "500 5.5.2")
}

var enhanced = regexp.MustCompile(`^([245])\d\d[ -]([245])\.\d{1,3}\.\d{1,3}( |$)`)

// Every reply but those that RFC 2034 leaves out has its enhanced code, of the
// class of its code.
func TestEnhancedStatusCodes(t *testing.T) {
	r := start(t, settings(t))
	c := r.dial()
	c.Expect("EHLO c", "250")
	for _, line := range []string{
		"NOOP", "RSET", "VRFY x", "EXPN x", "HELP", "BOGUS", "MAIL", "MAIL FROM:<a@example.com> X=1", "MAIL FROM:<a@example.com> SIZE=99999999999", "MAIL FROM:<a b>",
		"RCPT TO:<r@dest.test>", "DATA", "STARTTLS", "AUTH BOGUS", "MAIL FROM:<a@example.com> RET=X", "MAIL FROM:<a@example.com> BODY=X", "MAIL FROM:<a@example.com>",
		"MAIL FROM:<a@example.com>", "RCPT TO:<>", "RCPT TO:<r@dest.test> NOTIFY=X", "RCPT TO:<r@dest.test>", "DATA x", "BDAT x",
	} {
		reply := c.Cmd(line)
		for text := range strings.SplitSeq(reply, "\n") {
			m := enhanced.FindStringSubmatch(text)
			if m == nil || m[1] != m[2] {
				t.Errorf("%s: %q", line, text)
			}
		}
	}
}

// Commands that come in one segment are answered in order, whatever some of
// them are refused (RFC 2920), DATA last and BDAT anywhere.
func TestPipelining(t *testing.T) {
	r := start(t, settings(t))
	for _, c := range []struct{ send, want string }{
		{"MAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\nRCPT TO:<bad>\r\nRCPT TO:<s@dest.test>\r\nDATA\r\n", "250 250 501 250 354"},
		{"MAIL FROM:<a@example.com>\r\nRCPT TO:<bad>\r\nDATA\r\nRSET\r\n", "250 501 503 250"},
		{"NOOP\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\nRSET\r\nNOOP\r\nQUIT\r\n", "250 250 250 250 250 221"},
		{"MAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\nBDAT 25 LAST\r\nFrom: a@example.com\r\n\r\nhiNOOP\r\nQUIT\r\n", "250 250 250 250 221"},
	} {
		client := r.dial()
		client.Expect("EHLO c", "250")
		client.Send(c.send)
		var got []string
		for range strings.Fields(c.want) {
			reply, err := client.Read()
			if err != nil {
				t.Fatalf("%q: %v after %q", c.send, err, got)
			}
			got = append(got, reply[:3])
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: %s, want %s", c.send, s, c.want)
		}
	}
}

// What a provider says to an app has nothing of others.
func TestDiscreet(t *testing.T) {
	m := &mail.Message{MailFrom: "app@shop.test", Recipients: []string{"kim@sink.test"}}
	for text, want := range map[string]string{
		"<KIM@sink.test>: unknown":                        "<KIM@sink.test>: unknown",
		"relay for bob@other.test, see /var/log/mail.log": "relay for (address) see (path)",
		`C:\mail\queue is full`:                           "(path) is full",
		"https://support.example/?p=NoSuchUser":           "https://support.example/?p=NoSuchUser",
		"and/or":                                          "and/or",
	} {
		if got := discreet(text, m); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
