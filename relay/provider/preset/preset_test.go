package preset

import (
	"path"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestData reads every file: each fact has a source and a day, each pattern
// compiles, and each provider can be reached.
func TestData(t *testing.T) {
	names := Names()
	if len(names) != 24 {
		t.Errorf("%d presets: %v", len(names), names)
	}
	for _, name := range names {
		p, ok := Find(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		checkFacts(t, name, reflect.ValueOf(*p))
		if p.Title == "" || p.Username.Is.Expected == "" || p.Password.Is.Expected == "" || p.LoginIsMailbox.Source == "" {
			t.Errorf("%s lacks what every preset has: %+v", name, p)
		}
		if name != "generic" && name != "capture" {
			checkProvider(t, p)
		}
	}
}

func checkProvider(t *testing.T, p *Preset) {
	t.Helper()
	if p.Family == "" || p.Host.Is == "" || len(p.Ports.Is) == 0 || p.Sender.Is == "" || p.Tracking.Is == "" || p.Feedback.Is == "" {
		t.Errorf("%s lacks what every provider has: %+v", p.Name, p)
	}
	for _, way := range p.Ports.Is {
		if way.TLS != "implicit" && way.TLS != "starttls" {
			t.Errorf("%s: port %+v", p.Name, way)
		}
	}
	for _, f := range []Form{p.Username.Is, p.Password.Is} {
		if f.Form != "address" {
			regexp.MustCompile(f.Form)
		}
		for _, r := range f.Refuse {
			regexp.MustCompile(r.Form)
			if !strings.Contains(r.Because, "expected") {
				t.Errorf("%s: %q does not say what is expected", p.Name, r.Because)
			}
		}
	}
	if way := p.ReturnPath.Is; way != "sender" && way != "login" && way != "provider" {
		t.Errorf("%s: return_path %q", p.Name, way)
	}
	for _, pattern := range p.OtherHosts.Is {
		if _, err := path.Match(pattern, ""); err != nil {
			t.Errorf("%s: host %q: %v", p.Name, pattern, err)
		}
	}
	for _, region := range append(p.Regions.Is, p.Region) {
		host, _, ok := p.HostIn(region)
		if region == "" && strings.Contains(p.Host.Is, "{region}") {
			continue // it must be told
		}
		if serving, _ := Serving(host); !ok || strings.ContainsAny(host, "{}") || serving == nil || serving.Family != p.Family {
			t.Errorf("%s: host %q of region %q", p.Name, host, region)
		}
	}
	for _, field := range p.SwitchOff.Is {
		if !strings.Contains(field, ": ") || len(field) > 998 {
			t.Errorf("%s: no field: %q", p.Name, field)
		}
	}
}

// checkFacts finds facts that do not say where they are from.
func checkFacts(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			checkFacts(t, name, v.Index(i))
		}
	case reflect.Struct:
		if is := v.FieldByName("Is"); is.IsValid() {
			if !v.IsZero() && (v.FieldByName("Source").String() == "" || !regexp.MustCompile(`^\d{4}-\d\d(-\d\d)?$`).MatchString(v.FieldByName("AsOf").String())) {
				t.Errorf("%s: %+v does not say where it is from", name, v.Interface())
			}
			return
		}
		for i := range v.NumField() {
			checkFacts(t, name, v.Field(i))
		}
	}
}

func TestHostIn(t *testing.T) {
	for _, tt := range []struct {
		preset, region, host string
		listed, ok           bool
	}{
		{"gmail", "", "smtp.gmail.com", true, true},
		{"ses", "ap-northeast-2", "email-smtp.ap-northeast-2.amazonaws.com", true, true},
		{"ses", "", "", true, false},
		{"ses", "ap-northeast-9", "email-smtp.ap-northeast-9.amazonaws.com", false, true},
		{"ses", "evil.example/", "", false, false},
		{"mailgun", "", "smtp.mailgun.org", true, true},
		{"mailgun", "eu", "smtp.eu.mailgun.org", true, true},
		{"mailgun", "uk", "", false, false},
		{"zoho", "ca", "smtp.zohocloud.ca", true, true},
		{"zoho", "eu", "smtp.zoho.eu", true, true},
	} {
		p, _ := Find(tt.preset)
		host, listed, ok := p.HostIn(tt.region)
		if host != tt.host || ok != tt.ok || listed != tt.listed {
			t.Errorf("%s in %q: %q, listed %v, %v", tt.preset, tt.region, host, listed, ok)
		}
	}
	if _, ok := Find("../data/gmail"); ok {
		t.Error("a path is no name")
	}
}

