package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// A scripted relay answers each recipient as it is told, and keeps what it took.
type scripted struct {
	mu     sync.Mutex
	answer func(to string) mail.Attempt // nil: all are taken
	limit  int                          // recipients of one transaction; 0: none
	took   []string                     // "from to: content"
	tries  int
}

func reply(code int, text string) mail.Attempt {
	a := mail.Attempt{Reply: mail.Reply{Code: code, Lines: []string{text}}}
	if code >= 400 {
		a.Class = mail.ClassTemporary
	}
	return a
}

func down(string) mail.Attempt {
	return mail.Attempt{Class: mail.ClassTemporary, Err: errors.New("connection refused"), Unreachable: true}
}

func (r *scripted) Deliver(ctx context.Context, t mail.Transaction) (as []mail.Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	var b strings.Builder
	if _, err := t.Copy.WriteTo(&b); err != nil || int64(b.Len()) != t.Copy.Size() {
		panic(fmt.Sprintf("%d octets of %d: %v", b.Len(), t.Copy.Size(), err))
	}
	for i, to := range t.Recipients {
		a := reply(250, "2.0.0 queued as 1")
		if r.answer != nil {
			a = r.answer(to)
		}
		if r.limit > 0 && i >= r.limit {
			a = reply(452, "4.5.3 too many recipients")
		}
		if a.Taken() {
			_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
			r.took = append(r.took, fmt.Sprintf("<%s> %s: %s", t.Copy.MailFrom(), to, strings.TrimSpace(body)))
		}
		as = append(as, a)
	}
	return as
}

func (r *scripted) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.took)
}

func newSpool(t *testing.T) *Spool {
	return &Spool{Dir: filepath.Join(t.TempDir(), "spool"), Clock: clock.NewFake(now)}
}

