package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"backstamp/config"
	"backstamp/mail"
	"backstamp/relay"
	"backstamp/relay/stranger"
	"backstamp/web"
)

func (p *program) selftestCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "selftest", Short: "Ask every listener to relay for a stranger, and expect that it does not", Args: cobra.NoArgs,
		Long: `Ask every listener to relay for a stranger, and expect that it does not.

For each listener it looks at what the configuration says of an address that is
not listed, and then connects from one, if this machine has any, and asks in all
the forms that open relays are found by. No mail is sent. The server may run;
where it does not, the listeners are opened for the test.

Exit 0: closed. 1: open, or the server could not be asked.`,
		RunE: func(c *cobra.Command, _ []string) error { return p.selftest(c.Context()) },
	}
	return p.jsonFlag(c)
}

// A finding is one row of selftest.
type finding struct {
	Listener string  `json:"listener"` // as the configuration has it
	Source   *string `json:"source"`   // the stranger's address; null: this machine has none
	Method   string  `json:"method"`   // configuration or connection
	Form     string  `json:"form"`
	Result   string  `json:"result"` // closed, open or untested
	Reply    string  `json:"reply"`
}

const (
	closed   = "closed"
	open     = "open"
	untested = "untested"
)

func (p *program) selftest(ctx context.Context) error {
	conf, err := p.load()
	if err != nil {
		return err
	}
	policy, err := p.policy(conf)
	if err != nil {
		return err
	}
	bound, done, err := p.listening(ctx, conf, policy)
	if err != nil {
		return err
	}
	defer done()
	var all []finding
	for i := range conf.Listeners {
		all = append(all, byConfiguration(conf, policy, i)...)
		found, err := byConnection(ctx, conf, policy, i, bound[i])
		if err != nil {
			return exitf(exitFailed, "listener %s: %v", conf.Listeners[i].Address, err)
		}
		all = append(all, found...)
	}
	return p.conclude(all, len(conf.Listeners))
}

// policy makes the rules of a configuration for who may hand in mail.
func (p *program) policy(conf *config.Config) (*relay.Policy, error) {
	keys, err := spareKeys()
	if err != nil {
		return nil, err
	}
	h, err := p.build(conf, keys, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return nil, &exitError{exitUsage, err.Error()}
	}
	h.close()
	return h.policy, nil
}

// listening returns where the listeners can be reached: those of the server that
// runs, else of one that is opened for the test and takes nothing.
func (p *program) listening(ctx context.Context, conf *config.Config, policy *relay.Policy) (bound []string, done func(), err error) {
	if api := dialServer(conf.DataDir); api != nil {
		defer api.close()
		bound, err := heldBy(ctx, api, conf)
		return bound, func() {}, err
	}
	s := relay.New(policy, nowhere{}, p.clock, slog.New(slog.DiscardHandler), nil)
	if err := s.Listen(); err != nil {
		return nil, nil, exitf(exitUsage, "%v", place(conf, err))
	}
	for _, addr := range s.Addrs() {
		bound = append(bound, addr.String())
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); s.Serve(ctx) }()
	return bound, func() { cancel(); <-ended }, nil
}

// heldBy asks the server for the addresses that its listeners got.
func heldBy(ctx context.Context, api *apiClient, conf *config.Config) ([]string, error) {
	got := map[string][]string{} // several, where the system picks the ports
	err := list(ctx, &program{}, api, "/listeners", nil, func(l web.Listener) { got[l.Address] = append(got[l.Address], l.Bound) })
	if err != nil {
		return nil, err
	}
	bound := make([]string, len(conf.Listeners))
	for i, l := range conf.Listeners {
		if len(got[l.Address]) == 0 {
			return nil, exitf(exitFailed, "the server that runs does not have the listener %s: the configuration has changed; run selftest again after a restart", l.Address)
		}
		bound[i], got[l.Address] = got[l.Address][0], got[l.Address][1:]
	}
	return bound, nil
}

// nowhere is a queue that takes nothing.
type nowhere struct{}

var errNowhere = errors.New("this is a test of the listeners; no mail is taken")

func (nowhere) NewBody() (mail.Body, error)                                  { return nil, errNowhere }
func (nowhere) Put(context.Context, *mail.Message, mail.ContentCloser) error { return errNowhere }
func (nowhere) PutAndHear(context.Context, *mail.Message, mail.ContentCloser) (*mail.Attempt, error) {
	return nil, errNowhere
}

// strangers are addresses of the internet that nobody has (RFC 5737 and 3849),
// and some that somebody has.
var strangers = [...]string{"198.51.100.7", "203.0.113.7", "192.0.2.7", "8.8.8.8", "2001:db8::7", "2001:4860:4860::8888"}

