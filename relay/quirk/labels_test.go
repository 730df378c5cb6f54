package quirk

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
	"backstamp/rewrite"
)

// TestSetCharset: the charset is the only thing that changes in a Content-Type.
func TestSetCharset(t *testing.T) {
	for field, want := range map[string]string{
		"":                                  "Content-Type: text/plain; charset=X",
		"Content-Type: text/html":           "Content-Type: text/html; charset=X",
		"Content-Type: text/html;":          "Content-Type: text/html; charset=X",
		"Content-Type: text/html; charset=": "Content-Type: text/html; charset=X",
		"Content-Type: text/html; CHARSET = us-ascii ; format=flowed":       "Content-Type: text/html; CHARSET = X ; format=flowed",
		"Content-Type: text/html; charset=us-ascii; format=flowed":          "Content-Type: text/html; charset=X; format=flowed",
		"Content-Type: text/html; charset=\"\"; format=flowed":              "Content-Type: text/html; charset=X; format=flowed",
		"Content-Type: text/html; charset=us-ascii(comment; charset=a)":     "Content-Type: text/html; charset=X(comment; charset=a)",
		"Content-Type: text/html; x=\"; charset=a\"; charset=\"us-ascii\"":  "Content-Type: text/html; x=\"; charset=a\"; charset=X",
		"Content-Type: text/html; x=\"\\\"; charset=a\"":                    "Content-Type: text/html; x=\"\\\"; charset=a\"; charset=X",
		"Content-Type: text/html;\r\n\tcharset=us-ascii;\r\n\tname=\"a b\"": "Content-Type: text/html;\r\n\tcharset=X;\r\n\tname=\"a b\"",
	} {
		if got := setCharset(field, "X"); got != want {
			t.Errorf("%q became %q, want %q", field, got, want)
		}
	}
}

// TestDecoding: what an encoding forbids is seen, in pieces of any size.
func TestDecoding(t *testing.T) {
	for _, tt := range []struct {
		quoted bool
		text   string
		broken bool
	}{
		{false, "QUJD", false}, {false, "QUJ\r\nDQ Q==\r\n", false}, {false, "QUI=", false}, {false, "", false},
		{false, "QUI", true}, {false, "QUI=QQ", true}, {false, "QUJD.", true}, {false, "Hello, World", true}, {false, "Q===", true}, {false, "\xbe\xc8", true},
		{true, "a=3D=0d=\r\nb= \t\r\n", false}, {true, "a=\n", false}, {true, "=", false},
		{true, "a=b", true}, {true, "a=3", true}, {true, "a= b", true}, {true, "a=3Q", true}, {true, "a \xe9", true}, {true, "a=\xe9", true},
	} {
		for size := 1; size <= max(1, len(tt.text)); size++ {
			d := &decoding{quoted: tt.quoted}
			for piece := range slices.Chunk([]byte(tt.text), size) {
				d.write(piece)
			}
			if d.broken() != tt.broken {
				t.Errorf("%q in pieces of %d: broken %v", tt.text, size, d.broken())
			}
		}
	}
}

// TestLabelsGuess tries what an HTML page says of itself, where it can be that.
func TestLabelsGuess(t *testing.T) {
	meta := `<meta http-equiv="Content-Type" content="text/html; charset=KOI8-R">`
	for _, tt := range []struct{ client, page, want string }{
		{"cp949", meta + "\xf0\xd2\xc9", "koi8-r"},
		{"cp949", meta + "Привет", "utf-8"},
		{"", `<meta charset='shift_jis'>` + "\x93\xfa\x96{", "shift_jis"},
		{"cp949", `<meta charset=utf-8>` + euckr(t, "한글"), "euc-kr"},
		{"utf-16le", "caf\xe9", "windows-1252"},
		{"", strings.Repeat("x", 2*headMax) + meta + euckr(t, "한글"), "euc-kr"},
	} {
		h := mail.Header{mail.NewField("Content-Type: text/html")}
		edits, _, err := Mender{Charset: tt.client}.Labels(h, func(w io.Writer) error {
			_, err := io.WriteString(w, "\r\n"+tt.page+"\r\n")
			return err
		})
		if err != nil || len(edits) != 1 || edits[0].Type != "Content-Type: text/html; charset="+tt.want {
			t.Errorf("%.80q: %+v, %v; want %s", tt.page, edits, err, tt.want)
		}
	}
}

// FuzzBody: whatever a message holds, it is judged the same in pieces of any
// size; labels are fields that say what they should, and a labelled message
// needs no more of them.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		"Content-Type: text/html\r\n\r\n<meta charset=euc-kr>\xbe\xc8", "\r\n\xbe\xc8\xb3\xe7", "Content-Type: text/plain; charset=us-ascii\r\n\r\né",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\né\r\n--b\r\nContent-Type: text/html;\r\n charset=\"us-ascii\" (a)\r\nContent-Transfer-Encoding: 7bit\r\n\r\né\r\n--b--",
		"Content-Transfer-Encoding: base64\r\n\r\nQUI", "Content-Transfer-Encoding: quoted-printable\r\n\r\n=3=\xe9", "X: y\r\n\r\n" + strings.Repeat("long ", 300),
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, content []byte, size int) {
		h, end, _ := mail.ParseHeader(content)
		body := content[end:]
		m := Mender{Charset: "cp949"}
		pieces := func(w io.Writer) error {
			for piece := range slices.Chunk(body, max(size, 1)) {
				if _, err := w.Write(piece); err != nil {
					return err
				}
			}
			return nil
		}
		whole := func(w io.Writer) error { _, err := w.Write(body); return err }
		labels, quirks, err := m.Labels(h, whole)
		again, quirksAgain, errAgain := m.Labels(h, pieces)
		lines, _ := Lines(h, whole)
		linesAgain, _ := Lines(h, pieces)
		if err != errAgain || !reflect.DeepEqual(labels, again) || !slices.Equal(quirks, quirksAgain) || !reflect.DeepEqual(lines, linesAgain) {
			t.Fatalf("in pieces of %d: %v %v %v, not %v %v %v", size, again, quirksAgain, linesAgain, labels, quirks, lines)
		}
		for _, e := range Merge(labels, lines) {
			if e.Type == "" {
				continue
			}
			field := mail.NewField(e.Type)
			back, at, _ := mail.ParseHeader(field.Raw)
			_, params := rewrite.ContentType(field.Value())
			if len(back) != 1 || at != len(field.Raw) || !field.Is("Content-Type") || !bytes.Contains(field.Raw, []byte("charset")) {
				t.Fatalf("a label %q", e.Type)
			}
			if e.Part == 0 && len(labels) == 1 && params["charset"] != "" {
				if more, _, _ := m.Labels(h.Put(field).Put(mail.NewField("Content-Transfer-Encoding: 8bit")), whole); len(more) > 0 {
					t.Fatalf("labelled %q, then %v", e.Type, more)
				}
			}
		}
	})
}
