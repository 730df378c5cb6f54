package relay

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/mail"
	"backstamp/relay/align"
	"backstamp/rewrite"
)

func TestMain(m *testing.M) { mailtest.Main(m) }

// now is when everything happens.
var now = time.Date(2026, 3, 5, 9, 30, 0, 0, time.FixedZone("", 9*60*60))

// A shelf is a queue that keeps what it is given.
type shelf struct {
	mu      sync.Mutex
	kept    []kept
	err     error         // what Put returns, if anything
	gate    chan struct{} // when set, Put waits for it or for its context
	in      chan struct{} // when set, told when Put begins
	open    atomic.Int32  // bodies that nobody closed yet
	full    error         // what writing a body returns, if anything,
	room    int           // beyond this many octets
	refused *mail.Attempt // what PutAndHear returns
}

type kept struct {
	m       *mail.Message
	content []byte
}

// A sheet is a body in memory.
type sheet struct {
	bytes.Buffer
	shelf  *shelf
	closed bool
}

func (b *sheet) Write(p []byte) (int, error) {
	if b.shelf.full != nil && b.Len()+len(p) > b.shelf.room {
		return 0, b.shelf.full
	}
	return b.Buffer.Write(p)
}
func (b *sheet) ReadAt(p []byte, at int64) (int, error) {
	if b.closed {
		return 0, fs.ErrClosed
	}
	return bytes.NewReader(b.Bytes()).ReadAt(p, at)
}
func (b *sheet) Size() int64 { return int64(b.Len()) }

func (b *sheet) Close() error {
	if b.closed {
		panic("a body is closed twice")
	}
	b.closed = true
	b.shelf.open.Add(-1)
	return nil
}

func (q *shelf) NewBody() (mail.Body, error) {
	q.open.Add(1)
	return &sheet{shelf: q}, nil
}

func (q *shelf) Put(ctx context.Context, m *mail.Message, content mail.ContentCloser) error {
	defer content.Close()
	if q.in != nil {
		q.in <- struct{}{}
	}
	if q.gate != nil {
		select {
		case <-q.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	octets, err := io.ReadAll(io.NewSectionReader(content, 0, content.Size()))
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.kept = append(q.kept, kept{m, octets})
	}
	return q.err
}

func (q *shelf) PutAndHear(ctx context.Context, m *mail.Message, content mail.ContentCloser) (*mail.Attempt, error) {
	return q.refused, q.Put(ctx, m, content)
}

func (q *shelf) all() []kept {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.kept)
}

// noKeys is a rewrite.Linker whose tokens nobody checks.
type noKeys struct{}

func (noKeys) Key() mail.KeyID { return mail.KeyID{1, 2, 3, 4} }
func (noKeys) AppendToken(dst []byte, _ mail.Token) ([]byte, error) {
	return append(dst, strings.Repeat("t", mail.TokenLen)...), nil
}
func (noKeys) Verify(mail.Purpose, string, string) (mail.Token, error) {
	return mail.Token{}, mail.ErrNotFound
}

func newAlign(t testing.TB, name string, mode align.Mode) *align.Account {
	t.Helper()
	a, err := align.NewAccount(align.Settings{
		Name:        name,
		Mode:        mode,
		DefaultFrom: "default@example.com",
		Providers:   []align.Provider{{Name: "main", Login: "shop@example.com", LoginIsMailbox: true, Senders: []string{"@example.com"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func networks(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// settings are those of most tests: one listener for this machine and for
// 192.0.2.0/24, whose line ends are not tolerated, and one account.
func settings(t testing.TB) Settings {
	t.Helper()
	rw, err := rewrite.New(rewrite.Settings{BaseURL: "https://track.example.com"}, noKeys{})
	if err != nil {
		t.Fatal(err)
	}
	return Settings{
		Hostname: "relay.example.com",
		Limits: Limits{
			Message: 100_000, Recipients: 5, Connections: 50, ConnectionsPerClient: 3, LoginFailures: 3,
			Read: 10 * time.Second, Idle: 10 * time.Second, Session: time.Minute,
		},
		Listeners: []Listener{{
			Address: "127.0.0.1:0", TLS: "off", Auth: "optional",
			Clients: networks("127.0.0.0/8", "::1/128", "192.0.2.0/24"),
		}},
		Accounts: []Account{{
			Username: "shop", Password: "secret", Networks: networks("127.0.0.0/8", "192.0.2.0/24"),
			Align: newAlign(t, "shop", align.Reject),
		}},
		Tracking: Tracking{Opens: true, Clicks: true, Privacy: mail.Identified, Public: true},
		Rewriter: rw,
	}
}

func newPolicy(t testing.TB, s Settings) *Policy {
	t.Helper()
	p, err := NewPolicy(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A rig is a server that runs until the test ends.
type rig struct {
	t      testing.TB
	server *Server
	queue  *shelf
	log    *logBuffer
	stop   context.CancelFunc
	done   chan struct{}
}

func start(t testing.TB, s Settings) *rig {
	t.Helper()
	r := &rig{t: t, queue: &shelf{}, log: &logBuffer{}, done: make(chan struct{})}
	r.server = New(newPolicy(t, s), r.queue, clock.NewFake(now), slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), nil)
	if err := r.server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() {
		defer close(r.done)
		r.server.Serve(ctx)
	}()
	t.Cleanup(r.close)
	return r
}

// close ends the server; clients that still speak are cut off.
func (r *rig) close() {
	r.stop()
	r.server.each((*front).cut)
	<-r.done
	if n := r.queue.open.Load(); n != 0 {
		r.t.Errorf("%d bodies were left open", n)
	}
}

// connect connects from this machine.
func (r *rig) connect() *mailtest.Client {
	r.t.Helper()
	return mailtest.Connect(r.t, r.server.Addrs()[0].String())
}

// dial connects and reads the banner.
func (r *rig) dial() *mailtest.Client {
	r.t.Helper()
	c := r.connect()
	expect(r.t, c, "220 relay.example.com")
	return c
}

// connectFrom connects as a client at addr would.
func (r *rig) connectFrom(addr string) *mailtest.Client {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	c := mailtest.Connect(r.t, l.Addr().String())
	conn, err := l.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	r.server.take(0, farConn{conn, addr})
	return c
}

// farConn says that it comes from elsewhere.
type farConn struct {
	net.Conn
	addr string
}

func (c farConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.addr), 4321))
}

func expect(t testing.TB, c *mailtest.Client, prefix string) string {
	t.Helper()
	r, err := c.Read()
	if err != nil || !strings.HasPrefix(r, prefix) {
		t.Fatalf("got %q, %v; want %q", r, err, prefix)
	}
	return r
}

// expectClosed fails unless the server has nothing more to say.
func expectClosed(t testing.TB, c *mailtest.Client) {
	t.Helper()
	if r, err := c.Read(); err == nil || os.IsTimeout(err) {
		t.Fatalf("got %q, %v; want the connection closed", r, err)
	}
}

// logBuffer keeps a log.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// certFiles writes a certificate and its key as files, and returns what a
// client needs to trust it.
func certFiles(t testing.TB) (cert, key string, trust *tls.Config) {
	t.Helper()
	ca := mailtest.NewCA(t)
	pair := ca.Valid().Certificates[0]
	der, err := x509.MarshalECPrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(path, kind string, der []byte) {
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(cert, "CERTIFICATE", pair.Certificate[0])
	write(key, "EC PRIVATE KEY", der)
	return cert, key, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
}
