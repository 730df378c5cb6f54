package track

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"backstamp/mail"
)

// A token is 36 bytes, written as 48 characters of base64url:
//
//	version 1 · key id 4 · privacy 1 · message 10 · recipient 2 · link 2 · MAC 16
//
// The MAC is HMAC-SHA256, cut to 128 bits (RFC 2104 section 5), over the
// purpose, the 20 bytes before it and the destination. All but the last have a
// fixed length, so that no two tokens share what is signed.
const (
	tokenVersion = 1
	claimsSize   = 20
	macSize      = 16
	tokenSize    = claimsSize + macSize
)

// ErrToken says that a token, with this destination and for this purpose, was
// not signed by any of the keys.
var ErrToken = errors.New("track: token does not verify")

// A signer is the state of one computation, kept for the next.
type signer struct {
	mac  hash.Hash
	text []byte
	sum  []byte
}

func newSigner(secret []byte) *signer {
	return &signer{mac: hmac.New(sha256.New, secret)}
}

// sign writes the MAC of a token into dst.
func (k *key) sign(dst *[macSize]byte, p mail.Purpose, claims []byte, destination string) {
	s := k.signers.Get().(*signer)
	defer k.signers.Put(s)
	s.text = append(s.text[:0], byte(p))
	s.text = append(s.text, claims...)
	s.text = append(s.text, destination...)
	s.mac.Reset()
	s.mac.Write(s.text)
	s.sum = s.mac.Sum(s.sum[:0])
	copy(dst[:], s.sum)
}

// AppendToken appends the text of t, mail.TokenLen characters, signed with the
// key that t names. It fails only where that key is not among the keys.
func (ks *Keys) AppendToken(dst []byte, t mail.Token) ([]byte, error) {
	k := ks.set.Load().byID[t.Key]
	if k == nil {
		return dst, fmt.Errorf("track: there is no signing key %v", t.Key)
	}
	var raw [tokenSize]byte
	raw[0] = tokenVersion
	copy(raw[1:5], t.Key[:])
	raw[5] = byte(t.Privacy)
	copy(raw[6:16], t.Message[:])
	binary.BigEndian.PutUint16(raw[16:], t.Recipient)
	binary.BigEndian.PutUint16(raw[18:], t.Link)
	k.sign((*[macSize]byte)(raw[claimsSize:]), t.Purpose, raw[:claimsSize], t.Destination)
	return strict.AppendEncode(dst, raw[:]), nil
}

// Verify returns what the token vouches for: that one of the keys signed it for
// this purpose and destination. Else the error is ErrToken.
func (ks *Keys) Verify(p mail.Purpose, text, destination string) (mail.Token, error) {
	if len(text) != mail.TokenLen {
		return mail.Token{}, ErrToken
	}
	var ascii [mail.TokenLen]byte
	copy(ascii[:], text)
	var raw [tokenSize]byte
	// The decoder skips line ends; then fewer bytes than all come out.
	if n, err := strict.Decode(raw[:], ascii[:]); err != nil || n != tokenSize || raw[0] != tokenVersion {
		return mail.Token{}, ErrToken
	}
	t := mail.Token{
		Key:         mail.KeyID(raw[1:5]),
		Privacy:     mail.Privacy(raw[5]),
		Message:     mail.ID(raw[6:16]),
		Recipient:   binary.BigEndian.Uint16(raw[16:]),
		Link:        binary.BigEndian.Uint16(raw[18:]),
		Purpose:     p,
		Destination: destination,
	}
	k := ks.set.Load().byID[t.Key]
	if k == nil {
		return mail.Token{}, ErrToken
	}
	var want [macSize]byte
	k.sign(&want, p, raw[:claimsSize], destination)
	if subtle.ConstantTimeCompare(want[:], raw[claimsSize:]) != 1 {
		return mail.Token{}, ErrToken
	}
	return t, nil
}
