package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

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

// capture is the preset that has no data.
func capture() *preset.Preset {
	return &preset.Preset{Name: "capture", Title: "Keeps mail in the store and sends nothing"}
}

func findPreset(name string) (*preset.Preset, bool) {
	if name == "capture" {
		return capture(), true
	}
	return preset.Find(name)
}

func (p *program) listPresets() error {
	t := p.table("PRESET", "HOST", "PROVIDER")
	for _, name := range provider.Presets() {
		known, _ := findPreset(name)
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
	known, ok := findPreset(name)
	if !ok {
		return exitf(exitUsage, "preset %q is unknown; did you mean %s?", name, preset.Nearest(name, provider.Presets()))
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

func presetLines(k *preset.Preset) []presetLine {
	var lines []presetLine
	add := func(name, value, source string) {
		if value != "" {
			lines = append(lines, presetLine{name, value, source})
		}
	}
	number := func(name string, f preset.Fact[int]) {
		if f.Is != 0 {
			add(name, fmt.Sprint(f.Is), source(f))
		}
	}
	var ports []string
	for _, w := range k.Ports.Is {
		ports = append(ports, fmt.Sprintf("%d %s", w.Port, w.TLS))
	}
	add("host", k.Host.Is, source(k.Host))
	add("regions", strings.Join(k.Regions.Is, " "), source(k.Regions))
	add("ports", strings.Join(ports, ", "), source(k.Ports))
	add("login by", strings.Join(k.Auth.Is, ", "), source(k.Auth))
	add("username", k.Username.Is.Expected, source(k.Username))
	add("password", k.Password.Is.Expected, source(k.Password))
	add("another From", senderMeaning(k.Sender.Is), source(k.Sender))
	counted := "messages"
	if k.Limits.Counts != "" {
		counted = k.Limits.Counts
	}
	number(counted+" in 24 hours", k.Limits.Daily)
	number("messages a minute", k.Limits.PerMinute)
	number("messages a second", k.Limits.PerSecond)
	number("connections at once", k.Limits.Connections)
	number("messages a connection", k.Limits.PerConnection)
	number("recipients a message", k.Limits.Recipients)
	number("octets a message", k.Limits.Size)
	add("own tracking off by", strings.Join(k.SwitchOff.Is, " · "), source(k.SwitchOff))
	add("own tracking", k.OwnTracking, "")
	add("tells what became of mail by", k.Feedback.Is, source(k.Feedback))
	return lines
}

// source says where a fact is from.
func source[T any](f preset.Fact[T]) string {
	switch {
	case f.Source == "":
		return ""
	case f.Unconfirmed:
		return fmt.Sprintf("(unconfirmed, %s)", f.AsOf)
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
