package provider

import (
	"slices"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/internal/simulator"
	"backstamp/mail"
)

// simulated returns settings that reach a provider's simulator as its users
// reach the provider: encrypted, and with a login of its form.
func simulated(t *testing.T, o simulator.Options) (*mailtest.Simulation, Settings) {
	t.Helper()
	d, err := simulator.Load(o.Preset)
	if err != nil {
		t.Fatal(err)
	}
	ca := mailtest.NewCA(t)
	o.Mode, o.TLS = d.TLS[0], ca.Valid()
	user := map[string]string{"sendgrid": "apikey", "sparkpost": "SMTP_Injection"}[o.Preset]
	if user == "" {
		user = "shop@example.com"
	}
	if o.Logins == nil {
		o.Logins = map[string]string{user: "sesam"}
	}
	sim := mailtest.Simulate(t, o)
	s := settings(&mailtest.Peer{Host: sim.Host, Port: sim.Port})
	s.TLS, s.RootCAs, s.Username, s.Password = o.Mode, ca.Pool(), user, "sesam"
	return sim, s
}

func letterFrom(from string, to ...string) mail.Transaction {
	return mail.Transaction{Recipients: to, Copy: text{from: from, content: "From: <" + from + ">\r\n" + content}}
}

// speakable are the presets whose login needs no token.
func speakable() []string {
	return slices.DeleteFunc(simulator.Presets(), func(p string) bool { return p == "outlook" })
}

// What every provider does with a message that is as it should be.
func TestSimulatedProviders(t *testing.T) {
	for _, preset := range speakable() {
		t.Run(preset, func(t *testing.T) {
			t.Parallel()
			sim, s := simulated(t, simulator.Options{Preset: preset})
			c := client(t, s)
			expect(t, c, letterFrom("shop@example.com", "1@y.test", "2@y.test"), "taken, taken")
			got := c.Deliver(t.Context(), letterFrom("shop@example.com", "3@y.test"))
			out := sim.Taken()
			if len(out) != 2 || !out[0].TLS || len(out[0].Recipients) != 2 || out[0].User != s.Username || out[1].Connection != 1 {
				t.Fatalf("taken %+v", out)
			}
			named := strings.Contains(out[1].Reply, out[1].ID)
			if id := got[0].UpstreamID; named && !strings.Contains(id, out[1].ID) || named != (id != "") {
				t.Errorf("id %q of %q", id, out[1].Reply)
			}
		})
	}
}

// A refused login says so in the provider's words, and nothing else is tried.
func TestSimulatedLogins(t *testing.T) {
	for _, preset := range speakable() {
		t.Run(preset, func(t *testing.T) {
			t.Parallel()
			sim, s := simulated(t, simulator.Options{Preset: preset, Logins: map[string]string{"nobody": "x"}})
			expect(t, client(t, s), letterFrom("shop@example.com", "1@y.test"), "auth")
			if out := sim.Outcomes(); len(out) != 1 || out[0].Stage != "auth" || !strings.HasPrefix(out[0].Reply, "535") {
				t.Errorf("got %+v", out)
			}
		})
	}
}

// What a provider says once a day's mail is sent arrives as it was said, and
// the next day the message is taken.
func TestSimulatedDays(t *testing.T) {
	for _, preset := range speakable() {
		t.Run(preset, func(t *testing.T) {
			t.Parallel()
			now := clock.NewFake(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC))
			sim, s := simulated(t, simulator.Options{Preset: preset, Limits: simulator.Limits{Day: 1}, Clock: now})
			for i, taken := range []bool{true, false, true} {
				if i == 2 {
					now.Advance(24 * time.Hour)
				}
				// A new client each time: some refuse at the login.
				a := client(t, s).Deliver(t.Context(), letterFrom("shop@example.com", "1@y.test"))[0]
				out := sim.Outcomes()
				if a.Taken() != taken || a.Reply.String() != out[len(out)-1].Reply {
					t.Errorf("message %d: got %q, said %+v", i, a.Reply, out)
				}
			}
		})
	}
}

// Every refusal after the login arrives as it was said, refuses the message
// and leaves nothing half sent.
func TestSimulatedTroubles(t *testing.T) {
	for _, preset := range speakable() {
		d, _ := simulator.Load(preset)
		for _, name := range d.Troubles() {
			r, _ := d.Refusal(name)
			if r.Hang || r.Delay {
				continue
			}
			t.Run(preset+"/"+name, func(t *testing.T) {
				t.Parallel()
				sim, s := simulated(t, simulator.Options{Preset: preset, Troubles: []simulator.Trouble{{Name: name}}})
				a := client(t, s).Deliver(t.Context(), letterFrom("shop@example.com", "1@y.test"))[0]
				if a.Taken() || len(sim.Taken()) != 0 {
					t.Fatalf("taken: %+v", a)
				}
				out := sim.Outcomes()
				if got := a.Reply.String(); len(out) == 0 || r.Text != "" && got != out[0].Reply {
					t.Errorf("got %q, said %+v", got, out)
				}
				if want := r.Text == "" && r.Stage == "dot"; a.Uncertain != want {
					t.Errorf("uncertain %v", a.Uncertain)
				}
			})
		}
	}
}

// A preset, with a login of the form that it describes, gets a message through
// what plays its provider; nothing about it is odd.
func TestPresetsAtSimulators(t *testing.T) {
	logins := map[string][2]string{
		"brevo":        {"8a1b2c@smtp-brevo.com", "xsmtpsib-1"},
		"fastmail":     {"shop@example.com", "abcd 1234 efgh 5678"},
		"icloud":       {"shop@icloud.com", "abcd-efgh-ijkl-mnop"},
		"mailgun":      {"postmaster@mg.example.com", "sesam"},
		"mailjet":      {strings.Repeat("0a", 16), strings.Repeat("1b", 16)},
		"naver":        {"shop", "sesam"},
		"daum":         {"shop", "sesam"},
		"kakao":        {"shop", "sesam"},
		"nhncloud":     {"AppKey", "SecretKey"},
		"postmark":     {"01234567-89ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcdef"},
		"sendgrid":     {"", "SG.x.y"},
		"ses":          {"AKIAIOSFODNN7EXAMPLE", strings.Repeat("B", 44)},
		"sparkpost":    {"", "key"},
		"zoho":         {"shop@example.com", "sesam"},
		"naverworks":   {"shop@example.com", "sesam"},
		"mandrill":     {"shop", "sesam"},
		"generic":      {"shop@example.com", "sesam"},
		"microsoft365": {"shop@example.com", "sesam"},
	}
	for _, preset := range speakable() {
		t.Run(preset, func(t *testing.T) {
			t.Parallel()
			login, ok := logins[preset]
			if !ok { // Google and Yahoo
				login = [2]string{"shop@example.com", "abcd efgh ijkl mnop"}
			}
			known := Settings{Preset: preset, Username: login[0], Password: login[1]}.Resolved()
			sim, s := simulated(t, simulator.Options{Preset: preset, Logins: map[string]string{known.Username: known.Password}})
			s.Preset, s.Username, s.Password = preset, login[0], login[1]
			from := "shop@example.com"
			if s.Resolved().LoginIsMailbox() {
				from = s.Login()
			}
			if odd := s.Warnings(); len(odd) != 0 && preset != "microsoft365" {
				t.Errorf("warns: %v", odd)
			}
			expect(t, client(t, s), letterFrom(from, "1@y.test", "2@y.test"), "taken, taken")
			if out := sim.Taken(); len(out) != 1 || !out[0].TLS {
				t.Errorf("taken %+v", out)
			}
		})
	}
}
