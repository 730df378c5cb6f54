package config

import (
	"reflect"
	"testing"
)

// The tags of the schema must be good themselves: nobody reads their mistakes.
func TestTags(t *testing.T) {
	n := 0
	eachField(reflect.TypeFor[Config](), "", func(path string, f fieldOf) {
		n++
		if f.Type == nil { // a named or numbered block
			return
		}
		if f.Tag.Get("min") != "" && f.Tag.Get("max") == "" {
			t.Errorf("%s has min without max", path)
		}
		if is := f.Tag.Get("is"); is != "" && kindOf(is).expected == kindOf("").expected {
			t.Errorf("%s is of unknown kind %q", path, is)
		}
		v := reflect.New(f.Type).Elem()
		for _, tag := range []string{"default", "min", "max"} {
			text := f.Tag.Get(tag)
			if why := ""; text != "" {
				if why = convert(v, text, f.Tag); why != "" {
					t.Errorf("%s: %s %q %s", path, tag, text, why)
				}
			}
		}
	})
	if n < 100 {
		t.Errorf("%d keys only", n)
	}
}

// A field without a yaml tag would be a key that cannot be set.
func TestFieldsAreKeys(t *testing.T) {
	var check func(typ reflect.Type)
	check = func(typ reflect.Type) {
		for !isScalar(typ) && typ.Kind() != reflect.Struct {
			typ = typ.Elem()
		}
		if isScalar(typ) {
			return
		}
		keys := fields(typ)
		exported := 0
		for i := range typ.NumField() {
			if typ.Field(i).IsExported() {
				exported++
			}
		}
		if len(keys) != exported {
			t.Errorf("%v has %d keys and %d fields", typ, len(keys), exported)
		}
		for _, f := range keys {
			check(f.Type)
		}
	}
	check(reflect.TypeFor[Config]())
}
