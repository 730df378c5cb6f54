package sendmail

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"backstamp/internal/durable"
)

// How often the server looks into the spool, and how long at most it leaves
// mail alone that the relay would not take.
const (
	lookEvery = 2 * time.Second
	pauseMax  = time.Minute
)

// handMax is how long one letter may take: all of a session, and no more.
const handMax = 15 * time.Minute

// Drain hands up to n letters in, all where n is 0, oldest first. It ends early
// when the relay does not take one yet, or when ctx ends: a letter that is on
// its way is handed in to its end. With again those that were refused are tried
// once more. Letters that others hand in are passed over, and so are those that
// may not be read, which are counted; done hears of each that was tried.
func (s *Spool) Drain(ctx context.Context, to Client, n int, again bool, done func(name string, out Outcome)) (hidden int, err error) {
	names, err := s.names()
	if err != nil {
		return 0, err
	}
	went := 0
	for _, name := range names {
		if ctx.Err() != nil || n > 0 && went == n {
			break
		}
		out, err := s.hand(context.WithoutCancel(ctx), name, to, again)
		switch {
		case errors.Is(err, errBusy), errors.Is(err, errNothing), errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, fs.ErrPermission), errors.Is(err, errNoLetter):
			hidden++
			continue
		case err != nil:
			return hidden, err
		}
		done(name, out)
		if went++; len(out.Waiting) > 0 {
			break // the next would fare no better
		}
	}
	return hidden, nil
}

// errNothing: a letter waits for nobody.
var errNothing = errors.New("nothing to do")

// hand hands one letter in and notes what became of it.
func (s *Spool) hand(ctx context.Context, name string, to Client, again bool) (out Outcome, err error) {
	l, err := s.open(name, true)
	if err != nil {
		return out, err
	}
	defer l.Close()
	e := l.envelope
	if again {
		for _, r := range e.Refused {
			e.To = append(e.To, r.Recipient)
		}
		e.Refused = nil
	}
	if len(e.To) == 0 {
		return out, errNothing
	}
	ctx, cancel := context.WithTimeout(ctx, handMax)
	defer cancel()
	out = submit(ctx, to, &Letter{From: e.From, To: e.To, Content: l, Wishes: e.Wishes, high: e.High, bare: e.Bare})
	return out, s.note(name, l, e, out)
}

// note keeps what is left of a letter after a try, if that is something else
// than before.
func (s *Spool) note(name string, l *stored, e envelope, out Outcome) error {
	e.To, e.Why, e.Refused = out.Waiting, out.Why, append(e.Refused, out.Refused...)
	before := l.envelope
	switch {
	case len(e.To)+len(e.Refused) == 0:
		return errors.Join(os.Remove(s.path(name)), durable.SyncDir(s.Dir))
	case len(e.To) == len(before.To) && len(e.Refused) == len(before.Refused) && e.Why == before.Why:
		return nil
	}
	return s.write(name, e, l)
}

// Run hands letters in until ctx ends: what it finds at first, and then what
// comes. It is the server's part.
func (s *Spool) Run(ctx context.Context, to Client, log *slog.Logger) error {
	log = log.With("spool", s.Dir)
	if err := s.Make(); err != nil {
		log.Warn("mail that sendmail keeps cannot be handed in", "err", err)
		return wait(ctx)
	}
	s.sweep()
	pause, hidden, failing := lookEvery, 0, false
	for {
		waits := false
		n, err := s.Drain(ctx, to, 0, false, func(name string, out Outcome) {
			waits = waits || len(out.Waiting) > 0
			report(log.With("letter", name), out)
		})
		if err != nil && !failing {
			log.Error("mail that sendmail keeps cannot be handed in", "err", err)
		}
		if n > hidden {
			log.Error("letters of the spool cannot be read by the server", "letters", n)
		}
		hidden, failing = n, err != nil
		if waits || failing {
			pause = min(2*pause, pauseMax)
		} else {
			pause = lookEvery
		}
		timer := s.Clock.NewTimer(pause)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func wait(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// report logs what became of a letter.
func report(log *slog.Logger, out Outcome) {
	if len(out.IDs) > 0 {
		log.Info("letter of the spool handed in", "ids", out.IDs)
	}
	for _, r := range out.Refused {
		log.Error("letter of the spool refused; it is kept there", "recipient", r.Recipient, "reply", r.Reply.String())
	}
	if len(out.Waiting) > 0 {
		log.Warn("letter of the spool has to wait", "recipients", len(out.Waiting), "why", out.Why)
	}
}
