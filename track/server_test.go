package track

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"backstamp/mail"
)

// rawAnswer sends text to a server as it is and returns the head of its answer;
// status 0 where it hung up.
func rawAnswer(t *testing.T, addr, text string) (status int, header string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go io.WriteString(conn, text) // what the server will not read may block
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err == io.EOF && line == "" {
		return 0, ""
	}
	if err != nil {
		t.Fatal(err)
	}
	var minor int
	if _, err := fmt.Sscanf(line, "HTTP/1.%d %d", &minor, &status); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	var b strings.Builder
	for line != "\r\n" && err == nil {
		line, err = r.ReadString('\n')
		b.WriteString(line)
	}
	return status, b.String()
}

func TestServerOnTheWire(t *testing.T) {
	ks := fixedKeys(t)
	srv := Server(newTestHandler(t, Settings{}, &ledger{}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })

	longest := long + strings.Repeat("8", mail.DestinationMax-len(long))
	nasty := "https://example.com/a%2Fb//../?q=%EA%B0%80&r=\"<>\\^`{|} x\tä#f"
	const tail = " HTTP/1.1\r\nHost: track.example\r\nConnection: close\r\n"
	cookies := "Cookie: " + strings.Repeat("c", 30<<10) + "\r\n"
	tests := []struct {
		name, request string
		status        int
		location      string
	}{
		{"click", "GET " + clickPath(t, ks, nasty) + tail, 302, nasty},
		{"longest link, many cookies", "GET " + clickPath(t, ks, longest) + tail + cookies, 302, longest},
		{"HTTP/1.0", "GET " + clickPath(t, ks, nasty) + " HTTP/1.0\r\n", 302, nasty},
		{"double slash", "GET /" + clickPath(t, ks, nasty) + tail, 404, ""},
		{"dot segments", "GET /a/.." + clickPath(t, ks, nasty) + tail, 404, ""},
		{"two slashes for a host", "GET //evil.example/.." + tail, 404, ""},
		{"escape that is none", "GET /c/%zz" + tail, 400, ""},
		{"star", "OPTIONS *" + tail, 404, ""},
		{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n", 404, ""},
		{"no HTTP", "EHLO client.example\r\n", 400, ""},
		{"huge header", "GET /livez" + tail + "X: " + strings.Repeat("x", 2*headerMax) + "\r\n", 431, ""},
		{"huge path", "GET /c/" + strings.Repeat("A", 2*headerMax) + tail, 431, ""},
	}
	for _, tt := range tests {
		status, header := rawAnswer(t, l.Addr().String(), tt.request+"\r\n")
		if status != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, status, tt.status)
		}
		want := 0
		if tt.location != "" {
			want = 1
		}
		if n := strings.Count(header, "\nLocation: "); n != want || want == 1 && !strings.Contains(header, "\nLocation: "+tt.location+"\r\n") {
			t.Errorf("%s: header %.300q, want Location %.100q", tt.name, header, tt.location)
		}
	}
}

func TestServerHasEveryLimit(t *testing.T) {
	srv := Server(newTestHandler(t, Settings{}, &ledger{}))
	for name, d := range map[string]int64{
		"ReadHeaderTimeout": int64(srv.ReadHeaderTimeout), "ReadTimeout": int64(srv.ReadTimeout),
		"WriteTimeout": int64(srv.WriteTimeout), "IdleTimeout": int64(srv.IdleTimeout),
		"MaxHeaderBytes": int64(srv.MaxHeaderBytes),
	} {
		if d <= 0 {
			t.Errorf("%s is not set", name)
		}
	}
	if srv.WriteTimeout <= patience {
		t.Errorf("WriteTimeout %v cuts off readers who wait for the store", srv.WriteTimeout)
	}
	if _, ok := srv.Handler.(*http.ServeMux); ok || srv.ErrorLog == nil {
		t.Error("a mux cleans paths; what strangers do is logged where the operator reads")
	}
}

