package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"mime"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"backstamp/internal/damage"
	"backstamp/internal/mailtest"
)

// An oldClient is one that exists, by what is odd about it.
type oldClient struct {
	row    int    // of what is known of old clients
	does   string // in words
	sends  string // the odd bytes, which play has to send
	quirk  string // that shows, "" for none
	from   string // its address, if it is not this machine
	tls    bool   // it comes to the listener with TLS
	play   func(*talk)
	got    []string                   // what our replies have
	sent   []string                   // what goes upstream has
	lacks  []string                   // and has not
	whole  func(sent sentMail) string // what is wrong with what goes upstream
	shown  string                     // what whole looks at, in words
	refuse string                     // the reply that ends it, where it has to be refused
}

// A sentMail is what reached the server behind.
type sentMail struct {
	*mailtest.Transaction
	sink *mailtest.Peer
}

// text is the envelope and the message, in one piece.
func (s sentMail) text() string {
	return s.Mail + "\r\n" + strings.Join(s.Rcpts, "\r\n") + "\r\n" + string(s.Content)
}

const (
	goodFrom  = "From: app@shop.test\r\n"
	goodDate  = "Date: Thu, 5 Mar 2026 09:30:00 +0900\r\nMessage-ID: <1@shop.test>\r\n"
	cp949Hi   = "\xbe\xc8\xb3\xe7"         // 안녕
	cp949Only = "\xb6\xca\xb6\xa1\xbe\xc8" // 뚕뚃 begins with a letter that EUC-KR lacks
)

