package quirk

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"

	"backstamp/mail"
	"backstamp/relay/ascii"
)

// A Mender sets the headers of one client's messages right.
type Mender struct {
	Charset       string // of the client, where nothing else tells; "": unknown
	DefaultDomain string // of an address without one; "": it stays so
	UTF8          bool   // it asked for SMTPUTF8, under which raw UTF-8 is as it should be
	Legacy        bool   // From may have dots where none belong
}

// Header returns the fields of h that have to change, and the quirks that they
// had: raw 8-bit text becomes encoded words (RFC 2047), and the address in From
// is completed. What cannot be read stays as it is.
func (m Mender) Header(h mail.Header) (changes []mail.FieldChange, quirks []string) {
	labels := []string{charsetOf(h), m.Charset}
	for i, f := range h {
		text, names := m.field(f, labels)
		if len(names) > 0 {
			changes = append(changes, mail.FieldChange{At: i, Text: text})
			quirks = append(quirks, names...)
		}
	}
	return changes, quirks
}

// field returns the new text of a field and why it changes, if it does.
func (m Mender) field(f mail.Field, labels []string) (text string, quirks []string) {
	text = string(bytes.TrimRight(f.Raw, "\r\n"))
	if ascii.Has(f) && !(m.UTF8 && utf8.Valid(f.Raw)) {
		if encoded, ok := encode(f, labels); ok {
			text, quirks = encoded, append(quirks, RawHeader)
		}
	}
	if f.Is("From") {
		if whole, name := m.complete(text); name != "" {
			text, quirks = whole, append(quirks, name)
		}
	}
	if f.Name != "" && ascii.IsLong([]byte(text)) {
		text, quirks = foldText(text), append(quirks, LongLine)
	}
	return text, quirks
}

func foldText(text string) string {
	return strings.TrimRight(string(ascii.Fold(mail.NewField(text)).Raw), "\r\n")
}

// charsetOf returns the charset that the body of a message says it is in.
func charsetOf(h mail.Header) string {
	_, params, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return params["charset"]
}

// encode returns a field with its raw bytes as encoded words. Fields for
// machines have no place for them.
func encode(f mail.Field, labels []string) (text string, ok bool) {
	if ascii.ForMachines(f.Name) {
		return "", false
	}
	encoded, err := ascii.Field(f, labels...)
	return strings.TrimRight(string(encoded.Raw), "\r\n"), err == nil
}

// complete gives the address in a From field what it lacks, a domain or quotes,
// and names the quirk; "" where nothing is to be done or can be.
func (m Mender) complete(field string) (whole, quirk string) {
	if _, err := mail.NewField(field).Mailbox(); err == nil {
		return "", ""
	}
	from, to := addressIn(field)
	address := field[from:to]
	switch {
	case !strings.Contains(address, "@") && m.DefaultDomain != "":
		whole, quirk = address+"@"+m.DefaultDomain, NoDomain
	case m.Legacy:
		if dotted, ok := Dotted(address); ok {
			whole, quirk = dotted.String(), Syntax
		}
	}
	field = field[:from] + whole + field[to:]
	box, err := mail.NewField(field).Mailbox()
	if err != nil || quirk == "" || box.Address.String() != whole {
		return "", ""
	}
	return field, quirk
}

// addressIn finds what must be the address in a field of one mailbox: what
// stands in the angle brackets at its end, else all but a comment there.
func addressIn(field string) (from, to int) {
	from, to = strings.IndexByte(field, ':')+1, len(field)
	if i := strings.LastIndexByte(field, '<'); i > from && strings.HasSuffix(field, ">") {
		from, to = i+1, to-1
	} else if i := strings.IndexByte(field, '('); i > from && strings.HasSuffix(field, ")") {
		to = i
	}
	text := strings.TrimLeft(field[from:to], " \t\r\n")
	from = to - len(text)
	return from, from + len(strings.TrimRight(text, " \t\r\n"))
}
