package relay

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

var (
	goAheads  = regexp.MustCompile(`(?m)^354 `)
	lastChunk = regexp.MustCompile(`(?i)BDAT[ \t]+[0-9]+[ \t]+LAST`)
)

// FuzzSession lets a client say anything, in pieces of any size: the server
// never panics, ends when the client does and leaves no goroutine behind, says
// well-formed replies, answers 250 for each message that was kept and for no
// other, never makes two messages of one DATA, and keeps nothing that others
// read differently.
func FuzzSession(f *testing.F) {
	files, _ := filepath.Glob("testdata/dialogues/*.txt")
	for _, file := range files {
		f.Add(spoken(f, file), []byte{}, uint8(1))
	}
	f.Add("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<r@dest.test>\r\nDATA\r\n\r\r\n.\r\nMAIL FROM:<>\r\n", []byte{1}, uint8(0))
	f.Add("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<r@dest.test>\r\nBDAT 3\r\nabcBDAT 0 LAST\r\nQUIT\r\n", []byte{60, 1}, uint8(1))
	f.Add(proxyV2([4]byte{192, 0, 2, 7})+opening+"DATA\r\n"+fromField+"\r\n.\r\n", []byte{3, 9}, uint8(2))
	log := &logBuffer{}
	var servers []*reciter // strict, tolerant, behind a proxy
	for i := range 3 {
		s := settings(f)
		s.Listeners[0].Legacy = i == 1
		if i == 2 {
			s.Listeners[0].ProxyProtocol = s.Listeners[0].Clients
		}
		r := newReciter(newPolicy(f, s))
		r.server.log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))
		servers = append(servers, r)
	}
	f.Fuzz(func(t *testing.T, text string, cuts []byte, kind uint8) {
		before := runtime.NumGoroutine()
		said, all := servers[int(kind)%len(servers)].recite("192.0.2.7", &shreds{text: text, cuts: cuts})
		waitFor(t, func() bool { return runtime.NumGoroutine() <= before })
		if log.String() != "" {
			t.Fatalf("trouble: %s", log)
		}
		if !wellSaid.MatchString(said) {
			t.Errorf("malformed replies: %q", said)
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

// shreds read a text in pieces whose lengths cuts gives, over and over; without
// cuts in one.
type shreds struct {
	text string
	cuts []byte
	i    int
}

func (s *shreds) Read(b []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	n := len(s.text)
	if len(s.cuts) > 0 {
		n = min(n, 1+int(s.cuts[s.i%len(s.cuts)]))
		s.i++
	}
	n = copy(b, s.text[:n])
	s.text = s.text[n:]
	return n, nil
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
