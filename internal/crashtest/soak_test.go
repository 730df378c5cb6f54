//go:build unix

package crashtest

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A soak sends at its rate, follows links and pixels to the reader's address,
// and samples.
func TestSoak(t *testing.T) {
	reader := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/c/") {
			w.WriteHeader(http.StatusFound)
		}
	}))
	defer reader.Close()
	f := Form{Envelope: Envelope{"app@shop.test", "example.com"}, HTML: 1, Base: "https://track.test"}
	l, err := OpenLedger(t.TempDir(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &Soak{For: time.Second, Every: 200 * time.Millisecond, Reader: strings.TrimPrefix(reader.URL, "http://"), Store: t.TempDir()}
	sink, err := Listen("127.0.0.1:0", Flaky{}, s.Take(l.Take, f))
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	to := "https://track.test/c/token." + base64.RawURLEncoding.EncodeToString([]byte("https://shop.example/second"))
	relay := &toy{upstream: sink.Addr(), spoil: func(_ int, content []byte) [][]byte {
		return [][]byte{[]byte(strings.Replace(string(content), "https://shop.example/second", to, 1))}
	}}
	r, err := s.Run(t.Context(), Options{Relay: relay, Sink: sink, Ledger: l, Senders: 2, Rate: 50, Quiet: 300 * time.Millisecond})
	if err != nil || !r.OK() {
		t.Errorf("%v, %+v", err, r.Report)
	}
	if r.Accepted > 55 || r.Clicks == 0 || r.Failed > 0 || len(r.Samples) < 4 {
		t.Errorf("%d accepted, %d clicks, %d failed, %d samples", r.Accepted, r.Clicks, r.Failed, len(r.Samples))
	}
}
