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
	"backstamp/relay/provider"
	"backstamp/web"
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
	conf, h, err := p.tryHouse()
	if err != nil {
		return err
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
	if text := h.certified(); text != "" {
		fmt.Fprintf(p.out, "certificate: %s\n", text)
	}
	fmt.Fprintf(p.out, "ok: %d accounts, %d providers, %d listeners\n", len(conf.Accounts), len(h.providers), len(conf.Listeners))
	return nil
}

// tryHouse builds what the configuration asks for, without keys on disk where
// there are none, for those who only look. The caller closes it.
func (p *program) tryHouse() (*config.Config, *house, error) {
	conf, err := p.load()
	if err != nil {
		return nil, nil, err
	}
	keys, err := spareKeys()
	if err == nil && len(conf.Tracking.Keys) > 0 {
		keys, err = openKeys(conf, p.clock)
	}
	if err != nil {
		return nil, nil, err
	}
	h, err := p.build(conf, keys, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return nil, nil, &exitError{exitUsage, err.Error()}
	}
	return conf, h, nil
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
		var l web.Listener
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
	var bound []net.Listener
	defer func() {
		for _, l := range bound {
			l.Close()
		}
	}()
	try := func(key, address string) {
		if held[address] {
			return
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			errs = append(errs, unbound(conf, key, address, err))
			return
		}
		bound = append(bound, l) // until all are: two of ours may have one address
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

// allProviders lists the providers of a configuration.
func allProviders(conf *config.Config) []provider.Settings {
	b := &builder{conf: conf, house: &house{conf: conf}}
	b.pickProviders()
	return b.house.providers
}
