// Package preset is what is known of each provider, as data: a file for each in
// data, with the source and the day of every fact, for people to correct.
package preset

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

//go:embed data/*.yaml
var files embed.FS

// A Fact is a value with where it is from.
type Fact[T any] struct {
	Is     T      `yaml:"is" json:"is"`
	Source string `yaml:"source" json:"source"`
	AsOf   string `yaml:"as_of" json:"as_of"` // when the source said so, else when it was looked up
	// Unconfirmed: no text was found that says so, or not all of it.
	Unconfirmed bool `yaml:"unconfirmed" json:"unconfirmed,omitempty"`
}

// A Preset is a provider as the configuration may name it. The zero Fact says
// that nothing is known.
type Preset struct {
	Name   string `yaml:"-" json:"preset"`
	Title  string `yaml:"title" json:"title"`
	Family string `yaml:"family" json:"family,omitempty"` // of hosts that know the same logins

	Host         Fact[string]            `yaml:"host" json:"host,omitzero"`               // {region} stands for the region
	OtherHosts   Fact[[]string]          `yaml:"other_hosts" json:"other_hosts,omitzero"` // of the same service; * is any text
	Regions      Fact[[]string]          `yaml:"regions" json:"regions,omitzero"`
	Hosts        Fact[map[string]string] `yaml:"hosts" json:"hosts,omitzero"`    // of regions that do not fit into Host
	Region       string                  `yaml:"region" json:"region,omitempty"` // unless told
	OtherRegions Fact[bool]              `yaml:"other_regions" json:"other_regions,omitzero"`

	Ports    Fact[[]Port]   `yaml:"ports" json:"ports,omitzero"` // the best first
	Auth     Fact[[]string] `yaml:"auth" json:"auth,omitzero"`   // mechanisms, the best first
	Username Fact[Form]     `yaml:"username" json:"username,omitzero"`
	Password Fact[Form]     `yaml:"password" json:"password,omitzero"`
	Domain   Fact[string]   `yaml:"domain" json:"domain,omitzero"` // completes a login that has none

	// Sender is what becomes of a From that is not the account's: login (it must
	// be the login), alias (or an alias), verified (an address or domain that was
	// verified), rewrite (it is replaced unseen), any.
	Sender         Fact[string] `yaml:"sender" json:"sender,omitzero"`
	LoginIsMailbox Fact[bool]   `yaml:"login_is_mailbox" json:"login_is_mailbox,omitzero"`
	Bulk           Fact[bool]   `yaml:"bulk" json:"bulk,omitzero"`               // free-mail addresses fail DMARC here
	NullSender     Fact[string] `yaml:"null_sender" json:"null_sender,omitzero"` // replace: it takes no null reverse-path

	SPF        Fact[string]   `yaml:"spf" json:"spf,omitzero"`                 // the domain whose SPF record lists the hosts it sends from
	ReturnPath Fact[string]   `yaml:"return_path" json:"return_path,omitzero"` // whose domain MAIL FROM gets: sender (it stays), login, provider
	Mailboxes  Fact[[]string] `yaml:"mailboxes" json:"mailboxes,omitzero"`     // domains of its own, for which it signs
	Selectors  Fact[[]string] `yaml:"selectors" json:"selectors,omitzero"`     // under which customers publish its DKIM keys

	Limits        Limits         `yaml:"limits" json:"limits,omitzero"`
	Tracking      Fact[string]   `yaml:"tracking" json:"tracking,omitzero"`             // what it tracks by itself
	SwitchOff     Fact[[]string] `yaml:"switch_off" json:"switch_off,omitzero"`         // fields that keep it from tracking
	TrackingStays Fact[string]   `yaml:"tracking_stays" json:"tracking_stays,omitzero"` // what no field switches off
	ControlFields Fact[[]string] `yaml:"control_fields" json:"control_fields,omitzero"` // by which apps steer it; * is any text
	Feedback      Fact[string]   `yaml:"feedback" json:"feedback,omitzero"`
	DKIMWithout   Fact[[]string] `yaml:"dkim_without" json:"dkim_without,omitzero"` // fields it replaces
	Notes         []Fact[string] `yaml:"notes" json:"notes,omitempty"`
}

// A Port is one way in.
type Port struct {
	Port int    `yaml:"port" json:"port"`
	TLS  string `yaml:"tls" json:"tls"` // implicit or starttls
}

// Limits of an account, in messages unless said otherwise. Zero is not known.
type Limits struct {
	Counts        Fact[string] `yaml:"counts" json:"counts,omitzero"` // recipients: Daily counts them
	Daily         Fact[int]    `yaml:"daily" json:"daily,omitzero"`
	Zone          Fact[string] `yaml:"zone" json:"zone,omitzero"` // whose midnight ends a day; unknown: any 24 hours
	PerMinute     Fact[int]    `yaml:"per_minute" json:"per_minute,omitzero"`
	PerSecond     Fact[int]    `yaml:"per_second" json:"per_second,omitzero"`
	Connections   Fact[int]    `yaml:"connections" json:"connections,omitzero"`                         // at once
	PerConnection Fact[int]    `yaml:"messages_per_connection" json:"messages_per_connection,omitzero"` //
	Recipients    Fact[int]    `yaml:"recipients" json:"recipients,omitzero"`                           // of one message
	Size          Fact[int]    `yaml:"size" json:"size,omitzero"`                                       // of one message, in octets
}

