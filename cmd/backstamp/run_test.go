package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/damage"
	"backstamp/internal/mailtest"
)

// publicBase is the base URL of tests: a name that no resolver has, so that
// nothing but the tests themselves can follow a link.
const publicBase = "https://track.test"

// TestMain lets the test binary be the program itself, so that it can be
// killed.
func TestMain(m *testing.M) {
	if os.Getenv("BACKSTAMP_TEST_MAIN") != "" {
		os.Unsetenv("BACKSTAMP_TEST_MAIN")
		main()
		return
	}
	mailtest.Main(m)
}

// An instance is the whole program serving in this process.
type instance struct {
	t      testing.TB
	dir    string
	config string
	bound  addresses
	signal chan os.Signal
	stop   func() int // ends it and returns the exit code
	log    *lockedBuffer
	out    *lockedBuffer
}

// start serves a configuration until the test ends. Relative paths in it are
// those of a new directory.
func start(t testing.TB, yaml string) *instance {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "backstamp.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return startIn(t, dir, file)
}

func startIn(t testing.TB, dir, file string) *instance {
	t.Helper()
	return startWith(t, dir, file, func(*program) {})
}

// startWith is startIn with another world outside.
func startWith(t testing.TB, dir, file string, outside func(*program)) *instance {
	t.Helper()
	in := &instance{t: t, dir: dir, config: file, signal: make(chan os.Signal, 2), log: &lockedBuffer{}, out: &lockedBuffer{}}
	ready := make(chan addresses, 1)
	p := &program{
		in: strings.NewReader(""), out: in.out, err: in.log, clock: clock.System{}, signals: func() <-chan os.Signal { return in.signal },
		ready: func(a addresses) { ready <- a },
	}
	outside(p)
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- p.run(ctx, []string{"serve", "--config", file}) }()
	in.stop = sync.OnceValue(func() int {
		cancel()
		return <-code
	})
	t.Cleanup(func() {
		in.stop()
		if t.Failed() {
			t.Logf("log:\n%s", in.log)
		}
	})
	select {
	case in.bound = <-ready:
	case c := <-code:
		code <- c
		t.Fatalf("serve ended with %d\n%s", c, in.log)
	}
	return in
}

// run runs another command on the same configuration.
func (in *instance) run(args ...string) (out string, code int) {
	in.t.Helper()
	return run(in.t, nil, append([]string{"--config", in.config}, args...)...)
}

