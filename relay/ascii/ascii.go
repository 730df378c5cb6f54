// Package ascii writes header fields that hold raw bytes above 0x7f in the ways
// that all mail software reads: as encoded-words (RFC 2047), parameters in
// pieces (RFC 2231) and A-labels. Old software sends such fields in whatever
// charset it was written for; a server without SMTPUTF8 (RFC 6531) may not be
// given them.
package ascii

import (
	"bytes"
	"mime"
	"strings"

	"backstamp/mail"
)

// Field returns f with no byte above 0x7f: the same text, in UTF-8, encoded
// where it has to be and folded there; all else of it stays. Its bytes are read
// as Text reads them, with these charsets. The error is
// mail.ErrUTF8: there is no other way to write a local part beyond ASCII.
func Field(f mail.Field, charsets ...string) (mail.Field, error) {
	if Is(f.Raw) {
		return f, nil
	}
	name, value, _ := bytes.Cut(f.Raw, []byte(":"))
	text := strings.TrimRight(Text(string(value), charsets...), "\r\n")
	var err error
	switch {
	case isAddresses(f.Name):
		text, err = addresses(text, len(name)+1)
	case isParameters(f.Name):
		text = parameters(text)
	default:
		text = unstructured(text, len(name)+1)
	}
	if err != nil {
		return f, err
	}
	return mail.Field{Name: f.Name, Raw: []byte(string(name) + ":" + text + "\r\n")}, nil
}

// isAddresses reports whether a field holds addresses.
func isAddresses(name string) bool {
	switch strings.ToLower(name) {
	case "from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc",
		"return-path", "return-receipt-to", "disposition-notification-to", "mail-followup-to", "mail-reply-to", "errors-to", "x-original-from":
		return true
	}
	return false
}

// isParameters reports whether a field holds a value and parameters.
func isParameters(name string) bool {
	name = strings.ToLower(name)
	return name == "content-type" || name == "content-disposition"
}

// ForMachines reports whether a field is for software alone, which knows no
// encoded-words there.
func ForMachines(name string) bool {
	switch name = strings.TrimPrefix(strings.ToLower(name), "resent-"); name {
	case "", "date", "message-id", "in-reply-to", "references", "received", "return-path", "mime-version",
		"dkim-signature", "domainkey-signature", "authentication-results", "x-backstamp":
		return true
	}
	return strings.HasPrefix(name, "arc-") || strings.HasPrefix(name, "list-")
}

// Has reports whether a field has something to encode.
func Has(f mail.Field) bool { return !Is(f.Raw) }

// lineMax is how long a line should be (RFC 5322 section 2.1.1), in octets.
const lineMax = 76

// A folder writes a value piece by piece and breaks lines where there is white
// space before something that was encoded.
type folder struct {
	strings.Builder
	col int // octets of this line
}

// put writes text as it is.
func (f *folder) put(text string) {
	f.WriteString(text)
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		f.col = len(text) - i - 1
	} else {
		f.col += len(text)
	}
}

// words writes text as encoded-words, after blanks.
func (f *folder) words(blanks, text string) {
	for word := range strings.SplitSeq(mime.BEncoding.Encode("utf-8", text), " ") {
		if blanks != "" && !strings.Contains(blanks, "\n") && f.col+len(blanks)+len(word) > lineMax {
			blanks = "\r\n" + blanks[:1]
		}
		f.put(blanks)
		f.put(word)
		blanks = " "
	}
}

// unstructured encodes the words of text that need it, those that stand
// together as one: white space between encoded-words means nothing (RFC 2047
// section 6.2).
func unstructured(text string, col int) string {
	f := &folder{col: col}
	f.unstructured(text)
	return f.String()
}

func (f *folder) unstructured(text string) {
	encoded := false // the word before was, by us or by others
	for text != "" {
		blanks, run, rest := cutRun(text)
		switch {
		case Is(run):
			f.put(blanks)
			f.put(run)
			encoded = isEncoded(run)
		default:
			if next := strings.TrimLeft(rest, " \t\r\n"); rest != next && isEncoded(firstWord(next)) {
				run += " "
			}
			if encoded {
				run = " " + run
			}
			f.words(blanks, unfold(run))
			encoded = true
		}
		text = rest
	}
}

// cutRun cuts off the first word of text with the blanks before it. Words
// beyond ASCII come together, and with the blanks between them.
func cutRun(text string) (blanks, run, rest string) {
	blanks, text = cutBlanks(text)
	word := firstWord(text)
	n := len(word)
	for !Is(word) {
		b, after := cutBlanks(text[n:])
		if word = firstWord(after); Is(word) {
			break
		}
		n += len(b) + len(word)
	}
	return blanks, text[:n], text[n:]
}

func cutBlanks(s string) (blanks, rest string) {
	rest = strings.TrimLeft(s, " \t\r\n")
	return s[:len(s)-len(rest)], rest
}

func firstWord(s string) string {
	if i := strings.IndexAny(s, " \t\r\n"); i >= 0 {
		return s[:i]
	}
	return s
}

// isEncoded reports whether readers take a word for an encoded-word.
func isEncoded(word string) bool {
	return len(word) > 4 && strings.HasPrefix(word, "=?") && strings.HasSuffix(word, "?=")
}

// unfold removes line ends (RFC 5322 section 2.2.3).
func unfold(s string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(s) }

// Is reports whether no byte of s is above 0x7f.
func Is[T []byte | string](s T) bool {
	for len(s) >= 8 {
		word := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | // one load
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		if word&0x8080808080808080 != 0 {
			return false
		}
		s = s[8:]
	}
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
