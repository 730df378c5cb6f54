package config

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// FuzzLoad: whatever the file and the overrides, there is a configuration or
// there are errors, each one line that names a line of the file.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{"", full, "a: &a [*a]", "accounts: {a: &a {x: *a}}", "x: [\n", "---\n---\n", "listeners: [{}]", "\t", "- &x ? *x : *x", "hostname: \"a\rb\"", "admin: {password: 'file:x'}"} {
		f.Add(text, "admin.listen=127.0.0.1:1", "BACKSTAMP_LIMITS_READ=1s")
	}
	bad, err := os.ReadFile("testdata/bad.txt")
	if err != nil {
		f.Fatal(err)
	}
	for text := range strings.SplitSeq(string(bad), "\n== ") {
		if parts := strings.SplitN(text, "\n--\n", 3); len(parts) == 3 {
			f.Add(parts[1], "accounts={a: {networks: [::1]}}", "BACKSTAMP_ACCOUNTS_A_ALIGN=warn")
		}
	}
	f.Fuzz(func(t *testing.T, text, set, variable string) {
		s := source{name: "f", dir: "/d", data: []byte(text), env: newEnviron([]string{variable, "A=b"}), sets: []string{set}}
		s.read = func(string) ([]byte, error) { return []byte("x"), nil }
		c, err := s.load()
		if err != nil {
			checkErrors(t, text, c, err)
			return
		}
		if strings.Contains(text+set+variable, "${") {
			return // what came in may itself read like a reference
		}
		var out, again bytes.Buffer
		if err := c.Print(&out); err != nil {
			t.Fatal(err)
		}
		s = source{name: "f", dir: "/d", data: out.Bytes(), read: s.read}
		if c, err = s.load(); err != nil {
			t.Fatalf("what was printed does not load: %v\n%s", err, &out)
		}
		if c.Print(&again); again.String() != out.String() {
			t.Fatalf("printed\n%s\nand again\n%s", &out, &again)
		}
	})
}

func checkErrors(t *testing.T, text string, c *Config, err error) {
	var all Errors
	if c != nil || !errors.As(err, &all) || len(all) == 0 {
		t.Fatalf("config %v with error %T", c, err)
	}
	lines := 1
	for _, br := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		lines += strings.Count(text, br)
	}
	for i, p := range all {
		if inFile := p.File == "f"; inFile && (p.Line < 1 || p.Line > lines) || !inFile && p.Line != 0 {
			t.Errorf("line %d of %d: %v", p.Line, lines, p)
		}
		if !strings.Contains(p.Text, "; ") && !strings.Contains(p.Text, "did you mean") || strings.ContainsAny(p.Error(), "\n\r") {
			t.Errorf("not one line that says what was expected: %q", p.Error())
		}
		if i > 0 && compareLines(all[i-1].Line, p.Line) > 0 {
			t.Errorf("%v after %v", p, all[i-1])
		}
	}
}
