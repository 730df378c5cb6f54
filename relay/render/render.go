// Package render makes the bytes of one Delivery for one provider: the splices
// of the plan, the edits of the header, and a DKIM signature over the result.
//
// Nothing is built in memory but the header. A Copy is written twice: once to
// be hashed and measured, once to the wire. Every header field that no edit
// declares goes out byte for byte and in its place; what is added stands above
// it.
package render

import (
	"fmt"
	"io"

	"backstamp/mail"
	"backstamp/relay/ascii"
	"backstamp/relay/part"
	"backstamp/rewrite"
)

// Settings say what providers want and who signs.
type Settings struct {
	DKIM      []Key
	Providers map[string]Provider // by account/name; the zero Provider stands for one that is missing
	Accounts  map[string]Aligner  // by name
}

// An Aligner judges anew a message that leaves through another provider than
// the one it was accepted for. An align.Account is one.
type Aligner interface {
	// Align is false where the account has no such provider.
	Align(provider, from, mailFrom string) (mail.Alignment, bool)
}

// A Provider is what the copies for one provider must or may not have.
type Provider struct {
	DKIM       []string // the fields to sign; nil: see signedFields
	SwitchOff  []string // whole fields without line end that keep it from tracking
	NullSender string   // "" keeps a null MAIL FROM, NullReplace replaces it
}

// NullReplace is the value of Provider.NullSender that has a null MAIL FROM
// replaced by the From address.
const NullReplace = "replace"

// A Renderer makes copies under one configuration. It never changes and may be
// used by many goroutines.
type Renderer struct {
	settings Settings
	keys     map[string][]Key // by domain in A-labels
	linker   rewrite.Linker
}

// New returns a Renderer. The linker signs the tracking links of tracked
// messages; without one they cannot be rendered.
func New(s Settings, l rewrite.Linker) *Renderer {
	r := &Renderer{settings: s, keys: map[string][]Key{}, linker: l}
	for _, k := range s.DKIM {
		k.Domain = aLabels(k.Domain)
		r.keys[k.Domain] = append(r.keys[k.Domain], k)
	}
	return r
}

// Render makes the copy of m for one recipient, or for those without a number
// where it is 0, as provider gets it. The copy refers to content, which must
// not change while it is in use.
func (r *Renderer) Render(m *mail.Message, content mail.Content, recipient int, provider string) (mail.Copy, error) {
	p := r.settings.Providers[provider]
	src, err := r.source(m, content, recipient)
	if err != nil {
		return nil, fmt.Errorf("render %v: %w", m.ID, err)
	}
	works := worksOf(m.Detail.Parts)
	if inBody(works) {
		src = src.recoded(works)
	}
	h := edit(src.fields, m.Detail.Header)
	if len(works) > 0 {
		h.kept = works[0].onto(h.kept)
	}
	al := r.alignment(m, provider)
	if al.Action == mail.ActionRewritten {
		h.rewriteFrom(al.Identity)
	}
	for _, field := range p.SwitchOff {
		h.switchOff(field)
	}
	h.dropBroken(src.original, src.edited)

	from := h.author()
	c := &copied{head: h.bytes(), body: src.body, mailFrom: mailFrom(m, al, p, from)}
	c.utf8 = m.UTF8 && !ascii.Is(c.head)
	c.sevenBit = func() (mail.Copy, error) { return r.sevenBit(c, src, h, p) }
	signers, err := r.newSigners(p, h, from)
	if err == nil {
		err = c.finish(signers)
	}
	if err != nil {
		return nil, fmt.Errorf("render %v: %w", m.ID, err)
	}
	return c, nil
}

// alignment returns how the message stands with the provider: what was decided
// at acceptance, unless it has moved since, or a reload has changed what From
// must become there.
func (r *Renderer) alignment(m *mail.Message, provider string) mail.Alignment {
	a, ok := r.settings.Accounts[m.Account]
	if !ok {
		return m.Detail.Alignment
	}
	now, ok := a.Align(provider, m.Detail.Alignment.From, m.MailFrom)
	rewritten := now.Action == mail.ActionRewritten && now.Identity != ""
	if ok && (provider != m.Provider || rewritten) {
		return now
	}
	return m.Detail.Alignment
}

// mailFrom returns the reverse-path of the copy whose From is from.
func mailFrom(m *mail.Message, al mail.Alignment, p Provider, from mail.Address) string {
	replace := al.Action == mail.ActionEnvelope || al.Action == mail.ActionRewritten
	if m.MailFrom == "" {
		replace = p.NullSender == NullReplace
	}
	if replace && from != (mail.Address{}) {
		return from.String()
	}
	return m.MailFrom
}

// A source is the message before the edits of its header.
type source struct {
	original mail.Header
	fields   mail.Header // original, or as the plan has them
	edited   bool        // by the plan, or its parts otherwise
	body     func(io.Writer) error
}

// source applies the plan of a tracked message. Its body begins with the empty
// line. Where the message has none, because a line that is no field ends its
// header, one goes before that line: so all readers see the end at the same
// place.
func (r *Renderer) source(m *mail.Message, content mail.Content, recipient int) (source, error) {
	fields, end, body, err := mail.ReadHeader(content)
	if err != nil {
		return source{}, err
	}
	separator := ""
	if end == body {
		separator = "\r\n"
	}
	plan, err := plan(m)
	if err != nil || plan == nil || !plan.Edited() {
		return source{original: fields, fields: fields, body: func(w io.Writer) error {
			if err := writeAll(w, []byte(separator)); err != nil {
				return err
			}
			_, err := io.Copy(w, io.NewSectionReader(content, int64(end), content.Size()-int64(end)))
			return err
		}}, err
	}
	header, err := plan.Header(content)
	if err != nil {
		return source{}, err
	}
	edited, _, _ := mail.ParseHeader(header)
	return source{original: fields, fields: edited, edited: true, body: func(w io.Writer) error {
		if err := writeAll(w, []byte(separator)); err != nil {
			return err
		}
		return plan.WriteBody(w, content, r.linker, recipient)
	}}, nil
}

// recoded has work done on the parts.
func (s source) recoded(works []work) source {
	body := s.body
	s.edited = true
	s.body = func(w io.Writer) error { return part.Walk(s.fields, body, &recoder{w: w, works: works}) }
	return s
}

// plan reads the plan of a message, nil where there is none.
func plan(m *mail.Message) (*rewrite.Plan, error) {
	if !m.Tracked || len(m.Detail.Plan) == 0 {
		return nil, nil
	}
	plan, err := rewrite.Decode(m.Detail.Plan)
	if err != nil {
		return nil, fmt.Errorf("read its plan: %w", err)
	}
	return plan, nil
}

func writeAll(w io.Writer, pieces ...[]byte) error {
	for _, p := range pieces {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}
