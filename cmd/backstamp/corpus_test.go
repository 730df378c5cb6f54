package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/damage"
	"backstamp/internal/mailtest"
)

// Every message of the corpus goes through the whole program: none may be lost
// and none damaged, and what can plainly be tracked is. Those that the contract
// refuses are listed.
func TestCorpus(t *testing.T) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		t.Skip("BACKSTAMP_CORPUS is not set")
	}
	files := corpusFiles(t, filepath.Join(root, "mail"))
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, "    align: warn\n    default_from: app@shop.test\n"))

	sent := map[string]string{} // recipient → file
	refused := map[string][]string{}
	for i, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		to := fmt.Sprintf("n%d@sink.test", i)
		reply := mailtest.SendMail(t, in.smtp(), "app@shop.test", []string{to}, string(content))
		if !strings.HasPrefix(reply, "250 ") {
			refused[refusalKind(reply)] = append(refused[refusalKind(reply)], rel(root, file)+": "+strings.TrimSpace(reply))
			continue
		}
		sent[to] = file
	}

	j := judge{t: t, reasons: map[string]int{}}
	got := map[string]bool{}
	in.until("all that was accepted has arrived", func() bool { return len(upstream.Transactions()) >= len(sent) })
	byRecipient := map[string]map[string]any{}
	for _, m := range in.rows("messages") {
		d := m["deliveries"].([]any)[0].(map[string]any)
		byRecipient[d["recipient"].(string)] = m
	}
	for _, tx := range upstream.Transactions() {
		to := tx.Recipients[0]
		if got[to] {
			t.Errorf("%s arrived twice", rel(root, sent[to]))
		}
		got[to] = true
		original, err := os.ReadFile(sent[to])
		if err != nil {
			t.Fatal(err)
		}
		m := byRecipient[to]
		j.judge(rel(root, sent[to]), damage.Wire(original), tx.Content, m, in)
	}
	for to, file := range sent {
		if !got[to] {
			t.Errorf("%s was accepted and lost", rel(root, file))
		}
	}

	t.Logf("%d files: %d sent, %d arrived, %d refused, %d damaged", len(files), len(sent), len(got), len(files)-len(sent), j.damaged)
	for _, kind := range slices.Sorted(maps.Keys(refused)) {
		t.Logf("refused, %s: %d", kind, len(refused[kind]))
		for _, line := range refused[kind] {
			t.Logf("  %s", line)
		}
		if kind == "other" {
			t.Errorf("refused for no reason that the contract knows")
		}
	}
	t.Logf("hrefs with http(s), counted by a tokenizer: %d; tracked %d; left for a listed reason %d; else %d", j.hrefs, j.tracked, j.listed, j.hrefs-j.tracked-j.listed)
	for _, reason := range slices.Sorted(maps.Keys(j.reasons)) {
		t.Logf("  left, %s: %d", reason, j.reasons[reason])
	}
	if eligible := j.hrefs - j.listed; eligible > 0 && float64(j.tracked) < 0.99*float64(eligible) {
		t.Errorf("tracked %d of %d plain links", j.tracked, eligible)
	}
}

// A judge compares what was sent with what arrived, and counts.
type judge struct {
	t       testing.TB
	damaged int
	hrefs   int            // http(s) links that a tokenizer finds
	tracked int            //
	listed  int            // of hrefs, left for a reason that the design lists
	reasons map[string]int // of all that were left
}

func (j *judge) judge(name string, sent, arrived []byte, row map[string]any, in *instance) {
	tracked := row["tracked"] == true
	n, err := whole(sent, arrived, tracked)
	if err != nil {
		j.damaged++
		j.t.Errorf("%s is damaged: %v", name, err)
	}
	j.tracked += n
	found := countLinks(sent)
	j.hrefs += found
	if !tracked {
		if found > 0 {
			j.reasons["message: "+row["reason"].(string)] += found
		}
		j.listed += found
		return
	}
	for _, l := range in.show(row["id"].(string))["links"].([]any) {
		l := l.(map[string]any)
		url := strings.ToLower(strings.TrimSpace(l["url"].(string)))
		if l["decision"] == "left" && (strings.HasPrefix(url, "http:") || strings.HasPrefix(url, "https:")) {
			j.reasons["link: "+l["reason"].(string)]++
			j.listed++
		}
	}
}

// countLinks counts the http(s) links that a browser finds.
func countLinks(content []byte) (n int) {
	for leaf := range damage.Split(content).Leaves() {
		page, err := leaf.Decoded()
		if err != nil || leaf.Media() != "text/html" {
			continue
		}
		for _, h := range damage.Hrefs(page) {
			if h.Web() && !h.Hidden {
				n++
			}
		}
	}
	return n
}

// refusalKind sorts the refusals that the contract knows: its section 3 and the
// loop limit.
func refusalKind(reply string) string {
	switch {
	case strings.Contains(reply, "5.4.6"):
		return "loop"
	case strings.HasPrefix(reply, "550 5.6.0"), strings.HasPrefix(reply, "550 5.7.1"):
		return "From"
	}
	return "other"
}

func corpusFiles(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no files in %s", dir)
	}
	return files
}

func rel(root, file string) string {
	if r, err := filepath.Rel(root, file); err == nil {
		return r
	}
	return file
}
