package catalogue

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
)

// documented are replies that providers document or were seen to give, and what
// each means.
var documented = []struct{ service, reply, id, class string }{
	{"google", "535 5.7.8 Username and Password not accepted. For more information, go to 5.7.8 https://support.google.com/mail/?p=BadCredentials x - gsmtp", "google.bad-credentials", "auth"},
	{"google", "534 5.7.9 Application-specific password required. Learn more at https://support.google.com/mail/?p=InvalidSecondFactor - gsmtp", "google.app-password-required", "auth"},
	{"google", "454 4.7.0 Cannot authenticate due to a temporary system problem. Try again later.", "google.auth-temporary", "temporary"},
	{"google", "421 4.3.0 Temporary System Problem. Try again later (10). - gsmtp", "google.bulk", "throttling"},
	{"google-relay", "421 4.7.0 Try again later, closing connection. (EHLO) - gsmtp", "google.try-later", "throttling"},
	{"google", "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address.", "google.unsolicited-rate", "throttling"},
	{"google", "421-4.7.0 unusual rate of unsolicited mail", "google.unsolicited-rate", "throttling"},
	{"google-relay", "450 4.2.1 Peak SMTP relay limit exceeded for customer.", "google.peak", "throttling"},
	{"google", "550 5.4.5 Daily user sending quota exceeded. - gsmtp", "google.daily-limit", "quota"},
	{"google", "550 5.4.5 Daily user sending limit exceeded. - gsmtp", "google.daily-limit", "quota"},
	{"google-relay", "550 5.7.1 Daily SMTP relay limit exceeded for user.", "google.daily-limit", "quota"},
	{"google-relay", "550 5.7.1 Daily SMTP relay limit exceeded for customer.", "google.daily-limit", "quota"},
	{"google-relay", "550 5.7.1 Mail relay denied [192.0.2.1].", "google.relay-denied", "account"},
	{"google-relay", "550 5.7.1 Invalid credentials for relay [192.0.2.1].", "google.relay-denied", "account"},
	{"google", "550 5.7.26 This mail is unauthenticated, which poses a security risk to the sender.", "google.unauthenticated", "sender"},
	{"google-relay", "452 4.5.3 Your message has more than 100 recipients.", "google.recipients", "throttling"},
	{"office365", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled", "microsoft.smtp-auth-disabled", "auth"},
	{"office365", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", "microsoft.smtp-auth-disabled", "auth"},
	{"office365", "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.", "microsoft.security-defaults", "auth"},
	{"office365", "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.", "microsoft.conditional-access", "auth"},
	{"outlook", "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", "microsoft.basic-auth", "auth"},
	{"office365", "535 5.7.3 Authentication unsuccessful", "microsoft.auth-unsuccessful", "auth"},
	{"office365", "550 5.7.30 Basic authentication is not supported for Client Submission.", "microsoft.basic-auth", "auth"},
	{"office365", "530 5.7.57 Client was not authenticated to send anonymous mail during MAIL FROM", "microsoft.not-logged-in", "auth"},
	{"office365", "550 5.7.60 SMTP; Client does not have permissions to send as this sender", "microsoft.send-as", "sender"},
	{"office365", "554 5.7.60 Client does not have permissions to send as this sender", "microsoft.send-as", "sender"},
	{"office365", "554 5.2.252 SendAsDenied; a@example.com not allowed to send as b@example.com", "microsoft.send-as", "sender"},
	{"office365", "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message", "microsoft.send-as", "sender"},
	{"office365", "550 5.1.8 Access denied, bad outbound sender", "microsoft.blocked", "account"},
	{"office365", "554 5.2.2 Submission quota exceeded", "microsoft.daily-limit", "quota"},
	{"office365", "554 5.2.0 STOREDRV.Submission.Exception: the per-day limit is reached", "microsoft.daily-limit", "quota"},
	{"office365", "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending", "microsoft.connections", "throttling"},
	{"office365", "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", "microsoft.connections", "throttling"},
	{"office365", "554 5.2.2 mailbox full; STOREDRV.Submission: QuotaExceeded", "microsoft.mailbox-full", "account"},
	{"office365", "550 5.7.509 Access denied, sending domain example.com does not pass DMARC verification", "microsoft.dmarc", "sender"},
	{"office365", "550 5.7.705 Access denied, tenant has exceeded threshold", "microsoft.tenant", "account"},
	{"office365", "550 5.7.708 Access denied, traffic not accepted from this IP", "microsoft.tenant", "account"},
	{"office365", "550 5.7.750 Client blocked from sending from unregistered domains", "microsoft.tenant", "account"},
	{"", "530 5.7.0 Must issue a STARTTLS command first", "any.starttls-first", "account"},
	{"zoho", "530 5.7.0 Must issue a STARTTLS command first.", "any.starttls-first", "account"},
	{"ses", "535 Authentication Credentials Invalid", "ses.bad-credentials", "auth"},
	{"ses", "535 Account not subscribed to SES", "ses.not-subscribed", "auth"},
	{"ses", "454 Temporary authentication failure", "ses.auth-temporary", "temporary"},
	{"ses", "554 Message rejected: Email address is not verified. The following identities failed the check in region US-EAST-1: shop@example.com", "ses.not-verified", "sender"},
	{"ses", "554 Message rejected: Email address is not verified. The following identities failed the check in region US-EAST-1: reader@example.net", "ses.sandbox", "recipient"},
	{"ses", "554 Message rejected: Email address is not verified.", "ses.not-verified", "sender"},
	{"ses", "554 Access denied: User arn:aws:iam::1:user/x is not authorized to perform ses:SendRawEmail on resource y", "ses.iam", "account"},
	{"ses", "454 Throttling failure: Maximum sending rate exceeded.", "ses.rate", "throttling"},
	{"ses", "454 Throttling failure: Daily message quota exceeded.", "ses.daily-limit", "quota"},
	{"ses", "421 Too many concurrent SMTP connections", "ses.connections", "throttling"},
	{"ses", "451 Timeout waiting for data from client", "ses.timeout", "temporary"},
	{"ses", "552 Message is too long.", "ses.too-long", "content"},
	{"ses", "553 Invalid email address", "ses.invalid-address", "recipient"},
	{"sendgrid", "451 Authentication failed: Maximum credits exceeded", "sendgrid.credits", "quota"},
	{"sendgrid", "550 The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.", "sendgrid.sender", "sender"},
	{"sendgrid", "403 The from address does not match a verified Sender Identity.", "sendgrid.sender", "sender"},
	{"sendgrid", "550 Unauthenticated senders not allowed", "sendgrid.not-logged-in", "auth"},
	{"zoho", "553 Relaying disallowed as shop@example.com", "zoho.sender", "sender"},
	{"zoho", "552 Relaying disallowed as shop@example.com", "zoho.sender", "sender"},
	{"zoho", "550 5.4.6 Unusual sending activity detected. Please try after sometime.", "zoho.blocked", "account"},
	{"zoho", "554 5.1.8 Sender Address Blocked", "zoho.blocked", "account"},
	{"sparkpost", "535 5.7.8 Sorry. No authentication type succeeded", "sparkpost.auth", "auth"},
	{"sparkpost", "550 5.6.0 JSON parsing error in X-MSYS-API", "sparkpost.json", "content"},
	{"sparkpost", "550 5.7.1 Unconfigured Sending Domain <example.com>", "sparkpost.domain", "sender"},
	{"postmark", "550 Sender signature not found", "postmark.signature", "sender"},
	{"postmark", "550 Sender signature not confirmed", "postmark.signature", "sender"},
	{"postmark", "406 You tried to send to a recipient that has been marked as inactive.", "postmark.inactive", "recipient"},
	{"postmark", "429 Rate limit exceeded", "postmark.rate", "throttling"},
	{"mailgun", "550 Domain mg.example.com is not allowed to send: The domain is unverified", "mailgun.not-allowed", "account"},
	{"mailgun", "421 Domain sandbox1.mailgun.org is not allowed to send: Free accounts are for test purposes only", "mailgun.not-allowed", "account"},
	{"", "550 Sender verify failed", "any.sender-domain", "sender"},
	{"mailgun", "550 Domain of sender address bounce@mg.example.com does not exist", "any.sender-domain", "sender"},
	{"", "501 Mail from address must be same as authorization user", "any.sender-is-login", "sender"},
	{"", "553 5.7.1 <a@example.com>: Sender address rejected: not logged in", "any.not-owner", "sender"},
	{"", "553 5.7.1 <a@example.com>: Sender address rejected: not owned by user shop", "any.not-owner", "sender"},
}

func reply(s string) mail.Reply {
	var r mail.Reply
	for line := range strings.SplitSeq(s, "\n") {
		fmt.Sscanf(line, "%d", &r.Code)
		r.Lines = append(r.Lines, line[4:])
	}
	return r
}

// wrapped breaks a reply into lines of three words, each with the enhanced code,
// as some servers do.
func wrapped(s string) string {
	code, text := s[:3], strings.Fields(s[4:])
	enhanced := ""
	if regexp.MustCompile(`^\d\.\d+\.\d+$`).MatchString(text[0]) {
		enhanced, text = text[0]+" ", text[1:]
	}
	var lines []string
	for words := range slices.Chunk(text, 3) {
		lines = append(lines, code+"-"+enhanced+strings.Join(words, " "))
	}
	last := lines[len(lines)-1]
	lines[len(lines)-1] = last[:3] + " " + last[4:]
	return strings.Join(lines, "\n")
}

// TestDocumented replays every documented reply word for word, wrapped over
// lines, and in other case and spacing.
func TestDocumented(t *testing.T) {
	for _, tt := range documented {
		for _, said := range []string{tt.reply, wrapped(tt.reply), strings.ToUpper(tt.reply), tt.reply[:4] + strings.ReplaceAll(tt.reply[4:], " ", "  ")} {
			id, class, ok := Match(tt.service, "shop@example.com", reply(said))
			if !ok || id != tt.id || class != tt.class {
				t.Errorf("%s: %q is %s (%s), want %s (%s)", tt.service, said, id, class, tt.id, tt.class)
			}
		}
	}
}

// TestWords: every meaning has words in both languages, steps, and a class that
// the contract names; every row is reached by a documented reply.
func TestWords(t *testing.T) {
	reached := map[string]bool{}
	for _, d := range documented {
		reached[d.id] = true
	}
	seen := map[string]bool{}
	for _, row := range rows() {
		if seen[row.ID] {
			t.Errorf("%s is there twice", row.ID)
		}
		seen[row.ID] = true
		if row.Like != "" {
			continue
		}
		if !reached[row.ID] && !strings.HasPrefix(row.ID, "generic.") {
			t.Errorf("no documented reply is %s", row.ID)
		}
		for _, lang := range []string{"en", "ko"} {
			x, ok := Find(row.ID, lang)
			if !ok || x.Title == "" || x.Meaning == "" || len(x.Steps) == 0 || slices.Contains(x.Steps, "") {
				t.Errorf("%s in %s: %+v", row.ID, lang, x)
			}
		}
		en, _ := Find(row.ID, "en")
		if ko, _ := Find(row.ID, "ko"); ko.Title == en.Title || len(ko.Steps) != len(en.Steps) {
			t.Errorf("%s: the languages differ: %d steps and %d", row.ID, len(en.Steps), len(ko.Steps))
		}
		if !slices.Contains([]string{"auth", "quota", "throttling", "temporary", "sender", "recipient", "content", "account"}, row.Class) {
			t.Errorf("%s: class %q", row.ID, row.Class)
		}
	}
	if _, ok := Find("none", "en"); ok {
		t.Error("words for no id")
	}
	kept := &mail.Explain{ID: "operator", Title: "as kept"}
	if Shown(kept, "ko").Title != "as kept" || Shown(nil, "ko") != nil {
		t.Error("what is not of the catalogue is not shown as it was kept")
	}
	if x := Shown(&mail.Explain{ID: "ses.iam", Class: "account"}, "ko"); x.Title == "" || x.Class != "account" {
		t.Errorf("shown: %+v", x)
	}
}

// TestHostile: a reply of any length and bytes is looked at in bounds.
func TestHostile(t *testing.T) {
	long := mail.Reply{Code: 550}
	for range 1000 {
		long.Lines = append(long.Lines, strings.Repeat("daily \xff\x1b[31m", 200))
	}
	if n := len(flat(long)); n > textMax {
		t.Errorf("%d octets are looked at", n)
	}
	for _, service := range []string{"google", "ses", "office365", ""} {
		if id, _, ok := Match(service, "a@x.test", long); ok {
			t.Errorf("%s: %s", service, id)
		}
	}
	Match("ses", "", mail.Reply{})
	Match("ses", "@", mail.Reply{Code: 554, Lines: []string{"Email address is not verified. region : , <> =,"}})
}

func FuzzMatch(f *testing.F) {
	for _, d := range documented {
		f.Add(d.service, d.reply[4:], 550)
	}
	f.Fuzz(func(t *testing.T, service, text string, code int) {
		id, class, ok := Match(service, "a@x.test", mail.Reply{Code: code, Lines: strings.Split(text, "\n")})
		if ok != (id != "") || ok != (class != "") {
			t.Errorf("%q, %q, %v", id, class, ok)
		}
		if _, found := Find(id, "en"); ok && !found {
			t.Errorf("no words for %s", id)
		}
	})
}

// TestOthers: what servers of other makes say is no provider's reply. A row for
// any server may fit, and no other fits where nothing is known of the server.
func TestOthers(t *testing.T) {
	text, err := os.ReadFile("testdata/others.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if id, _, ok := Match("", "a@example.com", reply(line)); ok && !strings.HasPrefix(id, "any.") {
			t.Errorf("%q is %s", line, id)
		}
		for _, row := range rows() {
			if len(row.Services) > 0 && row.pattern != nil && row.fits(row.Services[0], reply(line), flat(reply(line))) {
				t.Errorf("%q is %s", line, row.ID)
			}
		}
	}
}
