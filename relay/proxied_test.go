package relay

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/internal/mailtest"
)

const (
	headerV2 = "\r\n\r\n\x00\r\nQUIT\n"
	localV2  = headerV2 + "\x20\x00\x00\x00"
)

// proxyV2 is the binary header for a client with IPv4.
func proxyV2(ip [4]byte) string {
	return headerV2 + "\x21\x11\x00\x0c" + string(ip[:]) + "\x7f\x00\x00\x01\x10\xe1\x00\x19"
}

func withProxy(t testing.TB) Settings {
	s := settings(t)
	s.Listeners[0].ProxyProtocol = networks("10.0.0.0/8")
	return s
}

// TestProxyHeader: who a listed proxy says the client is decides what it may do.
func TestProxyHeader(t *testing.T) {
	for _, tt := range []struct {
		name, from, header, mail string // what MAIL is answered; "" none: hung up before
	}{
		{"version 1", "10.0.0.1", "PROXY TCP4 192.0.2.7 10.0.0.1 4321 25\r\n", "250"},
		{"version 1, stranger", "10.0.0.1", "PROXY TCP4 198.51.100.7 10.0.0.1 4321 25\r\n", "530"},
		{"version 1, IPv6", "10.0.0.1", "PROXY TCP6 2001:db8::7 2001:db8::1 4321 25\r\n", "530"},
		{"version 2", "10.0.0.1", proxyV2([4]byte{192, 0, 2, 7}), "250"},
		{"version 2, stranger", "10.0.0.1", proxyV2([4]byte{198, 51, 100, 7}), "530"},
		{"the proxy itself", "10.0.0.1", localV2, "530"},
		{"no header", "10.0.0.1", "", ""},
		{"unknown client", "10.0.0.1", "PROXY UNKNOWN\r\n", ""},
		{"client without address", "10.0.0.1", headerV2 + "\x21\x00\x00\x00", ""},
		{"socket", "10.0.0.1", headerV2 + "\x21\x31\x00\xd8" + strings.Repeat("/", 216), ""},
		{"malformed", "10.0.0.1", "PROXY TCP4 192.0.2.7\r\n", ""},
		{"bare LF", "10.0.0.1", "PROXY TCP4 192.0.2.7 10.0.0.1 4321 25\n", ""},
		{"oversized", "10.0.0.1", "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", ""},
		{"oversized, version 2", "10.0.0.1", headerV2 + "\x21\x11\xff\xff" + strings.Repeat("x", 0xffff), ""},
		{"twice", "10.0.0.1", strings.Repeat("PROXY TCP4 192.0.2.7 10.0.0.1 4321 25\r\n", 2), "421"},
		{"not listed", "198.51.100.9", "PROXY TCP4 192.0.2.7 10.0.0.1 4321 25\r\n", "421"},
		{"not listed, client", "192.0.2.9", "PROXY TCP4 127.0.0.1 127.0.0.1 4321 25\r\n", "421"},
		{"not listed, version 2", "192.0.2.9", proxyV2([4]byte{127, 0, 0, 1}), "554"},
	} {
		for _, at := range []int{0, -1, 7} {
			t.Run(fmt.Sprint(tt.name, at), func(t *testing.T) {
				if at != 0 && tt.from == "10.0.0.1" && strings.HasPrefix(tt.header, "PROXY") {
					tt.mail = "" // the specification has the line sent at once
				}
				said, _ := recite(newPolicy(t, withProxy(t)), tt.from, &pieces{tt.header + "EHLO c\r\nMAIL FROM:<a@example.com>\r\n", at})
				lines := strings.Split(strings.TrimSuffix(said, "\r\n"), "\r\n")
				if last := lines[len(lines)-1]; !strings.HasPrefix(last, tt.mail) || (tt.mail == "") != (said == "") {
					t.Errorf("said %q", said)
				}
			})
		}
	}
}

// TestProxiedClientIsKnown: everything that asks for the client's address gets
// the one that the proxy named, also under TLS.
func TestProxiedClientIsKnown(t *testing.T) {
	for _, mode := range []string{"off", "implicit"} {
		s, trust := withTLS(t, "implicit")
		if mode == "off" {
			s = settings(t)
		}
		s.Listeners[0].ProxyProtocol = networks("127.0.0.1/32")
		r := start(t, s)
		c := r.connect()
		c.Send("PROXY TCP4 192.0.2.7 127.0.0.1 4321 25\r\n")
		if mode == "implicit" {
			c.StartTLS(trust)
		}
		expect(t, c, "220 ")
		c.Expect("EHLO c", "250")
		if got := c.SendMail("a@example.com", []string{"r@dest.test"}, "From: a@example.com\n\n"); !strings.HasPrefix(got, "250 ") {
			t.Fatal(got)
		}
		d := r.queue.all()[0].m.Detail
		if d.Client.Addr != "192.0.2.7:4321" || !strings.Contains(d.Header.Add[0], "[192.0.2.7]") {
			t.Errorf("client %+v, %q", d.Client, d.Header.Add[0])
		}
	}
}

// TestProxiedClientsAreCounted: the bound for one client is for those behind the
// proxy, not for the proxy, and a place that was left is free again.
func TestProxiedClientsAreCounted(t *testing.T) {
	r := start(t, withProxy(t))
	connect := func(client string) *mailtest.Client {
		c := r.connectFrom("10.0.0.1")
		c.Send("PROXY TCP4 " + client + " 10.0.0.1 4321 25\r\n")
		return c
	}
	var first *mailtest.Client
	for i := range 4 {
		c := connect("192.0.2.7")
		expect(t, c, map[bool]string{true: "220 ", false: "421 4.7.0"}[i < 3])
		if i == 0 {
			first = c
		}
	}
	for i := range 5 {
		expect(t, connect(fmt.Sprintf("192.0.2.%d", 10+i)), "220 ")
	}
	first.Expect("QUIT", "221")
	expectClosed(t, first)
	waitFor(t, func() bool { r.server.mu.Lock(); defer r.server.mu.Unlock(); return len(r.server.fronts) == 7 })
	expect(t, connect("192.0.2.7"), "220 ")
}

// TestSlowProxy: a header that trickles in, or never comes, holds a connection
// for a while and no longer; nor does it hold up the end of the server.
func TestSlowProxy(t *testing.T) {
	for _, drained := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, withProxy(t), "10.0.0.1")
			served := make(chan struct{})
			ctx, stop := context.WithCancel(t.Context())
			go func() { st.server.Serve(ctx); close(served) }()
			began := time.Now()
			for i, c := range proxyV2([4]byte{192, 0, 2, 7})[:14] {
				if drained && i == 3 {
					stop()
				}
				st.send(string(c))
				time.Sleep(time.Second)
			}
			st.expect("")
			st.expectEnd()
			stop()
			<-served
			if d := time.Since(began); d > 15*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// TestStrangersLeaveRoom: however many strangers come, those whom the listener
// is meant for find room.
func TestStrangersLeaveRoom(t *testing.T) {
	s := settings(t)
	s.Limits.Connections = 8
	r := start(t, s)
	for i := range 8 {
		expect(t, r.connectFrom(fmt.Sprintf("198.51.100.%d", i)), map[bool]string{true: "220 ", false: "421 4.7.0"}[i < 6])
	}
	expect(t, r.connectFrom("192.0.2.7"), "220 ")
	expect(t, r.connect(), "220 ")
	expect(t, r.connect(), "421 4.7.0")
}
