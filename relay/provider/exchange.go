package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"backstamp/internal/clock"
	"backstamp/internal/crash"
	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
)

// flightMax is how many commands go out before their replies are read: MAIL,
// 100 RCPT and DATA fit in. It keeps both sides from filling the other's
// buffers (RFC 2920 section 3.1).
const flightMax = 128

// An exchange is one transaction on one connection. Its goroutine is that of
// Deliver.
type exchange struct {
	*conn
	t        mail.Transaction
	attempts []mail.Attempt
	last     *Error   // what was decided last
	open     []int    // recipients about whom nothing is decided, all at first
	from     string   // as it stands between < and >
	paths    []string // likewise, by recipient
	utf8     bool     // MAIL needs SMTPUTF8

	chunking *chunking // what is known of the server; nil: DATA alone
	manner   manner    // how the content goes out

	mailed bool // MAIL was accepted
	ready  bool // content may follow
	stale  bool // the connection was dead before anything was accepted
	again  bool // nothing was taken, and DATA on another connection may do

	clock   clock.Clock
	observe func(seconds float64) // how long the verdict took
}

func newExchange(c *conn, t mail.Transaction) *exchange {
	x := &exchange{conn: c, t: t, attempts: make([]mail.Attempt, len(t.Recipients))}
	for i := range t.Recipients {
		x.open = append(x.open, i)
	}
	return x
}

// A command is one line of the envelope.
type command struct {
	stage, line string
	recipient   int // of RCPT
}

// run settles all recipients.
func (x *exchange) run(ctx context.Context) {
	defer x.endWith(ctx)()
	err := x.prepare()
	if err == nil {
		err = x.envelope(ctx)
		x.stale = err != nil && x.reused && x.broken && !x.mailed && !isUncertain(err)
	}
	if err == nil && x.ready {
		err = x.message(ctx)
	}
	if err != nil {
		x.settle(cancelled(ctx, err))
	}
}

// settle decides the same for all who are open.
func (x *exchange) settle(err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = failure("DATA", "ours", mail.ClassTemporary, err)
	}
	for _, i := range slices.Clone(x.open) {
		x.decide(i, e)
	}
}

// decide settles one recipient.
func (x *exchange) decide(recipient int, e *Error) {
	e = x.blame(recipient, e)
	x.last = e
	x.attempts[recipient] = e.attempt()
	x.open = slices.DeleteFunc(x.open, func(i int) bool { return i == recipient })
}

// blame tells whose fault it is where SES refuses a message because an address
// is not verified: it says so of the sender and, in its sandbox, of recipients.
// Other recipients are tried again without them.
func (x *exchange) blame(recipient int, e *Error) *Error {
	if e.why.ID != "ses.not-verified" {
		return e
	}
	unverified := catalogue.Unverified(e.Reply)
	named := func(addr string) bool { return slices.Contains(unverified, strings.ToLower(addr)) }
	switch to := x.t.Recipients; {
	case named(x.t.Copy.MailFrom()) || !slices.ContainsFunc(to, named):
		return e
	case named(to[recipient]):
		return e.as("ses.sandbox", mail.ClassRecipient)
	}
	return e.as("ses.other-recipient", mail.ClassTemporary)
}

// prepare finds out whom this server can be asked to take the message for.
func (x *exchange) prepare() error {
	if err := x.downgrade(); err != nil {
		return err
	}
	size, limit := x.t.Copy.Size(), x.sizeMax()
	if limit > 0 && size > limit {
		return failure("MAIL", "too-large", mail.ClassContent,
			fmt.Errorf("5.3.4 the message has %d octets, the server takes %d", size, limit))
	}
	x.manner = x.pick()
	x.utf8 = x.t.Copy.UTF8()
	var err *Error
	if from := x.t.Copy.MailFrom(); from != "" { // "": the null reverse-path
		if x.from, err = x.path(from, mail.ClassSender); err != nil {
			return err
		}
	}
	x.paths = make([]string, len(x.t.Recipients))
	for i, addr := range x.t.Recipients {
		if x.paths[i], err = x.path(addr, mail.ClassRecipient); err != nil {
			x.decide(i, err)
		}
	}
	return nil
}

