package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/config"
	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/relay/provider"
	"backstamp/store"
	"backstamp/store/bolt"
	"backstamp/track"
	"backstamp/web"
)

// configuration reads the configuration that the command line and the
// environment name.
func (p *program) configuration() (*config.Config, error) {
	path := config.Find(p.configFile, p.env)
	conf, err := config.Load(path, p.env, p.sets)
	if known, ok := errors.AsType[config.Errors](err); ok {
		err = p.mistakes(path, known)
	}
	return conf, err
}

// load is configuration for commands, which end when something is wrong.
func (p *program) load() (*config.Config, error) {
	conf, err := p.configuration()
	if err != nil {
		return nil, &exitError{exitUsage, err.Error()}
	}
	return conf, nil
}

// keysDir is where the signing keys lie.
func keysDir(conf *config.Config) string { return filepath.Join(conf.DataDir, "keys") }

// openKeys reads the signing keys: those of the configuration if it has any,
// else those in data_dir. Links that were signed with the latter keep working
// when the former take over.
func openKeys(conf *config.Config, clk clock.Clock) (*track.Keys, error) {
	if len(conf.Tracking.Keys) == 0 {
		keys, err := track.OpenKeys(keysDir(conf), clk)
		if err != nil {
			return nil, exitf(exitFailed, "%v", err)
		}
		return keys, nil
	}
	texts := make([]string, len(conf.Tracking.Keys))
	for i, k := range conf.Tracking.Keys {
		texts[i] = string(k)
	}
	if _, err := os.Stat(keysDir(conf)); err == nil {
		old, err := track.OpenKeys(keysDir(conf), clk)
		if err != nil {
			return nil, exitf(exitFailed, "%v", err)
		}
		for _, text := range old.Export() {
			if !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
		}
	}
	keys, err := track.NewKeys(texts)
	if err != nil {
		return nil, exitf(exitUsage, "%v", place(conf, err))
	}
	return keys, nil
}

// spareKeys are for commands that must not make any on disk.
func spareKeys() (*track.Keys, error) {
	return track.NewKeys([]string{track.GenerateKey()})
}

func trackSettings(conf *config.Config) track.Settings {
	t := conf.Tracking
	return track.Settings{
		TrustedProxies: t.TrustedProxies, WholeAddresses: t.Addresses == "whole", ClassesFile: t.Classes,
		Ranges: filepath.Join(conf.DataDir, "ranges"), Spill: filepath.Join(conf.DataDir, "events.spill"),
	}
}

// withAPI runs do with a client of the private API: of the server that runs on
// data_dir, else of a handler mounted on the store, opened for reading.
func (p *program) withAPI(ctx context.Context, do func(*apiClient) error) error {
	conf, err := p.load()
	if err != nil {
		return err
	}
	api := dialServer(conf.DataDir)
	if api == nil {
		if api, err = p.mount(ctx, conf); err != nil {
			return err
		}
	}
	api.lang = p.language()
	defer api.close()
	return do(api)
}

// openStore opens the store for a command that found no server.
func (p *program) openStore(conf *config.Config, readOnly bool) (*bolt.Store, error) {
	s, err := bolt.Open(conf.DataDir, bolt.Options{Clock: p.clock, ReadOnly: readOnly})
	switch {
	case errors.Is(err, store.ErrNone):
		return nil, exitf(exitFailed, "no store in %s", conf.DataDir)
	case errors.Is(err, store.ErrLocked):
		return nil, exitf(exitFailed, "data_dir %s is in use, and its server does not answer", conf.DataDir)
	case err != nil:
		return nil, exitf(exitFailed, "%v", err)
	}
	return s, nil
}

// mount serves the API on the store for as long as one command runs.
func (p *program) mount(ctx context.Context, conf *config.Config) (*apiClient, error) {
	s, err := p.openStore(conf, true)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(p.err, nil))
	reg := prometheus.NewRegistry()
	keys, err := openKeys(conf, p.clock)
	if err != nil {
		s.Close()
		return nil, err
	}
	house, err := p.build(conf, keys, log, reg)
	if err != nil {
		s.Close()
		return nil, &exitError{exitUsage, err.Error()}
	}
	h := web.New(web.Settings{}, s, web.Actions{
		Renderer: house.renderer, Linker: keys,
		Providers: func(ctx context.Context) ([]web.Provider, error) {
			states, err := s.Providers(ctx)
			if err != nil {
				return nil, err
			}
			return providerStates(ctx, s, house.providers, states, p.clock.Now())
		},
	}, p.clock.Now, log, reg)
	return mountLocal(h.Local(), func() {
		house.close()
		s.Close()
	}), nil
}

// A counter knows what a credential spent.
type counter interface {
	Spent(ctx context.Context, credential string, since time.Time) ([]store.Spent, error)
}

// providerStates joins the providers of the configuration with the states of
// their credentials, and what these sent in the day that their limit counts by:
// the last 24 hours, or since midnight where the provider lives.
func providerStates(ctx context.Context, c counter, providers []provider.Settings, states []store.ProviderState, now time.Time) ([]web.Provider, error) {
	by := map[string]store.ProviderState{}
	for _, s := range states {
		by[s.Credential] = s
	}
	out := make([]web.Provider, len(providers))
	for i, s := range providers {
		account, name := splitProvider(s.Name)
		l := quota(s)
		minutes, err := c.Spent(ctx, s.Credential(), l.Day(now))
		if err != nil {
			return nil, err
		}
		out[i] = web.Provider{
			Account: account, Name: name, Preset: s.Preset, Sent: l.Spent(minutes), Limit: l.Daily, State: by[s.Credential()],
		}
	}
	return out, nil
}

// readers lets the API play readers.
type readers struct{ handler *track.Handler }

func (s readers) Simulate(ctx context.Context, url, actor string) (web.Hit, error) {
	hit, err := s.handler.Simulate(ctx, url, actor)
	return web.Hit{Status: hit.Status, Location: hit.Location, Class: hit.Class, Rule: hit.Rule}, err
}

// currentRenderer renders by the configuration in force.
type currentRenderer struct{ server *server }

func (r currentRenderer) Render(m *mail.Message, content mail.Content, recipient int, provider string) (mail.Copy, error) {
	return r.server.current().renderer.Render(m, content, recipient, provider)
}

// trackingNote says in one line why mail is not tracked that could be, and
// what mends it.
func trackingNote(conf *config.Config, providers []provider.Settings) string {
	if conf.Tracking.Privacy == "off" || !private(baseURL(conf)) {
		return ""
	}
	for _, s := range providers {
		if !s.Local() {
			return fmt.Sprintf("mail through %s is relayed untracked (no-base-url): %s cannot be reached by its readers; set tracking.base_url to the public https address of the tracking listener", s.Name, baseURL(conf))
		}
	}
	return ""
}

func (p *program) trackingNote() string {
	conf, err := p.load()
	if err != nil {
		return ""
	}
	return trackingNote(conf, allProviders(conf))
}
