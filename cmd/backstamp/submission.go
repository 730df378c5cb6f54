package main

import (
	"strings"
	"time"

	"backstamp/config"
	"backstamp/mail"
	"backstamp/relay"
	"backstamp/relay/align"
	"backstamp/relay/dsn"
	"backstamp/relay/provider"
	"backstamp/rewrite"
)

// relay makes the rules for who may hand in mail.
func (b *builder) relay(accounts map[string]*align.Account, rewriter *rewrite.Rewriter) {
	c, t := b.conf, b.conf.Tracking
	s := relay.Settings{
		Hostname: hostname(c), DefaultDomain: c.DefaultDomain, Limits: limits(c.Limits), Rewriter: rewriter,
		Quiet: func(h mail.Header) bool { return dsn.Quiet(b.keys, h) },
		Tracking: relay.Tracking{
			Opens: t.Opens, Clicks: t.Clicks, Shared: t.Recipients == "shared", Public: !private(baseURL(c)),
		},
	}
	if t.Privacy != "off" {
		s.Tracking.Privacy = mail.Identified
	}
	for _, l := range c.Listeners {
		s.Listeners = append(s.Listeners, relay.Listener{
			Address: l.Address, TLS: l.TLS, Clients: l.Clients, Auth: l.Auth, Legacy: l.Legacy,
			Cert: l.Cert, Key: l.Key, MinTLS: l.MinTLS, ProxyProtocol: l.ProxyProtocol,
		})
	}
	for _, name := range c.Names("clients") {
		p := c.Clients[name]
		s.Clients = append(s.Clients, relay.Client{
			Name: name, Networks: p.Networks, From: p.From, Charset: p.Charset, Tracking: p.Tracking, Legacy: p.Legacy, MaxSize: int64(p.MaxSize),
			Rate: relay.Rate(p.Rate),
		})
	}
	for _, name := range c.Names("accounts") {
		if accounts[name] == nil { // refused already
			continue
		}
		a := c.Accounts[name]
		s.Accounts = append(s.Accounts, relay.Account{
			Username: a.Login.Username, Password: string(a.Login.Password), Networks: a.Networks,
			Align: accounts[name], ProviderHeaders: a.ProviderHeaders, Local: b.local(name), Hear: a.Reply == "upstream", Size: b.house.smallest(name),
		})
	}
	b.house.certificate = b.ownCertificate()
	s.Certificate = b.house.certificate
	policy, err := relay.NewPolicy(s)
	b.refuse(err)
	b.house.policy = policy
}

func limits(l config.Limits) relay.Limits {
	return relay.Limits{
		Message: int64(l.Message), Recipients: l.Recipients, Connections: l.Connections,
		ConnectionsPerClient: l.ConnectionsPerClient, LoginFailures: l.LoginFailures,
		Read: time.Duration(l.Read), Idle: time.Duration(l.Idle), Session: time.Duration(l.Session),
	}
}

// local tells of each provider that an account may use whether mail given to
// it stays on this machine or a private network.
func (b *builder) local(account string) map[string]bool {
	stays := map[string]bool{}
	for _, s := range b.house.providers {
		if of, _ := splitProvider(s.Name); of == account || of == shared {
			stays[s.Name] = s.Local()
		}
	}
	return stays
}

// smallest tells the largest message that every provider of an account takes, as
// far as is known when it is asked.
func (h *house) smallest(account string) func() int64 {
	return func() (size int64) {
		for i, s := range h.providers {
			client, ok := h.clients[i].(*provider.SMTP)
			if of, _ := splitProvider(s.Name); !ok || of != account && of != shared {
				continue
			}
			if n := client.MaxSize(); n > 0 && (size == 0 || n < size) {
				size = n
			}
		}
		return size
	}
}

// splitProvider takes account/name apart.
func splitProvider(full string) (account, name string) {
	account, name, _ = strings.Cut(full, "/")
	return account, name
}
