package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"backstamp/internal/damage"
	"backstamp/internal/mailtest"
)

// userAgent is what the browser calls itself when it has a window: without one
// it says so, and counts as a machine.
const userAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

// A real browser shows the mail that arrived, loads its pixel and clicks its
// link; the message then is opened and clicked.
func TestBrowser(t *testing.T) {
	chromium := mailtest.Tool(t, "chromium")
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<title>shop</title><p id=there>%s</p>", r.URL.RawQuery)
	}))
	defer shop.Close()

	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, strings.Replace(relayConfig(upstream.Addr, ""), publicBase, "http://track.test", 1))
	id := in.send("app@shop.test", "reader@example.com", `From: app@shop.test
Subject: news
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<html><body><p>Hello, <a id=3D"buy" href=3D"`+shop.URL+`/?a=3D1&amp;b=3D2">our s=
hop</a></p></body></html>
`)
	mailPage := filepath.Join(t.TempDir(), "mail.html")
	page, err := damage.Split(upstream.Wait(t).Content).Decoded()
	if err == nil {
		err = os.WriteFile(mailPage, page, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	in.status(id, "sent")

	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.UserAgent(userAgent), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-features", "LocalNetworkAccessChecks"), chromedp.Flag("host-resolver-rules", "MAP track.test:80 "+in.bound.Tracking.String()+", EXCLUDE 127.0.0.1, MAP * ~NOTFOUND"),
	)...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	defer cancel()

	if _, err := chromedp.Run(ctx, chromedp.Navigate("file://"+mailPage)); err != nil {
		t.Fatal(err)
	}
	if d := in.status(id, "opened"); d["opens"] != 1.0 {
		t.Errorf("opened: %v", d)
	}
	if _, err := chromedp.Run(ctx, chromedp.Click("#buy")); err != nil {
		t.Fatal(err)
	}
	there, err := chromedp.Run(ctx, chromedp.Text("#there"))
	if err != nil {
		t.Fatal(err)
	}
	if there != "a=1&b=2" {
		t.Errorf("the click ended at %q", there)
	}
	if d := in.status(id, "clicked"); d["clicks"] != 1.0 {
		t.Errorf("clicked: %v", d)
	}
}

// The line that serve prints for a first message works as it stands.
func TestSwaks(t *testing.T) {
	swaks := mailtest.Tool(t, "swaks")
	in := start(t, `
data_dir: data
listeners: [{address: "127.0.0.1:0", clients: [127.0.0.0/8]}]
tracking: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
`)
	_, rest, ok := strings.Cut(in.out.String(), "  swaks ")
	line, _, end := strings.Cut(rest, "\nthen")
	if !ok || !end {
		t.Fatalf("serve prints no line to paste:\n%s", in.out)
	}
	out, err := exec.Command("sh", "-c", swaks+" "+line).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("250 2.0.0 queued as ")) {
		t.Fatalf("swaks: %v\n%s", err, out)
	}
	rows := in.rows("messages")
	if len(rows) != 1 || rows[0]["tracked"] != true {
		t.Errorf("messages: %v", rows)
	}
}

// Postfix's own sink takes what we relay.
func TestSMTPSink(t *testing.T) {
	sink := mailtest.Tool(t, "smtp-sink")
	dir, err := os.MkdirTemp("", "backstamp") // one that other users reach
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	addr := freeAddress(t)
	args := []string{"-D", filepath.Join(dir, "sink"), addr, "10"}
	if os.Getuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	cmd := exec.Command(sink, args...)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	awaitListener(t, addr)
	in := start(t, relayConfig(addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)
	in.status(id, "sent")
	got, err := os.ReadFile(filepath.Join(dir, "sink"))
	if err != nil || !clickURL.Match(got) || !openURL.Match(got) {
		t.Errorf("the sink's file: %v\n%s\n%s", err, got, log.String())
	}
}
