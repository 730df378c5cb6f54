// Package config reads the YAML file that says what Backstamp does. Load
// returns a complete value, with defaults and overrides applied and secrets
// resolved, or every mistake at once, each with its line. What a setting means
// is for the room it goes to: Where and Problem place that room's complaints.
package config

import (
	"net/netip"
	"strings"
)

// The tags of the fields below are the whole schema:
//
//	yaml     the key
//	default  its value where the file says nothing
//	need     what is expected where the key is required and may not be empty
//	one      the words that it may be
//	later    words, or with a block what to use instead, of a later version
//	is       a kind of string, see kindOf
//	min, max the range of a number, size or duration

// Config is the whole configuration, key by key as config.example.yaml explains
// it. It is read-only once loaded.
type Config struct {
	Hostname      string              `yaml:"hostname,omitempty" is:"hostname"`              // EHLO name upstream; "" is the machine's
	DataDir       string              `yaml:"data_dir" default:"./backstamp-data" is:"path"` //
	Store         string              `yaml:"store" default:"bolt" is:"store"`               //
	Spool         string              `yaml:"spool,omitempty" is:"path"`                     // of sendmail; "" is spool in DataDir
	Retention     Retention           `yaml:"retention"`                                     //
	DefaultDomain string              `yaml:"default_domain,omitempty" is:"domain"`          // completes addresses without a domain
	Limits        Limits              `yaml:"limits"`                                        //
	Listeners     []Listener          `yaml:"listeners" need:"at least one listener"`        //
	Tracking      Tracking            `yaml:"tracking"`                                      //
	Admin         Admin               `yaml:"admin"`                                         //
	DKIM          []DKIM              `yaml:"dkim,omitempty"`                                //
	Clients       map[string]Client   `yaml:"clients,omitempty"`                             //
	Providers     map[string]Provider `yaml:"providers,omitempty"`                           // shared by all accounts
	Accounts      map[string]Account  `yaml:"accounts" need:"at least one account"`          //
	Webhooks      map[string]Webhook  `yaml:"webhooks,omitempty" later:"none"`               //

	file  string           // the file, or builtin
	set   map[string]place // the keys that were given, by path
	names map[string][]string
	plain []string // secrets that stand in the file itself
}

// Retention is how long content and events are kept. Zero keeps them for ever.
type Retention struct {
	Content Duration `yaml:"content" default:"30d"`
	Events  Duration `yaml:"events" default:"400d"`
}

// Limits bounds what one client may ask for.
type Limits struct {
	Message              Size     `yaml:"message" default:"64MB" min:"1" max:"2GB"`
	Recipients           int      `yaml:"recipients" default:"1000" min:"1" max:"65535"`
	Connections          int      `yaml:"connections" default:"1000" min:"1" max:"1000000"`
	ConnectionsPerClient int      `yaml:"connections_per_client" default:"100" min:"1" max:"1000000"`
	LoginFailures        int      `yaml:"login_failures" default:"5" min:"1" max:"1000"`
	Read                 Duration `yaml:"read" default:"60s" min:"1ms" max:"1d"`
	Idle                 Duration `yaml:"idle" default:"5m" min:"1ms" max:"1d"`
	Session              Duration `yaml:"session" default:"1h" min:"1ms" max:"30d"`
}

// A Listener is one address on which apps submit mail.
type Listener struct {
	Address       string         `yaml:"address" is:"address" need:"an address such as 127.0.0.1:2525"`
	TLS           string         `yaml:"tls" default:"off" one:"off|starttls|implicit"`
	Clients       []netip.Prefix `yaml:"clients,omitempty"`
	Auth          string         `yaml:"auth" default:"optional" one:"off|optional|required"`
	Legacy        bool           `yaml:"legacy" default:"true"`
	Cert          string         `yaml:"cert,omitempty" is:"path"`
	Key           string         `yaml:"key,omitempty" is:"path"`
	MinTLS        string         `yaml:"min_tls" default:"1.2" one:"1.0|1.1|1.2|1.3"`
	ProxyProtocol []netip.Prefix `yaml:"proxy_protocol,omitempty"`
}

// Tracking says what is tracked and where readers' hits arrive. BaseURL has no
// slash at its end; "" means http:// and the address of Listen.
type Tracking struct {
	BaseURL        string         `yaml:"base_url,omitempty" is:"url"`
	BaseURLsOld    []string       `yaml:"base_urls_old,omitempty" is:"url"`
	MaxURL         int            `yaml:"max_url" default:"2000" min:"200" max:"16384"`
	Listen         string         `yaml:"listen" default:"127.0.0.1:8080" is:"address"`
	TLS            string         `yaml:"tls" default:"off" one:"off" later:"files|acme"`
	Cert           string         `yaml:"cert,omitempty" is:"path"`
	Key            string         `yaml:"key,omitempty" is:"path"`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies,omitempty"`
	Keys           []Secret       `yaml:"keys,omitempty"` // newest first
	Opens          bool           `yaml:"opens" default:"true"`
	Clicks         bool           `yaml:"clicks" default:"true"`
	Recipients     string         `yaml:"recipients" default:"split" one:"split|shared"`
	Pixel          string         `yaml:"pixel" default:"bottom" one:"bottom|top"`
	Addresses      string         `yaml:"addresses" default:"cut" one:"cut|whole"`
	Privacy        string         `yaml:"privacy" default:"identified" one:"identified|off" later:"pseudonymous|anonymous"`
	Exclude        Exclude        `yaml:"exclude,omitempty"`
	Classes        string         `yaml:"classes,omitempty" is:"path"`
}

