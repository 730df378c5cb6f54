package mail

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// An ID names one Message: 48 bits of Unix milliseconds and 32 bits that tell
// apart what came in the same millisecond. IDs sort by time, as bytes and as
// text.
type ID [10]byte

// Crockford's alphabet in lower case: it keeps the order of the bytes and has
// no i, l, o or u to misread over the telephone.
var idText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// String returns the 16 characters that name the message to people.
func (id ID) String() string { return idText.EncodeToString(id[:]) }

// Time returns when the ID was made, in milliseconds.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads the text form.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != idText.EncodedLen(len(id)) {
		return ID{}, fmt.Errorf("mail: %q is no message id: want %d characters", s, idText.EncodedLen(len(id)))
	}
	if _, err := idText.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("mail: %q is no message id", s)
	}
	return id, nil
}

// MarshalText and UnmarshalText write and read the text form.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the text form.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// IDs hands out IDs that rise strictly, also when the clock stands or goes
// back. Its zero value is ready; it may be used by many goroutines.
type IDs struct {
	mu   sync.Mutex
	last ID
}

// Next returns a new ID for a message that came at now.
func (s *IDs) Next(now time.Time) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16)
	// The high bit of the random half stays free, so that a millisecond has
	// room for at least 2^31 more.
	rand.Read(id[6:])
	id[6] &= 0x7f

	s.mu.Lock()
	defer s.mu.Unlock()
	if string(id[:6]) <= string(s.last[:6]) {
		id = s.last
		for i := len(id) - 1; i >= 0; i-- {
			id[i]++
			if id[i] != 0 {
				break
			}
		}
	}
	s.last = id
	return id
}
