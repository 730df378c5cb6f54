package catalogue

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"backstamp/mail"
)

//go:embed testdata/replies.txt
var known string

//go:embed testdata/others.txt
var foreign string

// An example is a reply of a provider with what is to be made of it.
type example struct{ service, class, id, reply string }

func content(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

func examples() (all []example) {
	for _, line := range content(known) {
		f := strings.SplitN(line, " | ", 4)
		all = append(all, example{strings.TrimPrefix(f[0], "-"), f[1], f[2], f[3]})
	}
	return all
}

// reply is a reply of the text, wrapped by split into its lines.
func reply(text string, split func(string) []string) mail.Reply {
	var code int
	fmt.Sscanf(text[:3], "%d", &code)
	return mail.Reply{Code: code, Lines: split(strings.TrimPrefix(text[3:], " "))}
}

func one(text string) []string { return []string{text} }

// manners are the ways in which servers say the same.
func manners() map[string]func(string) []string {
	enhanced := func(text string) string { return mail.Reply{Lines: []string{text}}.Enhanced() }
	// repeat begins each line with the enhanced code, as RFC 2034 has it.
	repeat := func(text string, lines []string) []string {
		for i := range lines {
			if code := enhanced(text); i > 0 && code != "" {
				lines[i] = code + " " + lines[i]
			}
		}
		return lines
	}
	pieces := func(text string, n int) (lines []string) {
		head := len(enhanced(text))
		first := min(len(text), head+n)
		lines = append(lines, text[:first])
		for piece := range slices.Chunk([]byte(text[first:]), n) {
			lines = append(lines, string(piece))
		}
		return lines
	}
	return map[string]func(string) []string{
		"as it is":           one,
		"a word a line":      strings.Fields,
		"repeated":           func(s string) []string { return repeat(s, strings.Fields(s)) },
		"every 20 octets":    func(s string) []string { return pieces(s, 20) },
		"every 7, repeated":  func(s string) []string { return repeat(s, pieces(s, 7)) },
		"upper case":         func(s string) []string { return one(strings.ToUpper(s)) },
		"lower case":         func(s string) []string { return one(strings.ToLower(s)) },
		"much space":         func(s string) []string { return one(" " + strings.ReplaceAll(s, " ", " \t  ") + "  ") },
		"more follows":       func(s string) []string { return []string{s, "see https://help.example.com/ for more"} },
		"no break, no space": func(s string) []string { return one(strings.ReplaceAll(s, " ", "\u00a0")) },
	}
}

// Every known reply is recognised, however it is wrapped and spelled.
func TestKnownReplies(t *testing.T) {
	for how, split := range manners() {
		for _, c := range examples() {
			if how == "no break, no space" && reply(c.reply, one).Enhanced() != "" {
				continue // an enhanced code is followed by a space
			}
			r := reply(c.reply, split)
			id, class, ok := Match(c.service, r)
			if !ok || id != c.id || class != c.class {
				t.Errorf("%s, %s: %q is %q of class %q, want %q of %q", c.service, how, r.Lines, id, class, c.id, c.class)
			}
		}
	}
}

// A provider's words mean nothing from another: only what all say is known there.
func TestRepliesOfOthers(t *testing.T) {
	for _, c := range examples() {
		if len(find(c.id).Services) == 0 {
			continue
		}
		if id, _, _ := Match("", reply(c.reply, one)); id != "" && len(find(id).Services) > 0 {
			t.Errorf("%q is %q", c.reply, id)
		}
	}
}

// What other mail servers say is none of the providers' replies.
func TestForeignReplies(t *testing.T) {
	replies := content(foreign)
	if len(replies) < 200 {
		t.Fatalf("%d replies", len(replies))
	}
	var services []string
	for _, e := range all() {
		services = append(services, e.Services...)
	}
	slices.Sort(services)
	for _, service := range slices.Compact(services) {
		for _, line := range replies {
			if id, _, _ := Match(service, reply(line, one)); id != "" && len(find(id).Services) > 0 {
				t.Errorf("%s: %q is %q", service, line, id)
			}
		}
	}
}

// An entry is whole: it has words in all languages, a class the queue knows,
// and a source where it has rules.
func TestEntries(t *testing.T) {
	classes := []string{mail.ClassAuth, mail.ClassQuota, mail.ClassThrottling, mail.ClassTemporary, mail.ClassSender, mail.ClassRecipient, mail.ClassContent, mail.ClassAccount}
	seen := map[string]bool{}
	for _, e := range all() {
		if seen[e.ID] || e.ID == "" {
			t.Errorf("id %q is there twice", e.ID)
		}
		seen[e.ID] = true
		topic := (strings.HasPrefix(e.ID, "generic.") || strings.HasPrefix(e.ID, "doctor.")) && len(e.When) == 0
		if !topic && !slices.Contains(classes, e.Class) || topic && e.Class != "" {
			t.Errorf("%s: class %q", e.ID, e.Class)
		}
		if e.For != "" && (len(e.When) > 0 || find(e.For) == nil || len(find(e.For).Services) > 0 || len(e.Services) == 0) {
			t.Errorf("%s stands for %q at %q", e.ID, e.For, e.Services)
		}
		if len(e.When)+len(e.For) > 0 && (e.Source == "" || e.AsOf == "") {
			t.Errorf("%s: no source", e.ID)
		}
		for _, r := range e.When {
			if len(r.Code) == 0 && len(r.Enhanced) == 0 && len(squeeze(r.Text)) < 12 {
				t.Errorf("%s: a rule that fits nearly everything: %+v", e.ID, r)
			}
		}
		for _, lang := range Languages() {
			w, ok := Find(e.ID, lang)
			if !ok || len(w.Steps) == 0 {
				t.Fatalf("%s: no steps in %s", e.ID, lang)
			}
			for _, text := range append([]string{w.Title, w.Meaning}, w.Steps...) {
				korean := strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Hangul, r) })
				if text == "" || strings.TrimSpace(text) != text || korean != (lang == "ko") {
					t.Errorf("%s in %s: %q", e.ID, lang, text)
				}
			}
		}
		en, _ := Find(e.ID, "en")
		if ko, _ := Find(e.ID, "ko"); len(en.Steps) != len(ko.Steps) {
			t.Errorf("%s: %d steps in English, %d in Korean", e.ID, len(en.Steps), len(ko.Steps))
		}
	}
	for _, class := range classes {
		if !seen["generic."+class] {
			t.Errorf("class %s has no words", class)
		}
	}
	for _, c := range examples() {
		delete(seen, c.id)
	}
	for id := range seen {
		if e := find(id); len(e.When) > 0 {
			t.Errorf("%s: no example of a reply", id)
		}
	}
}

