package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"backstamp/mail"
	"backstamp/relay/align"
)

// seal is a Signer with a key that anybody can guess.
type seal struct{}

func (seal) Key() mail.KeyID { return mail.KeyID{1} }
func (seal) AppendToken(dst []byte, t mail.Token) ([]byte, error) {
	return fmt.Appendf(dst, "sealed-%c", t.Purpose), nil
}
func (seal) Verify(p mail.Purpose, text, _ string) (mail.Token, error) {
	if text != fmt.Sprintf("sealed-%c", p) {
		return mail.Token{}, errors.New("forged")
	}
	return mail.Token{}, nil
}

var now = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func writer(t testing.TB, a Account, senders ...string) *Writer {
	t.Helper()
	var err error
	a.Align, err = align.NewAccount(align.Settings{Name: "shop", Mode: align.Reject, Providers: []align.Provider{{Name: "main", Senders: senders}}})
	if err != nil {
		t.Fatal(err)
	}
	return &Writer{Hostname: "relay.test", Accounts: map[string]Account{"shop": a}, Signer: seal{}, Limit: new(Limit), IDs: new(mail.IDs)}
}

const content = "From: app@shop.test\r\nSubject: caf\xe9\r\nBcc: secret@x.test\r\n\r\nbody\r\n"

func failed(to string) mail.Notice {
	m := &mail.Message{ID: mail.ID{1}, Received: now, Account: "shop", Provider: "shop/main", MailFrom: "app@shop.test", HeaderFrom: "app@shop.test", MessageID: "<1@shop.test>", Subject: "café"}
	d := mail.Delivery{Index: 1, Recipient: to, Status: mail.Failed, Reply: "550 5.1.1 no such user", Explain: &mail.Explain{ID: "generic.recipient", Class: mail.ClassRecipient}}
	return mail.Notice{Action: mail.Fails, At: now, Message: m, Content: strings.NewReader(content), Deliveries: []mail.Delivery{d}}
}

// letter is a notice that must be there, of ASCII in lines.
func letter(t testing.TB, w *Writer, n mail.Notice) *mail.Letter {
	t.Helper()
	l, why := w.Notice(n)
	if l == nil {
		t.Fatalf("no notice: %v", why)
	}
	for line := range bytes.Lines(l.Content) {
		if !bytes.HasSuffix(line, []byte("\r\n")) || bytes.ContainsFunc(line, func(r rune) bool { return r >= 0x80 }) || len(line) > 1000 {
			t.Errorf("line %q", line)
		}
	}
	return l
}

func TestNoticeIsSafe(t *testing.T) {
	w := writer(t, Account{To: ToSender}, "@shop.test")
	n := failed("gone@sink.test")
	n.Message.Subject = "x\r\nBcc: victim@x.test\r\n\r\nbody"
	n.Message.MessageID = "<1>\r\nX: y"
	n.Message.EnvID = "a\r\nb"
	n.Deliveries[0].Reply = "550-5.1.1 \x00\r\n550 5.1.1 --=_notice_\nX-Evil: 1"
	n.Deliveries[0].Asked.Original = "rfc822;a\r\nAction: delivered"
	l := letter(t, w, n)
	h, _, _ := mail.ParseHeader(l.Content)
	if h.Has("Bcc") || h.Has("X") || len(h.All("Subject")) != 1 {
		t.Errorf("header of strangers: %s", l.Content)
	}
	if bytes.Contains(l.Content, []byte("\r\nAction: delivered")) || bytes.Contains(l.Content, []byte("\r\nX-Evil")) || bytes.Contains(l.Content, []byte("secret@")) {
		t.Errorf("fields of strangers: %s", l.Content)
	}
	if m := l.Message; m.MailFrom != "" || !m.Quiet || m.Tracked || m.Provider != "shop/main" || m.Size != int64(len(l.Content)) {
		t.Errorf("message %+v", m)
	}
	if !Quiet(seal{}, h) {
		t.Error("a notice of ours is not known as one")
	}
}

