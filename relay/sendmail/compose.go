package sendmail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"time"

	"backstamp/mail"
)

// A Letter is mail as it was handed in: an envelope, and content whose lines
// end in CRLF.
type Letter struct {
	From    string // "" is the null reverse-path
	To      []string
	Content mail.ContentCloser
	Wishes
	high bool // some byte of the content is above 0x7f
	bare bool // it has no From, so that the relay's rule stands in
}

// Close lets go of the content.
func (l *Letter) Close() error { return l.Content.Close() }

// A Host is what is known of the machine and of who calls.
type Host struct {
	Domain string // completes addresses that have none, and makes Message-IDs
	User   string // who calls
	Now    time.Time
	Limit  int64 // the largest message, in octets
}

// Compose reads a message as programs pipe it into sendmail, and who is to get
// it. Lines may end in LF, CRLF or CR CR LF, as they come. All Bcc fields are
// removed; Date and Message-ID are added where they are missing, so that mail
// which waits keeps its time and is known again, and From where -f tells it. A
// message without a header gets one. Its errors are *Error.
func Compose(in io.Reader, o Options, host Host) (*Letter, error) {
	r := &lineReader{r: bufio.NewReaderSize(in, 64<<10), keepDots: o.KeepDots}
	header, err := r.header()
	if err != nil {
		return nil, inputError(err)
	}
	l := &Letter{To: slices.Clone(o.Recipients), Wishes: o.Wishes}
	if o.FromHeader {
		found, err := recipients(header)
		if err != nil {
			return nil, err
		}
		l.To = append(l.To, found...)
	}
	if err := l.address(header, o, host); err != nil {
		return nil, err
	}
	d := &draft{limit: host.Limit}
	_, err = d.Write(edit(header, o, l.From, host))
	if err == nil {
		err = r.body(d)
	}
	if err != nil {
		d.Close()
		return nil, inputError(err)
	}
	l.Content, l.high = d, d.high
	l.bare = !header.Has("From") && o.Sender == nil
	return l, nil
}

func inputError(err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return errorf(ExUnavailable, "the message is larger than limits.message allows")
	case errors.Is(err, mail.ErrHeader):
		return errorf(ExDataErr, "the header is larger than %d octets", mail.HeaderMax)
	}
	return errorf(ExIOErr, "reading the message: %v", err)
}

// recipients are those of To, Cc and Bcc, or where the mail was sent on, of the
// Resent- fields instead (RFC 5322 section 3.6.6).
func recipients(h mail.Header) (to []string, err error) {
	prefix := ""
	if h.Has("Resent-To") || h.Has("Resent-Cc") || h.Has("Resent-Bcc") {
		prefix = "Resent-"
	}
	for _, f := range h {
		if !f.Is(prefix+"To") && !f.Is(prefix+"Cc") && !f.Is(prefix+"Bcc") {
			continue
		}
		list, err := addressList(f.Value())
		if err != nil {
			return nil, errorf(ExDataErr, "field %s: %v", f.Name, err)
		}
		to = append(to, list...)
	}
	return to, nil
}

// address settles the envelope: the sender is that of -f, else the address in
// From, else the user who calls.
func (l *Letter) address(h mail.Header, o Options, host Host) error {
	if len(l.To) == 0 {
		if o.FromHeader {
			return errorf(ExDataErr, "no recipients: neither the header nor the command line names one")
		}
		return errorf(ExUsage, "no recipients; expected addresses, or -t and a header that names them")
	}
	for i, addr := range l.To {
		l.To[i] = complete(addr, host.Domain)
	}
	switch from := h.All("From"); {
	case o.Sender != nil:
		l.From = *o.Sender
	case len(from) == 1:
		if list, err := addressList(from[0].Value()); err == nil && len(list) == 1 {
			l.From = list[0]
		}
	}
	if l.From == "" && o.Sender == nil {
		if l.From = host.User; check(l.From) != nil {
			l.From = "nobody"
		}
	}
	l.From = complete(l.From, host.Domain)
	return nil
}