// At a service of which no rule fits, the words are its own all the same; at
// others they are not.
func TestAt(t *testing.T) {
	for service, want := range map[string]string{"naver": "naver.login", "mailgun": "mailgun.login", "google": "generic.auth", "": "generic.auth"} {
		if id := At(service, "generic.auth"); id != want {
			t.Errorf("%q: %q", service, id)
		}
	}
	base, _ := Find("generic.auth", "ko")
	own, _ := Find("naver.login", "ko")
	if n := len(own.Steps) - len(base.Steps); n < 1 || !slices.Equal(own.Steps[n:], base.Steps) || own.Meaning != base.Meaning || own.Title == base.Title {
		t.Errorf("%+v", own)
	}
	if id := At("naver", "generic.quota"); id != "generic.quota" {
		t.Error(id)
	}
}

func TestNoRefusal(t *testing.T) {
	for _, r := range []mail.Reply{{}, {Code: 250, Lines: []string{"daily sending limit"}}, {Code: 334}, {Code: 550}, {Code: 550, Lines: []string{"", ""}}} {
		if id, class, ok := Match("google", r); ok {
			t.Errorf("%v: %s %s", r, id, class)
		}
	}
}

func TestShown(t *testing.T) {
	for _, c := range []struct {
		x           mail.Explain
		lang        string
		title, says string
	}{
		{mail.Explain{ID: "generic.auth", Class: "auth"}, "en", "Login refused", "username and password"},
		{mail.Explain{ID: "generic.auth", Class: "auth"}, "ko", "로그인이 거절되었습니다", "사용자 이름"},
		{mail.Explain{ID: "generic.auth", Class: "auth"}, "xx", "Login refused", ""},
		{mail.Explain{ID: "queue.parked", Class: "auth", Detail: "shop/main:\n535 no"}, "en", "The provider is parked", "(shop/main: / 535 no)"},
		{mail.Explain{ID: "from-the-future", Class: "quota"}, "en", "Quota used up", ""},
		{mail.Explain{ID: "generic.auth", Class: "auth", Title: "Old"}, "ko", "로그인이 거절되었습니다", ""},
		{mail.Explain{ID: "auth", Title: "Old words", Meaning: "As they were."}, "ko", "Old words", "As they were."},
		{mail.Explain{ID: "from-the-future"}, "en", "", ""},
	} {
		got := Shown(&c.x, c.lang)
		if got.ID != c.x.ID || got.Class != c.x.Class || got.Title != c.title || !strings.Contains(got.Meaning, c.says) {
			t.Errorf("%+v: got %+v", c.x, got)
		}
	}
	if Shown(nil, "en") != nil {
		t.Error("words for nothing")
	}
}

