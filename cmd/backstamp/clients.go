package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"backstamp/config"
	"backstamp/mail"
)

func (p *program) clientsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "clients", Short: "List who connected, the last one first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.clients(c.Context()) },
	}
	var name string
	allow := &cobra.Command{
		Use: "allow ADDR --as NAME", Short: "Print the lines of configuration that let a machine send", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			addr, err := netip.ParseAddr(args[0])
			if err != nil || addr.IsUnspecified() || addr.IsMulticast() {
				return exitf(exitUsage, "%q is no address of a machine; expected one such as 10.0.5.77", args[0])
			}
			if name == "" {
				return exitf(exitUsage, "clients allow needs --as NAME, the policy in clients that the machine gets")
			}
			return p.allow(c.Context(), addr.Unmap().WithZone(""), name)
		},
	}
	allow.Flags().StringVar(&name, "as", "", "the `NAME` of the policy, one that is there or a new one")
	c.AddCommand(allow)
	return p.jsonFlag(c)
}

func (p *program) clients(ctx context.Context) error {
	return p.withAPI(ctx, func(api *apiClient) error {
		var strangers []visitorView
		t := p.table("ADDRESS", "NAME", "HELO", "USER", "TLS", "LAST SEEN", "MESSAGES", "REFUSED", "QUIRKS")
		err := list(ctx, p, api, "/clients", nil, func(v visitorView) {
			t.row(v.Address, v.Name, clip(v.Helo, 24), clip(v.User, 24), v.TLS, clockTime(v.LastSeen), strconv.Itoa(v.Messages), strconv.Itoa(v.Refused), quirkList(v.Quirks))
			if v.Messages == 0 && v.Refused > 0 {
				strangers = append(strangers, v)
			}
		})
		if err != nil {
			return err
		}
		if err := t.flush(p.out); err != nil || len(strangers) == 0 {
			return err
		}
		p.section("Refused, and never taken")
		for _, v := range strangers {
			fmt.Fprintf(p.out, "%s, %d times, last: %s\n", v.Address, v.Refused, mail.Escape(strings.ReplaceAll(v.Refusal, "\n", " ")))
		}
		fmt.Fprintln(p.out, "To let one send: backstamp clients allow ADDRESS --as NAME")
		return nil
	})
}

// quirkList names quirks with how many messages had them, the most frequent
// first.
func quirkList(counts map[string]int) string {
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s ×%d", name, counts[name])
	}
	return strings.Join(names, ", ")
}

// allow prints what lets a machine send: as YAML, with comments that say where
// it belongs.
func (p *program) allow(ctx context.Context, addr netip.Addr, name string) error {
	conf, err := p.load()
	if err != nil {
		return err
	}
	lines, err := admission(conf, addr, name, p.cameTo(ctx, addr))
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return exitf(exitDegraded, "nothing to do: %v may send, and is one of %s", addr, name)
	}
	for _, line := range lines {
		fmt.Fprintln(p.out, line)
	}
	return nil
}

// cameTo is the listener that a machine was last seen at, "" where none is
// known.
func (p *program) cameTo(ctx context.Context, addr netip.Addr) (listener string) {
	find := func(api *apiClient) error {
		return list(ctx, &program{}, api, "/clients", nil, func(v visitorView) {
			if v.Address == addr.String() {
				listener = v.Listener
			}
		})
	}
	if err := p.withAPI(ctx, find); err != nil {
		return "" // no store yet: the configuration tells enough
	}
	return listener
}

// admission lists the lines that are missing for a machine to send without a
// login at a listener, or where none is named, at the first that it can reach.
func admission(conf *config.Config, addr netip.Addr, name, listener string) (lines []string, err error) {
	at := slices.IndexFunc(conf.Listeners, func(l config.Listener) bool {
		if listener != "" {
			return l.Address == listener
		}
		return addr.IsLoopback() || !onThisMachine(l.Address)
	})
	if at < 0 {
		return nil, exitf(exitFailed, "no listener can be reached from %v: all are on loopback; add one such as {address: \"0.0.0.0:2525\", clients: [%v]}", addr, addr)
	}
	l := conf.Listeners[at]
	if l.Auth == "required" {
		return nil, exitf(exitFailed, "listener %s takes nobody without a login (auth: required); give the machine one, or a listener of its own", l.Address)
	}
	where := func(key string) string { return "# " + conf.Problem(key, fmt.Sprintf("add %v", addr)).Error() }
	if !holds(l.Clients, addr) {
		lines = append(lines, where(fmt.Sprintf("listeners.%d.clients", at)), "listeners:",
			fmt.Sprintf("  - address: %q", l.Address), "    clients: "+networkList(l.Clients, addr))
	}
	account, known := accountOf(conf, addr)
	if !known {
		lines = append(lines, where("accounts."+account+".networks"), "accounts:",
			"  "+account+":", "    networks: "+networkList(conf.Accounts[account].Networks, addr))
	}
	if policy := conf.Clients[name]; !holds(policy.Networks, addr) {
		lines = append(lines, where("clients."+name+".networks"), "clients:", "  "+name+":", "    networks: "+networkList(policy.Networks, addr))
	}
	return lines, nil
}

// accountOf is the account that is meant for a machine; where there is none, the
// first, which may be widened.
func accountOf(conf *config.Config, addr netip.Addr) (name string, known bool) {
	names := conf.Names("accounts")
	for _, n := range names {
		if holds(conf.Accounts[n].Networks, addr) {
			return n, true
		}
	}
	return names[0], false
}

func onThisMachine(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, notIP := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || notIP == nil && ip.Unmap().IsLoopback())
}

func holds(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// networkList writes networks and one more as YAML.
func networkList(networks []netip.Prefix, addr netip.Addr) string {
	var texts []string
	for _, n := range networks {
		texts = append(texts, strconv.Quote(n.String()))
	}
	return "[" + strings.Join(append(texts, strconv.Quote(addr.String())), ", ") + "]"
}
