package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
)

// diagnosis runs doctor and returns "check subject" → "state id".
func (in *instance) diagnosis(args ...string) (found map[string]string, code int) {
	in.t.Helper()
	out, code := in.run(append([]string{"doctor", "--json"}, args...)...)
	found = map[string]string{}
	for _, row := range decodeRows(in.t, out) {
		text := row["state"].(string)
		if x, ok := row["explain"].(map[string]any); ok {
			text += " " + x["id"].(string)
			if x["title"] == "" {
				in.t.Errorf("no words for %v", x["id"])
			}
		}
		subject := row["subject"].(string)
		if check := row["check"]; check == "clock" || check == "tracking" || check == "disk" {
			subject = ""
		}
		found[strings.TrimSpace(row["check"].(string)+" "+strings.TrimPrefix(subject, in.dir+string(filepath.Separator)))] = text
	}
	return found, code
}

// front is a reverse proxy before the tracking listener of an instance that
// starts later.
func front(t *testing.T) (base string, lead func(*instance)) {
	var to atomic.Pointer[httputil.ReverseProxy]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { to.Load().ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	return s.URL, func(in *instance) {
		to.Store(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: in.bound.Tracking.String()}))
	}
}

func TestDoctor(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	base, lead := front(t)
	in := start(t, strings.Replace(relayConfig(upstream.Addr, ""), publicBase, base, 1))
	lead(in)

	found, code := in.diagnosis()
	if code != exitDone || len(found) != 6 {
		t.Errorf("exit %d, %v", code, found)
	}
	for _, check := range []string{"provider shop/main", "tracking", "clock", "disk", "permissions data", "permissions " + filepath.Join("data", "keys")} {
		if found[check] != "ok" {
			t.Errorf("%s: %q of %v", check, found[check], found)
		}
	}
	upstream.WaitHeard(t, "QUIT", 1)
	if n := upstream.Heard("MAIL"); n != 0 {
		t.Errorf("MAIL came %d times", n)
	}

	// What is only odd is 3, what fails is 1.
	upstream.On(mailtest.Banner, mailtest.Reply("554 5.7.1 \x1b[2J go away"))
	if found, code := in.diagnosis(); code != exitFailed || found["provider shop/main"] != "fail generic.turned-away" {
		t.Errorf("a provider that refuses: exit %d, %v", code, found)
	}
	upstream.On(mailtest.Banner, mailtest.Reply("554 5.7.1 \x1b[2J go away"))
	if out, _ := in.run("doctor", "--lang", "ko"); !strings.Contains(out, "입구에서 거절되었습니다") || !strings.Contains(out, "go away") || strings.Contains(out, "\x1b") {
		t.Errorf("for people:\n%s", out)
	}
	upstream.On(mailtest.Banner, mailtest.Normal())
	if err := os.WriteFile(in.config, []byte(strings.Replace(relayConfig(upstream.Addr, ""), publicBase, "https://"+freeAddress(t), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, code := in.diagnosis(); code != exitFailed || found["tracking"] != "fail doctor.unreachable" {
		t.Errorf("a base URL that leads nowhere: exit %d, %v", code, found)
	}
	in.stop()
	if found, code := in.diagnosis(); code != exitDegraded || found["tracking"] != "warn doctor.no-server" {
		t.Errorf("no server: exit %d, %v", code, found)
	}
}

// Those who take long keep nobody waiting.
func TestDoctorSideBySide(t *testing.T) {
	gate := make(chan struct{})
	one, two := mailtest.Start(t, mailtest.Script{}), mailtest.Start(t, mailtest.Script{})
	for _, p := range []*mailtest.Peer{one, two} {
		p.On(mailtest.Banner, mailtest.After(gate, mailtest.Normal()))
	}
	go func() {
		one.WaitOpen(t, 1)
		two.WaitOpen(t, 1)
		close(gate)
	}()
	_, port, _ := strings.Cut(two.Addr, ":")
	in := halted(t, relayConfig(one.Addr, `
      spare: {preset: generic, host: 127.0.0.1, port: `+port+`, tls: "off"}
    default_provider: main
`))
	if found, _ := in.diagnosis(); found["provider shop/main"] != "ok" || found["provider shop/spare"] != "ok" {
		t.Errorf("got %v", found)
	}
}

// halted is an instance that does not run.
func halted(t *testing.T, yaml string) *instance {
	in := &instance{t: t, dir: t.TempDir()}
	in.config = filepath.Join(in.dir, "backstamp.yaml")
	if err := os.WriteFile(in.config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return in
}

// What a provider tracks by itself is told where no field can stop it.
func TestDoctorDoubleTracking(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	yaml := strings.Replace(relayConfig(upstream.Addr, ""), "preset: generic", "preset: brevo", 1)
	if found, code := halted(t, yaml).diagnosis(); code != exitDegraded || found["double-tracking shop/main"] != "warn doctor.double-tracking" {
		t.Errorf("exit %d, %v", code, found)
	}
	off := strings.Replace(yaml, "tracking: {", "tracking: {privacy: off, ", 1)
	if found, code := halted(t, off).diagnosis(); code != exitDone || found["double-tracking shop/main"] != "" || found["tracking"] != "ok" {
		t.Errorf("tracking is off: exit %d, %v", code, found)
	}
}

// Readers outside cannot reach what is not public.
func TestDoctorBaseURL(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	yaml := strings.Replace(relayConfig(upstream.Addr, ""), "host: \"127.0.0.1\"", "host: smtp.invalid", 1)
	for _, base := range []string{`base_url: "http://10.255.255.1:1"`, ""} {
		in := halted(t, strings.Replace(yaml, `base_url: "`+publicBase+`"`, base, 1))
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // the address is not asked for
		p := &program{clock: clock.System{}, configFile: in.config}
		conf, err := p.load()
		if err != nil {
			t.Fatal(err)
		}
		if f := p.examineTracking(ctx, conf, allProviders(conf)); f.state != doubted || f.explain.ID != "doctor.base-url" {
			t.Errorf("%q: %+v", base, f)
		}
	}
}

func TestDoctorPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes mean nothing here")
	}
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, strings.Replace(relayConfig(upstream.Addr, ""), "shop:\n", "shop:\n    login: {username: shop, password: sesam}\n", 1))
	in.stop()
	if found, _ := in.diagnosis(); found["permissions backstamp.yaml"] != "ok" {
		t.Errorf("0600: %v", found)
	}
	keys, err := filepath.Glob(filepath.Join(in.dir, "data", "keys", "*"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	for _, file := range []string{in.config, keys[0]} {
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, code := in.diagnosis()
	if code != exitFailed || found["permissions backstamp.yaml"] != "warn doctor.plain-secrets" || found["permissions "+filepath.Join("data", "keys")] != "fail doctor.keys" {
		t.Errorf("0644: exit %d, %v", code, found)
	}
	if out, _ := in.run("doctor"); strings.Contains(out, "sesam") {
		t.Errorf("the secret is shown:\n%s", out)
	}
	if f := examineDataDir(in.config); f.state != bad {
		t.Errorf("no directory: %+v", f)
	}
	if left, _ := filepath.Glob(filepath.Join(in.dir, "data", ".doctor*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDoctorClock(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "store.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &program{clock: clock.System{}}
	for ahead, want := range map[time.Duration]string{-time.Hour: fine, clockSlack / 2: fine, time.Hour: bad} {
		at := time.Now().Add(ahead)
		if err := os.Chtimes(filepath.Join(dir, "store.db"), at, at); err != nil {
			t.Fatal(err)
		}
		if f := p.examineClock(dir); f.state != want || !strings.Contains(f.text, "store.db") {
			t.Errorf("%v ahead: %+v", ahead, f)
		}
	}
}

func TestDoctorDisk(t *testing.T) {
	const gib, mib = 1 << 30, 1 << 20
	for _, c := range []struct {
		free, total uint64
		err         error
		want        string
	}{
		{8 * gib, 100 * gib, nil, fine}, {100 * mib, 100 * gib, nil, doubted}, {60 * mib, 100 * gib, nil, bad}, {0, 0, errors.ErrUnsupported, fine},
	} {
		f := examineDisk(filepath.Join(t.TempDir(), "not", "there", "yet"), func(dir string) (uint64, uint64, error) {
			if _, err := os.Stat(dir); err != nil {
				t.Error(err)
			}
			return c.free, c.total, c.err
		})
		if f.state != c.want {
			t.Errorf("%d of %d: %+v", c.free, c.total, f)
		}
	}
}

func TestReach(t *testing.T) {
	at := func(answer http.HandlerFunc) string {
		s := httptest.NewServer(answer)
		t.Cleanup(s.Close)
		return s.URL
	}
	say := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			io.WriteString(w, text)
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string // of the error
	}{
		"ours":       {say(200, "ok\n"), ""},
		"a web page": {say(200, "<html>"), "200 by something else"},
		"not there":  {say(404, "ok"), "404 by something else"},
		"elsewhere":  {http.RedirectHandler("https://www.example.com/", http.StatusMovedPermanently).ServeHTTP, "301 and sent on to"},
		"endless":    {say(200, strings.Repeat("ok ", 1<<20)), "something else"},
		"broken off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		err := (&program{}).reach(t.Context(), at(c.answer)+"/mail")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	hang := at(func(_ http.ResponseWriter, r *http.Request) {
		cancel(errors.New("too late"))
		<-r.Context().Done()
	})
	if err := (&program{}).reach(ctx, hang); err == nil || err.Error() != "too late" {
		t.Errorf("hanging: %v", err)
	}
}

func TestFold(t *testing.T) {
	p := &program{out: io.Discard}
	var b strings.Builder
	tab := p.table("A", "B")
	tab.row("x", "가나다 "+strings.Repeat("word ", 12)+strings.Repeat("y", 50)+" end")
	tab.row("z", "")
	if err := tab.fold(40).flush(&b); err != nil {
		t.Fatal(err)
	}
	want := "A  B\nx  가나다 word word word word word word\n   word word word word word word\n   " + strings.Repeat("y", 50) + "\n   end\nz  \n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
}
