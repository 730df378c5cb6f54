package track

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"backstamp/mail"
)

// Signals is all that a class is decided from.
type Signals struct {
	Kind      mail.Kind // open or click
	Method    string
	UserAgent string
	Referer   string // host, in lower case
	Addr      netip.Addr
}

// A Classifier says who made a hit. It is a pure function of the Signals.
type Classifier struct {
	self  networks
	rules []rule
}

// What the class is put down to where no rule did it.
const (
	ruleSelf = "self" // the operator's list
	ruleNone = "none" // no rule fits
)

// A rule is one entry of classes.yaml, which explains the fields.
type rule struct {
	Name        string
	Class       mail.Class
	Kind        mail.Kind
	Method      string
	UserAgent   []string `yaml:"user_agent"`
	UserAgentIs []string `yaml:"user_agent_is"`
	Referer     []string
	Networks    []network
	Source      string
	AsOf        string `yaml:"as_of"`
}

// builtinRules is the form of classes.yaml.
type builtinRules struct {
	Fixed []rule
	Rules []rule
}

// ownRules is the form of the operator's file.
type ownRules struct {
	Self  []network
	Rules []rule
}

//go:embed classes.yaml
var classesYAML []byte

// LoadClassifier returns a Classifier with the built-in rules and those of the
// file, whose path may be "". The errors are of type *mail.SettingError, joined.
func LoadClassifier(file string) (*Classifier, error) {
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
	for _, n := range own.Self {
		c.self = append(c.self, n.Prefix)
	}
	for i := range c.rules {
		c.rules[i].lower()
	}
	return c, nil
}

func loadOwnRules(file string, own *ownRules) error {
	text, err := os.ReadFile(file)
	if err == nil {
		err = readRules(text, own)
	}
	if err != nil {
		return ruleErrors(file, err)
	}
	var errs []error
	for i := range own.Rules {
		r := &own.Rules[i]
		if r.Name == "" {
			r.Name = fmt.Sprintf("own-%d", i+1)
		}
		if err := r.check(); err != nil {
			errs = append(errs, mail.Settingf("tracking.classes", "%s: rules.%d: %v", file, i, err))
		}
	}
	return errors.Join(errs...)
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
	case r.Kind == "" && r.Method == "" && len(r.UserAgent)+len(r.UserAgentIs)+len(r.Referer)+len(r.Networks) == 0:
		return errors.New("the rule fits every hit; expected one of kind, method, user_agent, user_agent_is, referer, networks")
	}
	return nil
}

func (r *rule) lower() {
	for _, list := range [][]string{r.UserAgent, r.Referer} {
		for i, s := range list {
			list[i] = strings.ToLower(s)
		}
	}
}

// Classify returns the class of a hit and the name of the rule that decided it.
func (c *Classifier) Classify(s Signals) (mail.Class, string) {
	if c.self.contain(s.Addr) {
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

// fits compares a rule with signals; userAgent is theirs in lower case.
func (r *rule) fits(s Signals, userAgent string) bool {
	return (r.Kind == "" || r.Kind == s.Kind) &&
		(r.Method == "" || r.Method == s.Method) &&
		(r.UserAgentIs == nil || slices.Contains(r.UserAgentIs, s.UserAgent)) &&
		(r.UserAgent == nil || slices.ContainsFunc(r.UserAgent, func(part string) bool { return strings.Contains(userAgent, part) })) &&
		(r.Referer == nil || slices.ContainsFunc(r.Referer, func(domain string) bool { return within(s.Referer, domain) })) &&
		(r.Networks == nil || slices.ContainsFunc(r.Networks, func(n network) bool { return n.Contains(s.Addr) }))
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
