package main

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/encoding/korean"

	"backstamp/internal/damage"
	"backstamp/internal/mailtest"
)

// TestOldPage: a Korean ERP sends a page on one line, in CP949, and says nothing
// of it. It arrives labelled, tracked and in lines that servers take; what was
// odd shows, and the store has what came.
func TestOldPage(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(peer.Addr, "\nclients:\n  erp: {networks: [\"127.0.0.1\"], charset: cp949}\n"))
	page, err := korean.EUCKR.NewEncoder().String("<html><body>" + strings.Repeat("<p>똠방각하 펲시콜라, 주문 확인</p>", 100) +
		`<a href="https://shop.test/order?a=1&amp;b=2">보기</a></body></html>`)
	if err != nil {
		t.Fatal(err)
	}
	message := "From: app@shop.test\nSubject: x\nContent-Type: text/html\n\n" + page + "\n"
	id := in.send("app@shop.test", "kim@example.org", message)
	got := peer.Wait(t)

	is := damage.Split(got.Content)
	text, err := is.Decoded()
	var seen damage.Seen
	if err == nil {
		err = damage.Judge{Base: publicBase}.Page([]byte(page+"\r\n"), text, &seen)
	}
	if err != nil || len(seen.Links) != 1 || seen.Pixels != 1 {
		t.Errorf("%v: %d links, %d pixels", err, len(seen.Links), seen.Pixels)
	}
	if h := is.Header(); h.Get("Mime-Version") != "1.0" || h.Get("Content-Type") != "text/html; charset=euc-kr" {
		t.Errorf("header %v", h)
	}
	for line := range strings.Lines(string(got.Content)) {
		if len(line) > 1000 {
			t.Errorf("a line of %d octets", len(line))
		}
	}
	if q := fmt.Sprint(in.show(id)["quirks"]); !strings.Contains(q, "no-charset long-line") {
		t.Errorf("show: quirks %s", q)
	}
	if q := in.rows("clients")[0]["quirks"].(map[string]any); q["no-charset"] != 1.0 || q["long-line"] != 1.0 {
		t.Errorf("clients: quirks %v", q)
	}
	if raw := in.ok("show", id, "--raw"); raw != mailtest.CRLF(message) {
		t.Error("show --raw is not what came")
	}
	if sent := in.ok("show", id, "--sent"); sent != string(got.Content) {
		t.Error("show --sent is not what went")
	}
}
