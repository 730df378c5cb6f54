package damage

import (
	"regexp"
	"strings"

	"golang.org/x/net/html"
)

// An Href is one link of a page: of a, area and VML, in conditional comments
// and noscript as well.
type Href struct {
	URL    string // entities undone
	Label  string // what stands in the element, and the alt texts of its images
	Around string // the text near it
	OptOut bool   // the tag itself has an attribute that keeps trackers off
	Hidden bool   // from browsers: in a conditional comment, or VML
}

// Web reports an http(s) address.
func (h Href) Web() bool {
	url := strings.ToLower(strings.TrimLeft(h.URL, " "))
	return strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://")
}

// Hrefs lists the links of a page in order.
func Hrefs(page []byte) []Href {
	var l lister
	l.read(shifted.ReplaceAllString(string(page), "\xff"))
	for i := range l.found {
		h, at := &l.found[i], l.at[i]
		h.Around = l.text.String()[max(0, at-around):min(l.text.Len(), at+around)]
	}
	return l.found
}

// shifted matches runs of bytes that are no ASCII though they look like it: of
// ISO-2022-KR and -CN, ISO-2022-JP, HZ.
var shifted = regexp.MustCompile(`\x0e[^\x0f\n]*\x0f?|\x1b\$(?:[@AB]|\([A-Z])[^\n]*?\x1b\([BJ]|~\{[^\n]*?~\}`)

// around is how much text near a link counts, in bytes.
const around = 400

type lister struct {
	found []Href
	at    []int // where in text each begins
	open  int   // 1 + index of the link whose text is being read
	text  strings.Builder
	hides int // conditional comments around
}

func (l *lister) read(page string) {
	z := html.NewTokenizer(strings.NewReader(page))
	raw := ""
	for {
		kind := z.Next()
		switch kind {
		case html.ErrorToken:
			return
		case html.TextToken:
			l.onText(raw, z.Token().Data)
			continue
		case html.CommentToken:
			comment := string(z.Raw())
			if _, body, ok := strings.Cut(comment, "]>"); ok && strings.HasPrefix(strings.TrimSpace(strings.TrimPrefix(comment, "<!--")), "[if") {
				l.hides++
				l.read(strings.TrimSuffix(body, "-->"))
				l.hides--
			}
			continue
		}
		tok := z.Token()
		raw = ""
		if kind != html.EndTagToken {
			raw = tok.Data
			l.onStart(tok)
		} else if tok.Data == "a" {
			l.open = 0
		}
	}
}

func (l *lister) onText(raw, text string) {
	switch raw {
	case "noscript":
		l.read(text)
	case "style", "script", "title":
	default:
		l.add(text)
	}
}

func (l *lister) add(text string) {
	text = strings.Join(strings.Fields(text), " ") + " "
	l.text.WriteString(text)
	if l.open > 0 && len(l.found[l.open-1].Label) < around {
		l.found[l.open-1].Label += text
	}
}

func (l *lister) onStart(tok html.Token) {
	seen := map[string]string{}
	for _, a := range tok.Attr { // the first of a name counts
		if _, again := seen[a.Key]; !again {
			seen[a.Key] = a.Val
		}
	}
	href, ok := seen["href"]
	switch {
	case tok.Data == "img":
		l.add(seen["alt"])
	case ok && (tok.Data == "a" || tok.Data == "area" || strings.HasPrefix(tok.Data, "v:")):
		h := Href{URL: href, Hidden: l.hides > 0 || strings.HasPrefix(tok.Data, "v:")}
		for name, value := range seen {
			h.OptOut = h.OptOut || isOptOut(name, strings.ToLower(value))
		}
		l.found, l.at = append(l.found, h), append(l.at, l.text.Len())
		l.open = len(l.found)
	}
}

// isOptOut knows the attributes that keep a tracker off.
func isOptOut(name, value string) bool {
	no := value == "false" || value == "off" || value == "no" || value == "0"
	switch name {
	case "data-track", "clicktracking", "data-msys-clicktrack":
		return no
	case "data-no-track", "disable-tracking", "mc:disable-tracking":
		return value != "false"
	case "data-pm-no-track", "ses:no-track":
		return true
	}
	return false
}
