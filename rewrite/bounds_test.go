package rewrite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"backstamp/mail"
)

const webLink = `<a href="https://example.com/">x</a>`

// mixed returns a multipart/mixed of parts, each with its header.
func mixed(parts ...string) []byte {
	return wire([]byte(head + "Content-Type: multipart/mixed; boundary=b\n\n--b\n" + strings.Join(parts, "\n--b\n") + "\n--b--\n"))
}

// A part with a name is an attachment, however the name is written.
func TestNamedPartsAreAttachments(t *testing.T) {
	r := newRewriter(t, nil)
	for _, tt := range []struct {
		fields   string
		attached bool
	}{
		{"Content-Type: text/html\nContent-Disposition: inline", false},
		{"Content-Type: text/html; charset=utf-8\nContent-Disposition: INLINE; x=\"; filename\"", false},
		{"Content-Type: text/html\nContent-Disposition: inline; filename=\"\"", false},
		{"Content-Type: text/html\nContent-Disposition: inline; filename=x.html", true},
		{"Content-Type: text/html\nContent-Disposition: inline; FileName = \"x.html\"", true},
		{"Content-Type: text/html\nContent-Disposition: inline; filename*=utf-8''x.html", true},
		{"Content-Type: text/html\nContent-Disposition: inline; filename*=euc-kr''%C7%D1.html", true},
		{"Content-Type: text/html\nContent-Disposition: inline;\n filename*0*=euc-kr''%C7%D1;\n filename*1=.html", true},
		{"Content-Type: text/html\nContent-Disposition: inline; x y; filename*=x y", true},
		{"Content-Type: text/html; name*=iso-2022-kr''x.html", true},
		{"Content-Type: text/html; name=x.html", true},
		{"Content-Type: text/html\nContent-Disposition: attachment", true},
		{"Content-Type: text/html\nContent-Disposition: something-new", true},
	} {
		p := r.Plan(request(mixed(tt.fields + "\n\n" + webLink)))
		if attached := p.Reason() == ReasonAttachment; attached != tt.attached || p.Edited() == tt.attached {
			t.Errorf("%q: reason %q", tt.fields, p.Reason())
		}
	}
}

// The bounds hold for a message, not for each of its parts: the number of a
// link has two bytes in a token.
func TestBoundsOfAllParts(t *testing.T) {
	r := newRewriter(t, nil)
	page := "Content-Type: text/html\n\n" + strings.Repeat("<a href=http://x.y/>", maxAnchors/2)
	for n, want := range map[int]string{2: "", 3: ReasonHTMLLimits} {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = page
		}
		if got := r.Plan(request(mixed(parts...))).Reason(); got != want {
			t.Errorf("%d parts of %d links: reason %q, want %q", n, maxAnchors/2, got, want)
		}
	}
}

// Where a tree is needed, and only there, its nodes count.
func TestBoundsOfTrees(t *testing.T) {
	part := "Content-Type: text/html\n\n" + strings.Repeat("<br>", maxNodes/2) + webLink
	for _, tt := range []struct {
		selectors []string
		want      string
	}{{nil, ""}, {[]string{".x a"}, ReasonHTMLLimits}} {
		r := newRewriter(t, func(s *Settings) { s.Selectors = tt.selectors })
		if got := r.Plan(request(mixed(part, part))).Reason(); got != tt.want {
			t.Errorf("selectors %q: reason %q, want %q", tt.selectors, got, tt.want)
		}
	}
}

// What control fields cost must not grow with the square of their number.
func TestManyControls(t *testing.T) {
	var fields strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&fields, "X-EE-%d: x\r\n", i)
	}
	h, _, _ := mail.ParseHeader([]byte(fields.String()))
	start := time.Now()
	if got := len(ReadControls(h, false).Remove); got != 200_000 {
		t.Errorf("%d names to remove", got)
	}
	if took := time.Since(start); took > hostileMax {
		t.Errorf("took %v", took)
	}
}
