package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"backstamp/config"
	"backstamp/mail"
	"backstamp/relay"
	"backstamp/relay/queue"
	"backstamp/store"
	"backstamp/store/bolt"
	"backstamp/track"
	"backstamp/web"
)

// addresses are those that serve has bound.
type addresses struct {
	SMTP            []net.Addr
	Tracking, Admin net.Addr
}

// A server is Backstamp while it runs.
type server struct {
	*program
	log      *slog.Logger
	reg      *prometheus.Registry
	keys     *track.Keys
	store    *bolt.Store
	queue    *queue.Queue
	relay    *relay.Server
	track    *track.Handler
	visitors *relay.Visitors
	web      atomic.Pointer[web.Handler] // in force, as house is
	bound    addresses

	reloading sync.Mutex     // one reload at a time
	leaving   sync.WaitGroup // houses that were in force and take their leave

	mu    sync.Mutex
	house *house // in force
}

func (p *program) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Take mail, relay it and count what readers do", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.serve(c.Context()) },
	}
}

// gcPercent lets garbage grow to so many percent of what is in use before it is
// collected: some 5 MiB are in use, and all the mail goes past them.
const gcPercent = 300

// serve runs until it is told to stop. What is wrong is found in the order in
// which a person can mend it: configuration, then the data, then the ports.
func (p *program) serve(ctx context.Context) error {
	signals := p.signals()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	conf, err := p.load()
	if err != nil {
		return err
	}
	s := &server{program: p, log: slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: p.level})), reg: prometheus.NewRegistry()}
	s.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := s.open(conf); err != nil {
		return err
	}
	defer s.store.Close()
	if s.house, err = p.build(conf, s.keys, s.log, s.reg); err != nil {
		return &exitError{exitUsage, err.Error()}
	}
	if err := s.house.certify(); err != nil {
		return exitf(exitFailed, "%v", err)
	}
	stages, bound, done, err := s.assemble()
	if err != nil {
		return err
	}
	defer done()
	s.greet(bound)
	if p.ready != nil {
		p.ready(bound)
	}

	stop, stopNow := context.WithCancel(ctx)
	defer stopNow()
	hurry, hurryNow := context.WithCancel(context.WithoutCancel(ctx))
	defer hurryNow()
	listening, quiet := context.WithCancel(context.WithoutCancel(ctx))
	defer quiet()
	go s.listen(listening, signals, stopNow, hurryNow)
	if err := runStages(stop, hurry, stages); err != nil {
		return exitf(exitFailed, "%v", err)
	}
	s.current().close()
	s.leaving.Wait()
	return nil
}

// listen does what signals ask for: reload, stop, stop at once.
func (s *server) listen(ctx context.Context, signals <-chan os.Signal, stop, hurry func()) {
	stopping := false
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-signals:
			switch {
			case isReload(sig):
				if err := s.reload(ctx); err != nil {
					s.log.Error("reload refused, the configuration in force stays", "err", err)
				}
			case stopping:
				hurry()
			default:
				stopping = true
				s.log.Info("stopping", "signal", sig.String())
				stop()
			}
		}
	}
}

// open opens what lies in data_dir. The store comes first: it tells whether
// another server is there.
func (s *server) open(conf *config.Config) (err error) {
	s.store, err = bolt.Open(conf.DataDir, bolt.Options{Clock: s.clock, Log: s.log, Reg: s.reg, Create: true})
	switch {
	case errors.Is(err, store.ErrLocked):
		return exitf(exitFailed, "data_dir %s is in use by another server", conf.DataDir)
	case err != nil:
		return exitf(exitFailed, "%v", err)
	}
	if s.keys, err = openKeys(conf, s.clock); err != nil {
		s.store.Close()
		return err
	}
	s.queue = queue.New(s.store, queue.Settings{
		Drain: queueDrain, Notes: filepath.Join(conf.DataDir, "in-work"), Room: room(conf.DataDir, space),
	}, s.clock, s.log, s.reg)
	return nil
}

