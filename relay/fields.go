package relay

import (
	"fmt"
	"strings"
	"time"

	"backstamp/mail"
)

// received is the trace field (RFC 5321 section 4.4), without line end.
func (s *session) received(m *mail.Message) string {
	addr := s.peer.addr.Addr()
	literal := addr.String()
	if addr.Is6() {
		literal = "IPv6:" + literal
	}
	return fmt.Sprintf("Received: from %s ([%s])\r\n\tby %s with %s id %v;\r\n\t%s",
		heloName(s.conn.Hostname()), literal, s.tx.policy.hostname, s.protocol(), m.ID, m.Received.Format(time.RFC1123Z))
}

// protocol names how the message came (RFC 3848, RFC 6531 section 4.3).
func (s *session) protocol() string {
	if !s.peer.esmtp {
		return "SMTP"
	}
	name := "ESMTP"
	if s.tx.utf8 {
		name = "UTF8SMTP"
	}
	if s.peer.tls != "" {
		name += "S"
	}
	if s.account != "" {
		name += "A"
	}
	return name
}

// heloName makes what a client calls itself fit for a header field.
func heloName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-._:[]", r):
			return r
		}
		return '?'
	}, s)
	if s == "" {
		return "unknown"
	}
	return s[:min(len(s), 255)]
}

// messageIDMax is the longest Message-ID that is kept, in octets.
const messageIDMax = 998

func messageID(h mail.Header) string {
	id := strings.ToValidUTF8(h.Get("Message-ID"), "�")
	return id[:min(len(id), messageIDMax)]
}

// hasContentField reports whether the header has fields that mean something
// under MIME alone (RFC 2045 section 4).
func hasContentField(h mail.Header) bool {
	for _, f := range h {
		if len(f.Name) > 8 && strings.EqualFold(f.Name[:8], "Content-") {
			return true
		}
	}
	return false
}
