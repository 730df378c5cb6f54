package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"backstamp/internal/mailtest"
)

// After a reload no mail goes out under a login that the configuration has no
// longer, and a provider that takes its time holds nobody up.
func TestReloadLeavesOldLogins(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{Username: "shop", Password: "old"})
	upstream.On(mailtest.QUIT, mailtest.Hang())
	yaml := func(password string) string {
		return strings.Replace(relayConfig(upstream.Addr, ""), `tls: "off"`, `tls: "off", username: shop, password: `+password, 1)
	}
	in := start(t, yaml("old"))
	in.status(in.send("app@shop.test", "reader@example.com", page), "sent")

	if err := os.WriteFile(in.config, []byte(yaml("new")), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	in.ok("reload")
	if took := time.Since(began); took > time.Second {
		t.Errorf("the reload waited %v for a server that does not answer QUIT", took)
	}
	upstream.WaitHeard(t, "QUIT", 1)
	id := in.send("app@shop.test", "reader@example.com", page)
	in.status(id, "held") // the upstream does not know the new password
	if reason := in.show(id)["deliveries"].([]any)[0].(map[string]any)["reason"]; reason != "auth" {
		t.Errorf("held for %v", reason)
	}
	if n := len(upstream.Transactions()); n != 1 {
		t.Errorf("%d messages went out, want the first alone", n)
	}
}
