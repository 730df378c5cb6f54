package relay

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	goAheads  = regexp.MustCompile(`(?m)^354 `)
	lastChunk = regexp.MustCompile(`(?i)BDAT[ \t]+[0-9]+[ \t]+LAST`)
)

// FuzzSession lets a client say anything, cut anywhere: the server never
// panics, ends when the client does, answers 250 for each message that was
// kept and for no other, never makes two messages of one DATA, and keeps
// nothing that others read differently.
func FuzzSession(f *testing.F) {
	files, _ := filepath.Glob("testdata/dialogues/*.txt")
	for _, file := range files {
		f.Add(spoken(f, file), 0, true)
	}
	f.Add("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<r@dest.test>\r\nDATA\r\n\r\r\n.\r\nMAIL FROM:<>\r\n", -1, false)
	f.Add("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<r@dest.test>\r\nBDAT 3\r\nabcBDAT 0 LAST\r\nQUIT\r\n", 60, true)
	servers := map[bool]*reciter{}
	for _, tolerant := range []bool{true, false} {
		s := settings(f)
		s.Listeners[0].Legacy = tolerant
		servers[tolerant] = newReciter(newPolicy(f, s))
	}
	f.Fuzz(func(t *testing.T, text string, at int, tolerant bool) {
		said, all := servers[tolerant].recite("192.0.2.7", &pieces{text, at})
		if strings.Contains(said, "Internal server error") {
			t.Fatalf("panic: %s", said)
		}
		if n := len(queued.FindAllString(said, -1)); n != len(all) {
			t.Errorf("%d mails kept, %d answered with 250", len(all), n)
		}
		if most := len(goAheads.FindAllString(said, -1)) + len(lastChunk.FindAllString(text, -1)); len(all) > most {
			t.Errorf("%d mails kept of %d contents", len(all), most)
		}
		for _, k := range all {
			if !wellFormed(k.content) {
				t.Errorf("kept %q", k.content)
			}
			for _, line := range append(k.m.Detail.Header.Add, k.m.Recipients...) {
				if strings.ContainsAny(strings.ReplaceAll(line, "\r\n\t", ""), "\r\n\x00") {
					t.Errorf("kept %q", line)
				}
			}
		}
	})
}

// spoken is what the client says in a dialogue.
func spoken(t testing.TB, file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		word, arg, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch word {
		case "c:":
			b.WriteString(arg + "\r\n")
		case "c!":
			s, _ := strconv.Unquote(arg)
			b.WriteString(s)
		}
	}
	return b.String()
}