// assemble puts the house in force and binds every address.
func (s *server) assemble() (stages []stage, bound addresses, done func(), err error) {
	conf := s.house.conf
	var opened []func()
	done = func() {
		for _, f := range opened {
			f()
		}
	}
	fail := func(err error) ([]stage, addresses, func(), error) {
		done()
		return nil, bound, nil, err
	}

	s.relay = relay.New(s.house.policy, s.queue, s.clock, s.log, s.reg)
	s.visitors = relay.NewVisitors(s.store, s.clock, s.log, s.reg)
	s.relay.SetVisitors(s.visitors)
	if err := s.relay.Listen(); err != nil {
		return fail(exitf(exitUsage, "%v", place(conf, err)))
	}
	opened = append(opened, func() { s.relay.Close() })
	bound.SMTP = s.relay.Addrs()

	tracking, err := bind(conf, "tracking.listen", conf.Tracking.Listen)
	if err != nil {
		return fail(err)
	}
	opened = append(opened, func() { tracking.Close() })
	bound.Tracking = tracking.Addr()
	admin, err := bind(conf, "admin.listen", conf.Admin.Listen)
	if err != nil {
		return fail(err)
	}
	opened = append(opened, func() { admin.Close() })
	bound.Admin = admin.Addr()
	s.bound = bound
	control, unlink, err := listenControl(conf.DataDir)
	if err != nil {
		return fail(exitf(exitFailed, "%v", err))
	}
	opened = append(opened, func() { control.Close(); unlink() })

	if s.track, err = track.New(trackSettings(conf), s.keys, s.store, s.clock, s.log, s.reg); err != nil {
		return fail(exitf(exitUsage, "%v", err))
	}
	s.store.SetTiming(s.house.tracking.Timing())
	s.queue.SetRoutes(s.house.routes)
	s.web.Store(s.private(conf))

	private := &http.Server{Handler: s.side((*web.Handler).Private), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	socket := &http.Server{Handler: s.controlHandler(), ReadHeaderTimeout: 10 * time.Second}
	return []stage{
		{name: "spool", run: s.drainSpool},
		{name: "smtp", run: s.relay.Serve},
		{name: "queue", run: s.queue.Run, with: true}, // it need not run to keep what still comes in
		{name: "clients", run: s.visitors.Run},
		{name: "tracking", run: serveHTTP(track.Server(s.track), track.Listener(s.track, tracking))},
		{name: "tracking events", run: s.track.Run},
		{name: "private page", run: serveHTTP(private, admin)},
		{name: "private socket", run: serveHTTP(socket, control), with: true},
		{name: "retention", run: s.retain},
		{name: "store", run: s.watchStore},
	}, bound, done, nil
}

// watchStore ends the server when the disk has failed: nothing more may be
// promised then. SMTP answers 421 and readers are served while it ends.
func (s *server) watchStore(ctx context.Context) error {
	select {
	case <-s.store.Failed():
		return s.store.Healthy()
	case <-ctx.Done():
		return nil
	}
}

// bind opens a listener, or says which key named an address that cannot be
// had.
func bind(conf *config.Config, key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &exitError{exitUsage, unbound(conf, key, address, err).Error()}
	}
	return l, nil
}

// private makes the private side of the running server.
func (s *server) private(conf *config.Config) *web.Handler {
	return web.New(web.Settings{Hosts: hosts(conf), Password: string(conf.Admin.Password)}, s.store, web.Actions{
		Queue: movingQueue{s.queue, s}, Simulator: readers{s.track}, Renderer: currentRenderer{s}, Linker: s.keys,
		Listeners: s.addresses, Visitors: s.visitors.All, Providers: s.states, Reload: s.reload, RotateKeys: s.keys.Rotate, Reclassify: s.reclassify, Ready: s.store.Healthy, Lost: s.track.Lost,
	}, s.clock.Now, s.log, s.reg)
}

// side serves one side of the private handler that is in force.
func (s *server) side(of func(*web.Handler) http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of(s.web.Load()).ServeHTTP(w, r)
	})
}