// oldClients are in the order of the table.
func oldClients() []oldClient {
	letter := func(k *talk, fields, body string) { k.hand("HELO box", "MAIL FROM:<app@shop.test>", fields, body) }
	plain := func(from string) func(*talk) {
		return func(k *talk) { k.hand("HELO box", from, goodFrom+goodDate, "hello\r\n") }
	}
	login := func(say ...string) func(*talk) {
		return func(k *talk) {
			k.say(say...)
			k.hand("", "MAIL FROM:<app@shop.test>", goodFrom+goodDate, "hello\r\n")
		}
	}
	user, pass := base64.StdEncoding.EncodeToString([]byte("shop")), base64.StdEncoding.EncodeToString([]byte("sesam"))
	odd := base64.StdEncoding.EncodeToString([]byte("\x00printer\x00p@ss:w\"o\\r d%<>"))
	signed := "--s\r\nContent-Type: text/html\r\n\r\n<a href=\"https://shop.test/\">x</a>\r\n--s\r\nContent-Type: application/pkcs7-signature\r\n\r\nMIIB\r\n--s--\r\n"
	sigType := "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=s; micalg=sha-256; protocol=\"application/pkcs7-signature\"\r\n"
	htmlType := "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"
	return []oldClient{
		{row: 1, does: "knows AUTH LOGIN alone, with the name in it", sends: "AUTH LOGIN " + user, quirk: "auth-login",
			play: login("EHLO box", "AUTH LOGIN "+user, pass), got: []string{"235 "}, sent: []string{"MAIL FROM:<app@shop.test>"}},
		{row: 2, does: "gives up at an odd prompt; looks for `AUTH=`", sends: "AUTH LOGIN\r\n", quirk: "auth-login",
			play: login("EHLO box", "AUTH LOGIN", user, pass), got: []string{"AUTH PLAIN LOGIN", "AUTH=PLAIN LOGIN", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 "}, sent: []string{"MAIL FROM:<app@shop.test>"}},
		{row: 3, does: "logs in after HELO", sends: "HELO box\r\nAUTH LOGIN", quirk: "auth-after-helo",
			play: login("HELO box", "AUTH LOGIN", user, pass), got: []string{"235 "}, sent: []string{"MAIL FROM:<app@shop.test>"}},
		{row: 4, does: "HELO without a name", sends: "HELO\r\n", quirk: "helo-empty",
			play: func(k *talk) { k.hand("HELO", "MAIL FROM:<app@shop.test>", goodFrom+goodDate, "hello\r\n") }, sent: []string{"hello"}},
		{row: 5, does: "a name with an underscore and a blank", sends: "HELO my_box 2", quirk: "helo-name",
			play: func(k *talk) { k.hand("HELO my_box 2", "MAIL FROM:<app@shop.test>", goodFrom+goodDate, "hello\r\n") }, sent: []string{"hello"}},
		{row: 6, does: "no HELO at all", sends: "MAIL FROM:<app@shop.test>", quirk: "no-helo",
			play: func(k *talk) { k.hand("", "MAIL FROM:<app@shop.test>", goodFrom+goodDate, "hello\r\n") }, sent: []string{"hello"}},
		{row: 7, does: "a blank after the colon, no brackets", sends: "MAIL FROM: app@shop.test", quirk: "path-without-brackets",
			play: plain("MAIL FROM: app@shop.test"), sent: []string{"MAIL FROM:<app@shop.test>"}},
		{row: 8, does: "a blank before the colon, a name before the address", sends: "MAIL FROM :App <app@shop.test>", quirk: "path-name",
			play: plain("MAIL FROM :App <app@shop.test>"), sent: []string{"MAIL FROM:<app@shop.test>"}},
		{row: 9, does: "addresses without a domain", sends: "MAIL FROM:<root>", quirk: "address-without-domain",
			play: func(k *talk) { k.hand("HELO box", "MAIL FROM:<root>", "From: root\r\n"+goodDate, "hello\r\n") }, sent: []string{"MAIL FROM:<root@shop.test>", "From: root@shop.test"}},
		{row: 10, does: "a dot at the end of the local part", sends: "MAIL FROM:<scan.@shop.test>", quirk: "address-syntax",
			play: plain("MAIL FROM:<scan.@shop.test>"), sent: []string{"MAIL FROM:<\"scan.\"@shop.test>", "From: app@shop.test"}},
		{row: 11, does: "no sender", sends: "MAIL FROM:<>",
			play: func(k *talk) {
				k.hand("HELO box", "MAIL FROM:<>", goodFrom+goodDate+htmlType, "<a href=\"https://shop.test/\">x</a>\r\n")
			}, sent: []string{"MAIL FROM:<>", "<a href=\"https://shop.test/\">x</a>\r\n"}},
		{row: 12, does: "parameters that nobody offered", sends: "MAIL FROM:<app@shop.test> BODY=7bit X-JOB=7", quirk: "unknown-parameter",
			play: plain("MAIL FROM:<app@shop.test> BODY=7bit X-JOB=7"), sent: []string{"MAIL FROM:<app@shop.test>"}, lacks: []string{"X-JOB"}},
		{row: 13, does: "on another machine, without TLS", sends: "MAIL FROM:<app@shop.test>", quirk: "no-tls", from: "10.0.5.21",
			play: plain("MAIL FROM:<app@shop.test>"), sent: []string{"MAIL FROM:<app@shop.test>"}},
		{row: 14, does: "TLS 1.0, RSA and CBC alone", sends: "STARTTLS", quirk: "old-tls", tls: true,
			play: func(k *talk) {
				k.say("EHLO box", "STARTTLS")
				k.tls(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}})
				k.hand("EHLO box", "MAIL FROM:<app@shop.test>", goodFrom+goodDate, "hello\r\n")
			}, sent: []string{"hello"}},
		{row: 15, does: "checks the certificate by a file it was given", sends: "STARTTLS", tls: true,
			play: func(k *talk) {
				k.say("EHLO box", "STARTTLS")
				k.tls(&tls.Config{RootCAs: k.trust, ServerName: k.name})
				k.hand("EHLO box", "MAIL FROM:<app@shop.test>", goodFrom+goodDate, "hello\r\n")
			}, sent: []string{"hello"}},
		{row: 16, does: "lines end in LF, DATA in CRLF", sends: "one\n.two\nthree\n\r\n.\r\n", quirk: "bare-lf",
			play: func(k *talk) {
				k.hand("HELO box", "MAIL FROM:<app@shop.test>", mailtest.LF(goodFrom+goodDate), "one\n.two\nthree\n")
			}, sent: []string{"one\r\n.two\r\nthree\r\n"}},
		{row: 17, does: "all lines end in LF, the last is `LF . LF`", sends: "\n.\n", quirk: "lf-dot", refuse: "451 4.4.2",
			play: func(k *talk) {
				k.say("HELO box", "MAIL FROM:<app@shop.test>", k.rcpt, "DATA")
				k.raw(mailtest.LF(goodFrom+goodDate)+"\nhello\n.\n", 1)
			}, got: []string{"CRLF . CRLF"}},
		{row: 18, does: "lines end in CR CR LF", sends: "one\r\r\n", quirk: "bare-cr",
			play: func(k *talk) {
				letter(k, strings.ReplaceAll(goodFrom+goodDate, "\r\n", "\r\r\n"), "one\r\r\ntwo\r\n")
			}, sent: []string{"one\r\ntwo\r\n"}, lacks: []string{"\r\r"}},
		{row: 19, does: "HTML in one line of 3,300 octets", sends: longLine, quirk: "long-line",
			play: func(k *talk) { letter(k, goodFrom+goodDate+htmlType, longLine+"\r\n") }, whole: shortLines, shown: "no line over 998 octets, the text whole"},
		{row: 20, does: "8-bit text, no MIME fields", sends: "안녕하세요", quirk: "no-charset",
			play: func(k *talk) { letter(k, goodFrom+goodDate, "안녕하세요, 고객님\r\n") }, sent: []string{"MIME-Version: 1.0", "charset=utf-8", "안녕하세요, 고객님\r\n"}},
		{row: 21, does: "raw CP949 and UTF-8 in one header", sends: "Subject: " + cp949Hi, quirk: "raw-header", from: "10.0.6.2",
			play: func(k *talk) {
				letter(k, goodFrom+goodDate+"Subject: "+cp949Hi+"\r\nComments: 주문\r\n", "hello\r\n")
			},
			whole: fieldsRead("Subject", "안녕", "Comments", "주문"), shown: "both encoded, they read 안녕 and 주문"},
		{row: 22, does: "an old name of a charset", sends: "charset=ks_c_5601-1987", quirk: "charset-alias",
			play: func(k *talk) {
				letter(k, goodFrom+goodDate+"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=ks_c_5601-1987\r\nContent-Transfer-Encoding: 8bit\r\n", cp949Hi+"\r\n")
			}, sent: []string{"charset=ks_c_5601-1987", cp949Hi + "\r\n"}},
		{row: 23, does: "CP949 that is called utf-8", sends: cp949Hi, quirk: "wrong-charset",
			play: func(k *talk) {
				letter(k, goodFrom+goodDate+"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", cp949Hi+cp949Hi+"\r\n")
			}, sent: []string{"charset=utf-8", cp949Hi + cp949Hi + "\r\n"}},
		{row: 24, does: "plain text that is called base64", sends: "Content-Transfer-Encoding: base64", quirk: "wrong-encoding",
			play: func(k *talk) {
				letter(k, goodFrom+goodDate+htmlType+"Content-Transfer-Encoding: base64\r\n", "<a href=\"https://shop.test/\">this is no base64!</a>\r\n")
			}, sent: []string{"<a href=\"https://shop.test/\">this is no base64!</a>\r\n"}},
		{row: 25, does: "no From, Date or Message-ID", sends: "Subject: job 7\r\n\r\n", quirk: "no-from",
			play: func(k *talk) { letter(k, "Subject: job 7\r\n", "hello\r\n") }, sent: []string{"From: shop@shop.test", "Date: ", "Message-ID: <"}},
		{row: 26, does: "two From fields (refused), then Bcc in the header", sends: "Bcc: boss@b.test", quirk: "bcc",
			play: func(k *talk) {
				k.attempt(func() { letter(k, goodFrom+"From: boss@shop.test\r\n"+goodDate, "hello\r\n") })
				k.hand("", "MAIL FROM:<app@shop.test>", goodFrom+goodDate+"Bcc: boss@b.test\r\n", "hello\r\n")
			}, got: []string{"550 "}, lacks: []string{"boss@"}},
		{row: 27, does: "everything at once, before the banner", sends: "HELO box\r\nMAIL FROM:<app@shop.test>\r\nRCPT", quirk: "pipelined",
			play: func(k *talk) {
				k.raw("HELO box\r\nMAIL FROM:<app@shop.test>\r\n"+k.rcpt+"\r\nDATA\r\n"+goodFrom+goodDate+"\r\nhello\r\n.\r\nQUIT\r\n", 5)
			}, sent: []string{"hello"}},
		{row: 28, does: "no QUIT: the connection is cut after the reply", sends: "\r\n.\r\n",
			play: plain("MAIL FROM:<app@shop.test>"), sent: []string{"hello"}},
		{row: 30, does: "NOOP and RSET, which upset some servers", sends: "NOOP\r\nRSET",
			play: func(k *talk) {
				k.say("EHLO box", "NOOP", "RSET")
				plain("MAIL FROM:<app@shop.test>")(k)
			}, whole: noNoop, shown: "no NOOP, no RSET"},
		{row: 31, does: "a scan that is too large", sends: "SIZE=90000000", refuse: "552 5.3.4",
			play: func(k *talk) {
				k.hand("EHLO box", "MAIL FROM:<app@shop.test> SIZE=90000000", goodFrom+goodDate, "hello\r\n")
			}},
		{row: 32, does: "a sender at localhost", sends: "MAIL FROM:<WordPress@localhost>", quirk: "local-domain",
			play: plain("MAIL FROM:<WordPress@localhost>"), sent: []string{"MAIL FROM:<app@shop.test>"}, lacks: []string{"@localhost"}},
		{row: 33, does: "a password with special characters", sends: "AUTH PLAIN " + odd,
			play: login("EHLO box", "AUTH PLAIN "+odd), got: []string{"235 "}, sent: []string{"hello"}},
		{row: 34, does: "mail that is signed already", sends: "multipart/signed",
			play: func(k *talk) { letter(k, goodFrom+goodDate+sigType, signed) }, sent: []string{signed}},
		{row: 35, does: "opts out of tracking, link by link and as other services have it", sends: "clicktracking=off",
			play: func(k *talk) {
				letter(k, goodFrom+goodDate+htmlType+"X-PM-TrackOpens: false\r\n", "<a clicktracking=off href=\"https://shop.test/a\">a</a> <a href=\"https://shop.test/b\">b</a>\r\n")
			}, sent: []string{"href=\"https://shop.test/a\"", "href=\"" + publicBase + "/c/"}, lacks: []string{"X-PM-TrackOpens", ".gif"}},
	}
}

