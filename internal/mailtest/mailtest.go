// Package mailtest is what tests of several rooms need to talk mail: a
// scripted SMTP peer that records transactions byte for byte and misbehaves
// on demand, a raw client that sends what it is told, certificates good and
// bad, and goldens. Everything is on the loopback, on ports the system picks,
// and waits by channel.
package mailtest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// CRLF writes every line end of text as CRLF, so that tests can hold messages
// as Go strings.
func CRLF(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
}

// LF is the inverse of CRLF, for goldens.
func LF(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

// Main runs a package's tests and then fails if goroutines of Backstamp are
// left over; it does not return. Use it as the body of TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if left := leaked(); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "mailtest: goroutines left over:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines that run Backstamp's code and do not
// end in time, without that of the caller.
func leaked() string {
	limit := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		left := ours()
		if left == "" {
			return ""
		}
		select {
		case <-tick.C:
		case <-limit:
			return left
		}
	}
}

func ours() string {
	buf := make([]byte, 1<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	var left []string
	for _, s := range stacks[1:] { // the first is the caller
		if strings.Contains(s, "backstamp/") && !strings.Contains(s, "testing.(*F)") {
			left = append(left, s)
		}
	}
	return strings.Join(left, "\n\n")
}
