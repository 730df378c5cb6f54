package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// A resolver turns a string as written into what it stands for: file:PATH,
// env:NAME and cred:NAME as a whole string, ${NAME} and ${NAME:-x} inside.
// What a reference brings in is taken as it is, never resolved again.
type resolver struct {
	dir  string // relative paths start here
	env  environ
	read func(path string) ([]byte, error)
}

// resolve returns the text, and whether anything was put in place of anything.
// The error says what is wrong and what was expected.
func (r resolver) resolve(s string) (text string, changed bool, err error) {
	scheme, rest, found := strings.Cut(s, ":")
	if !found || scheme != "file" && scheme != "env" && scheme != "cred" {
		text, err = r.expand(s)
		return text, text != s, err
	}
	name, err := r.expand(rest)
	if err != nil {
		return "", true, err
	}
	switch scheme {
	case "file":
		text, err = r.file(absolute(r.dir, name), s)
	case "env":
		text, err = r.variable(name)
	case "cred":
		text, err = r.credential(name)
	}
	if err == nil && text == "" {
		err = fmt.Errorf("%q is empty; expected it to hold the value", s)
	}
	return text, true, err
}

// file reads a secret and takes off the newline at its end.
func (r resolver) file(path, written string) (string, error) {
	data, err := r.read(path)
	if err != nil {
		return "", fmt.Errorf("%q cannot be read: %w; expected a file that holds the value", written, err)
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

func (r resolver) variable(name string) (string, error) {
	value, ok := r.env[name]
	if !ok {
		return "", fmt.Errorf("environment variable %q is not set; expected it to hold the value", name)
	}
	return strings.TrimSuffix(value, "\n"), nil
}

// credential reads one of systemd's credentials, see systemd.exec(5).
func (r resolver) credential(name string) (string, error) {
	dir := r.env["CREDENTIALS_DIRECTORY"]
	if dir == "" {
		return "", fmt.Errorf("CREDENTIALS_DIRECTORY is not set; expected LoadCredential=%s in the systemd unit", name)
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		return "", fmt.Errorf("%q is no name of a credential; expected one such as cred:gmail", name)
	}
	return r.file(filepath.Join(dir, name), "cred:"+name)
}

// expand replaces ${NAME} and ${NAME:-x}, where x stands in for a variable that
// is unset or empty. $${ is a ${ that stays. The errors show nothing of what is
// malformed: it may be a password that happens to have a ${ in it.
func (r resolver) expand(s string) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		inside, rest, ok := strings.Cut(s[i+2:], "}")
		if !ok {
			return "", errors.New("has no } after ${; expected ${NAME} or ${NAME:-x}, $${ for ${ itself")
		}
		value, err := r.lookup(inside)
		if err != nil {
			return "", err
		}
		b.WriteString(s[:i] + value)
		s = rest
	}
}

// lookup returns the value of NAME or NAME:-x.
func (r resolver) lookup(s string) (string, error) {
	name, standIn, optional := strings.Cut(s, ":-")
	if !isVariable(name) {
		return "", errors.New("has no variable's name in ${}; expected ${NAME} or ${NAME:-x}, $${ for ${ itself")
	}
	value, ok := r.env[name]
	switch {
	case optional && value == "":
		return standIn, nil
	case !ok:
		return "", fmt.Errorf("variable %s is not set; expected it to be, or ${%s:-x} with a value instead", name, name)
	}
	return value, nil
}

func isVariable(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// absolute returns a path as seen from dir.
func absolute(dir, path string) string {
	if dir == "" || path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
