package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"backstamp/internal/clock"
)

// A zone is a DNS of TXT records alone.
type zone map[string]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	text, ok := z[strings.TrimSuffix(name, ".")]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case text == "":
		return nil, &net.DNSError{Err: "connection refused", Name: name}
	}
	return strings.Split(text, "\n"), nil
}
func (z zone) LookupMX(context.Context, string) ([]*net.MX, error) {
	return nil, &net.DNSError{IsNotFound: true}
}
func (z zone) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) {
	return nil, &net.DNSError{IsNotFound: true}
}
func (z zone) LookupAddr(context.Context, string) ([]string, error) {
	return nil, errors.ErrUnsupported
}

// world is what DNS says of the providers.
func world() zone {
	return zone{
		"_spf.google.com": "v=spf1 ip4:192.0.2.0/24 ~all", "gmail.com": "v=spf1 include:_spf.google.com ~all",
		"_dmarc.gmail.com": "v=DMARC1; p=none", "amazonses.com": "v=spf1 ip4:198.51.100.0/24 -all",
	}
}

const senderConfig = `
hostname: relay.test
accounts:
  shop:
    networks: [127.0.0.0/8]
    default_provider: main
    providers:
      main: {preset: gworkspace, username: shop@example.com, password: abcdabcdabcdabcd, senders: ["@example.com"]}
      bulk: {preset: ses, region: ap-northeast-2, username: AKIAABCDEFGHIJKLMNOP, password: "01234567890123456789012345678901234567890123", senders: ["@example.com"]}
      keep: {preset: capture}
`

// dismiss takes a provider out.
func dismiss(yaml, provider string) string {
	before, after, _ := strings.Cut(yaml, "      "+provider+": ")
	_, after, _ = strings.Cut(after, "\n")
	return before + after
}

// asked runs doctor sender in a world and returns the output and exit code.
func asked(t *testing.T, yaml string, dns zone, args ...string) (string, int) {
	t.Helper()
	in := halted(t, yaml)
	var out bytes.Buffer
	p := &program{out: &out, err: &out, clock: clock.System{}, dns: dns}
	code := p.run(t.Context(), append([]string{"--config", in.config, "doctor", "sender"}, args...))
	return out.String(), code
}

// states are "check subject" → "state id", with the outlook.
func states(t *testing.T, text string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, row := range decodeRows(t, text) {
		state := row["state"].(string)
		if x, ok := row["explain"].(map[string]any); ok {
			state += " " + x["id"].(string)
			if x["title"] == "" {
				t.Errorf("no words for %v", x["id"])
			}
		}
		found[row["check"].(string)+" "+row["subject"].(string)] = state + ": " + row["text"].(string)
	}
	return found
}

