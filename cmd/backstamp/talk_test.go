package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"backstamp/internal/mailtest"
)

// talkPatience is how long a client of a talk waits for a reply: longer than the
// program is silent at the end of LF . LF, and far less than a Postfix is.
const talkPatience = 5 * time.Second

// A talk is what one client says to a server, which may be any. After a refusal
// it says no more, as clients do.
type talk struct {
	t     *testing.T
	name  string         // of the server
	trust *x509.CertPool // given to the client
	rcpt  string         // the RCPT line

	conn  net.Conn
	r     *bufio.Reader
	said  bytes.Buffer // all that was sent
	heard bytes.Buffer // all replies
	last  string       // reply
	over  bool         // it was refused, or heard nothing
}

// connect connects, by way of a proxy where the client is elsewhere.
func (k *talk) connect(addr, from string) {
	k.t.Helper()
	conn, err := net.DialTimeout("tcp", addr, talkPatience)
	if err != nil {
		k.t.Fatal(err)
	}
	k.conn, k.r = conn, bufio.NewReader(conn)
	if from != "" {
		fmt.Fprintf(conn, "PROXY TCP4 %s 127.0.0.1 4321 25\r\n", from)
	}
}

func (k *talk) close() { k.conn.Close() }

// say sends lines, each once the one before was answered.
func (k *talk) say(lines ...string) {
	for _, line := range lines {
		k.raw(line+"\r\n", 1)
	}
}

// hand hands a message in; helo is "" where it came before.
func (k *talk) hand(helo, from, fields, body string) {
	if helo != "" {
		k.say(helo)
	}
	k.say(from, k.rcpt, "DATA")
	end := "\r\n"
	if !strings.HasSuffix(fields, end) {
		end = "\n"
	}
	dot := "\r\n.\r\n"
	if strings.HasSuffix(body, "\r\n") {
		dot = ".\r\n"
	}
	k.raw(fields+end+body+dot, 1)
}

// raw sends bytes and waits for so many replies. The first of all waits for the
// banner, unless the client is one that does not.
func (k *talk) raw(text string, replies int) {
	if k.over {
		return
	}
	if k.said.Len() == 0 {
		if replies > 1 {
			replies++ // the banner comes late
		} else if k.read(); k.over {
			return
		}
	}
	k.said.WriteString(text)
	if _, err := k.conn.Write([]byte(text)); err != nil {
		k.end("the connection is closed")
		return
	}
	for range replies {
		k.read()
	}
}

// read reads a reply.
func (k *talk) read() {
	if k.over {
		return
	}
	k.conn.SetReadDeadline(time.Now().Add(talkPatience))
	for {
		line, err := k.r.ReadString('\n')
		switch {
		case err != nil && os.IsTimeout(err):
			k.end("no answer")
			return
		case err != nil:
			k.end("the connection is closed")
			return
		}
		k.heard.WriteString(line)
		if line = strings.TrimRight(line, "\r\n"); len(line) < 4 || line[3] != '-' {
			if k.last = line; line == "" || line[0] != '2' && line[0] != '3' {
				k.over = true
			}
			return
		}
	}
}

// end ends a talk otherwise than by a reply.
func (k *talk) end(why string) { k.over, k.last = true, why }

// attempt has something tried that may be refused.
func (k *talk) attempt(try func()) {
	try()
	if k.over && strings.HasPrefix(k.last, "5") {
		k.over = false
	}
}

// tls begins TLS.
func (k *talk) tls(conf *tls.Config) {
	if k.over {
		return
	}
	k.conn.SetDeadline(time.Now().Add(talkPatience))
	conn := tls.Client(k.conn, conf)
	if err := conn.Handshake(); err != nil {
		k.end("no TLS: the handshake fails")
		return
	}
	k.conn, k.r = conn, bufio.NewReader(conn)
}

// verdict is the last reply, without what differs each time.
func (k *talk) verdict() string {
	return regexp.MustCompile(`(queued as|ID) \S+`).ReplaceAllString(k.last, "$1 …")
}

// snakeoilFile is the certificate that Debian makes for programs that have none.
const snakeoilFile = "/etc/ssl/certs/ssl-cert-snakeoil.pem"

// startPackagedPostfix runs a Postfix as Debian packages it, until the test ends:
// its main.cf and master.cf, but for where it lies and listens, and that it sends
// everything to sink.
func startPackagedPostfix(t *testing.T, sink string) (addr string) {
	t.Helper()
	start := mailtest.Tool(t, "postfix")
	main := readTool(t, "/usr/share/postfix/main.cf.debian") + readTool(t, "/usr/share/postfix/main.cf.tls")
	master := readTool(t, "/usr/share/postfix/master.cf.dist")
	mailtest.Tool(t, snakeoilFile)
	if os.Geteuid() != 0 {
		mailtest.Missing(t, "Postfix is started by root alone")
	}
	p := &postfix{t: t, dir: t.TempDir(), addr: freeAddress(t)}
	for _, dir := range []string{"conf", "queue", "data"} {
		p.ok(os.Mkdir(filepath.Join(p.dir, dir), 0o755))
	}
	p.ok(os.Chmod(filepath.Dir(p.dir), 0o755)) // its daemons are not root
	_, port, _ := net.SplitHostPort(sink)
	p.write("conf/main.cf", main+fmt.Sprintf(packagedMain, p.dir, port))
	// Not in a chroot, which has to be filled first; that changes nothing of what it says.
	master = regexp.MustCompile(`(?m)^(\S+\s+\S+\s+\S+\s+\S+\s+)y(\s)`).ReplaceAllString(master, "${1}n${2}")
	p.write("conf/master.cf", regexp.MustCompile(`(?m)^smtp(\s+inet\s)`).ReplaceAllString(master, p.addr+"${1}"))
	p.own("data")
	p.run(start)
	return p.addr
}

// What the package asks its user for at installation, and where it lies.
// Connections are not used again, which it does, with RSET, as time has it.
const packagedMain = `
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
myhostname = postfix.test
mydestination = $myhostname, localhost
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
smtp_connection_cache_on_demand = no
relayhost = [127.0.0.1]:%[2]s
`

// readTool reads a file of a program of the machine.
func readTool(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(mailtest.Tool(t, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
