package rewrite

import (
	"strings"
	"testing"

	"backstamp/mail"
)

// TestDestination compares with what browsers make of an address (WHATWG URL;
// the second column was taken from two of them, "" is no address). What is
// tracked must lead where the address itself leads; what is left for other
// reasons than that browsers refuse it says why.
func TestDestination(t *testing.T) {
	for _, tt := range []struct{ href, browser, dest, reason string }{
		{"https://example.com/a", "https://example.com/a", "https://example.com/a", ""},
		{"HTTP://EXAMPLE.COM/A", "http://example.com/A", "HTTP://EXAMPLE.COM/A", ""},
		{"https://example.com?q", "https://example.com/?q", "https://example.com?q", ""},
		{"https://example.com#f", "https://example.com/#f", "https://example.com#f", ""},
		{`https://example.com\a\b`, "https://example.com/a/b", `https://example.com\a\b`, ""},

		// one slash, none or backslashes: a browser must know where the link stands, others follow it nowhere
		{`https:\\example.com\a`, "https://example.com/a", "", LinkBroken},
		{"https:/example.com/", "https://example.com/", "", LinkBroken},
		{"https:example.com", "https://example.com/", "", LinkBroken},
		{"https:///example.com/", "https://example.com/", "", LinkBroken},
		{`https:/\example.com/`, "https://example.com/", "", LinkBroken},

		{"https://user:pw@example.com/", "https://user:pw@example.com/", "https://user:pw@example.com/", ""},
		{"https://a@b@example.com/", "https://a%40b@example.com/", "https://a@b@example.com/", ""},
		{"https://%65xample.com@host.example/", "https://%65xample.com@host.example/", "https://%65xample.com@host.example/", ""},
		{"https://example.com:443/", "https://example.com/", "https://example.com:443/", ""},
		{"https://example.com:/", "https://example.com/", "https://example.com:/", ""},
		{"https://example.com:8443/", "https://example.com:8443/", "https://example.com:8443/", ""},
		{"https://example.com:0/", "https://example.com:0/", "https://example.com:0/", ""},
		{"https://example.com:00443/", "https://example.com/", "https://example.com:00443/", ""},
		{"https://example.com:99999/", "", "", LinkBroken},
		{"https://example.com:x/", "", "", LinkBroken},
		{"https://example.com:+80/", "", "", LinkBroken},
		{"https://example.com:80:80/", "", "", LinkBroken},

		{"https://[::1]/", "https://[::1]/", "https://[::1]/", ""},
		{"https://[2001:DB8::1]:8080/x", "https://[2001:db8::1]:8080/x", "https://[2001:DB8::1]:8080/x", ""},
		{"https://[::1", "", "", LinkBroken},
		{"https://::1/", "", "", LinkBroken},
		{"https://[x]/", "", "", LinkBroken},
		{"https://[1.2.3.4]/", "", "", LinkBroken},
		{"https://[fe80::1%25eth0]/", "", "", LinkBroken},
		{"https://1.2.3.4/", "https://1.2.3.4/", "https://1.2.3.4/", ""},
		{"https://localhost/", "https://localhost/", "https://localhost/", ""},
		{"https://example.com./", "https://example.com./", "https://example.com./", ""},
		{"https://exam_ple.com/", "https://exam_ple.com/", "https://exam_ple.com/", ""},
		{"https://-example.com/", "https://-example.com/", "https://-example.com/", ""},
		{"https://ex%61mple.com/", "https://example.com/", "https://ex%61mple.com/", ""},
		{"https://exa%mple.com/", "", "", LinkBroken},
		{"https://exa%2541mple.com/", "", "", LinkBroken},
		{"https://ex%20ample.com/", "", "", LinkBroken},
		{"https://example.com%2Fa/", "", "", LinkBroken},
		{"https://exa mple.com/", "", "", LinkBroken},
		{"https:// example.com/", "", "", LinkBroken},
		{"https://example.com /", "", "", LinkBroken},
		{"https://exa<mple.com/", "", "", LinkBroken},
		{"https://exa|mple.com/", "", "", LinkBroken},
		{"https://exa^mple.com/", "", "", LinkBroken},
		{"https://", "", "", LinkBroken},
		{"https://?q", "", "", LinkBroken},
		{"https://#f", "", "", LinkBroken},
		{"https://user@/", "", "", LinkBroken},
		{"https://:80/", "", "", LinkBroken},
		{"https://%/", "", "", LinkBroken},
		{"https://./", "https://./", "", LinkBroken}, // a host without a name

		{"https://한국.example/경로?질의=값#조각", "https://xn--3e0b707e.example/%EA%B2%BD%EB%A1%9C?%EC%A7%88%EC%9D%98=%EA%B0%92#%EC%A1%B0%EA%B0%81",
			"https://%ED%95%9C%EA%B5%AD.example/%EA%B2%BD%EB%A1%9C?%EC%A7%88%EC%9D%98=%EA%B0%92#%EC%A1%B0%EA%B0%81", ""},
		{"https://BÜCHER.example/", "https://xn--bcher-kva.example/", "https://B%C3%9CCHER.example/", ""},
		{"https://faß.example/", "https://xn--fa-hia.example/", "https://fa%C3%9F.example/", ""},
		{"https://ex%C3%BC.example/", "https://xn--ex-yka.example/", "https://ex%C3%BC.example/", ""},
		{"https://example。com/", "https://example.com/", "https://example%E3%80%82com/", ""},
		{"https://a\u00adb.example/", "https://ab.example/", "https://a%C2%ADb.example/", ""},
		{"https://\uffff.example/", "", "", LinkBroken},
		{"https://%C7%D1.example/", "", "", LinkBroken},
		{"https://example.com/😀?😀#😀", "https://example.com/%F0%9F%98%80?%F0%9F%98%80#%F0%9F%98%80", "https://example.com/%F0%9F%98%80?%F0%9F%98%80#%F0%9F%98%80", ""},
		{"https://example.com/\u00a0", "https://example.com/%C2%A0", "https://example.com/%C2%A0", ""},
		{"https://\u00a0example.com/", "", "", LinkBroken},

		{"https://example.com/a b", "https://example.com/a%20b", "https://example.com/a b", ""},
		{`https://example.com/?a=<b>"`, "https://example.com/?a=%3Cb%3E%22", `https://example.com/?a=<b>"`, ""},
		{"https://example.com/%zz", "https://example.com/%zz", "https://example.com/%zz", ""},
		{"https://example.com/a\tb", "https://example.com/ab", "", LinkControl},
		{"https://exam\nple.com/", "https://example.com/", "", LinkControl},
		{"https://example.com/\r\nX: y", "https://example.com/X:%20y", "", LinkControl},
		{"https://example.com/\x00", "https://example.com/%00", "", LinkControl},
		{"https://example.com/\x7f", "https://example.com/%7F", "", LinkControl},
		{"https://example.com/\xff", "https://example.com/%EF%BF%BD", "", LinkCharset},
	} {
		dest, reason := destination(tt.href, false, true)
		if dest != tt.dest || reason != tt.reason {
			t.Errorf("%q: %q %q, want %q %q", tt.href, dest, reason, tt.dest, tt.reason)
		}
		if tt.browser == "" && reason == "" {
			t.Errorf("%q is no address to a browser", tt.href)
		}
	}
}

