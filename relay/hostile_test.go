package relay

import (
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"strings"
)

// A hostile is one session of a client that means no good, or knows no better:
// what it says, and where the network cuts that.
type hostile struct {
	fault string // its id in the list of faults, A1 to A13
	from  string // the client's address
	text  string
	at    int // as in pieces
	tls   bool
	// forbidden must be in no header upstream, in whatever case.
	forbidden string
	// whole is how many messages may be kept at most.
	whole int
}

const (
	near, far = "127.0.0.1", "192.0.2.7"
	opening   = "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\n"
	fromField = "From: a@example.com\r\n"
	second    = "MAIL FROM:<a@example.com>\r\nRCPT TO:<victim@dest.test>\r\nDATA\r\n" + fromField + "\r\nsmuggled\r\n.\r\n"
)

// falseEnds are what one server or another takes for the end of data.
func falseEnds() []string {
	return []string{
		"\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n", "\r\n\x00.\r\n",
		"\r\n.\n", "\r\n.\r", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\r\n.\r\n", "\r\n.\r.\r\n", "\r\n.\x00\r\n",
	}
}

// hostiles are all of them.
func hostiles() (all []hostile) {
	for _, make := range []func() []hostile{
		smugglers, stowaways, injectors, garblers, talkers, forgers, brawlers, liars, crowds, vanishers,
	} {
		all = append(all, make()...)
	}
	return all
}

// smugglers (A1) hide a second transaction behind a false end of data, cut
// at each byte round it.
func smugglers() (all []hostile) {
	for _, end := range falseEnds() {
		lure := fromField + "\r\nlure" + end + second
		for _, text := range []string{opening + "DATA\r\n" + lure + "QUIT\r\n", opening + chunks(lure) + "QUIT\r\n"} {
			where := strings.Index(text, "lure"+end)
			for _, from := range []string{near, far} {
				for at := where + 3; at <= where+5+len(end); at++ {
					all = append(all, hostile{fault: "A1", from: from, text: text, at: at, whole: 1})
				}
				all = append(all, hostile{fault: "A1", from: from, text: text, whole: 1}, hostile{fault: "A1", from: from, text: text, at: -1, whole: 1})
			}
		}
	}
	return all
}

// stowaways (A2) hide one where we decode, edit and encode again.
func stowaways() (all []hostile) {
	const html = "MIME-Version: 1.0\r\nContent-Type: text/html\r\n"
	link := func(s string) string { return `<a href="https://shop.test/` + s + `">x</a>` + s + "</body>" }
	for _, end := range falseEnds() {
		evil := end + second
		var qp strings.Builder
		w := quotedprintable.NewWriter(&qp)
		w.Binary = true
		w.Write([]byte(link(evil)))
		w.Close()
		for _, content := range []string{
			html + "Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(link(evil))) + "\r\n",
			html + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + qp.String() + "\r\n",
			html + "\r\n" + link(evil) + "\r\n",
			html + "Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9" + link(end) + "\r\n",
			"Subject: =?utf-8?B?" + base64.StdEncoding.EncodeToString([]byte(evil)) + "?=\r\n\r\nx\r\n",
			"X-Track-Tag: " + end + "x\r\nX-Track-Meta-k: " + end + "\r\n\r\nx\r\n",
			"Message-ID: <" + end + "@example.com>\r\nDate: " + end + "\r\n\r\nx\r\n",
			"\r\nx" + end, // the end of a part is a place too
		} {
			for _, from := range []string{near, far} {
				text := fromField + content
				all = append(all,
					hostile{fault: "A2", from: from, text: opening + bdatOf(text, " LAST") + "QUIT\r\n", whole: 1},
					hostile{fault: "A2", from: from, text: opening + "DATA\r\n" + strings.ReplaceAll(text, "\r\n.\r\n", "\r\n..\r\n") + "\r\n.\r\nQUIT\r\n", whole: 1})
			}
		}
	}
	return all
}

// injectors (A3) say something in the clear that is to count under TLS.
func injectors() (all []hostile) {
	for _, before := range []string{"", "EHLO c\r\n", "EHLO c\r\nMAIL FROM:<a@example.com>\r\n", opening, opening + "BDAT 3\r\nabc", opening + "RSET\r\n", "EHLO c\r\nAUTH PLAIN " + plainOf("shop", "secret") + "\r\n"} {
		for _, after := range []string{"EHLO evil\r\n", opening, "STARTTLS\r\n", "AUTH PLAIN AHNob3AAc2VjcmV0\r\n", "RSET\r\n" + second, "\x00\x00", "\x16\x03\x01\x00\x05EHLO", "QUIT\r\n"} {
			for _, at := range []int{0, -1, len(before), len(before) + 9, len(before) + 10, len(before) + 11} {
				all = append(all, hostile{fault: "A3", from: far, text: before + "STARTTLS\r\n" + after, at: at, tls: true})
			}
		}
	}
	return all
}

