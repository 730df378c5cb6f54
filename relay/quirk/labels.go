package quirk

import (
	"bytes"
	"io"
	"iter"
	"slices"
	"strings"

	"backstamp/mail"
	"backstamp/relay/ascii"
	"backstamp/relay/part"
	"backstamp/rewrite"
)

// Labels returns the parts whose labels have to change, because they say that
// there are no 8-bit bytes, or do not say which letters these are, and what else
// is odd about them. The message has header h; body writes the rest, which
// begins with the line that ends the header. Nothing is said about a message
// with more parts than are looked into (part.ErrLimits).
func (m Mender) Labels(h mail.Header, body func(io.Writer) error) (edits []mail.PartEdit, quirks []string, err error) {
	l := &labeller{client: m.Charset, leaf: newLeaf(h)}
	if err := part.Walk(h, body, l); err != nil {
		return nil, nil, err
	}
	return l.edits, l.quirks, nil
}

// Aliases names the quirk of a message that has a charset by a name that not all
// software knows, be it that of its body, in encoded words (RFC 2047) of its
// header, or among the labels of its parts.
func Aliases(h mail.Header, labels []string) (quirks []string) {
	_, params := rewrite.ContentType(h.Get("Content-Type"))
	labels = append(slices.Clone(labels), params["charset"])
	for _, f := range h {
		for rest := f.Raw; ; {
			_, after, found := bytes.Cut(rest, []byte("=?"))
			if !found {
				break
			}
			label, _, _ := bytes.Cut(after[:min(len(after), labelMax)], []byte("?"))
			label, _, _ = bytes.Cut(label, []byte("*")) // RFC 2231 section 5: a language
			labels = append(labels, string(label))
			rest = after
		}
	}
	if slices.ContainsFunc(labels, (*reading)(nil).isAlias) {
		quirks = append(quirks, CharsetAlias)
	}
	return quirks
}

// labelMax is the longest name of a charset, in octets, with some room.
const labelMax = 50

// A labeller looks at what parts say of themselves, and are: a part.Visitor.
type labeller struct {
	client string // its charset
	leaf   *leaf  // the part being read
	edits  []mail.PartEdit
	quirks []string
}

// A leaf is a part that is being read.
type leaf struct {
	field    string // Content-Type, whole, without line end; "" for none
	broken   bool   // software would read its header in different ways
	attached bool
	eight    bool
	head     []byte // of HTML, which may say what it is in
	text     *reading
	decoding *decoding
}

func newLeaf(h mail.Header) *leaf {
	l := &leaf{}
	for _, f := range h {
		if f.Is("Content-Type") {
			if f, err := ascii.Field(f); err == nil {
				l.field = strings.TrimRight(string(f.Raw), " \t\r\n")
			}
		}
	}
	l.broken = len(h.All("Content-Type")) > 1 || len(h.All("Content-Transfer-Encoding")) > 1
	disposition, params := rewrite.ContentType(h.Get("Content-Disposition"))
	_, named := params["filename"]
	l.attached = named || disposition != "" && disposition != "inline"
	return l
}

func (l *labeller) note(quirk string) {
	if !slices.Contains(l.quirks, quirk) {
		l.quirks = append(l.quirks, quirk)
	}
}

// Header begins a part.
func (l *labeller) Header(_ *part.Entity, head, _ []byte) error {
	h, _, _ := mail.ParseHeader(head)
	l.leaf = newLeaf(h)
	return nil
}

// Opens looks into every multipart.
func (l *labeller) Opens(*part.Entity) bool { return true }

// Gap passes over what lies between parts.
func (l *labeller) Gap(*part.Entity, []byte) error { return nil }

// Content looks at a piece of a part.
func (l *labeller) Content(e *part.Entity, p []byte) error {
	isText := strings.HasPrefix(e.Media, "text/")
	switch {
	case e.Sealed || e.Within:
	case e.Encoded() && isText:
		l.leaf.decode(e.Encoding, p)
	case !e.Encoded() && isText && !l.leaf.attached:
		l.leaf.read(e, l.client, p)
	case !e.Encoded():
		l.leaf.eight = l.leaf.eight || !ascii.Is(p)
	}
	return nil
}

