package relay

import (
	"strings"

	"backstamp/mail"
	"backstamp/relay/quirk"
)

// An envelopePath is the argument of MAIL or RCPT.
type envelopePath struct {
	address string // in its one safe spelling; "" is the null path
	params  string
	quirks  []string
}

// A pathReader reads the arguments of MAIL or RCPT.
type pathReader struct {
	keyword       string // FROM: or TO:
	defaultDomain string // of an address without one; "": it is refused
	legacy        bool   // more is understood than anybody should say
}

// read reads an argument, strictly but for blanks before the path and missing
// brackets, which many old programs have. A source route is dropped (RFC 5321
// section 4.1.1.3).
//
// A legacy client may also put blanks before the colon, a name before the
// address, and dots anywhere in the local part.
func (r pathReader) read(arg string) (envelopePath, error) {
	var p envelopePath
	rest, ok := r.cutKeyword(arg, &p)
	if !ok {
		return p, refusal(501, "5.5.4", "expected "+r.keyword+"<address>")
	}
	if at := r.behindName(rest); at > 0 {
		rest = rest[at:]
		p.quirks = append(p.quirks, quirk.PathName)
	}
	path, params, naked, ok := cutPath(rest)
	if !ok {
		return p, refusal(501, "5.5.4", "expected "+r.keyword+"<address>")
	}
	p.params = params
	if naked {
		p.quirks = append(p.quirks, quirk.PathNaked)
	}
	if path == "" {
		return p, nil
	}
	return p, r.address(path, &p)
}

// cutKeyword returns what follows the keyword and the blanks behind it.
func (r pathReader) cutKeyword(arg string, p *envelopePath) (rest string, ok bool) {
	word, rest, found := strings.Cut(arg, ":")
	tight := strings.TrimRight(word, " \t")
	if !found || !strings.EqualFold(tight+":", r.keyword) || tight != word && !r.legacy {
		return "", false
	}
	trimmed := strings.TrimLeft(rest, " \t")
	if tight != word || trimmed != rest {
		p.quirks = append(p.quirks, quirk.PathSpace)
	}
	return trimmed, true
}

// behindName returns where the path begins behind a display name, 0 where there
// is none. What could be read as another address is no name.
func (r pathReader) behindName(s string) int {
	at := strings.IndexByte(s, '<')
	if !r.legacy || at < 0 || strings.ContainsAny(s[:at], `@>=:;,\`) {
		return 0
	}
	return at
}

// address reads the path itself.
func (r pathReader) address(path string, p *envelopePath) error {
	if _, route, found := strings.Cut(path, ":"); found && path[0] == '@' {
		path = route
	}
	if !strings.Contains(path, "@") && r.defaultDomain != "" {
		path += "@" + r.defaultDomain
		p.quirks = append(p.quirks, quirk.NoDomain)
	}
	a, err := mail.ParseAddress(path)
	if err != nil && r.legacy {
		if dotted, ok := quirk.Dotted(path); ok {
			a, err = dotted, nil
			p.quirks = append(p.quirks, quirk.Syntax)
		}
	}
	if err != nil {
		return refusal(501, "5.1.3", err.Error())
	}
	if strings.ContainsAny(a.Local, "<>") {
		return refusal(501, "5.1.3", "angle bracket in local part")
	}
	p.address = a.String()
	return nil
}

// cutPath splits "<path> params", whose path may hold > in quotes.
func cutPath(s string) (path, params string, naked, ok bool) {
	if !strings.HasPrefix(s, "<") {
		path, params, _ = strings.Cut(s, " ")
		return path, strings.TrimSpace(params), true, path != ""
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '>' && !quoted:
			params = s[i+1:]
			if params != "" && params[0] != ' ' {
				return "", "", false, false
			}
			return s[1:i], strings.TrimSpace(params), false, true
		}
	}
	return "", "", false, false
}