func TestDestinationInOtherCharsets(t *testing.T) {
	for _, tt := range []struct {
		href         string
		masked, utf8 bool
		want         string
	}{
		{"https://example.com/", false, false, ""},
		{"https://example.com/\xc7\xd1", false, false, LinkCharset}, // EUC-KR
		{"https://example.com/한", false, false, LinkCharset},        // an entity
		{"https://example.com/", true, false, LinkCharset},          // a shifted run
		{"https://example.com/", true, true, LinkCharset},
	} {
		if _, reason := destination(tt.href, tt.masked, tt.utf8); reason != tt.want {
			t.Errorf("%q masked %v UTF-8 %v: %q, want %q", tt.href, tt.masked, tt.utf8, reason, tt.want)
		}
	}
}

// TestTrimmed has the blanks round an address stay outside it, and knows what
// a browser would not strip.
func TestTrimmed(t *testing.T) {
	r := newRewriter(t, nil)
	for href, want := range map[string]string{
		"  https://example.com/  ":        "",
		"\u00a0https://example.com/":      LinkRelative,
		"&#10;https://example.com/":       LinkControl,
		"https://example.com/&#9;":        LinkControl,
		"\nhttps://example.com/":          LinkControl,
		"https://example.com/\u00a0":      "",
		"//example.com/":                  LinkRelative,
		"example.com":                     LinkRelative,
		"ht tps://example.com/":           LinkRelative,
		"view-source:https://example.com": LinkScheme,
	} {
		if got := r.Plan(request(htmlMail("", `<a href="`+href+`">x</a>`))).Links()[0]; got.Reason != want {
			t.Errorf("%q: %+v, want %q", href, got, want)
		}
	}
}

