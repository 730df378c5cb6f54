//go:build unix

package main

import (
	"fmt"
	"testing"
	"time"

	"backstamp/internal/mailtest"
)

// TestSendmailKilled kills the server again and again while programs call
// sendmail and the spool is handed in: no letter is lost, and at each kill at
// most those two come twice that are on their way, one of either side.
func TestSendmailKilled(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	dir, file, _ := sendmailConfig(t, peer.Addr)
	const rounds, each = 6, 15
	for round := range rounds {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range each {
				message := fmt.Sprintf("From: app@shop.test\nSubject: %d.%d\n\nx\n", round, i)
				if out, code := pipe(t, file, message, "a@b.test"); code != 0 {
					t.Errorf("exit %d\n%s", code, out)
				}
			}
		}()
		server := spawn(t, file)
		<-time.After(time.Duration(3*round) * time.Millisecond) // somewhere on the way
		server.kill()
		<-done
	}
	in := startIn(t, dir, file)
	seen := map[string]int{}
	in.until("all letters are there", func() bool {
		clear(seen)
		for _, m := range in.rows("messages") {
			seen[m["subject"].(string)]++
		}
		return len(seen) == rounds*each
	})
	twice := 0
	for _, n := range seen {
		twice += n - 1
	}
	if twice > 2*rounds {
		t.Errorf("%d came twice after %d kills", twice, rounds)
	}
	t.Logf("%d letters, %d kills, %d came twice", rounds*each, rounds, twice)
}
