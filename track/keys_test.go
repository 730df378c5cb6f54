package track

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

var testTime = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func openTestKeys(t testing.TB, dir string) *Keys {
	t.Helper()
	ks, err := OpenKeys(dir, clock.NewFake(testTime))
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

func signTest(t testing.TB, ks *Keys, tok mail.Token) string {
	t.Helper()
	if tok.Key == (mail.KeyID{}) {
		tok.Key = ks.Key()
	}
	text, err := ks.AppendToken(nil, tok)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOpenKeysMakesPrivateFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "keys")
	ks := openTestKeys(t, dir)
	id, err := ks.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	if id != ks.Key() {
		t.Errorf("after Rotate the newest key is %v, not the new %v", ks.Key(), id)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: mode %v, %v; want 0700", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d files, %v; want one a key", len(entries), err)
	}
	for _, e := range entries {
		if info, _ := e.Info(); info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, want 0600", e.Name(), info.Mode())
		}
	}
}

func TestKeysOutliveEverythingElse(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	first := openTestKeys(t, dir)
	tok := mail.Token{Message: mail.ID{1}, Recipient: 1, Link: 2, Purpose: mail.PurposeClick, Destination: "https://example.com/"}
	old := signTest(t, first, tok)
	if _, err := first.Rotate(); err != nil { // the clock stands: the order must hold all the same
		t.Fatal(err)
	}
	if _, err := first.Rotate(); err != nil {
		t.Fatal(err)
	}
	again := openTestKeys(t, dir)
	if !slices.Equal(first.Export(), again.Export()) {
		t.Errorf("keys after a new start: %v, want %v", again.List(), first.List())
	}
	if got, err := again.Verify(mail.PurposeClick, old, tok.Destination); err != nil || got.Message != tok.Message {
		t.Errorf("a link of the oldest key: %v, %v", got, err)
	}
	configured, err := NewKeys(again.Export())
	if err != nil {
		t.Fatal(err)
	}
	if configured.Key() != again.Key() {
		t.Errorf("exported and configured keys: newest is %v, want %v", configured.Key(), again.Key())
	}
	if _, err := configured.Verify(mail.PurposeClick, old, tok.Destination); err != nil {
		t.Errorf("a link of the oldest key, keys from the configuration: %v", err)
	}
	if _, err := configured.Rotate(); err == nil {
		t.Error("configured keys were rotated, though nothing would keep the new one")
	}
}

