package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/mail"
	"backstamp/relay/provider"
)

// sessionMax is how long a hostile session may take here; none waits for
// anything.
const sessionMax = 20 * time.Second

var (
	bare      = regexp.MustCompile(`[^\r]\n|\r[^\n]|\r$|\x00`)
	wellSaid  = regexp.MustCompile(`^(?:[2-5][0-9]{2}[ -][^\x00-\x08\x0a-\x1f\x7f]*\r\n)*$`)
	commanded = regexp.MustCompile(`^(EHLO relay\.example\.com|MAIL FROM:<[^\x00-\x1f\x7f]*|RCPT TO:<[^\x00-\x1f\x7f]*|DATA|BDAT [0-9]+( LAST)?|RSET|QUIT)\r\n$`)
)

// A tally is what came of the hostile sessions of a fault.
type tally struct {
	seen                      map[string]bool // distinct ones
	kept, smuggled            int
	bare, panics, hangs, torn int
}

// tallies are by fault.
type tallies map[string]*tally

func (all tallies) of(fault string) *tally {
	if all[fault] == nil {
		all[fault] = &tally{seen: map[string]bool{}}
	}
	return all[fault]
}

// TestHostileSessions plays thousands of bad sessions, by the ids of the list
// of faults, and sends what is kept of them on to providers that record each
// octet. None of them gets a second message in or out.
func TestHostileSessions(t *testing.T) {
	count := tallies{}
	playScripts(t, count, false)
	playScripts(t, count, true)
	playAnswers(t, count)
	playSlow(t, count)
	playFloods(t, count)
	var table strings.Builder
	table.WriteString("| fault | what is tried | sessions | messages kept | smuggled | bare CR, LF, NUL upstream | panics | hangs | malformed replies |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	sum := tally{}
	n := 0
	for i, what := range []string{
		"smuggling in", "smuggling out", "commands before TLS", "replies before TLS", "NUL, control and 8-bit octets in commands", "long lines", "header injection",
		"wrong order, floods, HTTP", "lies about size and encoding", "too many recipients", "gone at each octet", "slow clients", "floods of connections",
	} {
		fault := fmt.Sprintf("A%d", i+1)
		c := count.of(fault)
		fmt.Fprintf(&table, "| %s | %s | %d | %d | %d | %d | %d | %d | %d |\n", fault, what, len(c.seen), c.kept, c.smuggled, c.bare, c.panics, c.hangs, c.torn)
		n += len(c.seen)
		sum.kept, sum.smuggled, sum.bare = sum.kept+c.kept, sum.smuggled+c.smuggled, sum.bare+c.bare
		sum.panics, sum.hangs, sum.torn = sum.panics+c.panics, sum.hangs+c.hangs, sum.torn+c.torn
	}
	fmt.Fprintf(&table, "| all | | %d | %d | %d | %d | %d | %d | %d |\n", n, sum.kept, sum.smuggled, sum.bare, sum.panics, sum.hangs, sum.torn)
	t.Logf("\n%s", table.String())
	if n < 2000 && !testing.Short() || sum.smuggled+sum.bare+sum.panics+sum.hangs+sum.torn > 0 {
		t.Errorf("%d sessions", n)
	}
	if testing.Short() {
		return
	}
	mailtest.Section(t, "../docs/safety.md", "hostile sessions", table.String())
}

// playScripts plays hostiles, to a listener that is strict with strangers to
// this machine, or to one that puts up with what old clients do.
func playScripts(t *testing.T, count tallies, legacy bool) {
	upstreams := []*recorder{newRecorder(t, &recorder{}), newRecorder(t, &recorder{chunking: true})}
	var clients []provider.Client
	for _, u := range upstreams {
		clients = append(clients, u.client(t, provider.Settings{TLS: "off"}))
	}
	log := &logBuffer{}
	open, guarded := settings(t), startTLS(t)
	open.Listeners[0].Legacy, guarded.Listeners[0].Legacy = legacy, legacy
	clear, secure := newReciter(newPolicy(t, open)), newReciter(newPolicy(t, guarded))
	for _, r := range []*reciter{clear, secure} {
		r.server.log = slog.New(slog.NewTextHandler(log, nil))
	}
	logged := 0
	for i, h := range hostiles() {
		if testing.Short() && i%10 != 0 {
			continue // the race detector takes its time
		}
		c, r := count.of(h.fault), clear
		if h.tls {
			r = secure
		}
		c.seen[fmt.Sprint(h, legacy)] = true
		said, all, ok := within(r, h)
		if !ok {
			c.hangs++
			t.Fatalf("%s: a session hangs: %.200q", h.fault, h.text)
		}
		complain := func(n *int, what string, args ...any) {
			if *n++; *n < 5 {
				t.Errorf("%s: %s: %.300q cut at %d\nsaid %.2000s", h.fault, fmt.Sprintf(what, args...), h.text, h.at, said)
			}
		}
		if h.tls {
			before, after, _ := strings.Cut(said, "220 2.0.0 ready to start TLS\r\n")
			if said = before; after != "" && after[0] != 21 { // an alert
				complain(&c.smuggled, "it went on with %q", after)
			}
		}
		if !wellSaid.MatchString(said) {
			complain(&c.torn, "malformed replies")
		}
		if text := log.String(); strings.Contains(text[logged:], "panic") {
			complain(&c.panics, "panic")
		} else if bytes.ContainsAny([]byte(strings.ReplaceAll(text[logged:], "\n", "")), "\r\x00\x1b\x7f") {
			complain(&c.torn, "the log holds what the client said")
		} else {
			logged = len(text)
		}
		if len(all) > h.whole || len(all) != len(queued.FindAllString(said, -1)) {
			complain(&c.smuggled, "%d messages kept", len(all))
		}
		c.kept += len(all)
		u := upstreams[i%2]
		sent := 0
		for _, k := range all {
			sent += len(k.m.Recipients)
			if strings.Contains(strings.Join(k.m.Recipients, " "), "victim") {
				complain(&c.smuggled, "for %v", k.m.Recipients)
			}
			if err := pass(clients[i%2], k); err != nil {
				t.Fatal(err)
			}
		}
		octets, mails, lines := u.all()
		if bare.MatchString(octets) || strings.HasPrefix(octets, "\n") {
			complain(&c.bare, "upstream got %.2000q", octets)
		}
		if len(mails) > sent {
			complain(&c.smuggled, "upstream took %d messages of %d", len(mails), sent)
		}
		for _, line := range lines {
			if !commanded.MatchString(line) || !utf8.ValidString(line) {
				complain(&c.smuggled, "upstream was told %q", line)
			}
		}
		for _, m := range mails {
			header, _, _ := strings.Cut(string(m), "\r\n\r\n")
			if h.forbidden != "" && strings.Contains(header, "\r\n"+h.forbidden) {
				complain(&c.smuggled, "a header field: %q", header)
			}
		}
	}
}

func startTLS(t *testing.T) Settings {
	s, _ := withTLS(t, "starttls")
	return s
}

// within plays one session, unless it hangs.
func within(r *reciter, h hostile) (said string, all []kept, ok bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		said, all = r.recite(h.from, &pieces{h.text, h.at})
	}()
	limit := time.NewTimer(sessionMax)
	defer limit.Stop()
	select {
	case <-done:
		return said, all, true
	case <-limit.C:
		return "", nil, false
	}
}

