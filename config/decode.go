package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"backstamp/internal/near"
)

// valuesMax is how many values a configuration may have once its aliases are
// followed; it bounds what a small file can ask for.
const valuesMax = 100_000

// A decoder walks the tree beside the types and collects every problem.
type decoder struct {
	resolver
	origin   map[*yaml.Node]string
	set      map[string]place
	names    map[string][]string
	problems Errors
	plain    []string // secrets that stand in the file itself
	left     int      // values until valuesMax
}

func newDecoder(s source, t *tree) *decoder {
	return &decoder{
		resolver: resolver{dir: s.dir, env: s.env, read: s.read},
		origin:   t.origin,
		set:      map[string]place{},
		names:    map[string][]string{},
		left:     valuesMax,
	}
}

func (d *decoder) fail(at place, format string, args ...any) {
	d.problems = append(d.problems, at.problem(fmt.Sprintf(format, args...)))
}

// value decodes what was given at a place.
func (d *decoder) value(at place, n *yaml.Node, v reflect.Value, tag reflect.StructTag) {
	if d.left--; d.left <= 0 {
		if d.left == 0 {
			d.fail(at, "more than %d values; expected fewer, each use of an alias counts", valuesMax)
		}
		return
	}
	if source, ok := d.origin[n]; ok {
		at.file, at.line = source, 0
	}
	n = follow(n)
	if isScalar(v.Type()) {
		d.scalar(&at, n, v, tag)
	}
	if at.file != builtin || at.path == "" {
		d.set[at.path] = at
	}
	switch {
	case isScalar(v.Type()):
	case isNull(n) && tag.Get("need") != "":
		d.fail(at, "no value; expected %s", tag.Get("need"))
	case isNull(n):
		d.absent(at, v, "")
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.collection(at, n, v.Elem(), tag)
	default:
		d.collection(at, n, v, tag)
	}
}

// collection decodes a block or a list.
func (d *decoder) collection(at place, n *yaml.Node, v reflect.Value, tag reflect.StructTag) {
	want := yaml.MappingNode
	if v.Kind() == reflect.Slice {
		want = yaml.SequenceNode
	}
	switch later := tag.Get("later"); {
	case n.Kind != want:
		d.fail(at, "%s; expected %s", describe(n), expected(v.Type(), tag))
		return
	case later != "" && len(n.Content) > 0:
		d.fail(at, "not available in this version; expected %s", later)
	case tag.Get("need") != "" && len(n.Content) == 0:
		d.fail(at, "empty; expected %s", tag.Get("need"))
	}
	switch v.Kind() {
	case reflect.Struct:
		d.block(at, n, v)
	case reflect.Map:
		d.named(at, n, v)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, e := range n.Content {
			d.item(at.item(strconv.Itoa(i), e.Line), e, v.Index(i), elementTag(v.Type().Elem(), tag))
		}
	}
}

// item decodes one of a list or of a block of names. Its name or place says
// that it is meant, so where nothing follows it is an empty block.
func (d *decoder) item(at place, n *yaml.Node, v reflect.Value, tag reflect.StructTag) {
	if !isScalar(v.Type()) {
		fill(follow(n))
	}
	d.value(at, n, v, tag)
}

// block decodes a block whose keys are those of a struct.
func (d *decoder) block(at place, n *yaml.Node, v reflect.Value) {
	before := len(d.problems)
	given := d.entries(n, at.child)
	var names []string
	for _, f := range fields(v.Type()) {
		names = append(names, f.name)
		e, ok := given[f.name]
		if !ok {
			d.missing(at, v.FieldByIndex(f.Index), f)
			continue
		}
		d.value(e.at, e.value, v.FieldByIndex(f.Index), f.Tag)
		delete(given, f.name)
	}
	for name, e := range given {
		if name == "<<" {
			d.fail(e.at, "merge keys are not supported; expected the keys themselves")
			continue
		}
		if firstWord(name) != name {
			d.fail(e.at, "is no key; expected KEY: VALUE, with a colon and a blank between them")
			continue
		}
		d.fail(e.at, "unknown key; %s", near.Hint(name, names))
	}
	if c, ok := v.Addr().Interface().(checker); ok && len(d.problems) == before {
		c.check(func(key, text string) { d.failInside(at, key, text) })
	}
}

// failInside places a problem of a key in a block, at the block's own line
// where the key was not given.
func (d *decoder) failInside(at place, key, text string) {
	if key != "" {
		path := join(at.path, key)
		if p, ok := d.set[path]; ok {
			at = p
		}
		at.path = path
	}
	d.problems = append(d.problems, at.problem(text))
}

