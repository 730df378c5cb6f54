package provider

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

func TestLogin(t *testing.T) {
	prompt := func(text string) mailtest.Action {
		return mailtest.Reply("334 " + base64.StdEncoding.EncodeToString([]byte(text)))
	}
	for _, c := range []struct {
		name string
		auth []string // lines of EHLO
		on   map[mailtest.Stage][]mailtest.Action
		pass string
		want string
		verb string // the AUTH that was sent
	}{
		{"PLAIN", []string{"AUTH PLAIN LOGIN"}, nil, "sesam", "taken", "AUTH PLAIN "},
		{"LOGIN", []string{"AUTH LOGIN"}, nil, "sesam", "taken", "AUTH LOGIN"},
		{"lower case", []string{"auth login plain"}, nil, "sesam", "taken", "AUTH PLAIN "},
		{"old form", []string{"AUTH=LOGIN"}, nil, "sesam", "taken", "AUTH LOGIN"},
		{"both forms", []string{"AUTH=LOGIN CRAM-MD5", "AUTH LOGIN PLAIN"}, nil, "sesam", "taken", "AUTH PLAIN "},
		{"odd prompts", []string{"AUTH LOGIN"}, map[mailtest.Stage][]mailtest.Action{
			mailtest.AuthUser: {prompt("User Name\x00")}, mailtest.AuthPass: {prompt("passwd?")}}, "sesam", "taken", "AUTH LOGIN"},
		{"mute prompts", []string{"AUTH LOGIN"}, map[mailtest.Stage][]mailtest.Action{
			mailtest.AuthUser: {mailtest.Reply("334")}, mailtest.AuthPass: {mailtest.Reply("334 ")}}, "sesam", "taken", "AUTH LOGIN"},
		{"plain prompts", []string{"AUTH LOGIN"}, map[mailtest.Stage][]mailtest.Action{
			mailtest.AuthUser: {mailtest.Reply("334 Username:")}, mailtest.AuthPass: {mailtest.Reply("334 Password:")}}, "sesam", "taken", "AUTH LOGIN"},
		{"password first", []string{"AUTH LOGIN"}, map[mailtest.Stage][]mailtest.Action{
			mailtest.AuthUser: {prompt("Password:")}, mailtest.AuthPass: {prompt("Username:")}}, "sesam", "taken", "AUTH LOGIN"},
		{"long token", []string{"AUTH PLAIN"}, nil, strings.Repeat("x", 600), "taken", "AUTH PLAIN"},
		{"wrong", []string{"AUTH PLAIN"}, nil, "wrong", "auth", "AUTH PLAIN "},
		{"wrong by LOGIN", []string{"AUTH LOGIN"}, nil, "wrong", "auth", "AUTH LOGIN"},
		{"none offered", []string{"SIZE"}, nil, "sesam", "temporary", ""},
		{"none in common", []string{"AUTH XOAUTH2 SCRAM-SHA-256"}, nil, "sesam", "auth", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			user, pass := "joe", "sesam"
			switch c.name {
			case "long token":
				pass = c.pass
			case "password first": // the peer takes what comes first for the name
				user, pass = pass, user
			}
			p := mailtest.Start(t, mailtest.Script{Extensions: c.auth, Username: user, Password: pass, On: c.on})
			s := settings(p)
			s.Username, s.Password = "joe", c.pass
			expect(t, client(t, s), letterTo("b@y.test"), c.want)
			if c.verb != "" && p.Heard(c.verb) != 1 || c.verb == "" && p.Heard("AUTH") != 0 {
				t.Errorf("heard %q", p.Commands())
			}
			for _, line := range p.Commands() {
				if strings.HasPrefix(line, "AUTH") && len(line) > 510 {
					t.Errorf("a command of %d octets", len(line))
				}
			}
		})
	}
}