// playAnswers (A4) has a provider, or somebody before it, go on in the clear
// after its consent to TLS. Nothing of ours leaves, and the mail waits.
func playAnswers(t *testing.T, count tallies) {
	c := count.of("A4")
	ca := mailtest.NewCA(t)
	for _, injected := range []string{
		"250 ok\r\n", "250-provider.test\r\n250 AUTH PLAIN\r\n", "250-x\r\n250 STARTTLS\r\n", "235 2.7.0 welcome\r\n", "220 again\r\n", "221 bye\r\n", "354 go on\r\n",
		"421 4.3.0 no\r\n", "\r\n", "\x00", "x", "250", "250 ok", strings.Repeat("250 ok\r\n", 500), strings.Repeat("x", 5000), "\x15\x03\x03\x00\x02\x02\x28",
		"\x16\x03\x03\x00\x01\x00", "550 5.7.1 no\r\n", "454 4.7.0 TLS not available\r\n", "-ERR\r\n",
	} {
		for _, consent := range []string{"220 2.0.0 go ahead\r\n", "220-go\r\n220 ahead\r\n", "220\r\n", "250 ok\r\n", "334 \r\n"} {
			for _, cut := range []bool{false, true} {
				u := newRecorder(t, &recorder{starttls: consent + "|" + injected, cut: cut, tls: ca.Valid()})
				client := u.client(t, provider.Settings{
					TLS: "starttls", Username: "shop", Password: "hunter2", RootCAs: ca.Pool(), Timeouts: provider.Timeouts{Command: time.Second, Greeting: time.Second, Connect: time.Second},
				})
				c.seen[fmt.Sprint(consent, injected, cut)] = true
				attempts := client.Deliver(t.Context(), mail.Transaction{Recipients: []string{"r@dest.test"}, Copy: leaflet{}})
				if a := attempts[0]; a.Taken() || a.Uncertain || a.Class == "recipient" || a.Class == "sender" || a.Class == "content" {
					c.smuggled++
					t.Errorf("A4: %q %q: %+v", consent, injected, a)
				}
				octets, mails, lines := u.all()
				if len(mails) > 0 || strings.Contains(octets, "hunter2") || strings.Contains(strings.ToUpper(strings.Join(lines, " ")), "MAIL FROM") || strings.Contains(octets, "AUTH ") {
					c.smuggled++
					t.Errorf("A4: %q %q: the provider got %q", consent, injected, octets)
				}
			}
		}
	}
}

