package mail

import (
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		code int
		text string
		want time.Duration // 0: none
	}{
		{451, "4.7.1 Greylisted, try again in 300 seconds", 5 * time.Minute},
		{450, "4.2.0 Greylisting in effect, please come back in 5 minutes", 5 * time.Minute},
		{421, "Too busy. Try again after 1 hour", time.Hour},
		{450, "Retry in 30s", 30 * time.Second},
		{450, "please wait 2 min before sending more", 2 * time.Minute},
		{451, "greylisted for 60 seconds", time.Minute},
		{451, "TRY AGAIN IN 10 SECONDS", 10 * time.Second},
		{451, "try again in 0 seconds", time.Second},
		{451, "try again in 999999999 hours", 24 * time.Hour},
		{451, "Timeout waiting for data from client after 30 seconds", 0},
		{451, "try again later", 0},
		{451, "no data for 30 seconds", 0},
		{451, "try again. You sent 30 minutes of junk", 0},
		{550, "try again in 30 seconds", 0},
		{250, "wait 30 seconds", 0},
		{0, "", 0},
	} {
		got, ok := Reply{Code: c.code, Lines: []string{c.text}}.RetryAfter()
		if got != c.want || ok != (c.want != 0) {
			t.Errorf("%d %s: got %v, %v, want %v", c.code, c.text, got, ok, c.want)
		}
	}
	two := Reply{Code: 450, Lines: []string{"4.7.1 please try again", "in 7 minutes"}}
	if got, _ := two.RetryAfter(); got != 7*time.Minute {
		t.Errorf("over two lines: %v", got)
	}
}
