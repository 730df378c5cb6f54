package config

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const example = "../config.example.yaml"

// switchedOff is a key that is commented out: # and a word, without a blank.
var switchedOff = regexp.MustCompile(`(?m)^( *)#([a-z-].*)$`)

func TestExampleIsTheDefaults(t *testing.T) {
	got, err := Load(example, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want.DataDir = "../backstamp-data" // beside the file
	var g, w bytes.Buffer
	got.Print(&g)
	want.Print(&w)
	if g.String() != w.String() {
		t.Errorf("the example does not do what the defaults do:\n%s\nwant:\n%s", &g, &w)
	}
}

// uncommented returns the example with every key switched on.
func uncommented(t *testing.T) []byte {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	return switchedOff.ReplaceAll(data, []byte("$1$2"))
}

func TestExampleHasEveryKey(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Load(uncommented(t), &doc); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	shapes(doc.Content[0], reflect.TypeFor[Config](), "", shown)
	for _, want := range schema() {
		if sameAsAbove := strings.HasPrefix(want, "providers.*."); !shown[want] && !sameAsAbove {
			t.Errorf("%s is not in the example", want)
		}
	}
	known := schema()
	for got := range shown {
		if !slices.Contains(known, got) {
			t.Errorf("%s is in the example and no key", got)
		}
	}
}

// shapes notes the keys in a tree, * for names and numbers. It looks at the
// types only to know those.
func shapes(n *yaml.Node, typ reflect.Type, at string, shown map[string]bool) {
	if at != "" {
		shown[at] = true
	}
	if typ != nil && typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	for _, e := range elements(n) {
		if typ != nil && typ.Kind() == reflect.Slice && !isScalar(typ.Elem()) {
			shapes(e, typ.Elem(), at+".*", shown)
		}
	}
	for k, v := range pairs(n) {
		switch {
		case typ != nil && typ.Kind() == reflect.Map:
			shapes(v, typ.Elem(), join(at, "*"), shown)
		case typ != nil && typ.Kind() == reflect.Struct:
			shapes(v, fieldType(typ, k.Value), join(at, k.Value), shown)
		default:
			shapes(v, nil, join(at, k.Value), shown)
		}
	}
}

func fieldType(typ reflect.Type, name string) reflect.Type {
	for _, f := range fields(typ) {
		if f.name == name {
			return f.Type
		}
	}
	return nil
}

// schema lists every key there is.
func schema() (all []string) {
	eachField(reflect.TypeFor[Config](), "", func(path string, f fieldOf) { all = append(all, path) })
	return all
}

// eachField calls f for every key of a type, and for the blocks of names.
func eachField(typ reflect.Type, at string, yield func(string, fieldOf)) {
	for _, f := range fields(typ) {
		path := join(at, f.name)
		yield(path, f)
		inner := f.Type
		for !isScalar(inner) && inner.Kind() != reflect.Struct {
			if inner.Kind() != reflect.Pointer && !isScalar(inner.Elem()) {
				path += ".*"
				yield(path, fieldOf{})
			}
			inner = inner.Elem()
		}
		if !isScalar(inner) {
			eachField(inner, path, yield)
		}
	}
}

// With every key switched on, only what this version has not is refused.
func TestExampleUncommented(t *testing.T) {
	s := source{name: "example", data: uncommented(t), env: environ{"SHOP_SMTP_PASSWORD": "x", "CREDENTIALS_DIRECTORY": "/c"}}
	s.read = func(string) ([]byte, error) { return []byte("secret\n"), nil }
	_, err := s.load()
	var keys []string
	for _, p := range err.(Errors) {
		if !strings.HasPrefix(p.Text, "not available in this version") {
			t.Error(p)
		}
		keys = append(keys, p.Key)
	}
	if want := []string{"accounts.local.providers.capture.oauth", "webhooks"}; !slices.Equal(keys, want) {
		t.Errorf("refused: %q, want %q", keys, want)
	}
}

// What the example calls the default is the default: the value beside
// "Default:" of keys that have one.
func TestExampleStatesDefaults(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	says := map[string]string{}
	var stack []string // keys by indentation, two blanks each
	stated := ""
	for line := range strings.SplitSeq(string(data), "\n") {
		text := strings.TrimLeft(line, " ")
		indent := len(line) - len(text)
		if m := regexp.MustCompile(`^#? *(?:.*\. )?Default: ([^ ,]+)\.$`).FindStringSubmatch(text); m != nil {
			stated = m[1]
			continue
		}
		m := regexp.MustCompile(`^(?:- )?#?(?:- )?([a-z_]+):`).FindStringSubmatch(text)
		if m == nil || strings.HasPrefix(text, "# ") {
			continue
		}
		for len(stack) < indent/2 {
			stack = append(stack, "*") // a list element
		}
		stack = append(stack[:indent/2], m[1])
		if stated != "" {
			says[strings.Join(stack, ".")] = stated
		}
		stated = ""
	}
	found := 0
	eachField(reflect.TypeFor[Config](), "", func(path string, f fieldOf) {
		fallback := f.Tag.Get("default")
		if fallback == "" {
			return
		}
		for at, stated := range says {
			if matchShape(path, at) {
				found++
				if stated != fallback {
					t.Errorf("%s: the example says %q, the schema %q", at, stated, fallback)
				}
			}
		}
	})
	if found < 35 {
		t.Errorf("compared %d defaults only", found)
	}
}

func matchShape(shape, path string) bool {
	return slices.EqualFunc(strings.Split(shape, "."), strings.Split(path, "."), func(s, p string) bool { return s == "*" || s == p })
}
