package quirk

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"

	"backstamp/relay/ascii"
)

// A reading tries what charset a text is in, as it comes. The nil reading is
// that of a text in ASCII.
type reading struct {
	declared bool // only what the text is said to be in is tried
	tries    []*try
	korean   ascii.Korean
}

// newReading returns a reading of text that is said to be in a charset. Where
// that says nothing it may be UTF-8, else what the text says of itself, else
// what its client is known for, else Korean if it looks so, else Western.
func newReading(declared, itself, client string) *reading {
	labels := []string{"utf-8", itself, client}
	r := &reading{declared: declared != "" && !ascii.Plain(declared)}
	if r.declared {
		labels = []string{declared}
	}
	for _, label := range labels {
		if t := newTry(label); t != nil {
			r.tries = append(r.tries, t)
		}
	}
	return r
}

func (r *reading) write(p []byte) {
	for _, t := range r.tries {
		t.write(p)
	}
	r.korean.Write(p)
}

// end returns the name of the first charset that the text can be in. ok is false
// where one is declared and the text is not in it.
func (r *reading) end() (name string, ok bool) {
	for _, t := range r.tries {
		if t.end() {
			return ascii.Name(t.label), true
		}
	}
	switch {
	case r.declared:
		return "", len(r.tries) == 0 // nobody knows it
	case r.korean.Likely():
		return "euc-kr", true
	}
	return "windows-1252", true
}

// isAlias reports whether the charset with a label, or of a text with that
// label, is not all that the label says: CP949, of which EUC-KR in the strict
// sense, with the letters of KS X 1001, is a part.
func (r *reading) isAlias(label string) bool {
	if ascii.Name(label) != "euc-kr" {
		return false
	}
	return !strings.EqualFold(label, "euc-kr") || r != nil && !r.korean.Paired()
}

// A try decodes text as one charset, until it turns out to be another.
type try struct {
	label string
	w     io.WriteCloser
	bad   bool
}

// newTry returns nil for charsets that are not known or not made of ASCII.
func newTry(label string) *try {
	if ascii.Name(label) == "utf-8" {
		return &try{label: label, w: transform.NewWriter(io.Discard, encoding.UTF8Validator)}
	}
	if d := ascii.Decoder(label); d != nil {
		return &try{label: label, w: transform.NewWriter(noReplacement{}, d)}
	}
	return nil
}

func (t *try) write(p []byte) {
	if !t.bad {
		_, err := t.w.Write(p)
		t.bad = err != nil
	}
}

func (t *try) end() (ok bool) { return !t.bad && t.w.Close() == nil }

var errReplaced = errors.New("bytes that are no letters")

// noReplacement takes no U+FFFD, which decoders write for what they do not know.
type noReplacement struct{}

func (noReplacement) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("\ufffd")) {
		return 0, errReplaced
	}
	return len(p), nil
}

var inHTML = regexp.MustCompile(`(?i)<meta\s[^>]*charset\s*=\s*["']?\s*([\w.:-]+)`)

// charsetIn returns the charset that the beginning of a page names, or "".
func charsetIn(page []byte) string {
	if m := inHTML.FindSubmatch(page); m != nil {
		return string(m[1])
	}
	return ""
}
