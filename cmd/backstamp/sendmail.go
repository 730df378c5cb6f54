package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backstamp/config"
	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/relay/provider"
	"backstamp/relay/sendmail"
)

// systemSpool is the spool of those who cannot read the configuration that
// tells another.
const systemSpool = "/var/spool/backstamp"

// drainSome is how many letters that wait one call of sendmail hands in beside
// its own.
const drainSome = 10

const sendmailHelp = `Usage: sendmail [OPTION…] [ADDRESS…] <MESSAGE

  -t          to the recipients of To, Cc and Bcc, and to ADDRESS
  -f, -r ADDR the envelope's sender; '' is none
  -F NAME     the name beside it, where the message has no From
  -i, -oi     a line with one dot does not end the message
  -v          say what becomes of it
  -bs         speak SMTP on standard input and output
  -bp         list what waits (mailq)      -bi  nothing (newaliases)
  -q          hand in what waits, and try again what was refused
  -oQDIR      keep mail in DIR while the server does not run
  --config FILE, --set KEY=VALUE, --lang en|ko, --json (with -bp)

Bcc is always removed. Exit codes are those of sysexits(3).
`

func (p *program) sendmailCommand() *cobra.Command {
	return &cobra.Command{
		Use: "sendmail [OPTION…] [ADDRESS…]", Short: "Hand in a message as with sendmail, also by the names sendmail, mailq and newaliases",
		DisableFlagParsing: true,
		RunE:               func(c *cobra.Command, args []string) error { return p.sendmail(c.Context(), args) },
	}
}

// sendmail is the whole of the command but for the words of its errors.
func (p *program) sendmail(ctx context.Context, args []string) error {
	o, err := sendmail.Parse(args)
	if err != nil {
		return sendmailError(err)
	}
	p.json = o.JSON
	p.configFile, p.lang, p.sets = o.Config, o.Lang, append(p.sets, o.Sets...)
	switch o.Mode {
	case sendmail.Help:
		fmt.Fprint(p.out, sendmailHelp)
		return nil
	case sendmail.Aliases:
		return nil // there are none
	}
	conf, dir, err := p.outline(o)
	if err != nil {
		return exitf(sendmail.ExConfig, "sendmail: %v", err)
	}
	spool := p.spool(dir)
	switch o.Mode {
	case sendmail.List:
		return p.mailq(ctx, spool)
	case sendmail.Speak:
		return p.speak(ctx, conf)
	}
	client, err := submission(hostname(conf), doorOf(conf.Listeners, nil), provider.Timeouts{
		Connect: 5 * time.Second, Greeting: 30 * time.Second,
	})
	if err != nil {
		return exitf(sendmail.ExConfig, "sendmail: no way to the server: %v", err)
	}
	defer client.Close()
	if o.Mode == sendmail.Flush {
		return p.flush(ctx, client, spool)
	}
	return sendmailError(p.deliver(ctx, conf, client, spool, o))
}

// sendmailError gives an error its exit code and name.
func sendmailError(err error) error {
	var e *sendmail.Error
	if errors.As(err, &e) {
		return exitf(e.Code, "sendmail: %s", strings.ReplaceAll(e.Text, "\n", "\nsendmail: "))
	}
	return err
}

// outline reads what of the configuration the caller may see, and where the
// spool is. Who may not read it at all has the defaults and the spool of the
// system.
func (p *program) outline(o sendmail.Options) (conf *config.Config, dir string, err error) {
	conf, err = config.Outline(config.Find(p.configFile, p.env), p.env, p.sets)
	if err != nil && p.configFile == "" {
		if conf, err = config.Outline("", p.env, p.sets); err == nil && conf.Spool == "" {
			conf.Spool = systemSpool
		}
	}
	if err != nil {
		return nil, "", err
	}
	if o.Spool != "" {
		return conf, o.Spool, nil
	}
	return conf, spoolDir(conf), nil
}

// spoolDir is where sendmail keeps mail.
func spoolDir(conf *config.Config) string {
	if conf.Spool != "" {
		return conf.Spool
	}
	return filepath.Join(conf.DataDir, "spool")
}

func (p *program) spool(dir string) *sendmail.Spool {
	return &sendmail.Spool{Dir: dir, Room: room(dir, space), Clock: p.clock}
}

// deliver reads a message and hands it in, and then some of those that wait.
func (p *program) deliver(ctx context.Context, conf *config.Config, client sendmail.Client, spool *sendmail.Spool, o sendmail.Options) error {
	letter, err := sendmail.Compose(p.in, o, sendmail.Host{
		Domain: mailDomain(conf), User: userName(), Now: p.clock.Now(), Limit: int64(conf.Limits.Message),
	})
	if err != nil {
		return err
	}
	defer letter.Close()
	out, kept, err := sendmail.Send(ctx, client, spool, letter)
	if o.Verbose {
		for _, id := range out.IDs {
			fmt.Fprintf(p.out, "queued as %s\n", id)
		}
		if kept != "" {
			fmt.Fprintf(p.out, "kept in %s until the server takes it: %s\n", spool.Dir, out.Why)
		}
	}
	if kept == "" && err == nil {
		spool.Drain(ctx, client, drainSome, false, func(string, sendmail.Outcome) {}) // what stays is shown by mailq
	}
	return err
}

