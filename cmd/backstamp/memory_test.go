//go:build linux && !race

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"backstamp/internal/mailtest"
)

// The most memory that the program may ever have had, and that a large message
// and one client among many may add to it, in octets.
const (
	memoryMax  = 64 << 20
	messageMax = 8 << 20
	clientMax  = 320 << 10
)

// peak is the most memory that the process had so far, in octets.
func (c *child) peak() (octets int64) {
	c.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &octets); err == nil {
			return octets << 10
		}
	}
	c.t.Fatal("no VmHWM")
	return 0
}

// hand hands content in, whose lines begin with no dot. Half way it waits for
// the others.
func hand(smtp string, content []byte, others *sync.WaitGroup) error {
	conn, err := net.Dial("tcp", smtp)
	if err != nil {
		others.Done()
		return err
	}
	defer conn.Close()
	half := len(content) / 2
	io.WriteString(conn, "EHLO c\r\nMAIL FROM:<app@shop.test>\r\nRCPT TO:<r@example.com>\r\nDATA\r\n")
	conn.Write(content[:half])
	others.Done()
	others.Wait()
	conn.Write(content[half:])
	io.WriteString(conn, ".\r\nQUIT\r\n")
	replies, err := io.ReadAll(bufio.NewReader(conn))
	if err == nil && !bytes.Contains(replies, []byte("\r\n250 2.0.0 queued as ")) {
		err = fmt.Errorf("replies:\n%s", replies)
	}
	return err
}

// letters are large messages, by what makes them large.
func letters(octets int) map[string]string {
	const fields = "From: app@shop.test\r\nDate: Thu, 05 Mar 2026 09:30:00 +0900\r\nMessage-ID: <x@shop.test>\r\nMIME-Version: 1.0\r\n"
	lines := func(line string) string { return strings.Repeat(line+"\r\n", octets/(len(line)+2)) }
	base64 := lines(strings.Repeat("QUJD", 19))
	return map[string]string{
		"text":   fields + "Content-Type: text/plain\r\n\r\n" + lines(strings.Repeat("all work and no play ", 3)),
		"base64": fields + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64,
		"attachment": fields + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n" +
			"<p><a href=\"https://example.com/\">hello</a></p>\r\n--b\r\n" +
			"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64 + "--b--\r\n",
	}
}

// A large message never lies in memory whole, not even while its upstream does
// not read, and arrives as it was. BACKSTAMP_TEST_MIB sets how large it is.
func TestLargeMessage(t *testing.T) {
	for name, content := range letters(times(t, "BACKSTAMP_TEST_MIB", 16) << 20) {
		t.Run(name, func(t *testing.T) {
			gate := make(chan struct{})
			upstream := mailtest.Start(t, mailtest.Script{Extensions: []string{"PIPELINING", "8BITMIME"}}) // of any size
			upstream.On(mailtest.Content, mailtest.After(gate, mailtest.Silent()))
			c := spawnRelay(t, upstream.Addr)
			before := c.peak()
			var alone sync.WaitGroup
			alone.Add(1)
			if err := hand(c.smtp, []byte(content), &alone); err != nil {
				t.Fatal(err)
			}
			close(gate)
			got := string(upstream.Wait(t).Content)
			if _, part, _ := strings.Cut(content, "--b\r\nContent-Type: application/"); name == "attachment" {
				content = part // the page above it is tracked
			}
			if !strings.HasSuffix(got, content) {
				t.Errorf("%d octets arrived that do not end in what was sent", len(got))
			}
			t.Logf("%d MiB: %.1f MiB of memory at most, %.1f before", len(content)>>20, mib(c.peak()), mib(before))
			if c.peak() > min(memoryMax, before+messageMax) {
				t.Errorf("%.1f MiB of memory for a message of %.1f", mib(c.peak()), mib(int64(len(content))))
			}
		})
	}
}

// Many clients amid their messages do not take much memory each.
func TestManyLargeMessages(t *testing.T) {
	const clients = 200
	upstream := mailtest.Start(t, mailtest.Script{})
	upstream.On(mailtest.Content, mailtest.Stall())
	c := spawnRelay(t, upstream.Addr)
	before := c.peak()
	content := []byte(letters(1 << 20)["text"])
	var all, senders sync.WaitGroup
	all.Add(clients)
	for range clients {
		senders.Go(func() {
			if err := hand(c.smtp, content, &all); err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	t.Logf("%d messages of 1 MiB at once: %.1f MiB of memory at most", clients, mib(c.peak()))
	if c.peak() > before+clients*clientMax {
		t.Errorf("%.1f MiB of memory, %.1f before", mib(c.peak()), mib(before))
	}
}

// Of content that came in part, or was refused, no file is left.
func TestNothingLeftOfRefusedContent(t *testing.T) {
	in := start(t, relayConfig("127.0.0.1:1", ""))
	envelope := "EHLO c\r\nMAIL FROM:<app@shop.test>\r\nRCPT TO:<r@example.com>\r\n"
	large := letters(1 << 20)["text"]
	for _, said := range []string{
		envelope + "DATA\r\n" + large,
		envelope + "DATA\r\n" + strings.Replace(large, "shop.test", "evil.test", 1) + ".\r\nQUIT\r\n",
		envelope + fmt.Sprintf("BDAT %d\r\n%sRSET\r\nQUIT\r\n", len(large), large),
	} {
		conn, err := net.Dial("tcp", in.smtp())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, said)
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn)
		conn.Close()
	}
	in.stop()
	if files, err := os.ReadDir(filepath.Join(in.dir, "data", "bodies")); err != nil || len(files) > 0 {
		t.Errorf("%d files left, the first %v; %v", len(files), files[:min(1, len(files))], err)
	}
}

// spawnRelay starts the program with an upstream.
func spawnRelay(t *testing.T, upstream string) *child {
	t.Helper()
	config := filepath.Join(t.TempDir(), "backstamp.yaml")
	if err := os.WriteFile(config, []byte(relayConfig(upstream, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return spawn(t, config)
}

func mib(octets int64) float64 { return float64(octets) / (1 << 20) }
