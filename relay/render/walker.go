package render

import (
	"bytes"
	"fmt"
	"strings"

	"backstamp/mail"
	"backstamp/rewrite"
)

// An entity is the message or one of the parts in it (RFC 2045 section 2.4).
type entity struct {
	n        int // from 0, the message, in order of appearance
	depth    int
	media    string // lower case
	charset  string
	encoding string // lower case
	mark     []byte // of a multipart: what its delimiters begin with
	signed   bool   // a signature covers it
	inner    bool   // it is a message within another
}

// part returns an entity within another, before its header is known.
func (e *entity) part(n int) *entity {
	p := &entity{n: n, depth: e.depth + 1, media: "text/plain", signed: e.signed || e.media == "multipart/signed", inner: e.message()}
	if e.media == "multipart/digest" {
		p.media = "message/rfc822"
	}
	return p
}

// read takes in what the header says.
func (e *entity) read(h mail.Header) {
	if v := h.Get("Content-Type"); v != "" {
		var params map[string]string
		e.media, params = rewrite.ContentType(v)
		e.charset = params["charset"]
		if b := strings.TrimRight(params["boundary"], " \t"); b != "" && len(b) <= boundaryMax && strings.HasPrefix(e.media, "multipart/") {
			e.mark = []byte("--" + b)
		}
	}
	e.encoding = rewrite.TransferEncoding(h.Get("Content-Transfer-Encoding"))
}

// message reports whether the entity holds a message as it is.
func (e *entity) message() bool {
	switch e.media {
	case "message/rfc822", "message/global", "message/news":
		return !e.encoded()
	}
	return false
}

// encoded reports whether its content is in a transfer encoding of ASCII.
func (e *entity) encoded() bool { return e.encoding == "quoted-printable" || e.encoding == "base64" }

// A visitor hears of the entities of a message in their order.
type visitor interface {
	// header has the fields of an entity other than the first, and the line that
	// ends them, empty where there is none.
	header(e *entity, head, empty []byte) error
	// opens reports whether a multipart is looked into.
	opens(e *entity) bool
	// content has a piece of an entity that is not looked into; gap what lies
	// before, between and behind the parts of one that is.
	content(e *entity, p []byte) error
	gap(e *entity, p []byte) error
	// end comes after the last content of an entity.
	end(e *entity) error
}

// Bounds of what is taken apart: beyond one a message is not downgraded.
const (
	depthMax    = 50
	entitiesMax = 10_000
	boundaryMax = 1000
)

// A walker takes a message apart as its body is written to it, which begins
// with the line that ends the header. It holds no more of it than a header or a
// line that may be a delimiter.
type walker struct {
	visit visitor
	open  []*entity // multiparts, outermost first
	cur   *entity   // the one being read
	count int       // of entities

	inHead bool
	head   []byte // of cur, while inHead
	line   []byte // what came of a line that may be a delimiter, or of a header
	inLine bool   // of a line that is none
	held   []byte // a line end: it belongs to a delimiter that follows
	begun  bool   // the line that ends the first header was seen
}

// newWalker returns a walker for a message with that header.
func newWalker(h mail.Header, v visitor) *walker {
	w := &walker{visit: v, count: 1, cur: &entity{media: "text/plain"}}
	w.cur.read(h)
	return w
}

// Write takes a piece of the body.
func (w *walker) Write(p []byte) (int, error) {
	for at := 0; at < len(p); {
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

// close ends the message.
func (w *walker) close() error {
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
func (w *walker) piece(p []byte) error {
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
func (w *walker) waits() bool {
	if w.inHead || !w.begun {
		return len(w.head)+len(w.line) <= mail.HeaderMax
	}
	return len(w.open) > 0 && len(w.line) <= boundaryMax+100 && bytes.HasPrefix(w.line, []byte("--")[:min(2, len(w.line))])
}

// settle decides what the line is.
func (w *walker) settle() error {
	line := w.line
	if len(line) == 0 {
		return nil
	}
	w.line = w.line[:0]
	whole := line[len(line)-1] == '\n'
	switch {
	case !w.begun: // it ends the header of the message
		w.begun = true
		if err := w.visit.gap(w.cur, bytes.Clone(line)); err != nil {
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
func (w *walker) headLine(line []byte) error {
	if len(w.head)+len(line) > mail.HeaderMax {
		return fmt.Errorf("%w: the header of a part is too large", mail.ErrEightBit)
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
func (w *walker) enter(empty []byte) error {
	w.inHead = false
	h, _, _ := mail.ParseHeader(w.head)
	w.cur.read(h)
	if err := w.visit.header(w.cur, w.head, empty); err != nil {
		return err
	}
	w.head = w.head[:0]
	return w.enterBody()
}

// enterBody begins with what follows a header.
func (w *walker) enterBody() error {
	switch e := w.cur; {
	case e.message():
		return w.begin(e)
	case e.mark != nil && w.visit.opens(e):
		w.open = append(w.open, e)
	}
	return nil
}

// begin begins an entity within another.
func (w *walker) begin(within *entity) error {
	e := within.part(w.count)
	if w.count++; w.count > entitiesMax || e.depth > depthMax {
		return fmt.Errorf("%w: too many parts within each other", mail.ErrEightBit)
	}
	w.cur, w.inHead = e, true
	return nil
}

// delimiter reports whether a line divides an open multipart, and closes those
// within it.
func (w *walker) delimiter(line []byte) bool {
	for i, e := range w.open {
		rest, ok := bytes.CutPrefix(line, e.mark)
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
func (w *walker) divide(line []byte) error {
	line = bytes.Clone(line)
	if w.inHead { // its header was all of it
		if err := w.enterEnded(); err != nil {
			return err
		}
	}
	multipart := w.open[len(w.open)-1]
	if w.cur != multipart {
		if err := w.visit.end(w.cur); err != nil {
			return err
		}
	}
	w.cur = multipart
	if err := w.visit.gap(multipart, append(w.held, line...)); err != nil {
		return err
	}
	w.held = w.held[:0]
	rest := bytes.Trim(bytes.TrimPrefix(line, multipart.mark), " \t\r\n")
	if len(rest) > 0 { // the last
		w.open = w.open[:len(w.open)-1]
		return nil
	}
	return w.begin(multipart)
}

// enterEnded is enter for an entity that has nothing behind its header.
func (w *walker) enterEnded() error {
	open := w.open
	err := w.enter(nil)
	w.open, w.inHead = open, false
	return err
}

// data passes on what is no header and no delimiter.
func (w *walker) data(p []byte) error {
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

func (w *walker) pass(p []byte) error {
	switch {
	case len(p) == 0:
		return nil
	case w.isOpen(w.cur):
		return w.visit.gap(w.cur, p)
	}
	return w.visit.content(w.cur, p)
}

// isOpen reports whether an entity is a multipart that was looked into.
func (w *walker) isOpen(e *entity) bool { return e.mark != nil && w.visit.opens(e) && !e.message() }

// leave ends the entity being read.
func (w *walker) leave() error {
	if w.isOpen(w.cur) {
		return nil
	}
	return w.visit.end(w.cur)
}