// trim takes the slashes off the ends of the base URLs.
func (t *Tracking) trim() {
	t.BaseURL = strings.TrimRight(t.BaseURL, "/")
	for i, u := range t.BaseURLsOld {
		t.BaseURLsOld[i] = strings.TrimRight(u, "/")
	}
}

// Exclude lists the links that are left alone.
type Exclude struct {
	Domains   []string `yaml:"domains,omitempty" is:"text"`
	Selectors []string `yaml:"selectors,omitempty" is:"text"`
	Patterns  []string `yaml:"patterns,omitempty" is:"text"`
}

// Admin is the private page and API.
type Admin struct {
	Listen   string `yaml:"listen" default:"127.0.0.1:8025" is:"address"`
	Password Secret `yaml:"password,omitempty"`
}

// DKIM is the key that signs mail of one domain. Key is the PEM text.
type DKIM struct {
	Domain   string `yaml:"domain" is:"domain" need:"the domain to sign for"`
	Selector string `yaml:"selector" is:"domain" need:"the selector under _domainkey"`
	Key      Secret `yaml:"key" need:"a private key in PEM, as file:/path"`
}

// A Client is the policy for the machines of some networks. It admits nobody.
type Client struct {
	Networks []netip.Prefix `yaml:"networks" need:"networks such as [10.0.5.0/24]"`
	From     string         `yaml:"from,omitempty" is:"mailbox"`
	Charset  string         `yaml:"charset,omitempty"`
	Tracking string         `yaml:"tracking,omitempty" one:"off|opens|clicks|both"`
	Legacy   bool           `yaml:"legacy" default:"false"`
	MaxSize  Size           `yaml:"max_size,omitempty" min:"1" max:"2GB"`
	Rate     Rate           `yaml:"rate,omitempty"`
}

// An Account is who submits: a login, some networks, or both.
type Account struct {
	Login           Login               `yaml:"login,omitempty"`
	Networks        []netip.Prefix      `yaml:"networks,omitempty"`
	DefaultFrom     string              `yaml:"default_from,omitempty" is:"mailbox"`
	DefaultProvider string              `yaml:"default_provider,omitempty"`
	Align           string              `yaml:"align" default:"reject" one:"reject|rewrite|warn"`
	Reply           string              `yaml:"reply" default:"queued" one:"queued|upstream"`
	Notices         Notices             `yaml:"notices"`
	Expire          Duration            `yaml:"expire" default:"96h" min:"1s" max:"365d"`
	Failover        Failover            `yaml:"failover"`
	ProviderHeaders bool                `yaml:"provider_headers" default:"false"`
	Locked          bool                `yaml:"locked" default:"false"`
	Providers       map[string]Provider `yaml:"providers,omitempty"`
}

// Login is what an app authenticates with. An empty Username means none.
type Login struct {
	Username string `yaml:"username" need:"the login of the app"`
	Password Secret `yaml:"password" need:"its password"`
}

// Notices says who hears of mail that failed, and of mail unsent for Delayed;
// zero is never.
type Notices struct {
	To      string   `yaml:"to" default:"sender" is:"notice"`
	Delayed Duration `yaml:"delayed" default:"0s"`
}

// Failover is after how long mail goes on to the next provider.
type Failover struct {
	Unreachable Duration `yaml:"unreachable" default:"5m"`
	Held        Duration `yaml:"held" default:"15m"`
}

// A Provider is an upstream account. Zero values are the preset's.
type Provider struct {
	Preset      string   `yaml:"preset" need:"a preset such as gmail, ses, generic or capture"`
	Host        string   `yaml:"host,omitempty" is:"host"`
	Port        int      `yaml:"port,omitempty" min:"1" max:"65535"`
	TLS         string   `yaml:"tls,omitempty" one:"off|starttls|implicit"`
	Username    string   `yaml:"username,omitempty"`
	Password    Secret   `yaml:"password,omitempty"`
	OAuth       *OAuth   `yaml:"oauth,omitempty" later:"username and password"`
	Senders     []string `yaml:"senders,omitempty" is:"text"`
	DailyLimit  int      `yaml:"daily_limit,omitempty" min:"1" max:"1000000000"`
	Rate        Rate     `yaml:"rate,omitempty"`
	Connections int      `yaml:"connections,omitempty" min:"1" max:"1000"`
	Region      string   `yaml:"region,omitempty"`
	After       string   `yaml:"after,omitempty"`
}

// OAuth is how a provider's access tokens are got.
type OAuth struct {
	Grant        string `yaml:"grant" one:"refresh_token|client_credentials|service_account|device" need:"a grant such as client_credentials"`
	ClientID     string `yaml:"client_id,omitempty"`
	ClientSecret Secret `yaml:"client_secret,omitempty"`
	RefreshToken Secret `yaml:"refresh_token,omitempty"`
	Key          Secret `yaml:"key,omitempty"`
	Tenant       string `yaml:"tenant,omitempty"`
	TokenURL     string `yaml:"token_url,omitempty"`
	Scope        string `yaml:"scope,omitempty"`
}

// A Webhook is an endpoint that hears of events.
type Webhook struct {
	URL          string   `yaml:"url" is:"text" need:"a URL such as https://crm.example.com/hook"`
	Secret       Secret   `yaml:"secret,omitempty"`
	Events       []string `yaml:"events,omitempty" is:"text"`
	Format       string   `yaml:"format" default:"standard"`
	AllowPrivate bool     `yaml:"allow_private" default:"false"`
}

// Names returns the names in the block at key, such as accounts or
// accounts.shop.providers, in the order of the file.
func (c *Config) Names(key string) []string { return c.names[key] }

// PlainSecrets returns the keys of the secrets that stand in the file itself,
// not in one of their own or in the environment.
func (c *Config) PlainSecrets() []string { return c.plain }
