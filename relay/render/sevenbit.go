package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
		return walk(fields, src.body, &recoder{w: w, works: survey.works(), ascii: true})
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
	f.eight += part.CountHigh(p)
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
		default:
			f.to = part.Shorter(f.media, f.eight, f.size)
		}
	}
}

// works returns what has to be done.
func (s *survey) works() []work {
	works := make([]work, len(s.findings))
	for i, f := range s.findings {
		works[i] = work{label: f.to, mend: f.eight > 0, closed: !f.parts}
	}
	return works
}

// labelled reports whether an entity says of itself that it may not be ASCII.
func (f *finding) labelled() bool { return f.encoding == "8bit" || f.encoding == "binary" }

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
	h.kept, h.added = mail.Header(h.kept).Put(encodingField(s.findings[0].to)), slices.DeleteFunc(h.added, isEncoding)
	if !h.all().Has("MIME-Version") {
		h.add("MIME-Version: 1.0")
	}
	return nil
}

func isEncoding(f mail.Field) bool { return f.Is("Content-Transfer-Encoding") }

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
