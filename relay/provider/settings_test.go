package provider

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/relay/provider/preset"
)

func TestCheck(t *testing.T) {
	good := Settings{Key: "p", Preset: "generic", Host: "mail.example.com", Username: "joe", Password: "sesam", Hostname: "relay.test"}
	for _, c := range []struct {
		name string
		edit func(*Settings)
		want string // joined by |
	}{
		{"good", func(s *Settings) {}, ""},
		{"no login", func(s *Settings) { s.Username, s.Password = "", "" }, ""},
		{"address", func(s *Settings) { s.Host = "2001:db8::1" }, ""},
		{"IDN host", func(s *Settings) { s.Host = "메일.한국" }, ""},
		{"off on this machine", func(s *Settings) { s.Host, s.TLS = "localhost", "off" }, ""},
		{"off on this machine, IPv6", func(s *Settings) { s.Host, s.TLS = "::1", "off" }, ""},
		{"off without login", func(s *Settings) { s.TLS, s.Username, s.Password = "off", "", "" }, ""},
		{"capture", func(s *Settings) { *s = Settings{Key: "p", Preset: "capture"} }, ""},
		{"no preset", func(s *Settings) { s.Preset = "" }, "p.preset: is missing; expected one of " + strings.Join(Presets(), ", ")},
		{"preset without its host", func(s *Settings) {
			*s = Settings{Key: "p", Preset: "gmail", Username: "a@example.com", Password: "abcd efgh ijkl mnop"}
		}, ""},
		{"preset without a login", func(s *Settings) { *s = Settings{Key: "p", Preset: "sendgrid"} },
			"p.username: is missing; expected the word apikey, for every account"},
		{"preset that needs none", func(s *Settings) { *s = Settings{Key: "p", Preset: "gworkspace-relay"} }, ""},
		{"no region", func(s *Settings) { *s = Settings{Key: "p", Preset: "ses"} }, "p.region: is missing; expected one such as us-east-1"},
		{"unknown region", func(s *Settings) { *s = Settings{Key: "p", Preset: "mailgun", Region: "uk"} }, `p.region: "uk" is unknown; did you mean us?`},
		{"region of a preset without", func(s *Settings) { s.Region = "eu" }, ""},
		{"no region for a host that is told", func(s *Settings) { s.Preset, s.Username = "ses", "AKIAIOSFODNN7EXAMPLE" }, ""},
		{"preset elsewhere without a login", func(s *Settings) {
			*s = Settings{Key: "p", Preset: "ses", Host: "127.0.0.1", Port: 2525, TLS: "off"}
		}, ""},
		{"the one username of all", func(s *Settings) { *s = Settings{Key: "p", Preset: "sendgrid", Password: "SG.x"} }, ""},
		{"TLS that is not offered", func(s *Settings) {
			*s = Settings{Key: "p", Preset: "postmark", TLS: "implicit", Username: "t", Password: "t"}
		}, "p.tls: implicit is offered on no port of postmark; expected starttls"},
		{"TLS that is offered elsewhere", func(s *Settings) { s.Preset, s.TLS = "postmark", "implicit" }, ""},
		{"AWS secret", func(s *Settings) {
			*s = Settings{Key: "p", Preset: "ses", Region: "eu-west-1", Username: "AKIAIOSFODNN7EXAMPLE", Password: strings.Repeat("x", 40)}
		}, `p.password: has the 40 characters of an AWS secret access key, which is not the SMTP password; expected the one that "Create SMTP credentials" gave for this region`},
		{"address where a word is wanted", func(s *Settings) {
			*s = Settings{Key: "p", Preset: "sendgrid", Username: "me@example.com", Password: "SG.x"}
		}, "p.username: cannot work; expected the word apikey, for every account"},
		{"no TLS where TLS begins at once", func(s *Settings) { s.Port, s.TLS, s.Username, s.Password = 465, "off", "", "" }, "p.tls: off does not fit port 465; expected tls: implicit there"},
		{"port for another TLS", func(s *Settings) { s.Port, s.TLS = 465, "starttls" }, "p.tls: starttls does not fit port 465; expected tls: implicit there"},
		{"TLS for another port", func(s *Settings) { s.Port, s.TLS = 587, "implicit" }, "p.tls: implicit does not fit port 587; expected tls: starttls there"},
		{"unknown preset", func(s *Settings) { s.Preset = "gmial" }, `p.preset: preset "gmial" is unknown; did you mean gmail?`},
		{"unknown preset, other case", func(s *Settings) { s.Preset = "Generic" }, `p.preset: preset "Generic" is unknown; did you mean generic?`},
		{"no host", func(s *Settings) { s.Host = "" }, "p.host: is missing; expected the name or address of an SMTP server"},
		{"host with port", func(s *Settings) { s.Host = "mail.example.com:587" },
			`p.host: "mail.example.com:587" is no host name; expected a name or an address without port`},
		{"host with line end", func(s *Settings) { s.Host = "a\r\nb" },
			`p.host: "a\r\nb" is no host name; expected a name or an address without port`},
		{"tls", func(s *Settings) { s.TLS = "ssl" }, `p.tls: "ssl" is unknown; expected off, starttls or implicit`},
		{"port", func(s *Settings) { s.Port = 70000 }, "p.port: 70000 is no port; expected 1 to 65535"},
		{"connections", func(s *Settings) { s.Connections = -1 }, "p.connections: -1 is negative; expected 1 or more"},
		{"no password", func(s *Settings) { s.Password = "" }, "p.password: is missing; expected it beside the username"},
		{"no username", func(s *Settings) { s.Username = "" }, "p.username: is missing; expected it beside the password"},
		{"NUL in password", func(s *Settings) { s.Password = "a\x00b" }, "p.password: holds a control character; expected plain text"},
		{"line end in username", func(s *Settings) { s.Username = "a\nb" }, "p.username: holds a control character; expected plain text"},
		{"password in the clear", func(s *Settings) { s.TLS = "off" },
			"p.tls: off would send the password in the clear; expected starttls or implicit, or a host on this machine"},
		{"password in the clear, private", func(s *Settings) { s.TLS, s.Host = "off", "10.0.0.1" },
			"p.tls: off would send the password in the clear; expected starttls or implicit, or a host on this machine"},
		{"hostname", func(s *Settings) { s.Hostname = "a b" }, `hostname: "a b" is no host name; expected one like relay.example.com`},
		{"several", func(s *Settings) { s.Host, s.Port = "", -1 },
			"p.host: is missing; expected the name or address of an SMTP server|p.port: -1 is no port; expected 1 to 65535"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good
			c.edit(&s)
			_, err := New(s, clock.System{}, slog.New(slog.DiscardHandler))
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), "\n", "|")
				if _, ok := errors.AsType[*mail.SettingError](err); !ok {
					t.Errorf("%T is no SettingError", err)
				}
			}
			if got != c.want {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
			if strings.Contains(got, "sesam") {
				t.Error("the password shows")
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	for _, c := range []struct {
		tls  string
		port int
		want string
		to   int
	}{
		{"", 0, "starttls", 587},
		{"", 465, "implicit", 465},
		{"", 25, "starttls", 25},
		{"implicit", 0, "implicit", 465},
		{"starttls", 465, "starttls", 465},
		{"off", 0, "off", 25},
	} {
		s := Settings{Preset: "generic", Host: "localhost", TLS: c.tls, Port: c.port}.withDefaults()
		if s.TLS != c.want || s.Port != c.to {
			t.Errorf("tls %q, port %d: got %s, %d", c.tls, c.port, s.TLS, s.Port)
		}
	}
}

func TestLocal(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST.": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "10.1.2.3": true,
		"192.168.0.1": true, "172.16.0.1": true, "fd00::1": true, "::ffff:10.0.0.1": true,
		"mail.example.com": false, "8.8.8.8": false, "172.32.0.1": false, "2001:db8::1": false, "localhost.example.com": false,
	} {
		if got := (Settings{Preset: "generic", Host: host}).Local(); got != want {
			t.Errorf("%s: got %v", host, got)
		}
	}
	if !(Settings{Preset: "capture"}).Local() {
		t.Error("capture is not local")
	}
}

