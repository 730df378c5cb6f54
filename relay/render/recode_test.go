package render

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"backstamp/internal/damage"
	"backstamp/internal/mailtest"
	"backstamp/mail"
)

// TestPartEdits: what was decided about the parts is in the copy, signed by us,
// and what others had signed over it is gone.
func TestPartEdits(t *testing.T) {
	long := strings.Repeat("A word and another. ", 100)
	foreign := "DKIM-Signature: v=1; a=rsa-sha256; d=other.test; s=x; h=%s; bh=; b=\n"
	for _, tt := range []struct {
		name, content, want string
		parts               []mail.PartEdit
		foreign             bool // what others signed holds
	}{
		{"label", "From: a@example.org\n" + fmt.Sprintf(foreign, "From:Content-Type") + "\né\n",
			"From: a@example.org\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\né\n",
			[]mail.PartEdit{{Type: "Content-Type: text/plain; charset=utf-8", Encoding: "8bit"}}, false},
		{"label that nobody signed", "From: a@example.org\n" + fmt.Sprintf(foreign, "From") + "\né\n",
			"From: a@example.org\n" + fmt.Sprintf(foreign, "From") + "Content-Transfer-Encoding: 8bit\n\né\n",
			[]mail.PartEdit{{Encoding: "8bit"}}, true},
		{"label of a part", "From: a@example.org\n" + fmt.Sprintf(foreign, "From") + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\né\n--b\n\nx\n--b--\n",
			"From: a@example.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: 8bit\n\né\n--b\n\nx\n--b--\n",
			[]mail.PartEdit{{Part: 1, Encoding: "8bit"}}, false},
		{"lines", "From: a@example.org\n" + fmt.Sprintf(foreign, "From") + "\n" + long + "\n", "",
			[]mail.PartEdit{{Encoding: "quoted-printable", Lines: true}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := message()
			m.Detail.Parts = tt.parts
			content := mailtest.CRLF(tt.content)
			_, plain := written(t, New(Settings{}, nil), m, content, "shop/main")
			if want := mailtest.CRLF(tt.want); tt.want != "" && plain != want {
				t.Errorf("got  %q\nwant %q", plain, want)
			}
			_, signed := written(t, New(Settings{DKIM: testKeys(t)}, nil), m, content, "shop/main")
			if got := valid(t, signed); len(got) != 2 {
				t.Errorf("%d signatures hold", len(got))
			}
			if strings.Contains(signed, "d=other.test") != tt.foreign {
				t.Errorf("the signature of others: %q", signed)
			}
			if seven, err := seven(t, New(Settings{}, nil), m, content); err != nil || strings.Contains(seven, "8bit") {
				t.Errorf("in ASCII: %v %q", err, seven)
			}
		})
	}
}

// FuzzQuoter: any text in lines is the same once decoded by others, in lines
// that fit, of which none begins badly that did not before; and so is what was
// quoted-printable.
func FuzzQuoter(f *testing.F) {
	f.Add([]byte("a b \nFrom here\n--b\n.\n="+strings.Repeat("-", 200)+strings.Repeat("é ", 600)), 7)
	f.Add([]byte(strings.Repeat("=C3=A9", 400)+"=\n \t\n"+strings.Repeat(" ", 1200)), 1)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		text = []byte(mailtest.CRLF(strings.NewReplacer("\r", "", "\x00", "").Replace(string(text))))
		for _, how := range []string{"quoted-printable", "mend"} {
			var enc bytes.Buffer
			w := newEncoder(&enc, how)
			for rest := text; len(rest) > 0; {
				n := min(max(piece, 1), len(rest))
				w.Write(rest[:n])
				rest = rest[n:]
			}
			w.Close()
			got, err := unquoted(enc.Bytes())
			want, wantErr := text, error(nil)
			if how == "mend" {
				want, wantErr = unquoted(text)
			}
			if wantErr == nil && (err != nil || !bytes.Equal(got, want)) {
				t.Fatalf("%s: %q became %q: %v", how, text, enc.Bytes(), err)
			}
			lines := bytes.Split(text, []byte("\r\n"))
			for line := range bytes.SplitSeq(enc.Bytes(), []byte("\r\n")) {
				if len(line) > 998 || how == "quoted-printable" && len(line) > 76 {
					t.Fatalf("%s: a line of %d octets", how, len(line))
				}
				if len(line) > 0 && beginsBadly(line[0]) && !startsOne(lines, line) {
					t.Fatalf("%s: %q begins a line", how, line)
				}
			}
		}
	})
}

// unquoted decodes quoted-printable, if it is that.
func unquoted(enc []byte) ([]byte, error) {
	return damage.Split(append([]byte("Content-Transfer-Encoding: quoted-printable\r\n\r\n"), enc...)).Decoded()
}

// startsOne reports whether one of the lines begins as another does.
func startsOne(lines [][]byte, other []byte) bool {
	for _, line := range lines {
		if len(line) > 0 && line[0] == other[0] {
			return true
		}
	}
	return false
}
