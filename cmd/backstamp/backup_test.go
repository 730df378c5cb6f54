package main

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

// restore unpacks a backup into the data_dir of a new place with the same
// configuration, as tar would.
func restore(t *testing.T, archive, config string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	conf, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "backstamp.yaml")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := tar.NewReader(f)
	for {
		head, err := r.Next()
		if err == io.EOF {
			return dir, file
		}
		name := filepath.Join(dir, "data", head.Name)
		b, readErr := io.ReadAll(r)
		os.MkdirAll(filepath.Dir(name), 0o700)
		if head.Typeflag == tar.TypeReg && readErr == nil {
			readErr = os.WriteFile(name, b, 0o600)
		}
		if err != nil || readErr != nil {
			t.Fatal(err, readErr)
		}
	}
}

// A backup of a running server, restored elsewhere, has its mail and keeps its
// links. An existing file is never overwritten, and where the backup fails no
// file is there.
func TestBackup(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)
	in.status(id, "sent")
	click := clickURL.FindString(string(upstream.Wait(t).Content))
	want := in.ok("show", id, "--raw")

	hot := filepath.Join(in.dir, "hot.tar")
	in.ok("backup", hot)
	if info, err := os.Stat(hot); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup holds keys, and its mode is %v, %v", info.Mode(), err)
	}
	before, _ := os.ReadFile(hot)
	if out, code := in.run("backup", hot); code != exitFailed || !strings.Contains(out, "exists") {
		t.Errorf("again: exit %d, %s", code, out)
	}
	if after, _ := os.ReadFile(hot); string(after) != string(before) {
		t.Error("the backup was overwritten")
	}
	if out, code := in.run("backup", filepath.Join(in.dir, "not", "there.tar")); code != exitFailed {
		t.Errorf("into a directory that is not there: exit %d, %s", code, out)
	}
	if out, code := in.run("compact"); code != exitFailed || !strings.Contains(out, "stop its server") {
		t.Errorf("compact beside the server: exit %d, %s", code, out)
	}
	in.stop()
	cold := filepath.Join(in.dir, "cold.tar")
	in.ok("backup", cold)
	in.ok("compact")
	if left, _ := filepath.Glob(filepath.Join(in.dir, ".*.part")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}

	for _, archive := range []string{hot, cold} {
		dir, file := restore(t, archive, in.config)
		again := startIn(t, dir, file)
		if got := again.ok("show", id, "--raw"); got != want {
			t.Errorf("%s: content differs", archive)
		}
		if r := again.hit("GET", click, "Mozilla/5.0"); r.StatusCode != 302 {
			t.Errorf("%s: a link answers %d", archive, r.StatusCode)
		}
		again.stop()
	}
	if out, code := run(t, nil, "backup", filepath.Join(in.dir, "none.tar"), "--set", "data_dir="+t.TempDir()); code != exitFailed || !strings.Contains(out, "no store in") {
		t.Errorf("backup of nothing: exit %d, %s", code, out)
	}
}