// A leaflet is a copy of a message.
type leaflet struct{}

func (leaflet) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, fromField+"\r\n")
	return int64(n), err
}
func (leaflet) Size() int64                  { return int64(len(fromField) + 2) }
func (leaflet) MailFrom() string             { return "a@example.com" }
func (leaflet) EightBit() bool               { return false }
func (leaflet) UTF8() bool                   { return false }
func (leaflet) SevenBit() (mail.Copy, error) { return leaflet{}, nil }

// playSlow (A12) says everything slowly, or hears slowly, or both.
func playSlow(t *testing.T, count tallies) {
	c := count.of("A12")
	secure := startTLS(t)
	proxied := withProxy(t)
	for name, text := range map[string]string{
		"nothing":  "",
		"greeting": "EHLO " + strings.Repeat("c", 500),
		"junk":     strings.Repeat("\r\n", 500),
		"commands": strings.Repeat("NOOP\r\n", 500),
		"login":    "EHLO c\r\nAUTH LOGIN\r\n" + strings.Repeat("c2hv", 200),
		"sender":   "EHLO c\r\nMAIL FROM:<" + strings.Repeat("a", 500),
		"list":     "EHLO c\r\nMAIL FROM:<a@example.com>\r\n" + strings.Repeat("RCPT TO:<r@dest.test>\r\n", 50),
		"content":  opening + "DATA\r\n" + strings.Repeat("x", 500),
		"chunk":    opening + "BDAT 100000\r\n" + strings.Repeat("x", 500),
		"hello":    "STARTTLS\r\n" + "\x16\x03\x01\x02\x00" + strings.Repeat("\x01", 500),
		"header":   headerV2 + "\x21\x11\x0f\xff" + strings.Repeat("x", 500),
	} {
		s := settings(t)
		from, fast := far, strings.Index(text, "x")
		switch name {
		case "hello":
			s, fast = secure, len("STARTTLS\r\n")
		case "header":
			s, from, fast = proxied, "10.0.0.1", 0
		}
		for _, pause := range []time.Duration{time.Second, 4 * time.Second, 9 * time.Second, 11 * time.Second} {
			for _, deaf := range []time.Duration{0, 9 * time.Second, time.Hour} {
				c.seen[fmt.Sprint(name, pause, deaf)] = true
				stay := stayOf(t, s, from, text, max(0, fast), pause, deaf)
				if stay > s.Limits.Session+2*farewellTime {
					c.hangs++
					t.Errorf("A12: %s, a byte each %v, a reply each %v: it stayed for %v", name, pause, deaf, stay)
				}
			}
		}
	}
}

