package bolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

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

// use adds a delivery that was sent to the usage of its provider: the message
// once a day, the recipient each time.
func (t *tx) use(d *delivery, at time.Time) error {
	day := at.UTC().Format(time.DateOnly)
	c, err := t.count(d.Message)
	if err != nil {
		return err
	}
	key := usageKey(d.Account, d.Provider, day)
	n, r := usageOf(t.get(usages, key))
	if c.Used[d.Provider] != day {
		n++
		if c.Used == nil {
			c.Used = map[string]string{}
		}
		c.Used[d.Provider] = day
		if err := t.put(counts, d.Message[:], encode(c)); err != nil {
			return err
		}
	}
	value := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n), r+1)
	return t.put(usages, key, value)
}

// Usage streams what each provider took, by account, provider and day.
func (s *Store) Usage(ctx context.Context) iter.Seq2[store.Usage, error] {
	return stream(ctx, s, func(t *tx, after []byte) (rows []item[store.Usage], next []byte) {
		c := t.in(usages).Cursor()
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
