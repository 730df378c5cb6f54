package quirk

import "testing"

func TestDotted(t *testing.T) {
	for s, want := range map[string]string{
		"ilo.@example.com": `"ilo."@example.com`, "a..b@docomo.test": `"a..b"@docomo.test`, ".a@b.test": `".a"@b.test`,
		"a": "", ".@b.test": "", "a b.@b.test": "", `"a.".@b.test`: "", "a.@": "", "a@b.@c.test": "", "<a.@b.test": "",
		"a.b@c.test": "a.b@c.test",
	} {
		a, ok := Dotted(s)
		if ok != (want != "") || ok && a.String() != want {
			t.Errorf("%s: %v, %v; want %q", s, a, ok, want)
		}
	}
}
