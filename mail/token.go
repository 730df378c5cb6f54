package mail

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// TokenLen is the length of every token in characters of base64url: 36 bytes,
// so that no padding and no unused bits are left. Copies of a message for
// different recipients differ at known offsets only, because of it.
const TokenLen = 48

// A Purpose keeps a token for one use from being taken for another.
type Purpose byte

// The purposes. They are part of what is signed and never change.
const (
	PurposeOpen        Purpose = 'o'
	PurposeClick       Purpose = 'c'
	PurposeUnsubscribe Purpose = 'u'
	PurposeStamp       Purpose = 's' // the X-Backstamp field
	PurposeNotice      Purpose = 'n' // the X-Backstamp-Notice field
)

// A KeyID names a signing key: the first 4 bytes of the SHA-256 of the key.
type KeyID [4]byte

// String returns the ID in hexadecimal.
func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// Privacy is how much a token may tell apart.
type Privacy byte

// The privacy modes. Off makes no tokens.
const (
	Identified   Privacy = 'i'
	Pseudonymous Privacy = 'p'
	Anonymous    Privacy = 'a'
)

// A Token is what a tracking token vouches for. Its text holds no address, no
// name and no destination; the destination is signed with it.
type Token struct {
	Key         KeyID
	Privacy     Privacy
	Message     ID
	Recipient   uint16 // index, from 1; 0: nobody may be told apart
	Link        uint16 // index, from 1; 0 for an open
	Purpose     Purpose
	Destination string // the URL of a click, the Message-ID of a stamp
}

// Paths of the public listener: PathOpen + token + PixelSuffix,
// PathClick + token + "." + EncodeDestination(url).
const (
	PathOpen        = "/o/"
	PathClick       = "/c/"
	PathUnsubscribe = "/u/"
	PixelSuffix     = ".gif"
)

// DestinationMax is the longest URL that a tracking link carries, in bytes.
const DestinationMax = 8192

// segment is the longest path segment that is made of a destination: some
// servers refuse longer ones.
const segment = 240

// destinationPathMax is the length of the longest EncodeDestination.
const destinationPathMax = (DestinationMax*4+2)/3 + (DestinationMax*4+2)/3/segment

// strict refuses padding, unused bits and line breaks, so that every token and
// destination has one spelling.
var strict = base64.RawURLEncoding.Strict()

// EncodeDestination returns the path form of a URL: base64url, with a slash
// after every 240 characters where more follow.
func EncodeDestination(url string) string { return string(AppendDestination(nil, url)) }

// AppendDestination appends EncodeDestination of url to dst.
func AppendDestination(dst []byte, url string) []byte {
	const octets = segment / 4 * 3
	dst = slices.Grow(dst, EncodedDestinationLen(len(url)))
	for len(url) > octets {
		dst = append(strict.AppendEncode(dst, []byte(url[:octets])), '/')
		url = url[octets:]
	}
	return strict.AppendEncode(dst, []byte(url))
}

// EncodedDestinationLen returns the length of EncodeDestination for a URL of n
// bytes.
func EncodedDestinationLen(n int) int {
	text := strict.EncodedLen(n)
	return text + max(text-1, 0)/segment
}

var errDestination = errors.New("mail: malformed destination")

// DecodeDestination is the inverse of EncodeDestination; it accepts nothing
// that EncodeDestination does not make.
func DecodeDestination(path string) (string, error) {
	if len(path) > destinationPathMax {
		return "", errDestination
	}
	var b strings.Builder
	for rest := path; ; {
		part, more, found := strings.Cut(rest, "/")
		if len(part) > segment || found && len(part) != segment || found && more == "" {
			return "", errDestination
		}
		b.WriteString(part)
		if !found {
			break
		}
		rest = more
	}
	text := b.String()
	if strings.ContainsAny(text, "\r\n") { // encoding/base64 skips them even when strict
		return "", errDestination
	}
	url, err := strict.DecodeString(text)
	if err != nil || len(url) == 0 || len(url) > DestinationMax {
		return "", errDestination
	}
	return string(url), nil
}