// states joins the providers of the configuration with how they do.
func (s *server) states(ctx context.Context) ([]web.Provider, error) {
	return providerStates(ctx, s.store, s.current().providers, s.queue.States(), s.clock.Now())
}

// addresses are those that the server holds, the listeners first.
func (s *server) addresses() []web.Listener {
	conf := s.current().conf
	var held []web.Listener
	for i, l := range conf.Listeners {
		held = append(held, web.Listener{Address: l.Address, Bound: s.bound.SMTP[i].String()})
	}
	return append(held,
		web.Listener{Address: conf.Tracking.Listen, Bound: s.bound.Tracking.String()},
		web.Listener{Address: conf.Admin.Listen, Bound: s.bound.Admin.String()})
}

func (s *server) current() *house {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.house
}

// reload puts a new configuration in force, all of it or nothing.
func (s *server) reload(context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	conf, err := s.configuration()
	if err != nil {
		return err
	}
	old := s.current()
	if key := frozen(old.conf, conf); key != "" {
		return place(conf, mail.Settingf(key, "cannot change while the server runs; expected what it was, or a restart"))
	}
	if err := unlocked(old.conf, conf); err != nil {
		return place(conf, err)
	}
	keys, err := openKeys(conf, s.clock)
	if err != nil {
		return err
	}
	next, err := s.build(conf, s.keys, s.log, s.reg)
	if err != nil {
		return err
	}
	if err := next.certify(); err != nil {
		next.close()
		return err
	}
	next.inherit(old)
	if err := s.relay.SetPolicy(next.policy); err != nil {
		next.close()
		return place(conf, err)
	}
	s.keys.Adopt(keys)
	s.queue.SetRoutes(next.routes)
	s.setTracking(next.tracking)
	s.web.Store(s.private(conf))
	s.mu.Lock()
	s.house = next
	s.mu.Unlock()
	s.leaving.Go(old.close) // a server may take its time to answer QUIT
	s.log.Info("reloaded")
	return nil
}

func (s *server) setTracking(p *track.Policy) {
	s.track.SetPolicy(p)
	s.store.SetTiming(p.Timing())
}

// reclassify reads the rules of classes again, puts them in force and judges by
// them all hits that the log has.
func (s *server) reclassify(ctx context.Context) (store.Reclassified, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	conf := s.current().conf
	p, err := track.NewPolicy(trackSettings(conf), s.keys)
	if err != nil {
		return store.Reclassified{}, web.Refuse("%v", place(conf, err))
	}
	s.setTracking(p)
	return s.store.Reclassify(ctx, p.Judge, p.Timing())
}

// greet says where everything is and how to send a first message.
func (s *server) greet(a addresses) {
	conf := s.house.conf
	say := func(label, format string, args ...any) {
		fmt.Fprintf(s.out, "  %-10s %s\n", label, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(s.out, "backstamp %s\n", versionOf().Version)
	for _, addr := range a.SMTP {
		say("SMTP", "%s", addr)
	}
	if text := s.house.certified(); text != "" {
		say("TLS", "%s", text)
	}
	say("tracking", "http://%s, links as %s", a.Tracking, baseURL(conf))
	say("page", "http://%s", a.Admin)
	dir, err := filepath.Abs(conf.DataDir)
	if err != nil {
		dir = conf.DataDir
	}
	say("data", "%s", dir)
	for _, p := range s.house.providers {
		note := p.Host
		if p.Preset == "capture" {
			note = "keeps mail in the store, sends nothing"
		}
		say("provider", "%s: %s, %s", p.Name, p.Preset, note)
	}
	if text := trackingNote(conf, s.house.providers); text != "" {
		say("note", "%s", text)
	}
	for _, w := range append(s.house.warnings, conf.Pending()...) {
		say("warning", "%s", w)
	}
	if len(a.SMTP) == 0 {
		return
	}
	fmt.Fprintf(s.out, `
Send a first message:
  swaks --server %s --from you@example.com --to friend@example.com \
    --header 'Content-Type: text/html' --body '<a href="https://example.com/?a=1&amp;b=2">hello</a>'
then see what became of it:
  backstamp messages
`, a.SMTP[0])
}
