package relay

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"backstamp/relay/provider"
)

// handIn has a client with that charset hand in content, and returns what was
// kept and what a provider gets of it.
func handIn(t *testing.T, charset, content string) (kept, string) {
	t.Helper()
	s := settings(t)
	s.Limits.Message = 4 << 20
	s.Clients = []Client{{Name: "erp", Networks: networks("127.0.0.0/8"), Charset: charset}}
	stuffed := strings.ReplaceAll("\r\n"+content, "\r\n.", "\r\n..")[2:]
	said, all := recite(newPolicy(t, s), "127.0.0.1", strings.NewReader(
		"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\nDATA\r\n"+stuffed+".\r\n"))
	if len(all) != 1 {
		t.Fatalf("%d messages were kept\n%s", len(all), said)
	}
	if string(all[0].content) != content {
		t.Error("the content was not kept as it came")
	}
	r := newRecorder(t, &recorder{})
	if err := pass(r.client(t, provider.Settings{TLS: "off"}), all[0]); err != nil {
		t.Fatal(err)
	}
	_, mails, _ := r.all()
	if len(mails) != 1 {
		t.Fatalf("%d mails arrived", len(mails))
	}
	arrived := strings.ReplaceAll("\r\n"+string(mails[0]), "\r\n.", "\r\n")[2:]
	return all[0], strings.TrimSuffix(arrived, "\r\n")
}

// bodyQuirks are those that a message has for its content, and not for how
// handIn sends it.
func bodyQuirks(k kept) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(k.m.Detail.Quirks), func(q string) bool {
		return q == "no-date" || q == "no-message-id" || q == "pipelined"
	}), " ")
}

// nest puts a part into so many multiparts.
func nest(depth int, part string) string {
	for i := range depth {
		part = fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n%s\r\n--b%d--\r\n", i, i, part, i)
	}
	return part
}

const from = "From: a@example.com\r\n"

