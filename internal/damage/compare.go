package damage

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"backstamp/mail"
)

// A Judge compares messages with their copies. The zero Verify trusts tokens.
type Judge struct {
	Base   string // what tracking links begin with
	Verify func(p mail.Purpose, token, destination string) (mail.Token, error)
	// Recoded: the copy went to a server that takes ASCII alone, so that parts
	// may come in another transfer encoding.
	Recoded bool
	// Mended: the relay had a look at it, which labels raw text that says nothing,
	// and encodes parts whose lines SMTP does not carry.
	Mended bool
}

// Seen is what a Judge found in a copy.
type Seen struct {
	Parts  int          // that are no multiparts
	Edited []Edit       // those of them that were edited, in order
	Tokens []mail.Token // of links, in order
	Links  []string     // their destinations
	Pixels int
}

// An Edit is a page before and after.
type Edit struct {
	Part          *Part  // as it was
	Before, After []byte // transfer encoding undone
}

// Copy returns an error where copied differs from original in anything that a
// copy may not differ in: whole messages, as they stand on the wire.
func (j Judge) Copy(original, copied []byte) (seen Seen, err error) {
	if err := newlyBad(original, copied); err != nil {
		return seen, err
	}
	a, b := Split(original), Split(copied)
	if err := compareFields(a, b, true); err != nil {
		return seen, err
	}
	err = j.body(a, b, &seen)
	return seen, err
}

// Body is Copy without a look at the header of the message, which relays may
// have changed.
func (j Judge) Body(original, copied *Part) (seen Seen, err error) {
	err = j.body(original, copied, &seen)
	return seen, err
}

func (j Judge) body(a, b *Part, seen *Seen) error {
	if len(a.Children) != len(b.Children) || len(a.Gaps) != len(b.Gaps) {
		return fmt.Errorf("%d parts became %d", len(a.Children), len(b.Children))
	}
	if a.Gaps == nil {
		return j.leaf(a, b, seen)
	}
	for i := range a.Gaps {
		if !bytes.Equal(a.Gaps[i], b.Gaps[i]) && !j.Recoded && !(j.Mended && isLong(a.Gaps[i])) {
			return fmt.Errorf("between parts: %s", Difference(b.Gaps[i], a.Gaps[i]))
		}
	}
	for i := range a.Children {
		if j.Mended && mendedFields(a.Children[i], b.Children[i]) {
			// the labels alone differ, and may
		} else if err := compareFields(a.Children[i], b.Children[i], false); err != nil && !j.Recoded {
			return err
		}
		if err := j.body(a.Children[i], b.Children[i], seen); err != nil {
			return err
		}
	}
	return nil
}

// leaf compares what holds no parts. Only HTML may be edited.
func (j Judge) leaf(a, b *Part, seen *Seen) error {
	seen.Parts++
	if bytes.Equal(a.Body, b.Body) && a.Encoding() == b.Encoding() {
		return nil
	}
	if (j.Recoded || j.Mended && (isLong(a.Body) || relabelled(a, b))) && recoded(a, b) {
		return nil
	}
	if a.Media() != "text/html" {
		return fmt.Errorf("a part of type %q was edited: %s", a.Media(), Difference(b.Body, a.Body))
	}
	before, err := a.Decoded()
	if err != nil {
		return fmt.Errorf("a part that does not decode was edited: %w", err)
	}
	after, err := b.Decoded()
	if err != nil {
		return fmt.Errorf("edited part: %w", err)
	}
	if err := lineLengths(a, b); err != nil {
		return err
	}
	seen.Edited = append(seen.Edited, Edit{a, before, after})
	return j.Page(before, after, seen)
}

// recoded reports whether two parts hold the same in different encodings, as
// lenient readers see it.
func recoded(a, b *Part) bool {
	if strings.HasPrefix(a.Media(), "message/") && a.Encoding() != "base64" && a.Encoding() != "quoted-printable" {
		x, y := Split(a.Body), Split(b.Body)
		return len(x.Children) == len(y.Children) && (len(x.Children) > 0 || recoded(x, y))
	}
	before, err := a.Decoded()
	switch {
	case err != nil && a.Encoding() == "quoted-printable":
		return bytes.Equal(spelled(a.Body), spelled(b.Body))
	case err != nil && a.Encoding() == "base64":
		return len(a.Body) == len(b.Body)
	case err != nil:
		before = a.Body // readers show it as it stands
	}
	after, err := b.Decoded()
	return err == nil && bytes.Equal(bytes.TrimRight(before, "\r\n"), bytes.TrimRight(after, "\r\n"))
}

// relabelled reports whether a part with bytes beyond ASCII says so now.
func relabelled(a, b *Part) bool {
	return b.Encoding() == "8bit" && (a.Encoding() == "" || a.Encoding() == "7bit") && bytes.ContainsFunc(a.Body, beyondASCII)
}

func beyondASCII(r rune) bool { return r >= 0x80 }

// isLong reports whether a line is longer than SMTP carries.
func isLong(b []byte) bool {
	return linesThat(func(line []byte) bool { return len(line) > 998 })(b) > 0
}

