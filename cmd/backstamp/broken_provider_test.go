package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/internal/simulator"
)

// A brokenProvider is one that test cannot get a message through, and the keys
// by which it is reached.
type brokenProvider struct {
	what string
	keys string
}

// TestBrokenProviders has test find what is wrong with each of them, in both
// languages: a title and a first step.
func TestBrokenProviders(t *testing.T) {
	ca := mailtest.NewCA(t)
	list := brokenProviders(t, ca)
	found := make([]string, len(list))
	t.Run("test", func(t *testing.T) {
		for i, b := range list {
			t.Run(b.what, func(t *testing.T) {
				t.Parallel()
				found[i] = b.what + "\n" + tested(t, ca, b)
			})
		}
	})
	mailtest.Golden(t, "testdata/broken-providers.txt", []byte(strings.Join(found, "")))
}

// tested has test look at a broken provider and returns the title and the first
// step in each language.
func tested(t *testing.T, ca *mailtest.CA, b brokenProvider) string {
	file := filepath.Join(t.TempDir(), "backstamp.yaml")
	conf := "data_dir: data\naccounts: {shop: {networks: [127.0.0.0/8], providers: {main: {" + b.keys + ", senders: [\"@example.com\"]}}}}\n"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, lang := range []string{"en", "ko"} {
		var out lockedBuffer
		p := &program{in: strings.NewReader(""), out: &out, err: &out, clock: clock.System{}, roots: ca.Pool(), signals: func() <-chan os.Signal { return nil }}
		code := p.run(t.Context(), []string{"--config", file, "--lang", lang, "test", "main", "--to", "kim@example.net"})
		m := regexp.MustCompile(`(?s)([A-Z]+) +\S+ +failed.*?shop/main: ([^\n]+)\n.*?1\. ([^\n]+)`).FindStringSubmatch(out.String())
		if code != exitFailed || m == nil {
			t.Errorf("exit %d, no title and steps in\n%s", code, &out)
			continue
		}
		fmt.Fprintf(&got, "  %s: %s\n    1. %s\n", m[1], m[2], m[3])
	}
	return got.String()
}

func brokenProviders(t *testing.T, ca *mailtest.CA) []brokenProvider {
	refused := freeAddress(t)
	plain := mailtest.Start(t, mailtest.Script{})
	list := []brokenProvider{
		{"no such name", `preset: generic, host: smtp.shop.invalid, username: a@example.com, password: sesam`},
		{"refused port", at("generic", refused, "starttls")},
		{"TLS on a plain port", at("generic", plain.Addr, "implicit")},
		{"STARTTLS on a TLS port", at("generic", secure(t, ca.Valid()), "starttls")},
		{"expired certificate", at("generic", secure(t, ca.Expired()), "implicit")},
		{"certificate of another name", at("generic", secure(t, ca.WrongHost()), "implicit")},
		{"certificate that nobody vouches for", at("generic", secure(t, mailtest.SelfSigned(t)), "implicit")},
		{"silence", at("generic", silent(t), "off")},
	}
	for _, c := range []struct{ preset, trouble string }{
		{"gmail", "login-refused"}, {"gmail", "app-password"}, {"microsoft365", "login-refused"}, {"microsoft365", "smtp-auth-off-tenant"},
		{"microsoft365", "smtp-auth-off-mailbox"}, {"microsoft365", "security-defaults"}, {"ses", "login-refused"}, {"sendgrid", "login-refused"},
		{"zoho", "login-refused"}, {"yahoo", "login-refused"}, {"mailgun", "login-refused"}, {"naver", "login-refused"}, {"nhncloud", "login-refused"},
		{"microsoft365", "sender-refused"}, {"ses", "sender-refused"}, {"gmail", "daily-limit"}, {"ses", "daily-limit"},
	} {
		sim := mailtest.Simulate(t, simulator.Options{Preset: c.preset, Troubles: []simulator.Trouble{{Name: c.trouble}}})
		user, secret := loginOf(c.preset, 0)
		list = append(list, brokenProvider{
			c.preset + ": " + c.trouble,
			fmt.Sprintf(`preset: %s, host: 127.0.0.1, port: %d, tls: "off", username: %q, password: %q`, c.preset, sim.Port, user, secret),
		})
	}
	return list
}

func at(preset, addr, mode string) string {
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf(`preset: %s, host: %q, port: %s, tls: %q, username: a@example.com, password: sesam`, preset, host, port, mode)
}

// secure answers on TLS alone, and hangs up after the handshake.
func secure(t *testing.T, conf *tls.Config) string {
	return serveOn(t, func(conn net.Conn) {
		conn = tls.Server(conn, conf)
		bufio.NewReader(conn).ReadString('\n')
	})
}

// silent takes connections and says nothing.
func silent(t *testing.T) string {
	return serveOn(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
}

func serveOn(t *testing.T, f func(net.Conn)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
	return ln.Addr().String()
}
