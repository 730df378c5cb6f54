package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"backstamp/internal/near"
)

// A fieldOf is a field of a struct that is a key.
type fieldOf struct {
	reflect.StructField
	name string
}

// fields returns the keys of a struct.
func fields(t reflect.Type) []fieldOf {
	var all []fieldOf
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" {
			all = append(all, fieldOf{f, name})
		}
	}
	return all
}

// isScalar reports whether a type is written as one value.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
		return true
	}
	return t == reflect.TypeFor[Rate]() || t == reflect.TypeFor[netip.Prefix]()
}

// elementTag is what the tag of a list asks of its elements.
func elementTag(t reflect.Type, tag reflect.StructTag) reflect.StructTag {
	if !isScalar(t) {
		return ""
	}
	return reflect.StructTag(fmt.Sprintf("is:%q need:%q", tag.Get("is"), expected(t, tag)))
}

// expected says what a value of a type should be.
func expected(t reflect.Type, tag reflect.StructTag) string {
	if one := tag.Get("one"); one != "" {
		return near.List(strings.Split(one, "|"))
	}
	switch t {
	case reflect.TypeFor[Secret]():
		return "a string"
	case reflect.TypeFor[Size]():
		return "a size such as 25MB" + rangeOf(tag)
	case reflect.TypeFor[Duration]():
		return "a duration such as 90s, 5m, 36h or 30d" + rangeOf(tag)
	case reflect.TypeFor[Rate]():
		return "a rate such as 10/s or 600/min"
	case reflect.TypeFor[netip.Prefix]():
		return "a network such as 10.0.5.0/24 or an address"
	}
	switch t.Kind() {
	case reflect.String:
		return kindOf(tag.Get("is")).expected
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number" + rangeOf(tag)
	case reflect.Slice:
		return "a list"
	}
	return "a block of keys"
}

func rangeOf(tag reflect.StructTag) string {
	least, most := tag.Get("min"), tag.Get("max")
	if least == "" {
		return ""
	}
	return ", " + least + " to " + most
}

// inRange checks a number by its min and max tags.
func inRange(v reflect.Value, tag reflect.StructTag) bool {
	least, most := tag.Get("min"), tag.Get("max")
	if least == "" {
		return true
	}
	bound := func(text string) int64 {
		b := reflect.New(v.Type()).Elem()
		convert(b, text, "")
		return b.Int()
	}
	return bound(least) <= v.Int() && v.Int() <= bound(most)
}

// convert returns what is wrong with the text, in words that follow it.
func convert(v reflect.Value, text string, tag reflect.StructTag) string {
	var err error
	switch p := v.Addr().Interface().(type) {
	case *Secret:
		*p = Secret(text)
	case *string:
		*p = text
		return wrongWord(text, tag)
	case *bool:
		*p, err = parseBool(text)
	case *int:
		var n int64
		n, err = parseCount(text)
		*p = int(n)
	case *Size:
		*p, err = parseSize(text)
	case *Duration:
		*p, err = parseDuration(text)
	case *Rate:
		*p, err = parseRate(text)
	case *netip.Prefix:
		*p, err = parsePrefix(text)
	}
	switch {
	case err != nil:
		return "is malformed"
	case !inRange(v, tag):
		return "is out of range"
	}
	return ""
}

// wrongWord checks a string by its one, later and is tags. The empty string is
// a key that is not used, unless that has a default or is an element.
func wrongWord(text string, tag reflect.StructTag) string {
	one, later := tag.Get("one"), tag.Get("later")
	switch {
	case text == "" && tag.Get("default") == "":
		return ""
	case one == "":
		return kindOf(tag.Get("is")).wrong(text)
	case slices.Contains(strings.Split(one, "|"), text):
		return ""
	case slices.Contains(strings.Split(later, "|"), text):
		return "is not available in this version"
	}
	return "is not known"
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "on":
		return true, nil
	case "false", "no", "off":
		return false, nil
	}
	return false, errValue
}

// isPlain reports whether a node is one value that a field of kind k may be
// made of; true and false are no text.
func isPlain(n *yaml.Node, k reflect.Kind) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!timestamp":
		return true
	case "!!bool":
		return k == reflect.Bool
	}
	return false
}

func isQuoted(n *yaml.Node) bool {
	const quotes = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	return n.Style&quotes != 0
}

// describe says what a node is, for one that should be something else. It
// never shows a value, which may be a secret.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a block of keys"
	case yaml.SequenceNode:
		return "a list"
	}
	switch tag := n.ShortTag(); tag {
	case "!!null":
		return "no value"
	case "!!str":
		return "a string"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	default:
		return "tag " + keyText(tag)
	}
}

// keyText writes a key so that it stays one short word of a line. What is no
// word may have a value in it, a secret too, where a colon or the blank after it
// was forgotten.
func keyText(s string) string {
	if s == "" {
		return `""`
	}
	if word := firstWord(s); word != s {
		return short(word) + "…"
	}
	return short(s)
}

// firstWord is what a key begins with that names are made of.
func firstWord(s string) string {
	for i, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-@*/<!", r) {
			return s[:i]
		}
	}
	return s
}

// short cuts a value that is too long to show.
func short(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// hideLogin takes the login, with its password, out of a URL.
func hideLogin(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if i := strings.LastIndexByte(rest, '@'); ok && i >= 0 {
		return scheme + "://…" + rest[i:]
	}
	return s
}
