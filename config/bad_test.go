package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the messages of testdata/bad.txt anew")

// bad.txt holds a bad configuration for each mistake: "== name", perhaps lines
// "env NAME=VALUE" and "set KEY=VALUE", "--", the file, "--", and all that is
// said of it.
func TestBadFiles(t *testing.T) {
	const path = "testdata/bad.txt"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, cases, _ := strings.Cut(string(data), "\n== ")
	out := head
	for text := range strings.SplitSeq(cases, "\n== ") {
		parts := strings.SplitN(text, "\n--\n", 3)
		if len(parts) != 3 {
			t.Fatalf("case has %d parts:\n%s", len(parts), text)
		}
		got := badCase(parts[0], parts[1])
		out += "\n== " + parts[0] + "\n--\n" + parts[1] + "\n--\n" + got + "\n"
		name, _, _ := strings.Cut(parts[0], "\n")
		if want := strings.TrimSpace(parts[2]); got != want && !*update {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
	if *update {
		os.WriteFile(path, []byte(out), 0o644)
	}
}

// badCase returns what is said of a file; \xNN and \t stand for such bytes.
func badCase(head, file string) string {
	secrets := map[string]string{"/etc/b/empty": "\n", "/c/pw": "x\n"}
	s := source{name: "b.yaml", dir: "/etc/b", env: environ{}}
	s.read = func(path string) ([]byte, error) {
		if text, ok := secrets[filepath.ToSlash(path)]; ok {
			return []byte(text), nil
		}
		return nil, bare(&os.PathError{Op: "open", Path: path, Err: os.ErrNotExist})
	}
	for line := range strings.SplitSeq(head, "\n") {
		if kv, ok := strings.CutPrefix(line, "env "); ok {
			s.env[strings.Split(kv, "=")[0]] = strings.SplitN(kv, "=", 2)[1]
		}
		if set, ok := strings.CutPrefix(line, "set "); ok {
			s.sets = append(s.sets, set)
		}
	}
	s.data = []byte(strings.NewReplacer(`\xB0`, "\xb0", `\x00`, "\x00", `\t`, "\t").Replace(file + "\n"))
	if _, err := s.load(); err != nil {
		return err.Error()
	}
	return "loaded"
}
