package sender

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

// A zone is what DNS knows: texts by name. "MX" and "A" before a name make it
// exist.
type zone map[string][]string

// trouble in place of a text makes the name fail for now.
const trouble = "SERVFAIL"

func (z zone) ask(name string) ([]string, error) {
	if !strings.HasSuffix(name, ".") {
		return nil, fmt.Errorf("%q is not whole", name)
	}
	texts := z[strings.TrimSuffix(name, ".")]
	switch {
	case len(texts) == 0:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case texts[0] == trouble:
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	return texts, nil
}

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) { return z.ask(name) }
func (z zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	texts, err := z.ask("MX " + name)
	var all []*net.MX
	for _, t := range texts {
		all = append(all, &net.MX{Host: t})
	}
	return all, err
}
func (z zone) LookupIPAddr(_ context.Context, name string) ([]net.IPAddr, error) {
	texts, err := z.ask("A " + name)
	var all []net.IPAddr
	for _, t := range texts {
		all = append(all, net.IPAddr{IP: net.ParseIP(t)})
	}
	return all, err
}
func (z zone) LookupAddr(context.Context, string) ([]string, error) {
	return nil, &net.DNSError{IsNotFound: true}
}

// with returns a zone with more in it.
func (z zone) with(more zone) zone {
	all := zone{}
	for _, part := range []zone{z, more} {
		for name, texts := range part {
			all[name] = texts
		}
	}
	return all
}

// hosts of two providers, one of which has its networks in records below.
var providers = zone{
	"_spf.box.test":    {"v=spf1 include:_a.box.test include:_b.box.test ~all"},
	"_a.box.test":      {"v=spf1 ip4:192.0.2.0/26 ip4:192.0.2.128/26 ~all"},
	"_b.box.test":      {"v=spf1 ip6:2001:db8:b::/48 ~all"},
	"spf.bulk.test":    {"v=spf1 ip4:198.51.100.0/24 -all"},
	"loop.test":        {"v=spf1 include:loop.test redirect=loop.test"},
	"hostile.test":     {"v=spf1 ip4:999.1.1.1 include:%{d}.x ip4: \x1b[2J"},
	"gmail.com":        {"v=spf1 include:_spf.box.test ~all"},
	"example.com":      {"v=spf1 include:_spf.box.test ~all", "other=1"},
	"_dmarc.gmail.com": {"v=DMARC1; p=none; sp=quarantine"},
}

var (
	box  = Way{Name: "box", Hosts: "_spf.box.test", ReturnPath: FromSender, Mailboxes: []string{"box.test"}}
	own  = Way{Name: "own", Hosts: "_spf.box.test", Mailboxes: []string{"gmail.com"}}
	bulk = Way{Name: "bulk", Hosts: "spf.bulk.test", ReturnPath: FromProvider, Selectors: []string{"s1", "s2"}}
	mg   = Way{Name: "mg", Hosts: "spf.bulk.test", ReturnPath: FromLogin, Login: "mg.example.com"}
	lan  = Way{Name: "lan"}
)

