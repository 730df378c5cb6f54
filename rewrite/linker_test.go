package rewrite

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"backstamp/mail"
)

// fakeLinker makes tokens that show recipient and link to a reader of goldens:
// A, purpose, five digits of each, and a hash instead of a signature.
type fakeLinker struct{}

func (fakeLinker) Key() mail.KeyID { return mail.KeyID{1, 2, 3, 4} }

func (fakeLinker) AppendToken(dst []byte, t mail.Token) ([]byte, error) {
	if t.Key != (mail.KeyID{1, 2, 3, 4}) {
		return dst, errors.New("no such key")
	}
	clear := fmt.Sprintf("A%c%05d%05d", t.Purpose, t.Recipient, t.Link)
	sum := sha256.Sum256([]byte(clear + t.Destination))
	return append(dst, clear+base64.RawURLEncoding.EncodeToString(sum[:])[:mail.TokenLen-len(clear)]...), nil
}

func (l fakeLinker) Verify(p mail.Purpose, text, destination string) (mail.Token, error) {
	if len(text) != mail.TokenLen || text[1] != byte(p) {
		return mail.Token{}, errors.New("no token")
	}
	rcpt, _ := strconv.Atoi(text[2:7])
	link, _ := strconv.Atoi(text[7:12])
	t := mail.Token{Key: l.Key(), Purpose: p, Recipient: uint16(rcpt), Link: uint16(link), Destination: destination}
	if want, _ := l.AppendToken(nil, t); string(want) != text {
		return mail.Token{}, errors.New("bad signature")
	}
	return t, nil
}

const testBase = "https://t.example.net"

func newRewriter(t testing.TB, change func(*Settings)) *Rewriter {
	t.Helper()
	s := Settings{BaseURL: testBase, OldBaseURLs: []string{"http://old.example.net/x/"}}
	if change != nil {
		change(&s)
	}
	r, err := New(s, fakeLinker{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// request asks for everything, for one recipient.
func request(content []byte) Request {
	return Request{
		ID: mail.ID{7}, Content: bytes.NewReader(content), Recipients: 1, Opens: true, Clicks: true, Privacy: mail.Identified,
	}
}
