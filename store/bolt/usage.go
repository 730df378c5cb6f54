package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

func usageKey(account, provider, day string) []byte {
	return []byte(account + "\x00" + provider + "\x00" + day)
}

func usageOf(b []byte) (messages, recipients uint64) {
	if len(b) != 16 {
		return 0, 0
	}
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
}

// spentKey is where a minute of a credential is counted. No account has a name
// that begins with NUL, so these keys come before those of usages.
func spentKey(credential string, minute time.Time) []byte {
	key := append(spentOf(credential), make([]byte, 8)...)
	binary.BigEndian.PutUint64(key[len(key)-8:], uint64(max(0, minute.Unix()/60)))
	return key
}

func spentOf(credential string) []byte { return []byte("\x00" + credential + "\x00") }

// spentFor is how long the minutes of a credential are kept: two days, however
// long one of them is.
const spentFor = 50 * time.Hour

// use adds a delivery that was sent to the usage of its provider, the message
// once a day and the recipient each time, and to what its credential spent, the
// message once.
func (t *tx) use(d *delivery, o mail.Outcome) error {
	day := o.At.UTC().Format(time.DateOnly)
	c, err := t.count(d.Message)
	if err != nil {
		return err
	}
	last := c.Used[d.Provider]
	if last != day {
		if c.Used == nil {
			c.Used = map[string]string{}
		}
		c.Used[d.Provider] = day
		if err := t.put(counts, d.Message[:], encode(c)); err != nil {
			return err
		}
	}
	if err := t.spend(o, last == ""); err != nil {
		return err
	}
	return t.taken(usageKey(d.Account, d.Provider, day), last != day)
}

// taken adds a recipient, and perhaps its message.
func (t *tx) taken(key []byte, message bool) error {
	n, r := usageOf(t.get(usages, key))
	if message {
		n++
	}
	return t.put(usages, key, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n), r+1))
}

// spend counts a delivery for the credential that sent it. With the first of a
// minute the oldest minutes go.
func (t *tx) spend(o mail.Outcome, message bool) error {
	if o.Credential == "" {
		return nil
	}
	key := spentKey(o.Credential, o.At)
	if t.get(usages, key) == nil {
		var old [][]byte
		c := t.in(usages).Cursor()
		for k, _ := c.Seek(spentOf(o.Credential)); k != nil && len(old) < chunk && bytes.Compare(k, spentKey(o.Credential, o.At.Add(-spentFor))) < 0; k, _ = c.Next() {
			old = append(old, slices.Clone(k))
		}
		for _, k := range old {
			if err := t.in(usages).Delete(k); err != nil {
				return err
			}
		}
	}
	return t.taken(key, message)
}

// Spent returns what a credential took in each minute since a time, the oldest
// first. Minutes in which it took nothing are left out.
func (s *Store) Spent(ctx context.Context, credential string, since time.Time) (minutes []store.Spent, err error) {
	if err = s.ready(ctx); err == nil {
		err = s.view(func(t *tx) error {
			prefix := spentOf(credential)
			c := t.in(usages).Cursor()
			for k, v := c.Seek(spentKey(credential, since)); bytes.HasPrefix(k, prefix) && len(k) == len(prefix)+8; k, v = c.Next() {
				m, r := usageOf(v)
				at := time.Unix(int64(binary.BigEndian.Uint64(k[len(prefix):]))*60, 0)
				minutes = append(minutes, store.Spent{Minute: at, Messages: int(m), Recipients: int(r)})
			}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read what a credential spent: %w", err)
	}
	return minutes, nil
}

// Usage streams what each provider took, by account, provider and day.
func (s *Store) Usage(ctx context.Context) iter.Seq2[store.Usage, error] {
	return stream(ctx, s, func(t *tx, after []byte) (rows []item[store.Usage], next []byte) {
		c := t.in(usages).Cursor()
		if after == nil {
			after = []byte{0, 0xFF} // what credentials spent comes before
		}
		k, v := seekAfter(c, after)
		for range chunk {
			if k == nil {
				return rows, nil
			}
			rows = append(rows, usageRow(k, v))
			next = slices.Clone(k)
			k, v = c.Next()
		}
		return rows, next
	})
}

func usageRow(key, value []byte) item[store.Usage] {
	parts := strings.Split(string(key), "\x00")
	if len(parts) != 3 || len(value) != 16 {
		return item[store.Usage]{err: corruptf("usage %q", key)}
	}
	m, r := usageOf(value)
	return item[store.Usage]{value: store.Usage{
		Account: parts[0], Provider: parts[1], Day: parts[2], Messages: int(m), Recipients: int(r),
	}}
}

// SaveProvider keeps the state of a credential.
func (s *Store) SaveProvider(ctx context.Context, p store.ProviderState) error {
	err := s.write(ctx, 0, func(t *tx) error { return t.put(providers, []byte(p.Credential), encode(p)) })
	if err != nil {
		return fmt.Errorf("save state of provider: %w", err)
	}
	return nil
}

// Providers returns the states that were saved, by credential.
func (s *Store) Providers(ctx context.Context) (states []store.ProviderState, err error) {
	if err = s.ready(ctx); err == nil {
		err = s.view(func(t *tx) error {
			return t.in(providers).ForEach(func(k, v []byte) error {
				var p store.ProviderState
				if err := decode(fmt.Sprintf("provider %q", k), v, &p); err != nil {
					return err
				}
				states = append(states, p)
				return nil
			})
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read states of providers: %w", err)
	}
	return states, nil
}
