// Package catalogue is what the replies of providers mean, and what to do about
// them, in English and Korean: rows.yaml, for people to correct.
package catalogue

import (
	"bytes"
	_ "embed"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"backstamp/mail"
)

//go:embed rows.yaml
var file []byte

// A Row is one meaning, with the replies that have it.
type Row struct {
	ID       string   `yaml:"id"`
	Services []string `yaml:"services"` // families of presets; none: any server
	Codes    []int    `yaml:"codes"`
	Enhanced []string `yaml:"enhanced"`
	Text     string   `yaml:"text"` // a pattern, without regard to case
	Never    bool     `yaml:"never"`
	Class    string   `yaml:"class"`
	Link     string   `yaml:"link"`
	Like     string   `yaml:"like"` // the row whose words it has, and whose ID it gives
	English  Words    `yaml:"en"`
	Korean   Words    `yaml:"ko"`

	pattern *regexp.Regexp
}

// Words are a meaning in one language.
type Words struct {
	Title   string   `yaml:"title"`
	Meaning string   `yaml:"meaning"`
	Steps   []string `yaml:"steps"`
}

// rows reads the file once. Nobody changes what it returns.
var rows = sync.OnceValue(func() []Row {
	all, err := parse(file)
	if err != nil {
		panic(err) // it is part of the program, and a test reads it
	}
	return all
})

func parse(text []byte) (all []Row, err error) {
	l, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithKnownFields())
	if err == nil {
		err = l.Load(&all)
	}
	for i := range all {
		if err == nil && all[i].Text != "" {
			all[i].pattern, err = regexp.Compile("(?i)" + all[i].Text)
		}
	}
	return all, err
}

// textMax is how much of a reply is looked at, in octets.
const textMax = 4 << 10

// Match returns the meaning of a reply of a service, which is named by the
// family of its preset, or is "". The sender is that of the envelope. ok is
// false where no row fits.
func Match(service, sender string, r mail.Reply) (id, class string, ok bool) {
	text := flat(r)
	for _, row := range rows() {
		if !row.fits(service, r, text) {
			continue
		}
		if row.ID == "ses.not-verified" && sender != "" && !namesSender(text, sender) {
			return "ses.sandbox", mail.ClassRecipient, true
		}
		if row.Like != "" {
			return row.Like, row.Class, true
		}
		return row.ID, row.Class, true
	}
	return "", "", false
}

func (row *Row) fits(service string, r mail.Reply, text string) bool {
	return !row.Never &&
		(len(row.Services) == 0 || slices.Contains(row.Services, service)) &&
		(len(row.Codes) == 0 || slices.Contains(row.Codes, r.Code)) &&
		(len(row.Enhanced) == 0 || slices.Contains(row.Enhanced, r.Enhanced())) &&
		(row.pattern == nil || row.pattern.MatchString(text))
}

// flat is the text of a reply on one line, however the server wrapped it, with
// the enhanced code once.
func flat(r mail.Reply) string {
	var words []string
	code := r.Enhanced()
	size := 0
	for i, line := range r.Lines {
		if i > 0 && code != "" {
			line = strings.TrimPrefix(strings.TrimSpace(line), code)
		}
		words = append(words, strings.Fields(line)...)
		if size += len(line); size > textMax {
			break
		}
	}
	text := strings.Join(words, " ")
	return text[:min(len(text), textMax)]
}

// namesSender reports whether SES names the sender, or its domain, among the
// identities that failed its check; where it lists none it may be.
func namesSender(text, sender string) bool {
	_, list, ok := strings.Cut(strings.ToLower(text), "region ")
	if ok {
		_, list, ok = strings.Cut(list, ":")
	}
	if !ok {
		return true
	}
	sender = strings.ToLower(sender)
	domain := sender[strings.LastIndexByte(sender, '@')+1:]
	for _, identity := range strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' || c == '<' || c == '>' }) {
		if identity == sender || identity == domain || strings.HasSuffix(identity, "="+sender) {
			return true
		}
	}
	return false
}

// Find returns the words for an id in a language, "ko" or English; ok is false
// for an id that no row has.
func Find(id, lang string) (x mail.Explain, ok bool) {
	i := slices.IndexFunc(rows(), func(row Row) bool { return row.ID == id && row.Like == "" })
	if i < 0 {
		return mail.Explain{}, false
	}
	row := rows()[i]
	w := row.English
	if lang == "ko" {
		w = row.Korean
	}
	return mail.Explain{ID: row.ID, Class: row.Class, Title: w.Title, Meaning: w.Meaning, Steps: slices.Clone(w.Steps), Link: row.Link}, true
}

// Shown returns an explanation with its words in a language: those of the
// catalogue where it has the id, else those that were kept. nil is nil.
func Shown(x *mail.Explain, lang string) *mail.Explain {
	if x == nil {
		return nil
	}
	words, ok := Find(x.ID, lang)
	if !ok {
		return x
	}
	words.Class = x.Class
	return &words
}
