package simulator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/internal/simulator"
)

// The tables in docs/providers.md are what the dialects say; -update writes
// them.
func TestTables(t *testing.T) {
	const file = "../../docs/providers.md"
	mailtest.Section(t, file, "simulators", simulatorTable(t))
	mailtest.Section(t, file, "refusals", refusalTable(t))
}

func simulatorTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| preset | tls | login by | From | a day | other limits | reply to the message |\n|---|---|---|---|---|---|---|\n")
	for _, preset := range simulator.Presets() {
		d := load(t, preset)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | `%s` |\n",
			preset, strings.Join(d.TLS, ", "), logins(d), senders(d), day(d), others(d.Limits), d.Says["dot"])
	}
	return b.String()
}

func logins(d simulator.Dialect) string {
	var names string
	for _, line := range d.EHLO {
		if rest, ok := strings.CutPrefix(line, "AUTH "); ok {
			names = strings.ReplaceAll(rest, " ", ", ")
		}
	}
	if d.Login.Optional {
		names += "; or without"
	}
	return names
}

func senders(d simulator.Dialect) string {
	r := d.Refuses["sender-refused"]
	code, _, _ := strings.Cut(strings.ReplaceAll(r.Text, "-", " "), " ")
	switch d.Sender {
	case "login":
		return "login or sender, else " + code + " at " + r.Stage
	case "verified":
		return "sender, else " + code + " at " + r.Stage
	case "rewrite":
		return "login or sender, else rewritten"
	}
	return d.Sender
}

func day(d simulator.Dialect) string {
	if d.Limits.Day == 0 {
		return "no limit"
	}
	return fmt.Sprintf("%d %s", d.Limits.Day, d.Counts)
}

func others(l simulator.Limits) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{l.Minute, "a minute"}, {l.Second, "a second"}, {l.Connections, "connections"},
		{l.PerConnection, "a connection"}, {l.Recipients, "recipients"}, {int(l.Size >> 20), "MiB"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

func refusalTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| preset | name | at | reply | source |\n|---|---|---|---|---|\n")
	base := load(t, "generic")
	for _, preset := range simulator.Presets() {
		d := load(t, preset)
		names := slices.DeleteFunc(d.Troubles(), func(name string) bool {
			r, own := d.Refuses[name]
			return !own || preset != "generic" && r == base.Refuses[name]
		})
		for _, name := range names {
			r := d.Refuses[name]
			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", preset, name, r.Stage, cell(r), r.Source)
		}
	}
	return b.String()
}

// cell is a reply as a table can hold it.
func cell(r simulator.Refusal) string {
	if r.Text == "" {
		return "the ordinary one, later"
	}
	text := "`` " + strings.ReplaceAll(strings.TrimRight(r.Text, "\n"), "\n", " ⏎ ") + " ``"
	if r.Close {
		text += ", then it closes"
	}
	return text
}
