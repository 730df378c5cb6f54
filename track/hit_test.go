package track

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"backstamp/mail"
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func TestClientAddr(t *testing.T) {
	trusted := prefixes("10.0.0.0/8", "::ffff:172.16.0.0/108", "fd00::/8")
	tests := []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "198.51.100.1:80", nil, "198.51.100.1"},
		{"untrusted peer invents", "198.51.100.1:80", []string{"203.0.113.9"}, "198.51.100.1"},
		{"trusted proxy", "10.0.0.1:80", []string{"203.0.113.9"}, "203.0.113.9"},
		{"reader invents before the proxy adds", "10.0.0.1:80", []string{"192.0.2.66, 203.0.113.9"}, "203.0.113.9"},
		{"chain of proxies", "10.0.0.1:80", []string{"192.0.2.66, 203.0.113.9, 10.0.0.3, 172.16.5.5"}, "203.0.113.9"},
		{"several fields", "10.0.0.1:80", []string{"192.0.2.66", "203.0.113.9", "10.0.0.3"}, "203.0.113.9"},
		{"junk", "10.0.0.1:80", []string{"203.0.113.9, unknown, , _hidden, 1.2.3"}, "203.0.113.9"},
		{"nothing but junk", "10.0.0.1:80", []string{"unknown"}, "10.0.0.1"},
		{"nothing but proxies", "10.0.0.1:80", []string{"10.0.0.2"}, "10.0.0.1"},
		{"proxy that adds nothing", "10.0.0.1:80", nil, "10.0.0.1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:80", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"with ports", "10.0.0.1:80", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"IPv6 with a port", "[fd00::1]:80", []string{"[2001:db8:1:2::3]:4711"}, "2001:db8:1:2::3"},
		{"IPv6 in brackets", "[fd00::1]:80", []string{"[2001:db8:1:2::3]"}, "2001:db8:1:2::3"},
		{"zone", "[fe80::1%eth0]:80", nil, "fe80::1"},
		{"socket of no address", "@", []string{"203.0.113.9"}, "invalid IP"},
	}
	p, err := NewPolicy(Settings{TrustedProxies: trusted}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		for _, f := range tt.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := clientAddr(r, p.proxies).String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestEventKeepsWhatItMay(t *testing.T) {
	tests := []struct {
		name    string
		whole   bool
		privacy mail.Privacy
		peer    string
		ip      string
	}{
		{"cut", false, mail.Identified, "203.0.113.77:80", "203.0.113.0/24"},
		{"cut, IPv6", false, mail.Identified, "[2001:db8:1:2::3]:80", "2001:db8:1::/48"},
		{"cut, IPv4 in IPv6", false, mail.Identified, "[::ffff:203.0.113.77]:80", "203.0.113.0/24"},
		{"whole", true, mail.Identified, "203.0.113.77:80", "203.0.113.77"},
		{"pseudonymous", true, mail.Pseudonymous, "203.0.113.77:80", ""},
		{"anonymous", true, mail.Anonymous, "203.0.113.77:80", ""},
		{"a mode of the future", true, 'x', "203.0.113.77:80", ""},
	}
	for _, tt := range tests {
		p, err := NewPolicy(Settings{WholeAddresses: tt.whole}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		r.Header.Set("User-Agent", "curl/8")
		r.Header.Set("Referer", "https://Mail.Example.:443/inbox?secret")
		r.Header.Set("Sec-Purpose", "Later")
		got := p.event(r, mail.KindClick, mail.Token{Message: mail.ID{1}, Recipient: 2, Link: 3, Privacy: tt.privacy}, testTime)
		want := mail.Event{
			Time: testTime, Kind: mail.KindClick, Message: mail.ID{1}, Recipient: 2, Link: 3,
			Class: mail.Unknown, Rule: "none", IP: tt.ip, UserAgent: "curl/8", Method: "GET", Referer: "mail.example", Purpose: "later",
		}
		if tt.privacy == mail.Anonymous {
			want.UserAgent, want.Method, want.Referer, want.Purpose = "", "", "", ""
		}
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, want)
		}
	}
}

func TestEventBoundsWhatStrangersSend(t *testing.T) {
	p, err := NewPolicy(Settings{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("User-Agent", strings.Repeat("가", 20_000)+"\xff")
	r.Header.Set("Referer", "http://"+strings.Repeat("a.", 20_000)+"/")
	e := p.event(r, mail.KindOpen, mail.Token{Privacy: mail.Identified}, testTime)
	if len(e.UserAgent) > userAgentMax || !utf8.ValidString(e.UserAgent) || e.UserAgent == "" {
		t.Errorf("user agent of %d octets", len(e.UserAgent))
	}
	if len(e.Referer) > refererMax {
		t.Errorf("referer of %d octets", len(e.Referer))
	}
}
