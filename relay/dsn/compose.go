package dsn

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"
	"unicode/utf8"

	"backstamp/mail"
	"backstamp/relay/ascii"
)

// returnedMax is the largest message that comes back whole; of others, and
// where nobody asked, the header does.
const returnedMax = 64 << 10

// compose writes the notice (RFC 3462, RFC 3464): for people, for programs, and
// what it is about.
func (w *Writer) compose(n mail.Notice, note *mail.Message) ([]byte, error) {
	token, err := w.Signer.AppendToken(nil, mail.Token{
		Key: w.Signer.Key(), Privacy: mail.Identified, Message: n.Message.ID, Purpose: mail.PurposeNotice,
	})
	if err != nil {
		return nil, fmt.Errorf("sign notice: %w", err)
	}
	boundary := "=_notice_" + note.ID.String()
	var b bytes.Buffer
	field := func(name, value string) {
		f, err := ascii.Field(mail.Field{Name: name, Raw: []byte(name + ": " + value + "\r\n")})
		if err == nil {
			b.Write(f.Raw)
		}
	}
	field("From", "Mail Delivery <"+note.HeaderFrom+">")
	field("To", "<"+note.Recipients[0]+">")
	field("Subject", clean(note.Subject))
	field("Date", n.At.Format(time.RFC1123Z))
	field("Message-ID", note.MessageID)
	if id := n.Message.MessageID; plain(id) {
		field("In-Reply-To", id)
	}
	field("Auto-Submitted", "auto-replied")
	field(noticeField, noticeVersion+" "+string(token))
	field("MIME-Version", "1.0")
	b.WriteString("Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"" + boundary + "\"\r\n\r\n")

	part := func(header string) { b.WriteString("--" + boundary + "\r\n" + header + "\r\n\r\n") }
	part("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable")
	q := quotedprintable.NewWriter(&b)
	io.WriteString(q, strings.ReplaceAll(tell(n), "\n", "\r\n"))
	q.Close()
	b.WriteString("\r\n")
	part("Content-Type: message/delivery-status")
	b.WriteString(w.status(n) + "\r\n")
	if err := returned(&b, n, part); err != nil {
		return nil, err
	}
	b.WriteString("\r\n--" + boundary + "--\r\n")
	return b.Bytes(), nil
}

// clean keeps a text on one line.
func clean(s string) string { return strings.Join(strings.Fields(mail.Escape(s)), " ") }

// plain reports whether a text may stand in a field as it is.
func plain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// status is the part for programs.
func (w *Writer) status(n mail.Notice) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Reporting-MTA: dns; %s\r\n", w.Hostname)
	if id := n.Message.EnvID; id != "" {
		fmt.Fprintf(&b, "Original-Envelope-Id: %s\r\n", clean(id))
	}
	fmt.Fprintf(&b, "Arrival-Date: %s\r\n", n.Message.Received.Format(time.RFC1123Z))
	for _, d := range n.Deliveries {
		b.WriteString("\r\n")
		if kind, address, ok := strings.Cut(d.Asked.Original, ";"); ok {
			fmt.Fprintf(&b, "Original-Recipient: %s; %s\r\n", strings.ToLower(kind), typed(address))
		}
		kind := "rfc822"
		if !isASCII(d.Recipient) {
			kind = "utf-8"
		}
		fmt.Fprintf(&b, "Final-Recipient: %s; %s\r\nAction: %s\r\nStatus: %s\r\n", kind, typed(d.Recipient), n.Action, code(n.Action, d))
		if d.Reply != "" {
			fmt.Fprintf(&b, "Diagnostic-Code: smtp; %s\r\n", folded(d.Reply))
		} else if d.Explain != nil && d.Explain.Detail != "" {
			fmt.Fprintf(&b, "Diagnostic-Code: x-backstamp; %s\r\n", folded(d.Explain.Detail))
		}
		fmt.Fprintf(&b, "Last-Attempt-Date: %s\r\n", n.At.Format(time.RFC1123Z))
		if n.Action == mail.Delays && !n.Until.IsZero() {
			fmt.Fprintf(&b, "Will-Retry-Until: %s\r\n", n.Until.Format(time.RFC1123Z))
		}
	}
	return b.String()
}

