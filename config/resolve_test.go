package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	r := resolver{
		dir: "/etc/b",
		env: environ{"A": "a", "EMPTY": "", "NESTED": "${A}", "REF": "file:secret", "CREDENTIALS_DIRECTORY": "/c", "NL": "x\n"},
		read: func(path string) ([]byte, error) {
			text, ok := map[string]string{
				"/etc/b/secret": "s\n", "/abs": "line 1\nline 2\n\n", "/c/pw": "c\r\n", "/etc/b/a": "${A}", "/etc/b/none": "",
			}[filepath.ToSlash(path)]
			if !ok {
				return nil, errors.New("not there")
			}
			return []byte(text), nil
		},
	}
	for _, c := range []struct {
		text, want string
		changed    bool
	}{
		{"", "", false},
		{"plain", "plain", false},
		{"$A $ {A} a$", "$A $ {A} a$", false},
		{"${A}", "a", true},
		{"x${A}y${A}", "xaya", true},
		{"${A:-b}", "a", true},
		{"${EMPTY}", "", true},
		{"${EMPTY:-b}", "b", true},
		{"${NONE:-b}", "b", true},
		{"${NONE:-}", "", true},
		{"${NONE:-a:-b}", "a:-b", true},
		{"${NESTED}", "${A}", true},
		{"$${A}", "${A}", true},
		{"$${A} ${A}", "${A} a", true},
		{"$$${A}", "$${A}", true},
		{"${REF}", "file:secret", true}, // only what was written is a reference
		{"file:secret", "s", true},
		{"file:/abs", "line 1\nline 2\n", true},
		{"file:${A}", "${A}", true},
		{"env:A", "a", true},
		{"env:NESTED", "${A}", true},
		{"env:NL", "x", true},
		{"cred:pw", "c", true},
		{"https://a:b", "https://a:b", false},
		{"File:x", "File:x", false},
	} {
		got, changed, err := r.resolve(c.text)
		if got != c.want || changed != c.changed || err != nil {
			t.Errorf("%q: %q, %v, %v; want %q, %v", c.text, got, changed, err, c.want, c.changed)
		}
	}
	for _, text := range []string{
		"${NONE}", "${}", "${A", "${a b}", "${A-b}", "env:NONE", "env:EMPTY", "env:", "file:", "file:gone", "file:none", "cred:gone", "cred:", "cred:../c/pw", "file:${NONE}",
	} {
		if got, _, err := r.resolve(text); err == nil {
			t.Errorf("%q: %q, want an error", text, got)
		}
	}
}

// A password with a ${ in it is a likely mistake: what is said of it shows
// nothing of the value, and how to write it.
func TestBrokenReferenceShowsNoSecret(t *testing.T) {
	for _, text := range []string{"hunter${topsecret", "hunter${top secret}2", "${top-secret}", "${:-topsecret}"} {
		_, _, err := resolver{}.resolve(text)
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "$${ for ${ itself") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whatever keeps a secret from being read is said without its content.
func TestUnreadableSecret(t *testing.T) {
	r := resolver{dir: "/etc/b", read: func(path string) ([]byte, error) {
		return []byte("topsecret"), bare(&os.PathError{Op: "read", Path: path, Err: os.ErrPermission})
	}}
	_, _, err := r.resolve("file:pw")
	if want := `"file:pw" cannot be read: permission denied; expected a file that holds the value`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What stands in the file itself is told from what it refers to.
func TestPlainSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "backstamp.yaml")
	text := `
admin: {password: plain}
accounts:
  shop:
    login: {username: shop, password: "${PASSWORD}"}
    providers:
      main: {preset: generic, host: smtp.example.com, username: joe, password: "also plain"}
      spare: {preset: generic, host: smtp.example.net, username: joe, password: "env:PASSWORD"}
    default_provider: main
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, []string{"PASSWORD=x"}, []string{"accounts.shop.providers.spare.password=given"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"admin.password", "accounts.shop.providers.main.password"}; !slices.Equal(c.PlainSecrets(), want) {
		t.Errorf("got %q, want %q", c.PlainSecrets(), want)
	}
}