func TestUnverified(t *testing.T) {
	const before = "554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: "
	for text, want := range map[string]string{
		before + "a@example.com":                             "a@example.com",
		before + "A@Example.com, Kim <b@example.org>":        "a@example.com b@example.org",
		before + `"x" <c@x.test>, d@x.test.`:                 "c@x.test d@x.test",
		before:                                               "",
		"554 Message rejected: a@example.com is not my type": "",
	} {
		for _, split := range []func(string) []string{one, strings.Fields} {
			if got := strings.Join(Unverified(reply(text, split)), " "); got != want {
				t.Errorf("%q: got %q, want %q", text, got, want)
			}
		}
	}
}

// FuzzMatch has no reply cost more than its first part, and none that does not
// refuse be of a class.
func FuzzMatch(f *testing.F) {
	for _, c := range examples() {
		f.Add(c.service, c.reply)
	}
	f.Add("ses", "554 "+strings.Repeat("x", 1<<20))
	f.Add("ses", "554 \x1b[2J\xff\xfe\x00 email address is not verified\n\n\r")
	f.Fuzz(func(t *testing.T, service, text string) {
		if len(text) < 3 {
			return
		}
		r := reply(text, func(s string) []string { return strings.Split(s, "\n") })
		if said := listen(r); len(said.text) > 3*textMax {
			t.Fatalf("%d octets are looked at", len(said.text))
		}
		id, class, ok := Match(service, r)
		if ok != (id != "") || ok != (class != "") || ok && !r.Temporary() && !r.Permanent() {
			t.Fatalf("%q: %q %q %v", text, id, class, ok)
		}
		if ok && find(id) == nil {
			t.Fatalf("%q is none", id)
		}
		for _, a := range Unverified(r) {
			if len(a) > textMax || !strings.Contains(a, "@") {
				t.Fatalf("%q is no address", a)
			}
		}
	})
}

// A reply of any length and bytes is looked at in bounds.
func TestHostile(t *testing.T) {
	flood := strings.Repeat("\xff\x1b[31m not authenticated \u202e", 1<<15)
	for _, lines := range [][]string{{flood}, slices.Repeat([]string{flood[:1000]}, 1000), slices.Repeat([]string{""}, 1<<20)} {
		r := mail.Reply{Code: 550, Lines: lines}
		if n := len(listen(r).text); n > 3*textMax {
			t.Errorf("%d octets are looked at", n)
		}
		if id, _, ok := Match("ses", r); ok {
			t.Errorf("%d lines are %s", len(lines), id)
		}
	}
	late := mail.Reply{Code: 554, Lines: []string{"email address is not verified" + flood + " identities failed the check: a@x.test"}}
	if id, _, _ := Match("ses", late); id != "ses.not-verified" || len(Unverified(late)) > 0 {
		t.Errorf("%s, %q", id, Unverified(late))
	}
}
