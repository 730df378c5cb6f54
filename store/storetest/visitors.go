package storetest

import (
	"time"

	"backstamp/mail"
)

// visitors are kept as they were saved, over a restart, and go when they are
// told to.
func visitors(s *suite) {
	one := mail.Visitor{
		Addr: "10.0.5.21", Name: "printers", Helo: "-", TLS: "TLS 1.2", Listener: "0.0.0.0:25", First: start, Last: after(time.Hour),
		Connections: 3, Messages: 2, Refused: 1, Refusal: "550 5.7.1 no", Quirks: map[string]int{"bare-lf": 2},
	}
	two := mail.Visitor{Addr: "2001:db8::1", First: start, Last: after(2 * time.Hour)}
	three := mail.Visitor{Addr: "10.0.5.3", First: start, Last: after(time.Minute)}
	s.ok(s.SaveVisitors(s.ctx, []mail.Visitor{one, three}, nil))
	s.ok(s.SaveVisitors(s.ctx, []mail.Visitor{two}, []string{"10.0.5.3", "10.9.9.9"}))
	two.Connections = 7
	s.ok(s.SaveVisitors(s.ctx, []mail.Visitor{two}, nil))
	s.reopen()
	all, err := s.Visitors(s.ctx)
	s.ok(err)
	equal(s, "visitors", all, []mail.Visitor{two, one})
}