// edit returns the header as it is handed in, with the line that ends it.
func edit(h mail.Header, o Options, from string, host Host) []byte {
	var b bytes.Buffer
	if !h.Has("Date") {
		fmt.Fprintf(&b, "Date: %s\r\n", host.Now.Format(time.RFC1123Z))
	}
	if !h.Has("Message-ID") {
		var ids mail.IDs
		fmt.Fprintf(&b, "Message-ID: <%s.sendmail@%s>\r\n", ids.Next(host.Now), host.Domain)
	}
	if !h.Has("From") && o.Sender != nil && from != "" {
		fmt.Fprintf(&b, "From: %s\r\n", mailbox(o.Name, from))
	}
	for _, f := range h {
		if !f.Is("Bcc") && !f.Is("Resent-Bcc") {
			b.Write(f.Raw)
		}
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// mailbox writes a display name, if there is one, and an address.
func mailbox(name, addr string) string {
	if name == "" {
		return addr
	}
	word := mime.BEncoding.Encode("utf-8", strings.ToValidUTF8(name, "?"))
	if word == name {
		word = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return word + " <" + addr + ">"
}

// A lineReader reads a message line by line, each with one CRLF at its end.
type lineReader struct {
	r        *bufio.Reader
	keepDots bool
	crs      int    // CRs that wait for what follows them
	again    []byte // the line that ended the header and is no part of it
	inside   bool   // of a line
	ended    bool
}

// header reads up to the line that ends the header: an empty one, or one that
// is no field. A first line "From " (mbox) is dropped.
func (r *lineReader) header() (mail.Header, error) {
	var b []byte
	for first := true; ; first = false {
		line, err := r.line()
		if err != nil || len(line) == 0 || string(line) == "\r\n" {
			h, _, _ := mail.ParseHeader(b)
			return h, err
		}
		h, _, _ := mail.ParseHeader(line)
		folded := (line[0] == ' ' || line[0] == '\t') && len(b) > 0
		switch {
		case first && len(h) == 1 && h[0].Name == "":
			continue
		case !folded && (len(h) == 0 || h[0].Name == ""):
			r.again = line
			h, _, _ := mail.ParseHeader(b)
			return h, nil
		}
		if b = append(b, line...); len(b) > mail.HeaderMax {
			return nil, mail.ErrHeader
		}
	}
}

// line reads a whole line of the header; none at the end. A CR inside of it
// would make a field of what follows: it becomes a space.
func (r *lineReader) line() ([]byte, error) {
	var line []byte
	for {
		piece, whole, err := r.piece(' ')
		line = append(line, piece...)
		switch {
		case len(line) > mail.HeaderMax:
			return nil, mail.ErrHeader
		case err == io.EOF:
			if len(line) > 0 && !whole {
				line = append(line, "\r\n"...)
			}
			return line, nil
		case err != nil || whole:
			return line, err
		}
	}
}

// body copies what is left.
func (r *lineReader) body(w io.Writer) error {
	if _, err := w.Write(r.again); err != nil {
		return err
	}
	open := false // a line was begun and not ended
	for {
		piece, whole, err := r.piece('\r')
		if _, err := w.Write(piece); err != nil {
			return err
		}
		open = !whole && (open || len(piece) > 0)
		if err == nil {
			continue
		}
		if err == io.EOF && open {
			_, err = io.WriteString(w, "\r\n")
		}
		if err == io.EOF {
			err = nil
		}
		return err
	}
}

// piece reads up to the end of a line, or what fits the buffer. CRs that no LF
// follows become lone: '\r' is a line end, anything else is itself.
func (r *lineReader) piece(lone byte) (piece []byte, whole bool, err error) {
	if r.ended {
		return nil, false, io.EOF
	}
	raw, err := r.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		err = nil
	}
	r.ended = err == io.EOF
	text, whole := bytes.CutSuffix(raw, []byte("\n"))
	crs := len(text) - len(bytes.TrimRight(text, "\r"))
	text = text[:len(text)-crs]
	if !r.keepDots && !r.inside && r.crs == 0 && string(text) == "." && (whole || r.ended) {
		r.ended = true
		return nil, false, io.EOF
	}
	var b []byte
	if len(text) > 0 {
		b = appendLone(b, r.crs, lone)
		r.crs = 0
		for i, part := range bytes.Split(text, []byte("\r")) {
			if i > 0 {
				b = appendLone(b, 1, lone)
			}
			b = append(b, part...)
		}
	}
	r.crs += crs
	if whole = whole || r.ended && r.crs > 0; whole {
		b = append(b, "\r\n"...)
		r.crs = 0
	}
	r.inside = !whole
	return b, whole, err
}

// appendLone adds n CRs that no LF follows.
func appendLone(b []byte, n int, as byte) []byte {
	for range n {
		if as == '\r' {
			b = append(b, "\r\n"...)
		} else {
			b = append(b, as)
		}
	}
	return b
}
