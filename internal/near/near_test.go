package near

import "testing"

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"align", "align", 0}, {"aling", "align", 1},
		{"adress", "address", 1}, {"listner", "listeners", 2}, {"kitten", "sitting", 3}, {"xyz", "abc", 3},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestName(t *testing.T) {
	names := []string{"gmail", "gworkspace", "mailgun"}
	for word, want := range map[string]string{"gmial": "gmail", "Gmail": "gmail", "mailgum": "mailgun", "": "", "workspace": "gworkspace", "xy": "", "postfix": ""} {
		if got := Name(word, names); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

func TestHint(t *testing.T) {
	names := []string{"com", "eu", "in"}
	for word, want := range map[string]string{"cm": "did you mean com?", "xx": "expected com, eu or in", "": "expected com, eu or in"} {
		if got := Hint(word, names); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}
