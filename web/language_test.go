package web

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"backstamp/mail"
	"backstamp/store"
)

// stored is a house in which a refused login is kept as it is now: without words.
func stored(t *testing.T) house {
	return newHouse(t, func(_ *Settings, do *Actions, s *fakeStore) {
		row := bareRow()
		row.Deliveries[0].Explain = &mail.Explain{ID: "google.bad-credentials", Class: mail.ClassAuth, Detail: "only here"}
		s.messages = rows(row)
		s.unfinished = []listed[mail.Delivery]{{row: row.Deliveries[0]}}
		do.Providers = func(context.Context) ([]Provider, error) {
			return []Provider{{Account: "shop", Name: "main", State: store.ProviderState{State: store.StateParked, Explain: row.Deliveries[0].Explain}}}, nil
		}
	})
}

// The words come in the language that is asked for, on every surface.
func TestLanguage(t *testing.T) {
	const english, korean = "Google did not accept the password", "Google이 비밀번호를 받아들이지 않았습니다"
	id := bareID().String()
	for _, path := range []string{"/api/v1/messages", "/api/v1/messages/" + id, "/api/v1/queue", "/api/v1/status", "/messages/" + id, "/"} {
		for _, c := range []struct{ query, accept, want string }{
			{"", "", english},
			{"?lang=ko", "", korean},
			{"?lang=en", "ko", english},
			{"?lang=xx", "ko", korean},
			{"", "ko-KR,ko;q=0.9,en;q=0.8", korean},
			{"", "en-US, ko;q=0.5", english},
			{"", "de, ko;q=0.5, en;q=0.4", korean},
			{"", "de", english},
			{"", strings.Repeat("-", 5000) + "\x00;q=,", english},
		} {
			w := stored(t).ask(http.MethodGet, path+c.query, "", func(r *http.Request) { r.Header.Set("Accept-Language", c.accept) })
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%s%s for %.30q: %d without %q:\n%s", path, c.query, c.accept, w.Code, c.want, w.Body)
			}
			if strings.HasPrefix(path, "/api") && !strings.Contains(w.Body.String(), "(only here)") {
				t.Errorf("%s: what is only here is gone", path)
			}
		}
	}
}
