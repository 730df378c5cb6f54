package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

// TestOwnCertificate: a listener with TLS and nothing else configured starts with
// a certificate that clients can be given; check makes none, and shows the one
// that is there.
func TestOwnCertificate(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	conf := strings.Replace(relayConfig(peer.Addr, ""), `{address: "127.0.0.1:0", `, `{address: "127.0.0.1:0", tls: implicit, `, 1)
	dir := t.TempDir()
	file := filepath.Join(dir, "backstamp.yaml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cert := filepath.Join(dir, "data", "tls", "cert.pem")
	out, code := run(t, nil, "check", "--config", file)
	if _, err := os.Stat(cert); err == nil || code != exitDone || !strings.Contains(out, "certificate: "+cert) {
		t.Fatalf("check before the first start: %d, %v\n%s", code, err, out)
	}
	in := startIn(t, dir, file)
	text, err := os.ReadFile(cert)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, name := range []string{"relay.test", "localhost", "127.0.0.1"} {
		conn, err := tls.Dial("tcp", in.smtp(), &tls.Config{RootCAs: pool, ServerName: name})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conn.Close()
	}
	_, sum, _ := strings.Cut(in.log.String(), "sha256=")
	sum, _, _ = strings.Cut(sum, " ")
	if len(sum) != 64 || !strings.Contains(in.out.String(), sum) || !strings.Contains(in.ok("check"), sum) {
		t.Errorf("fingerprint %q, printed:\n%s\nlog:\n%s", sum, in.out, in.log)
	}
	in.ok("reload")
	in.stop()
	startIn(t, dir, file)
	if again, _ := os.ReadFile(cert); string(again) != string(text) {
		t.Error("another one after a restart")
	}
}
