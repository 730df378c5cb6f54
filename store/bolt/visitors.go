package bolt

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"backstamp/mail"
)

// SaveVisitors keeps what is known of those who connected, and forgets the
// addresses in gone.
func (s *Store) SaveVisitors(ctx context.Context, changed []mail.Visitor, gone []string) error {
	err := s.write(ctx, 0, func(t *tx) error {
		for _, v := range changed {
			if err := t.put(visitors, []byte(v.Addr), encode(v)); err != nil {
				return err
			}
		}
		for _, addr := range gone {
			if err := t.delete(visitors, []byte(addr)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save visitors: %w", err)
	}
	return nil
}

// Visitors returns those that were saved, the one seen last first. One that is
// damaged is left out and logged: it is not worth more.
func (s *Store) Visitors(ctx context.Context) (all []mail.Visitor, err error) {
	if err = s.ready(ctx); err == nil {
		err = s.view(func(t *tx) error {
			if t.in(visitors) == nil {
				return nil // of a release before it, opened to be read
			}
			return t.in(visitors).ForEach(func(k, b []byte) error {
				var v mail.Visitor
				if err := decode(fmt.Sprintf("visitor %q", k), b, &v); err != nil {
					s.o.Log.Warn("visitor left out", "err", err)
					return nil
				}
				all = append(all, v)
				return nil
			})
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read visitors: %w", err)
	}
	slices.SortFunc(all, func(a, b mail.Visitor) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Addr, b.Addr))
	})
	return all, nil
}
