package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backstamp/internal/mailtest"
)

// What every real client sends.
const (
	koreanSubject = "주문 확인: 상품이 발송되었습니다"
	koreanHTML    = "<html><body><p>안녕하세요, 고객님.</p><a href=\"https://example.com/order?a=1&amp;b=2\">주문 보기</a></body></html>\n"
)

// A post is where and how a client submits.
type post struct {
	host, port string
	tls        string // off, starttls or implicit
	user, pass string
	ca         string // a file
	files      files
}

// files are the message, whole and in parts.
type files struct{ dir, message, html, attachment string }

// A realClient is one that people use. Its command gets the post in the
// environment.
type realClient struct {
	name    string
	tools   []string // the program and libraries that must be there
	tls     []string // the ways it can submit: off without a login, the others with one
	command func(p post) []string
	input   func(f files) string         // the file for its standard input
	run     func(*testing.T, post) error // instead of a command
}

var allWays = []string{"off", "starttls", "implicit"}

func script(words ...string) func(post) []string { return func(post) []string { return words } }

// realClients are in the order of the table.
func realClients() []realClient {
	const scripts = "testdata/clients/"
	message := func(f files) string { return f.message }
	return []realClient{
		{name: "swaks", tools: []string{"swaks"}, tls: allWays, command: swaks},
		{name: "msmtp", tools: []string{"msmtp"}, tls: allWays, command: msmtp, input: message},
		{name: "s-nail", tools: []string{"s-nail"}, tls: allWays, command: sNail, input: func(f files) string { return f.html }},
		{name: "curl", tools: []string{"curl"}, tls: allWays, command: curl},
		{name: "Python smtplib", tools: []string{"python3"}, tls: allWays, command: script("python3", scripts+"python.py")},
		{name: "Nodemailer", tools: []string{"node", "/usr/share/nodejs/nodemailer/package.json"}, tls: allWays, command: script("node", scripts+"nodemailer.js")},
		{name: "PHPMailer", tools: []string{"php", "/usr/share/php/libphp-phpmailer/autoload.php"}, tls: allWays, command: script("php", scripts+"phpmailer.php")},
		{name: "PHP mail(), by our sendmail", tools: []string{"php"}, tls: allWays[:1], command: phpMail},
		{name: "JavaMail", tools: []string{"java", "/usr/share/java/javax.mail.jar"}, tls: allWays, command: script("java", "-cp", "/usr/share/java/javax.mail.jar:/usr/share/java/javax.activation.jar", scripts+"JavaMail.java")},
		{name: "Perl Net::SMTP", tools: []string{"perl", "/usr/share/perl5/Authen/SASL.pm", "/usr/share/perl5/IO/Socket/SSL.pm"}, tls: allWays, command: script("perl", scripts+"netsmtp.pl")},
		{name: "Ruby mail", tools: []string{"ruby", "/usr/lib/ruby/vendor_ruby/mail.rb"}, tls: allWays, command: script("ruby", scripts+"mail.rb")},
		{name: "Go net/smtp", tls: allWays, run: goSMTP},
	}
}

func swaks(p post) []string {
	args := []string{"swaks", "--server", p.host, "--port", p.port, "--from", "app@shop.test", "--to", "kim@b.test", "--data", "@" + p.files.message}
	if p.tls != "off" {
		args = append(args, "--auth", "PLAIN", "--auth-user", p.user, "--auth-password", p.pass)
	}
	return append(args, map[string][]string{"starttls": {"--tls"}, "implicit": {"--tls-on-connect"}}[p.tls]...)
}

func msmtp(p post) []string {
	args := []string{"msmtp", "--file=/dev/null", "--host=" + p.host, "--port=" + p.port, "--from=app@shop.test"}
	if p.tls != "off" {
		args = append(args, "--tls=on", "--tls-trust-file="+p.ca, "--auth=plain", "--user="+p.user, "--passwordeval=echo "+p.pass)
	}
	if p.tls == "implicit" {
		args = append(args, "--tls-starttls=off")
	}
	return append(args, "kim@b.test")
}

func sNail(p post) []string {
	scheme, login, set := "smtp", "", []string{"-S", "smtp-auth=none"}
	if p.tls != "off" {
		login, set = p.user+":"+p.pass+"@", []string{"-S", "smtp-auth=plain", "-S", "tls-ca-file=" + p.ca, "-S", "tls-verify=strict"}
	}
	switch p.tls {
	case "starttls":
		set = append(set, "-S", "smtp-use-starttls")
	case "implicit":
		scheme = "smtps"
	}
	args := []string{"s-nail", "-:/", "-S", "v15-compat", "-S", "mta=" + scheme + "://" + login + net.JoinHostPort(p.host, p.port), "-S", "ttycharset=utf-8", "-S", "sendwait"}
	return append(append(args, set...), "-M", "text/html", "-r", "app@shop.test", "-s", koreanSubject, "-a", p.files.attachment, "kim@b.test")
}

