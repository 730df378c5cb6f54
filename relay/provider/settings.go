package provider

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/idna"

	"backstamp/mail"
)

// Settings say who a provider is and how to reach it.
type Settings struct {
	Name     string // account/name
	Key      string // its path in the configuration, for errors
	Preset   string
	Region   string // of presets that have several
	Host     string // "": the preset's
	Port     int    // 0: the preset's; else 465 for implicit TLS, 25 without TLS, 587
	TLS      string // off, starttls or implicit; "": as the preset says, else implicit on port 465 and starttls
	Username string // with Password; both empty: no login
	Password string

	DailyLimit int  // 0: the preset's, which may be none
	Rate       Rate // zero: Rates of the preset

	Hostname    string         // our own name in EHLO; "": localhost
	Connections int            // the most at once; 0: the preset's, else DefaultConnections
	RootCAs     *x509.CertPool // nil: those of the system
	Timeouts    Timeouts
	Reg         prometheus.Registerer // nil: metrics go nowhere
}

// DefaultConnections is how many connections a provider gets at once.
const DefaultConnections = 5

// Timeouts are how long to wait for one step; zero fields are the defaults,
// which are those of RFC 5321 section 4.5.3.2.
type Timeouts struct {
	Connect  time.Duration // looking the name up; each address
	Greeting time.Duration
	Command  time.Duration // the reply to a command, and a TLS handshake
	Content  time.Duration // one write of at most 32 KiB
	Dot      time.Duration // the verdict on the message
	Idle     time.Duration // an unused connection is kept as long
}

func (t Timeouts) withDefaults() Timeouts {
	for _, f := range []struct {
		field *time.Duration
		d     time.Duration
	}{
		{&t.Connect, 20 * time.Second},
		{&t.Greeting, 5 * time.Minute},
		{&t.Command, 5 * time.Minute},
		{&t.Content, 3 * time.Minute},
		{&t.Dot, 10 * time.Minute},
		{&t.Idle, 30 * time.Second},
	} {
		if *f.field == 0 {
			*f.field = f.d
		}
	}
	return t
}

// The values of Settings.TLS.
const (
	tlsOff      = "off"
	tlsStartTLS = "starttls"
	tlsImplicit = "implicit"
)

// Check returns what is wrong, as mail.SettingErrors.
func (s Settings) Check() error {
	if err := s.checkPreset(); err != nil {
		return err
	}
	if s.Preset == "capture" {
		return nil
	}
	if err := s.checkRegion(); err != nil {
		return err
	}
	given := s
	s = s.Resolved()
	return errors.Join(s.checkHost(), s.checkTLS(), given.checkPort(), s.checkLogin(), s.checkCredential(), s.checkRest())
}

func (s Settings) checkHost() error {
	switch {
	case s.Host == "":
		return mail.Settingf(s.Key+".host", "is missing; expected the name or address of an SMTP server")
	case !validHost(s.Host):
		return mail.Settingf(s.Key+".host", "%q is no host name; expected a name or an address without port", s.Host)
	}
	return nil
}

func (s Settings) checkTLS() error {
	switch s.TLS {
	case "", tlsOff, tlsStartTLS, tlsImplicit:
		return nil
	}
	return mail.Settingf(s.Key+".tls", "%q is unknown; expected off, starttls or implicit", s.TLS)
}

func (s Settings) checkLogin() error {
	switch {
	case s.Username == "" && s.Password != "":
		return mail.Settingf(s.Key+".username", "is missing; expected it beside the password")
	case s.Username != "" && s.Password == "":
		return mail.Settingf(s.Key+".password", "is missing; expected it beside the username")
	case strings.ContainsAny(s.Username, "\x00\r\n"):
		return mail.Settingf(s.Key+".username", "holds a control character; expected plain text")
	case strings.ContainsAny(s.Password, "\x00\r\n"):
		return mail.Settingf(s.Key+".password", "holds a control character; expected plain text")
	case s.Password != "" && s.TLS == tlsOff && !loopbackHost(s.Host):
		return mail.Settingf(s.Key+".tls", "off would send the password in the clear; expected starttls or implicit, or a host on this machine")
	}
	return nil
}

