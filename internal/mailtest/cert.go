package mailtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"
)

// A CA makes certificates for tests. Servers of it are for 127.0.0.1, ::1 and
// localhost.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA returns a CA that nobody trusts but those who are given its Pool.
func NewCA(t testing.TB) *CA {
	t.Helper()
	key := newKey(t)
	tmpl := template("Test CA")
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &CA{t: t, cert: cert, key: key}
}

// Pool returns the roots of a client that trusts the CA.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Certificate returns its own certificate, in DER.
func (ca *CA) Certificate() []byte { return ca.cert.Raw }

// Valid returns the configuration of a server that is what it says.
func (ca *CA) Valid() *tls.Config { return ca.server(template("localhost")) }

// Expired returns that of a server whose certificate ran out yesterday.
func (ca *CA) Expired() *tls.Config {
	tmpl := template("localhost")
	tmpl.NotBefore, tmpl.NotAfter = time.Now().AddDate(-1, 0, 0), time.Now().AddDate(0, 0, -1)
	return ca.server(tmpl)
}

// WrongHost returns that of a server with the certificate of another.
func (ca *CA) WrongHost() *tls.Config {
	tmpl := template("other.test")
	tmpl.DNSNames, tmpl.IPAddresses = []string{"other.test"}, nil
	return ca.server(tmpl)
}

// SelfSigned returns the configuration of a server that vouches for itself.
func SelfSigned(t testing.TB) *tls.Config {
	t.Helper()
	key := newKey(t)
	tmpl := template("localhost")
	return sign(t, tmpl, tmpl, key, key)
}

func (ca *CA) server(tmpl *x509.Certificate) *tls.Config {
	ca.t.Helper()
	return sign(ca.t, tmpl, ca.cert, newKey(ca.t), ca.key)
}

func sign(t testing.TB, tmpl, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *tls.Config {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
}
