package config

import (
	"reflect"
	"slices"
	"testing"
)

func TestOverride(t *testing.T) {
	const file = `
tracking: {opens: false, max_url: 300}
accounts:
  web_shop:
    networks: [10.0.0.1]
    providers:
      main: {preset: generic, host: a.example}
`
	env := environ{
		"HOME": "/root", "BACKSTAMP_CONFIG": "x", "BACKSTAMP_CORPUS": "x", "BACKSTAMP_TEST_PEERS": "1", "BACKSTAMPISH": "x",
		"BACKSTAMP_TRACKING_BASE_URL":                            "https://env.example",
		"BACKSTAMP_TRACKING_MAX_URL":                             "400",
		"BACKSTAMP_LIMITS_CONNECTIONS_PER_CLIENT":                "7",
		"BACKSTAMP_LISTENERS_0_ADDRESS":                          "127.0.0.1:0",
		"BACKSTAMP_TRACKING_TRUSTED_PROXIES":                     "[10.0.0.1, 10.0.0.2]",
		"BACKSTAMP_ACCOUNTS_WEB_SHOP_PROVIDERS_MAIN_PASSWORD":    "a: b # c ",
		"BACKSTAMP_ACCOUNTS_WEB_SHOP_PROVIDERS_MAIN_DAILY_LIMIT": "5",
		"BACKSTAMP_ACCOUNTS_WEB_SHOP_LOGIN":                      "{username: u, password: env:PW}",
		"BACKSTAMP_ACCOUNTS_WEB_SHOP_LOGIN_USERNAME":             "v",
		"BACKSTAMP_ACCOUNTS_WEB_SHOP_PROVIDERS_MAIN_HOST":        "",
		"BACKSTAMP_DEFAULT_DOMAIN":                               "${D:-d.example}",
		"PW":                                                     "p",
	}
	s := source{name: "b.yaml", data: []byte(file), env: env, sets: []string{
		"tracking.max_url=500", "tracking.max_url=600", "accounts.web_shop.networks.0=10.0.0.9", "providers={x: {preset: capture}}", "providers.x.region=r",
	}}
	c, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	shop := c.Accounts["web_shop"]
	for _, w := range []struct{ got, want any }{
		{c.Tracking.BaseURL, "https://env.example"},
		{c.Tracking.Opens, false},
		{c.Tracking.MaxURL, 600},
		{c.Limits.ConnectionsPerClient, 7},
		{c.Limits.Recipients, 1000},
		{c.Listeners[0].Address, "127.0.0.1:0"},
		{c.Listeners[0].Clients, prefixes("127.0.0.0/8", "::1/128")},
		{c.Tracking.TrustedProxies, prefixes("10.0.0.1/32", "10.0.0.2/32")},
		{shop.Networks, prefixes("10.0.0.9/32")},
		{shop.Login, Login{"v", "p"}},
		{shop.Providers["main"], Provider{Preset: "generic", Password: "a: b # c ", DailyLimit: 5}},
		{c.Providers["x"], Provider{Preset: "capture", Region: "r"}},
		{c.DefaultDomain, "d.example"},
	} {
		if !reflect.DeepEqual(w.got, w.want) {
			t.Errorf("%+v, want %+v", w.got, w.want)
		}
	}
}

// Overrides fill blocks that the file leaves empty, and do not hide mistakes.
func TestOverrideEmptyBlock(t *testing.T) {
	c := mustLoad(t, "admin:\ntracking: {exclude: }\n", "admin.listen=127.0.0.1:1", "tracking.exclude.domains=[a.example]")
	if c.Admin.Listen != "127.0.0.1:1" || !slices.Equal(c.Tracking.Exclude.Domains, []string{"a.example"}) {
		t.Errorf("%+v %+v", c.Admin, c.Tracking.Exclude)
	}
	if _, err := load("[1]", "admin.listen=127.0.0.1:1"); err == nil {
		t.Error("a file that is a list was loaded")
	}
}

// No two keys of the schema are spelled alike as variables.
func TestVariablesAreDistinct(t *testing.T) {
	seen := map[string]string{}
	tree := newTree(nil)
	tree.standIn()
	for _, k := range tree.keys() {
		name := variable(k.path)
		if other, ok := seen[name]; ok {
			t.Errorf("%s is both %s and %s", name, other, dotted(k.path))
		}
		if reserved(name) {
			t.Errorf("%s is reserved and a key", name)
		}
		seen[name] = dotted(k.path)
	}
	if len(seen) < 100 {
		t.Errorf("%d variables only", len(seen))
	}
}
