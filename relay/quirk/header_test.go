package quirk

import (
	"mime"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/text/encoding/korean"

	ours "backstamp/mail"
	"backstamp/relay/ascii"
)

func euckr(t testing.TB, s string) string {
	out, err := korean.EUCKR.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// plain undoes encoded words and folding, as a reader does.
func plain(t testing.TB, field string) string {
	text, err := new(mime.WordDecoder).DecodeHeader(strings.ReplaceAll(field, "\r\n", ""))
	if err != nil {
		t.Errorf("%q: %v", field, err)
	}
	return text
}

// TestHeader states what becomes of each odd field, as a reader sees it.
func TestHeader(t *testing.T) {
	k := func(s string) string { return euckr(t, s) }
	m := Mender{Charset: "cp949", DefaultDomain: "example.com", Legacy: true}
	for _, tt := range []struct{ name, field, want, quirks string }{
		{"ASCII stays", "Subject: Hello, World", "", ""},
		{"UTF-8", "Subject: 주문 확인", "Subject: 주문 확인", RawHeader},
		{"EUC-KR", "Subject: " + k("주문 확인"), "Subject: 주문 확인", RawHeader},
		{"CP949", "Subject: " + k("똠방각하 펲시콜라"), "Subject: 똠방각하 펲시콜라", RawHeader},
		{"Western letters are none of CP949", "Subject: na\xefve caf\xe9", "Subject: naïve café", RawHeader},
		{"ASCII on both sides", "Subject: Re:  주문 확인  (3) ok", "Subject: Re:  주문 확인  (3) ok", RawHeader},
		{"an encoded word stays", "Subject: =?utf-8?B?7KO866y4?= 확인 =?utf-8?B?7KO866y4?= ok", "Subject: 주문 확인 주문 ok", RawHeader},
		{"folded", "Subject: 주문\r\n\t확인", "Subject: 주문\t확인", RawHeader},
		{"no blank", "Subject:주문", "Subject:주문", RawHeader},
		{"name", "From: " + k("홍길동") + " <a@example.com>", "From: 홍길동 <a@example.com>", RawHeader},
		{"name without blank", "From: 홍길동<a@example.com>", "From: 홍길동 <a@example.com>", RawHeader},
		{"quoted name", `From: "` + k(`홍, \"길\" 동`) + `" <a@example.com>`, `From: 홍, "길" 동 <a@example.com>`, RawHeader},
		{"comment", "From: a@example.com (" + k("홍길동 부장") + ")", "From: a@example.com (홍길동 부장)", RawHeader},
		{"list", "To: 홍길동 <a@b.test>, \"Kim, J.\" <c@d.test>,이 <e@f.test>", `To: 홍길동 <a@b.test>, "Kim, J." <c@d.test>,이 <e@f.test>`, RawHeader},
		{"group", "To: 받는이: a@b.test;", "To: 받는이 : a@b.test;", RawHeader},
		{"name alone", "To: 받는이", "To: 받는이", RawHeader},
		{"an address outside ASCII stays", "To: 홍길동@b.test", "", ""},
		{"quotes without end stay", "To: \"홍길동 <a@b.test>", "", ""},
		{"identifiers stay", "Message-ID: <홍@b.test>", "", ""},
		{"no domain", "From: root", "From: root@example.com", NoDomain},
		{"no domain, comment", "From: root (Cron Daemon)", "From: root@example.com (Cron Daemon)", NoDomain},
		{"no domain, name", "From: \"Cron\" <root>", "From: \"Cron\" <root@example.com>", NoDomain},
		{"no domain, Korean name", "From: " + k("관리자") + " <root>", "From: 관리자 <root@example.com>", RawHeader + " " + NoDomain},
		{"To stays", "To: root", "", ""},
		{"dot", "From: iLO <ilo.@example.com>", `From: iLO <"ilo."@example.com>`, Syntax},
		{"two stay two", "From: root, admin", "", ""},
		{"a name is no address", "From: Cron Daemon", "", ""},
		{"empty", "From: ", "", ""},
		{"two addresses in one", "From: root@x <admin>", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := ours.Header{ours.NewField("X: y"), {Name: name(tt.field), Raw: []byte(tt.field + "\r\n")}}
			changes, quirks := m.Header(h)
			if got := strings.Join(quirks, " "); got != tt.quirks {
				t.Errorf("quirks %q, want %q", got, tt.quirks)
			}
			if tt.want == "" {
				if len(changes) > 0 {
					t.Errorf("became %q", changes[0].Text)
				}
				return
			}
			text := changes[0].Text
			if got := plain(t, text); got != tt.want || changes[0].At != 1 || ascii.Has(ours.NewField(text)) {
				t.Errorf("became %q, read as %q", text, got)
			}
			for line := range strings.SplitSeq(text, "\r\n") {
				if len(line) > 100 {
					t.Errorf("a line of %d octets: %q", len(line), line)
				}
			}
		})
	}
}