func letter(t *testing.T, body string, to ...string) *Letter {
	t.Helper()
	l, err := Compose(strings.NewReader(stamps+"\r\n"+body), options(t, append([]string{"-f", "me@b.test"}, to...)...), host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// keep sends a letter while the relay is down.
func keep(t *testing.T, s *Spool, body string, to ...string) string {
	t.Helper()
	out, name, err := Send(t.Context(), &scripted{answer: down}, s, letter(t, body, to...))
	if err != nil || name == "" || !slices.Equal(out.Waiting, to) {
		t.Fatalf("kept as %q: %+v, %v", name, out, err)
	}
	return name
}

func drain(t *testing.T, s *Spool, r Client, again bool) (outs []Outcome) {
	t.Helper()
	hidden, err := s.Drain(t.Context(), r, 0, again, func(_ string, out Outcome) { outs = append(outs, out) })
	if err != nil || hidden != 0 {
		t.Fatalf("%d hidden, %v", hidden, err)
	}
	return outs
}

// list is the spool in one line a letter.
func listed(t *testing.T, s *Spool) (lines []string) {
	t.Helper()
	all, hidden, err := s.List()
	if err != nil || hidden != 0 {
		t.Fatalf("%d hidden, %v", hidden, err)
	}
	for _, w := range all {
		line := fmt.Sprintf("<%s> %s (%s)", w.From, strings.Join(w.To, " "), w.Why)
		for _, r := range w.Refused {
			line += fmt.Sprintf(" %s: %s", r.Recipient, r.Reply)
		}
		lines = append(lines, line)
	}
	return lines
}

// TestSpool keeps mail while the relay is down, in a file for its owner alone,
// and hands it in once, in its order, when it is back.
func TestSpool(t *testing.T) {
	s, r := newSpool(t), &scripted{}
	name := keep(t, s, "one", "a@b.test", "c@d.test")
	keep(t, s, "two", "a@b.test")
	info, err := os.Stat(s.path(name))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if dir, _ := os.Stat(s.Dir); dir.Mode().Perm() != 0o700 {
		t.Errorf("directory %v", dir.Mode())
	}
	if got := listed(t, s); len(got) != 2 || !strings.Contains(got[0], "<me@b.test> a@b.test c@d.test (the relay does not answer: connection refused)") {
		t.Errorf("listed %q", got)
	}
	drain(t, s, r, false)
	want := []string{"<me@b.test> a@b.test: one", "<me@b.test> c@d.test: one", "<me@b.test> a@b.test: two"}
	if got := r.all(); !slices.Equal(got, want) {
		t.Errorf("handed in %q, want %q", got, want)
	}
	drain(t, s, r, true)
	if left := listed(t, s); r.tries != 2 || left != nil {
		t.Errorf("%d tries, left %q", r.tries, left)
	}
}

// TestSpoolPart hands in for whom it can, and keeps the rest: those who wait, and
// those who are refused, with the reason.
func TestSpoolPart(t *testing.T) {
	s, r := newSpool(t), &scripted{}
	keep(t, s, "one", "good@b.test", "late@b.test", "bad@b.test")
	r.answer = func(to string) mail.Attempt {
		switch {
		case strings.HasPrefix(to, "late"):
			return reply(451, "4.3.0 later")
		case strings.HasPrefix(to, "bad"):
			return reply(550, "5.1.1 nobody")
		}
		return reply(250, "2.0.0 queued as 1")
	}
	drain(t, s, r, false)
	want := []string{"<me@b.test> late@b.test (451 4.3.0 later) bad@b.test: 550 5.1.1 nobody"}
	if got := listed(t, s); !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
	r.answer = nil
	drain(t, s, r, false)
	if got := listed(t, s); len(got) != 1 || !strings.Contains(got[0], "<me@b.test>  () bad@b.test: 550") {
		t.Errorf("a refusal went: %q", got)
	}
	if drain(t, s, r, false); r.tries != 2 {
		t.Error("what was refused is tried again")
	}
	drain(t, s, r, true) // a person asks for it
	if got, left := r.all(), listed(t, s); len(got) != 3 || left != nil {
		t.Errorf("handed in %q, left %q", got, left)
	}
}

// TestSend tells the caller of what will never be taken, and keeps the rest.
func TestSend(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  func(string) mail.Attempt
		limit   int
		to      string
		code    int
		took    int
		waiting int
	}{
		{"taken", nil, 0, "a@b.test c@d.test", 0, 2, 0},
		{"down", down, 0, "a@b.test", 0, 0, 1},
		{"later", func(string) mail.Attempt { return reply(451, "4.7.1 slow down") }, 0, "a@b.test", 0, 0, 1},
		{"unknown", func(string) mail.Attempt { return reply(550, "5.1.1 nobody") }, 0, "a@b.test", ExNoUser, 0, 0},
		{"not allowed", func(string) mail.Attempt { return reply(550, "5.7.1 no") }, 0, "a@b.test", ExNoPerm, 0, 0},
		{"too large", func(string) mail.Attempt { return reply(552, "5.3.4 large") }, 0, "a@b.test", ExUnavailable, 0, 0},
		{"many", nil, 2, "a@b.test b@b.test c@b.test d@b.test e@b.test", 0, 5, 0},
		{"no answer", func(string) mail.Attempt {
			return mail.Attempt{Class: mail.ClassTemporary, Err: io.EOF, Uncertain: true}
		}, 0, "a@b.test", 0, 0, 1},
	} {
		s, r := newSpool(t), &scripted{answer: c.answer, limit: c.limit}
		_, _, err := Send(t.Context(), r, s, letter(t, "x", strings.Fields(c.to)...))
		code := 0
		if e := (*Error)(nil); errors.As(err, &e) {
			code = e.Code
		} else if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		left := listed(t, s)
		if code != c.code || len(r.took) != c.took || len(left) != c.waiting {
			t.Errorf("%s: code %d, took %d, waiting %q; want %d, %d, %d", c.name, code, len(r.took), left, c.code, c.took, c.waiting)
		}
	}
}

// TestBare: a message without From leaves with what the relay puts there, and
// with its user where that has nothing; a refusal of that is none.
func TestBare(t *testing.T) {
	for _, c := range []struct {
		refused []string // what the relay says, try by try
		want    string
	}{
		{nil, "hello"},
		{[]string{"5.7.1 no From field"}, "From: www-data@web.test\r\n"},
		{[]string{"5.7.1 no From field", "5.7.1 not you"}, ""},
		{[]string{"5.1.1 nobody"}, ""},
	} {
		s, took := newSpool(t), ""
		relay := clientFunc(func(tx mail.Transaction) mail.Attempt {
			if len(c.refused) > 0 {
				said := c.refused[0]
				c.refused = c.refused[1:]
				return reply(550, said)
			}
			var b strings.Builder
			tx.Copy.WriteTo(&b)
			took = b.String()
			return reply(250, "2.0.0 queued as 1")
		})
		l, err := Compose(strings.NewReader("Subject: x\n\nhello\n"), options(t, "a@b.test"), host)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, _, err = Send(t.Context(), relay, s, l)
		if (err != nil) != (c.want == "") || !strings.Contains(took, c.want) || strings.Contains(c.want, "hello") && strings.Contains(took, "From:") {
			t.Errorf("%v; the relay took %q", err, took)
		}
		if err != nil && strings.Contains(err.Error(), "not you") {
			t.Errorf("the refusal that counts is the first: %v", err)
		}
	}
}

type clientFunc func(mail.Transaction) mail.Attempt

func (f clientFunc) Deliver(_ context.Context, t mail.Transaction) []mail.Attempt {
	return []mail.Attempt{f(t)}
}

// TestSpoolBounds: what cannot be kept is not taken, and the caller knows.
func TestSpoolBounds(t *testing.T) {
	full := newSpool(t)
	full.Room = func() error { return mail.ErrFull }
	many := newSpool(t)
	if err := many.Make(); err != nil {
		t.Fatal(err)
	}
	for range lettersMax {
		if err := os.WriteFile(many.path(many.ids.Next(now).String()), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := newSpool(t)
	if err := os.WriteFile(file.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Spool{"no room": full, "many": many, "no directory": file} {
		var e *Error
		_, _, err := Send(t.Context(), &scripted{answer: down}, s, letter(t, "x", "a@b.test"))
		if !errors.As(err, &e) || e.Code != ExTempFail || !strings.Contains(e.Text, "a@b.test") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSpoolStrangers puts into the spool what whoever may write there could: it
// is no letter, stops none, and is counted.
func TestSpoolStrangers(t *testing.T) {
	s, r := newSpool(t), &scripted{}
	keep(t, s, "good", "a@b.test")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("{}\nsecret"), 0o600); err != nil {
		t.Fatal(err)
	}
	plant := func(text string) {
		if err := os.WriteFile(s.path(s.ids.Next(now.Add(-time.Hour)).String()), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plant("")
	plant("no envelope")
	plant("{\"to\":[\"x@y.test\"],\"size\":99}\ncut off")
	if err := os.Symlink(secret, s.path(s.ids.Next(now.Add(-time.Hour)).String())); err != nil {
		t.Fatal(err)
	}
	pipe(t, s.path(s.ids.Next(now.Add(-time.Hour)).String()))
	for _, name := range []string{".new-123", "readme", "../x", "x.mail"} {
		os.WriteFile(filepath.Join(s.Dir, filepath.Base(name)), []byte("x"), 0o600)
	}
	hidden, err := s.Drain(t.Context(), r, 0, false, func(string, Outcome) {})
	if err != nil || hidden != 3 || !slices.Equal(r.all(), []string{"<me@b.test> a@b.test: good"}) {
		t.Errorf("%d hidden, %v; handed in %q", hidden, err, r.all())
	}
	if all, hidden, err := s.List(); len(all) != 0 || hidden != 3 || err != nil {
		t.Errorf("listed %v, %d hidden, %v", all, hidden, err)
	}
}

// TestSpoolOnce drains the spool from many sides at once: each letter goes in
// once.
func TestSpoolOnce(t *testing.T) {
	s, r := newSpool(t), &scripted{}
	const n = 50
	for i := range n {
		keep(t, s, fmt.Sprint(i), "a@b.test")
	}
	var all sync.WaitGroup
	for range 4 {
		other := &Spool{Dir: s.Dir, Clock: s.Clock}
		all.Go(func() {
			if _, err := other.Drain(t.Context(), r, 0, false, func(string, Outcome) {}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	took := r.all()
	slices.Sort(took)
	if len(took) != n || len(slices.Compact(took)) != n {
		t.Errorf("%d handed in, want each of %d once", len(took), n)
	}
}

// TestSpoolGroup: in a directory of several users the server's group may read.
func TestSpoolGroup(t *testing.T) {
	s := newSpool(t)
	if err := os.Mkdir(s.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.Dir, 0o777|os.ModeSetgid|os.ModeSticky); err != nil {
		t.Skip(err)
	}
	if info, err := os.Stat(s.path(keep(t, s, "x", "a@b.test"))); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestRun finds mail at its start and while it runs, tries again what has to
// wait, ever less often, and ends.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newSpool(t), &scripted{answer: down}
		s.Clock = clock.System{} // the bubble's
		keep(t, s, "one", "a@b.test")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx, r, slog.New(slog.DiscardHandler)) }()
		time.Sleep(10 * time.Minute)
		r.mu.Lock()
		if r.tries < 10 || r.tries > 20 {
			t.Errorf("%d tries in ten minutes", r.tries)
		}
		r.answer = nil
		r.mu.Unlock()
		time.Sleep(pauseMax)
		keep(t, s, "two", "a@b.test")
		time.Sleep(lookEvery + time.Second)
		if got := r.all(); len(got) != 2 {
			t.Errorf("handed in %q", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
