package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
)

// rewriteRun runs rewrite with public links and apart outputs.
func rewriteRun(t testing.TB, stdin string, args ...string) (out, err string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{in: strings.NewReader(stdin), out: &stdout, err: &stderr, clock: clock.System{}}
	dir := filepath.Join(t.TempDir(), "data")
	code = p.run(t.Context(), append([]string{"rewrite", "--set", "data_dir=" + dir, "--set", "tracking.base_url=" + publicBase}, args...))
	return stdout.String(), stderr.String(), code
}

// writeFile writes a file into a new directory.
func writeFile(t testing.TB, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// tokens differ from run to run.
var tokens = regexp.MustCompile(`(/[oc]/|X-Backstamp: 1 )A[\w-]{40,100}`)

// TestDiff compares what people see with testdata/diff/NAME.txt, and once with
// the colours of a terminal.
func TestDiff(t *testing.T) {
	files, _ := filepath.Glob("testdata/diff/*.eml")
	if len(files) == 0 {
		t.Fatal("no messages")
	}
	for _, file := range files {
		golden := strings.TrimSuffix(file, ".eml") + ".txt"
		out, stderr, code := rewriteRun(t, "", "--diff", file)
		if signed := strings.Contains(out, "X-Backstamp"); code != exitDone || strings.Contains(stderr, "no signing keys") != signed {
			t.Errorf("%s: exit %d\n%s", file, code, stderr)
		}
		mailtest.Golden(t, golden, []byte(tokens.ReplaceAllString(out, "${1}TOKEN")))
	}
}

func TestDiffColours(t *testing.T) {
	plain, coloured := diffWith(t, plainMarks()), diffWith(t, colouredMarks())
	if !strings.Contains(coloured, "\x1b[31mhttps://parcel.example.com/t?no=1\x1b[0m\x1b[32mhttps://track.test/c/") {
		t.Errorf("no red and green:\n%q", coloured)
	}
	escapes := regexp.MustCompile("\x1b\\[\\d+m")
	if strings.Contains(plain, "\x1b") || len(escapes.FindAllString(coloured, -1))%2 != 0 {
		t.Errorf("escapes in\n%q\nor not in pairs in\n%q", plain, coloured)
	}
	if got, want := escapes.ReplaceAllString(coloured, ""), regexp.MustCompile(`\[-|-\]|\{\+|\+\}`).ReplaceAllString(plain, ""); tokens.ReplaceAllString(got, "") != tokens.ReplaceAllString(want, "") {
		t.Errorf("coloured\n%s\nplain\n%s", got, want)
	}
}

// diffWith returns the diff of the Korean message.
func diffWith(t *testing.T, m marks) string {
	t.Helper()
	var out bytes.Buffer
	p := &program{out: &out, err: &out, clock: clock.System{}, sets: []string{"data_dir=" + t.TempDir(), "tracking.base_url=" + publicBase}}
	o, err := p.offline()
	if err != nil {
		t.Fatal(err)
	}
	err = p.withTrial(o, "testdata/diff/korean.eml", func(tr *trial) error { return printDiff(&out, m, "en", "korean.eml", tr) })
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

const plainPage = "From: a@example.com\nMessage-ID: <1@example.com>\nX-Track-Tag: t\nContent-Type: text/html\n\n<body><a href=\"https://example.com/\">x</a></body>\n"

// The copy ends its lines as the file does, in all that is put in.
func TestRewriteKeepsLineEnds(t *testing.T) {
	quoted := strings.ReplaceAll(strings.Replace(plainPage, "\n\n", "\nContent-Transfer-Encoding: quoted-printable\n\n", 1), `="`, `=3D"`)
	overlong := strings.Replace(plainPage, "<body>", "<body>"+strings.Repeat("x ", 480), 1)
	for name, content := range map[string]string{"plain": plainPage, "quoted": quoted, "overlong": overlong, "mbox": "From a@example.com Thu Jan  1 00:00:00 2026\n" + plainPage} {
		bare, stderr, code := rewriteRun(t, content, "-")
		if code != exitDone || strings.Contains(bare, "\r") || !strings.Contains(bare, publicBase+"/") || strings.Contains(bare, "X-Track-Tag") {
			t.Errorf("%s: exit %d %s\n%q", name, code, stderr, bare)
		}
		if first, _, _ := strings.Cut(bare, "\n"); strings.HasPrefix(first, "From ") != (name == "mbox") || strings.Count(bare, "X-Backstamp: ") != 1 {
			t.Errorf("%s: begins with %q", name, first)
		}
		wired, _, _ := rewriteRun(t, mailtest.CRLF(content), "-")
		if got, want := len(wired), len(mailtest.CRLF(bare)); got != want || strings.Count(wired, "\n") != strings.Count(wired, "\r\n") {
			t.Errorf("%s: with CRLF %d octets, want %d\n%q", name, got, want, wired)
		}
	}
}

// What is no message to rewrite comes out as it went in, with a word about why.
func TestRewriteLeaves(t *testing.T) {
	binary := string([]byte{0x7f, 'E', 'L', 'F', 0, 1, '\r', '\n', 0xff, 0xfe, '\n', '\r'})
	for _, tt := range []struct{ name, content, reason string }{
		{"empty", "", "no-html"},
		{"binary", binary, "header-broken"},
		{"text", "From: a@example.com\n\nhello\n", "no-html"},
		{"asked", strings.Replace(plainPage, "-Tag: t", ": off", 1), "control"},
	} {
		for _, file := range []string{writeFile(t, tt.name, tt.content), "-"} {
			out, stderr, code := rewriteRun(t, tt.content, file)
			if want := file + ": unchanged (" + tt.reason + "). "; out != tt.content || code != exitDone || !strings.HasPrefix(stderr, want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%s: exit %d, %q, %q", tt.name, code, out, stderr)
			}
		}
	}
	out, stderr, code := rewriteRun(t, "", "--set", "tracking.privacy=off", writeFile(t, "m", plainPage))
	if out != plainPage || code != exitDone || !strings.Contains(stderr, "(privacy)") {
		t.Errorf("privacy off: exit %d, %q, %q", code, out, stderr)
	}
}

func TestRewriteRefuses(t *testing.T) {
	message, other := writeFile(t, "m", plainPage), writeFile(t, "m", plainPage)
	closed := writeFile(t, "closed", plainPage)
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(message)
	for _, tt := range []struct {
		args string
		code int
		text string
	}{
		{dir, exitFailed, dir + " is a directory"},
		{dir + "/none", exitFailed, "no such file"},
		{"--diff " + dir + "/none", exitFailed, "no such file"},
		{message + " " + other, exitUsage, "-o DIR"},
		{"--diff " + message + " " + other, exitUsage, "one at a time"},
		{"", exitUsage, "expected rewrite FILE"},
		{"--diff -o " + t.TempDir() + " " + message, exitUsage, "without -o"},
		{"-o " + dir + " " + message, exitUsage, message + " would be overwritten"},
		{"-o " + dir + "/../" + filepath.Base(dir) + " " + message, exitUsage, "would be overwritten"},
		{"-o " + filepath.Join(t.TempDir(), "new") + " " + message + " " + other, exitUsage, "would both become"},
		{"-o " + t.TempDir() + " -", exitUsage, "standard input has no name"},
		{"-o " + message + " " + other, exitFailed, "not a directory"},
		{closed, exitFailed, "permission denied"},
	} {
		if tt.args == closed && os.Geteuid() == 0 {
			continue // root may read everything
		}
		out, stderr, code := rewriteRun(t, "", strings.Fields(tt.args)...)
		if code != tt.code || out != "" || !strings.Contains(stderr, tt.text) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("rewrite %s: exit %d, %q, %q", tt.args, code, out, stderr)
		}
	}
	if b, _ := os.ReadFile(message); string(b) != plainPage {
		t.Errorf("a source was overwritten: %q", b)
	}
}

// Many files are done in the order of the arguments, whatever becomes of each.
func TestRewriteMany(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	var files []string
	for i := range 40 {
		content := plainPage
		if i%3 == 0 {
			content = "From: a@example.com\n\n" + strings.Repeat("text\n", 1000*(40-i))
		}
		files = append(files, filepath.Join(from, fmt.Sprintf("%d.eml", i)))
		if i != 20 {
			os.WriteFile(files[i], []byte(content), 0o640)
		}
	}
	out, stderr, code := rewriteRun(t, "", append([]string{"-o", to}, files...)...)
	if code != exitFailed || !strings.Contains(stderr, "20.eml: no such file") || strings.Count(stderr, "\n") != 2 {
		t.Errorf("exit %d, %s", code, stderr)
	}
	rows := decodeRows(t, out)
	files = append(files[:20], files[21:]...)
	if len(rows) != len(files) {
		t.Fatalf("%d rows for %d files", len(rows), len(files))
	}
	for i, row := range rows {
		before, after := stat(t, files[i]), stat(t, filepath.Join(to, filepath.Base(files[i])))
		edited := before.Size() < 1000
		if row["file"] != files[i] || row["edited"] != edited || row["size"] != float64(before.Size()) || row["rewritten_size"] != float64(after.Size()) {
			t.Errorf("row %d: %v, want %s, %d to %d octets", i, row, files[i], before.Size(), after.Size())
		}
		if edited != (after.Size() > before.Size()) || after.Mode() != before.Mode() || edited != (row["reason"] == nil) || edited != (len(row["meanings"].(map[string]any)) == 0) {
			t.Errorf("row %d: %v; %v became %v", i, row, before.Mode(), after.Mode())
		}
	}
	if left, _ := os.ReadDir(to); len(left) != len(files) {
		t.Errorf("%d files written, want %d", len(left), len(files))
	}
}

func stat(t testing.TB, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// As many files as there are cores are in work, no more, and none is begun once
// the user has had enough.
func TestInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cores := runtime.GOMAXPROCS(0)
		files := make([]string, 10*cores)
		begun, goOn := make(chan string, len(files)), make(chan bool)
		for i := range files {
			files[i] = fmt.Sprint(i)
		}
		do := func(file string) outcome {
			begun <- file
			<-goOn
			return outcome{row: trialRow{File: file}}
		}
		var got []string
		ended := make(chan bool)
		go func() {
			defer close(ended)
			for o := range inOrder(ctx, files, do) {
				got = append(got, o.row.File)
			}
		}()
		synctest.Wait()
		if len(begun) != cores {
			t.Errorf("%d in work on %d cores", len(begun), cores)
		}
		cancel()
		close(goOn)
		<-ended
		if len(got) > cores+1 || len(begun) != len(got) || strings.Join(got, " ") != strings.Join(files[:len(got)], " ") {
			t.Errorf("once interrupted %d were begun, and yielded %v", len(begun), got)
		}
	})
}

