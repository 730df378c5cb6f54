package provider

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
)

// reply reads a reply of one line.
func reply(line string) mail.Reply {
	code := 0
	for _, b := range line[:3] {
		code = code*10 + int(b-'0')
	}
	return mail.Reply{Code: code, Lines: []string{strings.TrimPrefix(line[3:], " ")}}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct{ stage, reply, want string }{
		{"AUTH", "535 5.7.8 bad credentials", "auth"},
		{"AUTH", "534 5.7.9 application password", "auth"},
		{"AUTH", "550 no", "auth"},
		{"AUTH", "454 4.7.0 temporary authentication failure", "throttling"},
		{"AUTH", "432 4.7.12 password transition", "temporary"},
		{"MAIL", "530 5.7.0 Authentication required", "auth"},
		{"MAIL", "530 5.7.0 Must issue a STARTTLS command first", "account"},
		{"RCPT", "530 5.7.1 log in first", "auth"},
		{"MAIL", "550 5.7.1 not your address", "sender"},
		{"MAIL", "553 bad sender", "sender"},
		{"MAIL", "552 5.3.4 too large", "content"},
		{"MAIL", "552 too large", "content"},
		{"MAIL", "452 4.3.1 no space", "temporary"},
		{"MAIL", "421 4.7.0 slow down", "throttling"},
		{"RCPT", "550 5.1.1 unknown", "recipient"},
		{"RCPT", "550 no such user", "recipient"},
		{"RCPT", "553 5.1.8 sender refused", "sender"},
		{"RCPT", "554 5.7.1 <a@y.test>: Relay access denied", "account"},
		{"RCPT", "550 5.7.1 Relaying denied", "account"},
		{"RCPT", "550 relay not permitted", "account"},
		{"RCPT", "550 5.7.1 Unable to relay for a@y.test", "account"},
		{"RCPT", "553 Relaying disallowed as a@x.test", "recipient"},
		{"RCPT", "550 relayer unknown", "recipient"},
		{"RCPT", "452 4.5.3 too many recipients", "throttling"},
		{"RCPT", "452 too many recipients", "temporary"},
		{"RCPT", "450 4.2.0 greylisted", "temporary"},
		{"RCPT", "454 4.7.1 relay access denied", "throttling"},
		{"DATA", "554 no valid recipients", "content"},
		{"message", "554 5.7.1 spam", "content"},
		{"message", "550 5.1.1 unknown", "recipient"},
		{"message", "552 5.2.2 Mailbox full", "recipient"},
		{"message", "451 4.3.0 later", "temporary"},
		{"message", "421 4.3.2 closing", "throttling"},
		{"greeting", "554 no service", "temporary"},
		{"greeting", "421 busy", "throttling"},
		{"EHLO", "550 bad name", "temporary"},
		{"STARTTLS", "454 4.7.0 TLS not available", "temporary"},
		{"MAIL", "354 go ahead", "temporary"},
	} {
		if got := classify(c.stage, reply(c.reply)); got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.stage, c.reply, got, c.want)
		}
	}
}

func TestUpstreamID(t *testing.T) {
	for line, want := range map[string]string{
		"250 2.0.0 Ok: queued as 4XyZ1abc":                               "4XyZ1abc",
		"250 2.0.0 Ok: queued as <4XyZ1abc>.":                            "4XyZ1abc",
		"250 OK id=1tABcD-000000-2x":                                     "1tABcD-000000-2x",
		"250 2.0.0 OK  1731000000 d2e1a72fcca58-7247 - gsmtp":            "d2e1a72fcca58-7247",
		"250 2.0.0 5AB6c7d8 Message accepted for delivery":               "5AB6c7d8",
		"250 Ok 0100018f2b3c4d5e-1234-000000":                            "0100018f2b3c4d5e-1234-000000",
		"250 ok 1731000000 qp 1234":                                      "1731000000",
		"250 Ok: queued as " + strings.Repeat("x", 300):                  "",
		"250 Great success":                                              "",
		"250 2.0.0 Ok":                                                   "",
		"250":                                                            "",
		"250 2.0.0 queued as \x1b[2Jevil":                                `\x1b[2Jevil`,
		"250 2.6.0 <m@x.test> [InternalId=123] Queued mail for delivery": "",
	} {
		if got := upstreamID(reply(line)); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

// Every topic that the code names has its words.
func TestExplain(t *testing.T) {
	topic := regexp.MustCompile(`(?:explain|failure)\((?:"\w+", )?"([a-z0-9-]+)"|topic :?= "([a-z-]+)"|return "(turned-away)"`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range topic.FindAllStringSubmatch(string(source), -1) {
			found++
			if id := "generic." + m[1] + m[2] + m[3]; !strings.HasSuffix(name, "_test.go") {
				if _, ok := catalogue.Find(id, "en"); !ok {
					t.Errorf("%s: no words for %s", name, id)
				}
			}
		}
	}
	if found < 15 {
		t.Errorf("%d topics found", found)
	}
}

// What the catalogue knows goes before what codes say, but nothing that comes
// before MAIL fails a message, and at AUTH only the login is refused.
func TestJudge(t *testing.T) {
	for _, c := range []struct{ preset, stage, reply, want string }{
		{"gmail", "AUTH", "535 5.7.8 Username and Password not accepted. x - gsmtp", "google.bad-credentials auth"},
		{"generic", "AUTH", "535 5.7.8 Username and Password not accepted. x - gsmtp", "generic.auth auth"},
		{"gmail", "MAIL", "550 5.4.5 Daily user sending quota exceeded.", "google.daily-limit quota"},
		{"generic", "RCPT", "550 5.4.5 Daily sending limit exceeded", "generic.quota quota"},
		{"sendgrid", "AUTH", "451 Authentication failed: Maximum credits exceeded", "sendgrid.credits quota"},
		{"microsoft365", "message", "554 5.2.2 mailbox full; STOREDRV QuotaExceeded", "microsoft.mailbox-full account"},
		{"microsoft365", "AUTH", "550 5.1.8 Access denied, bad outbound sender", "microsoft.blocked auth"},
		{"microsoft365", "greeting", "550 5.1.8 Access denied, bad outbound sender", "generic.turned-away temporary"},
		{"zoho", "MAIL", "530 Must issue a STARTTLS command first", "any.starttls-first account"},
		{"generic", "AUTH", "530 5.7.0 Must issue a STARTTLS command first", "any.starttls-first auth"},
		{"generic", "greeting", "421 Too many concurrent SMTP connections", "any.connections throttling"},
		{"sendgrid", "MAIL", "550 Unauthenticated senders not allowed", "sendgrid.not-logged-in auth"},
		{"ses", "AUTH", "454 Temporary authentication failure", "any.login-later throttling"},
		{"generic", "RCPT", "553 Relaying disallowed as a@x.test", "generic.recipient recipient"},
		{"zoho", "RCPT", "553 Relaying disallowed as a@x.test", "zoho.sender sender"},
		{"generic", "message", "554 \x1b[2J\xff\xfe", "generic.content content"},
	} {
		s := Settings{Preset: c.preset}
		if id, class := judge(s.Service().Family, c.stage, reply(c.reply)); id+" "+class != c.want {
			t.Errorf("%s, %s %s: got %s %s, want %s", c.preset, c.stage, c.reply, id, class, c.want)
		}
	}
}
