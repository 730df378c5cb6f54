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
//	for            in place of when: the entry whose place it takes at its services,
//	               where no rule of theirs fits; what words it lacks, and its last
//	               steps, are those of that entry
//	services       in place of those of the file
//	link           a page that tells more
//	en, ko         title, meaning and steps
//
// The first entry that fits counts, the provider's own before those of all.
package catalogue

import (
	"bytes"
	"cmp"
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
	ID       string   `yaml:"id"`
	Class    string   `yaml:"class"`
	When     []rule   `yaml:"when"`
	For      string   `yaml:"for"`
	Services []string `yaml:"services"`
	Source   string   `yaml:"source"`
	AsOf     string   `yaml:"as_of"`
	Link     string   `yaml:"link"`
	En       words    `yaml:"en"`
	Ko       words    `yaml:"ko"`
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
	for _, e := range entries {
		if base := named(entries, e.For); base != nil {
			e.En, e.Ko = e.En.before(base.En), e.Ko.before(base.Ko)
		}
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
		if e.Services == nil {
			e.Services = f.Services
		}
		for i := range e.When {
			e.When[i].compile()
		}
	}
	return append(entries, f.Entries...), err
}

// before returns w with what else base has to say.
func (w words) before(base words) words {
	return words{Title: cmp.Or(w.Title, base.Title), Meaning: cmp.Or(w.Meaning, base.Meaning), Steps: slices.Concat(w.Steps, base.Steps)}
}

// find returns the entry of an id, nil where there is none.
func find(id string) *entry { return named(all(), id) }

func named(entries []*entry, id string) *entry {
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

// At returns the id of the entry that takes the place of another one at a
// service, the same id where none does.
func At(service, id string) string {
	for _, e := range all() {
		if e.For == id && slices.Contains(e.Services, service) {
			return e.ID
		}
	}
	return id
}

// counts reports whether an entry is one of the service's own, or else of all.
func (e *entry) counts(service string, own bool) bool {
	if own {
		return slices.Contains(e.Services, service)
	}
	return len(e.Services) == 0
}
