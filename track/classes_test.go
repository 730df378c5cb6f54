package track

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backstamp/mail"
)

func loadRules(t *testing.T, text string) (*Classifier, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadClassifier(file, "")
}

func TestClassify(t *testing.T) {
	const (
		gmail    = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
		prefetch = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
		iphone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
		reader   = "198.51.100.1"
	)
	tests := []struct {
		name, kind, method, userAgent, referer, addr string
		class                                        mail.Class
		rule                                         string
	}{
		{"browser clicks", "click", "GET", userAgentBrowser, "", reader, "human", "browser"},
		{"browser opens", "open", "GET", userAgentBrowser, "mail.google.com", reader, "human", "browser"},
		{"Firefox", "click", "GET", "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", "", reader, "human", "browser"},
		{"iPhone", "click", "GET", iphone, "", reader, "human", "browser"},
		{"KakaoTalk's own browser", "click", "GET", iphone + " KAKAOTALK 25.8.0", "", reader, "human", "browser"},
		{"Internet Explorer", "click", "GET", "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)", "", reader, "human", "browser"},
		{"Thunderbird", "open", "GET", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.1.0", "", reader, "human", "browser"},
		{"Outlook", "open", "GET", "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)", "", reader, "human", "mail-program"},
		{"HEAD of a browser", "click", "HEAD", userAgentBrowser, "", reader, "scanner", "head"},
		{"HEAD of Gmail", "open", "HEAD", gmail, "", reader, "scanner", "head"},
		{"Gmail opens", "open", "GET", gmail, "", "66.249.84.1", "proxy", "gmail-proxy"},
		{"Yahoo opens", "open", "GET", "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "", reader, "proxy", "yahoo-proxy"},
		{"Gmail prefetches", "open", "GET", prefetch, "", reader, "prefetch", "gmail-prefetch"},
		{"nearly Gmail's prefetch", "open", "GET", prefetch + " ", "", reader, "human", "browser"},
		{"Gmail's prefetch name clicks", "click", "GET", prefetch, "", reader, "human", "browser"},
		{"Apple prefetches", "open", "GET", "Mozilla/5.0", "", reader, "prefetch", "apple-prefetch"},
		{"bare name clicks", "click", "GET", "Mozilla/5.0", "", reader, "unknown", "none"},
		{"Gmail samples", "click", "GET", strings.Replace(prefetch, "Edge/12.246 Mozilla/5.0", "Edge/12.246 Gmail-content-sampling", 1), "", reader, "scanner", "google-sampling"},
		{"Safe Links", "click", "GET", userAgentBrowser, "nam02.safelinks.protection.outlook.com", reader, "scanner", "safelinks-referer"},
		{"a host that looks like it", "click", "GET", userAgentBrowser, "evilsafelinks.protection.outlook.com", reader, "human", "browser"},
		{"and another", "click", "GET", userAgentBrowser, "safelinks.protection.outlook.com.evil.example", reader, "human", "browser"},
		{"Proofpoint", "click", "GET", userAgentBrowser, "urldefense.com", reader, "scanner", "proofpoint-referer"},
		{"Barracuda's wrapper", "click", "GET", userAgentBrowser, "linkprotect.cudasvc.com", reader, "scanner", "barracuda-referer"},
		{"Barracuda, first address", "click", "GET", userAgentBrowser, "", "64.235.144.0", "scanner", "barracuda-network"},
		{"Barracuda, last address", "open", "GET", userAgentBrowser, "", "64.235.159.255", "scanner", "barracuda-network"},
		{"beside Barracuda", "click", "GET", userAgentBrowser, "", "64.235.160.0", "human", "browser"},
		{"Barracuda's other network", "click", "GET", userAgentBrowser, "", "209.222.87.1", "scanner", "barracuda-network"},
		{"Barracuda by name", "click", "GET", "Barracuda Sentinel (EE)", "", reader, "scanner", "security-gateway"},
		{"Outlook.com's preview", "click", "GET", "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b", "", reader, "scanner", "microsoft-preview"},
		{"KakaoTalk's preview", "click", "GET", "facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/t/scrap/33984", "", reader, "scanner", "link-preview"},
		{"robot", "click", "GET", "Mozilla/5.0 (compatible; Example/1.0; +https://example.com/about)", "", reader, "scanner", "robot"},
		{"headless", "click", "GET", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36", "", reader, "scanner", "headless-browser"},
		{"Proofpoint's network", "click", "GET", userAgentBrowser, "", "67.231.150.1", "scanner", "proofpoint-network"},
		{"Mimecast's network", "click", "GET", userAgentBrowser, "", "207.211.30.77", "scanner", "mimecast-network"},
		{"curl", "click", "GET", "curl/8.5.0", "", reader, "unknown", "none"},
		{"library", "click", "GET", "python-requests/2.32.3", "", reader, "unknown", "none"},
		{"no name", "click", "GET", "", "", reader, "unknown", "none"},
		{"no name, no address", "open", "GET", "", "", "", "unknown", "none"},
	}
	c, err := LoadClassifier("", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		class, rule := c.Classify(Signals{Kind: mail.Kind(tt.kind), Method: tt.method, UserAgent: tt.userAgent, Referer: tt.referer, Reader: keptPrefix(tt.addr)})
		if class != tt.class || rule != tt.rule {
			t.Errorf("%s: %s by %s, want %s by %s", tt.name, class, rule, tt.class, tt.rule)
		}
	}
}

func TestOwnRules(t *testing.T) {
	c, err := loadRules(t, `
self: [192.0.2.10, 10.0.0.0/8, "2001:db8::/32", "::ffff:198.18.0.0/111"]
rules:
  - class: scanner
    user_agent: [curl/]
  - name: office
    class: human
    networks: [198.51.100.0/24]
    kind: click
`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, kind, method, userAgent, addr string
		class                               mail.Class
		rule                                string
	}{
		{"own address", "open", "GET", userAgentBrowser, "192.0.2.10", "self", "self"},
		{"own network, a machine's name", "click", "GET", "Googlebot/2.1", "10.1.2.3", "self", "self"},
		{"own IPv6", "open", "GET", "", "2001:db8::1", "self", "self"},
		{"own IPv4 written as IPv6", "open", "GET", "", "198.19.0.1", "self", "self"},
		{"beside", "open", "GET", userAgentBrowser, "192.0.2.11", "human", "browser"},
		{"rule without a name", "click", "GET", "Curl/8", "198.51.100.1", "scanner", "own-1"},
		{"before the built-in ones", "click", "GET", "Googlebot/2.1", "198.51.100.1", "human", "office"},
		{"not its kind", "open", "GET", "Googlebot/2.1", "198.51.100.1", "scanner", "robot"},
		{"HEAD is never human", "click", "HEAD", userAgentBrowser, "198.51.100.1", "scanner", "head"},
	}
	for _, tt := range tests {
		class, rule := c.Classify(Signals{Kind: mail.Kind(tt.kind), Method: tt.method, UserAgent: tt.userAgent, Reader: keptPrefix(tt.addr)})
		if class != tt.class || rule != tt.rule {
			t.Errorf("%s: %s by %s, want %s by %s", tt.name, class, rule, tt.class, tt.rule)
		}
	}
}

func TestOwnRulesWithoutAnything(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "self: []\n", "rules: []\n", "self:\nrules:\n", "---\n"} {
		if _, err := loadRules(t, text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestOwnRulesRefused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", "self: []\nsefl: []\n", "rules.yaml:2: "},
		{"unknown key of a rule", "rules:\n  - class: human\n    agent: [x]\n", "rules.yaml:3: "},
		{"no address", "self:\n  - 10.0.0.1\n  - localhost\n", `rules.yaml:3: `},
		{"no YAML", "self: [", "rules.yaml"},
		{"second document", "self: []\n---\nself: []\n", "second document"},
		{"wrong type", "rules: everything\n", "rules.yaml:1: "},
		{"no class", "rules:\n  - user_agent: [x]\n", `rules.0: class is ""`},
		{"class self", "rules:\n  - {class: self, user_agent: [x]}\n", `rules.0: class is "self"`},
		{"fits everything", "rules:\n  - {class: human, user_agent: [x]}\n  - class: scanner\n", "rules.1: the rule fits every hit"},
		{"fits everything, too", "rules:\n  - {class: human, user_agent: [\"\"]}\n", "rules.0: an empty user_agent"},
		{"kind", "rules:\n  - {class: human, kind: sent}\n", "expected open or click"},
		{"method", "rules:\n  - {class: human, method: POST}\n", "expected GET or HEAD"},
		{"the line of a rule", "self: []\nrules:\n  - {class: human, user_agent: [x]}\n\n  - class: human\n", "rules.yaml:5: rules.1: "},
		{"built-in section", "fixed: []\n", "rules.yaml:1: "},
	}
	for _, tt := range tests {
		_, err := loadRules(t, tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "tracking.classes: ") {
			t.Errorf("%s: got %v, want %q in it", tt.name, err, tt.want)
		}
	}
	if _, err := LoadClassifier(filepath.Join(t.TempDir(), "missing.yaml"), ""); err == nil || !strings.HasPrefix(err.Error(), "tracking.classes: ") {
		t.Errorf("a missing file: %v", err)
	}
}

// Each built-in rule must be able to decide something and say where it is from.
func TestBuiltinRules(t *testing.T) {
	var builtin builtinRules
	if err := readRules(classesYAML, &builtin); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range append(builtin.Fixed, builtin.Rules...) {
		if err := r.check(); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		if r.Name == "" || names[r.Name] || r.Source == "" {
			t.Errorf("%q: wants a name of its own and a source", r.Name)
		}
		names[r.Name] = true
		if _, err := time.Parse(time.DateOnly, r.AsOf); err != nil {
			t.Errorf("%s: as_of: %v", r.Name, err)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	c, err := LoadClassifier("", "")
	if err != nil {
		b.Fatal(err)
	}
	s := Signals{Kind: mail.KindClick, Method: "GET", UserAgent: userAgentBrowser, Reader: keptPrefix("198.51.100.1")}
	b.ReportAllocs()
	for b.Loop() {
		c.Classify(s)
	}
}
