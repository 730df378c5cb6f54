package provider

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// probeMax is how long each step of a Test or Greet may take.
const probeMax = 10 * time.Second

// TestMail is the envelope of a test message.
type TestMail struct{ From, To string }

// A Step is what one part of a Test or Greet brought.
type Step struct {
	Name       string        // DNS TCP TLS EHLO AUTH MAIL RCPT DATA
	Duration   time.Duration //
	Skipped    string        // why there was nothing to do, or ""
	Reply      string        // the last one that came
	Transcript []string      // C: and S: lines, secrets masked
	Err        error         // why it failed, an *Error
}

// Test sends a small message through a provider, step by step, and tells each
// step as it ends. It stops at the first that fails and returns its *Error.
// Settings that are wrong come back as mail.SettingErrors before any step.
func Test(ctx context.Context, s Settings, m TestMail, report func(Step)) error {
	p, err := newProbe(s, report)
	if err != nil {
		return err
	}
	t := mail.Transaction{Recipients: []string{m.To}, Copy: newLetter(m, p.conn.set.Hostname, p.clock.Now())}
	p.exchange = newExchange(p.conn, t)
	p.exchange.clock, p.observe = p.clock, func(float64) {}
	return p.all(ctx, append(steps(), p.mailSteps()...))
}

// Greet is a Test that takes leave once it has logged in: no message is begun.
func Greet(ctx context.Context, s Settings, report func(Step)) error {
	p, err := newProbe(s, report)
	if err != nil {
		return err
	}
	return p.all(ctx, steps())
}

// A probe is a Test or a Greet that runs, on the goroutine of its caller.
type probe struct {
	conn      *conn
	*exchange // of a Test
	report    func(Step)
	clock     clock.Clock
	step      Step
}

func newProbe(s Settings, report func(Step)) (*probe, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	p := &probe{report: report, clock: clock.System{}}
	p.conn = newConn(&s, newAddressBook())
	p.conn.trace = func(line string) { p.step.Transcript = append(p.step.Transcript, line) }
	return p, nil
}

// all does the steps in turn, and takes leave if none failed.
func (p *probe) all(ctx context.Context, steps []step) error {
	defer p.conn.close()
	for _, st := range steps {
		if err := p.run(ctx, st); err != nil {
			return err
		}
	}
	if p.conn.set.Preset != "capture" {
		p.conn.quit()
	}
	return nil
}

// run does one step and reports it.
func (p *probe) run(ctx context.Context, st step) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeMax, fmt.Errorf("no end within %v", probeMax))
	defer cancel()
	p.step = Step{Name: st.name, Skipped: p.conn.set.skips(st.name)}
	start := p.clock.Now()
	if p.step.Skipped == "" {
		if err := st.do(p.conn, ctx); err != nil {
			p.step.Err = cancelled(ctx, err)
		}
	}
	p.step.Duration = p.clock.Now().Sub(start)
	p.step.Reply = p.lastReply()
	p.report(p.step)
	return p.step.Err
}

// skips says why a step has nothing to do.
func (s *Settings) skips(name string) string {
	switch {
	case s.Preset == "capture":
		return "capture keeps mail here and sends nothing"
	case name == "TLS" && s.TLS == tlsOff:
		return "tls is off"
	case name == "AUTH" && s.Username == "":
		return "no username is configured"
	}
	return ""
}

// lastReply returns the last reply in the transcript.
func (p *probe) lastReply() string {
	var lines []string
	for _, line := range p.step.Transcript {
		if said, ok := strings.CutPrefix(line, "S: "); ok {
			lines = append(lines, said)
		} else {
			lines = nil
		}
	}
	return strings.Join(lines, "\n")
}

// mailSteps are the transaction, one command a step.
func (p *probe) mailSteps() []step {
	return []step{
		{"MAIL", func(_ *conn, ctx context.Context) error {
			if err := p.prepare(); err != nil {
				return err
			}
			return p.command(ctx, "MAIL")
		}},
		{"RCPT", func(_ *conn, ctx context.Context) error { return p.command(ctx, "RCPT") }},
		{"DATA", func(_ *conn, ctx context.Context) error {
			if err := p.command(ctx, "DATA"); err != nil {
				return err
			}
			defer p.endWith(ctx)()
			if err := p.message(ctx); err != nil {
				return err
			}
			return p.refused("DATA")
		}},
	}
}

// command runs the line of the envelope that belongs to stage.
func (p *probe) command(ctx context.Context, stage string) error {
	defer p.endWith(ctx)()
	if err := p.refused(stage); err != nil { // the address could not be written
		return err
	}
	cmds := p.commands()
	cmd := cmds[slices.IndexFunc(cmds, func(c command) bool { return c.stage == stage })]
	r, err := p.cmd(stage, cmd.line)
	if err != nil {
		return err
	}
	if err := p.heard(cmd, r); err != nil {
		return err
	}
	return p.refused(stage)
}

// refused returns why the one recipient was given up by the end of a stage, or
// nil.
func (p *probe) refused(stage string) error {
	if p.last == nil || stage == "MAIL" && p.last.Stage == "RCPT" {
		return nil
	}
	return p.last
}

// A letter is the message of a Test.
type letter struct {
	from, text string
}

func newLetter(m TestMail, hostname string, now time.Time) letter {
	return letter{from: m.From, text: strings.Join([]string{
		"From: <" + m.From + ">",
		"To: <" + m.To + ">",
		"Subject: Backstamp test",
		"Date: " + now.Format(time.RFC1123Z),
		"Message-ID: <" + rand.Text() + "@" + hostname + ">",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=us-ascii",
		"",
		"This message shows that Backstamp can send through this provider.",
		"",
	}, "\r\n")}
}

func (l letter) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, l.text)
	return int64(n), err
}

func (l letter) Size() int64      { return int64(len(l.text)) }
func (l letter) MailFrom() string { return l.from }
func (l letter) EightBit() bool {
	return strings.ContainsFunc(l.text, func(r rune) bool { return r >= utf8.RuneSelf })
}

func (l letter) UTF8() bool                   { return false }
func (l letter) SevenBit() (mail.Copy, error) { return nil, mail.ErrEightBit }
