package catalogue

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
)

// letters are the classes that a letter of the table means.
var letters = map[rune][]string{
	'T': {mail.ClassTemporary, mail.ClassThrottling}, 'P': {mail.ClassContent, mail.ClassAccount},
	'Q': {mail.ClassQuota}, 'S': {mail.ClassSender}, 'R': {mail.ClassRecipient}, 'A': {mail.ClassAuth},
}

// Each reply of the table of replies, where it lies beside the corpora, is one
// of the examples, which other tests replay in every spelling, and of the class
// that the table has.
func TestReferenceRows(t *testing.T) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		t.Skip("BACKSTAMP_CORPUS is not set")
	}
	text, err := os.ReadFile(filepath.Join(root, "..", "reference", "providers.md"))
	if err != nil {
		t.Skip(err)
	}
	_, section, _ := strings.Cut(string(text), "### 1.5")
	section, _, _ = strings.Cut(section, "\n## ")
	rows, replies := 0, 0
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|") // the first is empty
		if len(cells) != 8 || strings.HasPrefix(cells[1], "---") || strings.HasPrefix(cells[1], " reply") {
			continue
		}
		rows++
		for _, piece := range between.Split(aside.ReplaceAllString(cells[1], ""), -1) {
			replies++
			if !slices.ContainsFunc(examples(), func(e example) bool { return says(e.reply, piece) && (means(e.class, cells[3]) || overruled(e)) }) {
				t.Errorf("no example of %q of class %q", piece, cells[3])
			}
		}
	}
	if rows < 40 {
		t.Errorf("%d rows", rows)
	}
	t.Logf("%d rows, %d replies", rows, replies)
}

var (
	aside   = regexp.MustCompile(`\([^)]*\)`)
	between = regexp.MustCompile(` / |; | — |: … `)
	word    = regexp.MustCompile(`[A-Za-z0-9./<>…]+`)
)

// says reports whether a reply has all words of a piece of the table; of a/b it
// has one, and what stands between < and > is filled in.
func says(reply, piece string) bool {
	reply = strings.ToLower(reply)
	for _, w := range word.FindAllString(strings.ToLower(piece), -1) {
		w = strings.Trim(w, ".")
		if w == "variants" || strings.ContainsAny(w, "<>…") {
			continue
		}
		if !slices.ContainsFunc(strings.Split(w, "/"), func(w string) bool { return strings.Contains(reply, w) }) {
			return false
		}
	}
	return true
}

// overruled reports whether the contract has another class than the table: a
// relay that denies is the account's trouble, whoever sends.
func overruled(e example) bool { return e.id == "google.relay-denied" && e.class == mail.ClassAccount }

// means reports whether a class is one of a cell's letters.
func means(class, cell string) bool {
	for _, letter := range cell {
		if slices.Contains(letters[letter], class) {
			return true
		}
	}
	return false
}
