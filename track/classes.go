package track

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"backstamp/mail"
)

// Signals is all that a class is decided from.
type Signals struct {
	Kind      mail.Kind // open or click
	Method    string
	UserAgent string
	Referer   string       // host, in lower case
	Purpose   string       // what a fetch ahead of need says of itself, in lower case
	Reader    netip.Prefix // the address, or the network that it was cut to since
	Rule      string       // that decided when the address was whole; "" when it still is
}

// A Classifier says who made a hit. It is a pure function of the Signals.
type Classifier struct {
	self   rangeSet
	rules  []rule
	timing mail.Timing
}

// What the class is put down to where no rule did it.
const (
	ruleSelf = "self" // the operator's list
	ruleNone = "none" // no rule fits
)

// A rule is one entry of classes.yaml, which explains the fields.
type rule struct {
	Name         string
	Class        mail.Class
	Kind         mail.Kind
	Method       string
	UserAgent    []string `yaml:"user_agent"`
	UserAgentIs  []string `yaml:"user_agent_is"`
	Referer      []string
	Purpose      []string
	Networks     []network
	NetworksFile string `yaml:"networks_file"`
	Source       string
	AsOf         string `yaml:"as_of"`

	ranges rangeSet // Networks and those in NetworksFile
}

// A pace is a mail.Timing as classes.yaml has it.
type pace struct {
	First  *time.Duration
	Within *time.Duration
	Links  *int
	Source string
	AsOf   string `yaml:"as_of"`
}

// builtinRules is the form of classes.yaml.
type builtinRules struct {
	Timing pace
	Fixed  []rule
	Rules  []rule
}

// ownRules is the form of the operator's file.
type ownRules struct {
	Self   []network
	Timing pace
	Rules  []rule
}

//go:embed classes.yaml
var classesYAML []byte

// LoadClassifier returns a Classifier with the built-in rules and those of the
// file, whose path may be "". Lists of networks that built-in rules name are
// read from the directory ranges where they are there; "" is none. The errors
// are of type *mail.SettingError, joined.
func LoadClassifier(file, ranges string) (*Classifier, error) {
	var builtin builtinRules
	if err := readRules(classesYAML, &builtin); err != nil {
		return nil, fmt.Errorf("track: built-in rules: %w", err)
	}
	var own ownRules
	if file != "" {
		if err := loadOwnRules(file, &own); err != nil {
			return nil, err
		}
	}
	c := &Classifier{rules: slices.Concat(builtin.Fixed, own.Rules, builtin.Rules)}
	own.Timing.over(builtin.Timing, &c.timing)
	c.self = newRangeSet(prefixesOf(own.Self))
	for i := range c.rules {
		if err := c.rules[i].prepare(ranges); err != nil {
			return nil, mail.Settingf("tracking.classes", "rule %s: %v", c.rules[i].Name, err)
		}
	}
	return c, nil
}

// over sets t to what p says, and for the rest to what base does.
func (p pace) over(base pace, t *mail.Timing) {
	t.First = *cmp.Or(p.First, base.First)
	t.Within = *cmp.Or(p.Within, base.Within)
	t.Links = *cmp.Or(p.Links, base.Links)
}

// Timing returns the pace of hits that tells a machine.
func (c *Classifier) Timing() mail.Timing { return c.timing }

func prefixesOf(list []network) (prefixes []netip.Prefix) {
	for _, n := range list {
		prefixes = append(prefixes, n.Prefix)
	}
	return prefixes
}

// prepare makes a rule quick to compare. The file of a built-in rule, whose
// name has no directory, lies in ranges, and need not be there.
func (r *rule) prepare(ranges string) error {
	for _, list := range [][]string{r.UserAgent, r.Referer, r.Purpose} {
		for i, s := range list {
			list[i] = strings.ToLower(s)
		}
	}
	networks := prefixesOf(r.Networks)
	if path := r.NetworksFile; path != "" {
		builtin := !filepath.IsAbs(path)
		if builtin {
			path = filepath.Join(ranges, path)
		}
		more, err := readRanges(path)
		if err != nil && !(builtin && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
		networks = append(networks, more...)
	}
	r.ranges = newRangeSet(networks)
	return nil
}

func loadOwnRules(file string, own *ownRules) error {
	text, err := os.ReadFile(file)
	if err == nil {
		err = readRules(text, own)
	}
	if err != nil {
		return ruleErrors(file, err)
	}
	lines := ruleLines(text)
	var errs []error
	refuse := func(line int, format string, args ...any) {
		errs = append(errs, mail.Settingf("tracking.classes", "%s:%d: %s", file, line, fmt.Sprintf(format, args...)))
	}
	if err := own.Timing.check(); err != nil {
		refuse(lines.timing, "timing: %v", err)
	}
	for i := range own.Rules {
		r := &own.Rules[i]
		r.Name = cmp.Or(r.Name, fmt.Sprintf("own-%d", i+1))
		if err := r.check(); err != nil {
			refuse(lines.rules[i], "rules.%d: %v", i, err)
		}
		if r.NetworksFile == "" {
			continue
		}
		if r.NetworksFile, err = besides(file, r.NetworksFile); err == nil {
			_, err = readRanges(r.NetworksFile)
		}
		if err != nil {
			refuse(lines.rules[i], "rules.%d: networks_file: %v", i, err)
		}
	}
	return errors.Join(errs...)
}

// besides makes a path in a file one of its own: relative to the file.
func besides(file, path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(file), path)
	}
	return filepath.Abs(path)
}

// placed are the lines of what a file of rules has.
type placed struct {
	timing int
	rules  []int
}

