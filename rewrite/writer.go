package rewrite

import (
	"cmp"
	"io"
	"sync"

	"backstamp/mail"
)

// A writer writes copies. It stops at the first error.
type writer struct {
	w       io.Writer
	content window
	err     error

	// Memory for what is being written: a splice, encoded text, text to be
	// encoded, text being decoded.
	splice, out, line, packed []byte
}

// writers holds *writer that have done their work, for their memory.
var writers = sync.Pool{New: func() any { return new(writer) }}

// newWriter returns a writer of copies of c to w. It must be closed.
func newWriter(w io.Writer, c mail.Content) *writer {
	out := writers.Get().(*writer)
	out.w, out.content, out.err = w, look(c), nil
	return out
}

func (w *writer) close() {
	w.content.close()
	w.w, w.content = nil, window{}
	writers.Put(w)
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) write(p []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(p)
	}
}

// some returns octets of content[from:to], least of them at least if there are
// as many, or nil behind an error.
func (w *writer) some(from, to, least int) []byte {
	if w.err != nil {
		return nil
	}
	p := w.content.view(from, min(least, to-from))
	if len(p) == 0 {
		w.fail(cmp.Or(w.content.err, errContent))
	}
	return p[:min(len(p), to-from)]
}

// copy writes content[from:to].
func (w *writer) copy(from, to int) {
	for from < to {
		p := w.some(from, to, 1)
		if len(p) == 0 {
			return
		}
		w.write(p)
		from += len(p)
	}
}

// region writes a region in the copy that t makes tokens for.
func (w *writer) region(r region, t tokens) {
	switch r.codec {
	case codecBase64:
		w.base64(r, t)
	case codecQuoted:
		w.quoted(r, t)
	default:
		w.plain(r, t)
	}
}

func (w *writer) plain(r region, t tokens) {
	at := r.from
	for i := range r.splices {
		s := &r.splices[i]
		w.copy(at, r.from+s.from)
		w.write(w.inserted(s, t))
		at = r.from + s.to
	}
	w.copy(at, r.to)
}

// inserted returns what a splice puts in. It is good until the next call.
func (w *writer) inserted(s *splice, t tokens) []byte {
	w.splice = append(w.splice[:0], s.before...)
	if s.slot != slotNone && w.err == nil {
		w.splice, w.err = t.appendTo(w.splice, s.slot)
	}
	w.splice = append(w.splice, s.after...)
	return w.splice
}

// quoted encodes the region as quoted-printable. Tokens are never broken, so
// that they have their slot at one place in all copies. The first character of
// one comes of its version and is a letter.
func (w *writer) quoted(r region, t tokens) {
	q := quoter{out: w.out[:0], literal: w.line}
	at := r.from
	for i := range r.splices {
		s := &r.splices[i]
		w.quote(&q, at, r.from+s.from)
		q.insert(s.before)
		if s.slot != slotNone && w.err == nil {
			w.splice, w.err = t.appendTo(w.splice[:0], s.slot)
			q.unit(w.splice...)
		}
		q.insert(s.after)
		at = r.from + s.to
	}
	w.quote(&q, at, r.to)
	w.write(q.out)
	w.out, w.line = q.out, q.literal
}

// quote encodes content[from:to].
func (w *writer) quote(q *quoter, from, to int) {
	for from < to {
		p := w.some(from, to, 2*lookahead)
		if len(p) == 0 {
			return
		}
		n := len(p)
		if from+n < to {
			n -= lookahead
		}
		from += q.some(p, n)
		w.write(q.out)
		q.out = q.out[:0]
	}
}
