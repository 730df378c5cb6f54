// Package catalogue says what replies mean: which reply of which provider is of
// what class, and in words of English and Korean what it means and what to do.
// It is data, a file for each provider in data, for people to correct.
//
// Each file has entries, and services, the families of presets, for which alone
// their rules count; without services they count for all. An entry has
//
//	id             what is kept with a delivery; it never changes its meaning
//	class          what becomes of the mail, a reply class
//	when           rules; one that fits suffices
//	  code         one of these SMTP codes
//	  enhanced     one of these enhanced codes (RFC 3463)
//	  text         words of the reply, in any case, spacing and wrapping; what
//	               " … " parts must come in this order
//	source, as_of  where the reply is known from, and when it was looked up;
//	               unconfirmed: no text of the provider was found
//	link           a page that tells more
//	en, ko         title, meaning and steps
//
// The first entry that fits counts, the provider's own before those of all.
package catalogue

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"sync"

	"go.yaml.in/yaml/v4"

	"backstamp/mail"
)

//go:embed data/*.yaml
var files embed.FS

type file struct {
	Services []string `yaml:"services"`
	Entries  []*entry `yaml:"entries"`
}

type entry struct {
	ID     string `yaml:"id"`
	Class  string `yaml:"class"`
	When   []rule `yaml:"when"`
	Source string `yaml:"source"`
	AsOf   string `yaml:"as_of"`
	Link   string `yaml:"link"`
	En     words  `yaml:"en"`
	Ko     words  `yaml:"ko"`

	services []string
}

type words struct {
	Title   string   `yaml:"title"`
	Meaning string   `yaml:"meaning"`
	Steps   []string `yaml:"steps"`
}

// all reads the files once, in the order of their names. Nobody changes what it
// returns.
var all = sync.OnceValue(func() []*entry {
	var entries []*entry
	dir, err := files.ReadDir("data")
	for _, f := range dir {
		text, err := files.ReadFile("data/" + f.Name())
		if err == nil {
			entries, err = read(entries, text)
		}
		if err != nil {
			panic(fmt.Errorf("catalogue %s: %w", f.Name(), err)) // it is part of the program, and a test reads it
		}
	}
	if err != nil {
		panic(err)
	}
	return entries
})

func read(entries []*entry, text []byte) ([]*entry, error) {
	var f file
	l, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithKnownFields())
	if err == nil {
		err = l.Load(&f)
	}
	for _, e := range f.Entries {
		e.services = f.Services
		for i := range e.When {
			e.When[i].compile()
		}
	}
	return append(entries, f.Entries...), err
}

// find returns the entry of an id, nil where there is none.
func find(id string) *entry {
	entries := all()
	if i := slices.IndexFunc(entries, func(e *entry) bool { return e.ID == id }); i >= 0 {
		return entries[i]
	}
	return nil
}

// Match finds out what a refusing reply of a service means, which is named by
// the family of its preset, or is "": the entry's id, by which Find tells more,
// and its class. ok is false where no entry knows it.
func Match(service string, r mail.Reply) (id, class string, ok bool) {
	if !r.Temporary() && !r.Permanent() {
		return "", "", false
	}
	said := listen(r)
	for _, own := range []bool{true, false} {
		for _, e := range all() {
			if e.counts(service, own) && slices.ContainsFunc(e.When, said.fits) {
				return e.ID, e.Class, true
			}
		}
	}
	return "", "", false
}

// counts reports whether an entry is one of the service's own, or else of all.
func (e *entry) counts(service string, own bool) bool {
	if own {
		return slices.Contains(e.services, service)
	}
	return len(e.services) == 0
}
