package damage

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/net/html"

	"backstamp/mail"
)

var (
	optOut   = regexp.MustCompile(`(?i)^\s*(?:data-track|data-no-track|clicktracking|disable-tracking|data-pm-no-track|ses:no-track|data-msys-clicktrack|mc:disable-tracking)(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>"']+))?`)
	notTrack = regexp.MustCompile(`(?i)^\+notrack`)
)

// ours finds the links and pixels of the base URL.
func (j Judge) ours() *regexp.Regexp {
	base := regexp.QuoteMeta(j.Base)
	token := fmt.Sprintf(`([A-Za-z0-9_-]{%d})`, mail.TokenLen)
	return regexp.MustCompile(base + `/c/` + token + `\.([A-Za-z0-9_/-]+)|<img src="` + base + `/o/` + token + `\.gif" width="1" height="1" alt="" style="border:0;position:absolute">`)
}

// Page compares an HTML page with its rewritten form, both in their own
// charset. Between tracking links and the pixel there must be the same bytes,
// and each tracking link must stand where the destination it carries stood.
// Attributes that spoke to trackers may be gone.
func (j Judge) Page(before, after []byte, seen *Seen) error {
	at, done := 0, 0
	for _, m := range j.ours().FindAllSubmatchIndex(after, -1) {
		mark := after[m[0]:m[1]]
		n, quoted, err := j.literal(before[at:], after[done:m[0]], m[2] >= 0)
		if err != nil {
			return fmt.Errorf("at %d: %w", at, err)
		}
		at, done = at+n, m[1]
		switch {
		case bytes.HasPrefix(before[at:], mark): // was there before
			at += len(mark)
		case m[6] >= 0:
			seen.Pixels++
			if at == len(before) && string(after[done:]) == "\r\n" && bytes.HasSuffix(before, after[done:]) {
				done = len(after) // a pixel behind the last line end makes a line of its own
			}
			if err := j.verify(mail.PurposeOpen, string(after[m[6]:m[7]]), "", seen); err != nil {
				return err
			}
		default:
			n, err := j.link(before, at, quoted, string(after[m[2]:m[3]]), string(after[m[4]:m[5]]), seen)
			if err != nil {
				return fmt.Errorf("at %d: %w", at, err)
			}
			at += n
			if quoted {
				if !bytes.HasPrefix(after[done:], []byte(`"`)) {
					return fmt.Errorf("at %d: a quote that does not end", at)
				}
				done++
			}
		}
	}
	n, _, err := j.literal(before[at:], after[done:], false)
	if err == nil && at+n < len(before) {
		n += len(notTrack.Find(before[at+n:]))
		n += len(optOut.Find(before[at+n:]))
	}
	if err == nil && at+n < len(before) {
		err = fmt.Errorf("%q is gone", before[at+n:min(len(before), at+n+60)])
	}
	return err
}

// literal takes kept, bytes that stand in the copy, off the front of before,
// which may hold opt-outs more, and returns how much that is. Where a link
// follows, a quote may have been put before it.
func (j Judge) literal(before, kept []byte, link bool) (n int, quoted bool, err error) {
	if bytes.HasPrefix(before, kept) {
		return len(kept), false, nil
	}
	i, k := 0, 0
	for k < len(kept) {
		if i < len(before) && before[i] == kept[k] {
			i, k = i+1, k+1
			continue
		}
		if link && k == len(kept)-1 && kept[k] == '"' {
			return i, true, nil
		}
		back, skip := removed(before[:i], before, kept[:k], kept[k:])
		if skip == 0 {
			return 0, false, fmt.Errorf("%q became %q", before[max(0, i-20):min(len(before), i+60)], kept[max(0, k-20):min(len(kept), k+60)])
		}
		i, k = i-back+skip, k-back
	}
	return i, false, nil
}

// removed looks for an opt-out that is missing in the copy, before the place
// where the two texts part. The blanks before it go with it, unless what
// follows would then be glued to what comes before.
func removed(same, before, kept, rest []byte) (back, skip int) {
	at := len(same)
	if m := notTrack.Find(before[at:]); m != nil {
		return 0, len(m)
	}
	whole := append(bytes.Clone(kept[max(0, len(kept)-120):]), rest[:min(len(rest), 1)]...)
	cut := len(whole) - min(len(rest), 1)
	for back = 0; back <= min(at, cut); back++ {
		from := at - back
		m := optOut.Find(before[from:])
		if m == nil || from+len(m) == len(before) || before[from+len(m)] != whole[cut-back] {
			continue
		}
		glued := !isBlank(before[from+len(m)]) && before[from+len(m)] != '>'
		if glued && !isBlank(m[0]) || !glued && (from == 0 || !isBlank(before[from-1])) {
			return back, len(m)
		}
	}
	return 0, 0
}

func isBlank(c byte) bool { return strings.IndexByte(" \t\r\n\f", c) >= 0 }

// link compares the value at before[at:] with a tracking link that took its
// place and returns its length.
func (j Judge) link(before []byte, at int, quoted bool, token, path string, seen *Seen) (int, error) {
	quote, end := "", " \t\r\n\f>"
	if open := bytes.TrimRight(before[:at], " "); !quoted && len(open) > 0 {
		quote = string(open[len(open)-1:])
		end = quote
	}
	n := bytes.IndexAny(before[at:], end)
	if n < 0 || quote != "" && quote != `"` && quote != "'" {
		return 0, fmt.Errorf("a link where there was none: %q", before[at:min(len(before), at+60)])
	}
	value := bytes.TrimRight(before[at:at+n], " ")
	got, err := mail.DecodeDestination(path)
	if err != nil {
		return 0, err
	}
	if want := Percent(attribute(quote, string(value))); got != want {
		return 0, fmt.Errorf("link leads to %q, want %q", got, want)
	}
	seen.Links = append(seen.Links, got)
	return len(value), j.verify(mail.PurposeClick, token, got, seen)
}

// verify checks a token with the key and notes those of links.
func (j Judge) verify(p mail.Purpose, token, destination string, seen *Seen) error {
	if j.Verify == nil {
		return nil
	}
	t, err := j.Verify(p, token, destination)
	if err == nil && p == mail.PurposeClick {
		seen.Tokens = append(seen.Tokens, t)
	}
	return err
}

// attribute undoes the entities of a value as a tokenizer does.
func attribute(quote, value string) string {
	z := html.NewTokenizer(strings.NewReader("<a href=" + quote + value + quote + ">"))
	z.SetMaxBuf(0)
	if z.Next() != html.StartTagToken {
		return ""
	}
	z.TagName()
	_, v, _ := z.TagAttr()
	return string(v)
}

// Percent writes bytes above 0x7f as browsers send them.
func Percent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			fmt.Fprintf(&b, "%%%02X", s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