// downgrade takes the copy in ASCII where the server takes no other.
func (x *exchange) downgrade() error {
	c := x.t.Copy
	if (!c.EightBit() || x.offers("8BITMIME")) && (!c.UTF8() || x.offers("SMTPUTF8")) {
		return nil
	}
	seven, err := c.SevenBit()
	switch {
	case errors.Is(err, mail.ErrUTF8):
		return failure("MAIL", "smtputf8", mail.ClassContent, fmt.Errorf("5.6.7 the server does not offer SMTPUTF8: %w", err))
	case errors.Is(err, mail.ErrEightBit):
		return failure("MAIL", "8bit", mail.ClassContent, fmt.Errorf("5.6.3 the server does not offer 8BITMIME: %w", err))
	case err != nil:
		return unreadable(err)
	}
	x.t.Copy = seven
	return nil
}

// path returns an address as it may stand between < and >, never as it came.
func (x *exchange) path(addr, class string) (string, *Error) {
	stage, code := "RCPT", "5.1.3"
	if class == mail.ClassSender {
		stage, code = "MAIL", "5.1.7"
	}
	a, err := mail.ParseAddress(addr)
	if err != nil {
		return "", failure(stage, "address", class, fmt.Errorf("%s %w", code, err))
	}
	a = asciiDomain(a)
	if !a.ASCII() {
		if !x.offers("SMTPUTF8") {
			return "", failure(stage, "smtputf8", class,
				fmt.Errorf("5.6.7 the server does not offer SMTPUTF8, which %q needs", addr))
		}
		x.utf8 = true
	}
	return a.String(), nil
}

// asciiDomain writes the domain as A-labels, which every server understands,
// so that SMTPUTF8 is asked for only where the local part needs it.
func asciiDomain(a mail.Address) mail.Address {
	if (mail.Address{Local: "x", Domain: a.Domain}).ASCII() {
		return a
	}
	a.Domain = asciiHost(a.Domain)
	return a
}

// commands returns the envelope as lines.
func (x *exchange) commands() []command {
	var cmds []command
	if x.dirty {
		cmds = append(cmds, command{stage: "RSET", line: "RSET"})
	}
	line := "MAIL FROM:<" + x.from + ">"
	if x.offers("SIZE") {
		line += " SIZE=" + strconv.FormatInt(x.t.Copy.Size(), 10)
	}
	if x.t.Copy.EightBit() {
		line += " BODY=8BITMIME"
	}
	if x.utf8 {
		line += " SMTPUTF8"
	}
	line += x.returning()
	cmds = append(cmds, command{stage: "MAIL", line: line})
	for _, i := range x.open {
		cmds = append(cmds, command{stage: "RCPT", line: "RCPT TO:<" + x.paths[i] + ">" + x.asking(i), recipient: i})
	}
	if x.manner == byData {
		cmds = append(cmds, command{stage: "DATA", line: "DATA"})
	}
	return cmds
}

// envelope runs all that comes before the content, many lines in one flight
// where the server offers PIPELINING.
func (x *exchange) envelope(ctx context.Context) error {
	flight := 1
	if x.offers("PIPELINING") {
		flight = flightMax
	}
	cmds := x.commands()
	if x.fitsOneFlight(cmds) {
		return x.atOnce(ctx, cmds)
	}
	for len(cmds) > 0 && len(x.open) > 0 {
		now := cmds[:min(flight, len(cmds))]
		cmds = cmds[len(now):]
		for _, cmd := range now {
			if err := x.send(cmd.line); err != nil {
				return broken(cmd.stage, err)
			}
		}
		for _, cmd := range now {
			r, err := x.await(cmd.stage, x.set.Timeouts.Command)
			if err == nil {
				err = x.heard(cmd, r)
			}
			if err != nil {
				return err
			}
		}
	}
	if x.manner != byData {
		x.ready = len(x.open) > 0
	} else if x.ready && len(x.open) == 0 {
		x.noContent()
	}
	return nil
}