func TestCredential(t *testing.T) {
	base := Settings{Name: "shop/a", Preset: "generic", Host: "mail.example.com", Port: 587, Username: "joe@example.com", Password: "x"}
	with := func(edit func(*Settings)) Settings {
		s := base
		edit(&s)
		return s
	}
	for name, s := range map[string]Settings{
		"itself":         base,
		"case":           with(func(s *Settings) { s.Host, s.Username = "MAIL.Example.com.", " Joe@EXAMPLE.com" }),
		"port, tls":      with(func(s *Settings) { s.Port, s.TLS = 465, "implicit" }),
		"password, name": with(func(s *Settings) { s.Password, s.Name = "y", "other/b" }),
	} {
		if s.Credential() != base.Credential() {
			t.Errorf("%s: another credential", name)
		}
	}
	idn := with(func(s *Settings) { s.Username = "joe@bücher.example" })
	ascii := with(func(s *Settings) { s.Username = "joe@xn--bcher-kva.example" })
	if idn.Credential() != ascii.Credential() {
		t.Error("the two forms of a domain are two credentials")
	}
	seen := map[string]string{}
	for name, s := range map[string]Settings{
		"base":               base,
		"login":              with(func(s *Settings) { s.Username = "jim@example.com" }),
		"host":               with(func(s *Settings) { s.Host = "smtp.example.com" }),
		"no login":           with(func(s *Settings) { s.Username, s.Password = "", "" }),
		"no login, port":     with(func(s *Settings) { s.Username, s.Password, s.Port = "", "", 25 }),
		"capture":            {Name: "shop/c", Preset: "capture"},
		"capture of another": {Name: "home/c", Preset: "capture"},
	} {
		id := s.Credential()
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s share a credential", name, other)
		}
		seen[id] = name
		if strings.Contains(id, "joe") {
			t.Errorf("%s shows the login", id)
		}
	}
}

