package web

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"backstamp/mail"
	"backstamp/relay/quirk"
	"backstamp/rewrite"
	"backstamp/store"
)

func TestDownloads(t *testing.T) {
	in := newHouse(t, nil)
	for path, want := range map[string]string{
		fullID().String() + "/raw":                            fullContent,
		fullID().String() + "/sent":                           "For: 1 by shop/main\r\n" + fullContent,
		fullID().String() + "/sent?recipient=LEE@example.com": "For: 2 by shop/spare\r\n" + fullContent,
		sharedID().String() + "/sent":                         "For: 0 by shop/main\r\n" + fullContent,
	} {
		w := in.get("/api/v1/messages/" + path)
		if w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
		for name, value := range map[string]string{
			"Content-Type": "message/rfc822", "Content-Disposition": "attachment; filename=message.eml",
			"X-Content-Type-Options": "nosniff", "Content-Length": fmt.Sprint(len(want)),
		} {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s: %s: %q, want %q", path, name, got, value)
			}
		}
	}
}

func TestShowRefuses(t *testing.T) {
	in := newHouse(t, nil)
	for _, id := range []string{"x", noID().String(), strings.Repeat("0", 17), "..%2f..%2fetc"} {
		for _, what := range []string{"", "/raw", "/sent"} {
			problem(t, in.get("/api/v1/messages/"+id+what), http.StatusNotFound, "no such message: ")
		}
	}
	problem(t, in.get("/api/v1/messages/"+fullID().String()+"/sent?recipient=other@example.com"),
		http.StatusNotFound, `the message has no such recipient"`)
	alone := newHouse(t, func(_ *Settings, do *Actions, _ *fakeStore) { do.Renderer = nil })
	problem(t, alone.get("/api/v1/messages/"+fullID().String()+"/sent"), http.StatusConflict, "no server runs on this data_dir")
}

// What is damaged is said to be, and no more than that.
func TestDamaged(t *testing.T) {
	const kept = "what is stored is damaged; it is kept for a person to look at"
	damaged := fmt.Errorf("/var/lib/backstamp/mail.db: %w", store.ErrCorrupt)
	for name, damage := range map[string]func(*fakeStore){
		"row":     func(s *fakeStore) { s.messages[0].err = damaged },
		"plan":    func(s *fakeStore) { s.messages[0].row.Message.Detail.Plan = []byte("??") },
		"events":  func(s *fakeStore) { s.events[0].err = damaged },
		"content": func(s *fakeStore) { s.contentErr = damaged },
	} {
		in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) { damage(s) })
		path := "/api/v1/messages/" + fullID().String()
		if name == "content" {
			if w := in.get(path); w.Code != http.StatusOK {
				t.Errorf("the rest is not shown: %d", w.Code)
			}
			problem(t, in.get(path+"/sent"), http.StatusInternalServerError, kept)
			path += "/raw"
		}
		problem(t, in.get(path), http.StatusInternalServerError, kept)
		if !strings.Contains(in.log.String(), "level=ERROR") {
			t.Errorf("%s: nothing logged", name)
		}
	}
}

// shortRenderer makes copies that break off.
type shortRenderer struct{}

func (shortRenderer) Render(*mail.Message, mail.Content, int, string) (mail.Copy, error) {
	return fakeCopy{text: strings.Repeat("line\r\n", 100), cut: 7}, nil
}

// Half a copy is never taken for the whole: the connection breaks off.
func TestShortCopy(t *testing.T) {
	in := newHouse(t, func(_ *Settings, do *Actions, _ *fakeStore) { do.Renderer = shortRenderer{} })
	server := httptest.NewServer(in.Local())
	defer server.Close()
	answer, err := http.Get(server.URL + "/api/v1/messages/" + fullID().String() + "/sent")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if b, err := io.ReadAll(answer.Body); !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(string(b), "/var/lib") {
		t.Errorf("%q, %v", b, err)
	}
	if !strings.Contains(in.log.String(), "it changed") {
		t.Errorf("log: %s", in.log)
	}
}

// What tracking makes of a message is told, with a sentence for each word.
func TestShowMeanings(t *testing.T) {
	page := strings.Replace(fullContent, "<a ", strings.Repeat("<p>filler</p>", 102<<10/13-20)+"<a ", 1)
	in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) {
		s.messages[0].row.Message.Detail.Plan = testPlan(t, fullID(), page, false)
	})
	show := objects(t, in.get("/api/v1/messages/"+fullID().String()).Body.Bytes())[0]
	if growth, _ := show["growth"].(float64); growth < 100 || fmt.Sprint(show["notes"]) != "["+rewrite.NoteClip+"]" {
		t.Errorf("growth %v, notes %v", show["growth"], show["notes"])
	}
	full, bare := in.body(t, "/messages/"+fullID().String(), http.StatusOK), in.body(t, "/messages/"+bareID().String(), http.StatusOK)
	for word, on := range map[string]string{rewrite.NoteClip: full, rewrite.LinkScheme: full, rewrite.ReasonNoHTML: bare} {
		text := rewrite.Explain(word, "en")
		if meanings := show["meanings"].(map[string]any); on == full && meanings[word] != text {
			t.Errorf("%s means %q, want %q", word, meanings[word], text)
		}
		if strings.Count(on, template.HTMLEscapeString(text)) != 1 {
			t.Errorf("the page does not say once that %s means %q", word, text)
		}
	}
	korean := objects(t, in.get("/api/v1/messages/"+fullID().String()+"?lang=ko").Body.Bytes())[0]
	for got, lang := range map[any]string{show["meanings"].(map[string]any)[quirk.BareLF]: "en", korean["meanings"].(map[string]any)[quirk.BareLF]: "ko"} {
		if text := quirk.Explain(quirk.BareLF, lang); got != text {
			t.Errorf("in %s the quirk means %q, want %q", lang, got, text)
		}
	}
	if text := template.HTMLEscapeString(quirk.Explain(quirk.BareLF, "en")); strings.Count(full, text) != 1 {
		t.Errorf("the page does not say once what the quirk means")
	}
	if !strings.Contains(full, fmt.Sprintf("; tracking adds %v<", show["growth"])) {
		t.Error("the page does not say how much tracking adds")
	}
}
