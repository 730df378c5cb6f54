// Package dsn writes and reads delivery status notifications (RFC 3464): what tells a
// sender that a message failed, is late, or went to where nobody will tell. It
// also decides whether there is one: never about a notice, never to somebody who
// is none of the account's, and not too many.
package dsn

import (
	"fmt"
	"sync"
	"time"

	"backstamp/mail"
	"backstamp/relay/align"
)

// A Signer signs the field by which notices of ours are known when they come
// back. The keys of tracking links are one.
type Signer interface {
	Key() mail.KeyID
	AppendToken(dst []byte, t mail.Token) ([]byte, error)
	Verify(purpose mail.Purpose, text, destination string) (mail.Token, error)
}

// The values of Account.To beside an address.
const (
	ToSender = "sender"
	ToNobody = "off"
)

// An Account says who hears of the mail of one account.
type Account struct {
	To      string         // ToSender, ToNobody or an address
	Delayed time.Duration  // after how long a message is late; 0: never, unless the sender asks
	Align   *align.Account // whose addresses count as its own
}

// delayAsked is after how long a message is late for those who ask with
// NOTIFY=DELAY where the configuration says nothing.
const delayAsked = 4 * time.Hour

// A Writer writes notices under one configuration. It may be used by many
// goroutines.
type Writer struct {
	Hostname string // the reporting server
	Accounts map[string]Account
	Signer   Signer
	Limit    *Limit
	IDs      *mail.IDs
}

// LateAt returns when a notice of the delay of a delivery is due, zero for
// never.
func (w *Writer) LateAt(m *mail.Message, d mail.Delivery) time.Time {
	after := w.Accounts[m.Account].Delayed
	switch n := d.Asked.Notify; {
	case d.Delayed || n != "" && !n.Has(mail.NotifyDelay):
		return time.Time{}
	case n != "" && after == 0:
		after = delayAsked
	case after == 0:
		return time.Time{}
	}
	return m.Received.Add(after)
}

// Notice writes a notice about those of its deliveries whose sender wants one.
// The deliveries that it is not about have their reason in why, by index; there
// is no letter where that is all of them.
func (w *Writer) Notice(n mail.Notice) (letter *mail.Letter, why map[int]string) {
	why = map[int]string{}
	about := n.Deliveries[:0:0]
	for _, d := range n.Deliveries {
		if reason := w.refuse(n, d); reason != "" {
			why[d.Index] = reason
		} else {
			about = append(about, d)
		}
	}
	if len(about) == 0 {
		return nil, why
	}
	n.Deliveries = about
	letter, reason := w.write(n)
	if letter == nil {
		for _, d := range about {
			why[d.Index] = reason
		}
	}
	return letter, why
}

// refuse says why nobody is told about a delivery, or "".
func (w *Writer) refuse(n mail.Notice, d mail.Delivery) string {
	asked := d.Asked.Notify
	wanted := map[mail.Action]string{mail.Fails: mail.NotifyFailure, mail.Delays: mail.NotifyDelay, mail.Relayed: mail.NotifySuccess}[n.Action]
	switch {
	case n.Message.MailFrom == "":
		return mail.NoNoticeNobody
	case n.Message.Quiet:
		return mail.NoNoticeQuiet
	case asked != "" && !asked.Has(wanted), asked == "" && n.Action == mail.Relayed:
		return mail.NoNoticeAsked
	case w.Accounts[n.Message.Account].To == ToNobody:
		return mail.NoNoticeOff
	}
	return ""
}

// write makes the letter, or says why there is none.
func (w *Writer) write(n mail.Notice) (letter *mail.Letter, reason string) {
	m, a := n.Message, w.Accounts[n.Message.Account]
	if a.Align == nil {
		return nil, mail.NoNoticeRefused
	}
	to := a.To
	if to == ToSender {
		if to = a.sender(m); to == "" {
			return nil, mail.NoNoticeForeign
		}
	}
	note := &mail.Message{
		ID: w.IDs.Next(n.At), Received: n.At, Account: m.Account, Recipients: []string{to},
		Reason: "null-sender", Quiet: true, UTF8: m.UTF8, HeaderFrom: a.author(m),
	}
	note.MessageID = fmt.Sprintf("<%v@%s>", note.ID, w.Hostname)
	note.Subject = words[0].subject[n.Action] + ": " + m.Subject
	content, err := w.compose(n, note)
	if err != nil {
		return nil, mail.NoNoticeRefused
	}
	header, _, _ := mail.ParseHeader(content)
	d, err := a.Align.Decide(header, "", "")
	if err != nil {
		return nil, mail.NoNoticeRefused
	}
	if !w.Limit.take(to, n.At) {
		return nil, mail.NoNoticeLimit
	}
	note.Provider, note.Detail.Alignment, note.Size = d.Provider, d.Alignment, int64(len(content))
	note.Detail.Header.Remove = d.Remove
	return &mail.Letter{Message: note, Content: content}, ""
}

// sender returns who handed the message in, if the account may use that
// address: anybody can write any other into MAIL FROM.
func (a Account) sender(m *mail.Message) string {
	for _, address := range []string{m.MailFrom, m.HeaderFrom} {
		if a.Align.Owns(address) {
			return address
		}
	}
	return ""
}

// author returns the address that a notice is from.
func (a Account) author(m *mail.Message) string {
	if identity, ok := a.Align.Identity(m.Provider); ok {
		return identity
	}
	for _, address := range []string{m.HeaderFrom, m.MailFrom} {
		if a.Align.Owns(address) {
			return address
		}
	}
	return m.HeaderFrom
}

// The most notices to one address, and how many addresses are remembered.
const (
	limitMost   = 10
	limitWindow = time.Hour
	limitNames  = 10_000
)

// A Limit keeps somebody from being drowned in notices: 10 an hour to one
// address. It is kept over reloads and begins anew with the program.
type Limit struct {
	mu    sync.Mutex
	times map[string][]time.Time
}

// take counts one notice, or reports that there were enough.
func (l *Limit) take(to string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times == nil || len(l.times) >= limitNames {
		l.times = map[string][]time.Time{}
	}
	var recent []time.Time
	for _, t := range l.times[to] {
		if now.Sub(t) < limitWindow {
			recent = append(recent, t)
		}
	}
	if len(recent) >= limitMost {
		return false
	}
	l.times[to] = append(recent, now)
	return true
}
