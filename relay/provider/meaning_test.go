package provider

import (
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/internal/simulator"
	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
)

// meanings are the classes of what simulators refuse, by the beginning of the
// trouble's name; the longest counts.
var meanings = map[string]string{
	"login": "auth", "login-later": "throttling", "app-password": "auth", "bad-login": "auth", "bad-relay": "auth",
	"basic-auth": "auth", "criteria": "auth", "security-defaults": "auth", "smtp-auth-off": "auth", "not-subscribed": "auth",
	"not-logged-in": "auth", "tls-needed": "account", "iam": "account", "blocked": "account", "mailbox-full": "account",
	"tenant": "account", "unregistered-domain": "account", "unusual-activity": "account", "account-disabled": "account",
	"authorised-recipients": "account", "unverified": "account",
	"sender": "sender", "send-as": "sender", "must-be-same": "sender", "unauthenticated": "sender", "dmarc": "sender", "null-sender": "sender",
	"public-domain": "sender", "sandbox": "sender", // of SES: until it is known who is named
	"no-such-user": "recipient", "inactive-recipient": "recipient",
	"spam": "content", "too-big": "content", "bad-json": "content", "bad-address": "content",
	"daily-limit": "quota", "rate-limit": "throttling", "peak-limit": "throttling", "try-later": "throttling", "unsolicited": "throttling",
	"too-many": "throttling", "thread-limit": "throttling", "worn": "throttling", "idle": "throttling", "shutting-down": "throttling",
}

func meaningOf(trouble string) (class string) {
	longest := ""
	for name, c := range meanings {
		if strings.HasPrefix(trouble, name) && len(name) > len(longest) {
			longest, class = name, c
		}
	}
	return class
}

// What a simulator says, whoever wrote it down, is taken for what it is.
func TestSimulatedMeanings(t *testing.T) {
	stages := map[string]string{"banner": "greeting", "auth": "AUTH", "mail": "MAIL", "rcpt": "RCPT", "data": "DATA", "dot": "message"}
	fill := strings.NewReplacer("{from}", "a@example.com", "{rcpt}", "b@example.net", "{domain}", "example.com", "{login}", "shop@example.com", "{id}", "d2e1a72fcca58")
	for _, preset := range simulator.Presets() {
		d, err := simulator.Load(preset)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range d.Troubles() {
			refusal, _ := d.Refusal(name)
			if refusal.Text == "" || refusal.Hang {
				continue
			}
			var r mail.Reply
			for line := range strings.Lines(fill.Replace(refusal.Text)) {
				line := reply(strings.TrimSpace(line))
				r.Code, r.Lines = line.Code, append(r.Lines, strings.TrimPrefix(line.Lines[0], "-"))
			}
			s := Settings{Preset: preset}
			id, class := judge(s.Service().Family, stages[refusal.Stage], r)
			want := meaningOf(name)
			if strings.Contains(r.Text(), "relay denied") {
				want = "account"
			}
			if want == "throttling" && class == "temporary" && !strings.HasPrefix(r.Text(), "421") {
				continue // it waits all the same
			}
			if class != want {
				t.Errorf("%s, %s: %q is %s, want %q", preset, name, r, id+" "+class, want)
			}
			if _, ok := catalogue.Find(id, "en"); !ok {
				t.Errorf("%s has no words", id)
			}
		}
	}
}

// SES names whoever is not verified: the sender's message fails, in the sandbox
// the recipient alone, and others are tried again.
func TestUnverified(t *testing.T) {
	const said = "554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: "
	for _, c := range []struct{ named, want string }{
		{"a@x.test", "ses.not-verified sender, ses.not-verified sender, ses.not-verified sender"},
		{"A@X.test, 2@y.test", "ses.not-verified sender, ses.not-verified sender, ses.not-verified sender"},
		{"2@Y.test", "ses.other-recipient temporary, ses.sandbox recipient, ses.other-recipient temporary"},
		{"Kim <2@y.test>, 3@y.test", "ses.other-recipient temporary, ses.sandbox recipient, ses.sandbox recipient"},
		{"else@x.test", "ses.not-verified sender, ses.not-verified sender, ses.not-verified sender"},
		{"", "ses.not-verified sender, ses.not-verified sender, ses.not-verified sender"},
	} {
		p := mailtest.Start(t, mailtest.Script{Username: "AKIAIOSFODNN7EXAMPLE", Password: strings.Repeat("x", 44)})
		p.On(mailtest.Dot, mailtest.Reply(said+c.named))
		s := settings(p)
		s.Preset, s.Username, s.Password = "ses", "AKIAIOSFODNN7EXAMPLE", strings.Repeat("x", 44)
		var got []string
		for _, a := range client(t, s).Deliver(t.Context(), letterFrom("a@x.test", "1@y.test", "2@y.test", "3@y.test")) {
			got = append(got, a.Explain.ID+" "+a.Class)
		}
		if all := strings.Join(got, ", "); all != c.want {
			t.Errorf("%q: got %s", c.named, all)
		}
	}
}
