package rewrite

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

// TestGolden renders each testdata/NAME.eml for its first recipient and
// compares with NAME.golden and NAME.links.
func TestGolden(t *testing.T) {
	r := newRewriter(t, func(s *Settings) {
		s.ExcludeDomains = []string{"excluded.example"}
		s.Selectors = []string{".keep"}
		s.Patterns = []string{`/private/`}
	})
	files, _ := filepath.Glob("testdata/*.eml")
	if len(files) == 0 {
		t.Fatal("no goldens")
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".eml")
		t.Run(filepath.Base(name), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			content := wire(raw)
			p, out, seen := checkCopy(t, r, content)
			if p.Edited() != (seen.Pixels == 1) || seen.Pixels > 1 {
				t.Errorf("edited %v with %d pixels", p.Edited(), seen.Pixels)
			}
			if p.Edited() {
				mailtest.Golden(t, name+".golden", bytes.ReplaceAll(out, []byte("\r\n"), []byte("\n")))
			}
			mailtest.Golden(t, name+".links", linkTable(p))
		})
	}
}

func linkTable(p *Plan) []byte {
	var b bytes.Buffer
	if !p.Edited() {
		fmt.Fprintf(&b, "untouched: %s\n", p.Reason())
	}
	for _, l := range p.Links() {
		decision := string(l.Decision)
		if l.Decision == mail.Left {
			decision += " (" + l.Reason + ")"
		}
		fmt.Fprintf(&b, "%d %s %q %q\n", l.Index, decision, l.URL, l.Label)
	}
	return b.Bytes()
}
