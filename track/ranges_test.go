package track

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backstamp/mail"
)

// TestRangeSet compares a set with a look at each network.
func TestRangeSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var networks []netip.Prefix
		for range r.IntN(12) {
			networks = append(networks, randomPrefix(r))
		}
		set := newRangeSet(networks)
		for range 50 {
			p := randomPrefix(r)
			one := onePrefix(p.Addr())
			held, overlapped := false, false
			for _, n := range networks {
				held = held || n.Contains(one.Addr())
				overlapped = overlapped || n.Overlaps(p)
			}
			if set.holds(one) != held || set.overlaps(one) != held || set.overlaps(p) != overlapped {
				t.Fatalf("%v of %v: holds %v, overlaps %v; want %v, %v", p, networks, set.holds(one), set.overlaps(p), held, overlapped)
			}
		}
		for i := 1; i < len(set); i++ {
			if !set[i-1].last.Less(set[i].first) {
				t.Fatalf("%v: not in order and apart", set)
			}
		}
	}
}

// randomPrefix picks from few addresses, so that networks meet.
func randomPrefix(r *rand.Rand) netip.Prefix {
	if r.IntN(2) == 0 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(256))}), 24+r.IntN(9)).Masked()
	}
	addr := netip.MustParseAddr("2001:db8::").As16()
	addr[15] = byte(r.IntN(256))
	return netip.PrefixFrom(netip.AddrFrom16(addr), 120+r.IntN(9)).Masked()
}

func TestRangeSetJoinsHalves(t *testing.T) {
	set := newRangeSet(prefixes("192.0.2.128/25", "192.0.2.0/25", "2001:db8::/33", "2001:db8:8000::/33"))
	for _, whole := range []string{"192.0.2.0/24", "2001:db8::/32"} {
		if !set.holds(netip.MustParsePrefix(whole)) {
			t.Errorf("%v does not hold %s", set, whole)
		}
	}
	if set.holds(netip.MustParsePrefix("192.0.2.0/23")) || set.holds(netip.Prefix{}) || rangeSet(nil).holds(netip.MustParsePrefix("::/0")) {
		t.Error("it holds more than it has")
	}
}

// Apple's list counts for opens alone, and only where it is there.
func TestAppleRelay(t *testing.T) {
	dir := t.TempDir()
	open := Signals{Kind: mail.KindOpen, Method: "GET", UserAgent: userAgentBrowser, Reader: keptPrefix("172.224.224.9")}
	classes := func(want mail.Class, rule string) {
		t.Helper()
		c, err := LoadClassifier("", dir)
		if err != nil {
			t.Fatal(err)
		}
		if class, by := c.Classify(open); class != want || by != rule {
			t.Errorf("open: %s by %s, want %s by %s", class, by, want, rule)
		}
		click := open
		click.Kind = mail.KindClick
		if class, _ := c.Classify(click); class != mail.Human {
			t.Errorf("click: %s, want human", class)
		}
	}
	classes(mail.Human, "browser")
	write(t, dir, "egress-ip-ranges.csv", "# as of today\n172.224.224.0/27,GB,GB-EN,London,\n\n2606:54c0:a620::/45,US\n")
	classes(mail.Prefetch, "apple-relay")
	write(t, dir, "egress-ip-ranges.csv", "172.224.224.0/27\n<html>\n")
	if _, err := LoadClassifier("", dir); err == nil || !strings.Contains(err.Error(), "egress-ip-ranges.csv:2: ") {
		t.Errorf("a page in the place of the list: %v", err)
	}
}

