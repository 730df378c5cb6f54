package relay

import (
	"regexp"
	"strings"
	"testing"

	"backstamp/mail"
)

// TestContentIsClosed: whatever becomes of a message, its content is let go of,
// by the queue where that took it. Where the connection goes on, it does so with
// the next message.
func TestContentIsClosed(t *testing.T) {
	const envelope, next = "MAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\n", "MAIL FROM:<>\r\nRCPT TO:<r@dest.test>\r\nBDAT 2 LAST\r\n\r\n"
	const goesOn = " 250 2.0.0 250 2.0.0 250 2.0.0" // to next
	const header = "From: a@example.com\r\n\r\n"
	lines := func(octets int) string { return strings.Repeat("0123456789abcd\r\n", octets/16) }
	for _, tt := range []struct {
		name, client string
		change       func(*reciter)
		replies      string // to the content, and to what follows
	}{
		{"taken", "DATA\r\n" + header + ".\r\n" + next, nil, "250 2.0.0" + goesOn},
		{"From refused", "DATA\r\nFrom: b@evil.test\r\n\r\n.\r\n" + next, nil, "550 5.7.1" + goesOn},
		{"loop", "DATA\r\n" + strings.Repeat("Received: x\r\n", 30) + header + ".\r\n" + next, nil, "554 5.4.6" + goesOn},
		{"too large", "DATA\r\n" + header + lines(3<<20) + ".\r\n" + next, nil, "552 5.3.4" + goesOn},
		{"chunk too large", bdatOf(header+lines(80_000), "") + bdatOf(lines(3<<20), "") + next, nil, "250 2.0.0 552 5.3.4" + goesOn},
		{"header too large", "DATA\r\n" + header[:len(header)-2] + "X: " + strings.Repeat("x", mail.HeaderMax) + "\r\n\r\n.\r\n" + next, nil, "552 5.3.4" + goesOn},
		{"no room at first", "DATA\r\n" + header + lines(200_000) + ".\r\n" + next, func(r *reciter) { r.queue.room, r.queue.full = 10, mail.ErrFull }, "452 4.3.1" + goesOn},
		{"no room later", "DATA\r\n" + header + lines(2<<20) + ".\r\n" + next, func(r *reciter) { r.queue.room, r.queue.full = 1<<20, mail.ErrFull }, "452 4.3.1" + goesOn},
		{"no room for a chunk", bdatOf(header+lines(80_000), "") + bdatOf(lines(80_000), " LAST") + next, func(r *reciter) { r.queue.room, r.queue.full = 100_000, mail.ErrFull }, "250 2.0.0 452 4.3.1" + goesOn},
		{"disk failed", "DATA\r\n" + header + lines(2<<20) + ".\r\n" + next, func(r *reciter) { r.queue.room, r.queue.full = 1<<20, mail.ErrBroken }, "421 4.3.0"},
		{"not kept", "DATA\r\n" + header + ".\r\n" + next, func(r *reciter) { r.queue.err = mail.ErrFull }, "452 4.3.1 250 2.0.0 250 2.0.0 452 4.3.1"},
		{"odd line ends", "DATA\r\n" + header + lines(200_000) + "\n.\r\n" + lines(200_000) + ".\r\n" + next, nil, "550 5.6.0" + goesOn},
		{"client gone in DATA", "DATA\r\n" + header + lines(200_000), nil, ""},
		{"client gone in a chunk", "BDAT 900000\r\n" + header + lines(200_000), nil, ""},
		{"client gone between chunks", bdatOf(header+lines(200_000), ""), nil, "250 2.0.0"},
		{"RSET between chunks", bdatOf(header+lines(200_000), "") + "RSET\r\n" + next, nil, "250 2.0.0 250 2.0.0" + goesOn},
		{"EHLO between chunks", bdatOf(header+lines(200_000), "") + "HELO d\r\n" + next, nil, "250 2.0.0 250 2.0.0" + goesOn},
		{"panic", "DATA\r\n" + header + ".\r\n" + next, func(r *reciter) { r.server.queue = nil }, "421 4.3.0"},
		{"panic while it is judged", "DATA\r\n" + header + ".\r\n" + next, func(r *reciter) { r.server.clock = nil }, "421 4.0.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := settings(t)
			s.Limits.Message = 3 << 20
			r := newReciter(newPolicy(t, s))
			if tt.change != nil {
				tt.change(r)
			}
			said, all := r.recite("192.0.2.7", strings.NewReader("HELO c\r\n"+envelope+tt.client))
			replies := strings.Join(verdicts.FindAllString(said, -1)[3:], " ") // after HELO, MAIL and RCPT
			if replies != tt.replies {
				t.Errorf("replies %q, want %q", replies, tt.replies)
			}
			if n := r.queue.open.Load(); n != 0 {
				t.Errorf("%d bodies were left open", n)
			}
			if n := len(queued.FindAllString(said, -1)); n != len(all) {
				t.Errorf("%d kept, %d answered with 250", len(all), n)
			}
		})
	}
}

var verdicts = regexp.MustCompile(`(?m)^[245][0-9]{2} [245]\.[0-9]\.[0-9]`)
