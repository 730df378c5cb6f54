package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
	"backstamp/relay/align"
)

// keysOf lists the keys of the setting errors that are joined in err.
func keysOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var setting *mail.SettingError
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		var keys []string
		for _, e := range list.Unwrap() {
			keys = append(keys, keysOf(t, e)...)
		}
		return keys
	}
	if !errors.As(err, &setting) {
		t.Fatalf("%v is no setting error", err)
	}
	return []string{setting.Key}
}

func TestNewPolicyErrors(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key, _ := certFiles(t)
	for _, tt := range []struct {
		name   string
		change func(*Settings)
		want   string
	}{
		{"as it is", func(*Settings) {}, ""},
		{"no host name", func(s *Settings) { s.Hostname = "a b" }, "hostname"},
		{"no domain", func(s *Settings) { s.DefaultDomain = "@x" }, "default_domain"},
		{"limits", func(s *Settings) { s.Limits.Message, s.Limits.Idle = 0, -1 }, "limits.message limits.idle"},
		{"no address", func(s *Settings) { s.Listeners[0].Address = "x" }, "listeners.0.address"},
		{"auth word", func(s *Settings) { s.Listeners[0].Auth = "on" }, "listeners.0.auth"},
		{"tls word", func(s *Settings) { s.Listeners[0].TLS = "on" }, "listeners.0.tls"},
		{"no certificate", func(s *Settings) { s.Listeners[0].TLS = "starttls" }, "listeners.0.cert"},
		{"junk certificate", func(s *Settings) {
			s.Listeners[0].TLS, s.Listeners[0].Cert, s.Listeners[0].Key = "implicit", junk, junk
		}, "listeners.0.cert"},
		{"missing key", func(s *Settings) {
			s.Listeners[0].TLS, s.Listeners[0].Cert, s.Listeners[0].Key = "implicit", cert, junk+"x"
		}, "listeners.0.key"},
		{"TLS version", func(s *Settings) {
			s.Listeners[0].TLS, s.Listeners[0].Cert, s.Listeners[0].Key, s.Listeners[0].MinTLS = "implicit", cert, key, "3.0"
		}, "listeners.0.min_tls"},
		{"proxy protocol", func(s *Settings) { s.Listeners[0].ProxyProtocol = networks("0.0.0.0/0") }, "listeners.0.proxy_protocol.0"},
		{"everybody listed", func(s *Settings) {
			s.Listeners[0].Clients = networks("0.0.0.0/0", "::/0", "128.0.0.0/1", "2000::/3", "::ffff:0:0/96")
		}, "listeners.0.clients.0 listeners.0.clients.1 listeners.0.clients.2 listeners.0.clients.3 listeners.0.clients.4"},
		{"wide but private", func(s *Settings) {
			s.Listeners[0].Clients = networks("10.0.0.0/8", "fc00::/7", "fe80::/10", "2001:db8::/32")
		}, ""},
		{"account for everybody", func(s *Settings) { s.Accounts[0].Networks = networks("0.0.0.0/0") }, "accounts.shop.networks.0"},
		{"account for nobody", func(s *Settings) { s.Accounts[0].Username, s.Accounts[0].Networks = "", nil }, "accounts.shop.login"},
		{"no password", func(s *Settings) { s.Accounts[0].Password = "" }, "accounts.shop.login.password"},
		{"one login twice", func(s *Settings) {
			s.Accounts = append(s.Accounts, Account{Username: "shop", Password: "x", Align: newAlign(t, "mall", align.Warn)})
		}, "accounts.mall.login.username"},
		{"networks overlap", func(s *Settings) {
			s.Accounts = append(s.Accounts, Account{Networks: networks("10.0.0.0/8", "127.0.0.1/32"), Align: newAlign(t, "mall", align.Warn)})
		}, "accounts.mall.networks"},
		{"clients", func(s *Settings) {
			s.Clients = []Client{{Name: "p", Tracking: "maybe", From: "nobody"}}
		}, "clients.p.networks clients.p.tracking clients.p.from"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := settings(t)
			tt.change(&s)
			_, err := NewPolicy(s)
			got := keysOf(t, err)
			want := strings.Fields(tt.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got %v (%v)\nwant %v", got, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%v holds a password", err)
			}
		})
	}
}

