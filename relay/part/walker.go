// Package part takes a message apart as it is written: headers, the content of
// parts, and what lies between them.
package part

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"backstamp/mail"
	"backstamp/rewrite"
)

// An Entity is the message or one of the parts in it (RFC 2045 section 2.4).
type Entity struct {
	N        int    // from 0, the message, in order of appearance
	Media    string // lower case
	Charset  string
	Encoding string // lower case
	Mark     []byte // of a multipart: what its delimiters begin with
	Signed   bool   // it must not change: a signature covers it
	Sealed   bool   // it should not: so does one, or encryption
	Inner    bool   // it is a message within another
	Within   bool   // it is, or lies in one
	depth    int
}

// part returns an entity within another, before its header is known.
func (e *Entity) part(n int) *Entity {
	p := &Entity{
		N: n, depth: e.depth + 1, Media: "text/plain",
		Signed: e.Signed || e.Media == "multipart/signed", Sealed: e.Sealed, Inner: e.message(), Within: e.Within || e.message(),
	}
	if e.Media == "multipart/digest" {
		p.Media = "message/rfc822"
	}
	return p
}

// Read takes in what the header says.
func (e *Entity) Read(h mail.Header) {
	if v := h.Get("Content-Type"); v != "" {
		var params map[string]string
		e.Media, params = rewrite.ContentType(v)
		e.Charset = params["charset"]
		switch b := strings.TrimRight(params["boundary"], " \t"); {
		case b == "" || !strings.HasPrefix(e.Media, "multipart/"):
		case len(b) > boundaryMax: // it has parts, and nobody looks for them
			e.Signed, e.Sealed = true, true
		default:
			e.Mark = []byte("--" + b)
		}
	}
	e.Encoding = rewrite.TransferEncoding(h.Get("Content-Transfer-Encoding"))
	switch e.Media {
	case "multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime":
		e.Sealed = true
	}
}

// message reports whether the entity holds a message as it is.
func (e *Entity) message() bool {
	switch e.Media {
	case "message/rfc822", "message/global", "message/news":
		return !e.Encoded()
	}
	return false
}

// Encoded reports whether its content is in a transfer encoding of ASCII.
func (e *Entity) Encoded() bool { return e.Encoding == "quoted-printable" || e.Encoding == "base64" }

// Divides reports whether what lies between the parts of a multipart is a
// delimiter, with the line end before it.
func (e *Entity) Divides(gap []byte) bool {
	return e.Mark != nil && bytes.HasPrefix(bytes.TrimLeft(gap, "\r\n"), e.Mark)
}

// Shorter names the transfer encoding that content is shorter in, with so many
// octets above 0x7f of so many: of 1 octet quoted-printable makes 3, base64 of 3
// octets 4. What is no text is in base64.
func Shorter(media string, high, size int64) string {
	kind, _, _ := strings.Cut(media, "/")
	if (kind == "text" || kind == "message" || kind == "multipart") && high <= size/6 {
		return "quoted-printable"
	}
	return "base64"
}

// CountHigh counts octets above 0x7f.
func CountHigh(p []byte) (n int64) {
	for _, c := range p {
		if c >= 0x80 {
			n++
		}
	}
	return n
}

// A Visitor hears of the entities of a message in their order.
type Visitor interface {
	// Header has the fields of an entity other than the first, and the line that
	// ends them, empty where there is none.
	Header(e *Entity, head, empty []byte) error
	// Opens reports whether a multipart is looked into.
	Opens(e *Entity) bool
	// Content has a piece of an entity that is not looked into; Gap what lies
	// before, between and behind the parts of one that is.
	Content(e *Entity, p []byte) error
	Gap(e *Entity, p []byte) error
	// End comes after the last content of an entity.
	End(e *Entity) error
}

// ErrLimits says that a message has more parts, or larger headers in them, than
// are looked into.
var ErrLimits = errors.New("the message is not to be taken apart")

// Bounds of what is taken apart.
const (
	depthMax    = 50
	entitiesMax = 10_000
	boundaryMax = 1000
)