// TestMechanism: the preset's order comes first, and what else is spoken after
// it; what a token wants is no way for a password.
func TestMechanism(t *testing.T) {
	for _, c := range []struct{ preset, offered, want string }{
		{"generic", "CRAM-MD5 LOGIN PLAIN", "PLAIN"},
		{"generic", "CRAM-MD5", "CRAM-MD5"},
		{"zoho", "PLAIN LOGIN", "LOGIN"},
		{"sparkpost", "PLAIN LOGIN", "LOGIN"},
		{"sparkpost", "PLAIN", "PLAIN"},
		{"outlook", "LOGIN XOAUTH2", "LOGIN"},
		{"outlook", "XOAUTH2", ""},
		{"naver", "LOGIN CRAM-MD5", "LOGIN"},
		{"gmail", "", ""},
	} {
		if got := (Settings{Preset: c.preset}).mechanism(strings.Fields(c.offered)); got != c.want {
			t.Errorf("%s, offered %s: got %q, want %q", c.preset, c.offered, got, c.want)
		}
	}
}

// TestCRAM is the example of RFC 2195 section 2, and a challenge that is none.
func TestCRAM(t *testing.T) {
	for challenge, want := range map[string]string{
		"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+": "AUTH CRAM-MD5|dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw",
		"*": "AUTH CRAM-MD5",
	} {
		s := Settings{Preset: "generic", Host: "h", Username: "tim", Password: "tanstaaftanstaaf"}.withDefaults()
		here, there := net.Pipe()
		var heard []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			lines := bufio.NewScanner(there)
			for _, reply := range []string{"334 " + challenge, "235 yes"} {
				if !lines.Scan() {
					return
				}
				heard = append(heard, lines.Text())
				there.Write([]byte(reply + "\r\n"))
			}
		}()
		var shown []string
		c := &conn{set: &s, tcp: here, trace: func(line string) { shown = append(shown, line) }}
		c.use(here)
		r, err := c.authenticate([]string{"CRAM-MD5"})
		here.Close()
		<-done
		if got := strings.Join(heard, "|"); got != want || (err == nil) != (r.Code == 235) {
			t.Errorf("challenge %q: sent %q, got %v, %v", challenge, got, r, err)
		}
		if text := strings.Join(shown, "|"); strings.Contains(text, "dGlt") {
			t.Errorf("the response shows: %s", text)
		}
		if quoted := c.veil.mask("235 " + want)[0]; strings.Contains(quoted, "dGlt") {
			t.Errorf("the response shows where it is quoted: %s", quoted)
		}
	}
}

// A refused login is tried once: more would lock the account.
func TestLoginTriedOnce(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Username: "joe", Password: "sesam"})
	s := settings(p)
	s.Username, s.Password = "joe", "wrong"
	expect(t, client(t, s), letterTo("b@y.test", "c@y.test"), "auth, auth")
	if p.Heard("AUTH") != 1 || p.Connections() != 1 {
		t.Errorf("heard %q", p.Commands())
	}
}

// A server that quotes what it was told does not bring the password into logs
// and pages: at no stage, in no spelling, and not in what is no reply either.
func TestPasswordQuotedBack(t *testing.T) {
	const secret = "s3sam-öffne+dich/jetzt"
	forms := map[string]string{
		"plain":                 secret,
		"base64":                encode(secret),
		"AUTH PLAIN":            encode("\x00joe\x00" + secret),
		"AUTH PLAIN as another": encode("joe\x00joe\x00" + secret),
		"name:password":         encode("joe:" + secret),
		"base64url":             base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"hex":                   hex.EncodeToString([]byte(secret)),
		"HEX":                   strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"query":                 url.QueryEscape(secret),
		"path":                  url.PathEscape(secret),
	}
	for _, c := range []struct {
		stage mailtest.Stage
		reply string
	}{
		{mailtest.Auth, "535-5.7.8 no\n535 5.7.8 %s is wrong"}, {mailtest.Auth, "what is %s?"}, {mailtest.Mail, "530 5.7.0 not %s"}, {mailtest.Mail, "your %s"},
		{mailtest.Auth, "535-5.7.8 no\n500 %s"}, {mailtest.RcptNo(1), "550 5.1.1 %s?"}, {mailtest.Data, "554 5.7.0 %s"}, {mailtest.Dot, "554 5.7.0 %s"}, {mailtest.Dot, "250 2.0.0 queued as %s"},
	} {
		for form, quoted := range forms {
			p := mailtest.Start(t, mailtest.Script{Username: "joe", Password: secret})
			p.On(c.stage, mailtest.Reply(fmt.Sprintf(c.reply, quoted)))
			s := settings(p)
			s.Username, s.Password = "joe", secret
			a := client(t, s).Deliver(t.Context(), letterTo("b@y.test"))[0]
			said := fmt.Sprint(a.Reply.String(), "|", a.Err, "|", a.UpstreamID)
			if !strings.Contains(said, "****") || strings.Contains(said, quoted) || strings.Contains(said, quoted[len(quoted)/2:]) {
				t.Errorf("%s, %s: %s", c.stage, form, said)
			}
		}
	}
}