func TestCheckAccount(t *testing.T) {
	one := Settings{Name: "shop/one", Key: "a.one", Preset: "generic", Host: "mail.example.com", Username: "joe", Password: "x"}
	for _, c := range []struct {
		name  string
		other Settings
		want  string
	}{
		{"other login", Settings{Key: "a.two", Preset: "generic", Host: "mail.example.com", Username: "jim"}, ""},
		{"other host", Settings{Key: "a.two", Preset: "generic", Host: "smtp.example.com", Username: "joe"}, ""},
		{"same login", Settings{Key: "a.two", Preset: "generic", Host: "Mail.example.com", Port: 465, Username: "JOE"},
			`a.two.username: the same login at the same host is used by "shop/one" too; expected it once in an account`},
		{"without a key", Settings{Preset: "generic", Host: "Mail.example.com", Username: "JOE"},
			`a.username: the same login at the same host is used by "shop/one" too; expected it once in an account`},
		{"capture", Settings{Key: "a.two", Preset: "capture"}, ""},
	} {
		got := ""
		if err := CheckAccount("a", []Settings{one, c.other}); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.name, got, c.want)
		}
	}
	open := Settings{Name: "shop/lan", Key: "a.lan", Preset: "generic", Host: "lan"}
	if err := CheckAccount("a", []Settings{open, {Key: "a.2", Preset: "generic", Host: "lan", Port: 26}}); err != nil {
		t.Errorf("other port: %v", err)
	}
	if err := CheckAccount("a", []Settings{open, {Key: "a.2", Preset: "generic", Host: "LAN", Port: 587}}); err == nil || !strings.HasPrefix(err.Error(), "a.2.host: ") {
		t.Errorf("same host and port: %v", err)
	}
	two := []Settings{{Name: "shop/g", Key: "a.g", Preset: "gmail", Username: "a"}, {Key: "a.h", Preset: "gmail", Username: "b"}}
	if err := CheckAccount("a", two); err == nil || err.Error() != `a.h.preset: gmail is used by "shop/g" too; expected each preset once in an account` {
		t.Errorf("same preset: %v", err)
	}
	captures := []Settings{{Name: "x", Preset: "capture"}, {Name: "x", Preset: "capture"}}
	if err := CheckAccount("a", captures); err != nil {
		t.Errorf("captures: %v", err)
	}
}