// A Walker takes a message apart as its body is written to it, which begins
// with the line that ends the header. It holds no more of it than a header or a
// line that may be a delimiter.
type Walker struct {
	visit Visitor
	open  []*Entity // multiparts, outermost first
	cur   *Entity   // the one being read
	count int       // of entities

	inHead bool
	head   []byte // of cur, while inHead
	line   []byte // what came of a line that may be a delimiter, or of a header
	inLine bool   // of a line that is none
	held   []byte // a line end: it belongs to a delimiter that follows
	begun  bool   // the line that ends the first header was seen
}

// Walk has v hear of a message with that header, whose body, with the line
// that ends the header, body writes.
func Walk(h mail.Header, body func(io.Writer) error, v Visitor) error {
	w := NewWalker(h, v)
	if err := body(w); err != nil {
		return err
	}
	return w.Close()
}

// NewWalker returns a Walker for a message with that header.
func NewWalker(h mail.Header, v Visitor) *Walker {
	w := &Walker{visit: v, count: 1, cur: &Entity{Media: "text/plain"}}
	w.cur.Read(h)
	return w
}

// Write takes a piece of the body.
func (w *Walker) Write(p []byte) (int, error) {
	for at := 0; at < len(p); {
		if n := w.run(p[at:]); n > 0 {
			if err := w.data(p[at : at+n]); err != nil {
				return at, err
			}
			at += n
			continue
		}
		n := bytes.IndexByte(p[at:], '\n') + 1
		if n == 0 {
			n = len(p) - at
		}
		if err := w.piece(p[at : at+n]); err != nil {
			return at, err
		}
		at += n
	}
	return len(p), nil
}

// run returns how many octets p begins with that are whole lines of content,
// as far as that is plain at a glance.
func (w *Walker) run(p []byte) int {
	if !w.begun || w.inHead || w.inLine || len(w.line) > 0 || p[0] == '-' {
		return 0
	}
	if len(w.open) > 0 {
		if i := bytes.Index(p, []byte("\n-")); i >= 0 {
			return i + 1
		}
	}
	return bytes.LastIndexByte(p, '\n') + 1
}

// Close ends the message.
func (w *Walker) Close() error {
	if err := w.settle(); err != nil {
		return err
	}
	if w.inHead {
		if err := w.enter(nil); err != nil {
			return err
		}
	}
	if err := w.data(nil); err != nil {
		return err
	}
	return w.leave()
}

// piece takes a line or a part of one.
func (w *Walker) piece(p []byte) error {
	if w.inLine {
		w.inLine = p[len(p)-1] != '\n'
		return w.data(p)
	}
	w.line = append(w.line, p...)
	if w.line[len(w.line)-1] == '\n' || !w.waits() {
		return w.settle()
	}
	return nil
}

// waits reports whether the line is to be had whole.
func (w *Walker) waits() bool {
	if w.inHead || !w.begun {
		return len(w.head)+len(w.line) <= mail.HeaderMax
	}
	return len(w.open) > 0 && len(w.line) <= boundaryMax+100 && bytes.HasPrefix(w.line, []byte("--")[:min(2, len(w.line))])
}

// settle decides what the line is.
func (w *Walker) settle() error {
	line := w.line
	if len(line) == 0 {
		return nil
	}
	w.line = w.line[:0]
	whole := line[len(line)-1] == '\n'
	switch {
	case !w.begun: // it ends the header of the message
		w.begun = true
		if err := w.visit.Gap(w.cur, bytes.Clone(line)); err != nil {
			return err
		}
		return w.enterBody()
	case w.delimiter(line):
		return w.divide(line)
	case w.inHead:
		return w.headLine(line)
	}
	w.inLine = !whole
	return w.data(line)
}