// ok runs a command that must succeed.
func (in *instance) ok(args ...string) string {
	in.t.Helper()
	out, code := in.run(args...)
	if code != exitDone {
		in.t.Fatalf("backstamp %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// run runs one command line; out is what it printed on both outputs.
func run(t testing.TB, env []string, args ...string) (out string, code int) {
	t.Helper()
	var b lockedBuffer
	p := &program{in: strings.NewReader(""), out: &b, err: &b, env: env, clock: clock.System{}, signals: func() <-chan os.Signal { return nil }}
	code = p.run(t.Context(), args)
	return b.String(), code
}

// smtp is where the instance takes mail.
func (in *instance) smtp() string { return in.bound.SMTP[0].String() }

// rows reads a listing with --json.
func (in *instance) rows(args ...string) []map[string]any {
	in.t.Helper()
	return decodeRows(in.t, in.ok(append(args, "--json")...))
}

func decodeRows(t testing.TB, text string) []map[string]any {
	t.Helper()
	var rows []map[string]any
	for line := range strings.Lines(text) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("row %q: %v", line, err)
		}
		rows = append(rows, row)
	}
	return rows
}

// show returns what show prints of a message.
func (in *instance) show(id string) map[string]any {
	in.t.Helper()
	return in.rows("show", id)[0]
}

// send hands in a message and returns its id.
func (in *instance) send(from, to, content string) string {
	in.t.Helper()
	reply := mailtest.SendMail(in.t, in.smtp(), from, strings.Split(to, ","), mailtest.CRLF(content))
	id, ok := strings.CutPrefix(strings.TrimSpace(reply), "250 2.0.0 queued as ")
	if !ok {
		in.t.Fatalf("the message was answered %q", reply)
	}
	return id
}

// hit asks the tracking listener for a tracking URL, as a reader's program
// would, and returns the answer without following it.
func (in *instance) hit(method, url, userAgent string) *http.Response {
	in.t.Helper()
	path, ok := strings.CutPrefix(url, publicBase)
	if !ok {
		in.t.Fatalf("%q is no tracking URL", url)
	}
	r, err := http.NewRequest(method, "http://"+in.bound.Tracking.String()+path, nil)
	if err != nil {
		in.t.Fatal(err)
	}
	r.Header.Set("User-Agent", userAgent)
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		in.t.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	return answer
}

// until waits for something that the program does in its own time, by asking
// each time an event was recorded.
func (in *instance) until(what string, ok func() bool) {
	in.t.Helper()
	if ok() {
		return
	}
	ctx, cancel := context.WithTimeout(in.t.Context(), 20*time.Second)
	defer cancel()
	api := dialServer(filepath.Join(in.dir, "data"))
	if api == nil {
		in.t.Fatal("no private socket")
	}
	defer api.close()
	body, err := api.get(ctx, "/events", map[string][]string{"follow": {"1"}})
	if err != nil {
		in.t.Fatal(err)
	}
	defer body.Close()
	for events := bufio.NewScanner(body); ; {
		if ok() {
			return
		}
		if !events.Scan() {
			in.t.Fatalf("it never came to this: %s", what)
		}
	}
}

// logged waits until the program has logged text: what makes no event.
func (in *instance) logged(text string) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), 20*time.Second)
	defer cancel()
	if err := in.log.until(ctx, text); err != nil {
		in.t.Fatalf("%q was never logged: %v", text, err)
	}
}

// status waits until the first delivery of a message has a status.
func (in *instance) status(id, want string) map[string]any {
	in.t.Helper()
	var d map[string]any
	in.until(id+" is "+want, func() bool {
		d = in.show(id)["deliveries"].([]any)[0].(map[string]any)
		return d["status"] == want
	})
	return d
}

// relayConfig is a configuration that relays through one plain SMTP server on
// this machine, tracking on.
func relayConfig(upstream string, extra string) string {
	host, port, _ := net.SplitHostPort(upstream)
	return `
hostname: relay.test
data_dir: data
listeners: [{address: "127.0.0.1:0", clients: [127.0.0.0/8]}]
tracking: {listen: "127.0.0.1:0", base_url: "` + publicBase + `"}
admin: {listen: "127.0.0.1:0"}
accounts:
  shop:
    networks: [127.0.0.0/8]
    providers:
      main: {preset: generic, host: "` + host + `", port: ` + port + `, tls: "off", senders: ["@shop.test"]}
` + extra
}

// A lockedBuffer collects the output of a program that has many goroutines.
type lockedBuffer struct {
	mu    sync.Mutex
	b     bytes.Buffer
	wrote chan struct{} // closed by the next Write; nil: nobody waits
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrote != nil {
		close(b.wrote)
		b.wrote = nil
	}
	return b.b.Write(p)
}

// until waits until text was written.
func (b *lockedBuffer) until(ctx context.Context, text string) error {
	for {
		b.mu.Lock()
		if strings.Contains(b.b.String(), text) {
			b.mu.Unlock()
			return nil
		}
		if b.wrote == nil {
			b.wrote = make(chan struct{})
		}
		wrote := b.wrote
		b.mu.Unlock()
		select {
		case <-wrote:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// header returns the top header of a message.
func header(content []byte) textproto.MIMEHeader {
	return damage.Split(content).Header()
}

// readAll reads what is left, or fails by its text.
func readAll(r io.Reader) string {
	b, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// freeAddress returns an address on this machine that nobody listens on, for
// programs that cannot be told to pick one.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// awaitListener waits until a program that was started listens.
func awaitListener(t testing.TB, addr string) {
	t.Helper()
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
		<-time.After(25 * time.Millisecond) // a foreign process tells nobody when it is ready
	}
	t.Fatalf("nobody listens on %s", addr)
}
