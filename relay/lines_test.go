package relay

import (
	"bytes"
	"fmt"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/damage"
	"backstamp/relay/align"
	"backstamp/relay/quirk"
	"backstamp/relay/render"
)

// longest returns the length of the longest line, without its line end.
func longest(text string) (n int) {
	for line := range strings.Lines(text) {
		n = max(n, len(strings.TrimRight(line, "\r\n")))
	}
	return n
}

// decodedAlike compares the parts of two messages, transfer encoding undone, and
// returns how many are in another one than they were.
func decodedAlike(sent, arrived *damage.Part) (recoded int, err error) {
	if len(sent.Children) != len(arrived.Children) {
		return 0, fmt.Errorf("%d parts became %d", len(sent.Children), len(arrived.Children))
	}
	for i, child := range sent.Children {
		n, err := decodedAlike(child, arrived.Children[i])
		if recoded += n; err != nil {
			return recoded, err
		}
	}
	if len(sent.Children) > 0 || bytes.Equal(sent.Body, arrived.Body) && sent.Encoding() == arrived.Encoding() {
		return recoded, nil
	}
	if sent.Media() == "message/rfc822" {
		n, err := decodedAlike(damage.Split(sent.Body), damage.Split(arrived.Body))
		return recoded + n, err
	}
	a, errA := sent.Decoded()
	b, errB := arrived.Decoded()
	if errA != nil || errB != nil {
		return recoded, fmt.Errorf("does not decode: before %v, now %v", errA, errB)
	}
	if !bytes.Equal(bytes.TrimRight(a, "\r\n"), bytes.TrimRight(b, "\r\n")) {
		return recoded, fmt.Errorf("a part of type %q: %s", sent.Media(), damage.Difference(b, a))
	}
	return recoded + 1, nil
}

