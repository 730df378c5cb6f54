package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// All that is wrong is told at once, by line, also where one value cannot even
// be read; what may follow from that is not.
func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string
		want []string // how the lines begin
	}{
		"of all kinds": {`hostnam: x
limits: {message: lots}
listeners:
  - {address: nowhere, clients: [127.0.0.0/8]}
accounts:
  one:
    networks: [127.0.0.0/8]
    align: perhaps
    providers:
      main: {preset: gmial}
  two:
    login: {username: two, password: x}
    default_provider: second
    providers:
      second: {preset: ses, username: AKIAABCDEFGHIJKLMNOP, password: "01234567890123456789012345678901234567890123", senders: ["@com"]}
  three:
    login: {username: three, password: x}
    align: rewrite
    providers:
      first: {preset: navre, username: shop, password: sesam}
`, []string{"1: hostnam: unknown key", "2: limits.message: ", "4: listeners.0.address: ", "8: accounts.one.align: ", "15: accounts.two.providers.second.region: is missing", "15: accounts.two.providers.second.senders.0: ",
			"20: accounts.three.providers.first.preset: preset \"navre\" is unknown; did you mean naver?"}},
		"an account that is none": {"accounts: {one: [x], two: {login: {username: a, password: b}}}\n", []string{"1: accounts.one: ", "1: accounts.two.providers: "}},
		"none of it":              {"accounts: 5\nlisteners: {}\n", []string{"1: accounts: ", "2: listeners: "}},
		"a secret that is not there": {"accounts:\n  one:\n    login: {username: a, password: \"env:NOWHERE\"}\n    providers: {a: {preset: gmail, username: a@example.com, password: \"env:NOWHERE\"}}\n", []string{
			"3: accounts.one.login.password: ", "4: accounts.one.providers.a.password: "}},
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(c.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		out, code := run(t, nil, "check", "--config", file)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if code != exitUsage || len(lines) != len(c.want) {
			t.Errorf("%s: exit %d\n%s", name, code, out)
			continue
		}
		for i, line := range lines {
			if !strings.HasPrefix(line, file+":"+c.want[i]) {
				t.Errorf("%s: %s, want %s", name, line, c.want[i])
			}
		}
	}
}
