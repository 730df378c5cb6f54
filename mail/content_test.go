package mail

import (
	"strings"
	"testing"
)

// TestLongHeader: a header is found whole wherever it ends, also where that is
// beside the end of what is read at first.
func TestLongHeader(t *testing.T) {
	for _, ending := range []string{"\r\nbody: x\r\n", "no field\r\nbody\r\n", ""} {
		for n := headerFirst - 40; n < headerFirst+40; n++ {
			text := "X-Long: " + strings.Repeat("x", n-10) + "\r\n" + ending + strings.Repeat("y", 100)
			wantH, wantEnd, wantBody := ParseHeader([]byte(text))
			h, end, body, err := ReadHeader(strings.NewReader(text))
			if err != nil || len(h) != len(wantH) || end != wantEnd || body != wantBody {
				t.Fatalf("%q after %d octets: %d fields, %d, %d, %v, want %d, %d, %d", ending, n, len(h), end, body, err, len(wantH), wantEnd, wantBody)
			}
		}
	}
}
