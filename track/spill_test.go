package track

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backstamp/mail"
)

func openTestSpill(t *testing.T, path string) *spillFile {
	t.Helper()
	s, err := openSpill(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.f.Close() })
	return s
}

func TestSpillAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spill")
	s := openTestSpill(t, path)
	for n := range 5 {
		if err := s.append(mail.Event{Kind: mail.KindOpen, Message: numbered(n), UserAgent: "a\nb\u2028"}); err != nil {
			t.Fatal(err)
		}
	}
	list, _, err := s.read(3)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d events, %v; want 3", len(list), err)
	}
	for _, w := range list[:2] { // the store has them; of the third nobody knows
		if err := s.strike(w.line); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"t":"2026-11-22T09:30:00Z","k":"op`) // the crash came in mid-line
	f.Close()

	s = openTestSpill(t, path)
	if s.left != 3 {
		t.Errorf("%d events left, want 3", s.left)
	}
	if err := s.append(mail.Event{Kind: mail.KindOpen, Message: numbered(5)}); err != nil {
		t.Fatal(err)
	}
	list, broken, err := s.read(100)
	if err != nil || broken != 0 || len(list) != 4 {
		t.Fatalf("%d events, %d broken, %v; want 4", len(list), broken, err)
	}
	for i, w := range list {
		if w.Message != numbered(i+2) {
			t.Errorf("event %d is of %v", i, w.Message)
		}
		if err := s.strike(w.line); err != nil {
			t.Fatal(err)
		}
	}
	if info, _ := os.Stat(path); info.Size() != 0 || s.left != 0 {
		t.Errorf("%d octets, %d events are left", info.Size(), s.left)
	}
}

func TestSpillWithDamagedLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spill")
	if err := os.WriteFile(path, []byte("junk\n\n{}\n#struck out\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openTestSpill(t, path)
	if err := s.append(mail.Event{Message: numbered(1)}); err != nil {
		t.Fatal(err)
	}
	list, broken, err := s.read(100)
	if err != nil || broken != 2 || len(list) != 1 || s.left != 1 {
		t.Errorf("%d events, %d broken, %d left, %v; want 1, 2, 1", len(list), broken, s.left, err)
	}
	if again, broken, err := s.read(100); len(again)+broken > 0 || err != nil {
		t.Errorf("read again: %d events, %d broken, %v", len(again), broken, err)
	}
}

func TestSpillHasAnEnd(t *testing.T) {
	s := openTestSpill(t, filepath.Join(t.TempDir(), "spill"))
	s.size = spillMax - 10 // a file of holes
	if err := s.append(mail.Event{Message: numbered(1)}); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("got %v, want it to be full", err)
	}
}
