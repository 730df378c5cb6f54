package render

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/damage"
	"backstamp/internal/mailtest"
	"backstamp/mail"
	"backstamp/relay/ascii"
)

// seven renders content in ASCII.
func seven(t testing.TB, r *Renderer, m *mail.Message, content string) (string, error) {
	t.Helper()
	c, err := r.Render(m, strings.NewReader(content), 0, "shop/main")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.SevenBit()
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != s.Size() || s.EightBit() || s.MailFrom() != c.MailFrom() {
		t.Errorf("wrote %d octets, said %d; EightBit is %v", b.Len(), s.Size(), s.EightBit())
	}
	return b.String(), nil
}

// alike reports how two messages differ in what people and software read.
func alike(was, is *damage.Part, media string, depth int) error {
	if err := alikeFields(was, is); err != nil {
		return err
	}
	if len(was.Children) != len(is.Children) {
		return fmt.Errorf("%d parts became %d", len(was.Children), len(is.Children))
	}
	inner := ""
	if was.Media() == "multipart/digest" {
		inner = "message/rfc822"
	}
	for i := range was.Children {
		if err := alike(was.Children[i], is.Children[i], inner, depth); err != nil {
			return err
		}
	}
	if was.Gaps != nil {
		return nil
	}
	a, errA := was.Decoded()
	b, errB := is.Decoded()
	switch {
	case bytes.Equal(was.Body, is.Body) && was.Encoding() == is.Encoding():
		return nil
	case errA != nil && was.Encoding() == "base64":
		a, b = unmarked(was.Body), is.Body
	case errA != nil && was.Encoding() == "quoted-printable":
		return nil // it does not decode, so nobody can say
	case errA != nil:
		a = was.Body
	case errB != nil:
		return fmt.Errorf("a part does not decode any more: %w", errB)
	}
	media = cmp.Or(was.Media(), media)
	if (media == "message/rfc822" || media == "message/global" || media == "message/news") && depth < 20 {
		return alike(damage.Split(a), damage.Split(b), "", depth+1)
	}
	if !bytes.Equal(bytes.TrimRight(a, "\r\n"), bytes.TrimRight(b, "\r\n")) {
		return fmt.Errorf("a part of type %q: %s", media, damage.Difference(b, a))
	}
	return nil
}

// alikeFields compares the fields that both have, as they read.
func alikeFields(was, is *damage.Part) error {
	a, _, _ := mail.ParseHeader(was.Fields)
	b, _, _ := mail.ParseHeader(is.Fields)
	skip := func(f mail.Field) bool {
		return f.Is("Content-Transfer-Encoding") || f.Is("MIME-Version") || f.Is("DKIM-Signature") || f.Is("Bcc") || f.Is("Return-Path") || f.Name == ""
	}
	a, b = slices.DeleteFunc(a, skip), slices.DeleteFunc(b, skip)
	if len(a) != len(b) {
		return fmt.Errorf("%d fields became %d", len(a), len(b))
	}
	charset := was.Charset()
	for i := range a {
		if !ascii.Has(a[i]) && !bytes.Equal(bytes.TrimRight(a[i].Raw, "\r\n"), bytes.TrimRight(b[i].Raw, "\r\n")) {
			return fmt.Errorf("field %q became %q", a[i].Raw, b[i].Raw)
		}
		if a[i].Is("Subject") {
			if x, y := reads(a[i], charset), reads(b[i], charset); x != y {
				return fmt.Errorf("subject %q became %q", x, y)
			}
		}
	}
	return nil
}

func reads(f mail.Field, charset string) string {
	var dec mime.WordDecoder
	dec.CharsetReader = func(label string, r io.Reader) (io.Reader, error) {
		return nil, errors.New("leave it")
	}
	text, err := dec.DecodeHeader(ascii.Text(f.Value(), charset))
	if err != nil {
		text = f.Value()
	}
	return strings.Join(strings.Fields(text), " ")
}

const korean = "안녕하세요, 주문이 접수되었습니다."

