package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"backstamp/internal/mailtest"
)

// Where the disk is full there is no file afterwards, and the reason is said.
func TestBackupDiskFull(t *testing.T) {
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=16k"); err != nil {
		t.Skipf("no small disk to be had: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(small, syscall.MNT_DETACH) })
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	in.status(in.send("app@shop.test", "reader@example.com", page), "sent")
	for _, serving := range []bool{true, false} {
		if !serving {
			in.stop()
		}
		out, code := in.run("backup", filepath.Join(small, "b.tar"))
		if code != exitFailed || !strings.Contains(out, "is not written") || !strings.Contains(out, "no space left") {
			t.Errorf("serving %v: exit %d, %s", serving, code, out)
		}
		if left, err := os.ReadDir(small); len(left) > 0 || err != nil {
			t.Errorf("serving %v: left behind: %v, %v", serving, left, err)
		}
	}
}
