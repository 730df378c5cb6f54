package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
	"backstamp/rewrite"
)

func TestQueueActions(t *testing.T) {
	one, two := fullID().String(), bareID().String()
	for _, c := range []struct{ action, body, want string }{
		{"retry", `{}`, "retry"},
		{"retry", `{"ids":["` + one + `","` + two + `"]}`, "retry " + one + " " + two},
		{"hold", `{"ids":["` + one + `","` + two + `"]}`, "hold " + one + "; hold " + two},
		{"drop", `{"ids":["` + one + `"],"to":""}`, "drop " + one},
		{"move", `{"ids":["` + one + `"],"to":"shop/spare"}`, "move to shop/spare " + one},
	} {
		in := newHouse(t, nil)
		w := in.ask(http.MethodPost, "/api/v1/queue/"+c.action, c.body)
		n := strings.Count(c.body, "0410")
		if want := `{"changed":` + string(rune('0'+n)) + "}\n"; w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s %s: %d %s", c.action, c.body, w.Code, w.Body)
		}
		if got := strings.Join(in.queue.told, "; "); got != c.want {
			t.Errorf("%s %s: told %q, want %q", c.action, c.body, got, c.want)
		}
	}
}

// A refused action changes nothing, not even what stands before its fault.
func TestQueueRefuses(t *testing.T) {
	one := fullID().String()
	for _, c := range []struct {
		action, body string
		status       int
		detail       string
	}{
		{"burn", `{"ids":["` + one + `"]}`, 404, "the queue knows retry, hold, drop and move"},
		{"hold", `{}`, 400, "hold needs the id of a message"},
		{"drop", `{"ids":[]}`, 400, "drop needs the id of a message"},
		{"move", `{"ids":["` + one + `"]}`, 400, "move needs the ACCOUNT/NAME to move to"},
		{"move", `{"to":"shop/spare"}`, 400, "move needs the id of a message"},
		{"hold", `{"ids":["` + one + `","` + noID().String() + `"]}`, 404, `no such message: \"` + noID().String()},
		{"drop", `{"ids":["` + one + `","7"]}`, 404, `no such message: \"7\"`},
		{"retry", ``, 400, "the request is empty; expected a JSON object"},
		{"retry", `{`, 400, "malformed request: unexpected EOF"},
		{"retry", `{"id":"x"}`, 400, `malformed request: unknown field \"id\"`},
		{"retry", `{"ids":"x"}`, 400, `malformed request: no string expected at \"ids\"`},
		{"retry", `[]`, 400, `malformed request: no array expected at \"\"`},
		{"retry", `{} {}`, 400, "malformed request: more follows the object"},
		{"retry", `{"to":"` + strings.Repeat("x", bodyMax) + `"}`, 413, "the request is longer than 1048576 octets"},
	} {
		in := newHouse(t, nil)
		problem(t, in.ask(http.MethodPost, "/api/v1/queue/"+c.action, c.body), c.status, c.detail)
		if len(in.queue.told) > 0 {
			t.Errorf("%s %.50s: told %q", c.action, c.body, in.queue.told)
		}
	}
}

// What an action refuses is told; other errors stay in the log.
func TestQueueErrors(t *testing.T) {
	body := `{"ids":["` + fullID().String() + `"],"to":"shop/spare"}`
	in := newHouse(t, nil)
	in.queue.err = Refuse("its senders do not match %s", "shop/spare")
	problem(t, in.ask(http.MethodPost, "/api/v1/queue/move", body), http.StatusConflict, "its senders do not match shop/spare")
	if in.log.Len() > 0 {
		t.Errorf("logged %s", in.log)
	}
	in.queue.err = errors.New("write /var/lib/backstamp/mail.db: no space")
	for _, action := range []string{"retry", "hold", "drop", "move"} {
		problem(t, in.ask(http.MethodPost, "/api/v1/queue/"+action, body), http.StatusInternalServerError, "internal error; the log says more")
	}
	if !strings.Contains(in.log.String(), "no space") {
		t.Errorf("logged %s", in.log)
	}
}

