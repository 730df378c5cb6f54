package simulator

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

//go:embed dialects/*.yaml
var dialects embed.FS

// A Dialect is how one provider speaks; dialects/generic.yaml explains the
// fields.
type Dialect struct {
	Preset  string             `yaml:"preset"`
	Source  string             `yaml:"source"` // where the ordinary replies come from
	AsOf    string             `yaml:"as_of"`
	Name    string             `yaml:"name"`
	TLS     []string           `yaml:"tls"`
	EHLO    []string           `yaml:"ehlo"`
	Login   Login              `yaml:"login"`
	Sender  string             `yaml:"sender"`
	Limits  Limits             `yaml:"limits"`
	Counts  string             `yaml:"counts"`
	ID      string             `yaml:"id"`
	Says    map[string]string  `yaml:"says"`
	Refuses map[string]Refusal `yaml:"refuses"`
}

// Login says which logins there can be at all.
type Login struct {
	Optional bool   `yaml:"optional"`
	User     string `yaml:"user"`   // pattern of names
	Wrong    string `yaml:"wrong"`  // pattern of secrets of the wrong kind
	Spaces   bool   `yaml:"spaces"` // in a secret do not matter
	Domain   string `yaml:"domain"` // makes a bare name an address
}

// Limits bound an account; zero is no limit.
type Limits struct {
	Day           int           `yaml:"day"` // in 24 hours, rolling
	Minute        int           `yaml:"minute"`
	Second        int           `yaml:"second"`
	Connections   int           `yaml:"connections"`    // at once
	PerConnection int           `yaml:"per_connection"` // messages
	Recipients    int           `yaml:"recipients"`     // of a message
	Size          int64         `yaml:"size"`           // of a message, in octets
	Idle          time.Duration `yaml:"idle"`
}

// A Refusal is what is said, at a stage, instead of the ordinary reply.
type Refusal struct {
	Stage  string `yaml:"stage"`  // banner, auth, mail, rcpt, data or dot
	Text   string `yaml:"text"`   // lines with their code; "": nothing is said
	Close  bool   `yaml:"close"`  // the connection ends
	Hang   bool   `yaml:"hang"`   // nothing more is said, and it stays open
	Delay  bool   `yaml:"delay"`  // a rate is not refused: the reply waits
	Source string `yaml:"source"` // "unconfirmed": no document has it
}

// The values of Dialect.Sender.
const (
	senderAny      = "any"
	senderLogin    = "login"
	senderRewrite  = "rewrite"
	senderVerified = "verified"
)

// stages returns the points at which something can be refused.
func stages() []string { return []string{"banner", "auth", "mail", "rcpt", "data", "dot"} }

// Presets returns the names of the providers that can be played, sorted.
func Presets() []string {
	entries, _ := dialects.ReadDir("dialects") // embedded: it is there
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names) // files are sorted with their suffix
	return names
}

// Load returns the dialect of a preset. What it does not say itself it says
// as the generic one does.
func Load(preset string) (Dialect, error) {
	if !slices.Contains(Presets(), preset) {
		return Dialect{}, fmt.Errorf("no simulator for %q; expected one of %s", preset, strings.Join(Presets(), ", "))
	}
	base, err := read("generic")
	if err != nil || preset == "generic" {
		return base, err
	}
	d, err := read(preset)
	if err != nil {
		return Dialect{}, err
	}
	d.Says = over(base.Says, d.Says)
	d.Refuses = over(base.Refuses, d.Refuses)
	return d, nil
}

func over[V any](base, own map[string]V) map[string]V {
	all := maps.Clone(base)
	maps.Copy(all, own)
	return all
}

func read(preset string) (Dialect, error) {
	text, err := dialects.ReadFile(path.Join("dialects", preset+".yaml"))
	if err != nil {
		return Dialect{}, fmt.Errorf("reading a dialect: %w", err)
	}
	var d Dialect
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&d); err != nil {
		return Dialect{}, fmt.Errorf("reading the dialect %s: %w", preset, err)
	}
	return d, d.check()
}

// check finds what could not be played.
func (d *Dialect) check() error {
	for _, pattern := range []string{d.Login.User, d.Login.Wrong} {
		if _, err := regexp.Compile(pattern); err != nil {
			return fmt.Errorf("dialect %s: login: %w", d.Preset, err)
		}
	}
	if !slices.Contains([]string{senderAny, senderLogin, senderRewrite, senderVerified}, d.Sender) {
		return fmt.Errorf("dialect %s: sender %q is unknown", d.Preset, d.Sender)
	}
	for name, r := range d.Refuses {
		early := slices.Index(stages(), r.Stage) < slices.Index(stages(), "mail")
		if !slices.Contains(stages(), r.Stage) || r.Source == "" || early && aboutMessage(name) {
			return fmt.Errorf("dialect %s: %s has stage %q and source %q", d.Preset, name, r.Stage, r.Source)
		}
	}
	return nil
}

// aboutMessage reports whether a rule needs a transaction to look at.
func aboutMessage(rule string) bool {
	return slices.Contains([]string{"null-sender", "sender-refused", "too-big", "too-many-recipients"}, rule)
}

// Troubles returns the names that a Trouble may have, sorted.
func (d *Dialect) Troubles() []string {
	names := slices.Collect(maps.Keys(d.Refuses))
	for _, stage := range stages() {
		names = append(names, "close-"+stage, "hang-"+stage)
	}
	slices.Sort(names)
	return names
}

// Refusal returns what a trouble is. Besides those of the dialect there are
// close-STAGE, which ends the connection without a word, and hang-STAGE.
func (d *Dialect) Refusal(name string) (Refusal, bool) {
	if r, ok := d.Refuses[name]; ok {
		return r, true
	}
	how, stage, _ := strings.Cut(name, "-")
	if !slices.Contains(stages(), stage) || how != "close" && how != "hang" {
		return Refusal{}, false
	}
	return Refusal{Stage: stage, Close: true, Hang: how == "hang"}, true
}
