package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/internal/simulator"
	"backstamp/relay/provider"
)

// TestBehaviour runs every provider that can be played through the whole
// program, encrypted and with a login of its form, and writes what came of it
// into docs/providers.md (-update).
func TestBehaviour(t *testing.T) {
	const file = "../../docs/providers.md"
	presets := slices.DeleteFunc(simulator.Presets(), func(p string) bool { return p == "outlook" }) // tokens alone
	ways, meanings := make([]string, len(presets)), make([]string, len(presets))
	t.Run("providers", func(t *testing.T) {
		for i, preset := range presets {
			t.Run(preset, func(t *testing.T) {
				t.Parallel()
				s := newPlayhouse(t, preset)
				ways[i], meanings[i] = s.way(), s.meanings()
			})
		}
	})
	mailtest.Section(t, file, "behaviour", "| preset | connects | logs in by | From that fits | another From, before connecting | 2 a day: the third | throttled | wrong password |\n"+
		"|---|---|---|---|---|---|---|---|\n"+strings.Join(ways, ""))
	mailtest.Section(t, file, "meanings", "| preset | reply | the mail | means |\n|---|---|---|---|\n"+strings.Join(meanings, ""))
}

// A playhouse is the program with an account for each thing that one provider may
// do, each with a login and a simulator of its own.
type playhouse struct {
	*instance
	preset  string
	dialect simulator.Dialect
	clock   *clock.Fake
	sims    map[string]*mailtest.Simulation // by account
	from    map[string]string
	plain   []string // troubles that are a reply
	first   string   // message; it was sent
}

func newPlayhouse(t *testing.T, preset string) *playhouse {
	d, err := simulator.Load(preset)
	if err != nil {
		t.Fatal(err)
	}
	s := &playhouse{
		preset: preset, dialect: d, clock: clock.NewFake(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)),
		sims: map[string]*mailtest.Simulation{}, from: map[string]string{},
	}
	ca := mailtest.NewCA(t)
	conf := `
hostname: relay.test
data_dir: data
listeners: [{address: "127.0.0.1:0", clients: [127.0.0.0/8]}]
tracking: {listen: "127.0.0.1:0", base_url: "` + publicBase + `"}
admin: {listen: "127.0.0.1:0"}
accounts:
`
	add := func(account string, limit int, o simulator.Options) {
		n := len(s.sims)
		user, secret := loginOf(preset, n)
		set := provider.Settings{Preset: preset, Username: user, Password: secret}.Resolved()
		o.Preset, o.Mode, o.TLS, o.Clock = preset, d.TLS[0], ca.Valid(), s.clock
		if o.Logins == nil {
			o.Logins = map[string]string{set.Username: set.Password}
		}
		sim := mailtest.Simulate(t, o)
		s.sims[account], s.from[account] = sim, "shop@example.com"
		if set.LoginIsMailbox() {
			s.from[account] = set.Login()
		}
		conf += fmt.Sprintf("  %s:\n    login: {username: %[1]s, password: sesam}\n    providers:\n      main: {preset: %s, host: 127.0.0.1, port: %d, tls: %s, username: %q, password: %q, senders: [\"@example.com\"], daily_limit: %d}\n",
			account, preset, sim.Port, o.Mode, user, secret, limit)
	}
	add("good", 2, simulator.Options{})
	add("bad", 2, simulator.Options{Logins: map[string]string{"nobody": "x"}})
	add("slow", 2, simulator.Options{Troubles: []simulator.Trouble{{Name: "rate-limit", Times: 1}}})
	for _, name := range d.Troubles() {
		if r, _ := d.Refusal(name); r.Text != "" {
			s.plain = append(s.plain, name)
			add("t-"+name, 2, simulator.Options{Troubles: []simulator.Trouble{{Name: name}}})
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "backstamp.yaml")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.instance = startWith(t, dir, path, func(p *program) { p.clock, p.roots = s.clock, ca.Pool() })
	return s
}

// loginOf makes the nth login of the form that a provider gives.
func loginOf(preset string, n int) (user, secret string) {
	switch preset {
	case "gmail", "gworkspace", "gworkspace-relay", "yahoo":
		return fmt.Sprintf("shop%d@example.com", n), "abcd efgh ijkl mnop"
	case "brevo":
		return fmt.Sprintf("8a1b%02x@smtp-brevo.com", n), "xsmtpsib-1"
	case "fastmail":
		return fmt.Sprintf("shop%d@example.com", n), "abcd 1234 efgh 5678"
	case "icloud":
		return fmt.Sprintf("shop%d@icloud.com", n), "abcd-efgh-ijkl-mnop"
	case "mailgun":
		return fmt.Sprintf("postmaster%d@mg.example.com", n), "sesam"
	case "mailjet":
		return fmt.Sprintf("%032x", n+1), strings.Repeat("1b", 16)
	case "naver", "daum", "kakao", "mandrill":
		return fmt.Sprintf("shop%d", n), "sesam"
	case "nhncloud":
		return fmt.Sprintf("AppKey%d", n), "SecretKey"
	case "postmark":
		token := fmt.Sprintf("01234567-89ab-cdef-0123-%012x", n)
		return token, token
	case "sendgrid":
		return "", fmt.Sprintf("SG.x.y%d", n)
	case "ses":
		return fmt.Sprintf("AKIAIOSFODNN7EX%05d", n), strings.Repeat("B", 44)
	case "sparkpost":
		return "", fmt.Sprintf("key%d", n)
	}
	return fmt.Sprintf("shop%d@example.com", n), "sesam"
}

// hand hands in a short message as an account; id is empty where it was refused.
func (s *playhouse) hand(account, from string) (id, reply string) {
	s.t.Helper()
	return s.give(account, from, "From: <"+from+">\nTo: reader@example.net\nSubject: x\n\nhello\n")
}