func TestDoctorSender(t *testing.T) {
	for _, c := range []struct {
		name, address string
		edit          func(yaml string, dns zone) string
		code          int
		want          map[string]string
	}{
		{"all is well for one", "shop@example.com", func(yaml string, dns zone) string {
			dns["example.com"], dns["_dmarc.example.com"] = "v=spf1 include:_spf.google.com -all", "v=DMARC1; p=reject"
			return yaml
		}, exitDegraded, map[string]string{
			"spf example.com":          "ok: v=spf1 include:_spf.google.com -all",
			"dmarc _dmarc.example.com": "ok: v=DMARC1; p=reject",
			"recipients shop/main":     "ok: SPF pass, DKIM unknown, DMARC pass",
			"recipients shop/bulk":     "warn doctor.unsure: SPF pass, not aligned, DKIM unknown, DMARC unknown (reject)",
			"recipients shop/keep":     "ok: capture keeps mail here and sends nothing",
		}},
		{"nothing is published", "shop@example.com", func(yaml string, dns zone) string {
			dns["example.com"] = "something=else"
			return yaml
		}, exitDegraded, map[string]string{
			"spf example.com":           "warn doctor.spf: no record",
			"dmarc _dmarc.example.com":  "warn doctor.dmarc: no policy",
			"recipients shop/main":      "warn doctor.unsure: SPF none, DKIM unknown, DMARC unknown (no policy)",
			"record example.com":        "warn: v=spf1 include:_spf.google.com ~all",
			"record _dmarc.example.com": "warn: v=DMARC1; p=none; rua=mailto:postmaster@example.com",
		}},
		{"SPF in error", "shop@example.com", func(yaml string, dns zone) string {
			dns["example.com"], dns["_dmarc.example.com"] = "v=spf1 ip4:nowhere\x1b[2J -all", "v=DMARC1; p=none"
			return yaml
		}, exitFailed, map[string]string{
			"spf example.com":    "fail doctor.spf-broken: v=spf1 ip4:nowhere\\x1b[2J -all",
			"record example.com": "",
		}},
		{"free mail by its provider and by a bulk one", "shop@gmail.com", func(yaml string, dns zone) string {
			yaml = strings.Replace(yaml, "networks:", "align: warn\n    networks:", 1)
			return strings.Replace(yaml, "gworkspace, username: shop@example.com", "gmail, username: shop@gmail.com", 1)
		}, exitFailed, map[string]string{
			"recipients shop/main": "ok: SPF pass, DKIM pass, DMARC pass",
			"recipients shop/bulk": "fail doctor.free-mail: SPF pass, not aligned, DKIM none, DMARC fail (none)",
		}},
		{"rewritten", "joe@gmail.com", func(yaml string, dns zone) string {
			yaml = strings.Replace(yaml, "networks:", "align: rewrite\n    default_from: shop@example.com\n    networks:", 1)
			return yaml
		}, exitDone, map[string]string{
			"recipients shop/main": "ok: From becomes shop@example.com: ask about that address",
			"recipients shop/bulk": "ok: From becomes shop@example.com: ask about that address",
		}},
		{"nobody's", "a@example.net", func(yaml string, dns zone) string {
			dns["example.net"], dns["_dmarc.example.net"] = "v=spf1 -all\nV=spf1 mx -all", "v=DMARC1; p=none\nv=DMARC1; p=reject \x1b[2J"
			return dismiss(yaml, "keep")
		}, exitFailed, map[string]string{
			"spf example.net":          "fail doctor.spf-several: v=spf1 -all | V=spf1 mx -all",
			"dmarc _dmarc.example.net": "warn doctor.dmarc: several policies, which count as none: v=DMARC1; p=none | v=DMARC1; p=reject \\x1b[2J",
			"recipients a@example.net": "fail doctor.no-provider: no provider may send with this From: the relay refuses it",
		}},
		{"free mail where only bulk mailers are", "a@gmail.com", func(yaml string, dns zone) string {
			yaml = strings.Replace(yaml, "default_provider: main", "default_provider: bulk", 1)
			return dismiss(dismiss(yaml, "main"), "keep")
		}, exitFailed, map[string]string{"recipients a@gmail.com": "fail doctor.free-mail: no provider may send with this From: the relay refuses it"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dns := world()
			yaml := c.edit(senderConfig, dns)
			out, code := asked(t, yaml, dns, c.address, "--json")
			found := states(t, out)
			if code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			for what, want := range c.want {
				if found[what] != want {
					t.Errorf("%s: got %q, want %q\nof %v", what, found[what], want, found)
				}
			}
			for _, lang := range []string{"en", "ko"} {
				if text, _ := asked(t, yaml, dns, c.address, "--lang", lang); strings.Contains(text, "\x1b") || !strings.Contains(text, "recipients") {
					t.Errorf("for people:\n%s", text)
				}
			}
		})
	}
}

// Our own key is looked for under its selector, and told how to be published.
func TestDoctorSenderKey(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/dkim.pem"
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := "dkim: [{domain: example.com, selector: bs1, key: \"file:" + file + "\"}]\n" + senderConfig
	record := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	dns := world()
	dns["example.com"], dns["_dmarc.example.com"] = "v=spf1 -all", "v=DMARC1; p=reject"

	out, code := asked(t, yaml, dns, "shop@example.com", "--json")
	found := states(t, out)
	if code != exitFailed || found["dkim bs1._domainkey.example.com"] != "fail doctor.dkim: our key is not published" || found["record bs1._domainkey.example.com"] != "warn: "+record {
		t.Errorf("exit %d, %v", code, found)
	}
	dns["bs1._domainkey.example.com"] = record
	out, code = asked(t, yaml, dns, "shop@example.com", "--json")
	found = states(t, out)
	if found["dkim bs1._domainkey.example.com"] != "ok: our key is published" || found["recipients shop/bulk"] != "ok: SPF pass, not aligned, DKIM pass, DMARC pass" {
		t.Errorf("exit %d, %v", code, found)
	}
}

func TestDoctorSenderCannotTell(t *testing.T) {
	for address, c := range map[string]struct {
		dns  zone
		code int
		want string
	}{
		"shop@example.com": {zone{"example.com": ""}, exitFailed, "connection refused"},
		"shop@example.net": {zone{}, exitFailed, "does not reach the world's DNS"},
		"shop":             {zone{}, exitUsage, "shop"},
	} {
		if out, code := asked(t, senderConfig, c.dns, address); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, %q", address, code, out)
		}
	}
}

// What DNS says is of strangers, and reaches no terminal as it is, nor what
// reads the JSON.
func TestDoctorSenderHostileDNS(t *testing.T) {
	const evil = "\x1b[2J\u202e\u009b31m\xff\x00 "
	dns := world()
	dns["example.com"] = "v=spf1 " + evil + strings.Repeat("a", 5000) + " ~all"
	dns["_dmarc.example.com"] = "v=DMARC1; p=" + evil + "; rua=mailto:" + evil
	dns["google._domainkey.example.com"] = "v=DKIM1; p=" + evil
	for _, args := range [][]string{{"shop@example.com"}, {"--json", "shop@example.com"}, {"--lang", "ko", "shop@example.com"}} {
		out, code := asked(t, senderConfig, dns, args...)
		if code == exitDone || out == "" || strings.ContainsAny(out, "\x1b\x00\u202e\u009b") || !utf8.ValidString(out) {
			t.Errorf("%q: exit %d\n%q", args, code, out)
		}
	}
}
