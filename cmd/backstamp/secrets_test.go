package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/track"
)

// secrets are those of a configuration, by what they are for.
type secrets map[string]string

// fresh adds a secret that nothing else looks like, with characters that are
// written in as many ways as there are notations.
func (s secrets) fresh(name string) string {
	r := rand.Text()
	s[name] = strings.ToLower(r[:5]) + "+" + r[5:9] + "/%" + r[9:13] + "é" + r[13:17] + "<" + r[17:21] + `"` + r[21:]
	return s[name]
}

// partMin is how much of a secret, as it is, counts as the secret.
const partMin = 8

// notations are all in which a text may hold a secret, and its parts.
func notations(secret string) (all []string) {
	for i := range len(secret) - partMin + 1 {
		all = append(all, secret[i:i+partMin])
	}
	for before := range 3 {
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := alphabet.EncodeToString(append(make([]byte, before), secret...))
			all = append(all, text[(before*8+5)/6:(before+len(secret))*8/6])
		}
	}
	digits := hex.EncodeToString([]byte(secret))
	quoted, _ := json.Marshal(secret)
	return append(all, digits, strings.ToUpper(digits), url.QueryEscape(secret), url.PathEscape(secret),
		strings.Trim(string(quoted), `"`), strings.Trim(strconv.Quote(secret), `"`), html.EscapeString(secret))
}

// in lists the secrets that a text holds, in whatever notation.
func (s secrets) in(text []byte) (found []string) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if slices.ContainsFunc(notations(s[name]), func(n string) bool { return bytes.Contains(text, []byte(n)) }) {
			found = append(found, name)
		}
	}
	return found
}

// TestSecretsAreFound: the search of TestSecrets finds what it looks for.
func TestSecretsAreFound(t *testing.T) {
	s := secrets{}
	one := s.fresh("one")
	s.fresh("other")
	for _, text := range append(notations(one), base64.StdEncoding.EncodeToString([]byte("\x00joe\x00"+one)), fmt.Sprintf("%q", one), one[3:partMin+3]) {
		if found := s.in([]byte("before " + text + " after")); !slices.Equal(found, []string{"one"}) {
			t.Errorf("%q: %q", text, found)
		}
	}
	if found := s.in([]byte(one[:partMin-1])); found != nil {
		t.Errorf("next to nothing: %q", found)
	}
}

// quoting are replies that quote the password as a server may have it.
func quoting(code int, secret string) string {
	lines := []string{"no", secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte("\x00app@shop.test\x00" + secret)),
		hex.EncodeToString([]byte(secret)), url.QueryEscape(secret), secret[:len(secret)/2], secret[len(secret)/2:]}
	return fmt.Sprintf("%d-5.7.8 ", code) + strings.Join(lines[:len(lines)-1], fmt.Sprintf("\n%d-5.7.8 ", code)) + fmt.Sprintf("\n%d 5.7.8 %s", code, lines[len(lines)-1])
}

// A vault is a program with a secret of each kind, and accounts for what
// becomes of those of providers.
type vault struct {
	*instance
	secrets secrets
	yaml    string
	logins  map[string]string // by account
}