// Nor does one that breaks what it quotes over lines, be the last one a reply or
// not.
func TestPasswordWrapped(t *testing.T) {
	const secret = "s3sam-oeffne+dich/jetzt"
	for _, form := range []string{secret, encode("\x00joe\x00" + secret)} {
		for _, before := range []string{"", " ", "5.7.8 "} {
			for _, width := range []int{3, 5, 8, len(secret) / 2, len(secret) - 2} {
				pieces := slices.Collect(slices.Chunk([]byte(form), width))
				var lines []string
				for _, piece := range pieces {
					lines = append(lines, before+string(piece)+" ")
				}
				reply := mail.Reply{Code: 535, Lines: lines}.String()
				end := strings.LastIndex(reply, "\n535 ") + 1
				for _, text := range []string{reply, reply[:end] + "500 " + reply[end+4:], reply[:end] + reply[end+4:]} {
					p := mailtest.Start(t, mailtest.Script{Username: "joe", Password: secret})
					p.On(mailtest.Auth, mailtest.Reply(text))
					s := settings(p)
					s.Username, s.Password = "joe", secret
					a := client(t, s).Deliver(t.Context(), letterTo("b@y.test"))[0]
					said := fmt.Sprint(a.Reply.String(), "|", a.Err)
					if slices.ContainsFunc(pieces, func(b []byte) bool { return len(b) > 2 && strings.Contains(said, string(b)) }) {
						t.Errorf("%q became %q", text, said)
					}
				}
			}
		}
	}
}

func TestHELO(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	p.On(mailtest.EHLO, mailtest.Reply("502 what?"))
	s := settings(p)
	expect(t, client(t, s), letterTo("b@y.test"), "taken")
	if tx := p.Wait(t); tx.Mail != "MAIL FROM:<a@x.test>" || tx.Helo != "relay.test" {
		t.Errorf("got %+v", tx)
	}
}

func TestAddressAsHostname(t *testing.T) {
	for hostname, want := range map[string]string{"10.0.0.1": "[10.0.0.1]", "fd00::1": "[IPv6:fd00::1]", "": "localhost", "[10.0.0.1]": "[10.0.0.1]"} {
		s := Settings{Preset: "generic", Host: "h", Hostname: hostname}.withDefaults()
		if got := s.ehlo(); got != want {
			t.Errorf("%q: got %q", hostname, got)
		}
	}
}

// distant is a connection to somewhere else than this machine.
type distant struct{ net.Conn }

func (distant) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }

// A name that the settings take for this machine may lead elsewhere: what
// counts is where the connection went.
func TestNoPasswordToOtherMachines(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	s := Settings{Preset: "generic", Host: "localhost", TLS: "off", Username: "joe", Password: "sesam"}.withDefaults()
	c := &conn{set: &s, tcp: distant{here}, ext: map[string]string{"AUTH": "PLAIN"}}
	c.use(distant{here}) // writing to it would block the test for minutes
	e, ok := errors.AsType[*Error](c.login(t.Context()))
	if !ok || e.Class != mail.ClassTemporary || e.Explain().ID != "generic.no-starttls" {
		t.Errorf("got %v", e)
	}
}