func curl(p post) []string {
	scheme := "smtp"
	if p.tls == "implicit" {
		scheme = "smtps"
	}
	args := []string{"curl", "-sS", scheme + "://" + net.JoinHostPort(p.host, p.port), "--mail-from", "app@shop.test", "--mail-rcpt", "kim@b.test", "-T", p.files.message, "--crlf"}
	if p.tls != "off" {
		args = append(args, "--ssl-reqd", "--cacert", p.ca, "--user", p.user+":"+p.pass)
	}
	return args
}

// phpMail is PHP's mail(), whose sendmail is this program.
func phpMail(p post) []string {
	return []string{"php", "-d", "sendmail_path=" + filepath.Join(p.files.dir, "sendmail") + " -t -i", "testdata/clients/mail.php"}
}

// goSMTP is what a Go program does, with each way of TLS.
func goSMTP(t *testing.T, p post) error {
	pem, err := os.ReadFile(p.ca)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	trust := &tls.Config{RootCAs: pool, ServerName: p.host}
	conn, err := net.Dial("tcp", net.JoinHostPort(p.host, p.port))
	if err != nil {
		return err
	}
	if p.tls == "implicit" {
		conn = tls.Client(conn, trust)
	}
	c, err := smtp.NewClient(conn, p.host)
	if err != nil {
		return err
	}
	defer c.Close()
	if p.tls == "starttls" {
		if err := c.StartTLS(trust); err != nil {
			return err
		}
	}
	if p.user != "" {
		if err := c.Auth(smtp.PlainAuth("", p.user, p.pass, p.host)); err != nil {
			return err
		}
	}
	message, err := os.ReadFile(p.files.message)
	if err != nil {
		return err
	}
	if err := c.Mail("app@shop.test"); err != nil {
		return err
	}
	if err := c.Rcpt("kim@b.test"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(message); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// TestRealClients has the clients that people use deliver a Korean message with
// an attachment, in each way that they can: upstream gets it whole, with its
// link tracked. What each shows of quirks becomes the table in docs/clients.md.
func TestRealClients(t *testing.T) {
	if testing.Short() {
		t.Skip("six seconds of other programs")
	}
	clients := realClients()
	for _, c := range clients {
		for _, tool := range c.tools {
			mailtest.Tool(t, tool)
		}
	}
	peer := mailtest.Start(t, mailtest.Script{})
	in, posts := postOffice(t, peer)
	var table strings.Builder
	table.WriteString("| client | no login | STARTTLS and login | TLS from the start and login | quirks |\n|---|---|---|---|---|\n")
	for _, c := range clients {
		quirks := []string{}
		cells := map[string]string{"off": "–", "starttls": "–", "implicit": "–"}
		for _, way := range c.tls {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				quirks = append(quirks, observe(t, in, peer, c, posts[way])...)
				cells[way] = "whole, tracked"
			})
		}
		slices.Sort(quirks)
		shown := strings.Join(slices.Compact(quirks), ", ")
		if shown == "" {
			shown = "none"
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", c.name, cells["off"], cells["starttls"], cells["implicit"], shown)
	}
	if !t.Failed() {
		mailtest.Section(t, "../../docs/clients.md", "real clients", table.String())
	}
}

// postOffice starts a server with a listener of each kind, and lays out what the
// clients need.
func postOffice(t *testing.T, peer *mailtest.Peer) (*instance, map[string]post) {
	t.Helper()
	dir := t.TempDir()
	f := files{dir: dir, message: filepath.Join(dir, "message.eml"), html: filepath.Join(dir, "message.html"), attachment: filepath.Join(dir, "a.bin")}
	attachment := make([]byte, 5000)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(attachment)
	cert, key, ca := certificates(t, dir)
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(f.html, []byte(koreanHTML))
	write(f.attachment, attachment)
	write(f.message, rawMessage(attachment))

	listen := freeAddress(t)
	doors := `[{address: "` + listen + `", clients: [127.0.0.0/8]}`
	for _, way := range allWays[1:] {
		doors += `, {address: "127.0.0.1:0", clients: [127.0.0.0/8], auth: required, tls: "` + way + `", cert: "` + cert + `", key: "` + key + `"}`
	}
	conf := strings.Replace(relayConfig(peer.Addr, ""), `[{address: "127.0.0.1:0", clients: [127.0.0.0/8]}]`, doors+"]", 1)
	conf = strings.Replace(conf, "    networks: [127.0.0.0/8]\n", "    networks: [127.0.0.0/8]\n    login: {username: shop, password: secret}\n", 1)
	in := start(t, conf)
	if self, err := os.Executable(); err != nil || os.Symlink(self, filepath.Join(dir, "sendmail")) != nil {
		t.Fatalf("no link to the program: %v", err)
	}
	posts := map[string]post{}
	for i, way := range allWays {
		_, port, _ := net.SplitHostPort(in.bound.SMTP[i].String())
		posts[way] = post{host: "localhost", port: port, tls: way, ca: ca, files: f}
	}
	for _, way := range allWays[1:] {
		p := posts[way]
		p.user, p.pass = "shop", "secret"
		posts[way] = p
	}
	return in, posts
}

// certificates writes those of a server and of the CA that vouches for it.
func certificates(t *testing.T, dir string) (cert, key, ca string) {
	t.Helper()
	authority := mailtest.NewCA(t)
	pair := authority.Valid().Certificates[0]
	der, err := x509.MarshalECPrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", pair.Certificate[0]), write("key.pem", "EC PRIVATE KEY", der),
		write("ca.pem", "CERTIFICATE", authority.Certificate())
}

// rawMessage is for clients that are given a message as a whole, with the line
// ends of this system.
func rawMessage(attachment []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: app@shop.test\nTo: kim@b.test\nSubject: %s\nMIME-Version: 1.0\n", mime.BEncoding.Encode("utf-8", koreanSubject))
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=mark\n\n--mark\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n%s\n", wrap(koreanHTML))
	fmt.Fprintf(&b, "--mark\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=a.bin\n\n%s\n--mark--\n", wrap(string(attachment)))
	return b.Bytes()
}

func wrap(s string) string {
	var lines []string
	for text := base64.StdEncoding.EncodeToString([]byte(s)); text != ""; {
		n := min(76, len(text))
		lines, text = append(lines, text[:n]), text[n:]
	}
	return strings.Join(lines, "\n")
}

// observe has a client send, looks at what came upstream and returns the quirks
// that were seen.
func observe(t *testing.T, in *instance, peer *mailtest.Peer, c realClient, p post) (quirks []string) {
	t.Helper()
	before := len(in.rows("messages"))
	if c.run != nil {
		if err := c.run(t, p); err != nil {
			t.Fatal(err)
		}
	} else if out, err := execute(t, in, c, p); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := len(in.rows("messages")); n != before+1 {
		t.Fatalf("%d messages came, want 1", n-before)
	}
	arrived(t, peer.Wait(t), p.files)
	m := in.show(in.rows("messages", "--limit", "1")[0]["id"].(string))
	client := m["client"].(map[string]any)
	if encrypted := client["tls"] != nil; m["tracked"] != true || encrypted != (p.tls != "off") || encrypted != (client["user"] == "shop") {
		t.Errorf("tracked %v, client %v", m["tracked"], client)
	}
	for _, q := range m["quirks"].([]any) {
		quirks = append(quirks, q.(string))
	}
	return quirks
}

// execute runs a client's program.
func execute(t *testing.T, in *instance, c realClient, p post) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	words := c.command(p)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(),
		"MAIL_HOST="+p.host, "MAIL_PORT="+p.port, "MAIL_TLS="+p.tls, "MAIL_USER="+p.user, "MAIL_PASS="+p.pass, "MAIL_CA="+p.ca,
		"MAIL_SUBJECT="+koreanSubject, "MAIL_FILE="+p.files.message, "MAIL_HTML="+p.files.html, "MAIL_ATTACHMENT="+p.files.attachment,
		"NODE_PATH=/usr/share/nodejs", "LC_ALL=C.UTF-8", "MAILRC=/dev/null",
		"BACKSTAMP_TEST_MAIN=1", "BACKSTAMP_CONFIG="+in.config)
	if c.input != nil {
		f, err := os.Open(c.input(p.files))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		cmd.Stdin = f
	}
	return cmd.CombinedOutput()
}

