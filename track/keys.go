package track

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

const (
	keySize = sha256.Size
	// keysMax bounds what a start reads and holds: a rotation every month for
	// eighty years.
	keysMax = 1000
	// keyPrefix marks a key as ours, in this form, wherever it turns up.
	keyPrefix = "bsk1"
)

// Keys signs tracking links with its newest key and verifies them with all it
// has. It lies in a directory, one file a key, or comes from the configuration.
// Its methods may be called from many goroutines.
type Keys struct {
	set atomic.Pointer[keySet]

	changing sync.Mutex // one change of set at a time
	clock    clock.Clock
}

// A keySet never changes once it is in use.
type keySet struct {
	dir  string // "": from the configuration
	list []*key // newest first
	byID map[mail.KeyID]*key
}

// A KeyInfo is what may be shown of a key.
type KeyInfo struct {
	ID      mail.KeyID
	Created time.Time // zero for a key from the configuration
}

// A key signs. Its text is "bsk1.ID.SECRET", in files, in the configuration
// and where it is exported; the ID in it finds slips of the pen, since it
// follows from the secret.
type key struct {
	id      mail.KeyID
	secret  [keySize]byte
	created time.Time
	signers sync.Pool // of *signer
}

// NewKeys returns the keys of the configuration, newest first, each as Export
// returns it. The errors are of type *mail.SettingError, joined, and never
// show a key.
func NewKeys(texts []string) (*Keys, error) {
	if len(texts) == 0 || len(texts) > keysMax {
		return nil, mail.Settingf("tracking.keys", "%d keys; expected 1 to %d", len(texts), keysMax)
	}
	var list []*key
	var errs []error
	for i, text := range texts {
		k, err := parseKey(text)
		switch {
		case err != nil:
			err = mail.Settingf(fmt.Sprintf("tracking.keys.%d", i), "%v", err)
		case slices.ContainsFunc(list, func(o *key) bool { return o.id == k.id }):
			err = mail.Settingf(fmt.Sprintf("tracking.keys.%d", i), "key %v is there twice; expected each key once", k.id)
		}
		errs = append(errs, err)
		list = append(list, k)
		if err != nil {
			list = list[:len(list)-1]
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	ks := &Keys{}
	ks.set.Store(newKeySet("", list))
	return ks, nil
}

// GenerateKey returns the text of a new key, for a configuration or for what
// needs keys that nobody keeps.
func GenerateKey() string { return generateKey(time.Time{}, nil).text() }

// OpenKeys reads the keys in dir. Where there are none it makes dir and a first
// key.
func OpenKeys(dir string, clk clock.Clock) (*Keys, error) {
	if err := makeKeyDir(dir); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	list, err := readKeyDir(dir)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	ks := &Keys{clock: clk}
	ks.set.Store(newKeySet(dir, list))
	if len(list) == 0 {
		if _, err := ks.Rotate(); err != nil {
			return nil, err
		}
	}
	return ks, nil
}

// Key returns the ID of the newest key, with which new links are signed.
func (ks *Keys) Key() mail.KeyID { return ks.set.Load().list[0].id }

// List returns the keys, newest first.
func (ks *Keys) List() []KeyInfo {
	var infos []KeyInfo
	for _, k := range ks.set.Load().list {
		infos = append(infos, KeyInfo{ID: k.id, Created: k.created})
	}
	return infos
}

// Export returns the keys, secrets and all, newest first, in the form that
// NewKeys takes.
func (ks *Keys) Export() []string {
	var texts []string
	for _, k := range ks.set.Load().list {
		texts = append(texts, k.text())
	}
	return texts
}

// Rotate makes a new key, which signs from when Rotate returns, and returns its
// ID. The others go on verifying. It fails, with nothing changed, when the key
// cannot be kept safely.
func (ks *Keys) Rotate() (mail.KeyID, error) {
	ks.changing.Lock()
	defer ks.changing.Unlock()
	old := ks.set.Load()
	if old.dir == "" {
		return mail.KeyID{}, errors.New("signing keys: they come from tracking.keys; put a new one first there")
	}
	if len(old.list) >= keysMax {
		return mail.KeyID{}, fmt.Errorf("signing keys: there are %d, the most that is allowed", len(old.list))
	}
	created := ks.clock.Now().UTC().Truncate(time.Millisecond)
	if len(old.list) > 0 && !created.After(old.list[0].created) {
		created = old.list[0].created.Add(time.Millisecond) // the clock went back; the order must not
	}
	k := generateKey(created, old.byID)
	if err := writeKey(old.dir, k); err != nil {
		return mail.KeyID{}, fmt.Errorf("signing keys: %w", err)
	}
	ks.set.Store(newKeySet(old.dir, append([]*key{k}, old.list...)))
	return k.id, nil
}

// Refresh reads the directory again, for keys that another program put there or
// took away. It fails, with nothing changed, where no key is left. Keys from
// the configuration stay.
func (ks *Keys) Refresh() error {
	ks.changing.Lock()
	defer ks.changing.Unlock()
	dir := ks.set.Load().dir
	if dir == "" {
		return nil
	}
	list, err := readKeyDir(dir)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("no key is left in %q", dir)
	}
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	ks.set.Store(newKeySet(dir, list))
	return nil
}

// Adopt takes over the keys of other, as a reload does that moved them.
func (ks *Keys) Adopt(other *Keys) {
	ks.changing.Lock()
	defer ks.changing.Unlock()
	if other.clock != nil {
		ks.clock = other.clock
	}
	ks.set.Store(other.set.Load())
}

func newKeySet(dir string, list []*key) *keySet {
	s := &keySet{dir: dir, list: list, byID: make(map[mail.KeyID]*key, len(list))}
	for _, k := range list {
		s.byID[k.id] = k
	}
	return s
}

// generateKey returns a random key whose ID none of taken has.
func generateKey(created time.Time, taken map[mail.KeyID]*key) *key {
	for {
		var secret [keySize]byte
		rand.Read(secret[:])
		k := newKey(secret)
		if taken[k.id] == nil {
			k.created = created
			return k
		}
	}
}

func newKey(secret [keySize]byte) *key {
	k := &key{secret: secret}
	sum := sha256.Sum256(secret[:])
	copy(k.id[:], sum[:])
	k.signers.New = func() any { return newSigner(k.secret[:]) }
	return k
}

func (k *key) text() string {
	return keyPrefix + "." + k.id.String() + "." + strict.EncodeToString(k.secret[:])
}

var strict = base64.RawURLEncoding.Strict()

// parseKey is the inverse of text. Its errors do not show what they are about.
func parseKey(text string) (*key, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 3 || parts[0] != keyPrefix {
		return nil, errors.New("this is no signing key; expected a line of `backstamp keys export`")
	}
	id, err := hex.DecodeString(parts[1])
	secret, err2 := strict.DecodeString(parts[2])
	if err != nil || err2 != nil || len(secret) != keySize {
		return nil, errors.New("the signing key is cut off or changed; expected a line of `backstamp keys export`")
	}
	k := newKey([keySize]byte(secret))
	if !bytes.Equal(id, k.id[:]) {
		return nil, errors.New("the signing key does not fit the id in it, so it was changed; expected a line of `backstamp keys export`")
	}
	return k, nil
}