// garblers (A5) put each byte that is no ASCII text into each command.
func garblers() (all []hostile) {
	for c := range 256 {
		if c == '\n' || c >= ' ' && c < 0x7f {
			continue
		}
		b := string([]byte{byte(c)})
		for _, line := range []string{
			"EHLO c" + b + "d\r\n" + opening, "EHLO c\r\nMAIL FROM:<a" + b + "b@example.com>\r\nRCPT TO:<r@dest.test>\r\n",
			"EHLO c\r\nMAIL FROM:<a@exa" + b + "mple.com> SMTPUTF8\r\nRCPT TO:<r@dest.test>\r\n", "EHLO c\r\nMAIL FROM:<\"a\\" + b + "b\"@example.com>\r\nRCPT TO:<r@dest.test>\r\n",
			opening + "RCPT TO:<x" + b + "@dest.test>\r\n", opening + "RCPT TO:<x@dest.test> NOTIFY=" + b + "\r\n",
			opening + "VRFY " + b + "\r\n", opening + b + "\r\n",
		} {
			all = append(all, hostile{fault: "A5", from: far, text: line + "DATA\r\n" + fromField + "\r\n.\r\nQUIT\r\n", whole: 1})
		}
	}
	return all
}

// talkers (A6) say more in a line than a line holds.
func talkers() (all []hostile) {
	for _, n := range []int{511, 512, 513, 998, 999, 2_000, lineMax - 1, lineMax, lineMax + 1, 100_000, 1_000_000} {
		x := strings.Repeat("x", n)
		for _, text := range []string{
			"EHLO " + x + "\r\n", x + "\r\n" + opening, "EHLO c\r\nMAIL FROM:<" + x + "@example.com>\r\n", opening + "RCPT TO:<r@" + x + ">\r\n",
			"EHLO c\r\nAUTH PLAIN " + x + "\r\n", "EHLO c\r\nMAIL FROM:<a@example.com> ENVID=" + x + "\r\n", opening + "RCPT TO:<x@dest.test> ORCPT=rfc822;" + x + "\r\n",
		} {
			all = append(all, hostile{fault: "A6", from: far, text: text + "DATA\r\n" + fromField + "\r\n.\r\nQUIT\r\n", whole: 1})
		}
		for _, content := range []string{"\r\n" + x + "\r\n", "\r\n." + x + "\r\n", "Subject: " + x + "\r\n\r\n", "MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<a href=\"https://shop.test/" + x + "\">x</a>\r\n"} {
			all = append(all, hostile{fault: "A6", from: far, text: opening + "DATA\r\n" + fromField + content + ".\r\nQUIT\r\n", whole: 1})
		}
	}
	return all
}

// forgers (A7) want a header field of theirs in our mail.
func forgers() (all []hostile) {
	const field = "Injected: yes"
	for _, nl := range []string{"+0D+0A", "%0d%0a", "&#13;&#10;", "=0D=0A", "\u2028", "\u0085", "\r", "\r\r", "\\r\\n", "\x00"} {
		evil := nl + field
		word := "=?utf-8?Q?x" + strings.NewReplacer("\r", "=0D", "\x00", "=00", " ", "_").Replace(evil) + "?="
		coded := "=?utf-8?B?" + base64.StdEncoding.EncodeToString([]byte("x\r\n"+evil)) + "?="
		for _, text := range []string{
			"EHLO c" + evil + "\r\n" + opening, "EHLO c\r\nMAIL FROM:<a@example.com" + evil + ">\r\n", "EHLO c\r\nMAIL FROM:<\"a" + evil + "\"@example.com>\r\nRCPT TO:<r@dest.test>\r\n",
			"EHLO c\r\nMAIL FROM:<a@example.com> ENVID=x" + strings.ReplaceAll(evil, " ", "+20") + "\r\nRCPT TO:<r@dest.test>\r\n",
			opening + "RCPT TO:<x@dest.test> ORCPT=rfc822;x" + strings.ReplaceAll(evil, " ", "+20") + "\r\n", opening + "RCPT TO:<\"x" + evil + "\"@dest.test>\r\n",
		} {
			all = append(all, hostile{fault: "A7", from: near, text: text + "DATA\r\n" + fromField + "\r\n.\r\nQUIT\r\n", whole: 1, forbidden: field})
		}
		for _, content := range []string{
			"From: x" + evil + " <a@example.com>\r\n\r\n", "From: " + word + " <a@example.com>\r\nSubject: " + word + "\r\n\r\n", fromField + "Subject: " + coded + "\r\nX-Track-Tag: " + coded + "\r\n\r\n",
			fromField + "List-Unsubscribe: <https://shop.test/" + evil + ">\r\nTo: r@dest.test" + evil + "\r\n\r\n", fromField + "X-Track-Tag: t" + evil + "\r\nX-Track-Meta-a: b" + evil + "\r\n\r\n",
			fromField + "Message-ID: <x" + evil + "@example.com>\r\nReply-To: x" + evil + "\r\n\r\n",
			fromField + "MIME-Version: 1.0\r\nContent-Type: text/html; charset=\"utf-8" + evil + "\"\r\n\r\n<a href=\"https://shop.test/" + evil + "\">x</a>",
		} {
			all = append(all, hostile{fault: "A7", from: near, text: opening + "DATA\r\n" + content + "\r\n.\r\nQUIT\r\n", whole: 1, forbidden: field})
		}
	}
	return all
}

