package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/mail"
)

// unsteady needs some time to make a copy, now more, now less.
type unsteady struct{ plain }

func (u unsteady) Render(m *mail.Message, c mail.Content, recipient int, provider string) (mail.Copy, error) {
	<-time.After(time.Duration(rand.IntN(50)) * time.Millisecond)
	return u.plain.Render(m, c, recipient, provider)
}

// Whatever room there is, and however long each takes: the first try of a later
// message of an account to a domain does not begin before that of an earlier
// one did.
func TestFirstTriesInOrder(t *testing.T) {
	const senders, messages = 5, 60
	inHouse(t, Settings{Backlog: 30}, func(t *testing.T, h *house) {
		var mu sync.Mutex
		tried := map[mail.ID]time.Time{}
		p := scripted(func(_ context.Context, _ int, tx mail.Transaction) []mail.Attempt {
			<-time.After(time.Duration(rand.IntN(100)) * time.Millisecond)
			if rand.IntN(10) == 0 {
				return forAll(tx, later)
			}
			return forAll(tx, ok)
		})
		begins := deliverFunc(func(ctx context.Context, tx mail.Transaction) []mail.Attempt {
			mu.Lock()
			if _, again := tried[tx.Message]; !again {
				tried[tx.Message] = time.Now()
			}
			mu.Unlock()
			return p.Deliver(ctx, tx)
		})
		h.queue.SetRoutes(Routes{
			Renderer:  unsteady{},
			Providers: map[string]Route{main: {Provider: begins, Connections: 8}, "blog/main": {Provider: begins}},
		})
		synctest.Wait()
		put := make([][]mail.ID, senders)
		var wg sync.WaitGroup
		for n := range senders {
			wg.Go(func() {
				for range messages {
					<-time.After(time.Duration(rand.IntN(100)) * time.Millisecond)
					m := h.message(main, fmt.Sprintf("a@%d.test", n), fmt.Sprintf("b@%d.test", n))
					m.Tracked = rand.IntN(2) == 0
					if err := h.queue.Put(t.Context(), m, sheet("x")); err != nil {
						t.Error(err)
					}
					put[n] = append(put[n], m.ID)
				}
			})
		}
		wg.Wait()
		wait(time.Hour)
		for _, ids := range put {
			for i, id := range ids[1:] {
				if first, second := tried[ids[i]], tried[id]; first.IsZero() || second.Before(first) {
					t.Errorf("message %d was tried at %v, the one after it at %v", i, first, second)
				}
			}
		}
		if n := h.queue.gate.slots[main].coming; n != 0 {
			t.Errorf("%d still in line", n)
		}
	})
}

type deliverFunc func(context.Context, mail.Transaction) []mail.Attempt

func (f deliverFunc) Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt {
	return f(ctx, t)
}
