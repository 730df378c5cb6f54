package bolt

import (
	"context"
	"iter"

	"go.etcd.io/bbolt"
)

// chunk is how many keys one read transaction of a listing looks at.
const chunk = 256

// An item is one element of a listing, or why it cannot be read.
type item[T any] struct {
	value T
	err   error
}

// stream makes a listing of chunks. read is called in a transaction of its own
// each time, with the key that it returned before, first nil, and returns nil
// at the end. Nothing is yielded inside a transaction: the consumer may take
// its time, or use the store.
func stream[T any](ctx context.Context, s *Store, read func(t *tx, at []byte) ([]item[T], []byte)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var at []byte
		for {
			var items []item[T]
			err := s.ready(ctx)
			if err == nil {
				err = s.view(func(t *tx) error {
					items, at = read(t, at)
					return nil
				})
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, i := range items {
				if !yield(i.value, i.err) {
					return
				}
			}
			if at == nil {
				return
			}
		}
	}
}

// limit ends a listing after n values; 0 never.
func limit[T any](seq iter.Seq2[T, error], n int) iter.Seq2[T, error] {
	if n <= 0 {
		return seq
	}
	return func(yield func(T, error) bool) {
		left := n
		for v, err := range seq {
			if !yield(v, err) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// seekAfter moves to the first key after at, or to the first of all.
func seekAfter(c *bbolt.Cursor, at []byte) (key, value []byte) {
	if at == nil {
		return c.First()
	}
	key, value = c.Seek(at)
	if string(key) == string(at) {
		return c.Next()
	}
	return key, value
}

// seekBefore moves to the last key before at, or to the last of all.
func seekBefore(c *bbolt.Cursor, at []byte) (key, value []byte) {
	if at == nil {
		return c.Last()
	}
	if key, _ := c.Seek(at); key == nil {
		return c.Last()
	}
	return c.Prev()
}