// A Form is what a user name or password looks like.
type Form struct {
	Form     string   `yaml:"form" json:"form,omitempty"` // a pattern, or "address"
	Expected string   `yaml:"expected" json:"expected,omitempty"`
	Same     string   `yaml:"same" json:"same,omitempty"`         // the word that it is for every account
	Must     bool     `yaml:"must" json:"must,omitempty"`         // nothing of another form can work
	Spaces   bool     `yaml:"spaces" json:"spaces,omitempty"`     // it may be written with spaces, which do not count
	Optional bool     `yaml:"optional" json:"optional,omitempty"` // there may be none
	Warn     string   `yaml:"warn" json:"warn,omitempty"`         // what is to be said of any
	Refuse   []Refuse `yaml:"refuse" json:"refuse,omitempty"`
}

// Refuse is a form that cannot work, and why.
type Refuse struct {
	Form    string `yaml:"form" json:"form"`
	Because string `yaml:"because" json:"because"`
}

// all reads the files once. Nobody changes what it returns.
var all = sync.OnceValue(func() map[string]*Preset {
	presets := map[string]*Preset{}
	entries, err := files.ReadDir("data")
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		text, err := files.ReadFile("data/" + e.Name())
		if err == nil {
			presets[name], err = parse(name, text)
		}
		if err != nil {
			panic(err) // they are part of the program, and a test reads them all
		}
	}
	if err != nil {
		panic(err)
	}
	return presets
})

// Names returns the names of all presets, in order.
func Names() []string { return slices.Sorted(maps.Keys(all())) }

// Find returns a preset, which is not to be changed; ok is false where there is
// none of that name.
func Find(name string) (p *Preset, ok bool) {
	p, ok = all()[name]
	return p, ok
}

// Serving returns the provider whose host this is, in lower case; of those that
// share it, the first.
func Serving(host string) (p *Preset, ok bool) {
	for _, name := range Names() {
		if p := all()[name]; p.Serves(host) {
			return p, true
		}
	}
	return nil, false
}

// Serves reports whether a host, in lower case, is one of the provider's.
func (p *Preset) Serves(host string) bool {
	known := append(slices.Collect(maps.Values(p.Hosts.Is)), p.OtherHosts.Is...)
	known = append(known, strings.ReplaceAll(p.Host.Is, "{region}", "*"))
	return slices.ContainsFunc(known, func(pattern string) bool {
		ok, err := path.Match(pattern, host)
		return ok && err == nil && host != ""
	})
}

func parse(name string, text []byte) (*Preset, error) {
	p := &Preset{Name: name}
	l, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithKnownFields())
	if err == nil {
		err = l.Load(p)
	}
	if err != nil {
		return nil, fmt.Errorf("preset %s: %w", name, err)
	}
	return p, nil
}

// HostIn returns the host of a region, "" for the usual one, and whether the
// region is on the list of those; ok is false where there is no such host.
func (p *Preset) HostIn(region string) (host string, listed, ok bool) {
	if region == "" {
		region = p.Region
	}
	if len(p.Regions.Is) == 0 {
		return p.Host.Is, true, true
	}
	if region == "" {
		return "", true, false
	}
	listed = slices.Contains(p.Regions.Is, region)
	if !listed && (!p.OtherRegions.Is || !label.MatchString(region)) {
		return "", false, false
	}
	if host, ok := p.Hosts.Is[region]; ok {
		return host, listed, true
	}
	return strings.ReplaceAll(p.Host.Is, "{region}", region), listed, true
}

// label is what may stand for a region in a host name.
var label = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// TLSOn returns how TLS begins on a port, "" where that is not known.
func (p *Preset) TLSOn(port int) string {
	for _, known := range p.Ports.Is {
		if known.Port == port {
			return known.TLS
		}
	}
	return ""
}

// PortFor returns the best port for a TLS mode, 0 where that is not known; ""
// is any mode.
func (p *Preset) PortFor(tls string) Port {
	for _, known := range p.Ports.Is {
		if tls == "" || known.TLS == tls {
			return known
		}
	}
	return Port{}
}

// Clean returns a value as it is used.
func (f Form) Clean(value string) string {
	if f.Spaces {
		if bare := strings.ReplaceAll(value, " ", ""); f.fits(bare) {
			return bare
		}
	}
	return value
}

// Judge says what is wrong with a value, in words that follow it: fault keeps
// it from working, doubt may not.
func (f Form) Judge(value string) (fault, doubt string) {
	value = f.Clean(value)
	for _, r := range f.Refuse {
		if regexp.MustCompile(r.Form).MatchString(value) {
			return r.Because, ""
		}
	}
	switch {
	case f.fits(value):
		return "", f.Warn
	case f.Must:
		return "cannot work; expected " + f.Expected, ""
	}
	return "", "is of an odd form; expected " + f.Expected
}

func (f Form) fits(value string) bool {
	switch f.Form {
	case "":
		return true
	case "address":
		local, domain, ok := strings.Cut(value, "@")
		return ok && local != "" && strings.Contains(domain, ".")
	}
	return regexp.MustCompile(f.Form).MatchString(value)
}
