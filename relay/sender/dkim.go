package sender

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
)

// The states of a key in DNS.
const (
	KeyPublished = "published"
	KeyMissing   = "missing"
	KeyOther     = "another" // the record holds another key
	KeyRevoked   = "revoked" // p= is empty (RFC 6376 section 3.6.1)
	KeyUnread    = "unreadable"
	KeySeveral   = "several" // records, of which recipients take any
)

// A KeyState is what DNS has for a key of ours.
type KeyState struct {
	Key   Key
	Name  string // of the record
	State string
}

func (k Key) name() string { return k.Selector + "._domainkey." + k.Domain }

// key compares a key with its record.
func (l *look) key(ctx context.Context, k Key) (KeyState, error) {
	s := KeyState{Key: k, Name: k.name(), State: KeyMissing}
	texts, err := l.dns.records(ctx, s.Name, isKey)
	switch {
	case err != nil:
		return s, err
	case len(texts) > 1:
		s.State = KeySeveral
	case len(texts) == 1:
		s.State = compare(texts[0], k.Public)
	}
	return s, nil
}

// isKey reports whether a text is a key record: v= may be missing, p= may not.
func isKey(text string) bool {
	values, _ := tags(text)
	_, ok := values["p"]
	return ok
}

// compare says how a record relates to a key.
func compare(text string, ours crypto.PublicKey) string {
	values, _ := tags(text)
	p := strings.Join(strings.Fields(values["p"]), "")
	if p == "" {
		return KeyRevoked
	}
	raw, err := base64.StdEncoding.DecodeString(p)
	if err != nil {
		return KeyUnread
	}
	theirs := publicKey(values["k"], raw)
	if theirs == nil {
		return KeyUnread
	}
	if !theirs.Equal(ours) {
		return KeyOther
	}
	return KeyPublished
}

type publicKeyer interface{ Equal(crypto.PublicKey) bool }

// publicKey reads one of type k (RFC 6376 section 3.6.1, RFC 8463 section 4.2);
// nil where it is none.
func publicKey(k string, raw []byte) publicKeyer {
	if strings.EqualFold(k, "ed25519") {
		if len(raw) != ed25519.PublicKeySize {
			return nil
		}
		return ed25519.PublicKey(raw)
	}
	if key, err := x509.ParsePKIXPublicKey(raw); err == nil {
		if key, ok := key.(*rsa.PublicKey); ok {
			return key
		}
		return nil
	}
	if key, err := x509.ParsePKCS1PublicKey(raw); err == nil {
		return key
	}
	return nil
}

// record is what is to be published for a key.
func (k Key) record() (Record, error) {
	if key, ok := k.Public.(ed25519.PublicKey); ok {
		return Record{k.name(), "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key)}, nil
	}
	raw, err := x509.MarshalPKIXPublicKey(k.Public)
	if err != nil {
		return Record{}, fmt.Errorf("the key of %s: %w", k.name(), err)
	}
	return Record{k.name(), "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(raw)}, nil
}