func TestStatusCodes(t *testing.T) {
	for _, c := range []struct {
		action mail.Action
		reply  string
		detail string
		want   string
	}{
		{mail.Fails, "550 5.7.30 no", "", "5.7.30"},
		{mail.Fails, "554 no", "", "5.0.0"},
		{mail.Fails, "451 4.3.0 later", "", "4.4.7"},
		{mail.Fails, "", "", "4.4.7"},
		{mail.Fails, "", "5.6.7 no SMTPUTF8", "5.6.7"},
		{mail.Delays, "451 4.3.0 later", "", "4.3.0"},
		{mail.Delays, "550 5.1.1 parked", "", "4.4.7"},
		{mail.Relayed, "250 2.1.5 ok", "", "2.0.0"},
	} {
		d := mail.Delivery{Reply: c.reply, Explain: &mail.Explain{Detail: c.detail}}
		if got := code(c.action, d); got != c.want {
			t.Errorf("%s %q %q: %s, want %s", c.action, c.reply, c.detail, got, c.want)
		}
	}
}

// An address beyond ASCII is written as RFC 6533 has it.
func TestUTF8Recipient(t *testing.T) {
	l := letter(t, writer(t, Account{To: ToSender}, "@shop.test"), failed("길동@한국.test"))
	if want := "Final-Recipient: utf-8; \\x{AE38}\\x{B3D9}@\\x{D55C}\\x{AD6D}.test\r\n"; !bytes.Contains(l.Content, []byte(want)) {
		t.Errorf("no %q in %s", want, l.Content)
	}
}

func TestLimit(t *testing.T) {
	var l Limit
	for i := range 12 {
		if l.take("a@x.test", now.Add(time.Duration(i)*time.Minute)) != (i < limitMost) {
			t.Errorf("notice %d", i+1)
		}
	}
	if !l.take("b@x.test", now) {
		t.Error("another address has its own limit")
	}
	if !l.take("a@x.test", now.Add(time.Hour)) {
		t.Error("nothing after an hour")
	}
}

func TestLateAt(t *testing.T) {
	for _, c := range []struct {
		delayed time.Duration
		asked   mail.Notify
		told    bool
		want    time.Duration // 0: never
	}{
		{0, "", false, 0},
		{time.Hour, "", false, time.Hour},
		{time.Hour, "", true, 0},
		{time.Hour, "FAILURE", false, 0},
		{time.Hour, "NEVER", false, 0},
		{time.Hour, "DELAY", false, time.Hour},
		{0, "FAILURE,DELAY", false, delayAsked},
	} {
		w := writer(t, Account{To: ToSender, Delayed: c.delayed}, "@shop.test")
		n := failed("a@x.test")
		d := mail.Delivery{Asked: mail.Asked{Notify: c.asked}, Delayed: c.told}
		want := time.Time{}
		if c.want > 0 {
			want = now.Add(c.want)
		}
		if got := w.LateAt(n.Message, d); !got.Equal(want) {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Whatever a stranger wrote, the notice is one: three parts, one line a field.
func FuzzNotice(f *testing.F) {
	f.Add("gone@sink.test", "550 5.1.1 no", "주문", "rfc822;a@b.c", []byte(content))
	f.Add("\"a b\"@x.test", "250-x\n550", "\r\n\r\n--", ";;", []byte("\r\n.\r\n"))
	f.Fuzz(func(t *testing.T, to, reply, subject, orcpt string, body []byte) {
		w := writer(t, Account{To: ToSender}, "@shop.test")
		n := failed(to)
		n.Deliveries[0].Reply, n.Message.Subject, n.Deliveries[0].Asked.Original = reply, subject, orcpt
		n.Content = bytes.NewReader(body)
		l, _ := w.Notice(n)
		if l == nil {
			return
		}
		h, _, at := mail.ParseHeader(l.Content)
		if len(h) != 10 {
			t.Errorf("%d fields: %q", len(h), l.Content[:at])
		}
		if got := bytes.Count(l.Content, []byte("\r\n--=_notice_"+l.Message.ID.String())); got != 4 {
			t.Errorf("%d delimiters", got)
		}
	})
}
