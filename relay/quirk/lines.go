package quirk

import (
	"bytes"
	"cmp"
	"io"
	"slices"

	"backstamp/mail"
	"backstamp/relay/ascii"
	"backstamp/relay/part"
)

// Lines returns the parts of a message that have to be encoded for their lines
// to fit SMTP. What is signed or encrypted stays as it is. Its arguments and
// its error are those of Labels.
func Lines(h mail.Header, body func(io.Writer) error) (edits []mail.PartEdit, err error) {
	l := &liner{}
	if err := part.Walk(h, body, l); err != nil {
		return nil, err
	}
	for n, s := range l.parts {
		if s.sealed || !s.long && !s.head {
			continue
		}
		edit := mail.PartEdit{Part: n, Lines: true}
		if s.long && !s.encoded && !s.parted {
			edit.Encoding = part.Shorter(s.media, s.high, s.size)
		}
		edits = append(edits, edit)
	}
	return edits, nil
}

// A liner measures lines: a part.Visitor.
type liner struct{ parts []measure }

// A measure is what was found in a part.
type measure struct {
	media      string
	sealed     bool
	encoded    bool  // its content is
	parted     bool  // it has parts
	long       bool  // some line of it is
	head       bool  // so is one of its header
	col        int   // octets of the line that is being read
	high, size int64 // octets above 0x7f, and all
}

func (l *liner) of(e *part.Entity) *measure {
	for len(l.parts) <= e.N {
		l.parts = append(l.parts, measure{})
	}
	s := &l.parts[e.N]
	s.media, s.sealed, s.encoded = e.Media, e.Sealed, e.Encoded()
	return s
}

// Header looks at the header of a part.
func (l *liner) Header(e *part.Entity, head, _ []byte) error {
	if ascii.IsLong(head) {
		l.of(e).head = true
	}
	return nil
}

// Opens looks into every multipart.
func (l *liner) Opens(*part.Entity) bool { return true }

// Content looks at a piece of a part.
func (l *liner) Content(e *part.Entity, p []byte) error {
	l.of(e).take(p)
	return nil
}

// Gap looks at what lies between parts, or in a multipart that has none.
func (l *liner) Gap(e *part.Entity, p []byte) error {
	if s := l.of(e); e.Divides(p) {
		s.col, s.parted = 0, true
	} else if e.Mark != nil {
		s.take(p)
	}
	return nil
}

// End is the end of a part.
func (l *liner) End(*part.Entity) error { return nil }

func (s *measure) take(p []byte) {
	s.size += int64(len(p))
	s.high += part.CountHigh(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		s.col += len(bytes.TrimRight(line, "\r"))
		s.long = s.long || s.col > mail.LineMax
		if ended {
			s.col = 0
		}
		p = rest
	}
}

// Merge returns the edits of labels and of lines, by part. Where both have an
// encoding it is that of the lines.
func Merge(labels, lines []mail.PartEdit) []mail.PartEdit {
	all := slices.Concat(labels, lines)
	slices.SortStableFunc(all, func(x, y mail.PartEdit) int { return x.Part - y.Part })
	var out []mail.PartEdit
	for _, e := range all {
		if n := len(out); n > 0 && out[n-1].Part == e.Part {
			last := &out[n-1]
			last.Lines, last.Encoding = true, cmp.Or(e.Encoding, last.Encoding)
			continue
		}
		out = append(out, e)
	}
	return out
}
