package align

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
)

// problems returns the keys and texts of the joined setting errors.
func problems(err error) []string {
	if err == nil {
		return nil
	}
	var out []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			out = append(out, problems(e)...)
		}
		return out
	}
	var s *mail.SettingError
	if !errors.As(err, &s) {
		return []string{"no setting error: " + err.Error()}
	}
	return []string{s.Error()}
}

func TestSettingErrors(t *testing.T) {
	good := Provider{Name: "main", Login: "shop@example.com", LoginIsMailbox: true}
	spare := func(after string) Provider {
		return Provider{Name: "spare", Senders: []string{"@example.com"}, After: after}
	}
	senders := func(s ...string) Settings {
		return Settings{Name: "shop", Providers: []Provider{{Name: "main", Senders: s}}}
	}
	for name, tt := range map[string]struct {
		settings Settings
		want     []string // the start of each problem
	}{
		"plain":        {Settings{Name: "shop", Providers: []Provider{good}}, nil},
		"no providers": {Settings{Name: "shop"}, []string{"accounts.shop.providers: no provider"}},
		"only shared":  {Settings{Name: "shop", Providers: []Provider{{Name: "all", Shared: true}}}, nil},
		"mode":         {Settings{Name: "shop", Mode: "strict", Providers: []Provider{good}}, []string{`accounts.shop.align: unknown mode "strict"`}},
		"default_from": {Settings{Name: "shop", DefaultFrom: "shop", Providers: []Provider{good}}, []string{`accounts.shop.default_from: "shop" is no address`}},

		"default missing": {Settings{Name: "shop", Providers: []Provider{good, spare("")}},
			[]string{"accounts.shop.default_provider: missing where there are several providers; expected main or spare"}},
		"default unknown": {Settings{Name: "shop", DefaultProvider: "mian", Providers: []Provider{good}},
			[]string{`accounts.shop.default_provider: unknown provider "mian"; did you mean main?`}},
		"own one beside shared": {Settings{Name: "shop", Providers: []Provider{
			{Name: "a", Shared: true, Login: "a@example.com", LoginIsMailbox: true}, {Name: "b", Shared: true}, good}}, nil},

		"after unknown": {Settings{Name: "shop", DefaultProvider: "main", Providers: []Provider{good, spare("mian")}},
			[]string{`accounts.shop.providers.spare.after: unknown provider "mian"`}},
		"after itself": {Settings{Name: "shop", DefaultProvider: "main", Providers: []Provider{good, spare("spare")}},
			[]string{`accounts.shop.providers.spare.after: "spare" comes after itself`}},
		"after in a circle": {Settings{Name: "shop", DefaultProvider: "main", Providers: []Provider{
			{Name: "main", After: "third"}, spare("main"), {Name: "third", After: "spare"}, {Name: "fourth", After: "third"}}},
			[]string{"accounts.shop.providers.main.after:", "accounts.shop.providers.spare.after:", "accounts.shop.providers.third.after:"}},
		"shared after own": {Settings{Name: "shop", DefaultProvider: "main", Providers: []Provider{good, {Name: "all", Shared: true, After: "main"}}},
			[]string{`providers.all.after: unknown provider "main"; expected no after, there is no other provider it may follow`}},
		"shared after a misspelt one": {Settings{Name: "shop", DefaultProvider: "main", Providers: []Provider{
			good, {Name: "all", Shared: true, After: "mian"}, {Name: "mail", Shared: true}}},
			[]string{`providers.all.after: unknown provider "mian"; did you mean mail?`}},
		"after unknown, alone": {Settings{Name: "shop", Providers: []Provider{{Name: "main", After: "mian"}}},
			[]string{`accounts.shop.providers.main.after: unknown provider "mian"; expected no after`}},

		"senders": {senders("a@example.com", "@example.com", "*@example.com", "*@sub.example.com", "*@*.example.com",
			"@xn--vv4b11d.com", "@예시.com", "@example.co.kr", `"local part"@example.com`, "root@localhost"), nil},
		"senders everybody": {senders("*", "@", "*@*", "@*"), []string{
			`accounts.shop.providers.main.senders.0: "*" is no address; expected`,
			`accounts.shop.providers.main.senders.1: "@" allows everybody`,
			`accounts.shop.providers.main.senders.2: "*@*" allows everybody`,
			`accounts.shop.providers.main.senders.3: "@*" allows everybody`}},
		"senders suffixes": {senders("@com", "*@com", "*@*.com", "*@*.co.kr", "@co.kr", "@CO.KR", "@github.io", "@localhost", "@한국"), []string{
			`accounts.shop.providers.main.senders.0: "@com" is open to all`,
			`accounts.shop.providers.main.senders.1: "*@com" is open`,
			`accounts.shop.providers.main.senders.2: "*@*.com" is open`,
			`accounts.shop.providers.main.senders.3: "*@*.co.kr" is open`,
			`accounts.shop.providers.main.senders.4: "@co.kr" is open`,
			`accounts.shop.providers.main.senders.5: "@CO.KR" is open`,
			`accounts.shop.providers.main.senders.6: "@github.io" is open`,
			`accounts.shop.providers.main.senders.7: "@localhost" is open`,
			`accounts.shop.providers.main.senders.8: "@한국" is open`}},
		"senders malformed": {senders("shop", "sales*@example.com", "a@*.example.com", "*@*", "@exa mple.com", "@.example.com", "*@*.*.example.com", "", "@-x.com", "a@x-.com"), []string{
			"accounts.shop.providers.main.senders.0:", "accounts.shop.providers.main.senders.1:", "accounts.shop.providers.main.senders.2:",
			"accounts.shop.providers.main.senders.3:", "accounts.shop.providers.main.senders.4:", "accounts.shop.providers.main.senders.5:",
			"accounts.shop.providers.main.senders.6:", "accounts.shop.providers.main.senders.7:", "accounts.shop.providers.main.senders.8:", "accounts.shop.providers.main.senders.9:"}},
		"shared senders": {Settings{Name: "shop", Providers: []Provider{good, {Name: "all", Shared: true, Senders: []string{"@example.com", "*"}}}},
			[]string{`providers.all.senders.1: "*" is no address`}},
		"free mail in bulk": {Settings{Name: "shop", Providers: []Provider{{Name: "main", Bulk: true, Senders: []string{"kim@gmail.com", "@NAVER.com", "@example.com"}}}},
			[]string{`accounts.shop.providers.main.senders.0: "kim@gmail.com" is a free-mail address, which fails DMARC`, `accounts.shop.providers.main.senders.1: "@NAVER.com" is a free-mail`}},
		"free mail at its own": {Settings{Name: "shop", Providers: []Provider{{Name: "main", Senders: []string{"kim@gmail.com"}}}}, nil},

		"rewrite without identity": {Settings{Name: "shop", Mode: Rewrite, DefaultProvider: "main", Providers: []Provider{
			{Name: "main", Login: "apikey", LoginIsMailbox: true, Senders: []string{"@example.com"}}, {Name: "cap", AnyFrom: true}, {Name: "all", Shared: true}}},
			[]string{`accounts.shop.align: rewrite, but provider "main" has no address that From could become`}},
		"rewrite by sender": {Settings{Name: "shop", Mode: Rewrite, Providers: []Provider{{Name: "main", Senders: []string{"@example.com", "a@example.com"}}}}, nil},
		"rewrite by default_from": {Settings{Name: "shop", Mode: Rewrite, DefaultFrom: "a@example.com",
			Providers: []Provider{{Name: "main", Senders: []string{"@example.com"}}}}, nil},
		"rewrite by foreign default_from": {Settings{Name: "shop", Mode: Rewrite, DefaultFrom: "a@example.org",
			Providers: []Provider{{Name: "main", Senders: []string{"@example.com"}}}}, []string{"accounts.shop.align: rewrite"}},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := NewAccount(tt.settings)
			got := problems(err)
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if (a == nil) != (err != nil) {
				t.Errorf("account %v beside error %v", a, err)
			}
		})
	}
}