// headLine takes a line of a header, or the one behind it.
func (w *Walker) headLine(line []byte) error {
	if len(w.head)+len(line) > mail.HeaderMax {
		return fmt.Errorf("%w: the header of a part is too large", ErrLimits)
	}
	if len(bytes.TrimRight(line, "\r\n")) == 0 {
		return w.enter(line)
	}
	if h, _, _ := mail.ParseHeader(line); len(h) == 1 && (h[0].Name != "" || len(w.head) == 0) ||
		len(w.head) > 0 && (line[0] == ' ' || line[0] == '\t') {
		w.head = append(w.head, line...)
		return nil
	}
	line = bytes.Clone(line)
	if err := w.enter(nil); err != nil {
		return err
	}
	return w.piece(line)
}

// enter ends the header of the entity being read.
func (w *Walker) enter(empty []byte) error {
	w.inHead = false
	h, _, _ := mail.ParseHeader(w.head)
	w.cur.Read(h)
	if err := w.visit.Header(w.cur, w.head, empty); err != nil {
		return err
	}
	w.head = w.head[:0]
	return w.enterBody()
}

// enterBody begins with what follows a header.
func (w *Walker) enterBody() error {
	switch e := w.cur; {
	case e.message():
		return w.begin(e)
	case e.Mark != nil && w.visit.Opens(e):
		w.open = append(w.open, e)
	}
	return nil
}

// begin begins an entity within another.
func (w *Walker) begin(within *Entity) error {
	e := within.part(w.count)
	if w.count++; w.count > entitiesMax || e.depth > depthMax {
		return fmt.Errorf("%w: too many parts within each other", ErrLimits)
	}
	w.cur, w.inHead = e, true
	return nil
}

// delimiter reports whether a line divides an open multipart, and closes those
// within it.
func (w *Walker) delimiter(line []byte) bool {
	for i, e := range w.open {
		rest, ok := bytes.CutPrefix(line, e.Mark)
		if !ok || len(line) == 0 || line[len(line)-1] != '\n' && len(line) > boundaryMax {
			continue
		}
		rest = bytes.Trim(rest, " \t\r\n")
		if len(rest) == 0 || string(rest) == "--" {
			w.open = w.open[:i+1]
			return true
		}
	}
	return false
}

// divide takes a delimiter of the innermost multipart that is open.
func (w *Walker) divide(line []byte) error {
	line = bytes.Clone(line)
	if w.inHead { // its header was all of it
		if err := w.enterEnded(); err != nil {
			return err
		}
	}
	multipart := w.open[len(w.open)-1]
	if w.cur != multipart {
		if err := w.visit.End(w.cur); err != nil {
			return err
		}
	}
	w.cur = multipart
	if err := w.visit.Gap(multipart, append(w.held, line...)); err != nil {
		return err
	}
	w.held = w.held[:0]
	rest := bytes.Trim(bytes.TrimPrefix(line, multipart.Mark), " \t\r\n")
	if len(rest) > 0 { // the last
		w.open = w.open[:len(w.open)-1]
		return nil
	}
	return w.begin(multipart)
}

// enterEnded is enter for an entity that has nothing behind its header.
func (w *Walker) enterEnded() error {
	open := w.open
	err := w.enter(nil)
	w.open, w.inHead = open, false
	return err
}

// data passes on what is no header and no delimiter.
func (w *Walker) data(p []byte) error {
	if string(w.held) == "\r" && string(p) == "\n" {
		w.held = append(w.held, '\n')
		return nil
	}
	if err := w.pass(w.held); err != nil {
		return err
	}
	text := bytes.TrimSuffix(p, []byte("\n"))
	text = bytes.TrimSuffix(text, []byte("\r"))
	w.held = append(w.held[:0], p[len(text):]...)
	return w.pass(text)
}

func (w *Walker) pass(p []byte) error {
	switch {
	case len(p) == 0:
		return nil
	case w.isOpen(w.cur):
		return w.visit.Gap(w.cur, p)
	}
	return w.visit.Content(w.cur, p)
}

// isOpen reports whether an entity is a multipart that was looked into.
func (w *Walker) isOpen(e *Entity) bool { return e.Mark != nil && w.visit.Opens(e) && !e.message() }

// leave ends the entity being read.
func (w *Walker) leave() error {
	if w.isOpen(w.cur) {
		return nil
	}
	return w.visit.End(w.cur)
}