func TestOutlook(t *testing.T) {
	ours := newKey(t, "example.com", "bs1")
	published := zone{"bs1._domainkey.example.com": {ours.text(t)}}
	const reject = "v=DMARC1; p=reject"
	for _, c := range []struct {
		name string
		way  Way
		zone zone
		edit func(*Question)
		want string // SPF, aligned, DKIM, DMARC, demand
	}{
		{"SPF that includes", box, nil, nil, "pass aligned unknown pass none"},
		{"SPF that lists the networks", box, zone{"example.com": {"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"}}, nil, "pass aligned unknown pass none"},
		{"SPF that lists some of them", box, zone{"example.com": {"v=spf1 ip4:192.0.2.0/24 -all"}}, nil, "fail aligned unknown unknown none"},
		{"SPF of somebody else", box, zone{"example.com": {"v=spf1 include:spf.bulk.test ~all"}}, nil, "softfail aligned unknown unknown none"},
		{"no SPF", box, zone{"example.com": {"x"}}, nil, "none aligned unknown unknown none"},
		{"two SPF", box, zone{"example.com": {"v=spf1 include:_spf.box.test -all", "V=SPF1 -all"}}, nil, "permerror aligned unknown unknown none"},
		{"SPF in capitals", box, zone{"example.com": {"V=SPF1 INCLUDE:_spf.box.test -ALL"}}, nil, "pass aligned unknown pass none"},
		{"too many lookups", box, zone{"example.com": {"v=spf1" + strings.Repeat(" include:none.test", 11) + " include:_spf.box.test -all"}, "none.test": {"v=spf1 -all"}}, nil, "permerror aligned unknown unknown none"},
		{"hosts that are not known", lan, nil, nil, "unknown aligned unknown unknown none"},
		{"hosts of a record without end", Way{Name: "x", Hosts: "loop.test"}, nil, nil, "unknown aligned unknown unknown none"},
		{"hosts of a hostile record", Way{Name: "x", Hosts: "hostile.test"}, nil, nil, "unknown aligned unknown unknown none"},

		{"bulk", bulk, nil, nil, "pass foreign unknown unknown none"},
		{"bulk that signs for the domain", bulk, zone{"s2._domainkey.example.com": {"k=rsa; p=MIG"}}, nil, "pass foreign pass pass none"},
		{"bulk whose key was revoked", bulk, zone{"s2._domainkey.example.com": {"v=DKIM1; p="}}, nil, "pass foreign unknown unknown none"},
		{"bulk, and we sign", bulk, published, func(q *Question) { q.Keys = []Key{ours.Key} }, "pass foreign pass pass none"},
		{"our key is not published", bulk, nil, func(q *Question) { q.Keys = []Key{ours.Key} }, "pass foreign unknown unknown none"},
		{"login below the domain", mg, zone{"mg.example.com": {"v=spf1 include:spf.bulk.test ~all"}}, nil, "pass aligned unknown pass none"},
		{"login below, strict SPF", mg, zone{"mg.example.com": {"v=spf1 include:spf.bulk.test ~all"}, "_dmarc.example.com": {reject + "; aspf=S"}}, nil, "pass foreign unknown unknown reject"},
		{"key above, relaxed", bulk, published, func(q *Question) { q.Keys, q.Domain = []Key{ours.Key}, "news.example.com" }, "pass foreign pass pass none"},
		{"key above, strict DKIM", bulk, published.with(zone{"_dmarc.example.com": {reject + "; adkim=s"}}), func(q *Question) { q.Keys, q.Domain = []Key{ours.Key}, "news.example.com" }, "pass foreign unknown unknown reject"},

		{"free mail by its own provider", own, nil, func(q *Question) { q.Domain, q.FreeMail = "gmail.com", true }, "pass aligned pass pass none"},
		{"free mail by a bulk mailer", bulk, nil, func(q *Question) { q.Domain, q.FreeMail = "gmail.com", true }, "pass foreign none fail none free-mail"},
		{"free mail by another", Way{Name: "x", Hosts: "spf.bulk.test"}, nil, func(q *Question) { q.Domain, q.FreeMail = "gmail.com", true }, "softfail aligned none fail none free-mail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := Question{Domain: "example.com", Ways: []Way{c.way}}
			if c.edit != nil {
				c.edit(&q)
			}
			dns := zone{"_dmarc.example.com": {"v=DMARC1; p=none"}, "news.example.com": {"x"}}
			r, err := Look(t.Context(), providers.with(dns).with(c.zone), q)
			if err != nil {
				t.Fatal(err)
			}
			o := r.Outlooks[0]
			got := fmt.Sprint(o.SPF, " ", map[bool]string{true: "aligned", false: "foreign"}[o.SPFAligned], " ", o.DKIM, " ", o.DMARC, " ", o.Demand)
			if o.FreeMail {
				got += " free-mail"
			}
			if got != c.want {
				t.Errorf("got %q, want %q: %+v", got, c.want, r)
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	const domain, top = "_dmarc.news.example.co.kr", "_dmarc.example.co.kr"
	for _, c := range []struct {
		name string
		zone zone
		want string // where it was found, policy, number of oddities
	}{
		{"none", nil, top + "  0"},
		{"its own", zone{domain: {"v=DMARC1; p=reject"}, top: {"v=DMARC1; p=none"}}, domain + " reject 0"},
		{"of the organisation", zone{top: {"v=DMARC1; p=reject"}}, top + " reject 0"},
		{"of the organisation for those below", zone{top: {"v=DMARC1; p=reject; sp=none"}}, top + " none 0"},
		{"sp counts below alone", zone{domain: {"v=DMARC1; p=reject; sp=none"}}, domain + " reject 0"},
		{"of the public suffix, which is nobody's", zone{"_dmarc.co.kr": {"v=DMARC1; p=reject"}}, top + "  0"},
		{"several are none", zone{domain: {"v=DMARC1; p=reject", "v=DMARC1; p=none"}, top: {"v=DMARC1; p=reject"}}, domain + "  0"},
		{"beside other texts", zone{domain: {"hello", "v=DMARC1;p=quarantine;", "v=spf1 -all"}}, domain + " quarantine 0"},
		{"spaces, case, unknown tags", zone{domain: {" V = dmarc1 ;\tP= Reject ; x=1 ; ;fo = 1"}}, domain + " reject 2"},
		{"a tag twice", zone{domain: {"v=DMARC1; p=none; p=reject"}}, domain + " none 1"},
		{"no p", zone{domain: {"v=DMARC1; pct=100"}}, domain + "  1"},
		{"no p, but reports", zone{domain: {"v=DMARC1; rua=mailto:a@b.test"}}, domain + " none 1"},
		{"an unknown p", zone{domain: {"v=DMARC1; p=drop"}}, domain + "  1"},
		{"not the first tag", zone{domain: {"p=reject; v=DMARC1"}, top: {"v=DMARC1; p=none"}}, top + " none 0"},
		{"no tags", zone{domain: {"v=DMARC1; \x1b[2J\x00; =; p=none"}}, domain + " none 2"},
		{"another version", zone{domain: {"v=DMARC2; p=reject"}}, top + "  0"},
	} {
		r, err := Look(t.Context(), c.zone.with(zone{"news.example.co.kr": {"x"}}), Question{Domain: "NEWS.example.co.kr"})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := fmt.Sprint(r.DMARC.Name, " ", r.DMARC.P, " ", len(r.DMARC.Odd)); got != c.want {
			t.Errorf("%s: got %q, want %q: %q", c.name, got, c.want, r.DMARC.Odd)
		}
	}
}

// A signer is a Key that can tell what is to be published for it.
type signer struct{ Key }

func (s signer) text(t testing.TB) string {
	r, err := s.record()
	if err != nil {
		t.Fatal(err)
	}
	return r.Text
}

func newKey(t testing.TB, domain, selector string) signer {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{Key{domain, selector, public}}
}

func TestKeys(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	long := signer{Key{"example.com", "bs1", private.Public()}}
	short, other := newKey(t, "example.com", "bs1"), newKey(t, "example.com", "bs1")
	pkcs1 := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&private.PublicKey))
	for _, c := range []struct {
		name  string
		key   signer
		texts []string
		want  string
	}{
		{"RSA", long, []string{long.text(t)}, KeyPublished},
		{"RSA in PKCS #1, without v and k, with spaces", long, []string{"p = " + pkcs1[:40] + " " + pkcs1[40:] + " ; t=s"}, KeyPublished},
		{"Ed25519", short, []string{short.text(t)}, KeyPublished},
		{"nothing", short, nil, KeyMissing},
		{"another text", short, []string{"hello"}, KeyMissing},
		{"another key", short, []string{other.text(t)}, KeyOther},
		{"a key of another kind", short, []string{long.text(t)}, KeyOther},
		{"revoked", short, []string{"v=DKIM1; p="}, KeyRevoked},
		{"no base64", short, []string{"v=DKIM1; p=\x1b[2J"}, KeyUnread},
		{"no key", short, []string{"v=DKIM1; p=AAAA"}, KeyUnread},
		{"cut off", long, []string{long.text(t)[:200]}, KeyUnread},
		{"several", short, []string{short.text(t), other.text(t)}, KeySeveral},
	} {
		dns := zone{"example.com": {"x"}, "bs1._domainkey.example.com": c.texts}
		r, err := Look(t.Context(), dns, Question{Domain: "example.com", Keys: []Key{c.key.Key}})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if r.Keys[0].State != c.want {
			t.Errorf("%s: %s, want %s", c.name, r.Keys[0].State, c.want)
		}
		wanted := c.want != KeyPublished
		if got := len(r.Records) > 1; got != wanted { // the first is that of DMARC
			t.Errorf("%s: records %+v", c.name, r.Records)
		}
	}
	if _, err := (Key{Public: crypto.PublicKey("none")}).record(); err == nil {
		t.Error("a record of no key")
	}
}

func TestRecords(t *testing.T) {
	for _, c := range []struct {
		name string
		spf  []string
		want string // of SPF
	}{
		{"none", nil, "v=spf1 include:_spf.box.test include:third.test ~all"},
		{"has one of them", []string{"v=spf1 mx include:_spf.box.test -all"}, "v=spf1 mx include:_spf.box.test include:third.test -all"},
		{"has all", []string{"v=spf1 include:_spf.box.test include:third.test -all"}, ""},
		{"two", []string{"v=spf1 mx -all", "v=spf1 mx include:third.test ?all"}, "v=spf1 mx include:third.test include:_spf.box.test ?all"},
		{"in error", []string{"v=spf1 ip4:\x1b[2J -all"}, ""},
		{"redirect", []string{"v=spf1 redirect=_spf.box.test"}, "v=spf1 include:third.test redirect=_spf.box.test"},
	} {
		dns := providers.with(zone{"example.com": append([]string{"x"}, c.spf...), "third.test": {"v=spf1 ip4:203.0.113.9 -all"}, "_dmarc.example.com": {"v=DMARC1; p=none"}})
		third := Way{Name: "third", Hosts: "third.test"}
		r, err := Look(t.Context(), dns, Question{Domain: "example.com", Ways: []Way{box, bulk, third, third, lan}})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, record := range r.Records {
			got += record.Text
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	r, err := Look(t.Context(), providers, Question{Domain: "gmail.com", FreeMail: true, Ways: []Way{bulk}})
	if err != nil || len(r.Records) != 0 {
		t.Errorf("free mail: %+v, %v", r, err)
	}
}

// What DNS does not say is not made up.
func TestNoAnswer(t *testing.T) {
	for name, dns := range map[string]zone{
		"of the domain": {"example.com": {trouble}},
		"of DMARC":      {"example.com": {"x"}, "_dmarc.example.com": {trouble}},
		"of the key":    {"example.com": {"x"}, "bs1._domainkey.example.com": {trouble}},
		"of hosts":      {"example.com": {"x"}, "_spf.box.test": {trouble}},
		"of a selector": providers.with(zone{"s1._domainkey.example.com": {trouble}}),
		"inside SPF":    providers.with(zone{"example.com": {"v=spf1 include:x.test -all"}, "x.test": {trouble}}),
	} {
		_, err := Look(t.Context(), dns, Question{Domain: "example.com", Keys: []Key{newKey(t, "example.com", "bs1").Key}, Ways: []Way{box, bulk}})
		if _, ok := errors.AsType[*net.DNSError](err); !ok || !strings.Contains(err.Error(), "example.com") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Look(t.Context(), zone{}, Question{Domain: "example.com"}); !errors.Is(err, ErrNoDomain) {
		t.Errorf("no domain: %v", err)
	}
	for _, has := range []string{"MX example.com", "A example.com"} {
		if _, err := Look(t.Context(), zone{has: {"192.0.2.1"}}, Question{Domain: "example.com"}); err != nil {
			t.Errorf("%s: %v", has, err)
		}
	}
	if _, err := Look(t.Context(), zone{}, Question{Domain: "a b"}); err == nil {
		t.Error("no name is a domain")
	}
}

// silent never answers.
type silent struct{ zone }

func (silent) LookupTXT(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, err := Look(t.Context(), silent{}, Question{Domain: "example.com"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		if _, err := Look(ctx, silent{}, Question{Domain: "example.com"}); err == nil || !strings.Contains(err.Error(), "enough") {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add("v=spf1 include:a.test ip4:192.0.2.0/24 -all", "v=DMARC1; p=reject", "v=DKIM1; p=AAAA")
	f.Add("v=spf1 redirect=example.com", "v=DMARC1;p", "p=")
	key := newKey(f, "example.com", "bs1").Key
	f.Fuzz(func(t *testing.T, spf, dmarc, dkim string) {
		dns := zone{"example.com": {"x", spf}, "_dmarc.example.com": {dmarc}, "bs1._domainkey.example.com": {dkim}, "hosts.test": {spf}}
		Look(t.Context(), dns, Question{Domain: "example.com", Keys: []Key{key}, Ways: []Way{{Hosts: "hosts.test"}, {Hosts: "example.com"}}})
	})
}