// arrived looks at a message as its reader does.
func arrived(t *testing.T, tx mailtest.Transaction, f files) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(tx.Content))
	if err != nil {
		t.Fatalf("%v\n%s", err, tx.Content)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != koreanSubject {
		t.Errorf("subject %q, %v", subject, err)
	}
	if m.Header.Get("Bcc") != "" || m.Header.Get("Message-ID") == "" || m.Header.Get("Date") == "" {
		t.Errorf("header %v", m.Header)
	}
	if tx.MailFrom != "app@shop.test" || len(tx.Recipients) != 1 {
		t.Errorf("from %q to %q", tx.MailFrom, tx.Recipients)
	}
	want, err := os.ReadFile(f.attachment)
	if err != nil {
		t.Fatal(err)
	}
	var html string
	attached := false
	leaves(t, m.Header.Get, m.Body, func(kind string, body []byte) {
		if kind == "text/html" {
			html = string(body)
		}
		attached = attached || bytes.Equal(body, want)
	})
	if !strings.Contains(html, "안녕하세요, 고객님.") || !strings.Contains(html, ">주문 보기</a>") {
		t.Errorf("the text is not what it was:\n%s", html)
	}
	if !strings.Contains(html, `<a href="`+publicBase+"/c/") || strings.Contains(html, `"https://example.com/order`) || !strings.Contains(html, publicBase+"/o/") {
		t.Errorf("not tracked:\n%s", html)
	}
	if !attached {
		t.Error("the attachment is not what it was")
	}
}

// leaves visits the parts that hold no others, decoded.
func leaves(t *testing.T, field func(string) string, body io.Reader, visit func(kind string, body []byte)) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(field("Content-Type"))
	if err != nil {
		t.Fatalf("type %q: %v", field("Content-Type"), err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		for r := multipart.NewReader(body, params["boundary"]); ; {
			part, err := r.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			leaves(t, part.Header.Get, part, visit)
		}
	}
	switch strings.ToLower(field("Content-Transfer-Encoding")) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Errorf("a part of type %s: %v", kind, err)
	}
	visit(kind, b)
}