// A file of networks that an operator's rule names lies beside the rules.
func TestOwnNetworksFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "office.txt", "198.51.100.0/25\n")
	write(t, dir, "rules.yaml", "rules:\n  - {name: office, class: scanner, networks_file: office.txt, networks: [192.0.2.1]}\n")
	c, err := LoadClassifier(filepath.Join(dir, "rules.yaml"), "")
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{"198.51.100.127": "office", "192.0.2.1": "office", "198.51.100.128": "browser"} {
		if _, rule := c.Classify(Signals{Kind: mail.KindClick, Method: "GET", UserAgent: userAgentBrowser, Reader: keptPrefix(addr)}); rule != want {
			t.Errorf("%s: by %s, want %s", addr, rule, want)
		}
	}
	os.Remove(filepath.Join(dir, "office.txt"))
	if _, err := LoadClassifier(filepath.Join(dir, "rules.yaml"), ""); err == nil || !strings.Contains(err.Error(), "rules.yaml:2: rules.0: networks_file: ") {
		t.Errorf("without its file: %v", err)
	}
}

// An address that was cut is judged as far as it is known: what was decided by
// the whole one holds, as long as it can.
func TestJudgeAgain(t *testing.T) {
	dir := t.TempDir()
	policy := func(rules string) *Policy {
		t.Helper()
		write(t, dir, "rules.yaml", rules)
		p, err := NewPolicy(Settings{ClassesFile: filepath.Join(dir, "rules.yaml")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const own = "self: [192.0.2.7]\nrules:\n  - {name: box, class: scanner, networks: [198.51.100.9]}\n"
	tests := []struct {
		name, rules, ip, was string
		class                mail.Class
		rule                 string
	}{
		{"the whole network", "self: [192.0.2.0/24]", "192.0.2.0/24", "browser", mail.Self, "self"},
		{"a part of it", own, "192.0.2.0/24", "browser", mail.Human, "browser"},
		{"a part of it that decided", own, "192.0.2.0/24", "self", mail.Self, "self"},
		{"a rule's part that decided", own, "198.51.100.0/24", "box", mail.Scanner, "box"},
		{"another network", own, "203.0.113.0/24", "box", mail.Human, "browser"},
		{"a whole address", own, "192.0.2.7", "browser", mail.Self, "self"},
		{"no address was kept", own, "", "box", mail.Scanner, "box"},
		{"none was ever known", own, "", "browser", mail.Human, "browser"},
		{"a list that is gone", "", "192.0.2.0/24", "self", mail.Human, "browser"},
	}
	for _, tt := range tests {
		e := mail.Event{Kind: mail.KindClick, Class: mail.Unknown, Rule: tt.was, IP: tt.ip, Method: "GET", UserAgent: userAgentBrowser}
		if class, rule := policy(tt.rules).Judge(e); class != tt.class || rule != tt.rule {
			t.Errorf("%s: %s by %s, want %s by %s", tt.name, class, rule, tt.class, tt.rule)
		}
	}
	e := mail.Event{Kind: mail.KindOpen, Class: mail.Proxy, Rule: "gmail-proxy"} // counts alone
	if class, rule := policy("").Judge(e); class != e.Class || rule != e.Rule {
		t.Errorf("without signals: %s by %s", class, rule)
	}
}

func TestOwnTiming(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "{5s 2s 3}",
		"timing:":                                "{5s 2s 3}",
		"timing: {within: 500ms}":                "{5s 500ms 3}",
		"timing: {links: 0}":                     "{5s 2s 0}",
		"timing: {first: 1m, links: 9}":          "{1m0s 2s 9}",
		"self: []\ntiming: {links: 2}":           "rules.yaml:2: timing: links is 2; expected",
		"timing: {first: -1s}":                   "rules.yaml:1: timing: a duration is below zero",
		"timing: {first: soon}":                  "rules.yaml:1: ",
		"rules: [{class: human, purpose: ['']}]": "rules.yaml:1: rules.0: an empty purpose",
	} {
		c, err := loadRules(t, text)
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(c.Timing())
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func BenchmarkRangeSet(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var networks []netip.Prefix
	for range 285_000 {
		networks = append(networks, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(r.IntN(200) + 1), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))}), 28+r.IntN(5)).Masked())
	}
	set, reader := newRangeSet(networks), keptPrefix("198.51.100.1")
	for b.Loop() {
		set.holds(reader)
	}
}
