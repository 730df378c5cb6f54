package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/mail"
)

// A clerk is a notifier that writes everything it is asked for, but about the
// recipients in not.
type clerk struct {
	ids  *mail.IDs
	late time.Duration // 0: never
	not  []string
}

func (c clerk) Notice(n mail.Notice) (*mail.Letter, map[int]string) {
	why := map[int]string{}
	text := string(n.Action)
	for _, d := range n.Deliveries {
		if slices.Contains(c.not, d.Recipient) {
			why[d.Index] = mail.NoNoticeAsked
			continue
		}
		text += fmt.Sprintf(" %s %s", d.Recipient, d.Status)
	}
	if len(why) == len(n.Deliveries) {
		return nil, why
	}
	m := &mail.Message{ID: c.ids.Next(n.At), Received: n.At, Provider: n.Message.Provider, Recipients: []string{"sender"}, Quiet: true}
	return &mail.Letter{Message: m, Content: []byte(text)}, why
}

func (c clerk) LateAt(m *mail.Message, d mail.Delivery) time.Time {
	if c.late == 0 || d.Delayed {
		return time.Time{}
	}
	return m.Received.Add(c.late)
}

func (h *house) notify(c clerk, p Provider) {
	c.ids = &h.ids
	h.queue.SetRoutes(Routes{Providers: map[string]Route{"shop/main": {Provider: p}}, Renderer: plain{}, Notifier: c})
	synctest.Wait()
}

// letters are the notices so far.
func (h *house) letters() (texts []string) {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	for _, l := range h.store.letters {
		texts = append(texts, string(l.Content))
	}
	return texts
}

var nobody = says(550, mail.ClassRecipient, "5.1.1 nobody")

// perRecipient answers by name: "no…" is refused, all else taken.
func perRecipient() *script {
	return scripted(func(_ context.Context, _ int, t mail.Transaction) (as []mail.Attempt) {
		for _, to := range t.Recipients {
			if a := ok; to[:2] == "no" {
				as = append(as, nobody)
			} else {
				as = append(as, a)
			}
		}
		return as
	})
}

// One notice tells of all who failed together, in the commit that records it.
func TestNoticeOfFailure(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.notify(clerk{not: []string{"no3@x.test"}}, perRecipient())
		id := h.put(h.message("shop/main", "no1@x.test", "yes@x.test", "no2@x.test", "no3@x.test"))
		if got := h.letters(); !slices.Equal(got, []string{"failed no1@x.test failed no2@x.test failed"}) {
			t.Errorf("notices %q", got)
		}
		letter := h.store.letters[0].Message.ID.String()
		for i, want := range []string{letter, "", letter, mail.NoNoticeAsked} {
			if d := h.delivery(id, i+1); d.Notice != want {
				t.Errorf("recipient %d has notice %q, want %q", i+1, d.Notice, want)
			}
		}
	})
}

// While the store fails nobody is told; then once.
func TestNoticeOnce(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.notify(clerk{}, answering(nobody))
		fails := 3
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "conclude" && fails > 0 {
				fails--
				return errors.New("disk full")
			}
			return nil
		})
		h.put(h.message("shop/main", "no@x.test"))
		wait(time.Minute)
		if got := h.letters(); len(got) != 1 {
			t.Errorf("notices %q", got)
		}
	})
}

// A delay is told of when it is due, by a try of its own, and once; what is
// given up then is told of too.
func TestNoticeOfDelay(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.notify(clerk{late: 10 * time.Minute}, answering(later))
		id := h.put(h.message("shop/main", "a@x.test"))
		wait(10*time.Minute - time.Second)
		if got := h.letters(); len(got) > 0 {
			t.Fatalf("early: %q", got)
		}
		wait(2 * time.Second)
		if got := h.letters(); !slices.Equal(got, []string{"delayed a@x.test deferred"}) {
			t.Fatalf("notices %q", got)
		}
		wait(90 * time.Hour)
		if got := h.letters(); len(got) != 1 {
			t.Fatalf("again: %q", got)
		}
		wait(10 * time.Hour)
		h.want(id, 1, "failed")
		if got := h.letters(); !slices.Equal(got[1:], []string{"failed a@x.test failed"}) {
			t.Errorf("at the end: %q", got)
		}
	})
}

