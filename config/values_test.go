package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

func TestSecretIsNotPrinted(t *testing.T) {
	const word = "hunter2"
	inside := struct {
		Login Login
		Keys  []Secret
		Named map[string]Secret
		Ptr   *Secret
	}{Login{"shop", word}, []Secret{word}, map[string]Secret{"a": word}, new(Secret(word))}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", Secret(word))
		fmt.Fprintf(&out, verb+"\n", inside)
	}
	fmt.Fprintln(&out, Secret(word), inside, fmt.Errorf("login %v", Secret(word)))
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "a", Secret(word), "b", inside, "c", inside.Login)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "a", Secret(word), "b", inside, "c", inside.Login)
	for _, v := range []any{Secret(word), inside, inside.Login} {
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		y, err := yaml.Dump(v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s\n%s\n", j, y)
	}
	hex := fmt.Sprintf("%x", word)
	if s := out.String(); strings.Contains(s, word) || strings.Contains(strings.ToLower(s), hex) {
		t.Errorf("a secret was printed:\n%s", s)
	}
	if n := strings.Count(out.String(), "redacted"); n < 30 {
		t.Errorf("<redacted> stands in the output %d times only:\n%s", n, &out)
	}
	if got := fmt.Sprint(Secret("")); got != "" {
		t.Errorf("the empty secret prints as %q", got)
	}
}

func TestConfigPrintsNoSecret(t *testing.T) {
	c := mustLoad(t, `
admin: {password: hunter2-admin}
tracking: {keys: [hunter2-key]}
accounts:
  shop:
    login: {username: shop, password: hunter2-login}
    providers:
      main: {preset: generic, username: u, password: hunter2-provider}
      pm: {preset: postmark, username: hunter2-token, password: hunter2-token}
`)
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "<redacted>"); n != 6 {
		t.Errorf("%d redacted, want 6", n)
	}
	c.Accounts["shop"].Providers["pm"] = Provider{}
	fmt.Fprintf(&out, "%v %+v %#v", *c, *c, *c)
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a secret was printed:\n%s", &out)
	}
}

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		text string
		want Size
		back string
	}{
		{"0", 0, "0"},
		{"1", 1, "1B"},
		{"1000", 1000, "1000B"},
		{"1024B", 1024, "1KB"},
		{"25MB", 25 << 20, "25MB"},
		{"25mb", 25 << 20, "25MB"},
		{"64KB", 64 << 10, "64KB"},
		{"2GB", 2 << 30, "2GB"},
		{"1536MB", 1536 << 20, "1536MB"},
		{"8589934591GB", 8589934591 << 30, "8589934591GB"},
	} {
		got, err := parseSize(c.text)
		if err != nil || got != c.want || got.String() != c.back {
			t.Errorf("%q: %d, %q, %v; want %d, %q", c.text, int64(got), got, err, int64(c.want), c.back)
		}
	}
	for _, text := range []string{"", "MB", "1.5MB", "-1", "+1", "01", "1 MB", "25MiB", "25M", "8589934592GB", "99999999999999999999"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
		back string
	}{
		{"0s", 0, "0s"},
		{"0", 0, "0s"},
		{"60s", time.Minute, "1m"},
		{"90s", 90 * time.Second, "1m30s"},
		{"1h", time.Hour, "1h"},
		{"1h0m5s", time.Hour + 5*time.Second, "1h0m5s"},
		{"20m", 20 * time.Minute, "20m"},
		{"96h", 96 * time.Hour, "4d"},
		{"30d", 30 * day, "30d"},
		{"1d12h", 36 * time.Hour, "36h"},
		{"100ms", 100 * time.Millisecond, "100ms"},
		{"106751d", 106751 * day, "106751d"},
	} {
		got, err := parseDuration(c.text)
		if err != nil || time.Duration(got) != c.want || got.String() != c.back {
			t.Errorf("%q: %v, %q, %v; want %v, %q", c.text, time.Duration(got), got, err, c.want, c.back)
		}
	}
	for _, text := range []string{"", "5", "-5s", "d", "1.5d", "1d-1h", "-1d", "106752d", "106751d24h", "2w", "1dd", "5 m"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}

func TestParseRate(t *testing.T) {
	for _, text := range []string{"10/s", "600/min"} {
		if got, err := parseRate(text); err != nil || got.String() != text {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "10", "/s", "0/s", "-1/s", "1.5/s", "10/h", "10/m", "10 / s", "10/s/s"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.5.0/24":       "10.0.5.0/24",
		"10.0.5.7/24":       "10.0.5.0/24",
		"10.0.5.7":          "10.0.5.7/32",
		"::1":               "::1/128",
		"fd00::/8":          "fd00::/8",
		"::ffff:10.0.0.1":   "10.0.0.1/32",
		"0.0.0.0/0":         "0.0.0.0/0",
		"2001:db8::5:1/112": "2001:db8::5:0/112",
	} {
		if got, err := parsePrefix(text); err != nil || got.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/", "10.0.0.0/33", "10.0.0/8", "fe80::1%eth0", "localhost", "::ffff:10.0.0.0/104", "10.0.0.1/-1"} {
		if got, err := parsePrefix(text); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}
