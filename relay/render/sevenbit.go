package render

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"

	"backstamp/mail"
	"backstamp/relay/ascii"
	"backstamp/relay/part"
)

// A server without 8BITMIME gets the message in ASCII: parts with other bytes
// in quoted-printable or base64, whichever is shorter, header fields as package
// ascii writes them. Of a header nothing else changes, and parts that were ASCII
// stay as they are. What a signature covers cannot be changed: such a message
// fails. Bytes beyond ASCII before, between and behind the parts of a multipart,
// which no reader shows, become question marks.

// sevenBit returns the copy of a message with that source and header in ASCII.
func (r *Renderer) sevenBit(c *copied, src source, h *header, p Provider) (mail.Copy, error) {
	survey := &survey{}
	if err := walk(h.all(), src.body, survey); err != nil {
		return nil, err
	}
	survey.settle()
	h = &header{added: slices.Clone(h.added), kept: slices.Clone(h.kept)}
	if err := h.sevenBit(survey); err != nil {
		return nil, err
	}
	h.dropBroken(src.original, true)
	fields := h.all()
	seven := &copied{head: h.bytes(), mailFrom: c.mailFrom, body: func(w io.Writer) error {
		return walk(fields, src.body, &recoder{w: w, findings: survey.findings})
	}}
	signers, err := r.newSigners(p, h, h.author())
	if err == nil {
		err = seven.finish(signers)
	}
	if err == nil && seven.eightBit {
		err = fmt.Errorf("%w: something was left", mail.ErrEightBit)
	}
	return seven, err
}

// walk is part.Walk for what has to become ASCII.
func walk(h mail.Header, body func(io.Writer) error, v part.Visitor) error {
	err := part.Walk(h, body, v)
	if errors.Is(err, part.ErrLimits) {
		err = fmt.Errorf("%w: %w", mail.ErrEightBit, err)
	}
	return err
}

// A finding is what an entity holds itself, not in its parts.
type finding struct {
	eight, size int64 // octets above 0x7f, and all
	parts       bool
	to          string // the encoding that it gets, "" for none
	media       string
	encoding    string
}

// A survey finds out what has to be encoded: a visitor.
type survey struct{ findings []finding }

func (s *survey) of(e *part.Entity) *finding {
	for len(s.findings) <= e.N {
		s.findings = append(s.findings, finding{})
	}
	f := &s.findings[e.N]
	f.media, f.encoding = e.Media, e.Encoding
	return f
}

func (s *survey) Header(e *part.Entity, head, _ []byte) error {
	s.of(e)
	return s.covered(e, head)
}

func (s *survey) Opens(*part.Entity) bool { return true }

func (s *survey) Content(e *part.Entity, p []byte) error {
	f := s.of(e)
	f.size += int64(len(p))
	f.eight += countEight(p)
	return s.covered(e, p)
}

func (s *survey) Gap(e *part.Entity, p []byte) error {
	f := s.of(e)
	if e.Divides(p) {
		f.parts = true
		return nil
	}
	return s.Content(e, p)
}

func (s *survey) End(*part.Entity) error { return nil }

// covered refuses what a signature covers.
func (s *survey) covered(e *part.Entity, p []byte) error {
	if e.Signed && !ascii.Is(p) {
		return fmt.Errorf("%w: a signature covers bytes beyond it", mail.ErrEightBit)
	}
	return nil
}

// settle chooses the encodings.
func (s *survey) settle() {
	for i := range s.findings {
		f := &s.findings[i]
		text := strings.HasPrefix(f.media, "text/") || strings.HasPrefix(f.media, "message/") || strings.HasPrefix(f.media, "multipart/")
		switch {
		case f.parts:
			if f.labelled() {
				f.to = "7bit"
			}
		case f.eight == 0:
			if f.labelled() && strings.HasPrefix(f.media, "message/") {
				f.to = "7bit" // that of a message within, which is ASCII now
			}
		case f.encoding == "quoted-printable" || f.encoding == "base64": // mended as they are
		case text && f.eight <= f.size/6: // of 1 octet quoted-printable makes 3, base64 of 3 octets 4
			f.to = "quoted-printable"
		default:
			f.to = "base64"
		}
	}
}

// labelled reports whether an entity says of itself that it may not be ASCII.
func (f *finding) labelled() bool { return f.encoding == "8bit" || f.encoding == "binary" }

func countEight(p []byte) (n int64) {
	for _, c := range p {
		if c >= 0x80 {
			n++
		}
	}
	return n
}

// sevenBit encodes the fields of the message, and labels its content.
func (h *header) sevenBit(s *survey) error {
	var top part.Entity
	top.Read(h.all())
	for _, fields := range [][]mail.Field{h.added, h.kept} {
		for i, f := range fields {
			var err error
			if fields[i], err = ascii.Field(f, top.Charset); err != nil {
				return fmt.Errorf("%w: field %s", err, f.Name)
			}
		}
	}
	if len(s.findings) == 0 || s.findings[0].to == "" {
		return nil
	}
	h.kept, h.added = relabel(h.kept, s.findings[0].to), slices.DeleteFunc(h.added, isEncoding)
	if !h.all().Has("MIME-Version") {
		h.add("MIME-Version: 1.0")
	}
	return nil
}

