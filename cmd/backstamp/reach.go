package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"backstamp/config"
	"backstamp/relay/provider"
)

// reachMax is how long the tracking URL may take to answer.
const reachMax = 10 * time.Second

// examineTracking looks at the address that links get, and whether it leads to
// a tracking listener.
func (p *program) examineTracking(ctx context.Context, conf *config.Config, providers []provider.Settings) symptom {
	base := baseURL(conf)
	f := symptom{check: "tracking", subject: base, state: fine}
	if conf.Tracking.Privacy == "off" {
		f.text = "tracking is off"
		return f
	}
	start := p.clock.Now()
	err := p.reach(ctx, base)
	f.took = p.clock.Now().Sub(start)
	f.text = "a tracking listener answers"
	if err != nil {
		f.text = fmt.Sprintf("no tracking listener answers: %v", err)
	}
	server := dialServer(conf.DataDir)
	if server != nil {
		server.close()
	}
	switch {
	case trackingNote(conf, providers) != "":
		f.text = scope(conf) + "; " + f.text
		return f.because(doubted, "base-url")
	case err != nil && server == nil:
		return f.because(doubted, "no-server")
	case err != nil:
		return f.because(bad, "unreachable")
	case !private(base) && !strings.HasPrefix(base, "https:"):
		return f.because(doubted, "base-url-http")
	}
	return f
}

// scope says whom a base URL that is not public serves.
func scope(conf *config.Config) string {
	if conf.Tracking.BaseURL == "" {
		return "tracking.base_url is not set"
	}
	return "tracking.base_url is an address of this machine or network"
}

// reach asks for /livez under a base URL, as a reader would ask for a link, and
// says why the answer is not that of a tracking listener.
func (p *program) reach(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reachMax, fmt.Errorf("no answer within %v", reachMax))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/livez", nil)
	if err != nil {
		return err
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: p.roots}, DisableKeepAlives: true}
	answer, err := t.RoundTrip(r)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if to := answer.Header.Get("Location"); to != "" {
		return fmt.Errorf("GET /livez is answered %d and sent on to %q", answer.StatusCode, to)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || strings.TrimSpace(string(text)) != "ok" {
		return fmt.Errorf("GET /livez is answered %d by something else", answer.StatusCode)
	}
	return nil
}