// TestResolved: a preset fills in what was left open, and no more.
func TestResolved(t *testing.T) {
	for _, tt := range []struct {
		given Settings
		host  string
		port  int
		tls   string
	}{
		{Settings{Preset: "gmail"}, "smtp.gmail.com", 465, "implicit"},
		{Settings{Preset: "gmail", TLS: "starttls"}, "smtp.gmail.com", 587, "starttls"},
		{Settings{Preset: "gmail", Port: 587}, "smtp.gmail.com", 587, "starttls"},
		{Settings{Preset: "microsoft365"}, "smtp.office365.com", 587, "starttls"},
		{Settings{Preset: "ses", Region: "ap-northeast-2"}, "email-smtp.ap-northeast-2.amazonaws.com", 465, "implicit"},
		{Settings{Preset: "ses", Region: "ap-northeast-2", Port: 2587}, "email-smtp.ap-northeast-2.amazonaws.com", 2587, "starttls"},
		{Settings{Preset: "gmail", Host: "127.0.0.1", Port: 2525, TLS: "off"}, "127.0.0.1", 2525, "off"},
		{Settings{Preset: "generic", Host: "mail.example.com"}, "mail.example.com", 587, "starttls"},
		{Settings{Preset: "generic", Host: "mail.example.com", Port: 465}, "mail.example.com", 465, "implicit"},
	} {
		if s := tt.given.withDefaults(); s.Host != tt.host || s.Port != tt.port || s.TLS != tt.tls {
			t.Errorf("%+v: %s:%d %s", tt.given, s.Host, s.Port, s.TLS)
		}
	}
	if n := (Settings{Preset: "microsoft365"}).withDefaults().Connections; n != 3 {
		t.Errorf("%d connections to Microsoft 365", n)
	}
	if n := (Settings{Preset: "microsoft365", Connections: 2}).withDefaults().Connections; n != 2 {
		t.Errorf("%d connections, want those that were given", n)
	}
	for _, s := range []Settings{{Preset: "naver", Username: "shop"}, {Preset: "generic", Host: "SMTP.naver.com", Username: "shop"}} {
		if a := s.Login(); a != "shop@naver.com" {
			t.Errorf("%s: login %q", s.Preset, a)
		}
	}
	if s := (Settings{Preset: "sendgrid", Password: "SG.x"}).Resolved(); s.Username != "apikey" {
		t.Errorf("username %q", s.Username)
	}
	if s := (Settings{Preset: "gmail", Username: "a@b.test", Password: "abcd efgh ijkl mnop"}).Resolved(); s.Password != "abcdefghijklmnop" {
		t.Errorf("spaces stay in an app password")
	}
}