// newVault serves accounts whose providers take a password in all ways, refuse
// it, quote it, or break off.
func newVault(t *testing.T) *vault {
	v := &vault{secrets: secrets{}, logins: map[string]string{}}
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put("dkim.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	v.secrets["dkim"], v.secrets["dkim key"] = base64.StdEncoding.EncodeToString(der), string(key.Seed())
	tracking := track.GenerateKey()
	v.secrets["tracking"] = tracking[strings.LastIndexByte(tracking, '.')+1:]
	v.yaml = fmt.Sprintf(`hostname: relay.test
data_dir: data
listeners: [{address: "127.0.0.1:0", clients: [127.0.0.0/8]}]
tracking: {listen: "127.0.0.1:0", base_url: %q, keys: [%q]}
admin: {listen: "127.0.0.1:0", password: %q}
dkim: [{domain: shop.test, selector: s, key: "file:dkim.pem"}]
accounts:
`, publicBase, tracking, v.secrets.fresh("admin"))
	add := func(account string, stage mailtest.Stage, act func(secret string) mailtest.Action, extensions ...string) {
		secret := v.secrets.fresh(account + " provider")
		peer := mailtest.Start(t, mailtest.Script{Username: "app@shop.test", Password: secret, Extensions: extensions})
		if act != nil {
			peer.On(stage, act(secret))
		}
		place := secret
		switch account {
		case "plain":
			put("password", secret+"\n")
			place = "file:password"
		case "login":
			place = "env:LOGIN_SECRET"
		}
		v.logins[account] = v.secrets.fresh(account + " login")
		v.yaml += fmt.Sprintf("  %s:\n    login: {username: %[1]s, password: %q}\n    providers:\n      main: {preset: generic, host: 127.0.0.1, port: %s, tls: \"off\", username: app@shop.test, password: %q, senders: [\"@shop.test\"]}\n",
			account, v.logins[account], port(peer), place)
	}
	quote := func(code int) func(string) mailtest.Action {
		return func(secret string) mailtest.Action { return mailtest.Reply(quoting(code, secret)) }
	}
	add("plain", "", nil, "AUTH PLAIN")
	add("login", "", nil, "AUTH LOGIN")
	add("cram", "", nil, "AUTH CRAM-MD5")
	add("parked", mailtest.Auth, quote(535), "AUTH PLAIN")
	add("busy", mailtest.Auth, quote(454), "AUTH LOGIN")
	add("odd", mailtest.Auth, func(secret string) mailtest.Action { return mailtest.Reply("what is " + secret + "?") }, "AUTH CRAM-MD5")
	add("refused", mailtest.Mail, quote(550), "AUTH PLAIN")
	add("nobody", mailtest.Rcpt, quote(550), "AUTH PLAIN")
	add("later", mailtest.Dot, quote(451), "AUTH PLAIN")
	add("taken", mailtest.Dot, func(secret string) mailtest.Action { return mailtest.Reply("250 2.0.0 queued as " + secret) }, "AUTH PLAIN")
	add("greets", mailtest.Banner, quote(554), "AUTH PLAIN")
	add("offers", mailtest.EHLO, func(secret string) mailtest.Action { return mailtest.Reply("250-hello\n250 AUTH X-" + secret) })
	put("backstamp.yaml", v.yaml)
	v.instance = startWith(t, dir, filepath.Join(dir, "backstamp.yaml"), func(p *program) {
		p.env, p.level = []string{"LOGIN_SECRET=" + v.secrets["login provider"]}, slog.LevelDebug
	})
	return v
}

// port is that of a peer.
func port(peer *mailtest.Peer) string { return peer.Addr[strings.LastIndexByte(peer.Addr, ':')+1:] }

// username is no secret: what is searched shows it, so that something was
// searched.
const username = "app@shop.test"

// search fails where a text holds a secret.
func (v *vault) search(what, text string) {
	v.t.Helper()
	if found := v.secrets.in([]byte(text)); found != nil {
		v.t.Errorf("%s: %q", what, found) // the text would show them
	}
}

// command runs a command and searches what it prints.
func (v *vault) command(args ...string) string {
	v.t.Helper()
	out, _ := run(v.t, []string{"LOGIN_SECRET=" + v.secrets["login provider"]}, append(args, "--config", v.config)...)
	v.search(fmt.Sprintf("%q", args), out)
	return out
}

// hand gives each account a message with the right login, and with wrong ones.
func (v *vault) hand() (ids []string) {
	for _, account := range slices.Sorted(maps.Keys(v.logins)) {
		secret := v.logins[account]
		c := mailtest.Dial(v.t, v.smtp())
		say := func(line string) {
			v.search("a reply to "+account, c.Cmd(line))
		}
		say("EHLO app.test")
		say("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+secret+"x")))
		say("AUTH PLAIN " + secret)
		say("AUTH LOGIN")
		say(base64.StdEncoding.EncodeToString([]byte("nobody")))
		say(base64.StdEncoding.EncodeToString([]byte(secret)))
		say(secret)
		say("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+secret)))
		reply := c.SendMail("app@shop.test", []string{"reader@example.com"}, mailtest.CRLF(page))
		c.Close()
		id, ok := strings.CutPrefix(strings.TrimSpace(reply), "250 2.0.0 queued as ")
		if !ok {
			v.t.Fatalf("%s: %s", account, reply)
		}
		ids = append(ids, id)
		v.until("a try of "+account, func() bool {
			d := decodeRows(v.t, v.command("show", id, "--json"))[0]["deliveries"].([]any)[0].(map[string]any)
			return d["status"] != "queued"
		})
	}
	return ids
}

// browse asks the private side, with the password and without.
func (v *vault) browse(ids []string) {
	paths := []string{"/", "/metrics", "/api/v1/messages", "/api/v1/status", "/api/v1/events", "/api/v1/queue", "/api/v1/clients", "/livez", "/nothing"}
	for _, id := range ids {
		paths = append(paths, "/messages/"+id, "/api/v1/messages/"+id, "/api/v1/messages/"+id+"/raw", "/api/v1/messages/"+id+"/sent")
	}
	seen := 0
	for _, path := range paths {
		for _, password := range []string{"", v.secrets["admin"] + "x", v.secrets["admin"]} {
			r, err := http.NewRequest("GET", "http://"+v.bound.Admin.String()+path, nil)
			if err != nil {
				v.t.Fatal(err)
			}
			r.SetBasicAuth("admin", password)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				v.t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil {
				v.t.Fatal(err)
			}
			if password == v.secrets["admin"] && answer.StatusCode == http.StatusOK {
				seen++
			}
			v.search("GET "+path, fmt.Sprint(answer.Header)+string(body))
		}
	}
	if seen < 7+3*len(ids) {
		v.t.Errorf("%d of %d were answered", seen, len(paths))
	}
}

// mistakes has check and reload read files that are wrong next to each secret.
func (v *vault) mistakes() {
	lines := strings.SplitAfter(v.yaml, "\n")
	tried := 0
	for i, line := range lines {
		if v.secrets.in([]byte(line)) == nil {
			continue
		}
		for _, change := range []struct{ old, new string }{
			{"password: ", "pasword: "}, {"password: \"", "password: [\""}, {"password: \"", "password: {a: \""}, {"password: ", "password "}, {"\"}", "}"}, {"\", senders", ", senders"},
			{"keys: [\"", "keys: [\"x"}, {"keys: [\"", "keys: [[\""}, {"keys: [", "keys: {"}, {"}", ""}, {"username: ", "username "}, {"preset: generic", "preset: gmail"}, {"preset: generic", "preset: ses, region: eu-west-1"},
			{"preset: generic", "preset: sendgrid"}, {"preset: generic", "preset: postmark"}, {"preset: generic", "preset: mailjet"},
		} {
			if !strings.Contains(line, change.old) {
				continue
			}
			tried++
			wrong := slices.Clone(lines)
			wrong[i] = strings.Replace(line, change.old, change.new, 1)
			if err := os.WriteFile(v.config, []byte(strings.Join(wrong, "")), 0o600); err != nil {
				v.t.Fatal(err)
			}
			v.command("check")
			v.command("reload")
		}
	}
	if tried < 200 {
		v.t.Errorf("%d mistakes", tried)
	}
	if err := os.WriteFile(v.config, []byte(v.yaml), 0o600); err != nil {
		v.t.Fatal(err)
	}
	login := v.secrets["plain login"]
	for _, set := range []string{"accounts.nobody.login.password=" + login, "accounts.plain.login=" + login, "admin.pasword=" + login, "admin=" + login, "limits.message=5", "tracking.keys=[" + login + "]"} {
		v.command("check", "--set", set)
	}
	for _, name := range []string{"ADMIN_PASWORD", "ACCOUNTS_PLAIN_LOGIN", "TRACKING_KEYS", "ACCOUNTS_NOBODY_LOGIN_PASSWORD"} {
		out, _ := run(v.t, []string{"LOGIN_SECRET=" + v.secrets["login provider"], "BACKSTAMP_" + name + "=" + login}, "check", "--config", v.config)
		v.search(name, out)
	}
}

// files searches all that is on disk but the keys and what the operator wrote.
func (v *vault) files() {
	n, names := 0, 0
	err := filepath.WalkDir(filepath.Join(v.dir, "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "keys" {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		names += bytes.Count(text, []byte(username))
		if found := v.secrets.in(text); found != nil {
			v.t.Errorf("%s holds %q", path, found)
		}
		return nil
	})
	if err != nil || n < 2 || names == 0 {
		v.t.Errorf("%d files, %d times the name that is no secret, %v", n, names, err)
	}
}

// TestSecrets runs everything with a secret of each kind, and searches all that
// comes out of it.
func TestSecrets(t *testing.T) {
	v := newVault(t)
	ids := v.hand()
	for _, args := range [][]string{
		{"check"}, {"status"}, {"status", "--usage"}, {"doctor"}, {"clients"}, {"messages"}, {"events"}, {"queue", "ls"}, {"providers"}, {"providers", "show", "generic"}, {"keys", "ls"}, {"selftest"}, {"version"},
	} {
		v.command(args...)
		v.command(append(args, "--json")...)
	}
	for _, id := range ids {
		for _, how := range [][]string{nil, {"--transcript"}, {"--json"}, {"--json", "--transcript"}, {"--raw"}, {"--sent"}} {
			v.command(append([]string{"show", id}, how...)...)
		}
	}
	for account := range v.logins {
		for _, how := range [][]string{nil, {"--transcript"}, {"--json"}} {
			v.command(append([]string{"test", account + "/main", "--to", "a@b.test"}, how...)...)
		}
	}
	v.browse(ids)
	v.mistakes()
	v.stop()
	v.command("status")
	v.command("messages", "--json")
	v.search("the log", v.log.String())
	v.search("the greeting", v.out.String())
	v.files()
	for what, text := range map[string]string{
		"a transcript": v.command("test", "parked/main", "--to", "a@b.test", "--transcript"), "the log": v.log.String(), "a listing": v.command("messages", "--json"),
	} {
		if !strings.Contains(text, username) && !strings.Contains(text, "****") {
			t.Errorf("%s has nothing to search: %q", what, text)
		}
	}
	if !strings.Contains(v.log.String(), "level=DEBUG") || !strings.Contains(v.log.String(), "****") {
		t.Error("the log is not that of debugging, or quotes no server")
	}
}
