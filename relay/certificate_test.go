package relay

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
)

// withOwnCertificate are settings of a listener that has no certificate
// configured.
func withOwnCertificate(t *testing.T, mode string) (Settings, *Certificate) {
	t.Helper()
	s := settings(t)
	s.Listeners[0].TLS = mode
	s.Certificate = NewCertificate(filepath.Join(t.TempDir(), "tls"), []string{"relay.example.com", "127.0.0.1"}, clock.System{}, slog.New(slog.DiscardHandler))
	if err := s.Certificate.Ready(); err != nil {
		t.Fatal(err)
	}
	return s, s.Certificate
}

// poolOf is the trust of a client that was given the file.
func poolOf(t *testing.T, c *Certificate) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(c.File())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", c.File())
	}
	return pool
}

// TestOwnCertificate: a client that was given the file trusts the listener, by
// name and by address; the key is the owner's alone.
func TestOwnCertificate(t *testing.T) {
	s, own := withOwnCertificate(t, "starttls")
	r := start(t, s)
	for _, name := range []string{"relay.example.com", "127.0.0.1"} {
		c := r.dial()
		c.Expect("EHLO c", "250")
		c.Expect("STARTTLS", "220")
		c.StartTLS(&tls.Config{RootCAs: poolOf(t, own), ServerName: name})
		c.Expect("EHLO c", "250")
	}
	files, err := os.ReadDir(filepath.Dir(own.File()))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

// TestOwnCertificateLasts: it stays the same over restarts, is renewed with the
// same key while it is still good, and when the hosts are others.
func TestOwnCertificateLasts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	clk := clock.NewFake(now)
	var log logBuffer
	open := func(hosts ...string) *Certificate {
		c := NewCertificate(dir, hosts, clk, slog.New(slog.NewTextHandler(&log, nil)))
		if sum, _ := NewCertificate(dir, hosts, clk, nil).Fingerprint(); sum == "" && log.String() != "" {
			t.Error("no fingerprint of what is there")
		}
		if err := c.Ready(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	leaf := func(c *Certificate) *x509.Certificate {
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf
	}
	first := open("a.example.com")
	sum, until := first.Fingerprint()
	if !strings.Contains(log.String(), "sha256="+sum) || !until.Equal(now.Add(certLife).Truncate(time.Second)) {
		t.Errorf("fingerprint %s until %v, log %s", sum, until, &log)
	}
	made := leaf(first)
	if again := leaf(open("a.example.com")); !again.Equal(made) {
		t.Error("another one after a restart")
	}
	clk.Advance(certLife - certRenew - time.Hour)
	if !leaf(first).Equal(made) {
		t.Error("renewed early")
	}
	clk.Advance(2 * time.Hour)
	renewed := leaf(first)
	if renewed.Equal(made) || !bytes.Equal(renewed.RawSubjectPublicKeyInfo, made.RawSubjectPublicKeyInfo) || !renewed.NotAfter.After(made.NotAfter) {
		t.Errorf("not renewed with its key: until %v", renewed.NotAfter)
	}
	if other := leaf(open("a.example.com", "10.0.5.2")); other.VerifyHostname("10.0.5.2") != nil {
		t.Error("it is not for an address that came later")
	}
}

// TestOwnCertificateTrouble: without a place for it nothing starts; one that
// cannot be renewed goes on serving; what is no key is not written over.
func TestOwnCertificateTrouble(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	clk := clock.NewFake(now)
	var log logBuffer
	c := NewCertificate(dir, []string{"a.example.com"}, clk, slog.New(slog.NewTextHandler(&log, nil)))
	if sum, _ := c.Fingerprint(); sum != "" {
		t.Error("there is one already")
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c.Ready() == nil {
		t.Error("a file for a directory")
	}
	os.Remove(dir)
	clk.Advance(retryCert)
	if err := c.Ready(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.keyFile(), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	clk.Advance(certLife)
	pair, err := c.get(nil)
	if err != nil || pair == nil || !strings.Contains(log.String(), "not renewed") {
		t.Errorf("%v, %s", err, &log)
	}
	if text, _ := os.ReadFile(c.keyFile()); string(text) != "no key" {
		t.Error("the key was written over")
	}
}
