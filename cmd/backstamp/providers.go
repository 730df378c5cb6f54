package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"backstamp/internal/near"
	"backstamp/relay/provider"
	"backstamp/relay/provider/preset"
)

func (p *program) providersCommand() *cobra.Command {
	list := p.jsonFlag(&cobra.Command{
		Use: "providers", Short: "List the presets, or show what is known of one", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return p.listPresets() },
	})
	list.AddCommand(p.jsonFlag(&cobra.Command{
		Use: "show PRESET", Short: "Show what is known of a provider, with the source and the day of each fact", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return p.showPreset(args[0]) },
	}))
	return list
}

func (p *program) listPresets() error {
	t := p.table("PRESET", "HOST", "PROVIDER")
	for _, name := range provider.Presets() {
		known, _ := preset.Find(name)
		if p.json {
			if err := writeLine(p.out, known); err != nil {
				return err
			}
			continue
		}
		t.row(name, known.Host.Is, known.Title)
	}
	return t.flush(p.out)
}

func (p *program) showPreset(name string) error {
	known, ok := preset.Find(name)
	if !ok {
		return exitf(exitUsage, "preset %q is unknown; %s", name, near.Hint(name, provider.Presets()))
	}
	if p.json {
		return writeLine(p.out, known)
	}
	fmt.Fprintf(p.out, "%s: %s\n\n", known.Name, known.Title)
	for _, line := range presetLines(known) {
		fmt.Fprintf(p.out, "%-30s %s\n", line.name, line.value)
		if line.source != "" {
			fmt.Fprintf(p.out, "%-30s %s\n", "", line.source)
		}
	}
	for _, n := range known.Notes {
		fmt.Fprintf(p.out, "\n%s\n%s\n", n.Is, source(n))
	}
	return nil
}

// A presetLine is one fact for a person to read.
type presetLine struct{ name, value, source string }

// presetLines tells what is known, without the notes.
func presetLines(k *preset.Preset) []presetLine {
	lines := []presetLine{
		{"host", k.Host.Is, source(k.Host)},
		{"regions", strings.Join(k.Regions.Is, " "), source(k.Regions)},
		{"hosts of regions", hostsOf(k.Hosts.Is), source(k.Hosts)},
		{"other hosts", strings.Join(k.OtherHosts.Is, " "), source(k.OtherHosts)},
		{"ports", ports(k.Ports.Is), source(k.Ports)},
		{"login by", strings.Join(k.Auth.Is, ", "), source(k.Auth)},
		{"username", k.Username.Is.Expected, source(k.Username)},
		{"password", k.Password.Is.Expected, source(k.Password)},
		{"completes a login with", k.Domain.Is, source(k.Domain)},
		{"the login is a mailbox", yes(k.LoginIsMailbox), source(k.LoginIsMailbox)},
		{"another From", senderMeaning(k.Sender.Is), source(k.Sender)},
		{"a bulk mailer", yes(k.Bulk), source(k.Bulk)},
		{"the null reverse-path", k.NullSender.Is, source(k.NullSender)},
		{"its hosts are in the SPF of", k.SPF.Is, source(k.SPF)},
		{"MAIL FROM has the domain of", k.ReturnPath.Is, source(k.ReturnPath)},
		{"signs for", strings.Join(k.Mailboxes.Is, " "), source(k.Mailboxes)},
		{"DKIM selectors", strings.Join(k.Selectors.Is, " "), source(k.Selectors)},
	}
	lines = append(lines, limitLines(k.Limits)...)
	lines = append(lines, []presetLine{
		{"own tracking", k.Tracking.Is, source(k.Tracking)},
		{"switched off by", strings.Join(k.SwitchOff.Is, " · "), source(k.SwitchOff)},
		{"not switched off", k.TrackingStays.Is, source(k.TrackingStays)},
		{"taken from apps' mail", strings.Join(k.ControlFields.Is, " "), source(k.ControlFields)},
		{"not signed with DKIM", strings.Join(k.DKIMWithout.Is, " "), source(k.DKIMWithout)},
		{"tells what became of mail by", k.Feedback.Is, source(k.Feedback)},
	}...)
	return slices.DeleteFunc(lines, func(l presetLine) bool { return l.value == "" })
}

func limitLines(l preset.Limits) []presetLine {
	number := func(name string, f preset.Fact[int]) presetLine {
		if f.Is == 0 {
			return presetLine{}
		}
		return presetLine{name, strconv.Itoa(f.Is), source(f)}
	}
	return []presetLine{
		{"counts", l.Counts.Is, source(l.Counts)},
		number("a day", l.Daily),
		{"its day ends at midnight in", l.Zone.Is, source(l.Zone)},
		number("messages a minute", l.PerMinute),
		number("messages a second", l.PerSecond),
		number("connections at once", l.Connections),
		number("messages a connection", l.PerConnection),
		number("recipients a message", l.Recipients),
		number("octets a message", l.Size),
	}
}

func ports(ways []preset.Port) string {
	var all []string
	for _, w := range ways {
		all = append(all, fmt.Sprintf("%d %s", w.Port, w.TLS))
	}
	return strings.Join(all, ", ")
}

func hostsOf(regions map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(regions)) {
		all = append(all, name+" "+regions[name])
	}
	return strings.Join(all, ", ")
}

// yes says that a fact is so, and nothing of what is not.
func yes(f preset.Fact[bool]) string {
	if f.Is {
		return "yes"
	}
	return ""
}

// source says where a fact is from.
func source[T any](f preset.Fact[T]) string {
	switch {
	case f.Source == "":
		return ""
	case f.Unconfirmed:
		return fmt.Sprintf("(%s, %s, unconfirmed)", f.Source, f.AsOf)
	}
	return fmt.Sprintf("(%s, %s)", f.Source, f.AsOf)
}

// senderMeaning puts a sender rule into words.
func senderMeaning(rule string) string {
	switch rule {
	case "login":
		return "refused: it must be the login"
	case "alias":
		return "refused, unless it is the login or an alias of it"
	case "verified":
		return "refused, unless the address or its domain was verified"
	case "rewrite":
		return "replaced by the login, unless it is an alias"
	}
	return rule
}
