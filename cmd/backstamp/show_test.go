package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/rewrite"
)

// A message that tracking makes too long for Gmail says so wherever it is
// shown; with pixel: top it still counts opens there.
func TestShowNotes(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	config := strings.Replace(relayConfig(upstream.Addr, ""), "tracking: {", "tracking: {pixel: top, ", 1)
	in := start(t, config)
	id := in.send("app@shop.test", "r@sink.test", strings.Replace(plainPage, "a@example.com", "app@shop.test", 1)+
		strings.Repeat("<p>filler</p>\n", 6950)+`<a href="mailto:a@example.com">x</a>`+"\n")
	in.status(id, "sent")

	content := upstream.Transactions()[0].Content
	if !regexp.MustCompile(`\r\n\r\n<body><img src="https://track\.test/o/[\w-]+\.gif"[^>]*><a href`).Match(content) {
		t.Errorf("the pixel is not at the top:\n%.900s", content)
	}
	growth := in.show(id)["growth"]
	text := in.ok("show", id)
	for _, want := range []string{
		fmt.Sprintf("octets; tracking adds %v\n", growth),
		"Note         gmail-clip: " + rewrite.Explain(rewrite.NoteClip, "en"),
		"\nscheme: " + rewrite.Explain(rewrite.LinkScheme, "en") + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("show does not say %q:\n%s", want, text)
		}
	}

	id = in.send("app@shop.test", "r@sink.test", "From: app@shop.test\n\ntext\n")
	in.status(id, "sent")
	if text, want := in.ok("show", id), "Tracked      no: no-html. "+rewrite.Explain(rewrite.ReasonNoHTML, "en")+"\n"; !strings.Contains(text, want) || strings.Contains(text, "adds") {
		t.Errorf("show does not say %q, or that tracking adds something:\n%s", want, text)
	}
}