// TestProxyProtocol believes the PROXY header of trusted proxies, and of nobody
// else.
func TestProxyProtocol(t *testing.T) {
	const pixel = "GET /o/x.gif HTTP/1.1\r\nHost: track.example\r\nUser-Agent: curl/8\r\nConnection: close\r\n"
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\x7f\x00\x00\x01\x01\xbb\x00\x50"
	tests := []struct {
		name, trusted, before, header string
		status                        int
		ip                            string
	}{
		{"version 1", "127.0.0.0/8", "PROXY TCP4 198.51.100.7 127.0.0.1 443 80\r\n", "", 200, "198.51.100.7"},
		{"version 1, IPv6", "127.0.0.0/8", "PROXY TCP6 2001:db8::7 ::1 443 80\r\n", "", 200, "2001:db8::7"},
		{"version 2", "127.0.0.0/8", v2, "", 200, "198.51.100.7"},
		{"unknown to the proxy too", "127.0.0.0/8", "PROXY UNKNOWN\r\n", "", 200, "127.0.0.1"},
		{"left out", "127.0.0.0/8", "", "", 200, "127.0.0.1"},
		{"left out, with the field", "127.0.0.0/8", "", "X-Forwarded-For: 203.0.113.9\r\n", 200, "203.0.113.9"},
		{"through two proxies", "127.0.0.0/8, 198.51.100.0/24", "PROXY TCP4 198.51.100.7 127.0.0.1 443 80\r\n", "X-Forwarded-For: 203.0.113.9\r\n", 200, "203.0.113.9"},
		{"a field that the reader made up", "127.0.0.0/8", "PROXY TCP4 198.51.100.7 127.0.0.1 443 80\r\n", "X-Forwarded-For: 203.0.113.9\r\n", 200, "198.51.100.7"},
		{"of a stranger", "192.0.2.0/24", "PROXY TCP4 198.51.100.7 127.0.0.1 443 80\r\n", "", 400, ""},
		{"a stranger without it", "192.0.2.0/24", "", "X-Forwarded-For: 203.0.113.9\r\n", 200, "127.0.0.1"},
		{"junk in it", "127.0.0.0/8", "PROXY TCP4 somewhere else\r\n", "", 0, ""}, // hung up on
		{"twice", "127.0.0.0/8", "PROXY TCP4 198.51.100.7 127.0.0.1 443 80\r\nPROXY TCP4 198.51.100.8 127.0.0.1 443 80\r\n", "", 400, ""},
	}
	for _, tt := range tests {
		kept := &ledger{}
		h := newTestHandler(t, Settings{TrustedProxies: prefixes(strings.Split(tt.trusted, ", ")...), WholeAddresses: true}, kept)
		srv := Server(h)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go srv.Serve(Listener(h, l))
		status, _ := rawAnswer(t, l.Addr().String(), tt.before+strings.Replace(pixel, "/o/x.gif", openPath(t, fixedKeys(t)), 1)+tt.header+"\r\n")
		srv.Close()
		var ip string
		if events := kept.all(); len(events) == 1 {
			ip = events[0].IP
		}
		if status != tt.status || ip != tt.ip {
			t.Errorf("%s: %d, reader %q; want %d, %q", tt.name, status, ip, tt.status, tt.ip)
		}
	}
}

// TestHTTP2 has its limits where the listener speaks TLS.
func TestHTTP2(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = Server(newTestHandler(t, Settings{}, &ledger{}))
	srv.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	srv.StartTLS()
	defer srv.Close()
	conn, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, http2.ClientPreface)
	f := http2.NewFramer(conn, conn)
	f.WriteSettings()
	first, err := f.ReadFrame()
	settings, ok := first.(*http2.SettingsFrame)
	if err != nil || !ok {
		t.Fatalf("first frame: %v, %v", first, err)
	}
	for id, want := range map[http2.SettingID]uint32{http2.SettingMaxConcurrentStreams: streamsMax, http2.SettingInitialWindowSize: 64 << 10} {
		if got, _ := settings.Value(id); got != want {
			t.Errorf("%v: %d, want %d", id, got, want)
		}
	}
	if limit, ok := settings.Value(http2.SettingMaxHeaderListSize); !ok || limit > headerMax+4096 {
		t.Errorf("header list of %d octets", limit)
	}

	nasty := "https://example.com/a%2Fb//../?q=\"<>\\^`{|}#f"
	client := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer client.CloseIdleConnections()
	for path, want := range map[string]int{clickPath(t, fixedKeys(t), nasty): 302, "/c/junk": 404, "/o/junk.gif": 200} {
		r, err := http.NewRequest("GET", srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.ProtoMajor != 2 || answer.StatusCode != want || want == 302 && answer.Header.Get("Location") != nasty {
			t.Errorf("%.20s: %s %d, Location %q", path, answer.Proto, answer.StatusCode, answer.Header.Get("Location"))
		}
	}
}