// brawlers (A8) say everything at the wrong time, or keep busy, or speak
// another protocol.
func brawlers() (all []hostile) {
	verbs := []string{
		"EHLO c", "HELO c", "MAIL FROM:<a@example.com>", "RCPT TO:<r@dest.test>", "DATA", "BDAT 3\r\nabc", "BDAT 0 LAST", "BDAT", "RSET", "NOOP", "VRFY x", "AUTH PLAIN",
		"AUTH LOGIN", "*", "STARTTLS", "XCLIENT ADDR=127.0.0.1", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2", ".", "",
	}
	for _, first := range verbs {
		for _, then := range verbs {
			all = append(all, hostile{fault: "A8", from: far, text: first + "\r\n" + then + "\r\n" + opening + "DATA\r\n" + fromField + "\r\n.\r\nQUIT\r\n", whole: 2})
		}
		for _, before := range []string{"EHLO c\r\n", opening} {
			all = append(all, hostile{fault: "A8", from: far, text: before + strings.Repeat(first+"\r\n", 3*idleMax), whole: 3 * idleMax})
		}
	}
	for _, method := range []string{"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "PRI", "get"} {
		for _, version := range []string{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"} {
			all = append(all, hostile{fault: "A8", from: far, text: method + " / " + version + "\r\nHost: relay\r\n\r\n" + opening + "DATA\r\n" + fromField + "\r\n.\r\n"})
		}
	}
	return all
}

// liars (A9) declare what does not come.
func liars() (all []hostile) {
	for _, size := range []string{"0", "1", "99999", "100000", "100001", "4294967295", "4294967297", "9223372036854775808", strings.Repeat("9", 400), "-1", "1e3", ""} {
		for _, octets := range []int{0, 50, 99_000, 100_000, 200_000} {
			text := "EHLO c\r\nMAIL FROM:<a@example.com> SIZE=" + size + "\r\nRCPT TO:<r@dest.test>\r\nDATA\r\n" + fromField + "\r\n" + strings.Repeat("0123456789abcd\r\n", octets/16) + ".\r\nQUIT\r\n"
			all = append(all, hostile{fault: "A9", from: far, text: text, whole: 1})
		}
	}
	for _, param := range []string{"BODY=7BIT", "BODY=BINARYMIME", "BODY=8BITMIME BODY=7BIT", "SMTPUTF8", "SMTPUTF8=x", "AUTH=<>", "AUTH=+0D+0A", "RET=FULL RET=HDRS", "X", "=", "SIZE=1 SIZE=2", "REQUIRETLS"} {
		for _, word := range []string{"plain", "\xc3\xa9", "\xff"} {
			all = append(all, hostile{fault: "A9", from: far, whole: 1, text: "EHLO c\r\nMAIL FROM:<a@example.com> " + param + "\r\nRCPT TO:<" + word + "@dest.test>\r\nDATA\r\n" + fromField + "Subject: " + word + "\r\n\r\n" + word + "\r\n.\r\nQUIT\r\n"})
		}
	}
	for _, size := range []string{"-1", "1 FIRST", "0x10", "1099511627776", "18446744073709551616", "99 LAST", "3 LAST LAST"} {
		all = append(all, hostile{fault: "A9", from: far, text: opening + "BDAT " + size + "\r\nabc" + second, whole: 1})
	}
	return all
}

// crowds (A10) have more recipients than there is room for, or one many times.
func crowds() (all []hostile) {
	for _, n := range []int{4, 5, 6, 100, 1_000, 10_000} {
		for _, form := range []string{"r%d@dest.test", "r@dest%d.test", "r@dest.test%.0d", "R@DEST.test%.0d", "\"r%d\"@dest.test"} {
			var list strings.Builder
			for i := range n {
				fmt.Fprintf(&list, "RCPT TO:<"+form+">\r\n", i)
			}
			all = append(all, hostile{fault: "A10", from: far, text: "EHLO c\r\nMAIL FROM:<a@example.com>\r\n" + list.String() + "DATA\r\n" + fromField + "\r\n.\r\nQUIT\r\n", whole: 1})
		}
	}
	return all
}

// vanishers (A11) are gone after any byte.
func vanishers() (all []hostile) {
	content := fromField + "Subject: x\r\n\r\nhello\r\n..\r\n"
	for _, text := range []string{
		opening + "DATA\r\n" + content + ".\r\n", opening + bdatOf(content[:20], "") + bdatOf(content[20:], " LAST"),
		"EHLO c\r\nAUTH LOGIN\r\nc2hvcA==\r\nc2VjcmV0\r\n" + opening + "DATA\r\n" + content + ".\r\n",
	} {
		for i := 1; i < len(text); i++ {
			all = append(all, hostile{fault: "A11", from: far, text: text[:i], at: i % 7})
		}
	}
	return all
}
