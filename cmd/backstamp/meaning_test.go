package main

import (
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

// What a refusal means and what to do is said in the reader's language wherever
// the refusal is shown, and in English in the log.
func TestMeanings(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	upstream.On(mailtest.Mail, mailtest.Reply("530 5.7.0 Authentication required"))
	in := start(t, relayConfig(upstream.Addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)
	in.status(id, "held")
	in.logged("The provider wants a login")
	// What comes next is held because the state is known.
	in.status(in.send("app@shop.test", "other@example.com", page), "held")

	commands := map[string][]string{
		"show": {"show", id}, "show --json": {"show", id, "--json"}, "messages": {"messages", "--json"}, "queue ls": {"queue", "ls", "--json"},
		"status": {"status"}, "status --json": {"status", "--json"},
		"test": {"test", "main", "--to", "a@b.test"}, "test --json": {"test", "main", "--to", "a@b.test", "--json"},
	}
	for _, c := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, nil, "The provider wants a login"},
		{nil, []string{"--lang", "ko"}, "로그인이 필요합니다"},
		{[]string{"LANG=ko_KR.UTF-8"}, nil, "로그인이 필요합니다"},
		{[]string{"LANG=ko_KR.UTF-8", "LC_ALL=C"}, nil, "The provider wants a login"},
		{[]string{"LC_MESSAGES=ko", "LANG=en_US"}, []string{"--lang", "en"}, "The provider wants a login"},
	} {
		for name, command := range commands {
			out, _ := run(t, c.env, append(append([]string{"--config", in.config}, command...), c.args...)...)
			for _, want := range []string{c.want, "530 5.7.0 Authentication required"} {
				if !strings.Contains(out, want) {
					t.Errorf("%s, %v %v: no %q in\n%s", name, c.env, c.args, want, out)
				}
			}
			if strings.HasSuffix(name, "--json") && !strings.Contains(out, `"link":`) {
				t.Errorf("%s: no link in\n%s", name, out)
			}
		}
	}
	in.stop()
	if out, _ := in.run("status", "--lang", "ko"); !strings.Contains(out, "로그인이 필요합니다") {
		t.Errorf("once the server has stopped:\n%s", out)
	}
}