// typed writes an address of any letters in ASCII: as utf-8-addr-xtext where it
// is beyond (RFC 6533 section 3).
func typed(address string) string {
	var b strings.Builder
	for _, r := range clean(address) {
		if r < utf8.RuneSelf && r != '\\' || r == '\\' && isASCII(address) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%X}`, r)
		}
	}
	return b.String()
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// folded makes a reply one field: continued lines, no byte beyond ASCII.
func folded(reply string) string {
	var lines []string
	for line := range strings.SplitSeq(reply, "\n") {
		line = strings.Map(func(r rune) rune {
			if r < ' ' || r >= 0x7f {
				return '?'
			}
			return r
		}, strings.TrimSpace(line))
		if line != "" {
			lines = append(lines, line[:min(len(line), 900)])
		}
	}
	return strings.Join(lines, "\r\n ")
}

// code is the enhanced status code (RFC 3463) of a delivery: what the provider
// said, else what fits the action.
func code(action mail.Action, d mail.Delivery) string {
	said := ""
	if len(d.Reply) > 4 {
		said = mail.Reply{Code: 250, Lines: []string{d.Reply[4:]}}.Enhanced()
	}
	switch {
	case action == mail.Relayed:
		return "2.0.0"
	case action == mail.Delays && strings.HasPrefix(said, "4."):
		return said
	case action == mail.Delays:
		return "4.4.7"
	case strings.HasPrefix(said, "5."):
		return said
	case strings.HasPrefix(d.Reply, "5"):
		return "5.0.0"
	case d.Explain != nil:
		if own := (mail.Reply{Code: 550, Lines: []string{d.Explain.Detail}}).Enhanced(); strings.HasPrefix(own, "5.") {
			return own
		}
	}
	return "4.4.7" // given up
}

// returned writes the part that shows what the notice is about.
func returned(b *bytes.Buffer, n mail.Notice, part func(header string)) error {
	content := n.Content
	if n.Message.Ret == "FULL" && n.Action == mail.Fails && content.Size() <= returnedMax {
		part("Content-Type: message/rfc822" + label(content))
		_, err := io.Copy(b, io.NewSectionReader(content, 0, content.Size()))
		return err
	}
	h, _, _, err := mail.ReadHeader(content)
	if err != nil {
		return err
	}
	var text []byte
	for _, f := range h {
		if f.Name != "" && !f.Is("Bcc") && len(text)+len(f.Raw) <= returnedMax {
			if seven, err := ascii.Field(f); err == nil {
				text = append(text, seven.Raw...)
			}
		}
	}
	part("Content-Type: text/rfc822-headers")
	b.Write(text)
	return nil
}

// label is for a message that is not ASCII.
func label(content mail.Content) string {
	text := make([]byte, content.Size())
	if _, err := content.ReadAt(text, 0); err != nil && err != io.EOF || isASCII(string(text)) {
		return ""
	}
	return "\r\nContent-Transfer-Encoding: 8bit"
}

// The field by which a notice of ours is known.
const (
	noticeField   = "X-Backstamp-Notice"
	noticeVersion = "1"
)

// Quiet reports whether no notice may be made about a message with that header:
// it is a notice, of ours or of others, or an automatic reply (RFC 3834
// section 2). The signed field tells ours whatever became of the rest on its way.
func Quiet(s Signer, h mail.Header) bool {
	for _, f := range h.All(noticeField) {
		version, token, _ := strings.Cut(f.Value(), " ")
		if _, err := s.Verify(mail.PurposeNotice, token, ""); err == nil && version == noticeVersion {
			return true
		}
	}
	auto, _, _ := strings.Cut(h.Get("Auto-Submitted"), ";")
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return strings.EqualFold(strings.TrimSpace(auto), "auto-replied") || media == "multipart/report"
}