func isEncoding(f mail.Field) bool { return f.Is("Content-Transfer-Encoding") }

// relabel gives fields another transfer encoding, where it stood or at the end.
func relabel(h mail.Header, to string) mail.Header {
	label := mail.NewField("Content-Transfer-Encoding: " + to)
	i := slices.IndexFunc(h, isEncoding)
	if i < 0 {
		return append(slices.Clone(h), label)
	}
	h = slices.Clone(h)
	h[i] = label
	return append(h[:i+1], slices.DeleteFunc(h[i+1:], isEncoding)...)
}

// A recoder writes a message as a survey settled: a visitor.
type recoder struct {
	w        io.Writer
	findings []finding
	encoder  io.WriteCloser // of the entity being read, nil for none
}

func (r *recoder) of(e *part.Entity) finding {
	if e.N < len(r.findings) {
		return r.findings[e.N]
	}
	return finding{}
}

func (r *recoder) Header(e *part.Entity, head, empty []byte) error {
	h, _, _ := mail.ParseHeader(head)
	to := r.of(e).to
	if to != "" {
		h = relabel(h, to)
		if e.Inner && !h.Has("MIME-Version") {
			h = append(h, mail.NewField("MIME-Version: 1.0"))
		}
		if len(empty) == 0 {
			empty = []byte("\r\n") // what was encoded may look like a field
		}
	}
	for _, f := range h {
		seven, err := ascii.Field(f, e.Charset)
		if err != nil {
			return fmt.Errorf("%w: field %s of a message within", err, f.Name)
		}
		if err := writeAll(r.w, seven.Raw); err != nil {
			return err
		}
	}
	return writeAll(r.w, empty)
}

func (r *recoder) Opens(e *part.Entity) bool { return r.of(e).parts }

func (r *recoder) Gap(_ *part.Entity, p []byte) error {
	if !ascii.Is(p) {
		p = unmarked(p)
	}
	return writeAll(r.w, p)
}

// unmarked has question marks for bytes beyond ASCII.
func unmarked(p []byte) []byte {
	p = bytes.Clone(p)
	for i, c := range p {
		if c >= 0x80 {
			p[i] = '?'
		}
	}
	return p
}

func (r *recoder) Content(e *part.Entity, p []byte) error {
	f := r.of(e)
	if f.eight == 0 {
		return writeAll(r.w, p)
	}
	if r.encoder == nil {
		r.encoder = newEncoder(r.w, cmp.Or(f.to, "mend "+f.encoding))
	}
	return writeAll(r.encoder, p)
}

func (r *recoder) End(*part.Entity) error {
	if r.encoder == nil {
		return nil
	}
	err := r.encoder.Close()
	r.encoder = nil
	return err
}

// newEncoder returns what encodes content, to be closed at its end.
func newEncoder(w io.Writer, how string) io.WriteCloser {
	switch how {
	case "quoted-printable":
		return quotedprintable.NewWriter(w)
	case "base64":
		return base64.NewEncoder(base64.StdEncoding, &wrapper{w: w})
	case "mend quoted-printable":
		return &mender{w: w}
	}
	return unmarker{w}
}

// A wrapper breaks lines of base64.
type wrapper struct {
	w   io.Writer
	col int
}

func (l *wrapper) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 {
		if l.col == 76 {
			if err := writeAll(l.w, []byte("\r\n")); err != nil {
				return 0, err
			}
			l.col = 0
		}
		n := min(len(p), 76-l.col)
		if err := writeAll(l.w, p[:n]); err != nil {
			return 0, err
		}
		l.col += n
		p = p[n:]
	}
	return size, nil
}

// A mender encodes the bytes of quoted-printable that should have been: readers
// take them as they stand.
type mender struct {
	w   io.Writer
	col int
}

func (m *mender) Write(p []byte) (int, error) {
	var b bytes.Buffer
	for _, c := range p {
		switch {
		case c < 0x80:
			b.WriteByte(c)
			m.col++
		default:
			if m.col > 72 {
				b.WriteString("=\r\n")
				m.col = 0
			}
			fmt.Fprintf(&b, "=%02X", c)
			m.col += 3
		}
		if c == '\n' {
			m.col = 0
		}
	}
	return len(p), writeAll(m.w, b.Bytes())
}

func (m *mender) Close() error { return nil }

// An unmarker replaces bytes that base64 does not have and readers pass over.
type unmarker struct{ io.Writer }

func (u unmarker) Write(p []byte) (int, error) { return len(p), writeAll(u.Writer, unmarked(p)) }

func (u unmarker) Close() error { return nil }