// A large message is not held in memory to be copied, whatever ends its lines.
func TestRewriteLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 120 MB")
	}
	head, page, _ := strings.Cut(plainPage, "Content-Type: text/html\n\n")
	content := head + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n" + page + "--b\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n" +
		strings.Repeat(strings.Repeat("A", 76)+"\n", 30<<20/77) + "--b--\n"
	for _, content := range []string{content, mailtest.CRLF(content)} {
		file, to := writeFile(t, "large.eml", content), t.TempDir()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, stderr, code := rewriteRun(t, "", "-o", to, file)
		runtime.ReadMemStats(&after)
		if code != exitDone || decodeRows(t, out)[0]["edited"] != true || stat(t, filepath.Join(to, "large.eml")).Size() < int64(len(content)) {
			t.Errorf("exit %d %s %s", code, out, stderr)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > uint64(len(content))/2 {
			t.Errorf("%d octets allocated for %d", made, len(content))
		}
	}
}

func TestRewriteNotes(t *testing.T) {
	file := writeFile(t, "m", strings.Replace(plainPage, "<body>", "<body>"+strings.Repeat("<p>filler</p>\n", 6950), 1))
	out, _, _ := rewriteRun(t, "", "-o", t.TempDir(), file)
	if !strings.Contains(out, `"notes":["gmail-clip"]`) {
		t.Errorf("no note in %.300s", out)
	}
	out, _, _ = rewriteRun(t, "", "--diff", file)
	if !strings.Contains(out, "note gmail-clip: ") || !strings.Contains(out, "pixel at the end of part 1, line 6951") {
		t.Errorf("no note, or pixel, in\n%s", out)
	}
	out, _, _ = rewriteRun(t, "", "--diff", "--set", "tracking.pixel=top", file)
	if !strings.Contains(out, "pixel at the top of part 1, line 1\n") {
		t.Errorf("the pixel is not at the top:\n%s", out)
	}
}

func BenchmarkRewriteMany(b *testing.B) {
	from := b.TempDir()
	page := strings.Replace(plainPage, "</body>", strings.Repeat("<p><a href=\"https://example.com/page\">text</a> and more of it</p>\n", 500)+"</body>", 1)
	var files []string
	for i := range 100 {
		files = append(files, filepath.Join(from, fmt.Sprint(i)))
		os.WriteFile(files[i], []byte(page), 0o600)
	}
	for n := 0; b.Loop(); n++ {
		if _, stderr, code := rewriteRun(b, "", append([]string{"-o", b.TempDir()}, files...)...); code != exitDone {
			b.Fatal(stderr)
		}
	}
	b.ReportMetric(float64(len(files)*b.N)/b.Elapsed().Seconds(), "files/s")
}
