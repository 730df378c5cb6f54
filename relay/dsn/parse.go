package dsn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"net/textproto"
	"strings"

	"backstamp/mail"
)

// A Report is what a notice says about one recipient (RFC 3464 section 2.3).
type Report struct {
	Recipient  string // Final-Recipient, else Original-Recipient, without its type
	Action     mail.Action
	Status     string // enhanced status code, "" where it is none
	Diagnostic string // Diagnostic-Code, without its type
}

// ErrNoReport says that a message is no delivery status notification.
var ErrNoReport = errors.New("no delivery status notification")

// The bounds of what is read of a notice.
const (
	readMax    = 1 << 20
	partsMax   = 20
	reportsMax = 1000
)

// Parse reads a notice of any server and returns what it says of each recipient,
// and the Message-ID of what it is about, "" where that is not told. It is
// lenient: fields that are broken or missing are left out, and what is beyond
// the bounds is not looked at.
func Parse(r io.Reader) (reports []Report, messageID string, err error) {
	m, err := netmail.ReadMessage(bufio.NewReader(io.LimitReader(r, readMax)))
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrNoReport, err)
	}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || media != "multipart/report" || params["boundary"] == "" {
		return nil, "", ErrNoReport
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for range partsMax {
		p, err := parts.NextPart()
		if err != nil {
			break
		}
		body, err := io.ReadAll(p)
		if err != nil && len(body) == 0 {
			break
		}
		switch media, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type")); media {
		case "message/delivery-status", "message/global-delivery-status":
			reports = append(reports, groups(body)...)
		case "text/rfc822-headers", "message/rfc822", "message/global", "message/global-headers":
			messageID = firstID(body)
		}
	}
	if len(reports) == 0 {
		return nil, "", ErrNoReport
	}
	return reports[:min(len(reports), reportsMax)], messageID, nil
}

// groups reads the groups of fields, of which the first is about the message.
func groups(body []byte) (reports []Report) {
	body = bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
	for group := range bytes.SplitSeq(body, []byte("\n\n")) {
		r := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(bytes.TrimSpace(group), "\n\n"...))))
		h, _ := r.ReadMIMEHeader() // as far as it can be read
		report := Report{
			Recipient:  untyped(h.Get("Final-Recipient")),
			Action:     mail.Action(strings.ToLower(strings.TrimSpace(h.Get("Action")))),
			Diagnostic: mail.Escape(untyped(h.Get("Diagnostic-Code"))),
		}
		if report.Recipient == "" {
			report.Recipient = untyped(h.Get("Original-Recipient"))
		}
		status, _, _ := strings.Cut(strings.TrimSpace(h.Get("Status")), " ")
		report.Status = mail.Reply{Lines: []string{status}}.Enhanced()
		if report.Recipient != "" && report.Action != "" && len(reports) < reportsMax {
			reports = append(reports, report)
		}
	}
	return reports
}

// untyped takes the type off a field such as "rfc822; a@b".
func untyped(value string) string {
	if _, rest, ok := strings.Cut(value, ";"); ok {
		value = rest
	}
	return strings.Trim(strings.TrimSpace(value), "<>")
}

// firstID finds the Message-ID of what came back.
func firstID(body []byte) string {
	h, _, _ := mail.ParseHeader(bytes.TrimLeft(body, "\r\n"))
	return mail.Escape(h.Get("Message-ID"))
}