var eightBit = map[string]string{
	"no header of MIME": "Subject: 주문\n\n" + korean + "\n",
	"plain":             "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + korean + "\nFrom here on = trailing \n.dot\n",
	"mostly ASCII":      "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n" + strings.Repeat("A caf\xe9 in the morning, as every day, at nine.\n", 40),
	"label after type":  "Content-transfer-ENCODING: 8BIT\nMIME-Version: 1.0\nContent-Type: text/html\n\n<p>é</p>\n",
	"mixed": "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\nContent-Transfer-Encoding: 8bit\n\npreamble é\n--b\n" +
		"Content-Type: text/plain; charset=euc-kr\nContent-Transfer-Encoding: 8bit\n\n\xbe\xc8\xb3\xe7\n--b\n" +
		"Content-Type: text/plain\n\nplain\n--b\n" +
		"Content-Type: application/pdf\nContent-Disposition: attachment; filename=\"보고서.pdf\"\nContent-Transfer-Encoding: base64\n\nAAAA\n--b\n" +
		"Content-Type: application/octet-stream\nContent-Transfer-Encoding: binary\n\n\xff\xfe\x01\n\n--b--\nepilogue é\n",
	"alternative within": "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/alternative; boundary=oi\nContent-Transfer-Encoding: binary\n\n" +
		"--oi\n\n" + korean + "\n--oi\nContent-Type: text/html\n\n<b>é</b>\n--oi--\n\n--o\nContent-Type: text/plain\n\nend\n--o--\n",
	"forwarded": "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n" +
		"Subject: 전달\nFrom: 홍 <a@b.test>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\n" + korean + "\n--i--\n\n--o\n\nafter\n--o--\n",
	"digest": "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=o\n\n--o\n\nSubject: 하나\n\n" + korean + "\n--o\n\nSubject: two\n\nplain\n--o--\n",
	"broken quoted-printable": "MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9 and é " +
		strings.Repeat("한", 30) + "\nsoft=\nbreak =3D\n",
	"multipart without boundary":       "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n" + korean + "\n",
	"multipart whose parts never come": "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n" + korean + "\n",
	"no end":                           "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n" + korean,
	"part without empty line":          "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain\né not: a field\n--x--\n",
	"only a header":                    "Subject: é\n",
}

// A message for a server that takes ASCII alone reads as it did.
func TestSevenBit(t *testing.T) {
	r := New(Settings{}, nil)
	for name, text := range eightBit {
		t.Run(name, func(t *testing.T) {
			content := mailtest.CRLF("From: a@shop.test\n" + text)
			got, err := seven(t, r, message(), content)
			if err != nil {
				t.Fatal(err)
			}
			if err := alike(damage.Split([]byte(content)), damage.Split([]byte(got)), "", 0); err != nil {
				t.Errorf("%v\n%s", err, got)
			}
			for line := range strings.Lines(got) {
				if !strings.HasSuffix(line, "\r\n") || len(line) > 1000 {
					t.Errorf("line %q", line)
				}
				if l := strings.ToLower(line); strings.HasPrefix(l, "content-transfer-encoding: ") && (strings.Contains(l, "8bit") || strings.Contains(l, "binary")) {
					t.Errorf("label %q", line)
				}
			}
		})
	}
}

// What has no bytes beyond ASCII goes out as it came.
func TestSevenBitAlready(t *testing.T) {
	r := New(Settings{}, nil)
	content := mailtest.CRLF("From: a@shop.test\nContent-Transfer-Encoding: 8bit\n\nplain\n")
	_, plain := written(t, r, message(), content, "shop/main")
	if got, err := seven(t, r, message(), content); err != nil || got != plain {
		t.Errorf("%q, %v; want %q", got, err, plain)
	}
}