func TestScheme(t *testing.T) {
	for href, want := range map[string]string{
		"https://x": "https", "HTTP://x": "http", "mailto:a@b": "mailto", "https+notrack://x": "https+notrack", "javascript:1": "javascript",
		"": "", ":x": "", "1a:x": "", "a b:x": "", "/x:y": "", "x": "", "x/y:z": "", "data:,": "data",
	} {
		if got := scheme(href); got != want {
			t.Errorf("%q: %q, want %q", href, got, want)
		}
	}
	if n := testing.AllocsPerRun(10, func() { _ = scheme("https://example.com/") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestIsOurs(t *testing.T) {
	r := newRewriter(t, func(s *Settings) {
		s.BaseURL = "https://t.example.net"
		s.OldBaseURLs = []string{"http://old.example.net/x/", "https://xn--bcher-kva.example:8443", "http://[2001:db8::1]:8080"}
	})
	for href, want := range map[string]bool{
		"https://t.example.net":                   true,
		"https://t.example.net/":                  true,
		"https://t.example.net/c/x":               true,
		"https://t.example.net?x":                 true,
		"https://t.example.net#x":                 true,
		`https://t.example.net\c\x`:               true,
		"HTTPS://T.EXAMPLE.NET/c/x":               true,
		"https://t.example.net:443/c/x":           true,
		"https://t.example.net:/c/x":              true,
		"https://t.example.net./c/x":              true,
		"https://user:pw@t.example.net/c/x":       true,
		"https://evil.example@t.example.net/c/x":  true,
		"https://t%2Eexample%2Enet/c/x":           true,
		"https://t.example.net@evil.example/c/x":  false,
		`https://evil.example\@t.example.net/c/x`: false,
		"https://evil.example/@t.example.net/c/x": false,
		"https://evil.example?@t.example.net/c/x": false,
		"https://t.example.net:8443/c/x":          false,
		"https://t.example.net.evil.example/":     false,
		"https://xt.example.net/":                 false,
		"http://t.example.net/c/x":                false, // another port: another server
		"http://old.example.net/x":                true,
		"http://old.example.net/x/c/y":            true,
		"http://old.example.net:80/x/c/y":         true,
		`http://old.example.net\x\c\y`:            true,
		"http://old.example.net/xy":               false,
		"http://old.example.net/X/c/y":            false,
		"http://old.example.net/":                 false,
		"https://bücher.example:8443/c/x":         true,
		"https://B%C3%BCCHER.example:8443/c/x":    true,
		"https://bücher.example/c/x":              false,
		"http://[2001:DB8:0:0::1]:8080/c/x":       true,
		"http://[2001:db8::2]:8080/c/x":           false,
		"https:/t.example.net/c/x":                false, // url-broken
		"mailto:x@t.example.net":                  false,
		"":                                        false,
	} {
		if got := r.isOurs(href); got != want {
			t.Errorf("%s: %v", href, got)
		}
	}
}

func TestClickLen(t *testing.T) {
	r := newRewriter(t, nil)
	content := func(href string) []byte { return htmlMail("", `<a href="`+href+`">x</a>`) }
	for _, n := range []int{25, 100, 179, 180, 181, 182, 183, 360, 361, 1200} {
		href := "https://example.com/" + strings.Repeat("x", n-20)
		p := r.Plan(request(content(href)))
		made, err := p.ClickURL(fakeLinker{}, 1, 1)
		if err != nil || r.clickLen(href) != len(made) {
			t.Errorf("%d bytes: %d, want %d (%v)", n, r.clickLen(href), len(made), err)
		}
	}
	if n := testing.AllocsPerRun(10, func() { r.clickLen("https://example.com/") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if r.clickLen(strings.Repeat("x", mail.DestinationMax)) < mail.DestinationMax*4/3 {
		t.Error("too short to be true")
	}
}