// ruleLines finds where the parts of a file stand that was read without errors.
func ruleLines(text []byte) (at placed) {
	var root yaml.Node
	if yaml.Unmarshal(text, &root) != nil || len(root.Content) == 0 {
		return at
	}
	top := root.Content[0].Content
	for i := 0; i+1 < len(top); i += 2 {
		switch top[i].Value {
		case "timing":
			at.timing = top[i].Line
		case "rules":
			for _, r := range top[i+1].Content {
				at.rules = append(at.rules, r.Line)
			}
		}
	}
	return at
}

// readRules decodes one YAML document, or none, strictly.
func readRules(text []byte, into any) error {
	l, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithKnownFields())
	if err != nil {
		return err
	}
	if err := l.Load(into); err != nil {
		if err == io.EOF {
			return nil
		}
		return err
	}
	if err := l.Load(new(yaml.Node)); err != io.EOF {
		return errors.New("there is a second document; expected one")
	}
	return nil
}

// ruleErrors puts the place before each thing that is wrong.
func ruleErrors(file string, err error) error {
	var many *yaml.LoadErrors
	if !errors.As(err, &many) {
		return mail.Settingf("tracking.classes", "%s: %v", file, err)
	}
	var errs []error
	for _, e := range many.Errors {
		errs = append(errs, mail.Settingf("tracking.classes", "%s:%d: %s", file, e.Mark.Line, e.Message))
	}
	return errors.Join(errs...)
}

func (p pace) check() error {
	switch {
	case p.First != nil && *p.First < 0, p.Within != nil && *p.Within < 0:
		return errors.New("a duration is below zero; expected such as 5s")
	case p.Links != nil && (*p.Links < 0 || *p.Links == 1 || *p.Links == 2):
		return fmt.Errorf("links is %d; expected 3 or more, or 0 for no timing", *p.Links)
	}
	return nil
}

// check finds what would make a rule of the operator's useless or harmful.
func (r *rule) check() error {
	classes := []mail.Class{mail.Human, mail.Proxy, mail.Prefetch, mail.Scanner, mail.Unknown}
	switch {
	case !slices.Contains(classes, r.Class):
		return fmt.Errorf("class is %q; expected human, proxy, prefetch, scanner or unknown", r.Class)
	case r.Kind != "" && r.Kind != mail.KindOpen && r.Kind != mail.KindClick:
		return fmt.Errorf("kind is %q; expected open or click", r.Kind)
	case r.Method != "" && r.Method != "GET" && r.Method != "HEAD":
		return fmt.Errorf("method is %q; expected GET or HEAD", r.Method)
	case slices.Contains(r.UserAgent, ""):
		return errors.New("an empty user_agent is part of every user agent; expected user_agent_is")
	case slices.Contains(r.Purpose, ""):
		return errors.New("an empty purpose is part of every purpose; expected such as prefetch")
	case r.Kind == "" && r.Method == "" && r.NetworksFile == "" &&
		len(r.UserAgent)+len(r.UserAgentIs)+len(r.Referer)+len(r.Purpose)+len(r.Networks) == 0:
		return errors.New("the rule fits every hit; expected one of kind, method, user_agent, user_agent_is, referer, purpose, networks, networks_file")
	}
	return nil
}

// Classify returns the class of a hit and the name of the rule that decided it.
func (c *Classifier) Classify(s Signals) (mail.Class, string) {
	if s.from(c.self, ruleSelf) {
		return mail.Self, ruleSelf
	}
	userAgent := strings.ToLower(s.UserAgent)
	for i := range c.rules {
		if r := &c.rules[i]; r.fits(s, userAgent) {
			return r.Class, r.Name
		}
	}
	return mail.Unknown, ruleNone
}

// from reports whether the hit comes from a set. Of an address that was cut
// that is not known where the set has a part of its network, of one that was not
// kept never; then it does if the rule decided so while the address was whole.
func (s Signals) from(set rangeSet, rule string) bool {
	return set.holds(s.Reader) || s.Rule == rule && (!s.Reader.IsValid() || set.overlaps(s.Reader))
}

// fits compares a rule with signals; userAgent is theirs in lower case.
func (r *rule) fits(s Signals, userAgent string) bool {
	isPart := func(of string) func(string) bool { return func(part string) bool { return strings.Contains(of, part) } }
	return (r.Kind == "" || r.Kind == s.Kind) &&
		(r.Method == "" || r.Method == s.Method) &&
		(r.UserAgentIs == nil || slices.Contains(r.UserAgentIs, s.UserAgent)) &&
		(r.UserAgent == nil || slices.ContainsFunc(r.UserAgent, isPart(userAgent))) &&
		(r.Referer == nil || slices.ContainsFunc(r.Referer, func(domain string) bool { return within(s.Referer, domain) })) &&
		(r.Purpose == nil || slices.ContainsFunc(r.Purpose, isPart(s.Purpose))) &&
		(r.Networks == nil && r.NetworksFile == "" || s.from(r.ranges, r.Name))
}

// within reports whether host is domain or lies below it.
func within(host, domain string) bool {
	rest, ok := strings.CutSuffix(host, domain)
	return ok && (rest == "" || strings.HasSuffix(rest, "."))
}

// A network reads as an address or as a network.
type network struct{ netip.Prefix }

// UnmarshalText reads it, IPv4 in IPv6 as IPv4.
func (n *network) UnmarshalText(text []byte) error {
	s := string(text)
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		n.Prefix = unmapped(netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("%q is no address or network", s)
	}
	n.Prefix = unmapped(p)
	return nil
}