// shortLines says whether a line is longer than SMTP carries, or the text was cut
// to make it fit.
func shortLines(s sentMail) string {
	for line := range bytes.Lines(s.Content) {
		if len(line) > 1000 {
			return fmt.Sprintf("has a line of %d octets", len(line)-2)
		}
	}
	text, err := damage.Split(s.Content).Decoded()
	if err != nil || !strings.HasPrefix(string(text), longLine) {
		return "has the text broken"
	}
	return ""
}

// longLine is a page that some program wrote in one line.
var longLine = strings.Repeat("<p>word</p>", 300)

// fieldsRead looks at fields, each name with what people have to read there, in
// ASCII.
func fieldsRead(fields ...string) func(sentMail) string {
	return func(s sentMail) string {
		for pair := range slices.Chunk(fields, 2) {
			raw := header(s.Content).Get(pair[0])
			got, err := new(mime.WordDecoder).DecodeHeader(raw)
			if err != nil || got != pair[1] || raw == got {
				return "has " + pair[0] + " " + code(raw)
			}
		}
		return ""
	}
}

func noNoop(s sentMail) string {
	if n := s.sink.Heard("NOOP") + s.sink.Heard("RSET"); n > 0 {
		return fmt.Sprintf("has %d NOOP or RSET", n)
	}
	return ""
}