func TestKeysOrderWithoutFilesTimes(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	clk := clock.NewFake(testTime)
	ks, err := OpenKeys(dir, clk)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []time.Duration{time.Hour, -48 * time.Hour, time.Minute} {
		clk.Advance(step)
		if _, err := ks.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries { // as a copy or a restore would leave them
		os.Chtimes(filepath.Join(dir, e.Name()), testTime, testTime)
	}
	if got := openTestKeys(t, dir).List(); !slices.Equal(got, ks.List()) {
		t.Errorf("order after a copy: %v, want %v", got, ks.List())
	}
}

func TestOpenKeysRefuses(t *testing.T) {
	good := GenerateKey()
	tests := []struct {
		name string
		make func(t *testing.T, dir string)
		want string
	}{
		{"directory open to others", func(t *testing.T, dir string) { os.Chmod(dir, 0o755) }, "mode is 0755; expected 0700"},
		{"file open to others", func(t *testing.T, dir string) {
			write(t, dir, "20261122T093000.000Z-00000000.key", good)
			os.Chmod(filepath.Join(dir, "20261122T093000.000Z-00000000.key"), 0o640)
		}, "mode is 0640; expected 0600"},
		{"another file", func(t *testing.T, dir string) { write(t, dir, "README", "keys") }, `README": this is no key file`},
		{"empty key", func(t *testing.T, dir string) { write(t, dir, "20261122T093000.000Z-00000000.key", "") }, "this is no signing key"},
		{"half a key", func(t *testing.T, dir string) {
			write(t, dir, "20261122T093000.000Z-00000000.key", good[:40])
		}, "cut off or changed"},
		{"changed key", func(t *testing.T, dir string) {
			write(t, dir, "20261122T093000.000Z-00000000.key", good[:20]+swapCase(good[20:]))
		}, "changed"},
		{"one key twice", func(t *testing.T, dir string) {
			write(t, dir, "20261122T093000.000Z-00000000.key", good)
			write(t, dir, "20261122T093001.000Z-00000000.key", good)
		}, "another file holds too"},
		{"directory in place of a key", func(t *testing.T, dir string) {
			os.Mkdir(filepath.Join(dir, "20261122T093000.000Z-00000000.key"), 0o700)
		}, "is no key file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			os.Chmod(dir, 0o700)
			tt.make(t, dir)
			_, err := OpenKeys(dir, clock.NewFake(testTime))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), good[20:]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestOpenKeysPassesOverWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	write(t, dir, ".new-123", "bsk1.")
	if ks := openTestKeys(t, dir); len(ks.List()) != 1 {
		t.Errorf("keys: %v, want a first one", ks.List())
	}
}

func TestNewKeysRefuses(t *testing.T) {
	good := GenerateKey()
	tests := []struct {
		name  string
		texts []string
		key   string
	}{
		{"none", nil, "tracking.keys"},
		{"too many", make([]string, keysMax+1), "tracking.keys"},
		{"a password", []string{good, "hunter2"}, "tracking.keys.1"},
		{"twice", []string{good, good}, "tracking.keys.1"},
		{"other version", []string{"bsk2" + good[4:]}, "tracking.keys.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewKeys(tt.texts)
			var setting *mail.SettingError
			if !errors.As(err, &setting) || setting.Key != tt.key {
				t.Fatalf("got %v, want an error at %s", err, tt.key)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestRotateUnderUse(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	ks := openTestKeys(t, dir)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				text, err := ks.AppendToken(nil, mail.Token{Key: ks.Key(), Purpose: mail.PurposeOpen})
				if err != nil {
					t.Error(err)
				}
				if _, err := ks.Verify(mail.PurposeOpen, string(text), ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 10 {
				if _, err := ks.Rotate(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := openTestKeys(t, dir).List(); !slices.Equal(got, ks.List()) || len(got) != 21 {
		t.Errorf("%d keys on disk, %d in use, want 21 and the same", len(got), len(ks.List()))
	}
}

func TestRotateThatCannotBeKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	ks := openTestKeys(t, dir)
	before := ks.Key()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := ks.Rotate(); err == nil || ks.Key() != before {
		t.Errorf("a key that is on no disk signs: %v", err)
	}
}

func TestRefresh(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	ks, other := openTestKeys(t, dir), openTestKeys(t, dir)
	id, err := other.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.Refresh(); err != nil || ks.Key() != id {
		t.Errorf("newest is %v, %v; want the other program's %v", ks.Key(), err, id)
	}
	write(t, dir, "README", "")
	if err := ks.Refresh(); err == nil || ks.Key() != id {
		t.Errorf("junk in the directory: %v, %v", ks.Key(), err)
	}
	os.RemoveAll(dir)
	os.Mkdir(dir, 0o700)
	if err := ks.Refresh(); err == nil || ks.Key() != id {
		t.Errorf("no key left: %v, %v", ks.Key(), err)
	}
}

func TestAdopt(t *testing.T) {
	ks := openTestKeys(t, filepath.Join(t.TempDir(), "keys"))
	text := GenerateKey()
	configured, err := NewKeys(append([]string{text}, ks.Export()...))
	if err != nil {
		t.Fatal(err)
	}
	ks.Adopt(configured)
	if got := ks.Export(); len(got) != 2 || got[0] != text {
		t.Errorf("keys: %v", ks.List())
	}
	if _, err := ks.Rotate(); err == nil {
		t.Error("rotated keys that come from the configuration now")
	}
	if err := ks.Refresh(); err != nil || len(ks.List()) != 2 {
		t.Errorf("refresh of configured keys: %v, %v", ks.List(), err)
	}
	configured.Adopt(openTestKeys(t, filepath.Join(t.TempDir(), "keys")))
	if _, err := configured.Rotate(); err != nil || len(configured.List()) != 2 {
		t.Errorf("rotating keys that lie in a directory now: %v, %v", configured.List(), err)
	}
}

func TestGenerateKeyAvoidsTakenIDs(t *testing.T) {
	taken := map[mail.KeyID]*key{}
	for range 1000 {
		k := generateKey(testTime, taken)
		if taken[k.id] != nil {
			t.Fatalf("id %v twice", k.id)
		}
		taken[k.id] = k
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func swapCase(s string) string {
	if up := strings.ToUpper(s); up != s {
		return up
	}
	return strings.ToLower(s)
}
