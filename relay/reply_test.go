package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"backstamp/mail"
	"backstamp/relay/align"
)

// TestAsReply: every error becomes a reply, bare, without what is only ours.
func TestAsReply(t *testing.T) {
	path := &fs.PathError{Op: "write", Path: "/var/lib/secret", Err: errors.New("no space")}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("password hunter2"), "451 4.3.0 trouble on our side; try again later"},
		{path, "451 4.3.0 trouble on our side; try again later"},
		{fmt.Errorf("%w: %w", mail.ErrFull, path), "452 4.3.1 no space to keep the message; try again later"},
		{fmt.Errorf("commit: %w", mail.ErrBroken), "421 4.3.0 the message cannot be kept; try again later"},
		{fmt.Errorf("put in %v: %w", path, &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "slow down"}), "451 4.7.1 slow down"},
		{fmt.Errorf("decide: %w", &align.Refusal{Code: 550, Enhanced: "5.7.1", Text: "not\r\nyou"}), `550 5.7.1 not\x0d\x0ayou`},
		{&align.Refusal{Code: 550, Enhanced: "odd", Text: "x"}, "550 5.0.0 x"},
	} {
		if got := replyOf(asReply(tt.err)).String(); got != tt.want {
			t.Errorf("%v\n got %q\nwant %q", tt.err, got, tt.want)
		}
	}
	if long := replyOf(refusal(550, "5.7.1", strings.Repeat("한", 1000))).String(); len(long) > 510 {
		t.Errorf("a line of %d octets", len(long))
	}
}

// The front hangs up on go-smtp at the end of every session; that is no error.
func TestErrorLog(t *testing.T) {
	var b bytes.Buffer
	l := errorLog{slog.New(slog.NewTextHandler(&b, nil))}
	l.Printf("error handling %v: %s", "127.0.0.1:1", io.ErrClosedPipe)
	if b.Len() > 0 {
		t.Errorf("hanging up is logged: %s", &b)
	}
	l.Printf("panic serving %v: %v", "127.0.0.1:1", "boom")
	if !strings.Contains(b.String(), "boom") {
		t.Errorf("a panic is not logged: %q", &b)
	}
}

// TestTooLarge: the reply names the limit in the unit in which it was set.
func TestTooLarge(t *testing.T) {
	for limit, want := range map[int64]string{
		40: "40 octets", 64 << 20: "64 MB", 1536 << 20: "1536 MB", 2 << 30: "2 GB", 100 << 10: "100 KB", 1<<20 + 1: "1048577 octets",
	} {
		if got := replyOf(tooLarge(limit)).String(); got != "552 5.3.4 message too large; "+want+" is the most" {
			t.Errorf("%d: %s", limit, got)
		}
	}
}
