package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"backstamp/internal/simulator"
	"backstamp/mail"
)

// A simulation is the command simulate provider.
type simulation struct {
	*program
	opts                simulator.Options
	listen, certificate string
	logins, troubles    []string
	list, verbose       bool
}

func (p *program) simulateProviderCommand() *cobra.Command {
	s := &simulation{program: p}
	c := &cobra.Command{
		Use: "provider PRESET", Short: "Play a provider's SMTP server", Args: cobra.ExactArgs(1),
		Long: `Plays the SMTP server of a provider on this machine: its EHLO, its logins, who
may send, how much, and its replies word for word. It sends nothing on. The
first line it prints is the address it bound; it runs until it is stopped.

Point a provider of the configuration at it: host 127.0.0.1, the port, tls "off".

Any login of the provider's form is accepted, unless its password is "wrong",
or --login names those that are. Limits are the provider's own, in one account,
and -1 is none. Where the provider knows senders, all are registered, unless
--sender names those that are; mailbox providers know the login alone.

A trouble is a refusal that comes whatever the rules say; --list shows those of
a preset. Every preset also has close-STAGE, which ends the connection without
a word, and hang-STAGE, which says nothing more; STAGE is banner, auth, mail,
rcpt, data or dot (the final one).`,
		Example: `  backstamp simulate provider gmail --daily 3
  backstamp simulate provider ses --trouble rate-limit,after=10,times=5
  backstamp simulate provider microsoft365 --login me@example.com:secret --trouble smtp-auth-off-tenant
  backstamp simulate provider zoho --trouble close-dot,times=1 --verbose`,
		RunE: func(c *cobra.Command, args []string) error {
			s.opts.Preset = args[0]
			if s.list {
				return s.printTroubles()
			}
			return s.serve(c)
		},
	}
	s.flags(c)
	return p.jsonFlag(c)
}

func (s *simulation) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:0", "the `ADDR` to listen on; port 0: any that is free")
	f.StringVar(&s.opts.Mode, "tls", simulator.Off, "as the provider's tls in the configuration: off, starttls or implicit")
	f.StringVar(&s.certificate, "write-cert", "", "with tls, write the certificate to `FILE`; on Linux, serve trusts it with SSL_CERT_FILE=FILE")
	f.StringArrayVar(&s.logins, "login", nil, "a `USER:PASSWORD` that is accepted")
	f.StringArrayVar(&s.opts.Senders, "sender", nil, "an `ADDR` or @domain that may send besides the login")
	f.IntVar(&s.opts.Limits.Day, "daily", 0, "`N` messages, or recipients where the provider counts those, in 24 hours")
	f.IntVar(&s.opts.Limits.Minute, "per-minute", 0, "throttle after `N` messages in a minute")
	f.IntVar(&s.opts.Limits.Second, "per-second", 0, "throttle after `N` messages in a second")
	f.IntVar(&s.opts.Limits.Connections, "connections", 0, "`N` connections at once")
	f.IntVar(&s.opts.Limits.PerConnection, "per-connection", 0, "`N` messages on a connection")
	f.IntVar(&s.opts.Limits.Recipients, "recipients", 0, "`N` recipients of a message")
	f.Int64Var(&s.opts.Limits.Size, "size", 0, "messages of at most `N` octets")
	f.DurationVar(&s.opts.Limits.Idle, "idle", 0, "the longest silence of a client, a `DURATION`")
	f.StringArrayVar(&s.troubles, "trouble", nil, "play `NAME[,after=N][,times=N]`: after N messages were taken, N times")
	f.BoolVar(&s.list, "list", false, "show the troubles of the preset, with stage and reply, and end")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "print what becomes of every message, a line each")
}

func (s *simulation) printTroubles() error {
	d, err := simulator.Load(s.opts.Preset)
	if err != nil {
		return exitf(exitUsage, "%v", err)
	}
	t := s.table("name", "stage", "reply")
	for _, name := range d.Troubles() {
		r, _ := d.Refusal(name)
		if s.json {
			row := map[string]any{"name": name, "stage": r.Stage, "reply": r.Text, "close": r.Close, "source": r.Source}
			if err := writeLine(s.out, row); err != nil {
				return err
			}
			continue
		}
		first, _, _ := strings.Cut(r.Text, "\n")
		t.row(name, r.Stage, first)
	}
	return t.flush(s.out)
}

func (s *simulation) serve(c *cobra.Command) error {
	server, err := s.server()
	if err != nil {
		return exitf(exitUsage, "%v", err)
	}
	ln, err := net.Listen("tcp", s.listen)
	if err != nil {
		return exitf(exitUsage, "%v", err)
	}
	fmt.Fprintln(s.out, ln.Addr())
	if err := server.Serve(c.Context(), ln); err != nil {
		return exitf(exitFailed, "%v", err)
	}
	return nil
}

// server makes what the flags ask for.
func (s *simulation) server() (*simulator.Server, error) {
	for _, text := range s.logins {
		user, password, ok := strings.Cut(text, ":")
		if !ok {
			return nil, fmt.Errorf("--login has no password; expected USER:PASSWORD")
		}
		if s.opts.Logins == nil {
			s.opts.Logins = map[string]string{}
		}
		s.opts.Logins[user] = password
	}
	for _, text := range s.troubles {
		t, err := simulator.ParseTrouble(text)
		if err != nil {
			return nil, err
		}
		s.opts.Troubles = append(s.opts.Troubles, t)
	}
	var err error
	if s.opts.TLS, err = s.encryption(); err != nil {
		return nil, err
	}
	s.opts.Clock = s.clock
	if s.verbose {
		s.opts.Report = s.print
	}
	return simulator.New(s.opts)
}

func (s *simulation) encryption() (*tls.Config, error) {
	cfg, text, err := simulator.SelfSigned(s.clock.Now())
	if err != nil || s.certificate == "" {
		return cfg, err
	}
	if err := os.WriteFile(s.certificate, text, 0o644); err != nil {
		return nil, fmt.Errorf("writing the certificate: %w", err)
	}
	return cfg, nil
}

// print shows an outcome on one line, in one write: connections do not take
// turns.
func (s *simulation) print(o simulator.Outcome) {
	if s.json {
		writeLine(s.out, o)
		return
	}
	reply := mail.Escape(strings.ReplaceAll(o.Reply, "\n", " "))
	if o.Reply == "" {
		reply = "(nothing)"
	}
	fmt.Fprintf(s.out, "%d %s <%s> to %d: %s\n", o.Connection, o.Stage, mail.Escape(o.MailFrom), len(o.Recipients), reply)
}
