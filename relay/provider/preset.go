package provider

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"backstamp/internal/near"
	"backstamp/mail"
	"backstamp/relay/provider/preset"
)

// Presets returns the names of all presets.
func Presets() []string { return preset.Names() }

// Data returns what is known of the preset, nothing of one that is unknown.
func (s Settings) Data() *preset.Preset {
	if p, ok := preset.Find(s.Preset); ok {
		return p
	}
	return &preset.Preset{}
}

// Service is whose logins and replies these are: the preset's, wherever its host
// is, else those of the provider that the host belongs to.
func (s Settings) Service() *preset.Preset {
	p := s.Data()
	if p.Family == "" {
		if serving, ok := preset.Serving(asciiHost(s.Host)); ok {
			return serving
		}
	}
	return p
}

// elsewhere reports whether the host is another than the provider's: a relay
// before it, perhaps, about which the preset knows nothing.
func (s Settings) elsewhere() bool { return s.Host != "" && !s.Data().Serves(asciiHost(s.Host)) }

// Resolved fills in what the preset knows and the settings leave open. A host
// of another name keeps the preset's ports.
func (s Settings) Resolved() Settings {
	p := s.Data()
	if s.Host == "" {
		s.Host, _, _ = p.HostIn(s.Region)
	}
	switch {
	case s.Port == 0 && s.TLS != tlsOff:
		if way := p.PortFor(s.TLS); way.Port != 0 {
			s.Port, s.TLS = way.Port, way.TLS
		}
	case s.TLS == "":
		s.TLS = p.TLSOn(s.Port)
	}
	if s.Username == "" && s.Password != "" {
		s.Username = p.Username.Is.Same
	}
	s.Connections = cmp.Or(s.Connections, p.Limits.Connections.Is)
	s.DailyLimit = cmp.Or(s.DailyLimit, p.Limits.Daily.Is)
	s.Password = p.Password.Is.Clean(s.Password)
	return s
}

// A Rate is how many messages are sent in a time; the zero Rate is no bound.
type Rate struct {
	Count int
	Per   time.Duration
}

// Rates returns those that are to be kept: the one that was told, else those of
// the preset.
func (s Settings) Rates() []Rate {
	l := s.Data().Limits
	rates := []Rate{{l.PerSecond.Is, time.Second}, {l.PerMinute.Is, time.Minute}}
	if s.Rate.Count > 0 {
		rates = []Rate{s.Rate}
	}
	return slices.DeleteFunc(rates, func(r Rate) bool { return r.Count == 0 })
}

// CountsRecipients reports whether the limit for a day is one of recipients, not
// of messages.
func (s Settings) CountsRecipients() bool { return s.Data().Limits.Counts.Is == "recipients" }