// TestLabels has old clients send bodies that do not say what they are in. What
// arrives is the same but for its labels.
func TestLabels(t *testing.T) {
	const utf8 = "안녕하세요\r\n"
	const euckr = "\xbe\xc8\xb3\xe7\xc7\xcf\xbc\xbc\xbf\xe4\r\n"
	const cp949 = "\x8c\x63\xb9\xe6\xb0\xa2\xc7\xcf\r\n" // 똠방각하
	const western = "na\xefve caf\xe9\r\n"
	for _, tt := range []struct{ name, charset, content, want, quirks string }{
		{"no MIME, UTF-8", "cp949", from + "\r\n" + utf8,
			from + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + utf8, "no-charset"},
		{"no MIME, the client's", "cp949", from + "\r\n" + cp949,
			from + "Content-Type: text/plain; charset=euc-kr\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + cp949, "no-charset"},
		{"no MIME, another client's", "koi8-r", from + "\r\n\xf0\xd2\xc9\xd7\xc5\xd4\r\n",
			from + "Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xf0\xd2\xc9\xd7\xc5\xd4\r\n", "no-charset"},
		{"no MIME, Korean by its looks", "", from + "\r\n" + euckr,
			from + "Content-Type: text/plain; charset=euc-kr\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + euckr, "no-charset"},
		{"no MIME, Western", "", from + "\r\n" + western,
			from + "Content-Type: text/plain; charset=windows-1252\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + western, "no-charset"},
		{"none of the client's", "cp949", from + "\r\n" + western,
			from + "Content-Type: text/plain; charset=windows-1252\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + western, "no-charset"},
		{"type without charset, 7bit", "", from + "Content-Type: text/plain; format=flowed;\r\nContent-Transfer-Encoding: 7bit\r\nSubject: x\r\n\r\n" + utf8,
			from + "Content-Type: text/plain; format=flowed; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nSubject: x\r\n\r\n" + utf8, "no-charset wrong-encoding"},
		{"us-ascii that is UTF-8", "", from + "Content-Type: text/plain;\r\n\tcharset=\"us-ascii\" (plain)\r\n\r\n" + utf8,
			from + "Content-Type: text/plain;\r\n\tcharset=utf-8 (plain)\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + utf8, "no-charset"},
		{"us-ascii that is CP949", "cp949", from + "Content-Type: text/plain; charset=us-ascii\r\n\r\n" + cp949,
			from + "Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + cp949, "wrong-charset"},
		{"utf-8 that is CP949", "cp949", from + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + cp949,
			from + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + cp949, "wrong-charset"},
		{"7bit that is not", "", from + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + utf8,
			from + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + utf8, "wrong-encoding"},
		{"a charset and no encoding", "", from + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + utf8,
			from + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + utf8, "wrong-encoding"},
		{"ks_c_5601-1987", "", from + "Content-Type: text/plain; charset=\"ks_c_5601-1987\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + cp949, "", "charset-alias"},
		{"ms949", "", from + "Content-Type: text/plain; charset=MS949\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + cp949, "", "charset-alias"},
		{"EUC_KR", "", from + "Content-Type: text/plain; charset=EUC_KR\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + euckr, "", "charset-alias"},
		{"euc-kr with letters of CP949", "", from + "Content-Type: text/plain; charset=euc-kr\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + cp949, "", "charset-alias"},
		{"alias in ASCII", "", from + "Content-Type: text/plain; charset=cp949\r\nContent-Transfer-Encoding: base64\r\n\r\nvsiz5w==\r\n", "", "charset-alias"},
		{"alias in Subject", "", from + "Subject: =?ks_c_5601-1987?B?vsiz5w==?=\r\n\r\nx\r\n", "", "charset-alias"},
		{"euc-kr", "", from + "Content-Type: text/plain; charset=euc-kr\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + euckr, "", ""},
		{"base64 that is not", "", from + "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nHello, World.\r\n", "", "wrong-encoding"},
		{"base64 without padding", "", from + "Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+YTwvYg\r\n", "", "wrong-encoding"},
		{"raw bytes in quoted-printable", "", from + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na =3D b " + utf8, "", "wrong-encoding"},
		{"an equals sign in quoted-printable", "", from + "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<a href=\"https://a.test/\">a</a>\r\n", "", "wrong-encoding"},
		{"a part", "", from + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\xe9\r\n--b\r\n\r\n" + utf8 + "--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment\r\n\r\n" + western + "--b--\r\n",
			from + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\xe9\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + utf8 +
				"--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + western + "--b--\r\n", "no-charset wrong-encoding"},
		{"signed, encrypted and forwarded", "", from + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n" + utf8 + "--s--\r\n" +
			"--b\r\nContent-Type: multipart/encrypted; boundary=e\r\n\r\n--e\r\n\r\n" + utf8 + "--e--\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n" + utf8 + "--b--\r\n", "", ""},
		{"parts in ASCII", "", from + "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=ks_c_5601-1987\r\n\r\nx\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+YTwvYg\r\n--b--\r\n", "", "charset-alias wrong-encoding"},
		{"more parts within each other than are looked into", "", from + "MIME-Version: 1.0\r\n" + nest(60, "Content-Type: text/plain\r\n\r\n"+utf8), "", ""},
		{"two types", "", from + "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Type: text/html\r\n\r\n" + utf8, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, arrived := handIn(t, tt.charset, tt.content)
			if q := bodyQuirks(k); q != tt.quirks {
				t.Errorf("quirks %q, want %q", q, tt.quirks)
			}
			want := tt.want
			if want == "" {
				want = tt.content
			}
			at := strings.Index(arrived, from)
			if got := arrived[at:]; got != want {
				t.Errorf("arrived\n     %q\nwant %q", got, want)
			}
			if tt.want != "" && !strings.Contains(arrived, "MIME-Version: 1.0\r\n") {
				t.Errorf("no MIME-Version: %q", arrived[:at])
			}
		})
	}
}
