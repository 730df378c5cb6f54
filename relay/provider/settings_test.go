package provider

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"backstamp/internal/clock"
	"backstamp/mail"
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
		{"no preset", func(s *Settings) { s.Preset = "" }, "p.preset: is missing; expected generic or capture"},
		{"planned preset", func(s *Settings) { s.Preset = "gmail" },
			"p.preset: preset gmail is not available in this version; expected generic or capture"},
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
