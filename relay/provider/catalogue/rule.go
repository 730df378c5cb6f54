package catalogue

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"backstamp/mail"
)

// A rule fits a reply when all that it asks for does.
type rule struct {
	Code     []int    `yaml:"code"`
	Enhanced []string `yaml:"enhanced"`
	Text     string   `yaml:"text"`

	parts []string // of Text, squeezed
}

func (r *rule) compile() {
	for _, part := range strings.Split(r.Text, "…") {
		r.parts = append(r.parts, squeeze(part))
	}
}

// textMax is how much of a reply is looked at, in octets.
const textMax = 8 << 10

// A statement is a reply as rules see it.
type statement struct {
	code     int
	enhanced string
	text     string // squeezed, without the enhanced codes that begin lines
}

func listen(r mail.Reply) statement {
	s := statement{code: r.Code}
	var b strings.Builder
	for i, line := range r.Lines {
		code, text := cutEnhanced(line[:min(len(line), textMax-b.Len())])
		if i == 0 {
			s.enhanced = code
		}
		if code != s.enhanced {
			text = code + text
		}
		b.WriteString(squeeze(text))
		if b.Len() >= textMax {
			break
		}
	}
	s.text = b.String()
	return s
}

// cutEnhanced parts a line from the enhanced code that begins it.
func cutEnhanced(line string) (code, text string) {
	line = strings.TrimSpace(line)
	word, rest := line, ""
	if i := strings.IndexFunc(line, unicode.IsSpace); i >= 0 {
		word, rest = line[:i], line[i:]
	}
	if (mail.Reply{Lines: []string{word}}).Enhanced() == "" {
		return "", line
	}
	return word, rest
}

// squeeze returns text in lower case without spaces and control characters:
// servers wrap lines where they like, even amid words.
func squeeze(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, text)
}

func (s statement) fits(r rule) bool {
	if len(r.Code) > 0 && !slices.Contains(r.Code, s.code) || len(r.Enhanced) > 0 && !slices.Contains(r.Enhanced, s.enhanced) {
		return false
	}
	rest := s.text
	for _, part := range r.parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return true
}

// addresses are words of a text that may be one.
var addresses = regexp.MustCompile(`[^\s<>,;"]+@[^\s<>,;"]+`)

// Unverified returns the addresses that SES says are not verified, in lower
// case: senders and, in its sandbox, recipients alike.
func Unverified(r mail.Reply) []string {
	text := r.Text()
	text = strings.ToLower(text[:min(len(text), textMax)])
	_, list, _ := strings.Cut(text, "identities failed the check")
	found := addresses.FindAllString(list, -1)
	for i, a := range found {
		found[i] = strings.TrimRight(a, ".")
	}
	return found
}
