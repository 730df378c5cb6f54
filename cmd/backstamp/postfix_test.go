package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
)

// The counting port takes so many messages within the window.
const (
	postfixRoom   = 3
	postfixWindow = 10 * time.Second
)

// TestPostfix sends through a Postfix that demands TLS and a login, lets each
// login send as itself alone and counts what a client brings, and writes what
// came of it into docs/providers.md (-update).
func TestPostfix(t *testing.T) {
	ca := mailtest.NewCA(t)
	sink := mailtest.Start(t, mailtest.Script{})
	server := startPostfix(t, ca.Valid(), sink.Addr, "good", "warn", "slow", "bad")
	s := server.relayed(t, ca)

	wire := server.takes(s, sink)
	before := server.count("connect from")
	id, unaligned := s.hand("good", "boss@shop.test")
	if id != "" || !strings.HasPrefix(unaligned, "550 5.7.1 ") || server.count("connect from") != before {
		t.Errorf("another From: %s", unaligned)
	}
	rows := fmt.Sprintf("| From is the login | `250 2.0.0 Ok: queued as` its id | sent over STARTTLS (%s), with that id; %d letters arrived undamaged over one connection, in chunks |\n", wire, len(eightBitLetters(t))) +
		fmt.Sprintf("| another From | not connected to | refused: `%s` |\n", unaligned) +
		server.mismatch(s) + server.password(s) + server.anvil(s)
	mailtest.Section(t, "../../docs/providers.md", "postfix", "| what is tried | Postfix says | the mail |\n|---|---|---|\n"+rows)
}

// takes sends what is difficult to carry and returns the version of TLS.
func (p *postfix) takes(s *playhouse, sink *mailtest.Peer) (wire string) {
	t := s.t
	t.Helper()
	for name, letter := range eightBitLetters(t) {
		letter = strings.Replace(letter, "app@shop.test", "good@shop.test", 1)
		id, reply := s.give("good", "good@shop.test", letter)
		if id == "" {
			t.Fatalf("%s: %s", name, reply)
		}
		s.first = id
		d := s.status(id, "sent")
		got := sink.Wait(t)
		tracked, _ := s.show(id)["tracked"].(bool)
		if _, err := whole([]byte(mailtest.CRLF(letter)), got.Content, tracked); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		hop := header(got.Content).Get("Received") // Postfix's own
		for _, want := range []string{"(Authenticated sender: good@shop.test)", " with ESMTPSA id ", fmt.Sprintf(" id %v", d["upstream_id"])} {
			if !strings.Contains(hop, want) || d["upstream_id"] == nil {
				t.Errorf("%s: no %q in %s", name, want, hop)
			}
		}
		_, wire, _ = strings.Cut(hop, "(using ")
		wire, _, _ = strings.Cut(wire, " ")
	}
	if n := p.count("]: connect from") - p.count("lost connection after CONNECT"); n != 1 { // a chunk that it does not take costs another
		t.Errorf("%d connections", n)
	}
	return wire
}

// mismatch has an account warn only, so that Postfix is the one who refuses.
func (p *postfix) mismatch(s *playhouse) (row string) {
	id, reply := s.hand("warn", "boss@shop.test")
	if id == "" {
		s.t.Fatal(reply)
	}
	d := s.status(id, "failed")
	x, _ := d["explain"].(map[string]any)
	if x["class"] != "sender" || !strings.HasPrefix(fmt.Sprint(d["reply"]), "553 ") {
		s.t.Errorf("a From that is not the login's: %v", d)
	}
	return fmt.Sprintf("| another From, with `align: warn` | `%v` | failed, `%v` of class `%v` |\n", d["reply"], x["id"], x["class"])
}

// password logs in with a password that is wrong.
func (p *postfix) password(s *playhouse) (row string) {
	_, d := s.settled("bad")
	if !strings.HasPrefix(fmt.Sprint(d["reply"]), "535 ") {
		s.t.Errorf("a wrong password: %v", d)
	}
	return fmt.Sprintf("| a wrong password | `%v` | %s |\n", d["reply"], s.wrong())
}

// anvil sends until Postfix has had too much within the window.
func (p *postfix) anvil(s *playhouse) (row string) {
	id, d := s.settled("slow")
	for n := 0; n < postfixRoom && d["status"] == "sent"; n++ {
		id, d = s.settled("slow")
	}
	next, err := time.Parse(time.RFC3339, fmt.Sprint(d["next_attempt"]))
	x, _ := d["explain"].(map[string]any)
	if err != nil || d["status"] != "deferred" || d["attempts"] != 1.0 {
		s.t.Fatalf("too much mail: %v", d)
	}
	<-time.After(postfixWindow + time.Second) // Postfix goes by the machine's clock
	s.passes(next.Sub(s.clock.Now()), id)
	return fmt.Sprintf("| more messages in a window than there is room for | `%v` | deferred, `%v`, then sent |\n", d["reply"], x["id"])
}