func TestSimulate(t *testing.T) {
	full, shared := fullID().String(), sharedID().String()
	for body, want := range map[string][2]string{
		`{"kind":"open","id":"` + full + `"}`:                                                      {testBase + "/o/o-00001-00000-", "human"},
		`{"kind":"open","id":"` + full + `","recipient":"LEE@example.com","as":"gmail"}`:           {testBase + "/o/o-00002-00000-", "gmail"},
		`{"kind":"click","id":"` + full + `"}`:                                                     {testBase + "/c/c-00001-00001-", "human"},
		`{"kind":"click","id":"` + full + `","link":2,"recipient":"lee@example.com","as":"human"}`: {testBase + "/c/c-00002-00002-", "human"},
		`{"kind":"click","id":"` + shared + `","recipient":"lee@example.com"}`:                     {testBase + "/c/c-00000-00001-", "human"},
	} {
		in := newHouse(t, nil)
		w := in.ask(http.MethodPost, "/api/v1/simulate", body)
		const hit = `{"status":302,"location":"https://example.com/?a=1&b=2","class":"human","rule":"browser"}` + "\n"
		if w.Code != http.StatusOK || w.Body.String() != hit {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
		if !strings.HasPrefix(in.sim.url, want[0]) || in.sim.actor != want[1] {
			t.Errorf("%s: %s as %s", body, in.sim.url, in.sim.actor)
		}
	}
}

func TestSimulateRefuses(t *testing.T) {
	full := fullID().String()
	in := newHouse(t, nil)
	for body, want := range map[string]struct {
		status int
		detail string
	}{
		`{"kind":"open","id":"` + noID().String() + `"}`: {404, `no such message: \"` + noID().String()},
		`{"kind":"open"}`:                     {404, `no such message: \"\"`},
		`{"kind":"read","id":"` + full + `"}`: {400, `\"read\" cannot be simulated; expected open or click`},
		`{"id":"` + full + `"}`:               {400, `\"\" cannot be simulated; expected open or click`},
		`{"kind":"open","id":"` + full + `","recipient":"a@b.example"}`: {404, "the message has no such recipient"},
		`{"kind":"click","id":"` + full + `","link":9}`:                 {404, "the message has no link 9"},
		`{"kind":"click","id":"` + full + `","link":-1}`:                {404, "the message has no link -1"},
		`{"kind":"click","id":"` + full + `","link":3}`:                 {404, "link 3 is not tracked: " + rewrite.LinkScheme},
		`{"kind":"open","id":"` + bareID().String() + `"}`:              {404, "the message is not tracked: " + rewrite.ReasonNoHTML},
		`{"kind":"open","id":"` + full + `","as":"nobody"}`:             {400, `no actor \"nobody\"; expected one of human, gmail`},
		`{"kind":"open","id":"` + full + `","link":"1"}`:                {400, `malformed request: no string expected at \"link\"`},
	} {
		problem(t, in.ask(http.MethodPost, "/api/v1/simulate", body), want.status, want.detail)
	}
}

func TestReload(t *testing.T) {
	in := newHouse(t, nil)
	if w := in.ask(http.MethodPost, "/api/v1/reload", ""); w.Code != http.StatusOK || w.Body.String() != `{"reloaded":true}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	in = newHouse(t, func(_ *Settings, do *Actions, _ *fakeStore) {
		do.Reload = func(context.Context) error {
			return errors.New("backstamp.yaml:3: hostnam: unknown key; expected hostname")
		}
	})
	problem(t, in.ask(http.MethodPost, "/api/v1/reload", ""), http.StatusUnprocessableEntity, "backstamp.yaml:3: hostnam: unknown key")
}

func TestRotateKeys(t *testing.T) {
	in := newHouse(t, nil)
	if w := in.ask(http.MethodPost, "/api/v1/keys/rotate", ""); w.Code != http.StatusOK || w.Body.String() != `{"id":"abcd0102"}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	in = newHouse(t, func(_ *Settings, do *Actions, _ *fakeStore) {
		do.RotateKeys = func() (mail.KeyID, error) { return mail.KeyID{}, errors.New("open /var/lib/keys: permission denied") }
	})
	problem(t, in.ask(http.MethodPost, "/api/v1/keys/rotate", ""), http.StatusInternalServerError, "internal error; the log says more")
}

// Without a server every action says so, and reading works.
func TestActionsWithoutServer(t *testing.T) {
	in := newHouse(t, func(_ *Settings, do *Actions, _ *fakeStore) { *do = Actions{} })
	for _, path := range []string{"/queue/retry", "/queue/hold", "/simulate", "/reload", "/keys/rotate"} {
		problem(t, in.ask(http.MethodPost, "/api/v1"+path, "{}"), http.StatusConflict,
			"no server runs on this data_dir; start it with: backstamp serve")
	}
	for _, path := range slices.Concat(endpoints(http.MethodGet), []string{"/", "/messages/" + fullID().String()}) {
		if strings.HasSuffix(path, "/sent") {
			continue
		}
		if w := in.get(path); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
