package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/config"
	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/relay"
	"backstamp/relay/align"
	"backstamp/relay/dsn"
	"backstamp/relay/provider"
	"backstamp/relay/queue"
	"backstamp/relay/render"
	"backstamp/rewrite"
	"backstamp/track"
)

// A house is what one configuration makes of every room. It does not change:
// a reload builds the next one whole and puts it in force only when every room
// has accepted it.
type house struct {
	conf        *config.Config
	accounts    map[string]*align.Account
	providers   []provider.Settings // in the order of the file
	clients     []provider.Client   // of providers, same order
	policy      *relay.Policy
	certificate *relay.Certificate // nil: every listener with TLS has one configured
	routes      queue.Routes
	notices     *dsn.Writer
	renderer    *render.Renderer
	tracking    *track.Policy
	warnings    config.Errors
}

// A builder makes houses of configurations.
type builder struct {
	conf  *config.Config
	keys  *track.Keys
	clock clock.Clock
	roots *x509.CertPool
	log   *slog.Logger
	reg   prometheus.Registerer
	errs  config.Errors
	house *house
}

// build makes the house of conf, or says all that is wrong with it: the error
// is a config.Errors.
func (p *program) build(conf *config.Config, keys *track.Keys, log *slog.Logger, reg prometheus.Registerer) (*house, error) {
	b := p.builder(conf, keys, log, reg)
	if b.check(); len(b.errs) == 0 {
		b.route()
	}
	if len(b.errs) > 0 {
		return nil, b.errs.Sorted()
	}
	return b.house, nil
}

func (p *program) builder(conf *config.Config, keys *track.Keys, log *slog.Logger, reg prometheus.Registerer) *builder {
	return &builder{conf: conf, keys: keys, clock: p.clock, roots: p.roots, log: log, reg: reg, house: &house{conf: conf}}
}

// check has each room look at what concerns it.
func (b *builder) check() {
	b.pickProviders()
	accounts := b.accounts()
	b.house.accounts = accounts
	rewriter := b.rewriter()
	b.render(accounts)
	b.tracking()
	b.relay(accounts, rewriter)
}

// refuse notes what a room says is wrong.
func (b *builder) refuse(err error) { b.errs = append(b.errs, place(b.conf, err)...) }

// place finds the lines of the keys that an error speaks of.
func place(conf *config.Config, err error) config.Errors {
	var out config.Errors
	var walk func(error)
	walk = func(err error) {
		var setting *mail.SettingError
		switch e := err.(type) {
		case nil:
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				walk(err)
			}
		default:
			if errors.As(err, &setting) {
				err = conf.Problem(setting.Key, setting.Text)
			}
			var problem config.Problem
			if !errors.As(err, &problem) {
				problem = conf.Problem("", err.Error())
			}
			if !slices.Contains(out, problem) { // a shared provider speaks up once for each account
				out = append(out, problem)
			}
		}
	}
	walk(err)
	return out
}