func (l *leaf) decode(encoding string, p []byte) {
	if l.decoding == nil {
		l.decoding = &decoding{quoted: encoding == "quoted-printable"}
	}
	l.decoding.write(p)
}

// headMax is how much of a page is searched for its charset, in octets.
const headMax = 4 << 10

// read has a piece of text tried as what it may be, from the first that is not
// ASCII on.
func (l *leaf) read(e *part.Entity, client string, p []byte) {
	if l.text == nil && e.Media == "text/html" && len(l.head) < headMax {
		l.head = append(l.head, p[:min(len(p), headMax-len(l.head))]...)
	}
	if l.text == nil && !ascii.Is(p) {
		l.eight = true
		l.text = newReading(e.Charset, charsetIn(l.head), client)
	}
	if l.text != nil {
		l.text.write(p)
	}
}

// End judges a part.
func (l *labeller) End(e *part.Entity) error {
	if e.Mark == nil && !e.Sealed && !e.Within {
		l.judge(e, l.leaf)
	}
	return nil
}

func (l *labeller) judge(e *part.Entity, leaf *leaf) {
	if leaf.broken {
		return
	}
	edit := mail.PartEdit{Part: e.N}
	named := e.Charset != "" && !ascii.Plain(e.Charset)
	if leaf.text != nil {
		switch name, ok := leaf.text.end(); {
		case !ok, !named && e.Charset != "" && name != "utf-8": // nobody knows what else it is
			l.note(WrongCharset)
		case !named:
			l.note(NoCharset)
			edit.Type = setCharset(leaf.field, name)
		}
	}
	if leaf.text.isAlias(e.Charset) {
		l.note(CharsetAlias)
	}
	switch {
	case !leaf.eight:
		if leaf.decoding.broken() {
			l.note(WrongEncoding)
		}
	case e.Encoding == "", e.Encoding == "7bit":
		edit.Encoding = "8bit"
		if e.Encoding != "" || named || leaf.text == nil {
			l.note(WrongEncoding)
		}
	case e.Encoding != "8bit" && e.Encoding != "binary":
		l.note(WrongEncoding)
	}
	if edit != (mail.PartEdit{Part: e.N}) {
		l.edits = append(l.edits, edit)
	}
}

// setCharset gives a Content-Type field a charset, in the place of the one it
// has, or for a text without a field.
func setCharset(field, label string) string {
	if field == "" {
		return "Content-Type: text/plain; charset=" + label
	}
	if from, to := parameter(field, "charset"); from > 0 {
		return field[:from] + label + field[to:]
	}
	return strings.TrimRight(field, "; \t") + "; charset=" + label
}

// parameter finds the value of a parameter, with its quotes; 0, 0 where there
// is none.
func parameter(field, name string) (from, to int) {
	for at := range semicolons(field) {
		before, value, found := strings.Cut(field[at+1:], "=")
		if !found || !strings.EqualFold(strings.TrimSpace(before), name) {
			continue
		}
		rest := strings.TrimLeft(value, " \t\r\n")
		from = len(field) - len(rest)
		return from, from + valueLen(rest)
	}
	return 0, 0
}

// valueLen returns how much of s is the value that it begins with.
func valueLen(s string) int {
	end := strings.IndexAny(s, " \t\r\n;(")
	if strings.HasPrefix(s, `"`) {
		if end = strings.IndexByte(s[1:], '"'); end >= 0 {
			end += 2
		}
	}
	if end < 0 {
		return len(s)
	}
	return end
}

// semicolons are those outside quotes and comments.
func semicolons(s string) iter.Seq[int] {
	return func(yield func(int) bool) {
		quoted, comments := false, 0
		for i := 0; i < len(s); i++ {
			switch c := s[i]; {
			case c == '\\' && (quoted || comments > 0):
				i++
			case c == '"' && comments == 0:
				quoted = !quoted
			case quoted:
			case c == '(':
				comments++
			case c == ')' && comments > 0:
				comments--
			case c == ';' && comments == 0:
				if !yield(i) {
					return
				}
			}
		}
	}
}
