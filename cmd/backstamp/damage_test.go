package main

import (
	"bytes"
	"fmt"

	"backstamp/internal/damage"
)

// whole judges whether a message was damaged on its way: what was sent, with
// its line ends put right, and what arrived. tracked is what the product says
// of it. The relay's own header fields are tested elsewhere.
func whole(sent, arrived []byte, tracked bool) (links int, err error) {
	was, is := damage.Split(withEnd(sent)), damage.Split(arrived)
	if !tracked && sameBody(withEnd(is.Body), withEnd(was.Body)) {
		return 0, nil
	}
	seen, err := damage.Judge{Base: publicBase, Mended: true}.Body(was, is)
	if err == nil && !tracked && len(seen.Edited) > 0 {
		err = fmt.Errorf("untracked, yet its text differs: %s", damage.Difference(is.Body, was.Body))
	}
	return len(seen.Links), err
}

// sameBody compares the bodies of a message that was not edited. Where a header
// ends without an empty line, one was put in, and more may count as body.
func sameBody(got, want []byte) bool {
	if bytes.HasSuffix(got, want) {
		return true
	}
	for n := range min(len(got), len(want)) {
		if got[n] != want[n] {
			from := bytes.LastIndexByte(got[:n], '\n') + 1
			return bytes.HasPrefix(got[from:], []byte("\r\n")) && bytes.Equal(got[from+2:], want[from:])
		}
	}
	return false
}

// withEnd ends a body in CRLF, as it must on the wire.
func withEnd(b []byte) []byte {
	if len(b) == 0 || bytes.HasSuffix(b, []byte("\r\n")) {
		return b
	}
	return append(bytes.Clone(b), "\r\n"...)
}
