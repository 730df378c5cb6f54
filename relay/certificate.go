package relay

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/durable"
)

// How long a certificate of our own is good: Apple's clients take none that is
// good for longer, and each new one has to be trusted anew where boxes compare it.
const (
	certLife  = 825 * 24 * time.Hour
	certRenew = 30 * 24 * time.Hour // before its end
	certBits  = 2048                // RSA: what speaks TLS 1.0 knows no other key
	retryCert = time.Hour           // after one that could not be kept
)

// A Certificate is one that the relay makes for itself, for listeners that have
// none configured. It lies with its key in a directory, for the owner alone, and
// vouches for itself: clients that verify have to be given the file. The key
// outlives renewals. Its methods may be called from many goroutines.
type Certificate struct {
	dir   string
	hosts []string
	clock clock.Clock
	log   *slog.Logger

	mu    sync.Mutex // guards pair and retry
	pair  *tls.Certificate
	retry time.Time // no renewal before
}

// NewCertificate returns the certificate in dir, for hosts: names and
// addresses. It touches no disk.
func NewCertificate(dir string, hosts []string, clk clock.Clock, log *slog.Logger) *Certificate {
	slices.Sort(hosts)
	return &Certificate{dir: dir, hosts: slices.Compact(hosts), clock: clk, log: log}
}

// File is where the certificate lies, in PEM and without its key.
func (c *Certificate) File() string { return filepath.Join(c.dir, "cert.pem") }

func (c *Certificate) keyFile() string { return filepath.Join(c.dir, "key.pem") }

// Fingerprint is the SHA-256 of the certificate in hexadecimal, and until when
// it is good; "" where there is none yet.
func (c *Certificate) Fingerprint() (sha256sum string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair == nil && c.read() != nil {
		return "", time.Time{}
	}
	return fmt.Sprintf("%x", sha256.Sum256(c.pair.Leaf.Raw)), c.pair.Leaf.NotAfter
}

// Ready reads the certificate, and makes it where there is none that serves.
func (c *Certificate) Ready() error {
	_, err := c.get(nil)
	return err
}

// get is tls.Config.GetCertificate. One that cannot be renewed goes on serving.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair == nil {
		if err := c.read(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("certificate of our own: %w", err)
		}
	}
	if now := c.clock.Now(); !c.serves(now) && !now.Before(c.retry) {
		if err := c.renew(now); err != nil {
			c.retry = now.Add(retryCert)
			if c.pair == nil {
				return nil, fmt.Errorf("certificate of our own: %w", err)
			}
			c.log.Error("certificate of our own not renewed", "file", c.File(), "until", c.pair.Leaf.NotAfter, "err", err)
		}
	}
	return c.pair, nil
}

// serves reports whether the certificate is good for a while yet, for all hosts.
// The caller holds mu.
func (c *Certificate) serves(now time.Time) bool {
	if c.pair == nil {
		return false
	}
	leaf := c.pair.Leaf
	return !now.Before(leaf.NotBefore) && now.Before(leaf.NotAfter.Add(-certRenew)) &&
		!slices.ContainsFunc(c.hosts, func(host string) bool { return leaf.VerifyHostname(host) != nil })
}

// read takes what lies in the directory. The caller holds mu.
func (c *Certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.File(), c.keyFile())
	if err != nil {
		return err
	}
	c.pair = &pair
	return nil
}

// renew makes the certificate. The caller holds mu.
func (c *Certificate) renew(now time.Time) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	key, err := c.key()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, c.template(now), c.template(now), key.Public(), key)
	if err != nil {
		return err
	}
	if err := c.keep(c.File(), "CERTIFICATE", der); err != nil {
		return err
	}
	if err := c.read(); err != nil {
		return err
	}
	c.log.Info("certificate of our own made", "file", c.File(), "sha256", fmt.Sprintf("%x", sha256.Sum256(der)), "until", c.pair.Leaf.NotAfter)
	return nil
}

// key returns the key in the directory, and makes it where there is none.
func (c *Certificate) key() (crypto.Signer, error) {
	text, err := os.ReadFile(c.keyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return c.newKey()
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%q holds no key in PEM", c.keyFile())
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("%q holds no key that signs", c.keyFile())
	}
	return signer, nil
}

func (c *Certificate) newKey() (crypto.Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, certBits)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, c.keep(c.keyFile(), "PRIVATE KEY", der)
}

// keep writes a file.
func (c *Certificate) keep(path, kind string, der []byte) error {
	return durable.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// template is the certificate without its signature. A random serial, as RFC
// 5280 section 4.1.2.2 has it, keeps clients from confusing it with the last.
func (c *Certificate) template(now time.Time) *x509.Certificate {
	serial := new(big.Int)
	serial.SetBytes([]byte(rand.Text())[:15])
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Backstamp"},
		NotBefore:             now.Add(-time.Hour), // clients' clocks differ
		NotAfter:              now.Add(certLife),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range c.hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	return t
}
