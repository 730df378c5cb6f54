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

// How many Received fields a message may have, and how many of our own: more is
// a loop (RFC 5321 section 6.3). A list or a forwarding server may bring a
// message here more than once; a provider that sends it back does so for ever.
const (
	receivedMax = 30
	passesMax   = 5
)

// looping returns the refusal of a message that goes round.
func looping(h mail.Header, hostname string) error {
	all, own := h.All("Received"), 0
	for _, field := range all {
		if isOwn(field.Value(), hostname) {
			own++
		}
	}
	switch {
	case len(all) >= receivedMax:
		return refusal(554, "5.4.6", fmt.Sprintf("mail loop: %d Received fields", len(all)))
	case own >= passesMax:
		return refusal(554, "5.4.6", fmt.Sprintf("mail loop: it was here %d times", own))
	}
	return nil
}

// isOwn reports whether a Received field is one that received makes.
func isOwn(field, hostname string) bool {
	words := strings.Fields(field)
	for i, word := range words {
		if word == "by" && i+5 < len(words) && words[i+1] == hostname && words[i+2] == "with" && words[i+4] == "id" {
			_, err := mail.ParseID(strings.TrimSuffix(words[i+5], ";"))
			return err == nil
		}
	}
	return false
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
