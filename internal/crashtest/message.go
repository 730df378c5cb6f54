//go:build unix

package crashtest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"strings"
)

// Envelope is what messages are sent from and to.
type Envelope struct {
	From string // the app's address
	To   string // the domain of recipients
}

// A Form makes messages from their names and judges copies of them.
type Form struct {
	Envelope
	Seed uint64
	HTML float64 // the share of messages that are HTML with links
	// Large is the share of bodies of 90 to 250 KiB, most of which a relay may keep
	// elsewhere; 0: a twentieth.
	Large float64
	// Base is what the relay's tracking links begin with; "" when it tracks
	// nothing.
	Base string
}

const alphabet = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ.0123456789"

// Message returns the content and the recipients of a message. Its lines end
// with CRLF, and some start with a dot.
func (f Form) Message(id string) (content []byte, rcpts []string) {
	h := fnv.New64a()
	h.Write([]byte(id))
	r := rand.New(rand.NewPCG(f.Seed, h.Sum64()))
	html := r.Float64() < f.HTML
	n := 1
	if r.IntN(10) == 0 {
		n = 3
	}
	for i := range n {
		rcpts = append(rcpts, fmt.Sprintf("r%d@%s", i+1, f.To))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: crashtest %s\r\nMessage-ID: <%s.%x@crashtest.invalid>\r\nDate: Mon, 2 Jan 2006 15:04:05 +0000\r\n", f.From, strings.Join(rcpts, ",\r\n "), id, id, f.Seed)
	if html {
		b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/html; charset=us-ascii\r\n\r\n<html><body>\r\n")
		fmt.Fprintf(&b, "<a href=\"https://shop.example/%s?a=1\">one</a>\r\n<a href=\"https://shop.example/second\">two</a>\r\n<p>\r\n", id)
	} else {
		b.WriteString("\r\n")
	}
	fill(&b, r, f.size(r))
	if html {
		b.WriteString("</p>\r\n</body></html>\r\n")
	}
	return b.Bytes(), rcpts
}

// size is that of a body.
func (f Form) size(r *rand.Rand) int {
	large := f.Large
	if large == 0 {
		large = 0.05
	}
	switch n := r.Float64(); {
	case n < large:
		return 90<<10 + r.IntN(160<<10)
	case n > 0.8:
		return 8<<10 + r.IntN(20<<10)
	}
	return 200 + r.IntN(6<<10)
}

// fill writes lines of text.
func fill(b *bytes.Buffer, r *rand.Rand, size int) {
	line := make([]byte, 70)
	for size > 0 {
		for i := 0; i < len(line); i += 8 {
			v := r.Uint64()
			for j := i; j < min(i+8, len(line)); j++ {
				line[j] = alphabet[v&63]
				v >>= 8
			}
		}
		if line[69] == ' ' {
			line[69] = '.'
		}
		b.Write(line)
		b.WriteString("\r\n")
		size -= len(line) + 2
	}
}

var subject = regexp.MustCompile(`(?mi)^Subject: crashtest (c\d+s\d+n\d+)\r?$`)

// ID returns the name of a message of ours, or "".
func ID(content []byte) string {
	head, _, _ := bytes.Cut(content, []byte("\r\n\r\n"))
	if m := subject.FindSubmatch(head); m != nil {
		return string(m[1])
	}
	return ""
}

// Judge says what is wrong with a copy of a message, or "".
func (f Form) Judge(id string, got []byte) string {
	want, _ := f.Message(id)
	wantHead, wantBody, _ := bytes.Cut(want, []byte("\r\n\r\n"))
	head, body, ok := bytes.Cut(got, []byte("\r\n\r\n"))
	if !ok {
		return "no end of the header"
	}
	for field := range strings.SplitSeq(strings.ReplaceAll(string(wantHead), "\r\n ", "\x00"), "\r\n") {
		field = strings.ReplaceAll(field, "\x00", "\r\n ")
		_, after, ok := strings.Cut("\r\n"+string(head)+"\r\n", "\r\n"+field+"\r\n")
		if !ok {
			return fmt.Sprintf("field %q is missing, changed or out of order", field)
		}
		head = []byte(after)
	}
	if f.Base != "" {
		body = f.untrack(body)
	}
	if !bytes.Equal(body, wantBody) {
		return fmt.Sprintf("the body differs: %d octets, want %d", len(body), len(wantBody))
	}
	return ""
}

// untrack undoes what tracking declares: links lead to what they carry, and
// the pixel goes.
func (f Form) untrack(body []byte) []byte {
	base := regexp.QuoteMeta(f.Base)
	pixel := regexp.MustCompile(`<img [^>]*src="` + base + `/o/[^">]*"[^>]*>`)
	link := regexp.MustCompile(base + `/c/[A-Za-z0-9_-]+\.([A-Za-z0-9_/-]+)`)
	body = pixel.ReplaceAll(body, nil)
	return link.ReplaceAllFunc(body, func(b []byte) []byte {
		text := strings.ReplaceAll(string(link.FindSubmatch(b)[1]), "/", "")
		to, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return b
		}
		return to
	})
}
