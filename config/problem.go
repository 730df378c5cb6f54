package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing wrong with the configuration, and where.
type Problem struct {
	File string // the file, or the override: BACKSTAMP_… or --set
	Line int    // from 1; 0 where there is none
	Key  string // the dotted path from the root; "" for the file as a whole
	Text string // what is wrong; what was expected
}

// Error returns FILE:LINE: KEY: text, without the parts that are missing.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Errors is all that is wrong, by line; what has no line comes last.
type Errors []Problem

// Error returns one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Sorted sorts by line and drops what an alias made appear twice.
func (e Errors) Sorted() Errors {
	slices.SortStableFunc(e, func(a, b Problem) int {
		return cmp.Or(compareLines(a.Line, b.Line), cmp.Compare(a.File, b.File), cmp.Compare(a.Key, b.Key))
	})
	return slices.Compact(e)
}

// compareLines orders 0, no line, after all others.
func compareLines(a, b int) int {
	return cmp.Compare(uint(a)-1, uint(b)-1)
}

// A place is where a value was given: its path, and the line of the file, or
// line 0 of what overrode the file.
type place struct {
	path  string
	shape string // the path, with * for names and numbers that are the operator's
	file  string
	line  int
	word  string // the value, where it is one of a few
}

// child returns the place of a key inside. What an override gave has no lines
// of its own.
func (p place) child(key string, line int) place { return p.inside(key, key, line) }

// item returns the place of a named or numbered one inside.
func (p place) item(name string, line int) place { return p.inside(name, "*", line) }

func (p place) inside(name, shape string, line int) place {
	if p.line == 0 {
		line = 0
	}
	return place{path: join(p.path, name), shape: join(p.shape, shape), file: p.file, line: line}
}

func (p place) problem(text string) Problem { return Problem{p.file, p.line, p.path, text} }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Where returns where the key at a dotted path was given. For one that was not
// it is the place of the nearest block around it.
func (c *Config) Where(key string) (file string, line int) {
	p := c.place(key)
	return p.file, p.line
}

// Problem places what a room says of a key.
func (c *Config) Problem(key, text string) Problem {
	p := c.place(key)
	return Problem{p.file, p.line, key, text}
}

func (c *Config) place(key string) place { return nearestPlace(c.set, key) }

// nearestPlace finds key or the nearest block around it; the root is there
// under "".
func nearestPlace(set map[string]place, key string) place {
	for {
		if p, ok := set[key]; ok || key == "" {
			return p
		}
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
	}
}
