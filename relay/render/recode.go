package render

import (
	"fmt"
	"io"

	"backstamp/mail"
	"backstamp/relay/ascii"
	"backstamp/relay/part"
)

// A work is what is done to an entity.
type work struct {
	field  string // its new Content-Type field, whole; "": it stays
	label  string // its new transfer encoding; "": it stays
	mend   bool   // its content needs it, in the encoding that it has
	closed bool   // a multipart that is written as if it were no such thing
}

// worksOf returns what was decided about the parts at acceptance.
func worksOf(edits []mail.PartEdit) []work {
	if len(edits) == 0 {
		return nil
	}
	works := make([]work, edits[len(edits)-1].Part+1)
	for _, e := range edits {
		works[e.Part] = work{field: e.Type, label: e.Encoding, mend: e.Lines, closed: encodes(e.Encoding)}
	}
	return works
}

// inBody reports whether works change more than the header of the message.
func inBody(works []work) bool { return len(works) > 1 || len(works) == 1 && works[0].mend }

// encodes reports whether an encoding is more than a label.
func encodes(encoding string) bool { return encoding == "quoted-printable" || encoding == "base64" }

// onto labels an entity with that header. What a plan has encoded stays so.
func (wk work) onto(h mail.Header) mail.Header {
	if wk.field != "" {
		h = h.Put(mail.NewField(wk.field))
	}
	var e part.Entity
	if e.Read(h); wk.label != "" && !(wk.label == "8bit" && e.Encoded()) {
		h = h.Put(encodingField(wk.label))
	}
	return h
}

func encodingField(name string) mail.Field {
	return mail.NewField("Content-Transfer-Encoding: " + name)
}

// A recoder writes a message with work done: a part.Visitor. Nothing of what is
// sealed changes, unless all has to become ASCII.
type recoder struct {
	w       io.Writer
	works   []work
	ascii   bool           // no byte may be above 0x7f
	encoder io.WriteCloser // of the entity being read, nil for none
	between breaker        // parts
}

func (r *recoder) of(e *part.Entity) work {
	if e.N >= len(r.works) || e.Sealed && !r.ascii {
		return work{}
	}
	return r.works[e.N]
}

// Header writes the fields of an entity.
func (r *recoder) Header(e *part.Entity, head, empty []byte) error {
	if e.Sealed && !r.ascii {
		return writeAll(r.w, head, empty)
	}
	h, _, _ := mail.ParseHeader(head)
	if wk := r.of(e); wk.field != "" || wk.label != "" {
		h = wk.onto(h)
		if e.Inner && !h.Has("MIME-Version") {
			h = append(h, mail.NewField("MIME-Version: 1.0"))
		}
		if len(empty) == 0 {
			empty = []byte("\r\n") // what was encoded may look like a field
		}
	}
	for _, f := range h {
		f, err := r.field(e, f)
		if err != nil {
			return err
		}
		if err := writeAll(r.w, f.Raw); err != nil {
			return err
		}
	}
	return writeAll(r.w, empty)
}

func (r *recoder) field(e *part.Entity, f mail.Field) (mail.Field, error) {
	if !r.ascii {
		return ascii.Fold(f), nil
	}
	seven, err := ascii.Field(f, e.Charset)
	if err != nil {
		return f, fmt.Errorf("%w: field %s of a message within", err, f.Name)
	}
	return seven, nil
}

// Opens reports whether a multipart is looked into.
func (r *recoder) Opens(e *part.Entity) bool { return !r.of(e).closed }

// Gap writes what lies between parts.
func (r *recoder) Gap(e *part.Entity, p []byte) error {
	if r.ascii {
		if !ascii.Is(p) {
			p = unmarked(p)
		}
		return writeAll(r.w, p)
	}
	if e.Sealed || e.Divides(p) {
		r.between = breaker{}
		return writeAll(r.w, p)
	}
	r.between.w = r.w
	return writeAll(&r.between, p)
}

// Content writes a piece of a part.
func (r *recoder) Content(e *part.Entity, p []byte) error {
	how := r.how(e)
	if how == "" {
		return writeAll(r.w, p)
	}
	if r.encoder == nil {
		r.encoder = newEncoder(r.w, how)
	}
	return writeAll(r.encoder, p)
}

// how says in what way content is written, "" for as it is.
func (r *recoder) how(e *part.Entity) string {
	switch wk := r.of(e); {
	case encodes(wk.label):
		return wk.label
	case !wk.mend:
		return ""
	case e.Encoding == "quoted-printable":
		return "mend"
	case r.ascii:
		return "unmark"
	}
	return "break"
}

// End ends a part.
func (r *recoder) End(*part.Entity) error {
	if r.encoder == nil {
		return nil
	}
	err := r.encoder.Close()
	r.encoder = nil
	return err
}
