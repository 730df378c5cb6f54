// Package simulator plays the SMTP servers of mail providers on this machine:
// their EHLO, their logins, who may send, how much, and what they reply. It
// sends nothing on. What each provider says lies in dialects/*.yaml; nothing
// of it is taken from the code that it tests.
package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"backstamp/internal/clock"
)

// The values of Options.Mode, which are those of the key tls of a provider.
const (
	Off      = "off"      // nothing is encrypted, and nothing demanded
	StartTLS = "starttls" // as the provider's ports 25 and 587
	Implicit = "implicit" // as its port 465
)

// Options say which provider is played and with which troubles.
type Options struct {
	Preset string
	Mode   string      // "" is Off
	TLS    *tls.Config // for the other modes

	// Logins are the names and secrets (passwords, tokens) that are accepted.
	// Nil: all that are of the right form, but for the secret "wrong".
	Logins map[string]string
	// Senders are the addresses and @domains that may send besides the login.
	// Nil: where the provider verifies senders, all are verified.
	Senders  []string
	Limits   Limits // those that are not zero replace the provider's; negative: none
	Troubles []Trouble

	Clock  clock.Clock   // nil: the machine's
	Report func(Outcome) // nil: nobody listens; called by the connection's goroutine before its reply
}

// A Trouble plays one of the dialect's refusals whatever the rules say.
type Trouble struct {
	Name  string
	After int // so many messages were taken
	Times int // then so often; 0: always
}

// ParseTrouble reads NAME[,after=N][,times=N].
func ParseTrouble(text string) (Trouble, error) {
	name, rest, _ := strings.Cut(text, ",")
	t := Trouble{Name: name}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(value)
		switch {
		case part == "":
		case err != nil || n < 0:
			return t, fmt.Errorf("trouble %q: %q is not understood; expected NAME[,after=N][,times=N]", text, part)
		case key == "after":
			t.After = n
		case key == "times":
			t.Times = n
		default:
			return t, fmt.Errorf("trouble %q: %q is not understood; expected NAME[,after=N][,times=N]", text, part)
		}
	}
	return t, nil
}

// An Outcome is the end of a transaction, or of what came before one.
type Outcome struct {
	Connection int      `json:"connection"` // from 1
	Helo       string   `json:"helo"`
	User       string   `json:"user"`      // who logged in
	Mechanism  string   `json:"mechanism"` // how, or how it was tried last
	TLS        bool     `json:"tls"`
	MailFrom   string   `json:"mail_from"`
	Recipients []string `json:"recipients"`
	Stage      string   `json:"stage"`
	Reply      string   `json:"reply"` // its lines parted by LF; "": none
	ID         string   `json:"id"`    // "": the message was not taken
	Content    []byte   `json:"-"`     // what recipients get, its lines ended by LF
}

// A Server is one provider being played, with one account whose limits all
// logins share. Its state is behind its lock; each connection has a goroutine
// of its own.
type Server struct {
	opts    Options
	dialect Dialect
	limits  Limits

	mu       sync.Mutex
	open     map[net.Conn]struct{}
	count    int // connections so far
	taken    int // messages
	day      window
	minute   window
	second   window
	troubles []Trouble // what is left of them
}

// New checks the options.
func New(o Options) (*Server, error) {
	d, err := Load(o.Preset)
	if err != nil {
		return nil, err
	}
	if o.Mode == "" {
		o.Mode = Off
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	switch {
	case o.Mode != Off && !slices.Contains(d.TLS, o.Mode):
		return nil, fmt.Errorf("%s has no tls %q; expected off or one of %s", o.Preset, o.Mode, strings.Join(d.TLS, ", "))
	case o.Mode != Off && o.TLS == nil:
		return nil, errors.New("there is no certificate")
	}
	for _, t := range o.Troubles {
		if _, ok := d.Refusal(t.Name); !ok {
			return nil, fmt.Errorf("%s has no trouble %q; expected one of %s", o.Preset, t.Name, strings.Join(d.Troubles(), ", "))
		}
	}
	l := d.Limits.with(o.Limits)
	return &Server{
		opts: o, dialect: d, limits: l, troubles: slices.Clone(o.Troubles), open: map[net.Conn]struct{}{},
		day: window{span: 24 * time.Hour, max: l.Day}, minute: window{span: time.Minute, max: l.Minute}, second: window{span: time.Second, max: l.Second},
	}, nil
}

// Serve answers on ln, which it closes, until ctx ends.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() {
		ln.Close()
		s.drop()
	})
	for {
		conn, err := ln.Accept()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("accepting a connection: %w", err)
		}
		n := s.opened(conn)
		if ctx.Err() != nil { // too late for drop, perhaps
			conn.Close()
		}
		sessions.Go(func() {
			defer s.closed(conn)
			newSession(ctx, s, conn, n).run()
		})
	}
}

func (s *Server) opened(conn net.Conn) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[conn] = struct{}{}
	s.count++
	return s.count
}

func (s *Server) closed(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

// drop closes the connections that are open.
func (s *Server) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		conn.Close()
	}
}
