package sender

import "strings"

// tags reads a list of tags (RFC 6376 section 3.2), which DMARC has too,
// tolerantly: spaces and the case of names do not matter, what is no tag is
// left out, and of a tag that comes twice the first counts. Odd says what a
// stricter reader would not forgive.
func tags(text string) (values map[string]string, odd []string) {
	values = map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		switch _, twice := values[name]; {
		case strings.TrimSpace(part) == "":
		case !ok || name == "":
			odd = append(odd, "a part that is no tag")
		case twice:
			odd = append(odd, "the tag "+name+" twice")
		default:
			values[name] = strings.TrimSpace(value)
		}
	}
	return values, odd
}

// firstTag returns name and value of the first tag.
func firstTag(text string) (name, value string) {
	first, _, _ := strings.Cut(text, ";")
	name, value, _ = strings.Cut(first, "=")
	return strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
}
