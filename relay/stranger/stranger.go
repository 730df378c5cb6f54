// Package stranger plays a client whom nobody knows and who tries, in all the
// ways that open relays have been found by, to have mail relayed. It never sends
// any: it stops where a recipient is accepted.
package stranger

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"

	"backstamp/mail"
)

// patience is how long one form may take.
const patience = 10 * time.Second

// A Target is a listener, as it is configured, and how the stranger reaches it.
type Target struct {
	Dial func(context.Context) (net.Conn, error)
	TLS  string // off, starttls or implicit
	Host string // its own name
}

// A Try is one form of asking, and what came of it.
type Try struct {
	Form  string
	Open  bool   // a recipient elsewhere was accepted, or a login
	Reply string // that decided it
}

// The addresses are reserved by RFC 2606: nobody has them.
const (
	elsewhere = "relay-test.example"
	sender    = "MAIL FROM:<probe@sender.example>"
	recipient = "RCPT TO:<probe@" + elsewhere + ">"
)

// A form is what the stranger says. Empty lines are left out.
type form struct {
	name  string
	first string // before EHLO
	ehlo  string // what it calls itself; "-": nothing
	lines []string
}

// forms are the ways of asking; host is what the server calls itself.
func forms(host string) []form {
	return []form{
		{name: "plain", lines: []string{sender, recipient}},
		{name: "null sender", lines: []string{"MAIL FROM:<>", recipient}},
		{name: "sender of the relay's own domain", lines: []string{"MAIL FROM:<postmaster@" + host + ">", recipient}},
		{name: "sender on an address literal", lines: []string{"MAIL FROM:<postmaster@[127.0.0.1]>", recipient}},
		{name: "sender without a domain", lines: []string{"MAIL FROM:<postmaster>", recipient}},
		{name: "percent", lines: []string{sender, "RCPT TO:<probe%" + elsewhere + "@" + host + ">"}},
		{name: "quoted", lines: []string{sender, `RCPT TO:<"probe@` + elsewhere + `"@` + host + ">"}},
		{name: "bang", lines: []string{sender, "RCPT TO:<" + elsewhere + "!probe@" + host + ">"}},
		{name: "source route", lines: []string{sender, "RCPT TO:<@" + host + ":probe@" + elsewhere + ">"}},
		{name: "without brackets", lines: []string{"MAIL FROM:probe@sender.example", "RCPT TO:probe@" + elsewhere}},
		{name: "called localhost", ehlo: "localhost", lines: []string{sender, recipient}},
		{name: "called as the relay", ehlo: host, lines: []string{sender, recipient}},
		{name: "without a greeting", ehlo: "-", lines: []string{sender, recipient}},
		{name: "MAIL with AUTH=", lines: []string{sender + " AUTH=<>", recipient}},
		{name: "empty login", lines: []string{"AUTH PLAIN AAA=", sender, recipient}},
		{name: "login of nobody", lines: []string{"AUTH PLAIN AHByb2JlAHByb2Jl", sender, recipient}},
		{name: "anonymous login", lines: []string{"AUTH ANONYMOUS cHJvYmU=", sender, recipient}},
		{name: "XCLIENT", lines: []string{"XCLIENT ADDR=127.0.0.1 NAME=localhost", "EHLO localhost", sender, recipient}},
		{name: "PROXY", first: "PROXY TCP4 127.0.0.1 127.0.0.1 40000 25", lines: []string{sender, recipient}},
		{name: "after a reset", lines: []string{sender, "RSET", sender, recipient}},
	}
}

// Probe tries all forms, each on a connection of its own. An error means that
// the server could not be asked.
func Probe(ctx context.Context, t Target) (tries []Try, err error) {
	for _, f := range forms(t.Host) {
		try, err := t.try(ctx, f)
		if err != nil {
			return tries, fmt.Errorf("%s: %w", f.name, err)
		}
		tries = append(tries, try)
	}
	return tries, nil
}

// try asks in one form. A server that hangs up has refused.
func (t Target) try(ctx context.Context, f form) (try Try, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	raw, err := t.Dial(ctx)
	if err != nil {
		return try, err
	}
	defer raw.Close()
	if at, ok := ctx.Deadline(); ok {
		raw.SetDeadline(at)
	}
	try.Form = f.name
	c := &conversation{conn: raw}
	if err := c.begin(t, f); err != nil {
		try.Reply = c.last(err)
		return try, nil
	}
	for _, line := range f.lines {
		code, err := c.say(line)
		try.Open = code/100 == 2 && (strings.HasPrefix(line, "RCPT") || strings.HasPrefix(line, "AUTH"))
		if refused := code >= 400 || err != nil; try.Open || refused && try.Reply == "" {
			try.Reply = c.last(err) // the first refusal says most; those that follow come of it
		}
		if try.Open || err != nil {
			break
		}
	}
	c.say("QUIT")
	return try, nil
}

// A conversation is one connection.
type conversation struct {
	conn net.Conn
	r    *textproto.Reader
	text string // of the last reply
}

// begin brings the connection to the form's first line: to TLS where there is
// any, since that is where a login is offered.
func (c *conversation) begin(t Target, f form) error {
	if f.first != "" {
		if _, err := fmt.Fprintf(c.conn, "%s\r\n", f.first); err != nil {
			return err
		}
	}
	if t.TLS == "implicit" {
		c.secure()
	}
	c.r = textproto.NewReader(bufio.NewReader(c.conn))
	if _, err := c.hear(); err != nil {
		return err
	}
	if f.ehlo == "-" {
		return nil
	}
	name := "stranger.example"
	if f.ehlo != "" {
		name = f.ehlo
	}
	code, err := c.say("EHLO " + name)
	if f.first != "" && code >= 500 { // that was for the first line
		_, err = c.hear()
	}
	if err != nil || t.TLS != "starttls" {
		return err
	}
	code, err = c.say("STARTTLS")
	if err != nil || code != 220 {
		return err
	}
	c.secure()
	c.r = textproto.NewReader(bufio.NewReader(c.conn))
	_, err = c.say("EHLO " + name)
	return err
}

// secure begins TLS. A stranger does not care who the server is.
func (c *conversation) secure() {
	c.conn = tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10})
}

func (c *conversation) say(line string) (code int, err error) {
	if _, err := fmt.Fprintf(c.conn, "%s\r\n", line); err != nil {
		return 0, err
	}
	return c.hear()
}

// hear reads a reply. One that is none ends the conversation.
func (c *conversation) hear() (code int, err error) {
	code, text, err := c.r.ReadResponse(0)
	if e, ok := err.(*textproto.Error); ok {
		code, text, err = e.Code, e.Msg, nil
	}
	if err == nil {
		c.text = fmt.Sprintf("%03d %s", code, strings.ReplaceAll(text, "\n", " "))
	}
	return code, err
}

// last is the reply that was heard last, or why there is none.
func (c *conversation) last(err error) string {
	if err == nil || c.text != "" && !strings.HasPrefix(c.text, "2") {
		return mail.Escape(c.text)
	}
	return "hung up"
}
