package relay

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"

	"backstamp/relay/quirk"
)

// trustAnyone is for dialogues, whose servers make their own certificates.
var trustAnyone = &tls.Config{InsecureSkipVerify: true}

func withTLS(t *testing.T, mode string) (Settings, *tls.Config) {
	s := settings(t)
	cert, key, trust := certFiles(t)
	s.Listeners[0].TLS, s.Listeners[0].Cert, s.Listeners[0].Key = mode, cert, key
	return s, trust
}

// TestTLSTransaction: the certificate is the one configured, and the message
// knows how it came.
func TestTLSTransaction(t *testing.T) {
	for _, mode := range []string{"starttls", "implicit"} {
		t.Run(mode, func(t *testing.T) {
			s, trust := withTLS(t, mode)
			r := start(t, s)
			c := r.connect()
			if mode == "starttls" {
				expect(t, c, "220 ")
				c.Expect("EHLO c", "250")
				c.Expect("STARTTLS", "220")
			}
			c.StartTLS(trust)
			if mode == "implicit" {
				expect(t, c, "220 ")
			}
			c.Expect("EHLO c", "250")
			c.Expect("AUTH PLAIN AHNob3AAc2VjcmV0", "235")
			if got := c.SendMail("a@example.com", []string{"r@dest.test"}, "From: a@example.com\n\n"+strings.Repeat("x\n", 20_000)); !strings.HasPrefix(got, "250 ") {
				t.Fatal(got)
			}
			m := r.queue.all()[0].m
			if m.Detail.Client.TLS != "TLS 1.3" || m.Detail.Client.User != "shop" || !strings.Contains(m.Detail.Header.Add[0], " with ESMTPSA id ") {
				t.Errorf("client %+v, %q", m.Detail.Client, m.Detail.Header.Add[0])
			}
		})
	}
}

// TestNothingSurvivesStartTLS: who said what in the clear is not known.
func TestNothingSurvivesStartTLS(t *testing.T) {
	s, trust := withTLS(t, "starttls")
	r := start(t, s)
	c := r.dial()
	c.Expect("EHLO c", "250")
	c.Expect("AUTH PLAIN AHNob3AAc2VjcmV0", "235")
	c.Expect("MAIL FROM:<a@example.com>", "250")
	c.Expect("RCPT TO:<victim@dest.test>", "250")
	c.Expect("BDAT 0", "250")
	c.Expect("STARTTLS", "220")
	c.StartTLS(trust)
	c.Expect("MAIL FROM:<a@example.com>", "503")
	c.Expect("HELO d", "250")
	if got := c.SendMail("a@example.com", []string{"r@dest.test"}, "From: a@example.com\n\n"); !strings.HasPrefix(got, "250 ") {
		t.Fatal(got)
	}
	r.server.each(func(f *front) {
		if f.peer.user != "" || f.peer.account != "" || f.peer.esmtp {
			t.Errorf("still known: %+v", f.peer)
		}
	})
	m := r.queue.all()[0].m
	if strings.Join(m.Recipients, " ") != "r@dest.test" || m.Detail.Client.User != "" {
		t.Errorf("for %v from %+v", m.Recipients, m.Detail.Client)
	}
}

// TestOldTLS: only a listener that is told to speaks what is older than TLS 1.2,
// with what old clients have; mail that came so is marked.
func TestOldTLS(t *testing.T) {
	for _, c := range []struct {
		min    string
		client uint16
		suites []uint16
		taken  bool
	}{
		{"1.3", tls.VersionTLS12, nil, false},
		{"", tls.VersionTLS11, nil, false},
		{"1.2", tls.VersionTLS10, nil, false},
		{"1.2", tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, false},
		{"1.1", tls.VersionTLS10, nil, false},
		{"1.0", tls.VersionTLS10, nil, true},
		{"1.0", tls.VersionTLS10, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, true},
		{"1.0", tls.VersionTLS10, []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}, true},
		{"1.0", tls.VersionTLS10, []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}, false},
		{"1.1", tls.VersionTLS11, []uint16{tls.TLS_RSA_WITH_AES_256_CBC_SHA}, true},
		{"1.0", tls.VersionTLS13, nil, true},
	} {
		t.Run(fmt.Sprintf("%s, client %x", c.min, c.client), func(t *testing.T) {
			s, own := withOwnCertificate(t, "implicit")
			s.Listeners[0].MinTLS = c.min
			r := start(t, s)
			client := r.connect()
			trust := &tls.Config{RootCAs: poolOf(t, own), ServerName: "relay.example.com",
				MinVersion: tls.VersionTLS10, MaxVersion: c.client, CipherSuites: c.suites}
			if !c.taken {
				if err := tls.Client(client.Conn, trust).Handshake(); err == nil {
					t.Error("it was taken")
				}
				return
			}
			client.StartTLS(trust)
			expect(t, client, "220 ")
			client.Expect("EHLO c", "250")
			client.SendMail("a@example.com", []string{"r@dest.test"}, "From: a@example.com\n\n")
			if old := slices.Contains(r.queue.all()[0].m.Detail.Quirks, quirk.OldTLS); old != (c.client < tls.VersionTLS12) {
				t.Errorf("quirks %v", r.queue.all()[0].m.Detail.Quirks)
			}
		})
	}
}

// TestPlaintextAfterStartTLS: neither what follows STARTTLS in its segment nor
// what comes instead of a handshake is a command.
func TestPlaintextAfterStartTLS(t *testing.T) {
	s, _ := withTLS(t, "starttls")
	r := start(t, s)
	c := r.dial()
	c.Expect("STARTTLS", "220")
	c.Send("EHLO evil\r\nMAIL FROM:<a@example.com>\r\n")
	if got, err := c.Read(); err == nil {
		t.Errorf("got %q", got)
	}
	if log := r.log.String(); !strings.Contains(log, "tls handshake failed") {
		t.Errorf("log: %s", log)
	}
}

// TestReload: the next connection has the new certificate, and the next
// message the new rules.
func TestReload(t *testing.T) {
	s, trust := withTLS(t, "starttls")
	r := start(t, s)
	c := r.dial()
	c.Expect("EHLO c", "250")
	old := settings(t).Accounts
	s, newTrust := withTLS(t, "starttls")
	s.Accounts = old
	s.Accounts[0].Networks = networks("10.0.0.0/8")
	if err := r.server.SetPolicy(newPolicy(t, s)); err != nil {
		t.Fatal(err)
	}
	c.Expect("MAIL FROM:<a@example.com>", "530")
	c.Expect("AUTH PLAIN AHNob3AAc2VjcmV0", "235")
	c.Expect("MAIL FROM:<a@example.com>", "250")

	s.Accounts[0].Password = "other"
	s.Accounts[0].Align = newAlign(t, "renamed", "warn")
	if err := r.server.SetPolicy(newPolicy(t, s)); err != nil {
		t.Fatal(err)
	}
	c.Expect("RCPT TO:<r@dest.test>", "250") // it keeps the policy with which it began
	c.Expect("RSET", "250")
	c.Expect("MAIL FROM:<a@example.com>", "530")

	c = r.dial()
	c.Expect("EHLO c", "250")
	c.Expect("STARTTLS", "220")
	c.StartTLS(newTrust)
	c = r.dial()
	c.Expect("STARTTLS", "220")
	if err := tls.Client(c.Conn, trust).Handshake(); err == nil {
		t.Error("the old certificate is still there")
	}
}
