package relay

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"backstamp/relay/align"
)

var (
	lineEnds = regexp.MustCompile(`\r*\n`)
	emptyRow = regexp.MustCompile(`(?m)^\n`)
)

// putRight is what content should come in as, by other means than an intake.
func putRight(content string) string {
	text := lineEnds.ReplaceAllString(content, "\n")
	if i := emptyRow.FindStringIndex(text); i != nil {
		text = strings.ReplaceAll(text[:i[0]], "\r", " ") + strings.ReplaceAll(text[i[0]:], "\r", "\n")
	} else {
		text = strings.ReplaceAll(text, "\r", " ")
	}
	text = strings.ReplaceAll(text, "\x00", "")
	return strings.ReplaceAll(text, "\n", "\r\n")
}

// TestCorpus hands in real mail as it lies on disk, in DATA and in BDAT: each
// is kept byte for byte, but for line ends and NUL, or refused for one of the
// reasons that there are.
func TestCorpus(t *testing.T) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		t.Skip("BACKSTAMP_CORPUS is not set")
	}
	s := settings(t)
	s.Limits.Message = 64 << 20
	s.Accounts[0].Align = newAlign(t, "shop", align.Warn)
	r := newReciter(newPolicy(t, s))
	kept, refused := 0, map[string]int{}
	err := filepath.WalkDir(filepath.Join(root, "mail"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.HasSuffix(content, []byte("\r\n")) {
			content = append(content, "\r\n"...)
		}
		stuffed := strings.ReplaceAll("\r\n"+string(content), "\r\n.", "\r\n..")[2:] + ".\r\n"
		for _, command := range []string{"DATA\r\n" + stuffed, bdatOf(string(content), " LAST")} {
			said, all := r.recite("127.0.0.1", strings.NewReader("EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\n"+command))
			verdict := said[strings.LastIndex(strings.TrimSuffix(said, "\r\n"), "\n")+1:]
			switch {
			case len(all) == 1 && string(all[0].content) == putRight(string(content)):
				kept++
			case len(all) == 0 && (strings.HasPrefix(verdict, "550 5.6.0 ") || strings.HasPrefix(verdict, "554 5.4.6 ")):
				refused[verdict[:9]]++
			default:
				t.Errorf("%s: %d kept, not as it should be: %s", path, len(all), verdict)
			}
		}
		return nil
	})
	if err != nil || kept == 0 {
		t.Fatalf("%d kept, %v", kept, err)
	}
	t.Logf("%d kept, refused: %v", kept, refused)
}
