package relay

import (
	"errors"
	"io"

	"backstamp/mail"
	"backstamp/relay/part"
	"backstamp/relay/quirk"
	"backstamp/rewrite"
)

// mend decides what changes in the header and in the parts of a message, and
// returns what was odd about the parts. A message with too many of them keeps
// them as they are.
func (s *session) mend(m *mail.Message, mender quirk.Mender, original form, p *rewrite.Plan) (quirks []string, err error) {
	planned := original
	if p.Edited() {
		if planned, err = original.planned(p); err != nil {
			return nil, err
		}
	}
	m.Detail.Header.Change, _ = mender.Header(planned.header)
	var labels, lines []mail.PartEdit
	if s.peer.eightBit || original.isEncoded() {
		labels, quirks, err = mender.Labels(original.header, original.body)
	}
	quirks = append(quirks, quirk.Aliases(original.header, p.Charsets())...)
	if p.Reason() == rewrite.ReasonEncodingBroken {
		quirks = append(quirks, quirk.WrongEncoding)
	}
	if s.peer.longLine {
		quirks = append(quirks, quirk.LongLine)
	}
	if s.peer.longLine && err == nil {
		lines, err = quirk.Lines(planned.header, planned.body)
	}
	if errors.Is(err, part.ErrLimits) {
		return quirks, nil
	}
	m.Detail.Parts = quirk.Merge(labels, lines)
	return quirks, err
}

// A form is a message in two pieces: the fields of its header, and what follows
// them.
type form struct {
	content mail.Content
	header  mail.Header
	body    func(io.Writer) error
}

// read returns content as it came. Where no line ends its header there is one, as
// in each copy.
func read(content mail.Content) (form, error) {
	h, end, body, err := mail.ReadHeader(content)
	return form{content, h, func(w io.Writer) error {
		if end == body {
			if _, err := io.WriteString(w, "\r\n"); err != nil {
				return err
			}
		}
		_, err := io.Copy(w, io.NewSectionReader(content, int64(end), content.Size()-int64(end)))
		return err
	}}, err
}

// planned returns the message as a plan leaves it. The lines of all copies have
// the same lengths. Where no line ends the header nothing is planned.
func (f form) planned(p *rewrite.Plan) (form, error) {
	header, err := p.Header(f.content)
	h, _, _ := mail.ParseHeader(header)
	return form{f.content, h, func(w io.Writer) error { return p.WriteBody(w, f.content, nil, 1) }}, err
}

// isEncoded reports whether the message is one part in an encoding, which may be
// another than it says.
func (f form) isEncoded() bool {
	var top part.Entity
	top.Read(f.header)
	return top.Encoded()
}