// stayOf is how long a client can stay that sends its first bytes at once, if it
// can, the others one by one, and reads little and late.
func stayOf(t *testing.T, s Settings, from, text string, fast int, pause, deaf time.Duration) (stay time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		server := New(newPolicy(t, s), &shelf{}, clock.System{}, slog.New(slog.DiscardHandler), nil)
		ours, theirs := net.Pipe()
		began := time.Now()
		server.take(0, farConn{theirs, from})
		var both sync.WaitGroup
		both.Go(func() {
			io.WriteString(ours, text[:fast])
			for _, b := range []byte(text[fast:]) {
				time.Sleep(pause)
				if _, err := ours.Write([]byte{b}); err != nil {
					return
				}
			}
		})
		over := make(chan struct{})
		both.Go(func() {
			for buf := make([]byte, 64); ; {
				select {
				case <-over:
					return
				case <-time.After(deaf):
				}
				if _, err := ours.Read(buf); err != nil {
					return
				}
			}
		})
		server.conns.Wait()
		stay = time.Since(began)
		ours.Close()
		close(over)
		both.Wait()
		server.stop()
	})
	return stay
}

// playFloods (A13) opens more connections than there is room for, from few or
// many addresses, idle or in the middle of something. Clients that the listener
// is meant for, and those of this machine, are served.
func playFloods(t *testing.T, count tallies) {
	c := count.of("A13")
	for _, n := range []int{100, 1_000, 5_000} {
		if testing.Short() && n > 100 {
			break
		}
		for _, addresses := range []int{1, 10, 200} {
			for name, text := range map[string]string{
				"idle": "", "greeted": "EHLO c\r\n", "trying": "EHLO c\r\nMAIL FROM:<a@example.com>\r\n", "half a command": "EHL", "gone": "QUIT\r\n",
			} {
				s := settings(t)
				s.Limits.Connections, s.Limits.ConnectionsPerClient = 100, 20
				c.seen[fmt.Sprint(n, addresses, name)] = true
				if err := flood(t, s, n, addresses, text); err != nil {
					c.hangs++
					t.Errorf("A13: %d connections from %d addresses, %s: %v", n, addresses, name, err)
				}
			}
		}
	}
}

// flood reports what went wrong for the honest ones.
func flood(t *testing.T, s Settings, n, addresses int, text string) (err error) {
	synctest.Test(t, func(t *testing.T) {
		server := New(newPolicy(t, s), &shelf{}, clock.System{}, slog.New(slog.DiscardHandler), nil)
		var open []net.Conn
		connect := func(from string) net.Conn {
			ours, theirs := net.Pipe()
			open = append(open, ours)
			server.take(0, farConn{theirs, from})
			return ours
		}
		for i := range n {
			conn := connect(fmt.Sprintf("198.51.%d.%d", 100+i%addresses/250, i%addresses%250))
			go io.Copy(io.Discard, conn)
			conn.SetWriteDeadline(time.Now().Add(time.Second))
			go io.WriteString(conn, text)
		}
		synctest.Wait()
		most := s.Limits.Connections
		server.mu.Lock()
		if len(server.fronts) > most-most/4 || len(server.fronts) > addresses*s.Limits.ConnectionsPerClient {
			err = fmt.Errorf("%d are open", len(server.fronts))
		}
		server.mu.Unlock()
		for _, from := range []string{near, far} {
			began := time.Now()
			said := new(bytes.Buffer)
			conn := connect(from)
			conn.SetDeadline(time.Now().Add(time.Second))
			go io.WriteString(conn, opening+"DATA\r\n"+fromField+"\r\n.\r\nQUIT\r\n")
			io.Copy(said, conn)
			if !queued.MatchString(said.String()) || time.Since(began) > time.Second {
				err = errors.Join(err, fmt.Errorf("%s was told %q after %v", from, said, time.Since(began)))
			}
		}
		for _, conn := range open {
			conn.Close()
		}
		server.conns.Wait()
		server.stop()
	})
	return err
}