// hostname is our name: as configured, else the machine's.
func hostname(conf *config.Config) string {
	if conf.Hostname != "" {
		return conf.Hostname
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}

// shared is the account name of providers that all accounts share.
const shared = "*"

// pickProviders lists the providers of every account and the shared ones.
func (b *builder) pickProviders() {
	add := func(account, key string, from map[string]config.Provider) []provider.Settings {
		var of []provider.Settings
		for _, name := range b.conf.Names(key) {
			p := from[name]
			s := provider.Settings{
				Name: account + "/" + name, Key: key + "." + name, Preset: p.Preset, Region: p.Region,
				Host: p.Host, Port: p.Port, TLS: p.TLS, Username: p.Username, Password: string(p.Password),
				DailyLimit: p.DailyLimit, Rate: provider.Rate(p.Rate),
				Hostname: hostname(b.conf), Connections: p.Connections, RootCAs: b.roots, Reg: b.reg,
			}
			b.refuse(s.Check())
			b.house.warnings = append(b.house.warnings, place(b.conf, errors.Join(s.Warnings()...))...)
			of = append(of, s)
		}
		b.house.providers = append(b.house.providers, of...)
		return of
	}
	common := add(shared, "providers", b.conf.Providers)
	for _, account := range b.conf.Names("accounts") {
		key := "accounts." + account
		own := add(account, key+".providers", b.conf.Accounts[account].Providers)
		if len(own)+len(common) == 0 {
			b.refuse(mail.Settingf(key+".providers", "has none and none are shared; expected at least one provider"))
		}
		b.refuse(provider.CheckAccount(key, own))
	}
}

// accounts makes the accounts' rules about senders.
func (b *builder) accounts() map[string]*align.Account {
	out := map[string]*align.Account{}
	for _, name := range b.conf.Names("accounts") {
		c := b.conf.Accounts[name]
		s := align.Settings{Name: name, Mode: align.Mode(c.Align), DefaultFrom: c.DefaultFrom, DefaultProvider: c.DefaultProvider}
		for _, n := range b.conf.Names("accounts." + name + ".providers") {
			s.Providers = append(s.Providers, senderRules(n, c.Providers[n], false))
		}
		for _, n := range b.conf.Names("providers") {
			s.Providers = append(s.Providers, senderRules(n, b.conf.Providers[n], true))
		}
		if len(s.Providers) == 0 {
			continue
		}
		a, err := align.NewAccount(s)
		if err != nil {
			b.refuse(err)
			continue
		}
		b.house.warnings = append(b.house.warnings, place(b.conf, errors.Join(a.Warnings()...))...)
		out[name] = a
	}
	return out
}

func senderRules(name string, p config.Provider, isShared bool) align.Provider {
	s := provider.Settings{Preset: p.Preset, Host: p.Host, Username: p.Username}
	return align.Provider{
		Name: name, Login: s.Login(), LoginIsMailbox: s.LoginIsMailbox(), Senders: p.Senders,
		AnyFrom: p.Preset == "capture" || !slices.Contains(provider.Presets(), p.Preset), // of an unknown preset nothing is known
		Shared:  isShared, After: p.After,
		Bulk: s.Data().Bulk.Is, NullSender: s.Data().NullSender.Is,
	}
}

func (b *builder) rewriter() *rewrite.Rewriter {
	t := b.conf.Tracking
	r, err := rewrite.New(rewrite.Settings{
		BaseURL: baseURL(b.conf), OldBaseURLs: t.BaseURLsOld, MaxURL: t.MaxURL, PixelTop: t.Pixel == "top",
		ExcludeDomains: t.Exclude.Domains, Selectors: t.Exclude.Selectors, Patterns: t.Exclude.Patterns,
	}, b.keys)
	b.refuse(err)
	return r
}

// baseURL is the public address of the tracking listener; unset, its own.
func baseURL(conf *config.Config) string {
	if conf.Tracking.BaseURL != "" {
		return conf.Tracking.BaseURL
	}
	return "http://" + conf.Tracking.Listen
}

// private reports whether a base URL reaches this machine or network alone, so
// that links to it would be dead for readers elsewhere.
func private(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return true
	}
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	if err != nil {
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		return host == "localhost" || strings.HasSuffix(host, ".localhost") // RFC 6761 section 6.3
	}
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsUnspecified() || ip.IsLinkLocalUnicast()
}

func (b *builder) tracking() {
	t := b.conf.Tracking
	p, err := track.NewPolicy(trackSettings(b.conf), b.keys)
	b.refuse(err)
	b.house.tracking = p
	if t.BaseURL == "" || private(t.BaseURL) {
		return
	}
	if u, err := url.Parse(t.BaseURL); err == nil && u.Scheme == "http" {
		b.house.warnings = append(b.house.warnings, b.conf.Problem("tracking.base_url", "is plain http; expected https in production, since many readers' programs warn of it"))
	}
}

func (b *builder) render(accounts map[string]*align.Account) {
	var keys []render.Key
	for i, d := range b.conf.DKIM {
		signer, err := render.ParseKey([]byte(string(d.Key)))
		if err != nil {
			b.refuse(mail.Settingf("dkim."+strconv.Itoa(i)+".key", "%v", err))
			continue
		}
		keys = append(keys, render.Key{Domain: d.Domain, Selector: d.Selector, Signer: signer})
	}
	aligners := map[string]render.Aligner{}
	for name, a := range accounts {
		aligners[name] = a
	}
	providers := map[string]render.Provider{}
	for _, s := range b.house.providers {
		p := s.Data()
		providers[s.Name] = render.Provider{SwitchOff: p.SwitchOff.Is, NullSender: p.NullSender.Is, DKIM: render.SignedBut(p.DKIMWithout.Is)}
	}
	b.house.renderer = render.New(render.Settings{DKIM: keys, Accounts: aligners, Providers: providers}, b.keys)
}