// mailDomain completes addresses.
func mailDomain(conf *config.Config) string {
	for _, name := range []string{conf.DefaultDomain, hostname(conf)} {
		if (mail.Address{Local: "any", Domain: name}).Check() == nil {
			return name
		}
	}
	return "localhost"
}

// userName is the login name of who calls.
func userName() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username[strings.LastIndexByte(u.Username, '\\')+1:]
}

// flush hands in all that waits in the spool, those that were refused too.
func (p *program) flush(ctx context.Context, client sendmail.Client, spool *sendmail.Spool) error {
	var refused, waiting int
	hidden, err := spool.Drain(ctx, client, 0, true, func(name string, out sendmail.Outcome) {
		for _, id := range out.IDs {
			fmt.Fprintf(p.out, "%s: queued as %s\n", name, id)
		}
		for _, r := range out.Refused {
			fmt.Fprintf(p.out, "%s: refused for %s: %s\n", name, mail.Escape(r.Recipient), r.Reply)
		}
		if len(out.Waiting) > 0 {
			fmt.Fprintf(p.out, "%s: waits: %s\n", name, out.Why)
		}
		refused += len(out.Refused)
		waiting += len(out.Waiting)
	})
	switch {
	case err != nil:
		return exitf(sendmail.ExOSErr, "sendmail: %v", err)
	case waiting > 0:
		return exitf(sendmail.ExTempFail, "")
	case refused > 0:
		return exitf(sendmail.ExUnavailable, "")
	case hidden > 0:
		return exitf(sendmail.ExNoPerm, "sendmail: %d letters in %s are not yours to read", hidden, spool.Dir)
	}
	return nil
}

// speak lets the client talk to the server.
func (p *program) speak(ctx context.Context, conf *config.Config) error {
	d := doorOf(conf.Listeners, nil)
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(d.host, strconv.Itoa(d.port)))
	if err != nil {
		fmt.Fprint(p.out, "421 4.3.2 the server does not run; try again later\r\n")
		return exitf(sendmail.ExTempFail, "sendmail: %v", err)
	}
	defer conn.Close()
	go func() { // ends with the connection or the input
		io.Copy(conn, p.in)
		if half, ok := conn.(*net.TCPConn); ok {
			half.CloseWrite()
		}
	}()
	if _, err := io.Copy(p.out, conn); err != nil {
		return exitf(sendmail.ExIOErr, "sendmail: %v", err)
	}
	return nil
}

// A door is a listener as this machine reaches it.
type door struct {
	host string
	port int
	tls  string
}

// doorOf picks the listener that mail of this machine is best given to: on
// loopback before others, without a login and in the clear where there is a
// choice. bound, if any, are the addresses that the listeners have got.
func doorOf(listeners []config.Listener, bound []net.Addr) door {
	best, cost := door{host: "127.0.0.1", port: 2525, tls: "off"}, 8
	for i, l := range listeners {
		address := l.Address
		if i < len(bound) {
			address = bound[i].String()
		}
		host, text, err := net.SplitHostPort(address)
		port, notNumber := strconv.Atoi(text)
		if err != nil || notNumber != nil {
			continue
		}
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		d, c := door{host: host, port: port, tls: "off"}, 0
		if l.TLS == "implicit" {
			d.tls, c = "implicit", c+4
		}
		if l.Auth == "required" {
			c += 2
		}
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
			c++
		}
		if c < cost {
			best, cost = d, c
		}
	}
	return best
}

// submission returns a client that hands mail to our own server.
func submission(name string, d door, t provider.Timeouts) (provider.Client, error) {
	return provider.New(provider.Settings{
		Name: "sendmail/relay", Key: "listeners", Preset: "generic",
		Host: d.host, Port: d.port, TLS: d.tls, Hostname: name, Timeouts: t, Connections: 1,
	}, clock.System{}, slog.New(slog.DiscardHandler))
}

// drainSpool hands in what sendmail kept.
func (s *server) drainSpool(ctx context.Context) error {
	conf := s.current().conf
	client, err := submission(hostname(conf), doorOf(conf.Listeners, s.relay.Addrs()), provider.Timeouts{Connect: 5 * time.Second})
	if err != nil {
		return err
	}
	defer client.Close()
	return s.spool(spoolDir(conf)).Run(ctx, client, s.log)
}
