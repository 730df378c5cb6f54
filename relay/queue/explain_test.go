package queue

import (
	"errors"
	"testing"
	"testing/synctest"

	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
	"backstamp/store"
)

// Whatever the queue does, there are words for it in every language.
func TestExplanationsHaveWords(t *testing.T) {
	all := []*mail.Explain{
		unanswered(errors.New("x")), crash(errors.New("x"), false).Explain, dropped(), moved("a", "b"), deadly(),
	}
	for _, reason := range []string{mail.HoldAuth, mail.HoldQuota, mail.HoldOperator, mail.HoldProviderGone, mail.HoldDamaged} {
		all = append(all, waits(reason, "x"))
	}
	for _, x := range all {
		for _, lang := range catalogue.Languages() {
			if words, ok := catalogue.Find(x.ID, lang); !ok || x.Class == "" || words.Class != x.Class {
				t.Errorf("%+v: %+v in %s", x, words, lang)
			}
		}
	}
}

// What parks a provider is kept with its state, for all who ask how it does.
func TestStateIsExplained(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		why := refused
		why.Explain = &mail.Explain{ID: "google.bad-credentials", Class: mail.ClassAuth}
		h.routes(map[string]Provider{main: answering(why)})
		h.want(h.put(h.message(main, "a@x.test")), 1, "held auth")
		synctest.Wait()
		for _, st := range h.store.states {
			if st.State != store.StateParked || st.Explain == nil || st.Explain.ID != why.Explain.ID {
				t.Errorf("state %+v", st)
			}
		}
		if len(h.store.states) != 1 {
			t.Errorf("%d states", len(h.store.states))
		}
	})
}