// TestNoOpenRelay tries every way to set up one listener and one account: what
// starts takes no mail from a stranger.
func TestNoOpenRelay(t *testing.T) {
	cert, key, _ := certFiles(t)
	lists := map[string][]netip.Prefix{
		"nobody": nil, "local": networks("127.0.0.0/8"), "lan": networks("10.0.0.0/8"), "all": networks("0.0.0.0/0"),
	}
	started := 0
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", ":0", "[::]:0", "localhost:0", "10.0.0.1:0", "mail.test:0"} {
		for _, auth := range []string{"off", "optional", "required"} {
			for _, tls := range []string{"off", "starttls", "implicit"} {
				for listener, clients := range lists {
					for account, networks := range lists {
						s := settings(t)
						s.Listeners = []Listener{{Address: address, Auth: auth, TLS: tls, Clients: clients, Cert: cert, Key: key}}
						s.Accounts[0].Networks = networks
						p, err := NewPolicy(s)
						if err != nil {
							continue
						}
						started++
						name := fmt.Sprintf("%s auth %s tls %s listener %s account %s", address, auth, tls, listener, account)
						for _, stranger := range []string{"203.0.113.5", "2001:db8::5", "8.8.8.8"} {
							if said := try(p, stranger); !strings.Contains(said, "\r\n530 ") && !strings.Contains(said, "\r\n550 ") {
								t.Errorf("%s: %s may send:\n%s", name, stranger, said)
							}
						}
						if listener == "nobody" && !strings.HasPrefix(address, "127") && address != "localhost:0" && (auth != "required" || tls == "off") {
							t.Errorf("%s starts", name)
						}
					}
				}
			}
		}
	}
	if started < 100 {
		t.Errorf("only %d of the configurations start", started)
	}
}

// try asks for a transaction; implicit TLS is taken for granted.
func try(p *Policy, addr string) string {
	d := *p.doors[0]
	if d.TLS == tlsImplicit {
		d.TLS = tlsOff
	}
	q := *p
	q.doors = []*door{&d}
	said, _ := recite(&q, addr, strings.NewReader("EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\nDATA\r\nFrom: a@example.com\r\n\r\n.\r\n"))
	return said
}

func TestClientOfSmallestNetwork(t *testing.T) {
	s := settings(t)
	s.Clients = []Client{
		{Name: "one", Networks: networks("10.0.5.7/32"), MaxSize: 10},
		{Name: "lan", Networks: networks("10.0.0.0/8"), MaxSize: 1 << 40},
	}
	p := newPolicy(t, s)
	for addr, want := range map[string]string{"10.0.5.7": "one", "10.1.1.1": "lan", "127.0.0.1": ""} {
		if got := p.client(netip.MustParseAddr(addr)).Name; got != want {
			t.Errorf("%s is %q, want %q", addr, got, want)
		}
	}
	if n, m := p.limit(netip.MustParseAddr("10.0.5.7")), p.limit(netip.MustParseAddr("10.0.0.1")); n != 10 || m != s.Limits.Message {
		t.Errorf("limits %d and %d", n, m)
	}
}

func TestLogin(t *testing.T) {
	s := settings(t)
	s.Accounts = append(s.Accounts, Account{Networks: networks("10.0.0.0/8"), Align: newAlign(t, "lan", align.Warn)})
	p := newPolicy(t, s)
	for _, tt := range []struct{ username, password, want string }{
		{"shop", "secret", "shop"}, {"shop", "Secret", ""}, {"Shop", "secret", ""}, {"shop", "", ""}, {"", "", ""}, {"lan", "", ""},
	} {
		got := ""
		if a := p.login(tt.username, tt.password); a != nil {
			got = a.name
		}
		if got != tt.want {
			t.Errorf("%q with %q is %q, want %q", tt.username, tt.password, got, tt.want)
		}
	}
}
