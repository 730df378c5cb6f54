package align

import (
	"errors"
	"fmt"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
)

// An account with two providers of its own and two that are shared.
func account(t testing.TB, mode Mode, edit ...func(*Settings)) *Account {
	t.Helper()
	s := Settings{Name: "shop", Mode: mode, DefaultProvider: "main", Providers: []Provider{
		{Name: "all", Shared: true, Senders: []string{"@example.com", "@shared.example"}, Login: "AKIA", NullSender: NullReplace},
		{Name: "spare", Login: "apikey", Senders: []string{"@example.com", "news@example.net"}, After: "main"},
		{Name: "main", Login: "shop@example.com", LoginIsMailbox: true, Senders: []string{"sales@example.com"}},
		{Name: "last", Shared: true, Senders: []string{"last@shared.example", "shop@example.com"}, After: "all"},
	}}
	for _, e := range edit {
		e(&s)
	}
	a, err := NewAccount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func header(fields ...string) mail.Header {
	h, _, _ := mail.ParseHeader([]byte(strings.Join(fields, "\r\n") + "\r\n\r\n"))
	return h
}

// outcome puts a decision on one line.
func outcome(d Decision, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %s rule=%s from=%s identity=%s add=%q", d.Provider, d.Alignment.Action, d.Alignment.Rule, d.HeaderFrom, d.Alignment.Identity, d.AddFrom)
}

func TestDecide(t *testing.T) {
	const ok = `rule=from from=shop@example.com identity=shop@example.com add=""`
	const refused = "550 5.7.1 evil@evil.example may not be used with shop; allowed: "
	for _, tt := range []struct {
		name     string
		mode     Mode
		header   []string
		mailFrom string
		want     string // its start
	}{
		{"aligned", Reject, []string{"From: shop@example.com"}, "shop@example.com", "shop/main none " + ok},
		{"case", Reject, []string{"from: Shop <SHOP@Example.COM>"}, "sales@example.com", "shop/main none rule=from from=SHOP@Example.COM"},
		{"space before the colon", Reject, []string{"From : shop@example.com"}, "shop@example.com", "shop/main none " + ok},
		{"own before shared", Reject, []string{"From: other@example.com"}, "other@example.com", "shop/spare none"},
		{"default before others", Reject, []string{"From: sales@example.com"}, "sales@example.com", "shop/main none"},
		{"shared when nothing else", Reject, []string{"From: x@shared.example"}, "x@shared.example", "*/all none"},
		{"tag is another address", Reject, []string{"From: shop+x@example.com"}, "shop@example.com", "shop/spare none rule=from from=shop+x@example.com"},
		{"foreign MAIL FROM", Reject, []string{"From: shop@example.com"}, "www-data@web1.local", "shop/main envelope " + ok},
		{"MAIL FROM of another provider", Reject, []string{"From: shop@example.com"}, "news@example.net", "shop/main envelope " + ok},
		{"null MAIL FROM", Reject, []string{"From: shop@example.com"}, "", "shop/main none " + ok},
		{"null MAIL FROM replaced", Reject, []string{"From: x@shared.example"}, "", "*/all envelope rule=from from=x@shared.example identity=x@shared.example"},
		{"foreign From", Reject, []string{"From: evil@evil.example"}, "shop@example.com", refused + "shop@example.com, sales@example.com, @example.com, news@example.net, @shared.example, last@shared.example"},
		{"sub-domain", Reject, []string{"From: a@sub.example.com"}, "", "550 5.7.1 a@sub.example.com may not"},
		{"domain with a tail", Reject, []string{"From: a@example.com.evil.example"}, "", "550 5.7.1"},

		{"two From", Reject, []string{"From: shop@example.com", "From: evil@evil.example"}, "", "550 5.6.0 2 From fields"},
		{"two From in another case", Warn, []string{"From: shop@example.com", "X: y", "fRoM: shop@example.com"}, "", "550 5.6.0 2 From fields"},
		{"list", Warn, []string{"From: shop@example.com, evil@evil.example"}, "", "550 5.6.0 From field: more than one address"},
		{"group", Rewrite, []string{"From: g: shop@example.com;"}, "", "550 5.6.0 From field: a group"},
		{"comment", Reject, []string{"From: shop@example.com (<evil@evil.example>)"}, "", "550 5.6.0"},
		{"comment that hides", Reject, []string{"From: evil@evil.example (shop@example.com)"}, "", "550 5.6.0"},
		{"encoded-word", Reject, []string{"From: =?utf-8?q?shop=40example.com?="}, "", "550 5.6.0"},
		{"NUL", Reject, []string{"From: shop@example.com\x00@evil.example"}, "", "550 5.6.0"},
		{"empty", Reject, []string{"From:"}, "", "550 5.6.0 From field: no address"},
		{"quoted name in disguise", Reject, []string{`From: "shop@example.com" <evil@evil.example>`}, "", refused},
		{"after 64 KiB", Reject, []string{"X: " + strings.Repeat("a\r\n ", 20000), "From: evil@evil.example"}, "", refused},
		{"second one after 64 KiB", Reject, []string{"From: shop@example.com", "X: " + strings.Repeat("a\r\n ", 20000), "From: evil@evil.example"}, "", "550 5.6.0 2 From"},
		{"IDN", Reject, []string{"From: a@예시.example"}, "", "550 5.7.1 a@예시.example may not"},
		{"Resent-From is not judged", Reject, []string{"From: shop@example.com", "Resent-From: evil@evil.example"}, "shop@example.com", "shop/main none"},

		{"Sender aligned", Reject, []string{"From: shop@example.com", "Sender: Sales <sales@example.com>"}, "shop@example.com", "shop/main none"},
		{"Sender foreign", Reject, []string{"From: shop@example.com", "Sender: evil@evil.example"}, "shop@example.com", refused},
		{"Sender of another provider", Reject, []string{"From: shop@example.com", "Sender: other@example.com"}, "", "550 5.7.1 other@example.com may not"},
		{"Sender twice", Reject, []string{"From: shop@example.com", "Sender: shop@example.com", "Sender: shop@example.com"}, "", "550 5.6.0 several Sender"},
		{"Sender malformed", Reject, []string{"From: shop@example.com", "Sender: root"}, "", "550 5.6.0 Sender field: no address"},

		{"rewrite aligned", Rewrite, []string{"From: shop@example.com", "Sender: evil@evil.example"}, "shop@example.com", "shop/main none " + ok},
		{"rewrite envelope", Rewrite, []string{"From: shop@example.com"}, "www-data@web1.local", "shop/main envelope " + ok},
		{"rewrite foreign", Rewrite, []string{"From: evil@evil.example"}, "www-data@web1.local", "shop/main rewritten rule=from from=evil@evil.example identity=shop@example.com"},
		{"rewrite null", Rewrite, []string{"From: evil@evil.example"}, "", "shop/main rewritten rule=from from=evil@evil.example identity=shop@example.com"},

		{"warn aligned", Warn, []string{"From: shop@example.com"}, "shop@example.com", "shop/main none " + ok},
		{"warn foreign", Warn, []string{"From: evil@evil.example"}, "shop@example.com", "shop/main warned rule=from from=evil@evil.example identity=shop@example.com"},
		{"warn envelope", Warn, []string{"From: shop@example.com"}, "www-data@web1.local", "shop/main warned"},
		{"warn Sender", Warn, []string{"From: shop@example.com", "Sender: evil@evil.example"}, "shop@example.com", "shop/main warned"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edit := func(s *Settings) { s.DefaultFrom = "shop@example.com" }
			if tt.mode != Rewrite {
				edit = func(*Settings) {}
			}
			got := outcome(account(t, tt.mode, edit).Decide(header(tt.header...), tt.mailFrom, ""))
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestMissingFrom(t *testing.T) {
	for _, tt := range []struct {
		name, client, defaultFrom string
		provider                  Provider
		want                      string
	}{
		{"client", "scan@example.com", "shop@example.com", Provider{Login: "login@example.com", LoginIsMailbox: true, Senders: []string{"@example.com"}},
			`shop/main envelope rule=client from=scan@example.com identity=scan@example.com add="From: scan@example.com"`},
		{"default_from", "", "shop@example.com", Provider{Login: "login@example.com", LoginIsMailbox: true, Senders: []string{"@example.com"}},
			`shop/main envelope rule=default_from from=shop@example.com identity=shop@example.com add="From: shop@example.com"`},
		{"login", "", "", Provider{Login: "login@example.com", LoginIsMailbox: true},
			`shop/main envelope rule=login from=login@example.com identity=login@example.com add="From: login@example.com"`},
		{"login no mailbox", "", "", Provider{Login: "login@example.com", Senders: []string{"@example.com"}}, "550 5.7.1 no From field, and shop has no default_from"},
		{"nothing", "", "", Provider{AnyFrom: true}, "550 5.7.1 no From field, and shop has no default_from"},
		{"foreign client", "scan@example.org", "", Provider{Senders: []string{"@example.com"}}, "550 5.7.1 scan@example.org may not be used with shop; allowed: @example.com"},
		{"IDN", "", "가게@예시.example", Provider{AnyFrom: true},
			`shop/main none rule=default_from from=가게@xn--vv4b11d.example identity=가게@xn--vv4b11d.example add="From: 가게@xn--vv4b11d.example"`},
	} {
		tt.provider.Name = "main"
		a, err := NewAccount(Settings{Name: "shop", DefaultFrom: tt.defaultFrom, Providers: []Provider{tt.provider}})
		if err != nil {
			t.Fatal(err)
		}
		if got := outcome(a.Decide(header("Subject: x"), "www-data@web1.local", tt.client)); got != tt.want {
			t.Errorf("%s: got  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestRemove(t *testing.T) {
	for mode, want := range map[Mode]string{Reject: "[Return-Path]", Warn: "[Return-Path]", Rewrite: "[Return-Path Sender]"} {
		a := account(t, mode, func(s *Settings) { s.DefaultFrom = "shop@example.com" })
		d, err := a.Decide(header("From: shop@example.com"), "", "")
		if err != nil || fmt.Sprint(d.Remove) != want {
			t.Errorf("%s: got %v, %v, want %s", mode, d.Remove, err, want)
		}
	}
}

func TestFreeMail(t *testing.T) {
	bulk := Provider{Name: "main", Login: "kim@gmail.com", LoginIsMailbox: true, Senders: []string{"@example.com"}, Bulk: true}
	h := header("From: Kim <kim@Gmail.com>")
	for mode, want := range map[Mode]string{
		Reject:  "550 5.7.1 kim@Gmail.com may not be used with shop; allowed: kim@gmail.com, @example.com; mail from gmail.com fails DMARC behind a bulk provider",
		Warn:    "shop/main none ",
		Rewrite: "shop/main none ",
	} {
		a, err := NewAccount(Settings{Name: "shop", Mode: mode, Providers: []Provider{bulk}})
		if err != nil {
			t.Fatal(err)
		}
		if got := outcome(a.Decide(h, "", "")); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got  %s\nwant %s", mode, got, want)
		}
	}
	a, err := NewAccount(Settings{Name: "shop", DefaultProvider: "main", Providers: []Provider{bulk, {Name: "gmail", Login: "kim@gmail.com", LoginIsMailbox: true}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := outcome(a.Decide(h, "", "")); !strings.HasPrefix(got, "shop/gmail none") {
		t.Errorf("beside its own provider: got %s", got)
	}
}

func TestRefusalIsShort(t *testing.T) {
	var senders []string
	for i := range 1000 {
		senders = append(senders, fmt.Sprintf("sender-%d@example.com", i))
	}
	a, err := NewAccount(Settings{Name: "shop", Providers: []Provider{{Name: "main", Senders: senders}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Decide(header("From: a@example.org"), "", "")
	var r *Refusal
	if !errors.As(err, &r) || r.Code != 550 || r.Enhanced != "5.7.1" || len(r.Text) > 300 || !strings.HasSuffix(r.Text, ", ...") {
		t.Errorf("got %v", err)
	}
}

// A reply is ASCII whatever the configuration is written in.
func TestRefusalIsASCII(t *testing.T) {
	a, err := NewAccount(Settings{Name: "shop", Providers: []Provider{{Name: "main", Senders: []string{"@münchen.de", "*@*.가게.example", "가게@example.com"}}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Decide(header("From: a@example.org"), "", "")
	if want := `allowed: @xn--mnchen-3ya.de, *@*.xn--o39akk.example, \uac00\uac8c@example.com`; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestChain(t *testing.T) {
	for _, tt := range []struct {
		mode           Mode
		provider, from string
		want           string
	}{
		{Reject, "shop/main", "sales@example.com", "[shop/spare shop/far]"},
		{Reject, "shop/main", "shop@example.com", "[shop/spare shop/far]"},
		{Reject, "shop/main", "a@far.example", "[shop/far]"},
		{Reject, "shop/main", "a@example.org", "[]"},
		{Reject, "shop/spare", "a@far.example", "[shop/far]"},
		{Reject, "shop/far", "a@far.example", "[]"},
		{Reject, "*/all", "shop@example.com", "[*/last]"},
		{Reject, "*/all", "x@shared.example", "[]"},
		{Reject, "shop/gone", "shop@example.com", "[]"},
		{Warn, "shop/main", "a@example.org", "[shop/spare shop/far]"},
		{Rewrite, "shop/main", "a@example.org", "[shop/spare shop/far]"},
		{Rewrite, "*/all", "a@example.org", "[*/last]"},
	} {
		a := account(t, tt.mode, func(s *Settings) {
			s.Providers = append(s.Providers, Provider{Name: "far", Senders: []string{"@far.example", "@example.com", "x@far.example"}, After: "spare"})
		})
		if got := fmt.Sprint(a.Chain(tt.provider, tt.from)); got != tt.want {
			t.Errorf("%s %s %s: got %s, want %s", tt.mode, tt.provider, tt.from, got, tt.want)
		}
	}
}

// TestAlign: a message that moves is judged for its new provider.
func TestAlign(t *testing.T) {
	a := account(t, Rewrite)
	for _, tt := range []struct{ provider, from, mailFrom, want string }{
		{"shop/spare", "evil@evil.example", "www@web1", "rewritten news@example.net"},
		{"shop/main", "evil@evil.example", "www@web1", "rewritten shop@example.com"},
		{"shop/main", "shop@example.com", "www@web1", "envelope shop@example.com"},
		{"shop/spare", "other@example.com", "other@example.com", "none other@example.com"},
		{"shop/main", "other@example.com", "other@example.com", "rewritten shop@example.com"},
		{"shop/gone", "other@example.com", "other@example.com", ""},
	} {
		al, ok := a.Align(tt.provider, tt.from, tt.mailFrom)
		if ok != (tt.want != "") {
			t.Errorf("%s: found %v", tt.provider, ok)
		}
		if !ok {
			continue
		}
		if got := al.Action + " " + al.Identity; got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.provider, tt.from, got, tt.want)
		}
	}
}

// FuzzFrom: whatever stands in From, the decision does not panic, and what is
// accepted is one address, which the standard library reads alike wherever it
// reads the field at all.
func FuzzFrom(f *testing.F) {
	for _, seed := range []string{
		"shop@example.com", "Shop <shop@example.com>", `"a, b" <shop@example.com> (c)`, "a@b.example, c@d.example", "g: a@b.example;",
		`"local part"@example.com`, "=?utf-8?q?x?= <shop@example.com>", "<@a.example:b@c.example>", "(a(b)c) x@y.example", "\xb0\xa1 <a@b.example>",
		"a@b.example\x00", "\r\n <a@b.example>", `"\" <a@b.example>, " <c@d.example>`, "a@[192.0.2.1]", "가@예시.kr", "", "@", "<>", `"`, "(",
	} {
		f.Add(seed)
	}
	any := account(f, Warn)
	f.Fuzz(func(t *testing.T, value string) {
		h := mail.Header{{Name: "From", Raw: []byte("From: " + value + "\r\n")}}
		d, err := any.Decide(h, "", "")
		if err != nil {
			var r *Refusal
			if !errors.As(err, &r) || r.Code/100 != 5 || d.Provider != "" {
				t.Fatalf("%q: decision %v beside error %v", value, d, err)
			}
			return
		}
		box, err := h[0].Mailbox()
		if err != nil || box.Address.String() != d.HeaderFrom {
			t.Fatalf("%q: judged %q, read %v, %v", value, d.HeaderFrom, box.Address, err)
		}
		if slices.ContainsFunc([]byte(value), func(c byte) bool { return c >= 0x80 || c == '[' }) {
			return
		}
		list, err := netmail.ParseAddressList(strings.ReplaceAll(value, "\r\n", ""))
		if err != nil {
			return // it reads less of RFC 5322 than mail holds
		}
		want, err := mail.ParseAddress(list[0].Address)
		if len(list) != 1 || err == nil && want != box.Address {
			t.Fatalf("%q: judged %q, net/mail reads %v", value, d.HeaderFrom, list)
		}
	})
}
