//go:build crashpoints

package crash

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// left counts down the passes of the point that the environment names.
var left atomic.Int64

var chosen = sync.OnceValue(func() string {
	name, times, _ := strings.Cut(os.Getenv("CRASHPOINT"), ":")
	n, err := strconv.ParseInt(times, 10, 64)
	if err != nil {
		n = 1
	}
	left.Store(n)
	return name
})

// At ends the process if the environment says so.
func At(point string) {
	if point != chosen() || left.Add(-1) != 0 {
		return
	}
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		p.Kill()
	}
	select {}
}
