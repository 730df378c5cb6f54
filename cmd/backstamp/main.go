// Command backstamp is a local SMTP relay with tracking. This package joins
// the rooms: it reads the configuration, wires them together, and speaks with
// people. Nothing here knows mail.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"backstamp/internal/clock"
	"backstamp/relay/sender"
)

// Exit codes of every command.
const (
	exitDone     = 0
	exitFailed   = 1 // failed, or not found
	exitUsage    = 2 // usage, or bad configuration
	exitDegraded = 3 // nothing to do, or degraded
)

// An exitError ends a command with a code. Its text, when not empty, goes to
// standard error as it is.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

func exitf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Sprintf(format, args...)}
}

// A program is one run of the command, with everything that it touches of the
// world outside; tests run it in-process.
type program struct {
	in       io.Reader
	out, err io.Writer
	env      []string
	clock    clock.Clock
	level    slog.Level      // of serve's log; zero: what concerns operators
	roots    *x509.CertPool  // of providers' certificates; nil: those of the system
	dns      sender.Resolver // that doctor asks about domains; nil: that of the system
	// signals begins to deliver what SIGHUP, SIGTERM and SIGINT ask of serve;
	// other commands end by them as any program does.
	signals func() <-chan os.Signal
	// ready, when not nil, is told the addresses once serve has bound them.
	ready func(addresses)

	configFile string
	sets       []string
	lang       string
	json       bool
}

func main() {
	signals := func() <-chan os.Signal {
		c := make(chan os.Signal, 4)
		signal.Notify(c, serveSignals...)
		return c
	}
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Environ(), clock: clock.System{}, signals: signals}
	os.Exit(p.run(context.Background(), calledAs(os.Args)))
}

// calledAs returns the arguments with the command that the name of the program
// stands for.
func calledAs(args []string) []string {
	switch name := strings.TrimSuffix(filepath.Base(args[0]), ".exe"); name {
	case "sendmail":
		return append([]string{"sendmail"}, args[1:]...)
	case "mailq":
		return append([]string{"sendmail", "-bp"}, args[1:]...)
	case "newaliases":
		return append([]string{"sendmail", "-bi"}, args[1:]...)
	}
	return args[1:]
}

// run executes one command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		// What is left are cobra's own: unknown commands, flags and arguments.
		exit = &exitError{exitUsage, err.Error()}
	}
	if exit.text != "" {
		fmt.Fprintln(p.err, exit.text)
	}
	return exit.code
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "backstamp",
		Short: "A local SMTP relay with tracking",
		Long: `Backstamp takes mail over SMTP on this machine, adds an open pixel and click
redirects to the HTML, relays it through the provider account you have, and
records what became of every message and link.

Start with: backstamp serve`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			c.Help()
			return nil
		},
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if p.lang != "" && p.lang != "en" && p.lang != "ko" {
				return exitf(exitUsage, "--lang %q is not known; expected en or ko", p.lang)
			}
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&p.configFile, "config", "", "configuration `FILE` (else BACKSTAMP_CONFIG, ./backstamp.yaml, /etc/backstamp/backstamp.yaml)")
	flags.StringArrayVar(&p.sets, "set", nil, "override one `KEY=VALUE` of the configuration")
	flags.StringVar(&p.lang, "lang", "", "language, en or ko (else LC_ALL, LC_MESSAGES, LANG)")

	root.AddCommand(
		p.serveCommand(), p.reloadCommand(), p.checkCommand(), p.statusCommand(), p.clientsCommand(),
		p.messagesCommand(), p.showCommand(), p.eventsCommand(), p.queueCommand(),
		p.rewriteCommand(), p.simulateCommand(), p.testCommand(), p.doctorCommand(), p.selftestCommand(), p.keysCommand(), p.backupCommand(), p.compactCommand(), p.providersCommand(), p.sendmailCommand(), p.versionCommand(),
	)
	for _, name := range []string{"auth", "erase", "suppress", "man"} {
		root.AddCommand(laterCommand(name))
	}
	return root
}

// knownCommand refuses what is no command, with the nearest name.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	if c.SuggestionsMinimumDistance = 2; len(c.SuggestionsFor(args[0])) > 0 {
		text += fmt.Sprintf("; did you mean %s?", c.SuggestionsFor(args[0])[0])
	}
	return exitf(exitUsage, "%s; expected one that backstamp --help lists", text)
}

// laterCommand is a command of the contract that this version does not have.
func laterCommand(name string) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return exitf(exitUsage, "the command %s is not available in this version", name)
		},
	}
}

// language is that of --lang, else of the environment: "ko" or "en".
func (p *program) language() string {
	for _, lang := range []string{p.lang, p.getenv("LC_ALL"), p.getenv("LC_MESSAGES"), p.getenv("LANG")} {
		if strings.HasPrefix(lang, "ko") {
			return "ko"
		}
		if lang != "" {
			break
		}
	}
	return "en"
}

// jsonFlag gives a command --json.
func (p *program) jsonFlag(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&p.json, "json", false, "one JSON object a line")
	return c
}

// getenv reads the environment the program was given.
func (p *program) getenv(name string) string {
	for i := len(p.env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(p.env[i], name+"="); ok {
			return v
		}
	}
	return ""
}
