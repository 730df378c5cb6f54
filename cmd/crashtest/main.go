//go:build unix

// Command crashtest kills a mail relay under load, again and again, and tells
// what it lost, sent twice or damaged. docs/reliability.md shows how it is run.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"backstamp/internal/crashtest"
)

const usage = `usage: crashtest --start COMMAND (--relay ADDR | --announce REGEXP) --sink ADDR [flags]

The command must start a relay that sends all mail to the sink. Only what it
started is ever killed. Exit code 1: a promise was broken; 2: it could not run.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := parse(os.Args[1:])
	ok, err := c.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "crashtest:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// A command is the command line.
type command struct {
	start, announce, pidfile, drain, out, points string
	process                                      crashtest.Process
	options                                      crashtest.Options
	form                                         crashtest.Form
	flaky                                        crashtest.Flaky
	sink                                         string
	rough                                        float64
	json                                         bool
	soak                                         time.Duration
	soaking                                      crashtest.Soak
}

func parse(args []string) *command {
	c := &command{}
	f := flag.NewFlagSet("crashtest", flag.ExitOnError)
	f.Usage = func() { fmt.Fprint(f.Output(), usage); f.PrintDefaults() }
	f.StringVar(&c.start, "start", "", "command line that starts the relay, run by sh")
	f.StringVar(&c.process.Addr, "relay", "", "address where the relay takes mail")
	f.StringVar(&c.announce, "announce", "", "regular expression that finds that address in the relay's output instead, in its first group")
	f.StringVar(&c.pidfile, "pidfile", "", "file with the process that the command leaves behind; its group is killed")
	f.StringVar(&c.sink, "sink", "127.0.0.1:2601", "address of the sink")
	f.StringVar(&c.drain, "drain", "", "command line that makes the relay try again what it deferred")
	f.StringVar(&c.out, "out", "crashtest-out", "directory for the ledger, from which a stopped run goes on, and for damaged copies")
	f.StringVar(&c.points, "points", "", "crash points, parted by commas, used in turn; kills come at random times otherwise")
	f.IntVar(&c.options.Pass, "pass", 50, "a crash point counts after up to so many passes")
	f.IntVar(&c.options.Cycles, "cycles", 20, "kills")
	f.IntVar(&c.options.Senders, "senders", 8, "senders at one time")
	f.Float64Var(&c.options.Rate, "rate", 0, "messages a second of all senders together; 0: as fast as they can")
	f.DurationVar(&c.options.Load, "load", 800*time.Millisecond, "longest load before a kill")
	f.DurationVar(&c.options.Quiet, "quiet", time.Minute, "give up a drain after so long without an arrival")
	f.Uint64Var(&c.options.Seed, "seed", uint64(time.Now().UnixNano()), "of all that is random")
	f.Float64Var(&c.rough, "flaky", 0, "share of transactions that the sink refuses, drops before and after the dot (a third each), and answers late")
	f.StringVar(&c.form.From, "from", "app@shop.test", "sender's address")
	f.StringVar(&c.form.To, "to", "example.com", "recipients' domain")
	f.Float64Var(&c.form.HTML, "html", 0.3, "share of messages that are HTML with links")
	f.StringVar(&c.form.Base, "tracking", "", "what the relay's tracking links begin with, if it tracks")
	f.BoolVar(&c.json, "json", false, "print the report as JSON")
	f.DurationVar(&c.soak, "soak", 0, "no kills: steady load for so long (with --rate), sampled")
	f.DurationVar(&c.soaking.Every, "sample", 30*time.Second, "time between two samples of a soak")
	f.StringVar(&c.soaking.Reader, "reader", "", "address of the tracking listener: a soak opens and clicks there")
	f.StringVar(&c.soaking.Metrics, "metrics", "", "URL of the relay's metrics, for goroutines")
	f.StringVar(&c.soaking.Store, "store", "", "directory whose size a soak samples")
	f.Parse(args)
	if c.start == "" || c.process.Addr == "" && c.announce == "" || f.NArg() > 0 {
		f.Usage()
		os.Exit(2)
	}
	return c
}

// run runs what was asked for and reports whether every promise was kept.
func (c *command) run(ctx context.Context) (bool, error) {
	if err := c.prepare(); err != nil {
		return false, err
	}
	ledger, err := crashtest.OpenLedger(c.out, c.form)
	if err != nil {
		return false, err
	}
	defer ledger.Close()
	log, err := os.Create(filepath.Join(c.out, "relay.log"))
	if err != nil {
		return false, err
	}
	defer log.Close()
	c.process.Log = log
	c.options.Ledger, c.options.Relay = ledger, &c.process
	take := ledger.Take
	if c.soak > 0 {
		take = c.soaking.Take(ledger.Take, c.form)
	}
	if c.options.Sink, err = crashtest.Listen(c.sink, c.flaky, take); err != nil {
		return false, err
	}
	defer c.options.Sink.Close()
	if c.soak > 0 {
		c.soaking.For = c.soak
		return c.report(c.soaking.Run(ctx, c.options))
	}
	return c.report(crashtest.Run(ctx, c.options))
}

// prepare turns flags into what the harness wants. The seed of a run that goes
// on is that of its beginning, for the messages follow from it.
func (c *command) prepare() error {
	if err := os.MkdirAll(c.out, 0o700); err != nil {
		return err
	}
	seed := filepath.Join(c.out, "seed")
	if text, err := os.ReadFile(seed); err == nil {
		if c.options.Seed, err = strconv.ParseUint(string(text), 10, 64); err != nil {
			return err
		}
	} else if err := os.WriteFile(seed, strconv.AppendUint(nil, c.options.Seed, 10), 0o600); err != nil {
		return err
	}
	c.form.Seed = c.options.Seed
	c.flaky = crashtest.Flaky{Refuse: c.rough / 3, Before: c.rough / 3, After: c.rough / 3, Delay: c.rough, Seed: c.options.Seed}
	c.process.Command = []string{"sh", "-c", "exec " + c.start}
	c.process.PIDFile = c.pidfile
	if c.drain != "" {
		c.options.Drain = []string{"sh", "-c", c.drain}
	}
	if c.points != "" {
		c.options.Points = strings.Split(c.points, ",")
	}
	c.options.Log = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	if c.announce == "" {
		return nil
	}
	var err error
	c.process.Announce, err = regexp.Compile(c.announce)
	return err
}

// A printable is either kind of report.
type printable interface {
	OK() bool
	Text(io.Writer)
}

func (c *command) report(r printable, err error) (bool, error) {
	if text, err := json.MarshalIndent(r, "", "  "); err == nil {
		os.WriteFile(filepath.Join(c.out, "report.json"), append(text, '\n'), 0o600)
		if c.json {
			fmt.Println(string(text))
		}
	}
	if !c.json {
		r.Text(os.Stdout)
	}
	return r.OK(), err
}
