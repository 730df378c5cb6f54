package damage

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
)

// Mail returns a message that is a page, in lines that end in CRLF as the page
// should. An empty charset is not named.
func Mail(page []byte, charset, encoding string) []byte {
	return append([]byte("From: a@example.com\r\nTo: b@example.com\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n"), Entity("text/html", page, charset, encoding)...)
}

// Entity returns a part with its header fields. Its body ends in CRLF.
func Entity(media string, body []byte, charset, encoding string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: %s", media)
	if charset != "" {
		fmt.Fprintf(&b, "; charset=%s", charset)
	}
	fmt.Fprintf(&b, "\r\nContent-Transfer-Encoding: %s\r\n\r\n", encoding)
	switch encoding {
	case "quoted-printable":
		w := quotedprintable.NewWriter(&b)
		w.Write(body)
		w.Close()
	case "base64":
		for text := base64.StdEncoding.EncodeToString(body); text != ""; {
			n := min(76, len(text))
			b.WriteString(text[:n] + "\r\n")
			text = text[n:]
		}
	default:
		b.Write(body)
	}
	if !bytes.HasSuffix(b.Bytes(), []byte("\r\n")) {
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// Nested returns a message as mail clients make it of a page: beside a text,
// the two in a mixed with an attachment.
func Nested(page []byte, charset, encoding string) []byte {
	var b bytes.Buffer
	b.WriteString("From: a@example.com\r\nTo: b@example.com\r\nMessage-ID: <2@example.com>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=\"=_outer\"\r\n\r\nA preamble.\r\n--=_outer\r\n" +
		"Content-Type: multipart/alternative; boundary=\"=_inner\"\r\n\r\n--=_inner\r\n")
	b.Write(Entity("text/plain", []byte("See https://example.com/\r\n"), "utf-8", "7bit"))
	b.WriteString("\r\n--=_inner\r\n")
	b.Write(Entity("text/html", page, charset, encoding))
	b.WriteString("\r\n--=_inner--\r\n\r\n--=_outer\r\nContent-Disposition: attachment; filename=page.html\r\n")
	b.Write(Entity("text/html", page, charset, "base64"))
	b.WriteString("--=_outer--\r\nAn epilogue.\r\n")
	return b.Bytes()
}
