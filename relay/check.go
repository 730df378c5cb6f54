package relay

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"backstamp/mail"
	"backstamp/relay/ascii"
)

// The values of Listener.TLS and Listener.Auth.
const (
	tlsOff      = "off"
	tlsStart    = "starttls"
	tlsImplicit = "implicit"

	authOff      = "off"
	authOptional = "optional"
	authRequired = "required"
)

// NewPolicy checks settings and makes them ready. Its error joins
// *mail.SettingErrors. What it accepts is no open relay: everybody who may
// hand in mail has a login or comes from a network that is written down.
func NewPolicy(s Settings) (*Policy, error) {
	p := &Policy{
		hostname:      s.Hostname,
		defaultDomain: s.DefaultDomain,
		limits:        s.Limits,
		clients:       s.Clients,
		tracking:      s.Tracking,
		rewriter:      s.Rewriter,
		quiet:         s.Quiet,
	}
	if p.quiet == nil {
		p.quiet = func(mail.Header) bool { return false }
	}
	errs := []error{checkHostname(s.Hostname), checkDefaultDomain(s.DefaultDomain), s.Limits.check()}
	for i, l := range s.Listeners {
		d, err := newDoor(i, l, s.Certificate)
		p.doors = append(p.doors, d)
		errs = append(errs, err)
	}
	for _, c := range s.Clients {
		errs = append(errs, c.check())
	}
	for _, a := range s.Accounts {
		p.accounts = append(p.accounts, &account{Account: a, name: a.Align.Name(), hash: hashOf(a.Password)})
	}
	errs = append(errs, checkAccounts(p.accounts))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

func checkHostname(name string) error {
	if err := (mail.Address{Local: "any", Domain: name}).Check(); err != nil {
		return mail.Settingf("hostname", "%q is no host name; expected one such as relay.example.com", name)
	}
	return nil
}

func checkDefaultDomain(name string) error {
	if name == "" {
		return nil
	}
	if err := (mail.Address{Local: "any", Domain: name}).Check(); err != nil {
		return mail.Settingf("default_domain", "%q is no domain; expected one such as example.com", name)
	}
	return nil
}

func (l Limits) check() error {
	var errs []error
	for _, n := range []struct {
		key   string
		value int64
	}{
		{"message", l.Message}, {"recipients", int64(l.Recipients)}, {"connections", int64(l.Connections)},
		{"connections_per_client", int64(l.ConnectionsPerClient)}, {"login_failures", int64(l.LoginFailures)},
		{"read", int64(l.Read)}, {"idle", int64(l.Idle)}, {"session", int64(l.Session)},
	} {
		if n.value <= 0 {
			errs = append(errs, mail.Settingf("limits."+n.key, "not above 0; expected a limit that lets mail in"))
		}
	}
	return errors.Join(errs...)
}

// newDoor checks a listener. It returns it also with an error, so that the
// rest can be checked.
func newDoor(i int, l Listener, own *Certificate) (*door, error) {
	settingf := func(key, format string, args ...any) error {
		return mail.Settingf(fmt.Sprintf("listeners.%d.%s", i, key), format, args...)
	}
	d := &door{Listener: l}
	var errs []error
	host, _, err := net.SplitHostPort(l.Address)
	if err != nil {
		errs = append(errs, settingf("address", "%q is no address; expected one such as 127.0.0.1:2525", l.Address))
	}
	d.loopback = isLoopback(host)
	switch l.Auth {
	case authOff, authOptional, authRequired:
	default:
		errs = append(errs, settingf("auth", "unknown word %q; expected off, optional or required", l.Auth))
	}
	errs = append(errs, wideNetworks(l.Clients, fmt.Sprintf("listeners.%d.clients", i)),
		wideNetworks(l.ProxyProtocol, fmt.Sprintf("listeners.%d.proxy_protocol", i)), d.loadTLS(own, settingf))
	if !d.loopback && len(l.Clients) == 0 && !(l.Auth == authRequired && l.TLS != tlsOff) {
		errs = append(errs, settingf("clients", "empty, and %s can be reached from other machines; "+
			"expected their networks, or auth: required with tls: starttls or implicit", l.Address))
	}
	return d, errors.Join(errs...)
}

// isLoopback reports whether a listener on host is for this machine alone. A
// name other than localhost may be anything.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// loadTLS reads certificate and key and sets the oldest version.
func (d *door) loadTLS(own *Certificate, settingf func(key, format string, args ...any) error) error {
	switch d.TLS {
	case tlsOff:
		return nil
	case tlsStart, tlsImplicit:
	default:
		return settingf("tls", "unknown word %q; expected off, starttls or implicit", d.TLS)
	}
	oldest, ok := tlsVersions()[d.MinTLS]
	if !ok {
		return settingf("min_tls", "unknown version %q; expected 1.0, 1.1, 1.2 or 1.3", d.MinTLS)
	}
	d.config = &tls.Config{MinVersion: oldest}
	if oldest < tls.VersionTLS12 {
		d.config.CipherSuites = oldSuites()
	}
	if d.Cert == "" && d.Key == "" && own != nil {
		d.config.GetCertificate = own.get
		return nil
	}
	return d.loadPair(settingf)
}

// loadPair reads the certificate that is configured.
func (d *door) loadPair(settingf func(key, format string, args ...any) error) error {
	if d.Cert == "" || d.Key == "" {
		return settingf("cert", "tls is %s and cert or key is missing; expected two files in PEM", d.TLS)
	}
	cert, err := os.ReadFile(d.Cert)
	if err != nil {
		return settingf("cert", "cannot be read: %v; expected a file with a certificate in PEM", err)
	}
	key, err := os.ReadFile(d.Key)
	if err != nil {
		return settingf("key", "cannot be read: %v; expected a file with the certificate's key in PEM", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return settingf("cert", "does not work with its key: %v; expected a certificate and its key in PEM", err)
	}
	d.config.Certificates = []tls.Certificate{pair}
	return nil
}

func tlsVersions() map[string]uint16 {
	return map[string]uint16{"": tls.VersionTLS12, "1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
}

// oldSuites are those of today and, after them, what clients have that know no
// other: the key exchange by RSA, and 3DES. RC4 is not among them.
func oldSuites() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	return append(ids,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA)
}

// wideNetworks refuses networks that hold a good part of the internet: whoever
// lists one runs an open relay.
func wideNetworks(networks []netip.Prefix, key string) error {
	var errs []error
	for i, n := range networks {
		least := 8
		if n.Addr().Is6() {
			least = 16
			if n.Addr().Is4In6() {
				least = 96 + 8
			} else if n.Addr().IsPrivate() || n.Addr().IsLinkLocalUnicast() {
				least = 7 // fc00::/7 and fe80::/10 are nobody's internet
			}
		}
		if n.Bits() < least {
			errs = append(errs, mail.Settingf(fmt.Sprintf("%s.%d", key, i),
				"%v lets strangers in; expected the networks of your own machines", n))
		}
	}
	return errors.Join(errs...)
}

func (c Client) check() error {
	var errs []error
	if len(c.Networks) == 0 {
		errs = append(errs, mail.Settingf("clients."+c.Name+".networks", "empty; expected networks such as 10.0.5.0/24"))
	}
	switch c.Tracking {
	case "", "off", "opens", "clicks", "both":
	default:
		errs = append(errs, mail.Settingf("clients."+c.Name+".tracking", "unknown word %q; expected off, opens, clicks or both", c.Tracking))
	}
	if c.Charset != "" && ascii.Encoding(c.Charset) == nil {
		errs = append(errs, mail.Settingf("clients."+c.Name+".charset", "unknown charset %q; expected one such as cp949 or iso-8859-1", c.Charset))
	}
	if _, err := mail.ParseAddress(c.From); c.From != "" && err != nil {
		errs = append(errs, mail.Settingf("clients."+c.Name+".from", "%q is no address; expected one such as scan@example.com", c.From))
	}
	return errors.Join(errs...)
}

// checkAccounts makes sure that each client can only be one account.
func checkAccounts(all []*account) error {
	var errs []error
	for i, a := range all {
		key := "accounts." + a.name
		if a.Username == "" && len(a.Networks) == 0 {
			errs = append(errs, mail.Settingf(key+".login", "missing, and no networks either; expected one of them or both"))
		}
		if a.Username != "" && a.Password == "" {
			errs = append(errs, mail.Settingf(key+".login.password", "empty; expected the password of %q", a.Username))
		}
		errs = append(errs, wideNetworks(a.Networks, key+".networks"))
		for _, b := range all[:i] {
			if a.Username != "" && a.Username == b.Username {
				errs = append(errs, mail.Settingf(key+".login.username", "%q is the login of account %s too; expected one of its own", a.Username, b.name))
			}
			if n, m, ok := overlap(a.Networks, b.Networks); ok {
				errs = append(errs, mail.Settingf(key+".networks", "%v overlaps %v of account %s; expected networks of its own", n, m, b.name))
			}
		}
	}
	return errors.Join(errs...)
}

func overlap(a, b []netip.Prefix) (n, m netip.Prefix, ok bool) {
	for _, n := range a {
		for _, m := range b {
			if n.Overlaps(m) {
				return n, m, true
			}
		}
	}
	return n, m, false
}
