package simulator_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/internal/simulator"
)

func TestMain(m *testing.M) { mailtest.Main(m) }

// Every preset that can be spoken to has its simulator.
func TestPresets(t *testing.T) {
	want := strings.Fields(`brevo daum fastmail generic gmail gworkspace gworkspace-relay icloud kakao mailgun mailjet
		mandrill microsoft365 naver naverworks nhncloud outlook postmark sendgrid ses sparkpost yahoo zoho`)
	if got := simulator.Presets(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if _, err := simulator.Load("gmial"); err == nil || !strings.Contains(err.Error(), "expected one of brevo") {
		t.Errorf("unknown: %v", err)
	}
}

var (
	replyLine   = regexp.MustCompile(`^[2-5][0-9][0-9]([ -].*)?$`)
	placeholder = regexp.MustCompile(`\{[a-z]+\}`)
)

// What a dialect says is SMTP: all lines of a reply have one code, and only
// the last one ends it.
func TestDialectsSpeakSMTP(t *testing.T) {
	codes := map[string]string{"banner": "220", "starttls": "220", "auth": "235", "data": "354", "quit": "221",
		"mail": "250", "rcpt": "250", "dot": "250", "rset": "250", "noop": "250"}
	for _, preset := range simulator.Presets() {
		d := load(t, preset)
		if d.Preset != preset || d.Source == "" || d.AsOf == "" || d.Name == "" || d.ID == "" || d.Counts == "" {
			t.Errorf("%s: %+v", preset, d)
		}
		for name, text := range d.Says {
			if name != "ehlo" {
				wellFormed(t, preset+" "+name, text, codes[name])
			}
		}
		for name, r := range d.Refuses {
			switch {
			case r.Delay && r.Text == "":
			default:
				wellFormed(t, preset+" "+name, r.Text, "")
			}
			if r.Text != "" && (r.Text[0] == '2' || r.Text[0] == '3') {
				t.Errorf("%s: %s refuses with %q", preset, name, r.Text)
			}
		}
	}
}

func wellFormed(t *testing.T, what, text, code string) {
	t.Helper()
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		last := i == len(lines)-1
		if !replyLine.MatchString(line) || line[:3] != lines[0][:3] || !strings.HasPrefix(line, code) || (line[3] == '-') == last {
			t.Errorf("%s: line %q", what, line)
		}
	}
	for _, p := range placeholder.FindAllString(text, -1) {
		if !strings.Contains("{name}{client}{helo}{id}{login}{from}{domain}{rcpt}", p) {
			t.Errorf("%s: %s is unknown", what, p)
		}
	}
}