// TestLinesFit has clients send lines that SMTP does not carry: what arrives has
// none, and reads as it did; only what has such a line is changed.
func TestLinesFit(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("From here on. --b, .dot = sign\t", 200))
	hangul := strings.Repeat("안녕하세요 ", 200)
	cp949 := strings.Repeat("\xbe\xc8\xb3\xe7 ", 400)
	dashes := strings.Repeat("-", 3000)
	quoted := strings.Repeat("=C3=A9 =3D-.F", 200)
	packed := strings.Repeat("QUJD", 1000)
	const mimed = from + "MIME-Version: 1.0\r\n"
	for _, tt := range []struct {
		name, content string
		recoded       int
		has           string
	}{
		{"text", from + "\r\n" + words + "\r\nshort \r\n", 1, "\r\nContent-Transfer-Encoding: quoted-printable\r\n"},
		{"998 octets", from + "\r\n" + strings.Repeat("x", 998) + "\r\n", 0, ""},
		{"999 octets", from + "\r\n" + strings.Repeat("x", 999) + "\r\n", 1, "\r\nContent-Transfer-Encoding: quoted-printable\r\n"},
		{"no line end", from + "\r\n" + dashes, 1, "quoted-printable"},
		{"Korean without a label", from + "\r\n" + hangul + "\r\n", 1, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n"},
		{"Korean", mimed + "Content-Type: text/plain; charset=euc-kr\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + cp949 + "\r\n", 1, "Content-Type: text/plain; charset=euc-kr\r\nContent-Transfer-Encoding: base64\r\n"},
		{"data", mimed + "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n" + words + "\xff\xfe\r\n", 1, "\r\nContent-Transfer-Encoding: base64\r\n"},
		{"base64 on one line", mimed + "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + packed + "\r\n", 1, "\r\nContent-Transfer-Encoding: base64\r\n"},
		{"quoted-printable on one line", mimed + "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted + " .\r\n", 1, "\r\nContent-Transfer-Encoding: quoted-printable\r\n"},
		{"parts", mimed + "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\nContent-Type: text/plain\r\n\r\n" + words + "\r\n--b\r\n\r\nshort\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--b--\r\nepilogue\r\n", 1, "\r\n--b\r\n\r\nshort\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--b--\r\nepilogue\r\n"},
		{"between parts", mimed + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + dashes + "\r\n--b\r\n\r\nx\r\n--b--\r\n" + words, 0, "\r\n--b\r\n\r\nx\r\n--b--\r\n"},
		{"header of a part", mimed + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Description: " + words + "\r\n\r\nx\r\n--b--\r\n", 0, "\r\n\r\nx\r\n--b--\r\n"},
		{"a multipart without parts", mimed + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + words + "\r\n", 1, ""},
		{"a message within", mimed + "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n" + words + "\r\n", 1, "\r\nSubject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n"},
		{"header", from + "To: " + strings.Repeat("someone@example.com,", 100) + "a@b.test\r\nReferences: " + strings.Repeat("<1@example.com> ", 100) + "<2@example.com>\r\nSubject: " + words + "\r\n\r\nx\r\n", 0, "\r\n\r\nx\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, arrived := handIn(t, "", strings.TrimSuffix(tt.content, "\r\n")+"\r\n")
			if n := longest(arrived); n > 998 {
				t.Errorf("a line of %d octets arrived", n)
			}
			if got := strings.Contains(bodyQuirks(k), "long-line"); got != (tt.name != "998 octets") {
				t.Errorf("quirks %q", bodyQuirks(k))
			}
			recoded, err := decodedAlike(damage.Split([]byte(tt.content)), damage.Split([]byte(arrived)))
			if err != nil || recoded != tt.recoded {
				t.Errorf("%v; %d parts in another form, want %d\n%s", err, recoded, tt.recoded, arrived)
			}
			if !strings.Contains(arrived, tt.has) {
				t.Errorf("nowhere %q in\n%s", tt.has, arrived)
			}
		})
	}
}

// TestLongSealed: what a signature or encryption covers goes out as it came,
// whatever its lines.
func TestLongSealed(t *testing.T) {
	words := strings.Repeat("word ", 400)
	for _, media := range []string{"multipart/signed", "multipart/encrypted"} {
		sealed := "Content-Type: " + media + "; boundary=s\r\n\r\n" + words + "\r\n--s\r\nContent-Description: " + words + "\r\n\r\n" + words + "\r\n--s\r\n\r\nsignature\r\n--s--\r\n"
		k, arrived := handIn(t, "", from+"MIME-Version: 1.0\r\n"+sealed)
		if !strings.HasSuffix(arrived, sealed) || bodyQuirks(k) != "long-line" {
			t.Errorf("quirks %q, arrived %q", bodyQuirks(k), arrived)
		}
	}
}

// TestLongFields: a folded field reads as it did.
func TestLongFields(t *testing.T) {
	subject := strings.Repeat("주문", 5) + " " + strings.Repeat("x", 3000) + " =?utf-8?b?7KO866y4?= end"
	_, arrived := handIn(t, "", from+"Subject: "+subject+"\r\nX-Token: "+strings.Repeat("y", 2000)+"\r\n\r\nx\r\n")
	h := damage.Split([]byte(arrived)).Header()
	got, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	if want := strings.Replace(subject, "=?utf-8?b?7KO866y4?=", "주문", 1); err != nil || got != want {
		t.Errorf("%v: subject\n     %q\nwant %q", err, got, want)
	}
	if n := longest(arrived); n > 998 {
		t.Errorf("a line of %d octets arrived", n)
	}
}

// TestLongTracked: a page on one line without a label is tracked, labelled, and
// has short lines.
func TestLongTracked(t *testing.T) {
	page := "<html><body>" + strings.Repeat("<p>주문 확인</p>", 300) + `<a href="https://shop.test/">가기</a></body></html>`
	for _, encoding := range []string{"", "Content-Transfer-Encoding: 7bit\r\n", "Content-Transfer-Encoding: 8bit\r\n"} {
		k, arrived := handIn(t, "", from+"Content-Type: text/html\r\n"+encoding+"\r\n"+page+"\r\n")
		part := damage.Split([]byte(arrived))
		text, err := part.Decoded()
		if err != nil || !k.m.Tracked || part.Charset() != "utf-8" || longest(arrived) > 998 {
			t.Fatalf("%v: tracked %v, charset %q, a line of %d octets", err, k.m.Tracked, part.Charset(), longest(arrived))
		}
		var seen damage.Seen
		if err := (damage.Judge{Base: "https://track.example.com"}).Page([]byte(page+"\r\n"), text, &seen); err != nil || len(seen.Links) != 1 || seen.Pixels != 1 {
			t.Errorf("%v: %d links, %d pixels", err, len(seen.Links), seen.Pixels)
		}
	}
}

// TestLabelledLink: a link with letters beyond ASCII is tracked where the label
// that the page gets says what they are, and left where nothing does.
func TestLabelledLink(t *testing.T) {
	for _, tt := range []struct {
		page string
		want int
	}{{"주문", 1}, {"\xc1\xd6\xb9\xae", 0}} {
		k, arrived := handIn(t, "cp949", from+"Content-Type: text/html\r\n\r\n<a href=\"https://shop.test/"+tt.page+"\">x</a>\r\n")
		if n := strings.Count(arrived, "https://track.example.com/c/"); k.m.Links != tt.want || n != tt.want {
			t.Errorf("%q: %d links, %d arrived", tt.page, k.m.Links, n)
		}
	}
}

// TestBodiesCorpus: of real mail, whatever it says of itself, each part arrives as
// it came, transfer encoding undone, and in lines that SMTP carries unless it is
// sealed.
func TestBodiesCorpus(t *testing.T) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		t.Skip("BACKSTAMP_CORPUS is not set")
	}
	s := settings(t)
	s.Limits.Message = 64 << 20
	s.Accounts[0].Align = newAlign(t, "shop", align.Warn)
	s.Tracking = Tracking{}
	r, renderer := newReciter(newPolicy(t, s)), render.New(render.Settings{}, noKeys{})
	var counts struct{ mails, quirks, edits, recoded, long, longStill, damaged int }
	err := filepath.WalkDir(filepath.Join(root, "mail"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, all := r.recite("127.0.0.1", strings.NewReader("EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\n"+bdatOf(string(content), " LAST")))
		if len(all) == 0 {
			return nil
		}
		k := all[0]
		copied, err := renderer.Render(k.m, bytes.NewReader(k.content), 1, "shop/main")
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if _, err := copied.WriteTo(&b); err != nil {
			return err
		}
		counts.mails++
		counts.edits += len(k.m.Detail.Parts)
		if strings.Contains(strings.Join(k.m.Detail.Quirks, " "), "-charset") || slices.Contains(k.m.Detail.Quirks, quirk.WrongEncoding) {
			counts.quirks++
		}
		if longest(string(k.content)) > 998 {
			counts.long++
		}
		if longest(b.String()) > 998 {
			counts.longStill++
			t.Logf("%s: a line of %d octets stays", path, longest(b.String()))
		}
		n, err := decodedAlike(damage.Split(k.content), damage.Split(b.Bytes()))
		if counts.recoded += n; err != nil {
			counts.damaged++
			t.Errorf("%s: %v", path, err)
		}
		return nil
	})
	t.Logf("%+v", counts)
	if err != nil || counts.mails == 0 {
		t.Fatal(counts.mails, err)
	}
}
