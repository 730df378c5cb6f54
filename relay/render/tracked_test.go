package render

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/mail"
	"backstamp/rewrite"
)

// A linker whose tokens say whom they are for.
type linker struct{ broken bool }

func (linker) Key() mail.KeyID { return mail.KeyID{1, 2, 3, 4} }

func (l linker) AppendToken(dst []byte, t mail.Token) ([]byte, error) {
	if l.broken {
		return dst, errors.New("key is gone")
	}
	return fmt.Appendf(dst, "%s%04d%s", strings.Repeat("A", mail.TokenLen-6), t.Recipient, "__"), nil
}

func (linker) Verify(mail.Purpose, string, string) (mail.Token, error) {
	return mail.Token{}, errors.New("unknown")
}

// tracked is a message to two recipients with its plan.
func tracked(t testing.TB, content string) *mail.Message {
	t.Helper()
	w, err := rewrite.New(rewrite.Settings{BaseURL: "https://t.example.org"}, linker{})
	if err != nil {
		t.Fatal(err)
	}
	plan := w.Plan(rewrite.Request{ID: mail.ID{1}, Content: strings.NewReader(content), Recipients: 2, Opens: true, Clicks: true, Privacy: mail.Identified})
	if !plan.Edited() {
		t.Fatalf("not edited: %s", plan.Reason())
	}
	m := rewritten("shop@example.org")
	m.Tracked, m.Detail.Plan = true, plan.Encode()
	return m
}

const page = `From: Kim <kim@example.com>
To: a@example.net
DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=x; h=from; bh=A; b=B
Subject: hi
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<html><body><p>hello <a href="https://example.com/a">there</a></p></body></html>`

// TestTracked: the copies of two recipients differ in their tokens alone, and
// each has its own good signatures.
func TestTracked(t *testing.T) {
	content := []byte(mailtest.CRLF(page))
	m := tracked(t, string(content))
	r := New(Settings{DKIM: testKeys(t)}, linker{})
	var texts []string
	for recipient := 1; recipient <= 2; recipient++ {
		c, err := r.Render(m, bytes.NewReader(content), recipient, "shop/main")
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if n, err := c.WriteTo(&b); err != nil || n != c.Size() || n != int64(b.Len()) {
			t.Fatalf("wrote %d, measured %d, %v", n, c.Size(), err)
		}
		verify(t, "tracked", b.String(), 2)
		_, text, _ := strings.Cut(b.String(), "\r\nReceived: ") // the signatures differ
		for _, want := range []string{"https://t.example.org/c/A", "https://t.example.org/o/A", fmt.Sprintf("%04d__", recipient), "From: Kim <shop@example.org>"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
		if strings.Contains(text, "d=example.com") {
			t.Errorf("a signature that the edit broke is there:\n%s", text)
		}
		texts = append(texts, strings.ReplaceAll(text, fmt.Sprintf("%04d__", recipient), "0000__"))
	}
	if texts[0] != texts[1] {
		t.Errorf("the copies differ beyond their tokens:\n%s\n%s", texts[0], texts[1])
	}
}

// TestTrackedErrors: a copy that cannot be tracked as planned is not sent at
// all, for the plan is what was decided.
func TestTrackedErrors(t *testing.T) {
	content := mailtest.CRLF(page)
	good := tracked(t, content)
	damaged := *good
	damaged.Detail.Plan = []byte("junk")
	for name, tt := range map[string]struct {
		m         *mail.Message
		content   string
		recipient int
		linker    rewrite.Linker
	}{
		"plan":      {&damaged, content, 1, linker{}},
		"content":   {good, content + "x", 1, linker{}},
		"recipient": {good, content, 3, linker{}},
		"key":       {good, content, 1, linker{broken: true}},
	} {
		if _, err := New(Settings{DKIM: testKeys(t)}, tt.linker).Render(tt.m, strings.NewReader(tt.content), tt.recipient, "shop/main"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
