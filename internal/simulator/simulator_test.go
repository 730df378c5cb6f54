package simulator_test

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/internal/simulator"
)

const me, letter = "me@example.com", "From: Me <me@example.com>\nSubject: hi\n\nhello\n"

// in logs in, as a name that every provider accepts.
func in(t *testing.T, preset, addr string) *mailtest.Client {
	t.Helper()
	c := mailtest.Dial(t, addr)
	c.Expect("EHLO app.test", "250")
	first, second, more := strings.Cut(login(preset), "\r\n")
	if more {
		c.Expect(first, "334")
		first = second
	}
	c.Expect(first, "235")
	return c
}

func login(preset string) string {
	user := map[string]string{"sendgrid": "apikey", "sparkpost": "SMTP_Injection"}[preset]
	if user == "" {
		user = me
	}
	switch preset {
	case "outlook":
		return "AUTH XOAUTH2 " + b64("user="+user+"\x01auth=Bearer token\x01\x01")
	case "sparkpost", "microsoft365":
		return "AUTH LOGIN " + b64(user) + "\r\n" + b64("secret")
	}
	return "AUTH PLAIN " + b64("\x00"+user+"\x00secret")
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// A client hears every refusal of every dialect, at its stage.
func TestTroubles(t *testing.T) {
	for _, preset := range simulator.Presets() {
		d := load(t, preset)
		for _, name := range d.Troubles() {
			r, _ := d.Refusal(name)
			if r.Delay || r.Hang {
				continue
			}
			t.Run(preset+"/"+name, func(t *testing.T) {
				s := mailtest.Simulate(t, simulator.Options{Preset: preset, Troubles: []simulator.Trouble{{Name: name}}})
				got := until(t, preset, s.Addr, r.Stage)
				want, _, _ := strings.Cut(r.Text, "{")
				if !strings.HasPrefix(got, want) || want == "" && got != "" {
					t.Errorf("got %q, want %q", got, r.Text)
				}
				if out := s.Outcomes(); len(out) != 1 || out[0].Stage != r.Stage || out[0].Reply != strings.TrimRight(got, "\n") {
					t.Errorf("reported %+v", out)
				}
			})
		}
	}
}

// until goes as far as a stage and returns the reply there; "": none came.
func until(t *testing.T, preset, addr, stage string) string {
	t.Helper()
	c := mailtest.Connect(t, addr)
	verb, arg, _ := strings.Cut(login(preset), "\r\n")
	for _, step := range []struct{ stage, line string }{
		{"banner", ""}, {"ehlo", "EHLO app.test\r\n"}, {"auth", verb + "\r\n"}, {"auth", arg + "\r\n"},
		{"mail", "MAIL FROM:<" + me + ">\r\n"}, {"rcpt", "RCPT TO:<you@example.net>\r\n"},
		{"data", "DATA\r\n"}, {"dot", mailtest.CRLF(letter) + ".\r\n"},
	} {
		if step.stage == "auth" && step.line == "\r\n" {
			continue
		}
		c.Send(step.line)
		reply, err := c.Read()
		if err != nil && reply == "" || step.stage == stage && reply[0] != '3' || step.stage == stage && stage == "data" {
			return reply
		}
	}
	t.Fatalf("the stage %s did not come", stage)
	return ""
}

func TestMechanisms(t *testing.T) {
	for _, c := range []struct{ preset, mechanism, user, secret string }{
		{"generic", "PLAIN", "joe", "sesam"}, {"generic", "LOGIN", "joe", "sesam"}, {"generic", "CRAM-MD5", "joe", "sesam"},
		{"gmail", "XOAUTH2", me, "ya29.token"}, {"gmail", "OAUTHBEARER", me, "ya29.token"}, {"gmail", "PLAIN", me, "abcd efgh ijkl mnop"},
	} {
		t.Run(c.preset+" "+c.mechanism, func(t *testing.T) {
			s := mailtest.Simulate(t, simulator.Options{Preset: c.preset, Logins: map[string]string{c.user: strings.ReplaceAll(c.secret, " ", "")}})
			cl := mailtest.Dial(t, s.Addr)
			if r := cl.Expect("EHLO app.test", "250"); !strings.Contains(r, c.mechanism) {
				t.Fatalf("not offered in %q", r)
			}
			for secret, want := range map[string]string{c.secret: "235", "nonsense": "535"} {
				if got := authenticate(t, mailtest.Dial(t, s.Addr), c.mechanism, c.user, secret); !strings.HasPrefix(got, want) {
					t.Errorf("%q: got %q", secret, got)
				}
			}
		})
	}
}

func authenticate(t *testing.T, c *mailtest.Client, mechanism, user, secret string) string {
	t.Helper()
	c.Expect("EHLO app.test", "250")
	switch mechanism {
	case "LOGIN":
		c.Expect("AUTH LOGIN", "334 "+b64("Username:"))
		c.Expect(b64(user), "334 "+b64("Password:"))
		return c.Cmd(b64(secret))
	case "CRAM-MD5":
		challenge, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.Expect("AUTH CRAM-MD5", "334 "), "334 "))
		digest := hmac.New(md5.New, []byte(secret))
		digest.Write(challenge)
		return c.Cmd(b64(user + " " + hex.EncodeToString(digest.Sum(nil))))
	case "PLAIN":
		return c.Cmd("AUTH PLAIN " + b64("\x00"+user+"\x00"+secret))
	}
	token := "user=" + user + "\x01auth=Bearer " + secret + "\x01\x01"
	if mechanism == "OAUTHBEARER" {
		token = "n,a=" + user + ",\x01host=x\x01port=1\x01auth=Bearer " + secret + "\x01\x01"
	}
	r := c.Cmd("AUTH " + mechanism + " " + b64(token))
	if strings.HasPrefix(r, "334 ") { // the reasons, which want an answer
		r = c.Cmd("AQ==")
	}
	return r
}

