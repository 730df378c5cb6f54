package simulator

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// with returns the limits with those of o that are set in their place.
func (l Limits) with(o Limits) Limits {
	return Limits{
		Day: limit(o.Day, l.Day), Minute: limit(o.Minute, l.Minute), Second: limit(o.Second, l.Second),
		Connections: limit(o.Connections, l.Connections), PerConnection: limit(o.PerConnection, l.PerConnection),
		Recipients: limit(o.Recipients, l.Recipients), Size: limit(o.Size, l.Size), Idle: limit(o.Idle, l.Idle),
	}
}

func limit[N int | int64 | time.Duration](own, preset N) N { return max(cmp.Or(own, preset), 0) }

// A window counts what came in the span that ends now.
type window struct {
	span time.Duration
	max  int // 0: no limit, and nothing is counted
	came []arrival
}

type arrival struct {
	at time.Time
	n  int
}

// full reports whether n more are too many.
func (w *window) full(now time.Time, n int) bool {
	if w.max == 0 {
		return false
	}
	w.came = slices.DeleteFunc(w.came, func(a arrival) bool { return now.Sub(a.at) >= w.span })
	for _, a := range w.came {
		n += a.n
	}
	return n > w.max
}

func (w *window) add(now time.Time, n int) {
	if w.max > 0 {
		w.came = append(w.came, arrival{now, n})
	}
}

// A rule is broken or not when its refusal's stage comes. The server's lock is
// held.
type rule struct {
	name   string
	broken func(*session) bool
}

// rules are in the order in which they are looked at.
func rules() []rule {
	return []rule{
		{"too-many-connections", func(s *session) bool {
			return s.limits.Connections > 0 && len(s.open) > s.limits.Connections
		}},
		{"worn", func(s *session) bool {
			return s.limits.PerConnection > 0 && s.messages >= s.limits.PerConnection
		}},
		{"tls-needed", (*session).needsTLS},
		{"login-needed", func(s *session) bool { return s.user == "" && !s.dialect.Login.Optional }},
		{"null-sender", func(s *session) bool { return s.tx.from == "" }},
		{"too-big", func(s *session) bool { return s.limits.Size > 0 && s.tx.size > s.limits.Size }},
		{"too-many-recipients", func(s *session) bool {
			return s.limits.Recipients > 0 && len(s.tx.rcpts) > s.limits.Recipients
		}},
		{"sender-refused", (*session).unaligned},
		{"daily-limit", func(s *session) bool { return s.day.full(s.now(), s.weight()) }},
		{"rate-limit", func(s *session) bool { return s.minute.full(s.now(), 1) || s.second.full(s.now(), 1) }},
	}
}

// verdict returns what is refused at a stage; ok: nothing is, and after the
// final dot the message is counted.
func (s *session) verdict(stage string) (r Refusal, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, found := s.trouble(stage); found {
		return r, false
	}
	for _, rule := range rules() {
		r, found := s.dialect.Refuses[rule.name]
		if found && r.Stage == stage && rule.broken(s) {
			return r, false
		}
	}
	if stage == "dot" {
		s.taken++
		s.messages++
		s.day.add(s.now(), s.weight())
		s.minute.add(s.now(), 1)
		s.second.add(s.now(), 1)
	}
	return Refusal{}, true
}

// trouble returns the first trouble whose turn it is.
func (s *session) trouble(stage string) (Refusal, bool) {
	for i := range s.troubles {
		t := &s.troubles[i]
		r, _ := s.dialect.Refusal(t.Name)
		if r.Stage != stage || s.taken < t.After || t.Times < 0 {
			continue
		}
		if t.Times == 1 {
			t.Times = -1
		} else if t.Times > 1 {
			t.Times--
		}
		return r, true
	}
	return Refusal{}, false
}

// weight is what the message counts, as far as it is known.
func (s *session) weight() int {
	if s.dialect.Counts == "recipients" && s.tx != nil {
		return max(len(s.tx.rcpts), 1)
	}
	return 1
}

func (s *session) needsTLS() bool {
	return s.opts.Mode == StartTLS && !s.secure && !slices.Contains(s.dialect.TLS, Off)
}

// unaligned reports whether the provider will not have the message from
// whoever it says it is from: by MAIL FROM, and once it is there by From.
func (s *session) unaligned() bool {
	from := cmp.Or(s.tx.headerFrom, s.tx.from)
	switch s.dialect.Sender {
	case senderLogin:
		return from != "" && !s.mayUse(from)
	case senderVerified:
		return from != "" && s.opts.Senders != nil && !listed(s.opts.Senders, from)
	}
	return false
}

// mayUse reports whether from is the login or one of the senders.
func (s *session) mayUse(from string) bool {
	return s.user == "" || strings.EqualFold(from, s.mailbox()) || listed(s.opts.Senders, from)
}

// mailbox is the login as an address.
func (s *session) mailbox() string {
	if domain := s.dialect.Login.Domain; domain != "" && !strings.Contains(s.user, "@") {
		return s.user + "@" + domain
	}
	return s.user
}

func listed(senders []string, from string) bool {
	from = strings.ToLower(from)
	return slices.ContainsFunc(senders, func(sender string) bool {
		sender = strings.ToLower(sender)
		return from == sender || strings.HasPrefix(sender, "@") && strings.HasSuffix(from, sender)
	})
}