// Who asked to hear of success hears that it was passed on, but for servers that
// say so themselves.
func TestNoticeOfRelaying(t *testing.T) {
	for _, informs := range []bool{false, true} {
		inHouse(t, Settings{}, func(t *testing.T, h *house) {
			taken := ok
			taken.Informs = informs
			h.notify(clerk{}, answering(taken))
			m := h.message("shop/main", "a@x.test", "b@x.test")
			m.Asked = []mail.Asked{{Notify: "SUCCESS,FAILURE"}, {}}
			h.put(m)
			if got := h.letters(); informs != (len(got) == 0) || !informs && got[0] != "relayed a@x.test sent" {
				t.Errorf("informs %v: %q", informs, got)
			}
		})
	}
}

// hear hands a message in and waits for what the provider says.
func (h *house) hear(m *mail.Message) (*mail.Attempt, time.Duration) {
	h.t.Helper()
	begin := time.Now()
	a, err := h.queue.PutAndHear(h.t.Context(), m, sheet("Subject: x\r\n\r\n"))
	if err != nil {
		h.t.Fatal(err)
	}
	took := time.Since(begin)
	synctest.Wait()
	return a, took
}

func TestPutAndHear(t *testing.T) {
	for _, c := range []struct {
		name     string
		provider func() *script
		to       []string
		refused  bool
		took     time.Duration
		letters  []string // in the end
		notice   string   // of the first recipient; "" for that of the letter
	}{
		{"taken", perRecipient, []string{"a@x.test"}, false, 0, nil, ""},
		{"refused", perRecipient, []string{"no1@x.test", "no2@x.test"}, true, 0, nil, mail.NoNoticeSaid},
		{"in part", perRecipient, []string{"no1@x.test", "a@x.test"}, false, 0, []string{"failed no1@x.test failed"}, ""},
		{"temporary", func() *script { return answering(later) }, []string{"a@x.test"}, false, 0, nil, ""},
		{"login refused", func() *script { return answering(refused) }, []string{"a@x.test"}, false, 0, nil, ""},
		{"in time", func() *script { return takes(19*time.Second, nobody) }, []string{"no@x.test"}, true, 19 * time.Second, nil, mail.NoNoticeSaid},
		{"too late", func() *script { return takes(30*time.Second, nobody) }, []string{"no@x.test"}, false, 20 * time.Second, []string{"failed no@x.test failed"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inHouse(t, Settings{}, func(t *testing.T, h *house) {
				h.notify(clerk{}, c.provider())
				m := h.message("shop/main", c.to...)
				a, took := h.hear(m)
				if (a != nil) != c.refused || took != c.took {
					t.Errorf("refused %v after %v", a, took)
				}
				if a != nil && a.Reply.Code != 550 {
					t.Errorf("reply %v", a.Reply)
				}
				wait(time.Minute - took%time.Minute - time.Second)
				if got := h.letters(); !slices.Equal(got, c.letters) {
					t.Errorf("notices %q, want %q", got, c.letters)
				}
				want := c.notice
				if len(c.letters) > 0 {
					want = h.store.letters[0].Message.ID.String()
				}
				if d := h.delivery(m.ID, 1); d.Notice != want {
					t.Errorf("notice %q, want %q", d.Notice, want)
				}
				if len(h.queue.hearers.open) > 0 {
					t.Error("somebody is still waited for")
				}
			})
		})
	}
}

// Nobody waits for a provider that is parked.
func TestPutAndHearParked(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.notify(clerk{}, answering(refused))
		h.put(h.message("shop/main", "a@x.test"))
		if a, took := h.hear(h.message("shop/main", "b@x.test")); a != nil || took > 0 {
			t.Errorf("%v after %v", a, took)
		}
	})
}