func TestMechanismsNotSpoken(t *testing.T) {
	for preset, mechanism := range map[string]string{"gmail": "PLAIN-CLIENTTOKEN", "outlook": "PLAIN", "sparkpost": "PLAIN"} {
		c := mailtest.Dial(t, mailtest.Simulate(t, simulator.Options{Preset: preset}).Addr)
		c.Expect("EHLO app.test", "250")
		c.Expect("AUTH "+mechanism+" "+b64("\x00"+me+"\x00secret"), "504")
	}
}

// Without a list of logins everything of the right form is good, but for the
// secret "wrong".
func TestForms(t *testing.T) {
	for _, c := range []struct{ preset, user, secret, want string }{
		{"gmail", me, "anything", "235"}, {"gmail", me, "wrong", "535-5.7.8 Username"}, {"gmail", "me", "anything", "535"},
		{"sendgrid", "apikey", "SG.x", "235"}, {"sendgrid", me, "SG.x", "535"},
		{"ses", "AKIA", strings.Repeat("x", 44), "235"}, {"ses", "AKIA", strings.Repeat("x", 40), "535 Authentication Credentials Invalid"},
		{"brevo", me, "xsmtpsib-1", "235"}, {"brevo", me, "xkeysib-1", "535"},
	} {
		s := mailtest.Simulate(t, simulator.Options{Preset: c.preset})
		if got := authenticate(t, mailtest.Dial(t, s.Addr), "PLAIN", c.user, c.secret); !strings.HasPrefix(got, c.want) {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

func TestSenders(t *testing.T) {
	for _, c := range []struct{ preset, from, want string }{
		{"gmail", me, "250"}, {"gmail", "other@example.com", "250"},
		{"microsoft365", me, "250"}, {"microsoft365", "ALIAS@example.com", "250"}, {"microsoft365", "other@example.com", "554 5.2.252 SendAsDenied"},
		{"ses", "alias@example.com", "250"}, {"ses", me, "554 Message rejected"}, {"ses", "", "501"},
		{"zoho", "other@example.com", "553 Relaying disallowed as other@example.com"},
		{"naver", "other@example.com", "501 Mail from address must be same"},
		{"mailgun", "other@example.com", "250"}, {"generic", "other@example.com", "250"},
		{"sparkpost", "x@other.test", "550 5.7.1 Unconfigured Sending Domain <other.test>"}, {"sparkpost", "x@ok.test", "250"},
	} {
		t.Run(c.preset+" "+c.from, func(t *testing.T) {
			s := mailtest.Simulate(t, simulator.Options{Preset: c.preset, Senders: []string{"alias@example.com", "@ok.test"}})
			cl := in(t, c.preset, s.Addr)
			content := "from: x\n y <" + c.from + ">\nSubject: hi\n\nFrom: body\n"
			if got := cl.SendMail(c.from, []string{"you@example.net"}, content); !strings.HasPrefix(got, c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			if c.want != "250" {
				return
			}
			want := content
			if c.preset == "gmail" && c.from != me {
				want = "From: <" + me + ">\nX-Google-Original-" + content
			}
			if got := s.Taken(); len(got) != 1 || string(got[0].Content) != want {
				t.Errorf("taken %+v", got)
			}
		})
	}
}

func TestDailyLimit(t *testing.T) {
	now := clock.NewFake(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC))
	for _, c := range []struct {
		preset string
		to     []string
		want   string
	}{
		{"gmail", []string{"1@x.test", "2@x.test"}, "550-5.4.5 Daily user sending quota exceeded"},
		{"ses", []string{"1@x.test"}, "454 Throttling failure: Daily message quota exceeded"},
	} {
		s := mailtest.Simulate(t, simulator.Options{Preset: c.preset, Limits: simulator.Limits{Day: 2}, Clock: now})
		cl := in(t, c.preset, s.Addr)
		for i, want := range []string{"250", "250", c.want, "250"} {
			if i == 3 {
				now.Advance(24 * time.Hour)
			}
			if got := cl.SendMail(me, c.to, letter); !strings.HasPrefix(got, want) {
				t.Errorf("%s: message %d: got %q, want %q", c.preset, i, got, want)
			}
			cl.Expect("RSET", "250")
		}
	}
}

// SES counts recipients, and refuses the message that would go over.
func TestRecipientsCount(t *testing.T) {
	s := mailtest.Simulate(t, simulator.Options{Preset: "ses", Limits: simulator.Limits{Day: 3}})
	cl := in(t, "ses", s.Addr)
	for i, want := range []string{"250", "454", "250"} {
		to := []string{"1@x.test", "2@x.test"}[:2-i/2]
		if got := cl.SendMail(me, to, letter); !strings.HasPrefix(got, want) {
			t.Errorf("message %d: got %q", i, got)
		}
	}
}

// Microsoft 365 does not refuse what is too fast: its reply takes its time.
func TestDelay(t *testing.T) {
	now := clock.NewFake(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC))
	s := mailtest.Simulate(t, simulator.Options{Preset: "microsoft365", Limits: simulator.Limits{Minute: 1}, Clock: now})
	cl := in(t, "microsoft365", s.Addr)
	cl.SendMail(me, []string{"1@x.test"}, letter)
	got := make(chan string)
	go func() { got <- cl.SendMail(me, []string{"2@x.test"}, letter) }()
	for waited := 0; ; {
		select {
		case r := <-got:
			if !strings.HasPrefix(r, "250") || waited != 60 {
				t.Errorf("got %q after %d s", r, waited)
			}
			return
		default:
			if now.Timers() > 0 {
				now.Advance(time.Second)
				waited++
			}
		}
	}
}

func TestLimits(t *testing.T) {
	s := mailtest.Simulate(t, simulator.Options{Preset: "generic", Limits: simulator.Limits{
		Recipients: 1, Size: 200, Connections: 2, PerConnection: 1, Minute: 2}})
	c := in(t, "generic", s.Addr)
	c.Expect("MAIL FROM:<"+me+"> BODY=8BITMIME SIZE=201", "552")
	c.Expect("MAIL FROM:<"+me+"> SIZE=200", "250")
	c.Expect("RCPT TO:<1@x.test>", "250")
	c.Expect("RCPT TO:<2@x.test>", "452 4.5.3")
	c.Expect("DATA", "354")
	c.Message(letter)
	other := in(t, "generic", s.Addr)
	third := mailtest.Connect(t, s.Addr)
	if r, _ := third.Read(); !strings.HasPrefix(r, "421 4.7.0 Too many connections") {
		t.Errorf("third connection: %q", r)
	}
	c.Expect("MAIL FROM:<"+me+">", "421")
	if r, err := c.Read(); err == nil {
		t.Errorf("after 421: %q", r)
	}
	other.SendMail(me, []string{"1@x.test"}, letter)
	other.Expect("MAIL FROM:<"+me+">", "421")
	if n := len(s.Taken()); n != 2 {
		t.Errorf("%d taken", n)
	}
}

func TestTroubleInTurn(t *testing.T) {
	trouble, err := simulator.ParseTrouble("spam,after=1,times=2")
	if err != nil {
		t.Fatal(err)
	}
	s := mailtest.Simulate(t, simulator.Options{Preset: "generic", Troubles: []simulator.Trouble{trouble}})
	c := in(t, "generic", s.Addr)
	for i, want := range []string{"250", "554", "554", "250"} {
		if got := c.SendMail(me, []string{"1@x.test"}, letter); !strings.HasPrefix(got, want) {
			t.Errorf("message %d: %q", i, got)
		}
	}
	for _, text := range []string{"spam,after", "spam,times=-1", "spam,never=1"} {
		if _, err := simulator.ParseTrouble(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// With STARTTLS as the provider has it, nothing goes in the clear that would
// not go there either.
func TestStartTLS(t *testing.T) {
	cert := mailtest.SelfSigned(t)
	s := mailtest.Simulate(t, simulator.Options{Preset: "gmail", Mode: simulator.StartTLS, TLS: cert})
	c := mailtest.Dial(t, s.Addr)
	if r := c.Expect("EHLO app.test", "250"); strings.Contains(r, "AUTH") || !strings.Contains(r, "STARTTLS") {
		t.Errorf("offers %q", r)
	}
	c.Expect("AUTH PLAIN "+b64("\x00"+me+"\x00secret"), "530 5.7.0 Must issue a STARTTLS command first")
	c.Expect("MAIL FROM:<"+me+">", "530 5.7.0 Must issue a STARTTLS command first")
	for preset, mode := range map[string]string{"microsoft365": simulator.Implicit, "kakao": simulator.StartTLS} {
		if _, err := simulator.New(simulator.Options{Preset: preset, Mode: mode, TLS: cert}); err == nil {
			t.Errorf("%s speaks %s", preset, mode)
		}
	}
	s = mailtest.Simulate(t, simulator.Options{Preset: "postmark", Mode: simulator.StartTLS, TLS: cert})
	if got := authenticate(t, mailtest.Dial(t, s.Addr), "PLAIN", "token", "token"); !strings.HasPrefix(got, "235") {
		t.Errorf("postmark in the clear: %q", got)
	}
}

func TestChunks(t *testing.T) {
	s := mailtest.Simulate(t, simulator.Options{Preset: "gmail"})
	c := in(t, "gmail", s.Addr)
	c.Expect("BDAT 5\r\nabc", "503")
	c.Expect("MAIL FROM:<"+me+">", "250")
	c.Expect("RCPT TO:<1@x.test>", "250")
	text := mailtest.CRLF(letter)
	c.Send(fmt.Sprintf("BDAT 5\r\n%s", text[:5]))
	c.Read()
	c.Send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text)-5, text[5:]))
	if r, _ := c.Read(); !strings.HasPrefix(r, "250 2.0.0 OK") {
		t.Errorf("got %q", r)
	}
	if got := s.Taken(); len(got) != 1 || string(got[0].Content) != letter {
		t.Errorf("taken %+v", got)
	}
}

func TestIdle(t *testing.T) {
	s := mailtest.Simulate(t, simulator.Options{Preset: "ses", Limits: simulator.Limits{Idle: 20 * time.Millisecond}})
	c := mailtest.Dial(t, s.Addr)
	if r, _ := c.Read(); r != "451 Timeout waiting for data from client." {
		t.Errorf("got %q", r)
	}
}

// Nothing that a client sends brings a simulator out of step.
func FuzzSession(f *testing.F) {
	f.Add("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nFrom: <>\r\n.\r\n")
	f.Add("AUTH PLAIN =\r\nAUTH LOGIN\r\n*\r\nAUTH CRAM-MD5\r\n\r\nBDAT 0 LAST\r\n")
	f.Add("EHLO x\r\nAUTH XOAUTH2 eA==\r\n\r\nSTARTTLS\r\nBDAT 99999999999999999999\r\n" + strings.Repeat("y", 20000))
	f.Fuzz(func(t *testing.T, text string) {
		s := mailtest.Simulate(t, simulator.Options{Preset: "gmail"})
		c := mailtest.Connect(t, s.Addr)
		go func() {
			c.Conn.Write([]byte(text))
			c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		for {
			reply, err := c.Read()
			if err != nil {
				break
			}
			for line := range strings.SplitSeq(reply, "\n") {
				if !replyLine.MatchString(line) {
					t.Fatalf("said %q", line)
				}
			}
		}
	})
}