// judge says what is wrong with what went upstream, "" for nothing.
func (c oldClient) judge(s sentMail) string {
	for _, not := range c.lacks {
		if strings.Contains(s.text(), not) {
			return "has " + code(not)
		}
	}
	for _, want := range c.sent {
		if !strings.Contains(s.text(), want) {
			return "lacks " + code(want)
		}
	}
	if c.whole != nil {
		return c.whole(s)
	}
	return ""
}

// TestOldClients has each play its dialogue with the program and with a Postfix
// as it is packaged, and writes what came of it into docs/clients.md (-update).
func TestOldClients(t *testing.T) {
	peer, clients := mailtest.Start(t, mailtest.Script{}), oldClients()
	in := start(t, oldClientsConfig(peer.Addr))
	trust := readPool(t, filepath.Join(in.dir, "data", "tls", "cert.pem"))
	rows := make([]string, len(clients))
	for i, c := range clients {
		rows[i] = c.serve(in, c.dialogue(t, c.door(in), "relay.test", c.from, trust), peer)
	}
	if t.Failed() {
		return
	}
	sink, postfix := mailtest.Start(t, mailtest.Script{}), 0
	packaged := startPackagedPostfix(t, sink.Addr)
	snakeoil, machine := readPool(t, snakeoilFile), ownerOf(t, snakeoilFile)
	for i, c := range clients {
		k := c.dialogue(t, packaged, machine, "", snakeoil)
		did := k.outcome(c, sink)
		if did == "" {
			postfix++
		}
		rows[i] += fmt.Sprintf(" %s | %s |\n", code(k.verdict()), orWord(did, "as ours"))
	}
	mailtest.Section(t, "../../docs/clients.md", "old clients",
		"| no. | the client | sends | gets | goes upstream | quirk | from Postfix it gets | goes upstream |\n|---|---|---|---|---|---|---|---|\n"+strings.Join(rows, "")+
			fmt.Sprintf("\nOf %d, all end as they should with Backstamp, and %d with Postfix as it is packaged.\n", len(clients), postfix))
}