// give logs in as an account and hands in a message; id is empty where it was
// refused.
func (s *playhouse) give(account, from, content string) (id, reply string) {
	s.t.Helper()
	c := mailtest.Dial(s.t, s.smtp())
	defer c.Close()
	c.Expect("EHLO app.test", "250")
	c.Expect("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00sesam")), "235")
	reply = strings.TrimSpace(c.SendMail(from, []string{"reader@example.net"}, mailtest.CRLF(content)))
	id, _ = strings.CutPrefix(reply, "250 2.0.0 queued as ")
	if id == reply {
		id = ""
	}
	return id, reply
}

// passes lets time pass, and then second after second until a message is sent:
// what the queue was about to do may go by what the clock said before. It is
// asked about a message that is long sent, so that it looks at the clock.
func (s *playhouse) passes(d time.Duration, id string) {
	s.t.Helper()
	s.clock.Advance(d)
	for range 2000 {
		s.clock.Advance(time.Second)
		s.run("queue", "retry", s.first)
		if s.show(id)["deliveries"].([]any)[0].(map[string]any)["status"] == "sent" {
			return
		}
	}
	s.t.Fatalf("%s is not sent after %v", id, d)
}

// settled hands in a message that fits and waits for what becomes of it.
func (s *playhouse) settled(account string) (id string, d map[string]any) {
	s.t.Helper()
	id, reply := s.hand(account, s.from[account])
	if id == "" {
		s.t.Fatalf("%s: %s", account, reply)
	}
	s.until(account+" is settled", func() bool {
		d = s.show(id)["deliveries"].([]any)[0].(map[string]any)
		return d["status"] != "queued"
	})
	return id, d
}

// way is the row of what a provider does, checked as it goes.
func (s *playhouse) way() string {
	t, sim := s.t, s.sims["good"]
	id, d := s.settled("good")
	s.first = id
	out := sim.Taken()
	if d["status"] != "sent" || len(out) != 1 || !out[0].TLS || out[0].Mechanism == "" && !s.dialect.Login.Optional {
		t.Fatalf("%v, %+v", d, out)
	}
	sent := "sent"
	if d["upstream_id"] != nil {
		sent += ", with its id"
	}
	before := len(sim.Outcomes())
	id, unaligned := s.hand("good", "boss@elsewhere.net")
	if id != "" || !strings.HasPrefix(unaligned, "550 5.7.1 ") || len(sim.Outcomes()) != before {
		t.Errorf("another From: %s", unaligned)
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | `%s` | %s | %s | %s |\n", s.preset, s.dialect.TLS[0], out[0].Mechanism, sent,
		unaligned, s.full(), s.throttled(), s.wrong())
}

// full sends what the day has room for, and one more.
func (s *playhouse) full() string {
	s.settled("good")
	id, d := s.settled("good")
	until, err := time.Parse(time.RFC3339, fmt.Sprint(d["next_attempt"]))
	if err != nil || d["status"] != "held" || d["reason"] != "quota" || len(s.sims["good"].Taken()) != 2 {
		s.t.Fatalf("the third: %v", d)
	}
	wait := until.Sub(s.clock.Now())
	s.passes(wait, id)
	return fmt.Sprintf("held for %.0f h, then sent", wait.Hours())
}

// throttled meets what the provider says to those who are too fast.
func (s *playhouse) throttled() string {
	r, ok := s.dialect.Refusal("rate-limit")
	if !ok || r.Delay {
		return "slowed by the provider"
	}
	id, d := s.settled("slow")
	next, err := time.Parse(time.RFC3339, fmt.Sprint(d["next_attempt"]))
	if err != nil || d["status"] != "deferred" && d["status"] != "held" {
		s.t.Fatalf("throttled: %v", d)
	}
	wait := next.Sub(s.clock.Now())
	s.passes(wait, id)
	return fmt.Sprintf("%s for a minute or so, then sent", d["status"])
}

// wrong logs in with a password that is refused.
func (s *playhouse) wrong() string {
	id, d := s.settled("bad")
	if s.dialect.Login.Optional && d["status"] == "sent" {
		return "not asked for"
	}
	s.logged(`its mail is held" provider=bad/main`)
	next, _ := s.settled("bad") // held because the state is known, which is in status then
	out, code := s.run("status", "--json")
	rows := slices.DeleteFunc(decodeRows(s.t, out), func(r map[string]any) bool { return r["account"] != "bad" })
	if d["status"] != "held" || d["reason"] != "auth" || code != exitDegraded || rows[0]["state"] != "parked" {
		s.t.Fatalf("wrong password: %v, %v", d, rows)
	}
	s.clock.Advance(time.Hour) // probes, and nothing else
	last, d := s.settled("bad")
	for _, id := range []string{id, next, last} {
		for _, e := range s.rows("events", "--message", id) {
			if e["kind"] == "failed" || e["kind"] == "bounced" || e["kind"] == "sent" {
				s.t.Errorf("wrong password: %v", e)
			}
		}
	}
	return "parked, " + fmt.Sprint(d["status"]) + ", nothing failed"
}

// meanings are the rows of the provider's refusals.
func (s *playhouse) meanings() string {
	var b strings.Builder
	for _, name := range s.plain {
		_, d := s.settled("t-" + name)
		became := fmt.Sprint(d["status"])
		if d["reason"] != nil {
			became += " (" + fmt.Sprint(d["reason"]) + ")"
		}
		x, _ := d["explain"].(map[string]any)
		if d["reply"] == nil && d["status"] == "sent" {
			continue // the stage is not met on the way
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | `%v` |\n", s.preset, name, became, x["id"])
	}
	return b.String()
}
