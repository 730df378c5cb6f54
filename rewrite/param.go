package rewrite

import (
	"mime"
	"strings"
)

// ContentType reads a field of the form value; name=value (RFC 2045 section
// 5.1), as broken as mail has it. Both kinds of names come in lower case.
func ContentType(field string) (media string, params map[string]string) {
	field = stripComments(field)
	media, params, err := mime.ParseMediaType(field)
	if err == nil {
		return media, params
	}
	media, rest, _ := strings.Cut(field, ";")
	return strings.ToLower(strings.TrimSpace(media)), looseParams(rest)
}

// TransferEncoding reads the value of a Content-Transfer-Encoding field, in
// lower case.
func TransferEncoding(field string) string {
	return strings.ToLower(strings.Trim(stripComments(field), " \t;"))
}

// looseParams reads parameters whose values lack their quotes, whose names
// come twice (the first counts), or that have other things between them.
func looseParams(s string) map[string]string {
	params := map[string]string{}
	for s != "" {
		name, rest, found := strings.Cut(s, "=")
		if !found {
			break
		}
		if i := strings.LastIndexByte(name, ';'); i >= 0 {
			name = name[i+1:]
		}
		name = strings.ToLower(strings.TrimSpace(name))
		var value string
		value, s = looseValue(strings.TrimLeft(rest, " \t"))
		if _, twice := params[name]; !twice {
			params[name] = value
		}
	}
	return params
}

// looseValue cuts a quoted string, or what stands up to the next semicolon.
func looseValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return strings.TrimSpace(value), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// stripComments removes comments (RFC 5322 section 3.2.2) outside quotes.
func stripComments(s string) string {
	if !strings.ContainsRune(s, '(') {
		return s
	}
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (quoted || depth > 0):
			if depth == 0 {
				b.WriteString(s[i : i+2])
			}
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