// relayed is the program with an account for each login of Postfix.
func (p *postfix) relayed(t *testing.T, ca *mailtest.CA) *playhouse {
	t.Helper()
	s := &playhouse{clock: clock.NewFake(time.Now()), from: map[string]string{}}
	conf := `
hostname: relay.test
data_dir: data
listeners: [{address: "127.0.0.1:0", clients: [127.0.0.0/8]}]
tracking: {listen: "127.0.0.1:0", base_url: "` + publicBase + `"}
admin: {listen: "127.0.0.1:0"}
accounts:
`
	for _, c := range []struct{ account, align, addr, password string }{
		{"good", "reject", p.addr, "sesam"}, {"warn", "warn", p.addr, "sesam"},
		{"bad", "reject", p.addr, "semas"}, {"slow", "reject", p.counting, "sesam"},
	} {
		_, port, _ := net.SplitHostPort(c.addr)
		s.from[c.account] = c.account + "@shop.test"
		conf += fmt.Sprintf("  %s:\n    login: {username: %[1]s, password: sesam}\n    align: %[2]s\n    providers:\n      main: {preset: generic, host: 127.0.0.1, port: %[3]s, tls: starttls, username: %[1]s@shop.test, password: %[4]s}\n",
			c.account, c.align, port, c.password)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "backstamp.yaml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.instance = startWith(t, dir, file, func(prog *program) { prog.clock, prog.roots = s.clock, ca.Pool() })
	return s
}

// A postfix is a Postfix of the test's own; no other of the machine is touched.
type postfix struct {
	t              testing.TB
	dir            string
	addr, counting string // counting takes postfixRoom messages in each postfixWindow
}

// startPostfix runs a Postfix until the test ends. Its users are those at shop.test,
// with the password sesam; it sends everything to sink.
func startPostfix(t testing.TB, cert *tls.Config, sink string, users ...string) *postfix {
	t.Helper()
	start, passwd := mailtest.Tool(t, "postfix"), mailtest.Tool(t, "saslpasswd2")
	if os.Geteuid() != 0 {
		mailtest.Missing(t, "Postfix is started by root alone")
	}
	p := &postfix{t: t, dir: t.TempDir(), addr: freeAddress(t), counting: freeAddress(t)}
	for _, dir := range []string{"conf", "conf/sasl", "queue", "data"} {
		p.ok(os.Mkdir(filepath.Join(p.dir, dir), 0o755))
	}
	p.ok(os.Chmod(filepath.Dir(p.dir), 0o755)) // its daemons are not root
	for _, user := range users {
		c := exec.Command(passwd, "-p", "-c", "-f", filepath.Join(p.dir, "sasldb"), "-u", "shop.test", user)
		c.Stdin = strings.NewReader("sesam")
		p.command(c)
	}
	p.write("conf/cert.pem", chain(t, cert))
	p.write("conf/sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: "+p.dir+"/sasldb\nmech_list: PLAIN LOGIN\n")
	p.own("data", "sasldb")
	_, port, _ := net.SplitHostPort(sink)
	p.write("conf/main.cf", fmt.Sprintf(postfixMain, p.dir, port, int(postfixWindow.Seconds()), strings.Join(logins(users), ", ")))
	p.write("conf/master.cf", fmt.Sprintf(postfixMaster, p.addr, p.counting, postfixRoom))

	p.run(start)
	awaitListener(t, p.counting)
	return p
}

// run starts it and has it stopped when the test ends.
func (p *postfix) run(start string) {
	server := exec.Command(start, "-c", filepath.Join(p.dir, "conf"), "start-fg")
	p.ok(server.Start())
	p.t.Cleanup(func() {
		if out, err := exec.Command(start, "-c", filepath.Join(p.dir, "conf"), "stop").CombinedOutput(); err != nil {
			p.t.Errorf("%v: %s", err, out)
		}
		server.Wait() // says that it was stopped
		if p.t.Failed() {
			p.t.Logf("Postfix:\n%s", p.log())
		}
	})
	awaitListener(p.t, p.addr)
}

// Its parameters: the directory, the port of the sink, the window, whose each address is.
const postfixMain = `
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
myhostname = postfix.test
mydestination =
mynetworks =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
relayhost = [127.0.0.1]:%[2]s
smtp_line_length_limit = 0
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = %[1]s/conf/cert.pem
smtpd_tls_received_header = yes
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_authenticated_header = yes
smtpd_sender_login_maps = inline:{ %[4]s }
smtpd_sender_restrictions = reject_sender_login_mismatch
smtpd_relay_restrictions = permit_sasl_authenticated, reject
anvil_rate_time_unit = %[3]ds
smtpd_client_event_limit_exceptions =
`

const postfixMaster = `
%s inet n - n - - smtpd
%s inet n - n - - smtpd -o smtpd_client_message_rate_limit=%d
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// logins says of each user's address that it is the user's; boss is nobody's
// who is here.
func logins(users []string) []string {
	owners := []string{"boss@shop.test=boss@shop.test"}
	for _, user := range users {
		owners = append(owners, fmt.Sprintf("%s@shop.test=%[1]s@shop.test", user))
	}
	return owners
}

// chain is a key and its certificate as files have them.
func chain(t testing.TB, c *tls.Config) string {
	t.Helper()
	cert := c.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
}

func (p *postfix) write(name, text string) {
	p.t.Helper()
	p.ok(os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644))
}

// own gives files to the user that Postfix runs as.
func (p *postfix) own(names ...string) {
	p.t.Helper()
	u, err := user.Lookup("postfix")
	p.ok(err)
	uid, err := strconv.Atoi(u.Uid)
	p.ok(err)
	for _, name := range names {
		p.ok(os.Chown(filepath.Join(p.dir, name), uid, 0))
	}
}

func (p *postfix) command(c *exec.Cmd) {
	p.t.Helper()
	if out, err := c.CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s", c, err, out)
	}
}

func (p *postfix) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// log is what Postfix logged so far.
func (p *postfix) log() string {
	b, err := os.ReadFile(filepath.Join(p.dir, "log"))
	p.ok(err)
	return string(b)
}

// count returns how often Postfix logged text.
func (p *postfix) count(text string) int { return strings.Count(p.log(), text) }
