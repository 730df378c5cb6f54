package provider

import (
	"fmt"
	"slices"
	"strings"

	"backstamp/mail"
	"backstamp/relay/provider/preset"
)

// Presets returns the names of all presets: capture keeps mail and has no data.
func Presets() []string { return append(preset.Names(), "capture") }

// Data returns what is known of the preset, nothing of one that is unknown or
// capture.
func (s Settings) Data() *preset.Preset {
	if p, ok := preset.Find(s.Preset); ok {
		return p
	}
	return &preset.Preset{}
}

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
	if s.Connections == 0 {
		s.Connections = p.Limits.Connections.Is
	}
	s.Password = p.Password.Is.Clean(s.Password)
	return s
}

// Login returns the username as the provider knows it: some complete it with a
// domain of theirs.
func (s Settings) Login() string {
	if p := s.Data(); p.Domain != "" && s.Username != "" && !strings.Contains(s.Username, "@") {
		return s.Username + "@" + p.Domain
	}
	return s.Username
}

// LoginIsMailbox reports whether the login is an address that may send.
func (s Settings) LoginIsMailbox() bool { return s.Preset == "generic" || s.Data().LoginIsMailbox }

// service names the service for the catalogue of replies: that of the preset,
// else that whose host it is.
func (s *Settings) service() string {
	if family := s.Data().Family; family != "" {
		return family
	}
	return preset.Family(s.Host)
}

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
	return mail.Settingf(key, "preset %q is unknown; did you mean %s?", s.Preset, preset.Nearest(s.Preset, names))
}

// checkRegion refuses a region of which there is no host.
func (s Settings) checkRegion() error {
	p, key := s.Data(), s.Key+".region"
	host, near, ok := p.HostIn(s.Region)
	switch {
	case len(p.Regions.Is) == 0 && s.Region != "":
		return mail.Settingf(key, "%s has none; expected no region", s.Preset)
	case s.Host != "" || ok && host != "" || s.Preset == "generic":
		return nil
	case s.Region == "":
		return mail.Settingf(key, "is missing; expected one such as %s", p.Regions.Is[0])
	}
	return mail.Settingf(key, "%q is unknown; did you mean %s?", s.Region, near)
}

// checkPort refuses a port that is known to begin TLS in another way.
func (s Settings) checkPort() error {
	if s.Port == 0 || s.TLS == "" || s.TLS == tlsOff {
		return nil
	}
	want := s.Data().TLSOn(s.Port)
	if want == "" {
		want = map[int]string{465: tlsImplicit, 587: tlsStartTLS, 25: tlsStartTLS}[s.Port]
	}
	if want == "" || want == s.TLS {
		return nil
	}
	return mail.Settingf(s.Key+".tls", "%s does not fit port %d; expected tls: %s there", s.TLS, s.Port, want)
}

// checkCredential refuses a credential that the preset knows cannot work.
func (s Settings) checkCredential() error {
	p := s.Data()
	for _, c := range s.credentials(p) {
		if c.value == "" {
			if !c.form.Optional && c.form.Expected != "" && s.Password == "" && s.Username == "" {
				return mail.Settingf(s.Key+"."+c.key, "is missing; expected %s", c.form.Expected)
			}
			continue
		}
		if fault, _ := c.form.Judge(c.value); fault != "" {
			return mail.Settingf(s.Key+"."+c.key, "%s", fault)
		}
	}
	return nil
}

// Warnings returns what is odd about settings that may work all the same, as
// mail.SettingErrors. No value of a credential is in them.
func (s Settings) Warnings() (odd []error) {
	if s.Preset == "capture" || s.Check() != nil {
		return nil
	}
	p := s.Data()
	if _, near, _ := p.HostIn(s.Region); near != "" && s.Host == "" {
		odd = append(odd, mail.Settingf(s.Key+".region", "%q is not on the list of %s; did you mean %s?", s.Region, p.AsOfRegions(), near))
	}
	for _, c := range s.credentials(p) {
		if c.value == "" {
			continue
		}
		if _, doubt := c.form.Judge(c.value); doubt != "" {
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

func (s Settings) credentials(p *preset.Preset) []credential {
	return []credential{{"username", s.Username, p.Username.Is}, {"password", s.Password, p.Password.Is}}
}

// mechanisms are the ways to log in, the best first, of those that the server
// offers.
func (s Settings) mechanisms(offered []string) []string {
	known := []string{"PLAIN", "LOGIN", "CRAM-MD5"}
	if order := s.Data().Auth.Is; len(order) > 0 {
		known = slices.DeleteFunc(slices.Clone(order), func(m string) bool { return !slices.Contains(known, m) })
	}
	return slices.DeleteFunc(known, func(m string) bool { return !slices.Contains(offered, m) })
}

// errNoMechanism says that there is no way to log in.
func (s Settings) errNoMechanism(offered []string) error {
	return fmt.Errorf("the server offers %q, and this version speaks PLAIN, LOGIN and CRAM-MD5", offered)
}