// dialogue plays a client to the server at addr, of that name and certificate.
func (c oldClient) dialogue(t *testing.T, addr, name, from string, trust *x509.CertPool) *talk {
	t.Helper()
	k := &talk{t: t, name: name, trust: trust, rcpt: fmt.Sprintf("RCPT TO:<row%d@b.test>", c.row)}
	k.connect(addr, from)
	defer k.close()
	c.play(k)
	return k
}

// serve judges what the program did in a dialogue, and returns the row of it.
func (c oldClient) serve(in *instance, k *talk, sink *mailtest.Peer) (row string) {
	if !strings.Contains(k.said.String(), c.sends) {
		in.t.Errorf("%d: %q is not what it sends: %q", c.row, c.sends, k.said.String())
	}
	wrong, quirks, up := c.result(in, k, sink)
	if wrong != "" {
		in.t.Errorf("%d, %s: %s", c.row, c.does, wrong)
	}
	return fmt.Sprintf("| %d | %s | %s | %s | %s | %s |", c.row, c.does, code(short(c.sends)), c.answered(k), up, quirks)
}

// door is the listener that a client comes to.
func (c oldClient) door(in *instance) string {
	switch {
	case c.from != "":
		return in.bound.SMTP[1].String()
	case c.tls:
		return in.bound.SMTP[2].String()
	}
	return in.smtp()
}

// result judges what the program did: what is wrong, the quirk that it noted, and
// what went upstream, for the table.
func (c oldClient) result(in *instance, k *talk, sink *mailtest.Peer) (wrong, quirks, up string) {
	for _, want := range c.got {
		if !strings.Contains(k.heard.String(), want) {
			return fmt.Sprintf("no %q in what it got: %q", want, k.heard.String()), "none", "nothing"
		}
	}
	if c.refuse != "" {
		if !strings.HasPrefix(k.last, c.refuse) {
			wrong = "it got " + k.last
		}
		if c.visible(in) != c.quirk {
			wrong = "clients do not show " + c.quirk
		}
		return wrong, orWord(c.quirk, "none"), "nothing"
	}
	s, ok := taken(sink, c.row)
	if !ok {
		return "nothing arrived; it got " + k.last, "none", "nothing"
	}
	id := strings.TrimPrefix(k.last, "250 2.0.0 queued as ")
	noted := fmt.Sprint(in.show(id)["quirks"])
	quirks = orWord(strings.Join(strings.Fields(strings.Trim(noted, "[]")), ", "), "none")
	if wrong = c.judge(s); wrong == "" && c.quirk != "" && !strings.Contains(noted, c.quirk) {
		wrong = fmt.Sprintf("%s is not among its quirks %s", c.quirk, noted)
	}
	if wrong == "" && c.quirk != c.visible(in) {
		wrong = "clients do not show " + c.quirk
	}
	return wrong, quirks, orWord(wrong, c.shows())
}

// answered is what the client got, for the table.
func (c oldClient) answered(k *talk) string {
	cell := ""
	for _, want := range c.got {
		if !strings.Contains(k.last, want) {
			cell += code(strings.TrimSpace(want)) + ", "
		}
	}
	return cell + code(k.verdict())
}

