package rewrite

import (
	"bufio"
	"iter"
	"os"
	"strings"
	"testing"
)

// lines yields the lines of a file in testdata/words as their first word and
// the rest.
func lines(t testing.TB, name string) iter.Seq2[string, string] {
	t.Helper()
	f, err := os.Open("testdata/words/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string, string) bool) {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			word, rest, found := strings.Cut(s.Text(), " ")
			if found && word != "#" && !yield(word, rest) {
				return
			}
		}
	}
}

func TestURLReason(t *testing.T) {
	seen := map[string]int{}
	for want, href := range lines(t, "urls.txt") {
		if seen[want]++; want == "-" {
			want = ""
		}
		if got := urlReason(href); got != want {
			t.Errorf("%s: %q, want %q", href, got, want)
		}
	}
	if seen[LinkOneTime] < 60 || seen[LinkUnsubscribe] < 30 || seen["-"] < 60 {
		t.Errorf("the list is too short: %v", seen)
	}
}

func TestUnsubscribeText(t *testing.T) {
	for sign, label := range lines(t, "labels.txt") {
		if got := isUnsubscribeText(label); got != (sign == "+") {
			t.Errorf("%q: %v", label, got)
		}
	}
}

func TestPlaceholder(t *testing.T) {
	for sign, href := range lines(t, "placeholders.txt") {
		if got := isPlaceholder(href); got != (sign == "+") {
			t.Errorf("%s: %v", href, got)
		}
	}
	if isPlaceholder("") {
		t.Error("an empty address is a placeholder")
	}
}

// TestWordsHoldNothingBack compares the patterns with what their expressions
// alone say, for the lists in any case of letters: a word that is missing from
// a table would make a pattern deaf.
func TestWordsHoldNothingBack(t *testing.T) {
	var texts []string
	for _, name := range []string{"urls.txt", "labels.txt", "placeholders.txt"} {
		for _, text := range lines(t, name) {
			texts = append(texts, text)
		}
	}
	for _, text := range texts {
		for _, text := range []string{text, lowerASCII(text), strings.ToUpper(text)} {
			found := urlWords.in(text)
			for _, p := range append([]pattern{unsubscribeURL}, oneTimeShapes...) {
				if p.re.MatchString(text) && !p.match(text, found) {
					t.Errorf("%q: %s needs another word", text, p.re)
				}
			}
			if unsubscribeText.re.MatchString(text) && !isUnsubscribeText(text) {
				t.Errorf("%q: the label needs another word", text)
			}
			if leftIn.MatchString(text) && !isPlaceholder(text) {
				t.Errorf("%q: the placeholder needs another mark", text)
			}
		}
	}
}

func TestVague(t *testing.T) {
	for label, want := range map[string]bool{
		"here": true, "Click here": true, "HERE »": true, "[여기]": true, "여기를 클릭": true, "こちら": true, "【こちら】": true,
		"点击这里": true, "hier": true, "Cliquez ici": true, "AQUÍ": true, "ЗДЕСЬ": true, "buraya tıklayın": true, "tästä.": true,
		"": false, "!": false, "Read more": false, "here is our new catalogue": false, "there": false, "여기는 서울": false,
		"click here to see the whole collection of this winter": false,
	} {
		if got := isVague(label); got != want {
			t.Errorf("%q: %v", label, got)
		}
	}
}

func TestSecret(t *testing.T) {
	for text, want := range map[string]bool{
		"0123456789abcdef0123": true, "0b1946ac-92d4-4d5f-8f3a-000000000001": true, "x-Yz8kQ0aUe7RtY2WqLm": true,
		"how-to-reset-your-phone-2024": false, "internationalization": false, "2024-spring-collection": false,
		"Zx81kQ0aUe7": false, "%EB%B9%84%EB%B0%80%EB%B2%88%ED%98%B8": false, "": false,
		"The-Best-Of-Seoul-In-24-Hours": false,
	} {
		if got := isSecret(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
