// Package rewrite is the heart of the product: message bytes in, a Plan and
// its Links out. It decides which links of which HTML parts are tracked and
// where the open pixel goes, and later writes the copy of each recipient.
//
// The rule that everything here serves: mail is never damaged. The engine
// never decodes and re-encodes text. It undoes the transfer encoding of an
// HTML part, finds the offsets of attribute values with the tokenizer of
// x/net/html, lets goquery decide on a tree built from the same tokens, and
// splices bytes. After undoing the transfer encoding again, every byte outside
// the recorded splices is the byte that came in, and parts without a splice
// are untouched as they lie. What cannot be edited safely is left as it is,
// with a reason from the closed list in reason.go.
//
// The package is pure: no clock, no network, no randomness.
package rewrite

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/andybalholm/cascadia"

	"backstamp/mail"
)

// Settings say where tracking links point and what is left alone.
type Settings struct {
	BaseURL        string   // public address of the tracking listener, without a slash at its end
	OldBaseURLs    []string // former ones: links under them are ours
	MaxURL         int      // longest tracking URL made, in bytes; 0 stands for 2000
	PixelTop       bool     // the pixel goes to the top of the body, not to its end
	ExcludeDomains []string // hosts, with their sub-domains, whose links stay
	Selectors      []string // CSS selectors of links, or of what holds them, that stay
	Patterns       []string // regular expressions on URLs that stay
}

// maxURL is the longest tracking URL where the settings say nothing.
const maxURL = 2000

// A Linker makes and checks tokens. It is given by package track, so that the
// engine never sees a key.
type Linker interface {
	// Key names the key that new plans are made with.
	Key() mail.KeyID
	// AppendToken appends the text of t, mail.TokenLen bytes, signed with the
	// key that t names.
	AppendToken(dst []byte, t mail.Token) ([]byte, error)
	// Verify returns the token that text is, when it was signed for purpose
	// and destination with a key that is still known.
	Verify(purpose mail.Purpose, text, destination string) (mail.Token, error)
}

// A Rewriter plans messages under one configuration. It is immutable and may
// be used by many goroutines.
type Rewriter struct {
	base     string
	ours     []home
	maxURL   int
	top      bool
	domains  []string
	matchers []cascadia.Selector
	patterns []*regexp.Regexp
	linker   Linker
}

// New checks the settings. Its errors are mail.SettingErrors, joined.
func New(s Settings, l Linker) (*Rewriter, error) {
	r := &Rewriter{maxURL: s.MaxURL, top: s.PixelTop, linker: l}
	if r.maxURL == 0 {
		r.maxURL = maxURL
	}
	base, err := baseURL("tracking.base_url", s.BaseURL)
	errs := []error{err}
	r.base, r.ours = base, []home{newHome(base)}
	for i, old := range s.OldBaseURLs {
		base, err := baseURL(fmt.Sprintf("tracking.base_urls_old.%d", i), old)
		errs = append(errs, err)
		r.ours = append(r.ours, newHome(base))
	}
	errs = append(errs, r.compileExcludes(s)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Rewriter) compileExcludes(s Settings) (errs []error) {
	for i, d := range s.ExcludeDomains {
		host, err := asciiHost(strings.TrimPrefix(strings.TrimPrefix(d, "*"), "."))
		if err != nil || host == "" {
			errs = append(errs, mail.Settingf(fmt.Sprintf("tracking.exclude.domains.%d", i),
				"%q is no domain; expected one such as example.com", d))
		}
		r.domains = append(r.domains, host)
	}
	for i, text := range s.Selectors {
		m, err := cascadia.Compile(text)
		if err != nil {
			errs = append(errs, mail.Settingf(fmt.Sprintf("tracking.exclude.selectors.%d", i),
				"%q is no CSS selector: %v; expected one such as .footer a", text, err))
		}
		r.matchers = append(r.matchers, m)
	}
	for i, text := range s.Patterns {
		p, err := regexp.Compile(text)
		if err != nil {
			errs = append(errs, mail.Settingf(fmt.Sprintf("tracking.exclude.patterns.%d", i),
				"%q is no regular expression: %v; expected one such as /invite/", text, err))
		}
		r.patterns = append(r.patterns, p)
	}
	return errs
}

// plainURL is what a base URL is made of: bytes that mean nothing to HTML, to
// transfer encodings and to any charset.
var plainURL = regexp.MustCompile(`^[A-Za-z0-9:/.\-_%\[\]]+$`)

// baseURL checks one address of the tracking listener and takes the slash off
// its end.
func baseURL(key, text string) (string, error) {
	base := strings.TrimRight(text, "/")
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "", mail.Settingf(key, "%q is no web address; expected one such as https://track.example.com", text)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil || !plainURL.MatchString(base):
		return "", mail.Settingf(key, "%q holds more than scheme, host, port and path; expected one such as https://track.example.com", text)
	}
	return base, nil
}
