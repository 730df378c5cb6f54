package rewrite

import "bytes"

// scanAttrs appends the attributes that stand in text[at:end], behind the name
// of a tag whose > is text[end-1], by the rules of WHATWG 13.2.5.32 to 13.2.5.39
// as the tokenizer of x/net/html has them. The tokenizer itself tells names and
// values but not where they stand. ok is false when there are too many.
func scanAttrs(attrs []attr, text []byte, at, end int) (out []attr, ok bool) {
	end-- // the >
	for {
		for at < end && isSpace(text[at]) {
			at++
		}
		if at >= end {
			return attrs, true
		}
		a := scanAttr(text, at, end)
		at = a.to
		if a.name.from == a.name.to { // a slash
			at = max(at, a.from+1)
			continue
		}
		a.again = hasName(attrs, text, a.name)
		if attrs = append(attrs, a); len(attrs) > maxAttrs {
			return attrs, false
		}
	}
}

// scanAttr reads one attribute at text[at], which is no blank.
func scanAttr(text []byte, at, end int) attr {
	a := attr{span: span{from: at}}
	i := at
	for i < end && !isSpace(text[i]) && text[i] != '/' && (text[i] != '=' || i == at) {
		i++
	}
	a.name, a.to = span{at, i}, i
	a.value = span{i, i}
	for i < end && isSpace(text[i]) {
		i++
	}
	if i >= end || text[i] != '=' {
		return a
	}
	for i++; i < end && isSpace(text[i]); {
		i++
	}
	a.value, a.to = span{i, i}, i
	if i >= end {
		return a
	}
	if c := text[i]; c == '"' || c == '\'' {
		a.quote = c
		n := bytes.IndexByte(text[i+1:end], c)
		if n < 0 {
			n = end - i - 1
		}
		a.value = span{i + 1, i + 1 + n}
		a.to = min(a.value.to+1, end)
		return a
	}
	for i < end && !isSpace(text[i]) {
		i++
	}
	a.value.to, a.to = i, i
	return a
}

func hasName(attrs []attr, text []byte, name span) bool {
	for _, a := range attrs {
		if bytes.EqualFold(a.name.in(text), name.in(text)) {
			return true
		}
	}
	return false
}
