package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"backstamp/config"
)

// manyDoors is a configuration with every kind of listener that may start, all
// for one address of this machine.
func manyDoors(t *testing.T) string {
	cert, key, _ := certificates(t, t.TempDir())
	var doors []string
	for _, tls := range []string{"off", "starttls", "implicit"} {
		for _, auth := range []string{"off", "optional", "required"} {
			door := `{address: "127.0.0.1:0", clients: [127.0.0.1], auth: "` + auth + `", tls: "` + tls + `"`
			if tls != "off" {
				door += `, cert: "` + cert + `", key: "` + key + `"`
			}
			doors = append(doors, door+"}")
		}
	}
	conf := relayConfig("127.0.0.1:9", "")
	conf = strings.Replace(conf, `[{address: "127.0.0.1:0", clients: [127.0.0.0/8]}]`, "["+strings.Join(doors, ", ")+"]", 1)
	return strings.Replace(conf, "    networks: [127.0.0.0/8]\n", "    networks: [127.0.0.0/8]\n    login: {username: shop, password: secret}\n", 1)
}

// TestSelftest: no listener of any kind relays for a stranger, and the test says
// what it did: with a server that runs and without one.
func TestSelftest(t *testing.T) {
	in := start(t, manyDoors(t))
	for _, when := range []string{"while it runs", "without a server"} {
		byConnection, doors := map[string]int{}, 0
		for _, row := range in.rows("selftest") {
			if row["result"] != "closed" {
				t.Errorf("%s: %v", when, row)
			}
			if row["method"] == "configuration" {
				doors++
			} else {
				byConnection[row["form"].(string)]++
			}
		}
		if doors != 9 {
			t.Errorf("%s: %d listeners by configuration", when, doors)
		}
		for form, n := range byConnection {
			if n != 9 {
				t.Errorf("%s: %s at %d listeners", when, form, n)
			}
		}
		if runtime.GOOS == "linux" && len(byConnection) < 20 {
			t.Errorf("%s: %d forms", when, len(byConnection))
		}
		if out := in.ok("selftest"); !strings.Contains(out, "closed: 9 listeners") {
			t.Errorf("%s:\n%s", when, out)
		}
		in.stop()
	}
	if out, code := in.run("selftest", "--set", "accounts.shop.align=x"); code != exitUsage {
		t.Errorf("a bad configuration: exit %d\n%s", code, out)
	}
}

// TestSelftestListed: where every address of this machine is listed, no
// connection can tell anything, and that is said.
func TestSelftestListed(t *testing.T) {
	conf := strings.Replace(relayConfig("127.0.0.1:9", ""), "clients: [127.0.0.0/8]", `clients: [127.0.0.0/8`+ownNetworks(t)+"]", 1)
	in := start(t, conf)
	rows := in.rows("selftest")
	if len(rows) != 2 || rows[1]["result"] != "untested" || rows[1]["source"] != nil {
		t.Errorf("rows %v", rows)
	}
}

func ownNetworks(t *testing.T) (list string) {
	for _, a := range ownAddresses() {
		if !a.IsLoopback() {
			list += `, "` + a.String() + `"`
		}
	}
	return list
}

// TestSelftestOpen: networks that add up to a good part of the internet are an
// open relay, which one by one they are not.
func TestSelftestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "backstamp.yaml")
	conf := strings.Replace(relayConfig("127.0.0.1:9", ""), "clients: [127.0.0.0/8]", "clients: [127.0.0.0/8, 41.0.0.0/9, 41.128.0.0/9]", 1)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := run(t, nil, "--config", file, "selftest")
	if code != exitFailed || !strings.Contains(out, "16777216 addresses of the internet are listed") || !strings.Contains(out, "open: 1 of ") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if n := publicAddresses([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("198.51.100.0/24")}); n != 256 {
		t.Errorf("%d public addresses", n)
	}
	if _, err := config.Load(file, nil, nil); err != nil {
		t.Fatal(err)
	}
}
