package config

import (
	"io"

	"go.yaml.in/yaml/v4"
)

// Print writes the configuration in force as YAML, defaults included and
// secrets redacted.
func (c *Config) Print(w io.Writer) error {
	shown := *c
	shown.Providers = hideTokens(c.Providers)
	shown.Accounts = make(map[string]Account, len(c.Accounts))
	for name, a := range c.Accounts {
		a.Providers = hideTokens(a.Providers)
		shown.Accounts[name] = a
	}
	out, err := yaml.Dump(&shown)
	if err != nil {
		return err
	}
	_, err = w.Write(out)
	return err
}

// hideTokens redacts the logins that are secrets: Postmark's is the token of
// the server.
func hideTokens(providers map[string]Provider) map[string]Provider {
	shown := make(map[string]Provider, len(providers))
	for name, p := range providers {
		if p.Preset == "postmark" {
			p.Username = Secret(p.Username).String()
		}
		shown[name] = p
	}
	return shown
}