// route makes the ways out, which opens nothing yet.
func (b *builder) route() {
	routes := queue.Routes{
		Providers: map[string]queue.Route{}, Expire: map[string]time.Duration{}, Failover: map[string]queue.Failover{},
		Renderer: b.house.renderer, Followers: b.house.followers,
	}
	for _, s := range b.house.providers {
		client, err := provider.New(s, b.clock, b.log)
		if err != nil {
			b.refuse(err)
			continue
		}
		b.house.clients = append(b.house.clients, client)
		routes.Providers[s.Name] = queue.Route{
			Provider: client, Credential: s.Credential(), Connections: cmp.Or(s.Resolved().Connections, provider.DefaultConnections),
			MaxRecipients: s.MaxRecipients(), Limits: quota(s), Followed: b.house.followed(s.Name),
		}
	}
	for name, a := range b.conf.Accounts {
		routes.Expire[name] = time.Duration(a.Expire)
		routes.Failover[name] = queue.Failover{Unreachable: time.Duration(a.Failover.Unreachable), Held: time.Duration(a.Failover.Held)}
	}
	b.house.notices = b.notices()
	routes.Notifier = b.house.notices
	b.house.routes = routes
}

// quota is what a provider's credential may send.
func quota(s provider.Settings) queue.Limits {
	l := queue.Limits{Daily: s.Resolved().DailyLimit, Recipients: s.CountsRecipients(), Zone: s.Zone()}
	for _, r := range s.Rates() {
		l.Rates = append(l.Rates, queue.Rate(r))
	}
	return l
}

// followers names those who may take a message when a provider cannot.
func (h *house) followers(m *mail.Message, provider string) []string {
	a := h.accounts[m.Account]
	if a == nil {
		return nil
	}
	return slices.DeleteFunc(a.Chain(provider, m.HeaderFrom), func(name string) bool { return h.mayMove(m, name) != nil })
}

// followed reports whether a provider may have followers.
func (h *house) followed(provider string) bool {
	for _, a := range h.accounts {
		if a.Followed(provider) {
			return true
		}
	}
	return false
}

// close takes leave on the idle connections of a house that is out of force.
// Those in use follow when their transactions end: none is ever used again, be
// it logged in as the new configuration says or not.
func (h *house) close() {
	var leaving sync.WaitGroup
	for _, c := range h.clients {
		leaving.Go(c.Close)
	}
	leaving.Wait()
}

// hosts are the names by which the private listener may be asked.
func hosts(conf *config.Config) []string {
	host, _, err := net.SplitHostPort(conf.Admin.Listen)
	if err != nil {
		return nil
	}
	return []string{host, hostname(conf)}
}

// frozen names the first key that a reload may not change, "" for none.
func frozen(was, is *config.Config) string {
	if was.DataDir != is.DataDir {
		return "data_dir"
	}
	if was.Store != is.Store {
		return "store"
	}
	if spoolDir(was) != spoolDir(is) {
		return "spool"
	}
	if len(was.Listeners) != len(is.Listeners) {
		return "listeners"
	}
	for i := range was.Listeners {
		if was.Listeners[i].Address != is.Listeners[i].Address {
			return fmt.Sprintf("listeners.%d.address", i)
		}
	}
	if was.Tracking.Listen != is.Tracking.Listen {
		return "tracking.listen"
	}
	if was.Admin.Listen != is.Admin.Listen {
		return "admin.listen"
	}
	return ""
}

// unlocked refuses what changes the providers of a locked account, and which of
// them is the default. Those that all accounts share are not its own.
func unlocked(was, is *config.Config) error {
	for _, name := range slices.Sorted(maps.Keys(was.Accounts)) {
		a, b := was.Accounts[name], is.Accounts[name]
		key := "accounts." + name
		switch {
		case !a.Locked:
		case !reflect.DeepEqual(a.Providers, b.Providers):
			key += ".providers"
			return mail.Settingf(key, "cannot change, the account is locked; expected what they were, or a reload with locked: false before")
		case a.DefaultProvider != b.DefaultProvider:
			key += ".default_provider"
			return mail.Settingf(key, "cannot change, the account is locked; expected what it was, or a reload with locked: false before")
		}
	}
	return nil
}
