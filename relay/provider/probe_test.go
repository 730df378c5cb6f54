package provider

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

// probed runs a Test and returns its steps, one a line.
func probed(t *testing.T, s Settings, m TestMail) (steps string, transcript string, err error) {
	t.Helper()
	var lines, said []string
	err = Test(t.Context(), s, m, func(st Step) {
		result, _, _ := strings.Cut(st.Reply, "\n")
		switch {
		case st.Skipped != "":
			result = "skipped"
		case st.Err != nil:
			result = "failed"
		}
		if st.Duration < 0 || st.Duration > probeMax {
			t.Errorf("%s took %v", st.Name, st.Duration)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprint(st.Name, " ", result)))
		said = append(said, st.Transcript...)
	})
	return strings.Join(lines, "\n"), strings.Join(said, "\n"), err
}

func TestTest(t *testing.T) {
	ca := mailtest.NewCA(t)
	p := mailtest.Start(t, mailtest.Script{TLS: ca.Valid(), Username: "joe", Password: "sesam-secret"})
	s := settings(p)
	s.TLS, s.RootCAs, s.Username, s.Password = "starttls", ca.Pool(), "joe", "sesam-secret"
	steps, transcript, err := probed(t, s, TestMail{From: "a@x.test", To: "b@y.test"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "DNS\nTCP\nTLS 220 2.0.0 go ahead\nEHLO 250-peer.test\nAUTH 235 2.7.0 welcome\n" +
		"MAIL 250 2.1.0 Ok\nRCPT 250 2.1.5 Ok\nDATA 250 2.0.0 Ok: queued as PEER"; !strings.HasPrefix(steps, want) {
		t.Errorf("got\n%s\nwant\n%s", steps, want)
	}
	if strings.Contains(transcript, "sesam") || strings.Contains(transcript, encode("\x00joe\x00sesam-secret")) {
		t.Errorf("the transcript shows the password:\n%s", transcript)
	}
	for _, line := range []string{"S: 220 peer.test ESMTP", "C: EHLO relay.test", "C: AUTH PLAIN ****", "C: RCPT TO:<b@y.test>", "C: ."} {
		if !strings.Contains(transcript, line) {
			t.Errorf("no %q in\n%s", line, transcript)
		}
	}
	tx := p.Wait(t)
	if !tx.TLS || tx.MailFrom != "a@x.test" || !strings.Contains(string(tx.Content), "Subject: Backstamp test\r\n") {
		t.Errorf("got %+v", tx)
	}
	p.WaitHeard(t, "QUIT", 1)
}

func TestTestFails(t *testing.T) {
	ca := mailtest.NewCA(t)
	for _, c := range []struct {
		name  string
		stage mailtest.Stage
		do    mailtest.Action
		edit  func(*Settings)
		steps int // those that were reported, the failing one last
		want  string
	}{
		{"no name", "", nil, func(s *Settings) { s.Host = "nothing.invalid" }, 1, "DNS generic.name"},
		{"certificate", "", nil, func(s *Settings) { s.RootCAs = mailtest.NewCA(t).Pool() }, 3, "TLS generic.certificate"},
		{"greeting", mailtest.Banner, mailtest.Reply("554 no"), nil, 3, "greeting generic.turned-away"},
		{"login", mailtest.Auth, mailtest.Reply("535 5.7.8 no"), nil, 5, "AUTH generic.auth"},
		{"sender", mailtest.Mail, mailtest.Reply("550 not yours"), nil, 6, "MAIL generic.sender"},
		{"recipient", mailtest.Rcpt, mailtest.Reply("550 who?"), nil, 7, "RCPT generic.recipient"},
		{"closing", mailtest.Rcpt, mailtest.ReplyClose("421 bye"), nil, 7, "RCPT generic.throttling"},
		{"data", mailtest.Data, mailtest.Reply("451 later"), nil, 8, "DATA generic.temporary"},
		{"message", mailtest.Dot, mailtest.Reply("554 spam"), nil, 8, "message generic.content"},
		{"no verdict", mailtest.Dot, mailtest.Close(), nil, 8, "message generic.uncertain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{TLS: ca.Valid(), Username: "joe", Password: "sesam"})
			if c.do != nil {
				p.On(c.stage, c.do)
			}
			s := settings(p)
			s.TLS, s.RootCAs, s.Username, s.Password = "starttls", ca.Pool(), "joe", "sesam"
			if c.edit != nil {
				c.edit(&s)
			}
			steps, _, err := probed(t, s, TestMail{From: "a@x.test", To: "b@y.test"})
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if got := e.Stage + " " + e.Explain().ID; got != c.want {
				t.Errorf("got %q, want %q: %v", got, c.want, err)
			}
			lines := strings.Split(steps, "\n")
			if len(lines) != c.steps || !strings.HasSuffix(lines[len(lines)-1], " failed") {
				t.Errorf("steps\n%s", steps)
			}
		})
	}
}

func TestTestSkips(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	steps, _, err := probed(t, settings(p), TestMail{From: "a@x.test", To: "b@y.test"})
	if err != nil || !strings.Contains(steps, "TLS skipped\n") || !strings.Contains(steps, "AUTH skipped\n") {
		t.Errorf("%v\n%s", err, steps)
	}
	steps, _, err = probed(t, Settings{Preset: "capture"}, TestMail{From: "a@x.test", To: "b@y.test"})
	if err != nil || strings.Count(steps, "skipped") != 8 {
		t.Errorf("capture: %v\n%s", err, steps)
	}
	_, _, err = probed(t, Settings{Key: "k", Preset: "generic"}, TestMail{})
	if _, ok := errors.AsType[*mail.SettingError](err); !ok {
		t.Errorf("wrong settings: %v", err)
	}
}

// Addresses that cannot be written are told before anything is sent for them.
func TestTestAddresses(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{Extensions: []string{}})
	for m, want := range map[TestMail]string{
		{From: "a@x.test> SIZE=1", To: "b@y.test"}: "MAIL sender",
		{From: "a@x.test", To: "b c@y.test"}:       "RCPT recipient",
	} {
		steps, _, err := probed(t, settings(p), m)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Stage+" "+e.Class != want || !strings.HasSuffix(steps, e.Stage+" failed") {
			t.Errorf("%+v: got %v\n%s", m, err, steps)
		}
	}
	if p.Heard("RCPT") != 0 {
		t.Errorf("heard %q", p.Commands())
	}
}

// TestGreet: everything up to the login is tried, leave is taken, and nothing
// is begun that could become a message.
func TestGreet(t *testing.T) {
	ca := mailtest.NewCA(t)
	p := mailtest.Start(t, mailtest.Script{TLS: ca.Valid(), Username: "joe", Password: "sesam"})
	s := settings(p)
	s.TLS, s.RootCAs, s.Username, s.Password = "starttls", ca.Pool(), "joe", "sesam"
	var steps []string
	greet := func() error {
		steps = nil
		return Greet(t.Context(), s, func(st Step) { steps = append(steps, st.Name) })
	}
	if err := greet(); err != nil || strings.Join(steps, " ") != "DNS TCP TLS EHLO AUTH" {
		t.Errorf("%v after %q", err, steps)
	}
	p.WaitHeard(t, "QUIT", 1)
	s.Password = "wrong"
	if e, ok := errors.AsType[*Error](greet()); !ok || e.Explain().ID != "generic.auth" || len(steps) != 5 {
		t.Errorf("a wrong password: %v after %q", e, steps)
	}
	if n := p.Heard("MAIL"); n != 0 {
		t.Errorf("MAIL came %d times", n)
	}
}
