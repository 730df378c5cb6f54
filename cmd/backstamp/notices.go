package main

import (
	"time"

	"backstamp/mail"
	"backstamp/relay/dsn"
)

// notices makes the rules for who hears of mail that failed or is late.
func (b *builder) notices() *dsn.Writer {
	w := &dsn.Writer{
		Hostname: hostname(b.conf), Accounts: map[string]dsn.Account{}, Signer: b.keys,
		Limit: new(dsn.Limit), IDs: new(mail.IDs),
	}
	for name, a := range b.house.accounts {
		n := b.conf.Accounts[name].Notices
		w.Accounts[name] = dsn.Account{To: n.To, Delayed: time.Duration(n.Delayed), Align: a}
	}
	return w
}

// inherit keeps what the notices of the house before have counted.
func (h *house) inherit(before *house) {
	h.notices.Limit, h.notices.IDs = before.notices.Limit, before.notices.IDs
}
