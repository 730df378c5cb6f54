package config

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// load reads a text as the file backstamp.yaml in /etc/b, with no environment.
func load(text string, sets ...string) (*Config, error) {
	s := source{name: "backstamp.yaml", dir: "/etc/b", data: []byte(text), sets: sets}
	s.read = func(string) ([]byte, error) { return nil, os.ErrNotExist }
	return s.load()
}

func mustLoad(t *testing.T, text string, sets ...string) *Config {
	t.Helper()
	c, err := load(text, sets...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// These values are promised to who runs serve without a configuration.
func TestDefaults(t *testing.T) {
	c, err := Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	loopback := prefixes("127.0.0.0/8", "::1/128")
	want := &Config{
		DataDir:   "./backstamp-data",
		Store:     "bolt",
		Retention: Retention{Duration(30 * day), Duration(400 * day)},
		Limits: Limits{
			Message: 64 << 20, Recipients: 1000, Connections: 1000, ConnectionsPerClient: 100, LoginFailures: 5,
			Read: Duration(time.Minute), Idle: Duration(5 * time.Minute), Session: Duration(time.Hour),
		},
		Listeners: []Listener{{Address: "127.0.0.1:2525", TLS: "off", Clients: loopback, Auth: "optional", Legacy: true, MinTLS: "1.2"}},
		Tracking: Tracking{
			MaxURL: 2000, Listen: "127.0.0.1:8080", TLS: "off", Opens: true, Clicks: true,
			Recipients: "split", Pixel: "bottom", Addresses: "cut", Privacy: "identified",
		},
		Admin: Admin{Listen: "127.0.0.1:8025"},
		Accounts: map[string]Account{"local": {
			Networks: loopback, Align: "warn", Reply: "queued", Notices: Notices{To: "sender"}, Expire: Duration(96 * time.Hour),
			Failover:  Failover{Duration(5 * time.Minute), Duration(15 * time.Minute)},
			Providers: map[string]Provider{"capture": {Preset: "capture"}},
		}},
	}
	want.file, want.set, want.names, want.plain = c.file, c.set, c.names, c.plain
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if len(c.Pending()) != 0 {
		t.Errorf("nothing was given, and pending: %v", c.Pending())
	}
}

// full sets what this version has, each key to something else than its default.
const full = `
hostname: relay.example.com
data_dir: data
store: bolt
retention: {content: 7d, events: 8d}
default_domain: example.com
limits: {message: 1MB, recipients: 2, connections: 3, connections_per_client: 4, login_failures: 6, read: 1s, idle: 2s, session: 3s}
listeners:
  - {address: ":25", tls: starttls, clients: [10.0.0.1, "::1/128"], auth: required, legacy: false, cert: a.pem, key: /k.pem, min_tls: 1.3, proxy_protocol: [10.0.0.2]}
  - {address: "[::1]:0", tls: "off", auth: off}
tracking:
  base_url: https://t.example.com/x/
  base_urls_old: [http://old.example.com/]
  max_url: 8192
  listen: 0.0.0.0:80
  trusted_proxies: [10.0.0.0/8]
  keys: [k2, k1]
  opens: false
  clicks: no
  recipients: shared
  pixel: top
  addresses: whole
  privacy: "off"
  exclude: {domains: [a.example], selectors: [.b], patterns: [c+]}
  classes: classes.yaml
admin: {listen: "localhost:0", password: p}
dkim:
  - {domain: example.com, selector: bs1, key: pem}
clients:
  printers: {networks: [10.0.5.0/24], from: scan@example.com, charset: cp949, tracking: "off", legacy: true, max_size: 25MB, rate: 10/s}
providers:
  all: {preset: capture}
accounts:
  shop:
    login: {username: shop, password: 12345}
    networks: [10.0.6.0/24]
    default_from: shop@example.com
    default_provider: main
    align: rewrite
    reply: upstream
    notices: {to: ops@example.com, delayed: 4h}
    expire: 2h
    failover: {unreachable: 1m, held: 2m}
    provider_headers: true
    locked: true
    providers:
      spare: {preset: ses, region: ap-northeast-2, after: main}
      main: {preset: generic, host: mail.example.com, port: 2525, tls: implicit, username: u, password: p, senders: ["@example.com"], daily_limit: 450, rate: 60/min, connections: 7}
`

func TestEveryKeyIsRead(t *testing.T) {
	c := mustLoad(t, full)
	want := &Config{
		Hostname: "relay.example.com", DataDir: "/etc/b/data", Store: "bolt", DefaultDomain: "example.com",
		Retention: Retention{Duration(7 * day), Duration(8 * day)},
		Limits:    Limits{1 << 20, 2, 3, 4, 6, Duration(time.Second), Duration(2 * time.Second), Duration(3 * time.Second)},
		Listeners: []Listener{
			{":25", "starttls", prefixes("10.0.0.1/32", "::1/128"), "required", false, "/etc/b/a.pem", "/k.pem", "1.3", prefixes("10.0.0.2/32")},
			{"[::1]:0", "off", nil, "off", true, "", "", "1.2", nil},
		},
		Tracking: Tracking{
			BaseURL: "https://t.example.com/x", BaseURLsOld: []string{"http://old.example.com"}, MaxURL: 8192, Listen: "0.0.0.0:80", TLS: "off",
			TrustedProxies: prefixes("10.0.0.0/8"), Keys: []Secret{"k2", "k1"}, Recipients: "shared", Pixel: "top", Addresses: "whole", Privacy: "off",
			Exclude: Exclude{[]string{"a.example"}, []string{".b"}, []string{"c+"}}, Classes: "/etc/b/classes.yaml",
		},
		Admin:     Admin{"localhost:0", "p"},
		DKIM:      []DKIM{{"example.com", "bs1", "pem"}},
		Clients:   map[string]Client{"printers": {prefixes("10.0.5.0/24"), "scan@example.com", "cp949", "off", true, 25 << 20, Rate{10, time.Second}}},
		Providers: map[string]Provider{"all": {Preset: "capture"}},
		Accounts: map[string]Account{"shop": {
			Login: Login{"shop", "12345"}, Networks: prefixes("10.0.6.0/24"), DefaultFrom: "shop@example.com", DefaultProvider: "main", Align: "rewrite", Reply: "upstream",
			Notices: Notices{"ops@example.com", Duration(4 * time.Hour)}, Expire: Duration(2 * time.Hour), Failover: Failover{Duration(time.Minute), Duration(2 * time.Minute)},
			ProviderHeaders: true, Locked: true,
			Providers: map[string]Provider{
				"spare": {Preset: "ses", Region: "ap-northeast-2", After: "main"},
				"main": {Preset: "generic", Host: "mail.example.com", Port: 2525, TLS: "implicit", Username: "u", Password: "p", Senders: []string{"@example.com"},
					DailyLimit: 450, Rate: Rate{60, time.Minute}, Connections: 7},
			},
		}},
	}
	want.file, want.set, want.names, want.plain = c.file, c.set, c.names, c.plain
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if got, want := c.Names("accounts.shop.providers"), []string{"spare", "main"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want the order of the file, %q", got, want)
	}
	if got := c.Names("accounts.other.providers"); got != nil {
		t.Errorf("names of a block that is not there: %q", got)
	}
}

func TestDefaultsKeyByKey(t *testing.T) {
	standard := mustLoad(t, "")
	for _, c := range []struct {
		text string
		same bool
		of   func(*Config) any
	}{
		{"# nothing\n", true, func(c *Config) any { return c.Listeners }},
		{"---\n", true, func(c *Config) any { return c.Accounts }},
		{"listeners:\naccounts:\nlimits:\n", true, func(c *Config) any { return []any{c.Listeners, c.Accounts, c.Limits} }},
		{"listeners: [{address: ':0'}]", true, func(c *Config) any { return c.Accounts }},
		{"listeners: [{address: ':0'}]", false, func(c *Config) any { return c.Listeners }},
		{"accounts: {a: {networks: [10.0.0.1]}}", true, func(c *Config) any { return c.Listeners }},
		{"accounts: {a: {networks: [10.0.0.1]}}", false, func(c *Config) any { return c.Accounts }},
		{"limits: {read: 1s}", true, func(c *Config) any { return c.Limits.Message }},
		{"limits: {read: 1s}", false, func(c *Config) any { return c.Limits }},
		{"admin: {password: p}", true, func(c *Config) any { return c.Admin.Listen }},
	} {
		if got := c.of(mustLoad(t, c.text)); reflect.DeepEqual(got, c.of(standard)) != c.same {
			t.Errorf("%q: %+v, as without: %v", c.text, got, !c.same)
		}
	}
	l := mustLoad(t, "listeners: [{address: ':0'}]").Listeners[0]
	if want := (Listener{Address: ":0", TLS: "off", Auth: "optional", Legacy: true, MinTLS: "1.2"}); !reflect.DeepEqual(l, want) {
		t.Errorf("listener %+v, want %+v: the clients of the default one are not its own", l, want)
	}
}

func TestPaths(t *testing.T) {
	c := mustLoad(t, "")
	if c.DataDir != "/etc/b/backstamp-data" {
		t.Errorf("default data_dir is %q, want it beside the file", c.DataDir)
	}
	c = mustLoad(t, "data_dir: /abs\ntracking: {classes: 'file:rules.yaml'}", "data_dir=here")
	if c.DataDir != "here" {
		t.Errorf("data_dir %q: a path on the command line is not the file's", c.DataDir)
	}
	if c.Tracking.Classes != "/etc/b/rules.yaml" {
		t.Errorf("classes %q, want the path, not what is in it", c.Tracking.Classes)
	}
}

func TestWhere(t *testing.T) {
	c := mustLoad(t, strings.TrimPrefix(full, "\n"), "admin.password=x", "tracking.exclude.domains=[a]")
	for _, w := range []struct {
		key  string
		file string
		line int
	}{
		{"hostname", "backstamp.yaml", 1},
		{"limits.idle", "backstamp.yaml", 6},
		{"listeners", "backstamp.yaml", 7},
		{"listeners.1", "backstamp.yaml", 9},
		{"listeners.1.cert", "backstamp.yaml", 9},
		{"listeners.0.clients.1", "backstamp.yaml", 8},
		{"accounts.shop.providers.spare", "backstamp.yaml", 46},
		{"accounts.shop.providers.spare.username", "backstamp.yaml", 46},
		{"accounts.shop.nothing.at.all", "backstamp.yaml", 33},
		{"webhooks.x", "backstamp.yaml", 1},
		{"", "backstamp.yaml", 1},
		{"admin.password", "--set", 0},
		{"tracking.exclude.domains.0", "--set", 0},
		{"tracking.exclude.selectors", "backstamp.yaml", 23},
	} {
		if file, line := c.Where(w.key); file != w.file || line != w.line {
			t.Errorf("%s: %s:%d, want %s:%d", w.key, file, line, w.file, w.line)
		}
	}
	if got, want := c.Problem("accounts.shop.align", "x; y").Error(), "backstamp.yaml:38: accounts.shop.align: x; y"; got != want {
		t.Errorf("problem %q, want %q", got, want)
	}
	none, err := Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := none.Problem("listeners.0.address", "in use").Error(), "built-in defaults: listeners.0.address: in use"; got != want {
		t.Errorf("problem %q, want %q", got, want)
	}
}

func TestPending(t *testing.T) {
	var keys []string
	for _, p := range mustLoad(t, full, "accounts.shop.reply=upstream").Pending() {
		if p.Text != "has no effect in this version" {
			t.Errorf("text %q", p.Text)
		}
		keys = append(keys, p.Key)
	}
	want := []string{}
	if !slices.Equal(keys, want) {
		t.Errorf("pending\n%q, want\n%q", keys, want)
	}
	quiet := mustLoad(t, "accounts: {a.b: {networks: [10.0.0.1], reply: queued, locked: false}}").Pending()
	if len(quiet) > 0 {
		t.Errorf("pending though nothing is asked for: %v", quiet)
	}
}

func TestPendingNamesKeys(t *testing.T) {
	known := schema()
	for _, row := range pending {
		if !slices.Contains(known, row.key) {
			t.Errorf("%s is no key", row.key)
		}
	}
}

// What Print writes is a configuration that means the same.
func TestPrintLoads(t *testing.T) {
	for _, text := range []string{"", full} {
		var first, again bytes.Buffer
		if err := mustLoad(t, text).Print(&first); err != nil {
			t.Fatal(err)
		}
		if err := mustLoad(t, first.String()).Print(&again); err != nil {
			t.Fatal(err)
		}
		if first.String() != again.String() {
			t.Errorf("printed\n%s\nand again\n%s", &first, &again)
		}
	}
}

func TestAlias(t *testing.T) {
	c := mustLoad(t, `
accounts:
  a: &a {networks: &n [10.0.0.1], align: warn}
  b: *a
  c: {networks: *n}
`, "accounts.b.align=rewrite", "accounts.b.networks.0=10.0.0.2", "accounts.c.networks.0=10.0.0.3")
	for name, want := range map[string]Account{"a": {Align: "warn", Networks: prefixes("10.0.0.1/32")}, "b": {Align: "rewrite", Networks: prefixes("10.0.0.2/32")}, "c": {Align: "reject", Networks: prefixes("10.0.0.3/32")}} {
		if got := c.Accounts[name]; got.Align != want.Align || !slices.Equal(got.Networks, want.Networks) {
			t.Errorf("%s: %s %v, want %s %v", name, got.Align, got.Networks, want.Align, want.Networks)
		}
	}
}

// A small file must not make a large configuration.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("tracking: {base_urls_old: &s [" + strings.Repeat("http://a,", 5000) + "]}\n")
	b.WriteString("providers: &p\n")
	for i := range 1000 {
		b.WriteString("  p" + strings.Repeat("x", i%60) + string(rune('a'+i/60)) + ": {preset: generic, senders: *s}\n")
	}
	b.WriteString("accounts:\n")
	for i := range 1000 {
		b.WriteString("  a" + strings.Repeat("x", i%60) + string(rune('a'+i/60)) + ": {networks: [10.0.0.1], providers: *p}\n")
	}
	_, err := load(b.String(), "tracking.max_url=300")
	var all Errors
	if !errors.As(err, &all) || len(all) != 1 || !strings.Contains(all[0].Text, "more than 100000 values") {
		t.Errorf("%.300v", err)
	}
}

func TestHugeAndDeep(t *testing.T) {
	for name, text := range map[string]string{
		"long":        "# " + strings.Repeat("x", 2<<20),
		"flow":        strings.Repeat("[", 200_000),
		"block":       strings.Repeat("- ", 200_000),
		"long key":    strings.Repeat("a", 900_000) + ": 1",
		"many keys":   strings.Repeat("a: 1\n", 20_000),
		"self":        "accounts: &a {x: *a}",
		"self list":   "tracking: {keys: &k [*k]}",
		"deep in one": "accounts: " + strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000),
	} {
		start := time.Now()
		_, err := load(text, "tracking.max_url=300", "accounts.x.align=warn")
		if err == nil {
			t.Errorf("%s: loaded", name)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b.yaml")
	os.WriteFile(path, []byte("admin: {password: 'file:secret'}\ndata_dir: d\n"), 0o600)
	os.WriteFile(filepath.Join(dir, "secret"), []byte("two\r\n"), 0o600)
	c, err := Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin.Password != "two" || c.DataDir != filepath.Join(dir, "d") {
		t.Errorf("password %q, data_dir %q", string(c.Admin.Password), c.DataDir)
	}
	os.WriteFile(filepath.Join(dir, "large"), make([]byte, 2<<20), 0o600)
	for name, want := range map[string]string{
		"none":  ": cannot be read: no such file or directory; expected a YAML file",
		"large": ": cannot be read: larger than 1MB; expected a YAML file",
		"":      ": cannot be read: is a directory; expected a YAML file",
	} {
		path := filepath.Join(dir, name)
		if _, err := Load(path, nil, nil); err == nil || err.Error() != path+want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	env := []string{"A=1", "BACKSTAMP_CONFIG=/from/env.yaml"}
	for _, c := range []struct {
		flag string
		env  []string
		file bool
		want string
	}{
		{"flag.yaml", env, true, "flag.yaml"},
		{"", env, true, "/from/env.yaml"},
		{"", []string{"BACKSTAMP_CONFIG="}, true, "backstamp.yaml"},
		{"", nil, true, "backstamp.yaml"},
	} {
		if c.file {
			os.WriteFile("backstamp.yaml", nil, 0o600)
		}
		if got := Find(c.flag, c.env); got != c.want {
			t.Errorf("Find(%q, %q) = %q, want %q", c.flag, c.env, got, c.want)
		}
	}
	os.Remove("backstamp.yaml")
	if got := Find("", nil); got != "" && got != "/etc/backstamp/backstamp.yaml" {
		t.Errorf("Find without any file = %q", got)
	}
}

// TestOutline is for those who may not see the secrets: whatever is wrong, what
// can be read is there.
func TestOutline(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "b.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`
spool: spool
nonsense: true
limits: {message: 5MB}
listeners: [{address: "127.0.0.1:2600", clients: [127.0.0.1]}]
accounts: {shop: {login: {username: shop, password: "file:/nowhere/secret"}, providers: {main: {preset: generic, password: "env:NOWHERE"}}}}
`)
	c, err := Outline(file, []string{"BACKSTAMP_DEFAULT_DOMAIN=shop.test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(c.Spool, c.Limits.Message, c.Listeners[0].Address, c.DefaultDomain, c.Limits.Recipients)
	if want := filepath.Join(dir, "spool") + " 5MB 127.0.0.1:2600 shop.test 1000\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	write("listeners: [")
	if c, err := Outline(file, nil, nil); err == nil {
		t.Errorf("read %+v of a file that is no YAML", c)
	}
	if _, err := Outline(filepath.Join(dir, "none.yaml"), nil, nil); err == nil {
		t.Error("read a file that is not there")
	}
}
