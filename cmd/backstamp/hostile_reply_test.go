package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"backstamp/internal/mailtest"
)

// evil are bytes that would do something to a terminal, a log or a reader: escape
// sequences, C1 controls, a bell, a bare CR, NUL, directional overrides, bytes
// that are no UTF-8.
const evil = "\x1b[2J\x1b]0;owned\x07 \u009b31m \r\x00\u202egnp.exe\u2028 \xff\xfe\xc3( "

// hostileReplies are what a server may answer with a code, to its own profit.
func hostileReplies(code string) map[string]mailtest.Action {
	line := strings.Repeat(evil, 3000/len(evil))
	return map[string]mailtest.Action{
		"one line":    mailtest.Reply(code + " " + line),
		"many lines":  mailtest.Reply(strings.Repeat(code+"-"+line+"\n", 20) + code + " " + line),
		"a megabyte":  mailtest.Reply(code + " " + strings.Repeat(evil, 1<<20/len(evil))),
		"megabytes":   mailtest.Reply(strings.Repeat(code+"-"+line+"\n", 400) + code + " " + line),
		"no reply":    mailtest.Reply(evil),
		"empty lines": mailtest.Endless(),
	}
}

// shownMax is the most that a command may print of a few replies, in octets: each
// is cut at 4 KiB, and an escaped byte takes four and in JSON five.
const shownMax = 128 << 10

// linesMax is how many lines doctor may print of one provider.
const linesMax = 80

// harmless fails where a text could do something to a terminal, or floods it.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	if len(text) > shownMax {
		t.Errorf("%s: %d octets", what, len(text))
	}
	bad := func(r rune) bool {
		return r != '\n' && unicode.IsControl(r) || r == utf8.RuneError || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
	}
	if i := strings.IndexFunc(text, bad); i >= 0 {
		t.Errorf("%s: %q", what, text[max(0, i-80):min(len(text), i+80)])
	}
}

// A server's words are bounded and escaped when a person tries it, at whatever
// stage it says them.
func TestHostileProbe(t *testing.T) {
	for stage, code := range map[mailtest.Stage]string{
		mailtest.Banner: "220", mailtest.EHLO: "250", mailtest.AuthUser: "334", mailtest.Auth: "535", mailtest.Mail: "550", mailtest.Rcpt: "451", mailtest.Data: "354", mailtest.Dot: "250", mailtest.QUIT: "221",
	} {
		t.Run(string(stage), func(t *testing.T) {
			t.Parallel()
			upstream := mailtest.Start(t, mailtest.Script{Username: "shop@shop.test", Password: "sesam", Extensions: []string{"AUTH LOGIN"}})
			config := filepath.Join(t.TempDir(), "backstamp.yaml")
			text := strings.NewReplacer(publicBase, "http://"+freeAddress(t), `tls: "off"`, `tls: "off", username: shop@shop.test, password: sesam`).Replace(relayConfig(upstream.Addr, ""))
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for how, reply := range hostileReplies(code) {
				upstream.On(stage, reply)
				for _, args := range [][]string{{"test", "main", "--to", "a@b.test"}, {"test", "main", "--to", "a@b.test", "--transcript"}, {"doctor"}} {
					for _, form := range [][]string{nil, {"--json"}} {
						command := slices.Concat(args, form, []string{"--config", config})
						out, code := run(t, nil, command...)
						harmless(t, fmt.Sprintf("%s, %q", how, command[:len(command)-2]), out)
						if code == exitUsage {
							t.Fatalf("%q: nothing was tried\n%s", command, out)
						}
						if lines := strings.Count(out, "\n"); args[0] == "doctor" && lines > linesMax {
							t.Errorf("%s, %q: %d lines", how, command, lines)
						}
					}
				}
			}
		})
	}
}

// What is remembered of a server's words is bounded and escaped wherever it is
// shown, and what the log holds of them.
func TestHostileReplies(t *testing.T) {
	for name, c := range map[string]struct {
		stage mailtest.Stage
		code  string
	}{"refused": {mailtest.Dot, "550"}, "later": {mailtest.Rcpt, "451"}, "parked": {mailtest.Mail, "530"}, "sent": {mailtest.Dot, "250"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := mailtest.Start(t, mailtest.Script{})
			in := start(t, relayConfig(upstream.Addr, ""))
			replies := hostileReplies(c.code)
			for _, how := range slices.Sorted(maps.Keys(replies)) {
				upstream.On(c.stage, replies[how])
				in.ok("reload") // what was parked is tried anew
				id := in.send("app@shop.test", "reader@example.com", page)
				in.until("a try of "+id, func() bool {
					return in.show(id)["deliveries"].([]any)[0].(map[string]any)["status"] != "queued"
				})
				for _, args := range [][]string{
					{"show", id}, {"show", id, "--json"}, {"show", id, "--transcript"}, {"messages"}, {"messages", "--json"}, {"events"}, {"events", "--json"},
					{"queue", "ls"}, {"queue", "ls", "--json"}, {"status"}, {"status", "--json"},
				} {
					out, _ := run(t, nil, append(args, "--config", in.config)...)
					harmless(t, fmt.Sprintf("%s, %q", how, args), out)
				}
			}
			harmless(t, "the log", in.log.String())
		})
	}
}
