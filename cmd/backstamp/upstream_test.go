package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/korean"

	"backstamp/internal/damage"
	"backstamp/internal/mailtest"
)

// everything is what a modern server offers.
var everything = []string{"PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING"}

func without(names ...string) []string {
	offers := slices.DeleteFunc(slices.Clone(everything), func(s string) bool {
		return slices.Contains(names, strings.Fields(s)[0])
	})
	return append(offers, "HELP")
}

// eightBitLetters are what old and new software sends.
func eightBitLetters(t testing.TB) map[string]string {
	euckr, err := korean.EUCKR.NewEncoder().String("주문이 접수되었습니다.\n")
	if err != nil {
		t.Fatal(err)
	}
	head := "From: Shop <app@shop.test>\nTo: kim@sink.test\nMIME-Version: 1.0\n"
	letters := map[string]string{
		"ASCII":     head + "Subject: plain\nContent-Type: text/plain\n\n.dot\nplain\n",
		"EUC-KR":    head + "Content-Type: text/plain; charset=euc-kr\nContent-Transfer-Encoding: 8bit\n\n" + strings.Repeat(euckr, 50),
		"no MIME":   "From: app@shop.test\nSubject: x\n\n" + euckr,
		"long line": head + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + strings.Repeat("가나다 ", 200) + "\n",
		"tracked": head + "Content-Type: multipart/mixed; boundary=o\nContent-Transfer-Encoding: 8bit\n\n--o\nContent-Type: multipart/alternative; boundary=i\n\n" +
			"--i\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n주문 https://shop.example/1\n--i\n" +
			"Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n<html><body><p>주문이 접수되었습니다. <a href=\"https://shop.example/1\">보기</a></p></body></html>\n--i--\n\n" +
			"--o\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: 8bit\nContent-Disposition: attachment; filename=a.bin\n\n\xff\xfe\x80" + strings.Repeat("\x90", 300) + "\n--o--\n",
		"forwarded": head + "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: in\nFrom: a@b.test\n\nplain\n",
	}
	letters["large"] = head + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + strings.Repeat("한 줄의 글입니다.\n", 20_000)
	return letters
}

// A server that lacks an extension gets every message whole all the same.
func TestUpstreamWithout(t *testing.T) {
	letters := eightBitLetters(t)
	for _, missing := range [][]string{{"8BITMIME"}, {"SMTPUTF8"}, {"SIZE"}, {"PIPELINING"}, {"CHUNKING"},
		{"8BITMIME", "SMTPUTF8", "SIZE", "PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES"}} {
		t.Run(strings.Join(missing, " "), func(t *testing.T) {
			upstream := mailtest.Start(t, mailtest.Script{Extensions: without(missing...)})
			in := start(t, relayConfig(upstream.Addr, ""))
			for name, text := range letters {
				to := strings.ReplaceAll(name, " ", "-") + "@sink.test"
				if r := mailtest.SendMail(t, in.smtp(), "app@shop.test", []string{to}, text); !strings.HasPrefix(r, "250 ") {
					t.Fatalf("%s: %s", name, r)
				}
				got := upstream.Wait(t)
				if got.Recipients[0] != to || !got.Complete {
					t.Fatalf("%s: %+v", name, got)
				}
				intact(t, name, []byte(mailtest.CRLF(text)), got, missing)
			}
		})
	}
}

// intact judges what came for a message, and how.
func intact(t testing.TB, name string, sent []byte, got mailtest.Transaction, missing []string) {
	t.Helper()
	arrived := got.Content
	j := damage.Judge{Base: publicBase, Recoded: slices.Contains(missing, "8BITMIME"), Mended: true}
	if j.Recoded && bytes.ContainsFunc(arrived, func(r rune) bool { return r >= 0x80 }) {
		t.Errorf("%s: bytes beyond ASCII for a server without 8BITMIME", name)
	}
	for _, c := range []struct{ extension, param string }{{"8BITMIME", "BODY="}, {"SIZE", "SIZE="}, {"SMTPUTF8", "SMTPUTF8"}} {
		if slices.Contains(missing, c.extension) && strings.Contains(got.Mail, c.param) {
			t.Errorf("%s: %s", name, got.Mail)
		}
	}
	was, is := damage.Split(sent), damage.Split(arrived)
	_, err := j.Body(was, is)
	if body, decodeErr := is.Decoded(); err != nil && decodeErr == nil && sameBody(withEnd(body), withEnd(was.Body)) {
		err = nil // it has no header that ends
	}
	if err != nil {
		t.Errorf("%s is damaged: %v\n%.1500s", name, err, arrived)
	}
	for line := range bytes.Lines(arrived) {
		if len(line) > 1000 && j.Recoded {
			t.Errorf("%s: a line of %d octets", name, len(line))
		}
	}
}

