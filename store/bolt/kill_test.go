package bolt

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"backstamp/mail"
	"backstamp/store"
)

// TestMain runs the test binary as the one that is killed when it is told the
// store to fill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BACKSTAMP_KILL_DIR"); dir != "" {
		if err := victim(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// victimBody is the content of a message in the kill test: it tells its own
// checksum, so that the parent needs no list. Every fifth is a file.
func victimBody(id mail.ID) []byte {
	sum := sha256.Sum256(id[:])
	size := 2000
	if sum[0]%5 == 0 {
		size = 40 << 10
	}
	return []byte(strings.Repeat(fmt.Sprintf("%x\r\n", sum), size/66))
}

// victim puts messages from several goroutines for ever and prints the ID of
// each that was acknowledged.
func victim(dir string) error {
	s, err := Open(dir, Options{Create: true})
	if err != nil {
		return err
	}
	var ids mail.IDs
	var mu sync.Mutex
	failed := make(chan error)
	for range 8 {
		go func() {
			for {
				m, ds := aMessage(&ids)
				if err := s.Put(context.Background(), m, ds, bytes.NewReader(victimBody(m.ID))); err != nil {
					failed <- err
				}
				mu.Lock()
				os.Stdout.WriteString(m.ID.String() + "\n")
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

// TestKill kills a process that puts messages, again and again on one store:
// every message that it acknowledged must be there, whole.
// BACKSTAMP_TEST_KILLS sets how often.
func TestKill(t *testing.T) {
	kills := 5
	if testing.Short() {
		kills = 1
	}
	if text := os.Getenv("BACKSTAMP_TEST_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		kills = n
	}
	dir := t.TempDir()
	acked := map[mail.ID]bool{}
	for range kills {
		killOnce(t, dir, acked)
		s := opened(t, dir, Options{})
		checkAcked(t, s, acked)
		s.Close()
	}
	t.Logf("%d messages were acknowledged in %d lives", len(acked), kills)
}

// killOnce runs the victim and kills it after some acknowledgements.
func killOnce(t *testing.T, dir string, acked map[mail.ID]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BACKSTAMP_KILL_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	left := rand.IntN(150)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if id, err := mail.ParseID(lines.Text()); err == nil { // the last line may be cut
			acked[id] = true
		}
		if left--; left < 0 {
			cmd.Process.Kill()
		}
	}
	if left >= 0 {
		t.Error("it ended before it was killed")
	}
	cmd.Wait()
}

func checkAcked(t *testing.T, s *Store, acked map[mail.ID]bool) {
	t.Helper()
	seen := 0
	for row, err := range s.Messages(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		id := row.Message.ID
		got, err := content(t.Context(), s, id)
		if err != nil || string(got) != string(victimBody(id)) {
			t.Fatalf("message %s is damaged: %v", id, err)
		}
		if acked[id] {
			seen++
		}
	}
	if seen != len(acked) {
		t.Fatalf("%d of %d acknowledged messages are there", seen, len(acked))
	}
}