// heard takes the reply to a command. Its errors end the exchange.
func (x *exchange) heard(cmd command, r mail.Reply) error {
	good := r.Positive() && cmd.stage != "DATA" || r.Code == 354 && cmd.stage == "DATA"
	switch {
	case r.Code == 421:
		return x.refusal(cmd.stage, r)
	case !good && !r.Temporary() && !r.Permanent():
		x.broken = true
		return x.refusal(cmd.stage, r) // no answer to this command: out of step
	case cmd.stage == "RSET":
		x.broken = x.broken || !good
		x.dirty = !good
		if !good {
			return x.refusal(cmd.stage, r)
		}
	case good && cmd.stage == "MAIL":
		x.mailed, x.dirty = true, true
	case good && cmd.stage == "DATA":
		x.ready = true
	case good:
	case cmd.stage == "RCPT":
		if x.mailed { // else the reply to MAIL has told
			x.decide(cmd.recipient, x.refusal(cmd.stage, r))
		}
	default:
		x.settle(x.refusal(cmd.stage, r))
	}
	return nil
}

// noContent ends a DATA that was granted though there is nobody to send to
// (RFC 2920 section 3.1). What the server makes of it concerns nobody.
func (x *exchange) noContent() {
	x.ready = false
	if _, err := x.cmd("DATA", "."); err == nil {
		x.dirty = false
	}
}

// message sends the content and hears the verdict.
func (x *exchange) message(ctx context.Context) error {
	if x.r.Buffered() > 0 { // it would be taken for the verdict
		defer x.close()
		return x.lastWords(fmt.Errorf("%w: a verdict before the message", errNoReply))
	}
	send := x.chunks
	if x.manner == byData {
		send, x.dirty = x.stream, false
	}
	if err := send(ctx); err != nil {
		x.close() // the end of the message must not follow
		return err
	}
	return x.verdict()
}

// verdict hears what became of a message that was sent to its end.
func (x *exchange) verdict() error {
	crash.At(crash.AfterDot)
	sent := x.clock.Now()
	r, err := x.read(x.set.Timeouts.Dot)
	x.observe(x.clock.Now().Sub(sent).Seconds())
	if err == nil && !r.Positive() && !r.Temporary() && !r.Permanent() {
		err = fmt.Errorf("%w: %d as the verdict", errNoReply, r.Code)
	}
	switch {
	case err != nil:
		x.close()
		return uncertain(err)
	case len(x.open) == 0: // all were refused
		x.broken = x.broken || r.Positive()
		return nil
	case !r.Positive():
		return x.refused(r)
	}
	crash.At(crash.BeforeRecord)
	x.dirty = false
	r = x.masked(r)
	id := upstreamID(r)
	for _, i := range x.open {
		x.attempts[i] = mail.Attempt{Reply: r, UpstreamID: id, Informs: x.offers("DSN")}
	}
	x.open = nil
	return nil
}

// uncertain is the failure of a message that may have been taken.
func uncertain(err error) *Error {
	e := failure("message", "uncertain", mail.ClassTemporary, plain(err))
	e.Uncertain = true
	return e
}

func isUncertain(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Uncertain
}

// begun says that content is about to leave.
func (x *exchange) begun(ctx context.Context) error {
	if x.t.Started == nil {
		return nil
	}
	if err := x.t.Started(ctx); err != nil {
		return failure("DATA", "ours", mail.ClassTemporary, fmt.Errorf("note the start: %w", err))
	}
	return nil
}

// unreadable is the failure of a copy that could not be read to its end.
func unreadable(err error) *Error {
	return failure("DATA", "ours", mail.ClassTemporary, fmt.Errorf("read the message: %w", err))
}

// stream sends the content and its final dot. After an error the dot has not
// been sent.
func (x *exchange) stream(ctx context.Context) error {
	if err := x.begun(ctx); err != nil {
		return err
	}
	x.note(fmt.Sprintf("C: (a message of %d octets)", x.t.Copy.Size()))
	dots := &dotWriter{w: x.w}
	_, err := x.t.Copy.WriteTo(dots)
	size := x.t.Copy.Size()
	switch {
	case dots.err != nil:
		return x.lastWords(dots.err)
	case err != nil:
		return unreadable(err)
	case dots.n != size:
		return unreadable(fmt.Errorf("got %d octets, expected %d", dots.n, size))
	}
	crash.At(crash.BeforeDot)
	x.note("C: .")
	if err := dots.Close(); err != nil {
		return x.lastWords(err)
	}
	return nil
}

// lastWords looks for the reply of a server that closed amid the content: it
// often says why.
func (x *exchange) lastWords(cause error) error {
	if r, err := x.read(min(x.set.Timeouts.Command, lastWordsMax)); err == nil && (r.Temporary() || r.Permanent()) {
		return x.refusal("message", r)
	}
	return broken("DATA", cause)
}
