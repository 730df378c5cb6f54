package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
)

// play runs simulate provider until the test ends and returns the address it
// printed and the lines that follow.
func play(t *testing.T, args ...string) (addr string, lines *bufio.Scanner) {
	t.Helper()
	r, w := io.Pipe()
	p := &program{in: strings.NewReader(""), out: w, err: w, clock: clock.System{}}
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() {
		defer w.Close()
		code <- p.run(ctx, append([]string{"simulate", "provider"}, args...))
	}()
	t.Cleanup(func() {
		cancel()
		r.Close()
		if c := <-code; c != exitDone {
			t.Errorf("exit %d", c)
		}
	})
	lines = bufio.NewScanner(r)
	lines.Scan()
	if _, _, err := net.SplitHostPort(lines.Text()); err != nil {
		t.Fatalf("printed %q", lines.Text())
	}
	return lines.Text(), lines
}

func TestSimulateProvider(t *testing.T) {
	addr, lines := play(t, "gmail", "--listen", "127.0.0.1:0", "--daily", "1", "--verbose")
	for _, want := range []string{"1 dot <a@x.test> to 1: 250 2.0.0 OK", "2 mail <a@x.test> to 0: 550-5.4.5 Daily user sending quota exceeded"} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			c := mailtest.Dial(t, addr)
			defer c.Close()
			c.Expect("EHLO app.test", "250-smtp.gmail.com at your service")
			c.Expect("AUTH PLAIN AGFAeC50ZXN0AHNlc2Ft", "235") // a@x.test, sesam
			c.SendMail("a@x.test", []string{"b@y.test"}, "Subject: hi\n\nhi\n")
		}()
		if lines.Scan(); !strings.HasPrefix(lines.Text(), want) {
			t.Errorf("printed %q, want %q", lines.Text(), want)
		}
		<-done
	}
}

// The certificate that is written is the one that is shown.
func TestSimulateProviderTLS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cert.pem")
	addr, _ := play(t, "kakao", "--tls", "implicit", "--write-cert", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	c := mailtest.Connect(t, addr)
	c.StartTLS(&tls.Config{ServerName: "127.0.0.1", RootCAs: roots})
	if r, _ := c.Read(); r != "220 smtp.kakao.com ESMTP" {
		t.Errorf("banner %q", r)
	}
}

func TestSimulateProviderUsage(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for args, want := range map[string]string{
		"gmial":                                   `no simulator for "gmial"; expected one of brevo, daum`,
		"ses --trouble typhoon":                   `ses has no trouble "typhoon"; expected one of bad-address, close-auth`,
		"ses --trouble iam,at=3":                  `"at=3" is not understood; expected NAME[,after=N][,times=N]`,
		"microsoft365 --tls implicit":             `microsoft365 has no tls "implicit"; expected off or one of starttls`,
		"gmail --login secretword":                `--login has no password; expected USER:PASSWORD`,
		"gmail --listen " + taken.Addr().String(): taken.Addr().String(),
	} {
		out, code := run(t, nil, append([]string{"simulate", "provider"}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(out, want) || strings.Contains(out, "secretword") {
			t.Errorf("%s: exit %d, %q", args, code, out)
		}
	}
}

func TestSimulateProviderLists(t *testing.T) {
	rows := 0
	out, code := run(t, nil, "simulate", "provider", "ses", "--list", "--json")
	for _, row := range decodeRows(t, out) {
		rows++
		if row["name"] == "iam-arn" && (row["stage"] != "dot" || row["reply"] != "554 Access denied: User ARN is not authorized to perform ses:SendRawEmail") {
			t.Errorf("%v", row)
		}
	}
	if text, _ := run(t, nil, "simulate", "provider", "ses", "--list"); code != exitDone || rows < 30 || strings.Count(text, "\n") != rows+1 {
		t.Errorf("exit %d, %d rows, %d lines", code, rows, strings.Count(text, "\n"))
	}
}
