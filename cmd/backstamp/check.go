package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"backstamp/config"
	"backstamp/mail"
	"backstamp/relay/provider"
)

func (p *program) checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "check", Short: "Read the configuration, and bind and free its ports", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.check(c.Context()) },
	}
	return c
}

// check says all that is wrong, or what is odd. It makes nothing on disk.
func (p *program) check(ctx context.Context) error {
	conf, err := p.load()
	if err != nil {
		return err
	}
	keys, err := spareKeys()
	if err == nil && len(conf.Tracking.Keys) > 0 {
		keys, err = openKeys(conf, p.clock)
	}
	if err != nil {
		return err
	}
	h, err := build(conf, keys, p.clock, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return &exitError{exitUsage, err.Error()}
	}
	defer h.close()
	if err := p.checkPorts(ctx, conf); err != nil {
		return &exitError{exitUsage, err.Error()}
	}
	for _, w := range append(h.warnings, conf.Pending()...) {
		fmt.Fprintf(p.out, "warning: %s\n", w)
	}
	if text := trackingNote(conf, h.providers); text != "" {
		fmt.Fprintf(p.out, "warning: %s\n", text)
	}
	fmt.Fprintf(p.out, "ok: %d accounts, %d providers, %d listeners\n", len(conf.Accounts), len(h.providers), len(conf.Listeners))
	return nil
}

// checkPorts binds and frees every address. Those that the server of this
// data_dir holds count as free.
func (p *program) checkPorts(ctx context.Context, conf *config.Config) error {
	if api := dialServer(conf.DataDir); api != nil {
		defer api.close()
		return p.checkOtherPorts(ctx, conf, api)
	}
	return freePorts(conf, nil)
}

func (p *program) checkOtherPorts(ctx context.Context, conf *config.Config, api *apiClient) error {
	held := map[string]bool{}
	body, err := api.get(ctx, "/listeners", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	err = lines(body, func(line []byte) error {
		var l struct{ Address string }
		if err := unmarshal(line, &l); err != nil {
			return err
		}
		held[l.Address] = true
		return nil
	})
	if err != nil {
		return err
	}
	return freePorts(conf, held)
}

// freePorts reports the addresses that cannot be bound and are not held.
func freePorts(conf *config.Config, held map[string]bool) error {
	var errs config.Errors
	try := func(key, address string) {
		if held[address] {
			return
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			errs = append(errs, unbound(conf, key, address, err))
			return
		}
		l.Close()
	}
	for i, l := range conf.Listeners {
		try(fmt.Sprintf("listeners.%d.address", i), l.Address)
	}
	try("tracking.listen", conf.Tracking.Listen)
	try("admin.listen", conf.Admin.Listen)
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// unbound says that an address cannot be had, and why.
func unbound(conf *config.Config, key, address string, err error) config.Problem {
	return conf.Problem(key, fmt.Sprintf("cannot listen on %s: %v; expected an address of this machine with a free port", address, cause(err)))
}

// cause is the system's word for why.
func cause(err error) error {
	if op, ok := err.(*net.OpError); ok {
		err = op.Err
	}
	if sys, ok := err.(*os.SyscallError); ok {
		err = sys.Err
	}
	return err
}

func (p *program) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Have the server read its configuration again", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.withAPI(c.Context(), func(api *apiClient) error {
				if err := api.post(c.Context(), "/reload", struct{}{}, nil); err != nil {
					return err
				}
				fmt.Fprintln(p.out, "reloaded")
				return nil
			})
		},
	}
}

// allProviders lists the providers of a configuration.
func allProviders(conf *config.Config) []provider.Settings {
	b := &builder{conf: conf, house: &house{conf: conf}}
	b.pickProviders()
	return b.house.providers
}

func (p *program) testCommand() *cobra.Command {
	var to, from string
	var transcript bool
	c := &cobra.Command{
		Use: "test PROVIDER --to ADDR", Short: "Send one message through a provider, step by step", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if to == "" {
				return exitf(exitUsage, "test needs --to ADDR")
			}
			if _, err := mail.ParseAddress(to); err != nil {
				return exitf(exitUsage, "--to: %v", err)
			}
			conf, err := p.load()
			if err != nil {
				return err
			}
			s, err := findProvider(allProviders(conf), args[0])
			if err != nil {
				return err
			}
			return p.test(c.Context(), conf, s, from, to, transcript)
		},
	}
	c.Flags().StringVar(&to, "to", "", "who gets the message, `ADDR`")
	c.Flags().StringVar(&from, "from", "", "who it is from, `ADDR` (else what the account may use)")
	c.Flags().BoolVar(&transcript, "transcript", false, "print what was said, without secrets")
	return p.jsonFlag(c)
}

// findProvider finds one by its name or account/name.
func findProvider(all []provider.Settings, name string) (provider.Settings, error) {
	var found []provider.Settings
	var names []string
	for _, s := range all {
		_, short := splitProvider(s.Name)
		if s.Name == name {
			return s, nil
		}
		if short == name {
			found = append(found, s)
			names = append(names, s.Name)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		for _, s := range all {
			names = append(names, s.Name)
		}
		return provider.Settings{}, exitf(exitUsage, "no provider %q; expected one of %q", name, names)
	}
	return provider.Settings{}, exitf(exitUsage, "provider %q is ambiguous; expected one of %q", name, names)
}

// test sends one message and shows each step.
func (p *program) test(ctx context.Context, conf *config.Config, s provider.Settings, from, to string, transcript bool) error {
	if from == "" {
		from = testSender(conf, s)
	}
	if from == "" {
		return exitf(exitUsage, "%s has no address to send from; give one with --from", s.Name)
	}
	var failed error
	err := provider.Test(ctx, s, provider.TestMail{From: from, To: to}, func(step provider.Step) {
		if p.json {
			failed = writeLine(p.out, newStepRow(step, transcript))
			return
		}
		p.printStep(step, transcript)
	})
	if err == nil {
		return failed
	}
	var explain *mail.Explain
	if e, ok := err.(interface{ Explain() *mail.Explain }); ok {
		explain = e.Explain()
	}
	if !p.json {
		p.explain(s.Name, explain)
	}
	return exitf(exitFailed, "%v", err)
}

// testSender is an address the provider allows: the login, else a sender, else
// the account's default.
func testSender(conf *config.Config, s provider.Settings) string {
	account, name := splitProvider(s.Name)
	settings := conf.Providers[name]
	if account != shared {
		settings = conf.Accounts[account].Providers[name]
	}
	for _, a := range append([]string{s.Username, conf.Accounts[account].DefaultFrom}, settings.Senders...) {
		if _, err := mail.ParseAddress(a); err == nil {
			return a
		}
	}
	return ""
}