// documented are the replies that providers are known to give: code, then the
// pieces of the text in their order.
var documented = map[string][]string{
	"gmail": {
		"535 5.7.8 Username and Password not accepted|gsmtp", "534 5.7.9 Application-specific password required",
		"454 4.7.0|temporary authentication problem", "421 4.3.0 Temporary System Problem|gsmtp",
		"421 4.7.0 Try again later, closing connection", "421 4.7.28|unusual rate of unsolicited mail",
		"550 5.4.5 Daily user sending quota exceeded", "550 5.7.26|unauthenticated email", "530 5.7.0 Must issue a STARTTLS command first",
	},
	"gworkspace-relay": {
		"450 4.2.1 Peak SMTP relay limit exceeded", "550 5.7.1 Daily SMTP relay limit exceeded",
		"550 5.7.1 Mail relay denied|Invalid credentials for relay", "550 5.7.1 Invalid credentials for relay", "452 4.5.3|too many recipients|per transaction",
	},
	"microsoft365": {
		"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant",
		"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox",
		"535 5.7.139|user is locked by|security defaults policy", "535 5.7.139|did not meet the criteria",
		"535 5.7.3 Authentication unsuccessful", "550 5.7.30 Basic authentication is not supported for Client Submission",
		"530 5.7.57|Client was not authenticated to send anonymous mail during MAIL FROM",
		"550 5.7.60|Client does not have permissions to send as this sender", "554 5.7.60|Client does not have permissions to send as this sender",
		"554 5.2.252 SendAsDenied|MapiExceptionSendAsDenied", "550 5.1.8 Access denied, bad outbound sender",
		"550 5.2.2 Submission quota exceeded", "554 5.2.0 STOREDRV", "432 4.3.2 Concurrent connections limit exceeded",
		"432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", "554 5.2.2 mailbox full|QuotaExceeded",
		"550 5.7.509|does not pass DMARC", "550 5.7.705|tenant|threshold", "550 5.7.708|IP", "550 5.7.750|unregistered domains",
	},
	"outlook": {"535 5.7.139|basic authentication is disabled"},
	"ses": {
		"535 Authentication Credentials Invalid", "530 Authentication required", "535 Account not subscribed to SES", "454 Temporary authentication failure",
		"554 Message rejected: Email address is not verified. The following identities failed the check in region",
		"554 Access denied: User ARN is not authorized to perform ses:SendRawEmail", "454 Throttling failure: Maximum sending rate exceeded",
		"454 Throttling failure: Daily message quota exceeded", "421 Too many concurrent SMTP connections",
		"451 Timeout waiting for data from client", "552 Message is too long.", "553 Invalid email address",
	},
	"sendgrid": {
		"451 Authentication failed: Maximum credits exceeded", "403 The from address does not match a verified Sender Identity",
		"550 The from address does not match a verified Sender Identity", "550 Unauthenticated senders not allowed",
	},
	"zoho": {
		"553 Relaying disallowed as", "552 Relaying disallowed as", "550 5.4.6 Unusual sending activity detected",
		"554 5.1.8 Sender Address Blocked", "530 Must issue a STARTTLS command first",
	},
	"sparkpost": {
		"535 5.7.8 Sorry. *** No authentication type succeeded", "550 5.6.0 JSON parsing error in X-MSYS-API", "550 5.7.1 Unconfigured Sending Domain <",
	},
	"postmark": {"550|Sender signature not found", "550|not confirmed", "406 inactive recipient", "429 rate", "550|cannot use a public domain"},
	"mailgun":  {"421 Domain|is not allowed to send|account disabled", "550 Domain|is not allowed to send|authorised recipients"},
	"naver":    {"501 Mail from address must be same as authorization user"},
	"generic": {
		"550 Sender verify failed", "550|Domain of sender address does not exist", "501 Mail from address must be same as authorization user",
		"553 5.7.1|Sender address rejected: not logged in", "553 5.7.1|Sender address rejected: not owned by user",
	},
}

func TestDocumentedReplies(t *testing.T) {
	for preset, replies := range documented {
		d := load(t, preset)
		for _, want := range replies {
			if !slices.ContainsFunc(d.Troubles(), func(name string) bool {
				r, _ := d.Refusal(name)
				return inOrder(joined(r.Text), strings.Split(want, "|"))
			}) {
				t.Errorf("%s never says %q", preset, want)
			}
		}
	}
}

// joined is a reply as one line: the codes of the further lines fall away.
func joined(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	_, enhanced, _ := strings.Cut(lines[0], "-")
	enhanced, _, _ = strings.Cut(enhanced, " ")
	for i, line := range lines[1:] {
		lines[i+1] = strings.TrimSpace(strings.TrimPrefix(line[4:], enhanced))
	}
	lines[0] = strings.Replace(lines[0], "-"+enhanced, " "+enhanced, 1)
	if len(lines) == 1 {
		return strings.TrimRight(text, "\n")
	}
	return strings.Join(lines, " ")
}

func inOrder(text string, pieces []string) bool {
	if !strings.HasPrefix(text, pieces[0]) {
		return false
	}
	for _, piece := range pieces {
		i := strings.Index(text, piece)
		if i < 0 {
			return false
		}
		text = text[i+len(piece):]
	}
	return true
}

func load(t *testing.T, preset string) simulator.Dialect {
	t.Helper()
	d, err := simulator.Load(preset)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
