package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backstamp/config"
	"backstamp/internal/near"
	"backstamp/mail"
	"backstamp/relay/provider"
	"backstamp/relay/provider/catalogue"
	"backstamp/web"
)

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
		return provider.Settings{}, exitf(exitUsage, "no provider %q; %s", name, near.Hint(name, names))
	}
	return provider.Settings{}, exitf(exitUsage, "provider %q is ambiguous; expected %s", name, near.List(names))
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
			failed = writeLine(p.out, p.stepRow(step, transcript))
			return
		}
		p.printStep(step, transcript)
	})
	if err == nil {
		return failed
	}
	if !p.json {
		p.explain(s.Name, catalogue.Shown(explained(err), p.language()))
	}
	return exitf(exitFailed, "%v", err)
}

// explained names what an error means, or is nil.
func explained(err error) *mail.Explain {
	if e, ok := errors.AsType[interface {
		error
		Explain() *mail.Explain
	}](err); ok {
		return e.Explain()
	}
	return nil
}

// testSender is an address that the provider allows: the login, else the
// account's default, else a sender, else the postmaster of a domain that may
// send, of our own where any may.
func testSender(conf *config.Config, s provider.Settings) string {
	account, name := splitProvider(s.Name)
	settings := conf.Providers[name]
	if account != shared {
		settings = conf.Accounts[account].Providers[name]
	}
	login := ""
	if s.LoginIsMailbox() {
		login = s.Login()
	}
	addresses := append([]string{login, conf.Accounts[account].DefaultFrom}, settings.Senders...)
	for _, pattern := range settings.Senders {
		domain := pattern[strings.LastIndexByte(pattern, '@')+1:]
		addresses = append(addresses, "postmaster@"+strings.TrimPrefix(domain, "*."))
	}
	for _, a := range append(addresses, "postmaster@"+hostname(conf)) {
		if _, err := mail.ParseAddress(a); err == nil && !strings.Contains(a, "*") {
			return a
		}
	}
	return ""
}

// A stepRow is one step of test, as JSON.
type stepRow struct {
	Step       string          `json:"step"`
	OK         bool            `json:"ok"`
	Skipped    *string         `json:"skipped"`
	Seconds    float64         `json:"seconds"`
	Reply      *string         `json:"reply"`
	Error      *string         `json:"error"`
	Explain    *web.ExplainRow `json:"explain"`
	Transcript []string        `json:"transcript,omitempty"`
}

func (p *program) stepRow(s provider.Step, transcript bool) stepRow {
	row := stepRow{Step: s.Name, OK: s.Err == nil, Skipped: textOrNull(s.Skipped), Seconds: s.Duration.Seconds(), Reply: textOrNull(s.Reply)}
	if s.Err != nil {
		row.Error, row.Explain = textOrNull(s.Err.Error()), web.NewExplainRow(explained(s.Err), p.language())
	}
	if transcript {
		row.Transcript = s.Transcript
	}
	return row
}

func (p *program) printStep(s provider.Step, transcript bool) {
	verdict := "ok"
	switch {
	case s.Err != nil:
		verdict = "failed: " + s.Err.Error()
	case s.Skipped != "":
		verdict = "skipped: " + s.Skipped
	}
	fmt.Fprintf(p.out, "%-5s %8s  %s\n", s.Name, s.Duration.Round(100*time.Microsecond), mail.Escape(verdict))
	if transcript {
		for _, line := range s.Transcript {
			fmt.Fprintf(p.out, "        %s\n", mail.Escape(line))
		}
	}
}
