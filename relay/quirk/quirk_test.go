package quirk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// TestExplain has every quirk explained in both languages, each in a sentence
// of its own.
func TestExplain(t *testing.T) {
	names := constants(t)
	seen := map[string]string{}
	for _, name := range names {
		en, ko := Explain(name, "en"), Explain(name, "ko")
		if len(strings.Fields(en)) < 4 || !strings.HasSuffix(en, ".") || !strings.HasSuffix(ko, ".") {
			t.Errorf("%s: %q, %q: no sentences", name, en, ko)
		}
		if !strings.ContainsFunc(ko, func(r rune) bool { return unicode.Is(unicode.Hangul, r) }) {
			t.Errorf("%s: %q is no Korean", name, ko)
		}
		for _, text := range []string{en, ko} {
			if seen[text] != "" {
				t.Errorf("%s and %s are explained alike", name, seen[text])
			}
			seen[text] = name
		}
	}
	if len(names) != len(explanations) {
		t.Errorf("%d texts for %d names", len(explanations), len(names))
	}
	if text := Explain("moonlight", "en"); text != "" {
		t.Errorf("an unknown word is explained: %q", text)
	}
}

// constants reads the names off the source.
func constants(t *testing.T) (names []string) {
	file, err := parser.ParseFile(token.NewFileSet(), "quirk.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.CONST {
			for _, spec := range d.Specs {
				name, err := strconv.Unquote(spec.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		t.Fatal("no names")
	}
	return names
}
