package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// parse reads the one document of a file. syntax reports that nothing could be
// made of it; a second document is a problem beside which others may be found.
func parse(name string, data []byte) (root *yaml.Node, syntax bool, problems Errors) {
	fail := func(line int, text string) (*yaml.Node, bool, Errors) {
		return nil, true, Errors{{File: name, Line: line, Text: text}}
	}
	if line, text := checkText(data); text != "" {
		return fail(line, text)
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return fail(1, err.Error())
	}
	var doc, second yaml.Node
	if err := loader.Load(&doc); err != nil && err != io.EOF {
		return fail(syntaxError(data, err))
	}
	switch err := loader.Load(&second); err {
	case io.EOF:
	case nil:
		problems = Errors{{File: name, Line: second.Line, Text: "a second document; expected one"}}
	default:
		return fail(syntaxError(data, err))
	}
	if len(doc.Content) == 0 {
		return nil, false, problems
	}
	return doc.Content[0], false, problems
}

// checkText finds what YAML does not allow in a text at all.
func checkText(data []byte) (line int, text string) {
	if len(data) > fileMax {
		return 1, fmt.Sprintf("larger than %v; expected a configuration", Size(fileMax))
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return lineOf(data, i), "bytes that are no UTF-8; expected the file saved as UTF-8"
		case !printable(r):
			return lineOf(data, i), fmt.Sprintf("control character %U; expected text", r)
		}
		i += n
	}
	return 0, ""
}

// printable is c-printable of YAML 1.2, section 5.1.
func printable(r rune) bool {
	switch r {
	case '\t', '\n', '\r', 0x85, 0xfeff:
		return true
	}
	return r >= 0x20 && r < 0x7f || r >= 0xa0 && r != 0xfffe && r != 0xffff
}

// syntaxError says where and why the library gave up, as far as it knows.
func syntaxError(data []byte, err error) (line int, text string) {
	last := lineOf(data, len(data))
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return last, err.Error() + "; expected valid YAML"
	}
	line = min(max(le.Mark.Line, 1), last)
	text = le.Message
	if le.ContextMsg != "" {
		text = le.ContextMsg + ", " + text
	}
	if indent := indentOf(data, line); strings.Contains(indent, "\t") {
		return line, "a tab indents this line; expected spaces"
	}
	return line, text + "; expected valid YAML"
}

// indentOf returns the blanks that begin a line.
func indentOf(data []byte, line int) string {
	lines := strings.Split(string(data), "\n")
	if line > len(lines) {
		return ""
	}
	text := lines[line-1]
	return text[:len(text)-len(strings.TrimLeft(text, " \t"))]
}

// lineOf returns the line on which data[i] stands; a break at the end begins
// no new one.
func lineOf(data []byte, i int) int {
	before := data[:i]
	if i == len(data) {
		before = bytes.TrimSuffix(before, []byte("\n"))
	}
	return 1 + bytes.Count(before, []byte("\n"))
}