// The corpus too goes through a server that takes ASCII alone.
func TestCorpusInASCII(t *testing.T) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		t.Skip("BACKSTAMP_CORPUS is not set")
	}
	upstream := mailtest.Start(t, mailtest.Script{Extensions: without("8BITMIME", "SMTPUTF8")})
	in := start(t, relayConfig(upstream.Addr, "    align: warn\n    default_from: app@shop.test\n    notices: {to: off}\n"))
	sent, failed := 0, 0
	for i, file := range corpusFiles(t, filepath.Join(root, "mail")) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		wire := damage.Wire(content)
		if !bytes.ContainsFunc(wire, func(r rune) bool { return r >= 0x80 }) {
			continue
		}
		to := fmt.Sprintf("n%d@sink.test", i)
		if r := mailtest.SendMail(t, in.smtp(), "app@shop.test", []string{to}, string(content)); !strings.HasPrefix(r, "250 ") {
			continue
		}
		var status string
		in.until("it is over", func() bool {
			status = in.rows("messages", "--to", to)[0]["deliveries"].([]any)[0].(map[string]any)["status"].(string)
			return status == "sent" || status == "failed"
		})
		if status == "failed" {
			failed++
			t.Logf("%s cannot be written in ASCII", rel(root, file))
			continue
		}
		sent++
		intact(t, rel(root, file), wire, upstream.Wait(t), []string{"8BITMIME", "SMTPUTF8"})
	}
	t.Logf("%d sent, %d failed", sent, failed)
	if sent < 20 {
		t.Errorf("only %d files with bytes beyond ASCII were sent", sent)
	}
}

// Where there is no other spelling the sender learns it at once, in the words of
// the standard; a server with SMTPUTF8 gets addresses and header as they are.
func TestSMTPUTF8(t *testing.T) {
	for _, c := range []struct {
		offers         []string
		to             string
		status, reply  string
		mailed, header string
	}{
		{everything, "길동@sink.test", "sent", "250 ", "SMTPUTF8", "Subject: 주문"},
		{everything, "kim@sink.test", "sent", "250 ", "SMTPUTF8", "Subject: 주문"},
		{without("SMTPUTF8"), "kim@한국.test", "sent", "250 ", "", "Subject: =?utf-8?b?"},
		{without("SMTPUTF8"), "길동@sink.test", "failed", "", "", ""},
	} {
		upstream := mailtest.Start(t, mailtest.Script{Extensions: c.offers})
		in := start(t, relayConfig(upstream.Addr, ""))
		client := mailtest.Dial(t, in.smtp())
		client.Expect("EHLO c", "250")
		client.Expect("MAIL FROM:<app@shop.test> SMTPUTF8 BODY=8BITMIME", "250")
		client.Expect("RCPT TO:<"+c.to+">", "250")
		client.Expect("DATA", "354")
		if r := client.Message("From: app@shop.test\nSubject: 주문\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n안녕\n"); !strings.HasPrefix(r, "250 ") {
			t.Fatal(r)
		}
		var d map[string]any
		in.until("it is over", func() bool {
			d = in.delivery(c.to)
			return d["status"] == "sent" || d["status"] == "failed"
		})
		if d["status"] != c.status {
			t.Errorf("%s: %v", c.to, d)
		}
		if c.status == "failed" {
			if x := d["explain"].(map[string]any); x["id"] != "generic.smtputf8" {
				t.Errorf("%s: %v", c.to, x)
			}
			continue
		}
		got := upstream.Wait(t)
		if strings.Contains(got.Mail, "SMTPUTF8") != (c.mailed != "") || !bytes.Contains(got.Content, []byte(c.header)) {
			t.Errorf("%s: %s\n%s", c.to, got.Mail, got.Content)
		}
	}
}

// EHLO tells what the smallest provider takes, as soon as it has said so, and a
// message that another may take is not refused for it.
func TestSize(t *testing.T) {
	small := mailtest.Start(t, mailtest.Script{Extensions: []string{"SIZE 50000"}})
	large := mailtest.Start(t, mailtest.Script{Extensions: []string{"SIZE 5000000"}})
	in := start(t, relayConfig(small.Addr, fmt.Sprintf("      big: {preset: generic, host: 127.0.0.1, port: %d, tls: \"off\", senders: [\"@big.test\"]}\n    default_provider: main\n", large.Port)))
	offers := func() string {
		c := mailtest.Dial(t, in.smtp())
		defer c.Close()
		return c.Expect("EHLO c", "250")
	}
	if r := offers(); !strings.Contains(r, "SIZE 67108864") {
		t.Errorf("before anything is known: %s", r)
	}
	letter := "From: app@%s\nSubject: x\n\n" + strings.Repeat("sixty octets of text that nobody reads, line after line....\n", 2000)
	if r := mailtest.SendMail(t, in.smtp(), "app@big.test", []string{"kim@sink.test"}, fmt.Sprintf(letter, "big.test")); !strings.HasPrefix(r, "250 ") {
		t.Fatal(r)
	}
	large.Wait(t)
	if r := offers(); !strings.Contains(r, "SIZE 5000000") {
		t.Errorf("with one known: %s", r)
	}
	if r := mailtest.SendMail(t, in.smtp(), "app@shop.test", []string{"lee@sink.test"}, fmt.Sprintf(letter, "shop.test")); !strings.HasPrefix(r, "250 ") {
		t.Fatal(r)
	}
	if d := in.over("lee@sink.test"); d["status"] != "failed" || d["explain"].(map[string]any)["id"] != "generic.too-large" {
		t.Errorf("%v", d)
	}
	if r := offers(); !strings.Contains(r, "SIZE 50000\n") && !strings.HasSuffix(r, "SIZE 50000") {
		t.Errorf("with both known: %s", r)
	}
	r := submit(t, in.smtp(), "app@big.test", "SIZE=130000", "kim@sink.test", "", fmt.Sprintf(letter, "big.test"))
	if !strings.HasPrefix(r, "250 ") {
		t.Errorf("what one provider takes is refused: %s", r)
	}
}
