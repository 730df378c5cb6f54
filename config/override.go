package config

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"backstamp/internal/near"
)

// prefix begins the environment variables that override keys.
const prefix = "BACKSTAMP_"

// reserved reports whether a variable is known and no key.
func reserved(name string) bool {
	switch name {
	case "BACKSTAMP_CONFIG", "BACKSTAMP_CORPUS":
		return true
	}
	return strings.HasPrefix(name, "BACKSTAMP_TEST_") // for the tests of Backstamp itself
}

// override applies environment variables in the order of their names, which is
// from the whole to its parts, then sets.
func (t *tree) override(env environ, sets []string) (problems Errors) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !strings.HasPrefix(name, prefix) || reserved(name) {
			continue
		}
		if p, ok := t.assign(name, name, env[name], variable); !ok {
			problems = append(problems, p)
		}
	}
	for _, set := range sets {
		key, value, ok := strings.Cut(set, "=")
		if !ok {
			problems = append(problems, Problem{File: "--set", Text: strconv.Quote(set) + " has no =; expected KEY=VALUE"})
			continue
		}
		if p, ok := t.assign("--set", key, value, dotted); !ok {
			problems = append(problems, p)
		}
	}
	return problems
}

// variable spells a path as an environment variable, dotted as a key.
func variable(path []string) string {
	return prefix + strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToUpper(r)
		}
		return '_'
	}, strings.Join(path, "_"))
}

func dotted(path []string) string { return strings.Join(path, ".") }

// assign gives the key that is spelled name a value. It reports false and what
// is wrong where no key, or more than one, is spelled so.
func (t *tree) assign(source, name, value string, spell func([]string) string) (Problem, bool) {
	p := Problem{File: source}
	if source == "--set" {
		p.Key = keyText(name)
	}
	var found []key
	var names, paths []string
	for _, k := range t.keys() {
		names = append(names, spell(k.path))
		if spell(k.path) == name {
			found = append(found, k)
			paths = append(paths, dotted(k.path))
		}
	}
	switch len(found) {
	case 0:
		what := "variable"
		if source == "--set" {
			what = "key"
		}
		p.Text = "unknown " + what + "; " + near.Hint(name, names)
		return p, false
	case 1:
		n, err := valueNode(value, found[0].typ)
		if err != nil {
			p.Key, p.Text = paths[0], "not valid YAML; expected "+expected(found[0].typ, "")
			return p, false
		}
		t.set(found[0].path, n, source)
		return Problem{}, true
	}
	p.Text = "may be " + near.List(paths) + "; expected --set with one of them"
	return p, false
}

// valueNode makes a node of an override: YAML where the key has parts, else
// the text as it stands.
func valueNode(text string, typ reflect.Type) (*yaml.Node, error) {
	if isScalar(typ) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}, nil
	}
	var doc yaml.Node
	if err := yaml.Load([]byte(text), &doc); err != nil {
		return nil, err
	}
	return doc.Content[0], nil
}

// A key is one that may be overridden: every key of the schema, and of maps
// and lists the elements that are there.
type key struct {
	path []string
	typ  reflect.Type
}

func (t *tree) keys() []key {
	var all []key
	var walk func(path []string, n *yaml.Node, typ reflect.Type)
	walk = func(path []string, n *yaml.Node, typ reflect.Type) {
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if len(path) > 0 {
			all = append(all, key{slices.Clone(path), typ})
		}
		if len(all) > valuesMax || isScalar(typ) {
			return
		}
		switch typ.Kind() {
		case reflect.Struct:
			for _, f := range fields(typ) {
				walk(append(path, f.name), get(n, f.name), f.Type)
			}
		case reflect.Map:
			for name, value := range pairs(n) {
				walk(append(path, name.Value), value, typ.Elem())
			}
		case reflect.Slice:
			for i, value := range elements(n) {
				walk(append(path, strconv.Itoa(i)), value, typ.Elem())
			}
		}
	}
	walk(nil, t.root, reflect.TypeFor[Config]())
	return all
}