// visible names the quirk where the list of clients has it.
func (c oldClient) visible(in *instance) string {
	for _, row := range in.rows("clients") {
		if q, _ := row["quirks"].(map[string]any); q[c.quirk] != nil {
			return c.quirk
		}
	}
	return ""
}

// shows is what went upstream as it should, for the table.
func (c oldClient) shows() string {
	var parts []string
	for _, s := range c.sent {
		parts = append(parts, code(short(s)))
	}
	for _, s := range c.lacks {
		parts = append(parts, "no "+code(short(s)))
	}
	if c.shown != "" {
		parts = append(parts, c.shown)
	}
	return strings.Join(parts, ", ")
}

// outcome is what a Postfix sent on, "" where that is what is wanted.
func (k *talk) outcome(c oldClient, sink *mailtest.Peer) string {
	if c.refuse != "" {
		if strings.HasPrefix(k.last, c.refuse[:3]) {
			return ""
		}
		if _, ok := taken(sink, c.row); ok {
			return "sent"
		}
		return "nothing"
	}
	if !strings.HasPrefix(k.last, "250") && !strings.HasPrefix(k.last, "221") {
		return "nothing"
	}
	s, ok := taken(sink, c.row)
	if !ok {
		return "nothing"
	}
	return c.judge(s)
}

// taken waits for the message of a row.
func taken(sink *mailtest.Peer, row int) (sentMail, bool) {
	to := fmt.Sprintf("row%d@b.test", row)
	for range 200 {
		for _, tx := range sink.Transactions() {
			if len(tx.Recipients) == 1 && tx.Recipients[0] == to && tx.Complete {
				return sentMail{&tx, sink}, true
			}
		}
		<-time.After(25 * time.Millisecond) // Postfix tells nobody when it gave up
	}
	return sentMail{}, false
}

// oldClientsConfig has a listener for this machine, one for clients that a proxy
// tells of, and one with TLS.
func oldClientsConfig(upstream string) string {
	host, port, _ := net.SplitHostPort(upstream)
	return fmt.Sprintf(`
hostname: relay.test
data_dir: data
default_domain: shop.test
limits: {read: 2s}
listeners:
  - {address: "127.0.0.1:0", clients: [127.0.0.0/8], legacy: true}
  - {address: "127.0.0.1:0", clients: [10.0.5.0/24, 10.0.6.0/24], legacy: true, proxy_protocol: [127.0.0.0/8]}
  - {address: "127.0.0.1:0", clients: [127.0.0.0/8], legacy: true, tls: starttls, min_tls: "1.0"}
tracking: {listen: "127.0.0.1:0", base_url: "%s"}
admin: {listen: "127.0.0.1:0"}
clients:
  erp: {networks: [10.0.6.0/24], charset: cp949}
providers:
  main: {preset: generic, host: "%s", port: %s, tls: "off", senders: ["@shop.test"]}
accounts:
  shop: {login: {username: shop, password: sesam}, networks: [127.0.0.0/8, 10.0.0.0/8], default_from: shop@shop.test}
  scans: {login: {username: printer, password: 'p@ss:w"o\r d%%<>'}}
`, publicBase, host, port)
}

// code is text as it stands in the table.
func code(s string) string {
	text := octets(s)
	if utf8.ValidString(s) {
		text = strconv.QuoteToGraphic(s)
		text = text[1 : len(text)-1]
	}
	return "`" + strings.NewReplacer(`\"`, `"`, "|", `\|`, "`", "'").Replace(text) + "`"
}

// octets shows what is no text, a byte each: no two pass for a letter.
func octets(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= utf8.RuneSelf {
			fmt.Fprintf(&b, `\x%02x`, c)
			continue
		}
		q := strconv.QuoteRuneToASCII(rune(c))
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// short keeps a cell short.
func short(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return s
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// ownerOf is the name that a certificate is for.
func ownerOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	block, _ := pem.Decode(text)
	if err != nil || block == nil {
		t.Fatalf("%s: %v", file, err)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || len(cert.DNSNames) == 0 {
		t.Fatalf("%s: %v, for %v", file, err, cert)
	}
	return cert.DNSNames[0]
}

func readPool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}