// mendedFields reports whether two parts have the same fields, but for labels of
// raw text and of lines that got short, and for folding.
func mendedFields(a, b *Part) bool {
	raw := relabelled(a, b) || isLong(a.Body)
	free := func(field []byte) bool {
		name, _, _ := strings.Cut(strings.ToLower(string(field)), ":")
		switch strings.TrimSpace(name) {
		case "content-transfer-encoding":
			return raw
		case "content-type":
			return bytes.ContainsFunc(a.Body, beyondASCII) && cmp.Or(a.Media(), "text/plain") == b.Media() && b.Charset() != "" &&
				(a.Charset() == "" || a.Charset() == "us-ascii")
		}
		return false
	}
	unfolded := func(x, y []byte) bool {
		return bytes.Equal(x, y) || isLong(x) && bytes.Equal(bytes.Join(bytes.Fields(x), nil), bytes.Join(bytes.Fields(y), nil))
	}
	return slices.EqualFunc(slices.DeleteFunc(a.fields(), free), slices.DeleteFunc(b.fields(), free), unfolded)
}

// spelled writes quoted-printable that does not decode in one way.
func spelled(p []byte) []byte {
	var out []byte
	for _, c := range bytes.ReplaceAll(p, []byte("=\r\n"), nil) {
		if c < 0x80 {
			out = append(out, c)
		} else {
			out = fmt.Appendf(out, "=%02X", c)
		}
	}
	return out
}

// compareFields compares headers: byte for byte but for the stamp of the whole
// message and the encoding of a part that could not keep its own.
func compareFields(a, b *Part, top bool) error {
	recoded := a.Encoding() != b.Encoding()
	if recoded && b.Encoding() != "quoted-printable" {
		return fmt.Errorf("encoding %q became %q", a.Encoding(), b.Encoding())
	}
	declared := func(field []byte) bool {
		name, _, _ := strings.Cut(strings.ToLower(string(field)), ":")
		name = strings.TrimSpace(name)
		return top && name == "x-backstamp" || recoded && name == "content-transfer-encoding"
	}
	x, y := slices.DeleteFunc(a.fields(), declared), slices.DeleteFunc(b.fields(), declared)
	x, y = append(x, a.Empty), append(y, b.Empty)
	if !slices.EqualFunc(x, y, bytes.Equal) {
		return fmt.Errorf("header changed: %s", Difference(bytes.Join(y, nil), bytes.Join(x, nil)))
	}
	return nil
}

// lineLengths compares the longest line of an edited part with what its
// encoding allows, or with what came in.
func lineLengths(a, b *Part) error {
	longest := func(b []byte) (n int) {
		for line := range bytes.Lines(b) {
			n = max(n, len(line)-lineEnd(line))
		}
		return n
	}
	limit := 998
	if b.Encoding() == "quoted-printable" {
		limit = 76
	}
	if got := longest(b.Body); got > max(limit, longest(a.Body)) {
		return fmt.Errorf("a line of %d bytes in %q", got, b.Encoding())
	}
	return nil
}

// newlyBad finds what relays choke on or change, where there is more of it than
// there was: long lines, lines that begin badly, line ends that are none, NUL.
func newlyBad(original, copied []byte) error {
	for _, bad := range []struct {
		what  string
		count func([]byte) int
	}{
		{"lines over 998 bytes", linesThat(func(l []byte) bool { return len(l) > 998 })},
		{"lines that begin with a dot", linesThat(func(l []byte) bool { return bytes.HasPrefix(l, []byte(".")) })},
		{"lines that begin with From", linesThat(func(l []byte) bool { return bytes.HasPrefix(l, []byte("From ")) })},
		{"bare LF", func(b []byte) int { return bytes.Count(b, []byte("\n")) - bytes.Count(b, []byte("\r\n")) }},
		{"bare CR", func(b []byte) int { return bytes.Count(b, []byte("\r")) - bytes.Count(b, []byte("\r\n")) }},
		{"NUL", func(b []byte) int { return bytes.Count(b, []byte{0}) }},
	} {
		if was, is := bad.count(original), bad.count(copied); is > was {
			return fmt.Errorf("%s: %d became %d", bad.what, was, is)
		}
	}
	if bytes.HasSuffix(original, []byte("\r\n")) != bytes.HasSuffix(copied, []byte("\r\n")) {
		return fmt.Errorf("the copy ends in %q", copied[max(0, len(copied)-10):])
	}
	return nil
}

func linesThat(match func([]byte) bool) func([]byte) int {
	return func(b []byte) (n int) {
		for line := range bytes.Lines(b) {
			if match(line[:len(line)-lineEnd(line)]) {
				n++
			}
		}
		return n
	}
}

// Difference shows where two texts part.
func Difference(got, want []byte) string {
	n := 0
	for n < min(len(got), len(want)) && got[n] == want[n] {
		n++
	}
	from := max(0, n-20)
	return fmt.Sprintf("at octet %d of %d and %d: %q, want %q", n, len(got), len(want), got[from:min(len(got), n+60)], want[from:min(len(want), n+60)])
}

// Wire puts line ends right and takes NUL away, as the relay does for clients
// on this machine. CRs that no LF follows are spaces in a header and a line end
// in a body.
func Wire(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte{0}, nil)
	out := make([]byte, 0, len(b)+len(b)/16)
	inHeader := true
	endLine := func() {
		out = append(out, "\r\n"...)
		inHeader = inHeader && len(out) > 2 && !bytes.HasSuffix(out, []byte("\r\n\r\n"))
	}
	for i := 0; i < len(b); i++ {
		crs := 0
		for i < len(b) && b[i] == '\r' {
			crs++
			i++
		}
		switch {
		case i < len(b) && b[i] == '\n':
			endLine()
			continue
		case crs > 0 && inHeader:
			out = append(out, strings.Repeat(" ", crs)...)
		case crs > 0:
			endLine()
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}
