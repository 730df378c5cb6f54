package track

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"backstamp/mail"
)

// rawAnswer sends text to a server as it is and returns the head of its answer.
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
