package dsn

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backstamp/mail"
)

// What we write is read as it was meant.
func TestParseOwn(t *testing.T) {
	l := letter(t, writer(t, Account{To: ToSender}, "@shop.test"), failed("gone@sink.test"))
	reports, id, err := Parse(bytes.NewReader(l.Content))
	want := Report{"gone@sink.test", mail.Fails, "5.1.1", "550 5.1.1 no such user"}
	if err != nil || len(reports) != 1 || reports[0] != want {
		t.Errorf("%+v, %v; want %+v", reports, err, want)
	}
	if id != "" { // the content of the test has none
		t.Errorf("message id %q", id)
	}
}

// Others' notices are read as far as they go.
func TestParseOthers(t *testing.T) {
	head := "From: MAILER-DAEMON@x.test\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n"
	for _, c := range []struct{ text, want string }{
		{"Reporting-MTA: dns; x\n\nFinal-Recipient: RFC822;<a@y.test>\nAction: Failed\nStatus: 5.1.1 (unknown)\n", "a@y.test failed 5.1.1"},
		{"Reporting-MTA: dns; x\n\n\nOriginal-Recipient: rfc822; a@y.test\nAction: delayed\nStatus: none\n\nFinal-Recipient: b@y.test\nAction: relayed\n", "a@y.test delayed |b@y.test relayed "},
		{"no fields at all", ""},
		{"Final-Recipient: rfc822; a@y.test\n", ""},
	} {
		reports, _, err := Parse(strings.NewReader(head + c.text + "--b--\n"))
		var got []string
		for _, r := range reports {
			got = append(got, r.Recipient+" "+string(r.Action)+" "+r.Status)
		}
		if s := strings.Join(got, "|"); s != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q, %v", c.text, s, err)
		}
	}
	if _, _, err := Parse(strings.NewReader("Subject: x\n\nhi\n")); !errors.Is(err, ErrNoReport) {
		t.Error(err)
	}
}

// The corpus has notices of many servers.
func TestParseCorpus(t *testing.T) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		t.Skip("BACKSTAMP_CORPUS is not set")
	}
	notices, read := 0, 0
	err := filepath.WalkDir(filepath.Join(root, "mail"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if h, _, _ := mail.ParseHeader(content); !strings.Contains(h.Get("Content-Type"), "delivery-status") {
			return nil
		}
		notices++
		if _, _, err := Parse(bytes.NewReader(content)); err == nil {
			read++
		} else {
			t.Logf("%s: %v", filepath.Base(path), err)
		}
		return nil
	})
	t.Logf("read %d of %d notices", read, notices)
	if err != nil || read*10 < notices*8 {
		t.Errorf("read %d of %d notices, %v", read, notices, err)
	}
}

// FuzzParse: nothing breaks it, and what it returns is whole.
func FuzzParse(f *testing.F) {
	w := writer(f, Account{To: ToSender}, "@shop.test")
	f.Add(letter(f, w, failed("gone@sink.test")).Content)
	f.Add([]byte("Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: ;\nAction: x\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		reports, _, err := Parse(bytes.NewReader(content))
		if (err == nil) != (len(reports) > 0) || len(reports) > reportsMax {
			t.Errorf("%d reports, %v", len(reports), err)
		}
		for _, r := range reports {
			if r.Recipient == "" || r.Action == "" {
				t.Errorf("%+v", r)
			}
		}
	})
}