// A signature over bytes beyond ASCII would be broken, and a local part beyond
// ASCII has no other spelling.
func TestSevenBitImpossible(t *testing.T) {
	r := New(Settings{}, nil)
	signed := "From: a@shop.test\nMIME-Version: 1.0\nContent-Type: multipart/signed; boundary=s; protocol=\"application/pgp-signature\"\n\n" +
		"--s\nContent-Type: text/plain; charset=utf-8\n\n%s\n--s\nContent-Type: application/pgp-signature\n\nsig\n--s--\n"
	for _, c := range []struct {
		text string
		want error
	}{
		{fmt.Sprintf(signed, korean), mail.ErrEightBit},
		{"Subject: 제목\n" + fmt.Sprintf(signed, "plain"), nil},
		{"From: a@shop.test\nTo: 길동@shop.test\n\nhi\n", mail.ErrUTF8},
		{"From: a@shop.test\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\nTo: 길동@shop.test\n\nhi\n", mail.ErrUTF8},
	} {
		if got, err := seven(t, r, message(), mailtest.CRLF(c.text)); !errors.Is(err, c.want) || err == nil != (c.want == nil) {
			t.Errorf("%.60q: %v, want %v\n%s", c.text, err, c.want, got)
		}
	}
}

// Every message of the corpus can be written in ASCII, or there is a reason.
func TestSevenBitCorpus(t *testing.T) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		t.Skip("BACKSTAMP_CORPUS is not set")
	}
	r := New(Settings{}, nil)
	files, eight, failed := 0, 0, 0
	err := filepath.WalkDir(filepath.Join(root, "mail"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		content := normalised(raw)
		c, _, _, err := readHeader(content)
		if err != nil || len(c) == 0 || ascii.Is([]byte(content)) {
			return nil
		}
		eight++
		_, plain := written(t, r, message(), content, "shop/main")
		got, err := seven(t, r, message(), content)
		if err != nil {
			failed++
			t.Logf("%s: %v", filepath.Base(path), err)
			return nil
		}
		if err := alike(damage.Split([]byte(plain)), damage.Split([]byte(got)), "", 0); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		return nil
	})
	t.Logf("%d files, %d with bytes beyond ASCII, %d cannot be written in ASCII", files, eight, failed)
	if err != nil || files == 0 {
		t.Fatal(files, err)
	}
}

func readHeader(content string) (mail.Header, int, int, error) {
	return mail.ReadHeader(strings.NewReader(content))
}

// Whatever comes, in pieces of any size, ASCII goes, and twice the same.
func FuzzSevenBit(f *testing.F) {
	for _, text := range eightBit {
		f.Add([]byte("From: a@shop.test\r\n"+mailtest.CRLF(text)), 7)
	}
	f.Fuzz(func(t *testing.T, content []byte, piece int) {
		text := normalised(content)
		c, err := New(Settings{}, nil).Render(message(), strings.NewReader(text), 0, "shop/main")
		if err != nil {
			return
		}
		s, err := c.SevenBit()
		if err != nil {
			return
		}
		var a, b bytes.Buffer
		s.WriteTo(&a)
		s.WriteTo(&b)
		if !bytes.Equal(a.Bytes(), b.Bytes()) || !ascii.Is(a.Bytes()) || int64(a.Len()) != s.Size() {
			t.Fatalf("%q", a.Bytes())
		}
		whole, pieces := &survey{}, &survey{}
		at := bytes.Index(a.Bytes(), []byte("\r\n\r\n"))
		if at < 0 {
			return
		}
		h, end, _ := mail.ParseHeader(a.Bytes())
		body := a.Bytes()[end:]
		if walk(h, func(w io.Writer) error { return writeAll(w, body) }, whole) != nil {
			return
		}
		piece = max(1, min(piece, 100))
		err = walk(h, func(w io.Writer) error {
			for p := range slices.Chunk(body, piece) {
				if err := writeAll(w, p); err != nil {
					return err
				}
			}
			return nil
		}, pieces)
		if err != nil || !slices.Equal(whole.findings, pieces.findings) {
			t.Fatalf("in pieces of %d: %v, %v, want %v", piece, err, pieces.findings, whole.findings)
		}
	})
}