// named decodes a block whose keys are names that the operator chose.
func (d *decoder) named(at place, n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	given := d.entries(n, at.item)
	for k := range pairs(n) {
		e, ok := given[k.Value]
		if !ok {
			continue
		}
		delete(given, k.Value)
		if !isName(k.Value) {
			d.fail(e.at, "not a name; expected letters and digits without spaces, / or *")
		}
		item := reflect.New(v.Type().Elem()).Elem()
		d.item(e.at, e.value, item, "")
		v.SetMapIndex(reflect.ValueOf(k.Value), item)
		d.names[at.path] = append(d.names[at.path], k.Value)
	}
}

// isName reports whether s can be part of account/name and of a dotted path.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == '/' || r == '*'
	})
}

// An entry is a key of a block, with its value.
type entry struct {
	at    place
	value *yaml.Node
}

// entries returns the keys of a block by name. A key that comes twice is a
// problem, and so is one that is no plain word.
func (d *decoder) entries(n *yaml.Node, inside func(name string, line int) place) map[string]entry {
	given := map[string]entry{}
	for k, value := range pairs(n) {
		if k = follow(k); k.Kind != yaml.ScalarNode {
			d.fail(inside("?", k.Line), "%s as a key; expected a word", describe(k))
			continue
		}
		e := entry{inside(keyText(k.Value), k.Line), value}
		if first, twice := given[k.Value]; twice {
			d.fail(e.at, "a second time; expected once, as on line %d", first.at.line)
			continue
		}
		given[k.Value] = e
	}
	return given
}

// missing gives a key that is not there its default.
func (d *decoder) missing(at place, v reflect.Value, f fieldOf) {
	if need := f.Tag.Get("need"); need != "" {
		at.path = join(at.path, f.name)
		d.fail(at, "missing; expected %s", need)
		return
	}
	d.absent(at.child(f.name, at.line), v, f.Tag)
}

// absent sets defaults where nothing was given, through the blocks inside.
func (d *decoder) absent(at place, v reflect.Value, tag reflect.StructTag) {
	if isScalar(v.Type()) {
		if text := tag.Get("default"); text != "" {
			if tag.Get("is") == "path" {
				text = absolute(d.dir, text)
			}
			d.convert(at, text, text, v, tag)
		}
		return
	}
	if v.Kind() == reflect.Struct {
		for _, f := range fields(v.Type()) {
			d.absent(at.child(f.name, at.line), v.FieldByIndex(f.Index), f.Tag)
		}
	}
}

// scalar decodes one value and notes in at what Pending asks.
func (d *decoder) scalar(at *place, n *yaml.Node, v reflect.Value, tag reflect.StructTag) {
	want := expected(v.Type(), tag)
	if !isPlain(n, v.Kind()) {
		d.fail(*at, "%s; expected %s", describe(n), want)
		return
	}
	r, written := d.resolver, n.Value
	if at.line == 0 && at.file != builtin {
		r.dir = "" // of an override, which is given where one stands
	}
	isPath := tag.Get("is") == "path"
	if isPath {
		written = strings.TrimPrefix(written, "file:")
	}
	text, changed, err := r.resolve(written)
	switch isString := v.Kind() == reflect.String || v.Kind() == reflect.Int64 || v.Kind() == reflect.Struct; {
	case err != nil:
		d.fail(*at, "%v", err)
		return
	case isQuoted(n) && !changed && !isString:
		d.fail(*at, "a string; expected %s", want)
		return
	case text == "" && tag.Get("need") != "":
		d.fail(*at, "empty; expected %s", tag.Get("need"))
		return
	}
	if isPath {
		text = absolute(r.dir, text)
	}
	if v.Type() == reflect.TypeFor[Secret]() && text != "" && !changed && at.line > 0 {
		d.plain = append(d.plain, at.path)
	}
	d.convert(*at, written, text, v, tag)
	if v.Kind() == reflect.Bool || tag.Get("one") != "" {
		at.word = fmt.Sprint(v.Interface())
	}
}

// convert gives v the value of a text, which was written otherwise where it
// had references: problems show only what was written.
func (d *decoder) convert(at place, written, text string, v reflect.Value, tag reflect.StructTag) {
	if why := convert(v, text, tag); why != "" {
		d.fail(at, "%q %s; expected %s", short(hideLogin(written)), why, expected(v.Type(), tag))
	}
}