// Zone is the time zone whose midnight ends a day; nil: a day is any 24 hours.
func (s Settings) Zone() *time.Location {
	name := s.Data().Limits.Zone.Is
	if name == "" {
		return nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil { // a machine without its data; a test of the presets loads each
		return time.UTC
	}
	return zone
}

// Login returns the username as the provider knows it: some complete it with a
// domain of theirs.
func (s Settings) Login() string {
	if domain := s.Service().Domain.Is; domain != "" && s.Username != "" && !strings.Contains(s.Username, "@") {
		return s.Username + "@" + domain
	}
	return s.Username
}

// LoginIsMailbox reports whether the login, where it is an address, may send.
func (s Settings) LoginIsMailbox() bool { return s.Data().LoginIsMailbox.Is }

// MaxRecipients is how many recipients a message may have; 0: not known.
func (s Settings) MaxRecipients() int { return s.Data().Limits.Recipients.Is }

// messagesOn is how many messages go over one connection.
func (s Settings) messagesOn() int {
	if n := s.Data().Limits.PerConnection.Is; n > 0 && n < messagesMax {
		return n
	}
	return messagesMax
}

func (s Settings) checkPreset() error {
	key, names := s.Key+".preset", Presets()
	switch {
	case slices.Contains(names, s.Preset):
		return nil
	case s.Preset == "":
		return mail.Settingf(key, "is missing; expected one of %s", strings.Join(names, ", "))
	}
	return mail.Settingf(key, "preset %q is unknown; %s", s.Preset, near.Hint(s.Preset, names))
}

// checkRegion refuses a region of which there is no host.
func (s Settings) checkRegion() error {
	p, key := s.Data(), s.Key+".region"
	_, _, ok := p.HostIn(s.Region)
	switch {
	case s.Host != "" || ok:
		return nil
	case s.Region == "":
		return mail.Settingf(key, "is missing; expected one such as %s", p.Regions.Is[0])
	}
	return mail.Settingf(key, "%q is unknown; %s", s.Region, near.Hint(s.Region, p.Regions.Is))
}

// checkPort refuses a port that is known to begin TLS in another way, and a way
// for which the provider has no port. A port of STARTTLS may be had without it.
func (s Settings) checkPort() error {
	p, key := s.Data(), s.Key+".tls"
	switch {
	case s.TLS == "" || s.checkTLS() != nil:
		return nil
	case s.TLS != tlsOff && s.Port == 0 && len(p.Ports.Is) > 0 && p.PortFor(s.TLS).Port == 0 && !s.elsewhere():
		return mail.Settingf(key, "%s is offered on no port of %s; expected %s", s.TLS, s.Preset, p.Ports.Is[0].TLS)
	}
	usual, _ := preset.Find("generic")
	if want := cmp.Or(p.TLSOn(s.Port), usual.TLSOn(s.Port)); want != "" && want != s.TLS && (s.TLS != tlsOff || want == tlsImplicit) {
		return mail.Settingf(key, "%s does not fit port %d; expected tls: %s there", s.TLS, s.Port, want)
	}
	return nil
}

// checkCredential refuses a credential that the preset knows cannot work.
func (s Settings) checkCredential() error {
	for _, c := range s.credentials() {
		if fault, _ := c.form.Judge(c.value); c.value != "" && fault != "" {
			return mail.Settingf(s.Key+"."+c.key, "%s", fault)
		}
	}
	if form := s.Data().Username.Is; s.Username == "" && s.Password == "" && !form.Optional && !s.elsewhere() {
		return mail.Settingf(s.Key+".username", "is missing; expected %s", form.Expected)
	}
	return nil
}

// Warnings returns what is odd about settings that may work all the same, as
// mail.SettingErrors. No value of a credential is in them.
func (s Settings) Warnings() (odd []error) {
	if s.Check() != nil {
		return nil
	}
	p := s.Data()
	if _, listed, _ := p.HostIn(s.Region); !listed && s.Host == "" {
		odd = append(odd, mail.Settingf(s.Key+".region", "%q is not on the list of %s; %s", s.Region, p.Regions.AsOf, near.Hint(s.Region, p.Regions.Is)))
	}
	if s.Region != "" && len(p.Regions.Is) == 0 {
		odd = append(odd, mail.Settingf(s.Key+".region", "has no effect, %s has none; expected no region", s.Preset))
	}
	if s.Port != 0 && len(p.Ports.Is) > 0 && p.TLSOn(s.Port) == "" && !s.elsewhere() {
		odd = append(odd, mail.Settingf(s.Key+".port", "%d is not known of %s; expected one such as %d", s.Port, s.Preset, p.Ports.Is[0].Port))
	}
	for _, c := range s.credentials() {
		if _, doubt := c.form.Judge(c.value); c.value != "" && doubt != "" {
			odd = append(odd, mail.Settingf(s.Key+"."+c.key, "%s", doubt))
		}
	}
	return odd
}

// A credential is one half of a login, with what it should look like.
type credential struct {
	key, value string
	form       preset.Form
}

func (s Settings) credentials() []credential {
	p := s.Data()
	return []credential{{"username", s.Username, p.Username.Is}, {"password", s.Password, p.Password.Is}}
}

// mechanism picks the way to log in among those that the server offers: the
// preset's best, else what any server is asked for; "" where there is none.
func (s Settings) mechanism(offered []string) string {
	spoken := []string{"PLAIN", "LOGIN", "CRAM-MD5"}
	for _, way := range slices.Concat(s.Data().Auth.Is, spoken) {
		if slices.Contains(spoken, way) && slices.Contains(offered, way) {
			return way
		}
	}
	return ""
}
