package config

import (
	_ "embed"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// builtin stands for the file where there is none.
const builtin = "built-in defaults"

// fileMax is the size that a configuration and a secret may have.
const fileMax = 1 << 20

// standIn holds the blocks that are taken whole where the file has none.
// Defaults of single keys are in the tags.
//
//go:embed defaults.yaml
var standIn []byte

// Find returns the configuration file to load: flag, else BACKSTAMP_CONFIG of
// env, else the first of ./backstamp.yaml and /etc/backstamp/backstamp.yaml
// that is there, else "", which Load takes for the embedded defaults.
func Find(flag string, env []string) string {
	if flag != "" {
		return flag
	}
	if path := newEnviron(env)[prefix+"CONFIG"]; path != "" {
		return path
	}
	for _, path := range []string{"backstamp.yaml", "/etc/backstamp/backstamp.yaml"} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path
		}
	}
	return ""
}

// Load reads the file at path, or the embedded defaults where path is "", and
// applies the BACKSTAMP_ variables of env (KEY=VALUE, as of os.Environ), then
// sets (KEY=VALUE, dotted). Relative paths in the file are made relative to its
// directory. The error is an Errors that holds all that is wrong.
func Load(path string, env, sets []string) (*Config, error) {
	s, err := sourceOf(path, env, sets)
	if err != nil {
		return nil, err
	}
	return s.load()
}

// Outline is Load for those who may not see what the server sees: secrets that
// they cannot read, and whatever else is wrong, keep their zero values. Its
// error is that of a file that cannot be read at all.
func Outline(path string, env, sets []string) (*Config, error) {
	s, err := sourceOf(path, env, sets)
	if err != nil {
		return nil, err
	}
	c, problems := s.decode()
	if c == nil {
		return nil, problems.Sorted()
	}
	return c, nil
}

func sourceOf(path string, env, sets []string) (source, error) {
	s := source{name: builtin, env: newEnviron(env), sets: sets, read: readFile}
	if path != "" {
		data, err := readFile(path)
		if err != nil {
			return s, Errors{{File: path, Text: "cannot be read: " + err.Error() + "; expected a YAML file"}}
		}
		s.name, s.dir, s.data = path, filepath.Dir(path), data
	}
	return s, nil
}

// A source is all that a configuration comes from.
type source struct {
	name, dir string
	data      []byte
	env       environ
	sets      []string
	read      func(path string) ([]byte, error) // of secrets
}

func (s source) load() (*Config, error) {
	c, problems := s.decode()
	if len(problems) > 0 {
		return nil, problems.Sorted()
	}
	return c, nil
}

// decode returns what could be read, nil where nothing could, and all that is
// wrong.
func (s source) decode() (*Config, Errors) {
	root, syntax, problems := parse(s.name, s.data)
	if syntax {
		return nil, problems
	}
	t := newTree(root)
	t.standIn()
	problems = append(problems, t.override(s.env, s.sets)...)

	c := &Config{file: s.name}
	d := newDecoder(s, t)
	at := place{file: s.name}
	if s.name != builtin {
		at.line = 1
	}
	d.value(at, t.root, reflect.ValueOf(c).Elem(), "")
	c.set, c.names, c.plain = d.set, d.names, d.plain
	c.Tracking.trim()
	return c, append(problems, d.problems...)
}

// readFile reads a file of at most fileMax. Its errors leave out the path.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err != nil {
		return nil, bare(err)
	}
	if len(data) > fileMax {
		return nil, errors.New("larger than " + Size(fileMax).String())
	}
	return data, nil
}

// bare takes the path out of an error, for texts that name it already.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// environ is the environment, by name.
type environ map[string]string

func newEnviron(env []string) environ {
	e := environ{}
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok {
			e[name] = value
		}
	}
	return e
}