// TestResolvedLimits: what is told goes before what the preset knows.
func TestResolvedLimits(t *testing.T) {
	for _, tt := range []struct {
		given Settings
		daily int
		rates []Rate
		rcpts bool
	}{
		{Settings{Preset: "microsoft365"}, 10000, []Rate{{30, time.Minute}}, true},
		{Settings{Preset: "microsoft365", DailyLimit: 5, Rate: Rate{1, time.Second}}, 5, []Rate{{1, time.Second}}, true},
		{Settings{Preset: "gmail"}, 500, nil, false},
		{Settings{Preset: "generic"}, 0, nil, false},
	} {
		s := tt.given
		if daily := s.Resolved().DailyLimit; daily != tt.daily || !slices.Equal(s.Rates(), tt.rates) || s.CountsRecipients() != tt.rcpts {
			t.Errorf("%s: %d a day, %+v, recipients %v", s.Preset, daily, s.Rates(), s.CountsRecipients())
		}
	}
	for _, name := range Presets() {
		if p, _ := preset.Find(name); p.Limits.Zone.Is != "" {
			if _, err := time.LoadLocation(p.Limits.Zone.Is); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestWarnings: what is odd is said, and no secret with it.
func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		s    Settings
		want string
	}{
		{Settings{Preset: "gmail", Username: "a@example.com", Password: "abcdefghijklmnop"}, ""},
		{Settings{Preset: "gmail", Username: "a@example.com", Password: "hunter2"}, "p.password: is of an odd form"},
		{Settings{Preset: "ses", Region: "ap-northeast-9", Username: "AKIAIOSFODNN7EXAMPLE", Password: strings.Repeat("B", 44)}, `did you mean ap-northeast-1?`},
		{Settings{Preset: "gmail", Region: "eu", Username: "a@example.com", Password: "abcdefghijklmnop"}, "p.region: has no effect"},
		{Settings{Preset: "microsoft365", Port: 2525, Username: "a@example.com", Password: "p"}, "p.port: 2525 is not known of microsoft365; expected one such as 587"},
		{Settings{Preset: "mandrill", Host: "127.0.0.1", Port: 2600}, ""},
		{Settings{Preset: "capture", Region: "eu", Port: 1}, "p.region: has no effect"},
	} {
		tt.s.Key = "p"
		err := errors.Join(tt.s.Warnings()...)
		if got := fmt.Sprint(err); (err == nil) != (tt.want == "") || !strings.Contains(got, tt.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %v, want %q", tt.s.Preset, err, tt.want)
		}
	}
}

// TestOneService: all hosts and regions of one service know the same logins.
func TestOneService(t *testing.T) {
	gmail := Settings{Name: "a/x", Preset: "gmail", Username: "A@Example.com", Password: "p"}
	for _, s := range []Settings{
		{Name: "a/y", Preset: "gworkspace", Username: "a@example.com", Password: "p"},
		{Name: "a/z", Preset: "generic", Host: "SMTP.gmail.com.", Username: "a@example.com", Password: "p"},
	} {
		if s.Credential() != gmail.Credential() {
			t.Errorf("%s is another credential", s.Preset)
		}
		err := CheckAccount("accounts.a.providers", []Settings{gmail, s})
		if err == nil || !strings.Contains(err.Error(), "a/x") {
			t.Errorf("the login of Gmail twice: %v", err)
		}
	}
	ses := Settings{Preset: "ses", Region: "eu-west-1", Username: "AKIA1", Password: "p"}
	other := Settings{Preset: "generic", Host: "email-smtp.us-east-1.amazonaws.com", Username: "akia1", Password: "p"}
	if ses.Credential() != other.Credential() {
		t.Error("two regions of SES are two services")
	}
	elsewhere := Settings{Name: "a/z", Preset: "gmail", Host: "127.0.0.1", Port: 2525, TLS: "off", Username: "a@example.com", Password: "p"}
	if elsewhere.Credential() != gmail.Credential() {
		t.Error("a preset at another host is another service")
	}
	outlook := elsewhere
	outlook.Preset = "outlook"
	if err := CheckAccount("a", []Settings{elsewhere, outlook}); err != nil {
		t.Errorf("two services behind one host: %v", err)
	}
}

// TestSameLoginForAll: where everybody has the same username, another password
// is another account, which a refused one must not park.
func TestSameLoginForAll(t *testing.T) {
	one := Settings{Name: "a/x", Key: "a.x", Preset: "sendgrid", Password: "SG.one"}
	same := Settings{Preset: "generic", Host: "smtp.sendgrid.net", Username: "apikey", Password: "SG.one"}
	two := Settings{Name: "a/y", Key: "a.y", Preset: "generic", Host: "smtp.sendgrid.net", Username: "apikey", Password: "SG.two"}
	if one.Credential() != same.Credential() {
		t.Error("one key is two credentials")
	}
	if one.Credential() == two.Credential() {
		t.Error("two keys are one credential")
	}
	if err := CheckAccount("a", []Settings{one, two}); err == nil || !strings.HasPrefix(err.Error(), "a.y.username: ") {
		t.Errorf("the login of SendGrid twice in an account: %v", err)
	}
}