// byConfiguration looks at what the rules say of strangers.
func byConfiguration(conf *config.Config, policy *relay.Policy, i int) []finding {
	f := finding{Listener: conf.Listeners[i].Address, Method: "configuration", Form: "no login", Result: closed}
	for _, text := range strangers {
		addr := netip.MustParseAddr(text)
		if policy.Lists(i, addr) {
			continue
		}
		if f.Source == nil {
			f.Source = &text
			f.Reply = "an address that is not listed may not send"
		}
		if policy.Admits(i, addr) {
			f.Source, f.Result, f.Reply = &text, open, "it may send without a login"
			break
		}
	}
	found := []finding{f}
	if n := publicAddresses(conf.Listeners[i].Clients); n >= 1<<24 {
		found = append(found, finding{
			Listener: f.Listener, Method: f.Method, Form: "listed networks", Result: open,
			Reply: fmt.Sprintf("%d addresses of the internet are listed", n),
		})
	}
	return found
}

// publicAddresses counts the IPv4 addresses of networks that are not private.
func publicAddresses(networks []netip.Prefix) (n int64) {
	for _, p := range networks {
		if a := p.Addr(); a.Is4() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			n += 1 << (32 - p.Bits())
		}
	}
	return n
}

// byConnection connects from an address that is not listed.
func byConnection(ctx context.Context, conf *config.Config, policy *relay.Policy, i int, bound string) ([]finding, error) {
	l := conf.Listeners[i]
	source, target := strangerHere(ctx, policy, i, bound)
	if !source.IsValid() {
		return []finding{{
			Listener: l.Address, Method: "connection", Form: "all", Result: untested,
			Reply: "every address of this machine that reaches it is listed; what the configuration says stands alone",
		}}, nil
	}
	from := source.String()
	tries, err := stranger.Probe(ctx, stranger.Target{
		TLS: l.TLS, Host: hostname(conf),
		Dial: func(ctx context.Context) (net.Conn, error) { return dialFrom(ctx, source, target) },
	})
	var found []finding
	for _, try := range tries {
		f := finding{Listener: l.Address, Source: &from, Method: "connection", Form: try.Form, Result: closed, Reply: try.Reply}
		if try.Open {
			f.Result = open
		}
		found = append(found, f)
	}
	return found, err
}

// strangerHere finds an address of this machine that is not listed at a listener
// and from which it can be reached; the zero address where there is none.
func strangerHere(ctx context.Context, policy *relay.Policy, i int, bound string) (source netip.Addr, target string) {
	for _, addr := range ownAddresses() {
		if policy.Lists(i, addr) {
			continue
		}
		host, port, err := net.SplitHostPort(bound)
		if err != nil {
			return netip.Addr{}, ""
		}
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
			host = addr.String()
		}
		target := net.JoinHostPort(host, port)
		if c, err := dialFrom(ctx, addr, target); err == nil {
			c.Close()
			return addr, target
		}
	}
	return netip.Addr{}, ""
}

// ownAddresses are those of the interfaces, and some of the loopback network,
// all of which some systems have.
func ownAddresses() []netip.Addr {
	var own []netip.Addr
	all, _ := net.InterfaceAddrs() // without them the others remain
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			own = append(own, p.Addr())
		}
	}
	return append(own, netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.83.66.7"))
}

func dialFrom(ctx context.Context, source netip.Addr, target string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))}
	return d.DialContext(ctx, "tcp", target)
}

// conclude prints what was found.
func (p *program) conclude(all []finding, listeners int) error {
	t := p.table("LISTENER", "STRANGER", "METHOD", "FORM", "RESULT", "REPLY")
	opened, asked := 0, 0
	for _, f := range all {
		if f.Result == open {
			opened++
		}
		if f.Result != untested {
			asked++
		}
		if p.json {
			if err := json.NewEncoder(p.out).Encode(f); err != nil {
				return err
			}
			continue
		}
		source := "-"
		if f.Source != nil {
			source = *f.Source
		}
		t.row(f.Listener, source, f.Method, f.Form, f.Result, clip(f.Reply, 70))
	}
	if err := t.flush(p.out); err != nil {
		return err
	}
	if opened > 0 {
		return exitf(exitFailed, "open: %d of %s forms let a stranger send", opened, strconv.Itoa(asked))
	}
	if !p.json {
		fmt.Fprintf(p.out, "\nclosed: %d listeners, %d forms of asking, none let a stranger send\n", listeners, asked)
	}
	return nil
}
