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

func usageKey(account, name string, at time.Time) []byte {
	return []byte(account + "\x00" + name + "\x00" + at.UTC().Format(time.DateOnly))
}

// figures are the numbers of a usage: messages, recipients, then the sums of
// hits, big-endian, 8 octets each. Those at the end are left out while they are
// zero, but for the first two.
type figures [8]int64

func figuresOf(b []byte) (f figures) {
	for i := 0; i < len(f) && len(b) >= 8*(i+1); i++ {
		f[i] = int64(binary.BigEndian.Uint64(b[8*i:]))
	}
	return f
}

func (f figures) bytes() []byte {
	n := len(f)
	for n > 2 && f[n-1] == 0 {
		n--
	}
	b := make([]byte, 0, 8*n)
	for _, n := range f[:n] {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func hitFigures(s mail.Sums) figures {
	return figures{2: int64(s.Opens), int64(s.Clicks), int64(s.MachineOpens), int64(s.MachineClicks), int64(s.UniqueOpens), int64(s.UniqueClicks)}
}

// add adds to the figures of a usage. None falls below zero.
func (t *tx) add(b bucket, key []byte, more figures) error {
	f := figuresOf(t.get(b, key))
	for i := range f {
		f[i] = max(0, f[i]+more[i])
	}
	return t.put(b, key, f.bytes())
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

// use adds a delivery that was sent to the usage of its provider and its tag,
// the message once a day and the recipient each time, and to what its credential
// spent, the message once.
func (t *tx) use(d *delivery, o mail.Outcome) error {
	c, err := t.count(d.Message)
	if err != nil {
		return err
	}
	first := c.Used[d.Provider] == ""
	err = t.useIn(usages, d, d.Provider, &c, d.Provider, o.At)
	if err == nil && d.Tag != "" {
		err = t.useIn(tags, d, d.Tag, &c, "", o.At)
	}
	if err != nil {
		return err
	}
	return t.spend(o, first)
}

// useIn adds a delivery to one usage. mark is where the count of its message
// remembers on which day it last did so.
func (t *tx) useIn(b bucket, d *delivery, name string, c *count, mark string, at time.Time) error {
	more := figures{0, 1}
	if day := at.UTC().Format(time.DateOnly); c.Used[mark] != day {
		more[0] = 1
		if c.Used == nil {
			c.Used = map[string]string{}
		}
		c.Used[mark] = day
		if err := t.put(counts, d.Message[:], encode(c)); err != nil {
			return err
		}
	}
	return t.add(b, usageKey(d.Account, name, at), more)
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
	more := figures{0, 1}
	if message {
		more[0] = 1
	}
	return t.add(usages, key, more)
}

// Spent returns what a credential took in each minute since a time, the oldest
// first. Minutes in which it took nothing are left out.
func (s *Store) Spent(ctx context.Context, credential string, since time.Time) (minutes []store.Spent, err error) {
	if err = s.ready(ctx); err == nil {
		err = s.view(func(t *tx) error {
			prefix := spentOf(credential)
			c := t.in(usages).Cursor()
			for k, v := c.Seek(spentKey(credential, since)); bytes.HasPrefix(k, prefix) && len(k) == len(prefix)+8; k, v = c.Next() {
				f := figuresOf(v)
				at := time.Unix(int64(binary.BigEndian.Uint64(k[len(prefix):]))*60, 0)
				minutes = append(minutes, store.Spent{Minute: at, Messages: int(f[0]), Recipients: int(f[1])})
			}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read what a credential spent: %w", err)
	}
	return minutes, nil
}

// useHit adds what hits of one day gained to the usage of a message's provider
// and tag.
func (t *tx) useHit(m *message, provider string, at time.Time, gained mail.Sums) error {
	if gained == (mail.Sums{}) {
		return nil
	}
	more := hitFigures(gained)
	err := t.add(usages, usageKey(m.Account, provider, at), more)
	if err == nil && m.Tag != "" {
		err = t.add(tags, usageKey(m.Account, m.Tag, at), more)
	}
	return err
}

// Usage streams what each provider took and what became of it, by account,
// provider and day.
func (s *Store) Usage(ctx context.Context) iter.Seq2[store.Usage, error] {
	return s.usage(ctx, usages, func(u *store.Usage, name string) { u.Provider = name })
}

// Tags streams the same for each tag, by account, tag and day.
func (s *Store) Tags(ctx context.Context) iter.Seq2[store.Usage, error] {
	return s.usage(ctx, tags, func(u *store.Usage, name string) { u.Tag = name })
}

func (s *Store) usage(ctx context.Context, b bucket, setName func(*store.Usage, string)) iter.Seq2[store.Usage, error] {
	return stream(ctx, s, func(t *tx, after []byte) (rows []item[store.Usage], next []byte) {
		c := t.in(b).Cursor()
		if after == nil {
			after = []byte{0, 0xFF} // what credentials spent comes before
		}
		k, v := seekAfter(c, after)
		for range chunk {
			if k == nil {
				return rows, nil
			}
			row := usageRow(k, v, setName)
			rows = append(rows, row)
			next = slices.Clone(k)
			k, v = c.Next()
		}
		return rows, next
	})
}

func usageRow(key, value []byte, setName func(*store.Usage, string)) (row item[store.Usage]) {
	account, rest, ok := strings.Cut(string(key), "\x00")
	i := strings.LastIndexByte(rest, 0)
	if !ok || i < 0 || len(value) == 0 || len(value)%8 != 0 {
		row.err = corruptf("usage %q", key)
		return row
	}
	f := figuresOf(value)
	row.value = store.Usage{
		Account: account, Day: rest[i+1:], Messages: int(f[0]), Recipients: int(f[1]),
		Sums: mail.Sums{
			Opens: int(f[2]), Clicks: int(f[3]), MachineOpens: int(f[4]), MachineClicks: int(f[5]),
			UniqueOpens: int(f[6]), UniqueClicks: int(f[7]),
		},
	}
	setName(&row.value, rest[:i])
	return row
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