func TestDefaultFromWarning(t *testing.T) {
	for from, want := range map[string]int{"": 0, "shop@example.com": 0, "a@example.org": 1, "shop+x@example.com": 1} {
		a, err := NewAccount(Settings{Name: "shop", DefaultFrom: from, Providers: []Provider{{Name: "main", Senders: []string{"shop@example.com"}}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Warnings(); len(got) != want || want > 0 && !strings.HasPrefix(got[0].Error(), "accounts.shop.default_from:") {
			t.Errorf("%q: got %v, want %d warnings", from, got, want)
		}
	}
}

func TestSenders(t *testing.T) {
	for _, tt := range []struct {
		sender string
		yes    []string
		no     []string
	}{
		{"Shop@Example.com", []string{"shop@example.com", "SHOP@EXAMPLE.COM", `"shop"@example.com`},
			[]string{"shop+x@example.com", "shops@example.com", "shop@sub.example.com", "shop@example.co", "shop@example.com.evil.example"}},
		{"@example.com", []string{"a@example.com", "a+b@EXAMPLE.com", `"a b"@example.com`},
			[]string{"a@sub.example.com", "a@notexample.com", "a@example.com.evil.example", "a@example.org", "example.com", "@example.com", ""}},
		{"*@example.com", []string{"a@example.com"}, []string{"a@sub.example.com"}},
		{"*@sub.example.com", []string{"a@sub.example.com"}, []string{"a@example.com", "a@x.sub.example.com"}},
		{"*@*.example.com", []string{"a@sub.example.com", "a@x.sub.EXAMPLE.com"}, []string{"a@example.com", "a@notexample.com", "a@xexample.com"}},
		{"@예시.com", []string{"a@예시.com", "a@xn--vv4b11d.com", "a@XN--VV4B11D.COM"}, []string{"a@예시.net", "a@예시。com"}},
		{"@BÜCHER.example", []string{"a@bücher.example", "a@Bücher.example", "a@xn--bcher-kva.example"}, []string{"a@bucher.example"}},
		// A Kelvin sign, a dotless i, a fullwidth letter and an ideographic stop: some readers map them, some do not.
		{"kim@korea.example", []string{"KIM@KOREA.EXAMPLE"}, []string{"\u212aim@korea.example", "kim@\u212aorea.example", "k\u0131m@korea.example",
			"kim@\uff4borea.example", "kim@korea\u3002example", "kim@korea.example\u3002"}},
	} {
		a, err := NewAccount(Settings{Name: "shop", Providers: []Provider{{Name: "main", Senders: []string{tt.sender}}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, address := range tt.yes {
			if !a.Match("shop/main", address) {
				t.Errorf("%s does not match %s", tt.sender, address)
			}
		}
		for _, address := range tt.no {
			if a.Match("shop/main", address) {
				t.Errorf("%s matches %s", tt.sender, address)
			}
		}
	}
}

func TestLogin(t *testing.T) {
	for _, tt := range []struct {
		p    Provider
		want bool
	}{
		{Provider{Login: "shop@example.com", LoginIsMailbox: true}, true},
		{Provider{Login: "shop@example.com"}, false},
		{Provider{Login: "shop", LoginIsMailbox: true}, false},
	} {
		tt.p.Name = "main"
		a, err := NewAccount(Settings{Name: "shop", Providers: []Provider{tt.p}})
		if err != nil {
			t.Fatal(err)
		}
		identity, ok := a.Identity("shop/main")
		if a.Match("shop/main", "SHOP@example.com") != tt.want || ok != tt.want || ok && identity != tt.p.Login {
			t.Errorf("%+v: identity %q, %v", tt.p, identity, ok)
		}
	}
}

func TestIdentity(t *testing.T) {
	for _, tt := range []struct {
		p           Provider
		defaultFrom string
		want        string
	}{
		{Provider{Login: "a@example.com", LoginIsMailbox: true, Senders: []string{"b@example.com"}}, "b@example.com", "a@example.com"},
		{Provider{Login: "apikey", Senders: []string{"a@example.com", "@example.org"}}, "b@example.org", "b@example.org"},
		{Provider{Login: "apikey", Senders: []string{"@example.com", "a@example.com"}}, "b@example.org", "a@example.com"},
		{Provider{Login: "apikey", Senders: []string{"@example.com"}}, "", ""},
	} {
		tt.p.Name = "main"
		a, err := NewAccount(Settings{Name: "shop", DefaultFrom: tt.defaultFrom, Providers: []Provider{tt.p}})
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := a.Identity("shop/main"); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%+v: got %q, %v, want %q", tt.p, got, ok, tt.want)
		}
	}
	a, _ := NewAccount(Settings{Name: "shop", Providers: []Provider{{Name: "main"}}})
	if _, ok := a.Identity("shop/none"); ok || a.Match("shop/none", "a@example.com") {
		t.Error("an unknown provider has an identity or matches")
	}
}