func name(field string) string {
	name, _, _ := strings.Cut(field, ":")
	return name
}

// TestCharsets tries the guesses in their order.
func TestCharsets(t *testing.T) {
	for _, tt := range []struct{ client, body, raw, want string }{
		{"", "", "caf\xe9", "café"},
		{"", "", euckr(t, "한글"), "한글"},
		{"", "", "\xc7\xd1\xc7a", "ÇÑÇa"},        // no pairs
		{"", "", "\xe9\xe8", "éè"},               // a pair, and no hangul
		{"", "shift_jis", "\x93\xfa\x96{", "日本"}, // of the body
		{"", "us-ascii", euckr(t, "한글"), "한글"},
		{"", "nonsense", "caf\xe9", "café"},
		{"", "utf-16le", "caf\xe9", "café"},
		{"iso-8859-7", "", "\xe1", "α"}, // of the client
		{"iso-8859-7", "utf-8", "\xe1", "α"},
		{"iso-8859-7", "koi8-r", "\xc1", "а"}, // the body's goes first
		{"cp949", "", euckr(t, "펲"), "펲"},
	} {
		h := ours.Header{ours.NewField("Subject: x"), ours.NewField("Content-Type: text/plain; charset=" + tt.body)}
		h[0].Raw = []byte("Subject: " + tt.raw + "\r\n")
		changes, _ := Mender{Charset: tt.client}.Header(h)
		if len(changes) != 1 || plain(t, changes[0].Text) != "Subject: "+tt.want {
			t.Errorf("%+v: %v", tt, changes)
		}
	}
}

// TestInternationalHeader: who asked for SMTPUTF8 may write UTF-8 (RFC 6532), and
// nothing else.
func TestInternationalHeader(t *testing.T) {
	for raw, want := range map[string]int{"한글": 0, "\xc7\xd1\xb1\xdb": 1} {
		if changes, _ := (Mender{UTF8: true}).Header(ours.Header{{Name: "Subject", Raw: []byte("Subject: " + raw + "\r\n")}}); len(changes) != want {
			t.Errorf("%q: %v", raw, changes)
		}
	}
}

// What a header of the greatest size takes grows with its length, and not with
// the square of it.
func TestHeaderGrowth(t *testing.T) {
	for name, unit := range map[string]string{
		"Subject": "é ", "X": "é=?a?b?c?= ", "From": "é ", "To": "é<a@b>,", "Cc": "(é(", "Reply-To": `"é" `, "Sender": "=?a?b?c?= é ",
	} {
		took := func(size int) uint64 {
			field := ours.Field{Name: name, Raw: []byte(name + ": " + strings.Repeat(unit, size/len(unit)) + "\r\n")}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			Mender{Charset: "cp949", Legacy: true, DefaultDomain: "a.test"}.Header(ours.Header{field})
			runtime.ReadMemStats(&after)
			return after.TotalAlloc - before.TotalAlloc
		}
		if small, large := took(ours.HeaderMax/8), took(ours.HeaderMax); large > 16*small {
			t.Errorf("%s: %d octets, and %d for eight times as much", name, small, large)
		}
	}
}

// FuzzHeader: whatever a field holds, it stays one field, and a second pass
// finds nothing.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"홍 <a@b.test>", "\"\xc8\xab\" <a@b>", "root (한)", "=?utf-8?B?7KO866y4?= \xe9 <x@y.test>, (é) z@b.test", "\"\\é\"<a@b.c>", "\"é\"@b.c"} {
		f.Add("From", s)
		f.Add("Subject", s)
	}
	m := Mender{Charset: "cp949", DefaultDomain: "example.com", Legacy: true}
	f.Fuzz(func(t *testing.T, name, value string) {
		raw := name + ": " + strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(value) + "\r\n"
		h, _, _ := ours.ParseHeader([]byte(raw))
		if len(h) != 1 {
			return
		}
		changes, _ := m.Header(h)
		for _, c := range changes {
			again, end, _ := ours.ParseHeader([]byte(c.Text + "\r\n"))
			if len(again) != 1 || end != len(c.Text)+2 || !again[0].Is(h[0].Name) {
				t.Fatalf("%q became %q", raw, c.Text)
			}
			if more, _ := m.Header(again); len(more) > 0 {
				t.Fatalf("%q became %q, then %q", raw, c.Text, more[0].Text)
			}
		}
	})
}
