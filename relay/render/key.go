package render

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// A Key signs mail of one domain (RFC 6376, RFC 8463). Several keys of one
// domain all sign.
type Key struct {
	Domain   string
	Selector string
	Signer   crypto.Signer // with an RSA or Ed25519 key
}

// rsaMin is the shortest RSA key that verifiers accept (RFC 8301 section 3.2).
const rsaMin = 1024

// ParseKey reads the private key of a DKIM record from PEM: RSA in PKCS #1 or
// PKCS #8, Ed25519 in PKCS #8. Errors say what stands there instead; they hold
// nothing of the key.
func ParseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block; expected one that begins with -----BEGIN PRIVATE KEY-----")
	}
	key, err := parseBlock(block)
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if n := key.N.BitLen(); n < rsaMin {
			return nil, fmt.Errorf("RSA key of %d bits; expected at least %d, better 2048", n, rsaMin)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("key of type %T; expected RSA or Ed25519", key)
}

func parseBlock(block *pem.Block) (key any, err error) {
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, errors.New("encrypted key; expected one without a passphrase")
		}
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("encrypted key; expected one without a passphrase")
	default:
		return nil, fmt.Errorf("%q in PEM; expected a PRIVATE KEY or RSA PRIVATE KEY", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("damaged private key: %w", err)
	}
	return key, nil
}