// The usual mistakes are found before anybody connects.
func TestJudge(t *testing.T) {
	for _, tt := range []struct{ preset, username, password, fault, doubt string }{
		{"gmail", "shop@example.com", "abcdefghijklmnop", "", ""},
		{"gmail", "shop@example.com", "abcd efgh ijkl mnop", "", ""},
		{"gmail", "shop@example.com", "Secret1!", "", "app password"},
		{"gmail", "shop", "abcdefghijklmnop", "", "full address"},
		{"ses", "AKIAIOSFODNN7EXAMPLE", strings.Repeat("B", 44), "", ""},
		{"ses", "AKIAIOSFODNN7EXAMPLE", strings.Repeat("w", 40), "secret access key", ""},
		{"ses", "shop@example.com", strings.Repeat("B", 44), "address", ""},
		{"ses", "ASIAIOSFODNN7EXAMPLE", strings.Repeat("B", 44), "temporary", ""},
		{"sendgrid", "apikey", "SG.x.y", "", ""},
		{"sendgrid", "me@example.com", "SG.x.y", "apikey", ""},
		{"sendgrid", "apikey", "hunter2", "", "API key"},
		{"brevo", "me@example.com", "xkeysib-1", "API key", ""},
		{"mailgun", "postmaster@mg.example.com", "key-1", "API key", ""},
		{"sparkpost", "SMTP_Injection:X-MSYS-SUBACCOUNT=1", "k", "", ""},
		{"sparkpost", "me", "k", "SMTP_Injection", ""},
		{"postmark", "shop@example.com", "k", "token", ""},
		{"nhncloud", "shop@example.com", "k", "AppKey", ""},
		{"fastmail", "a@fastmail.com", "abcd 1234 efgh 5678", "", ""},
		{"microsoft365", "a@example.com", "p", "", "December 2026"},
		{"outlook", "a@outlook.com", "p", "", "OAuth"},
	} {
		p, _ := Find(tt.preset)
		uFault, uDoubt := p.Username.Is.Judge(tt.username)
		pFault, pDoubt := p.Password.Is.Judge(tt.password)
		fault, doubt := uFault+pFault, uDoubt+pDoubt
		if (fault == "") != (tt.fault == "") || !strings.Contains(fault, tt.fault) || (doubt == "") != (tt.doubt == "") || !strings.Contains(doubt, tt.doubt) {
			t.Errorf("%s, %s: fault %q, doubt %q", tt.preset, tt.username, fault, doubt)
		}
	}
	p, _ := Find("gmail")
	if got := p.Password.Is.Clean("abcd efgh ijkl mnop"); got != "abcdefghijklmnop" {
		t.Errorf("clean: %q", got)
	}
}

func TestServing(t *testing.T) {
	for host, want := range map[string]string{
		"smtp.gmail.com":                            "google",
		"smtp.googlemail.com":                       "google",
		"email-smtp.eu-west-1.amazonaws.com":        "ses",
		"email-smtp.us-east-1.amazonaws.com":        "ses",
		"smtp.eu.mailgun.org":                       "mailgun",
		"smtp.zoho.com.au":                          "zoho",
		"smtppro.zoho.eu":                           "zoho",
		"smtp.zohocloud.ca":                         "zoho",
		"smtp-broadcasts.postmarkapp.com":           "postmark",
		"smtp-relay.gmail.com":                      "google-relay",
		"mail.example.com":                          "",
		"":                                          "",
		"email-smtp.us-east-1.amazonaws.com.evil.x": "",
		"xsmtp.gmail.com":                           "",
	} {
		got := ""
		if p, ok := Serving(host); ok {
			got = p.Family
		}
		if got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}