func (s Settings) checkRest() error {
	var errs []error
	if s.Port < 0 || s.Port > 65535 {
		errs = append(errs, mail.Settingf(s.Key+".port", "%d is no port; expected 1 to 65535", s.Port))
	}
	if s.Connections < 0 {
		errs = append(errs, mail.Settingf(s.Key+".connections", "%d is negative; expected 1 or more", s.Connections))
	}
	if s.Hostname != "" && !validHost(strings.Trim(s.Hostname, "[]")) {
		errs = append(errs, mail.Settingf("hostname", "%q is no host name; expected one like relay.example.com", s.Hostname))
	}
	return errors.Join(errs...)
}

// withDefaults fills in what was left open.
func (s Settings) withDefaults() Settings {
	s = s.Resolved()
	s.Host = asciiHost(s.Host)
	if s.TLS == "" {
		s.TLS = tlsStartTLS
		if s.Port == 465 {
			s.TLS = tlsImplicit
		}
	}
	if s.Port == 0 {
		s.Port = map[string]int{tlsImplicit: 465, tlsStartTLS: 587, tlsOff: 25}[s.TLS]
	}
	if s.Connections == 0 {
		s.Connections = DefaultConnections
	}
	if s.Hostname == "" {
		s.Hostname = "localhost"
	}
	s.Timeouts = s.Timeouts.withDefaults()
	return s
}

// Local reports whether the provider cannot reach the outside world by its
// address: capture, localhost, a loopback or private address.
func (s Settings) Local() bool {
	s = s.Resolved()
	if s.Preset == "capture" || loopbackHost(s.Host) {
		return true
	}
	ip, err := netip.ParseAddr(s.Host)
	return err == nil && ip.Unmap().IsPrivate()
}

// Credential names what the provider's limits and parking belong to: the host
// family and login, hashed, since a login may be a secret. Where all accounts
// have the same login, the password tells them apart.
func (s Settings) Credential() string {
	text := s.identity()
	if s.Service().Username.Is.Same != "" {
		text += "\x00" + s.Password
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// identity is the host family and login, in one spelling. Without a login it is
// the host and port; captures have nothing in common.
func (s Settings) identity() string {
	switch s = s.withDefaults(); {
	case s.Preset == "capture":
		return "capture\x00" + s.Name
	case s.Username == "":
		return "host\x00" + net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
	}
	return "login\x00" + cmp.Or(s.Service().Family, s.Host) + "\x00" + normalLogin(s.Login())
}

// normalLogin returns the one spelling of a login.
func normalLogin(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if a, err := mail.ParseAddress(name); err == nil {
		a.Domain = asciiHost(a.Domain)
		return a.String()
	}
	return name
}

// CheckAccount finds, among the providers of one account, a preset that is
// there twice and a login that is there twice. Where a provider has no Key
// of its own, the error's is key.
func CheckAccount(key string, providers []Settings) error {
	var errs []error
	for i, s := range providers {
		at := s.Key
		if at == "" {
			at = key
		}
		if s.Preset == "capture" {
			continue
		}
		for _, o := range providers[:i] {
			switch {
			case o.Preset == "capture":
			case o.Preset == s.Preset && s.Preset != "generic":
				errs = append(errs, mail.Settingf(at+".preset", "%s is used by %q too; expected each preset once in an account", s.Preset, o.Name))
			case o.identity() == s.identity() && s.Username == "" && s.Password == "":
				errs = append(errs, mail.Settingf(at+".host", "%s is used by %q too; expected each host and port once in an account", s.Host, o.Name))
			case o.identity() == s.identity():
				errs = append(errs, mail.Settingf(at+".username", "the same login at the same host is used by %q too; expected it once in an account", o.Name))
			}
		}
	}
	return errors.Join(errs...)
}

// asciiHost returns a host name in lower case, as A-labels, without the dot
// of the root.
func asciiHost(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := idna.Lookup.ToASCII(host); err == nil && a != "" {
		return a
	}
	return host
}

func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = asciiHost(host)
	if host == "" || len(host) > 253 {
		return false
	}
	for _, label := range strings.Split(host, ".") {
		if label == "" || len(label) > 63 || slices.ContainsFunc([]byte(label), notInHost) {
			return false
		}
	}
	return true
}

func notInHost(b byte) bool {
	return (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '-' && b != '_'
}

func loopbackHost(host string) bool {
	if asciiHost(host) == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
