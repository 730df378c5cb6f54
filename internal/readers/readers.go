// Package readers invents the readers of mail, for tests: people, the proxies
// and fetchers of mailboxes, scanners of gateways and previews of messengers,
// each with its habits, and what each hit truly was. It knows nothing of the
// rules that judge them, and is made from what is published about them.
//
// Not all can be told apart by anybody: some scanners look and wait like people,
// and some people look like scanners. Those are in it too.
package readers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// What a hit truly was.
const (
	Human    = "human"
	Proxy    = "proxy"
	Prefetch = "prefetch"
	Scanner  = "scanner"
	Self     = "self"
	Unknown  = "unknown" // a program whose purpose nothing tells
)

// The networks of those who publish theirs, and of the one who sends the mail.
const (
	AppleRelay = "172.224.224.0/20"
	Operator   = "192.0.2.0/28"
)

// A Copy is one copy of a message and all hits on it, in the order of time, no
// two at once.
type Copy struct {
	Links int
	Hits  []Hit
}

// A Hit is one request.
type Hit struct {
	After     time.Duration // since the copy was sent
	Link      int           // from 1; 0: the pixel
	Method    string
	UserAgent string
	Referer   string
	Purpose   string // of Sec-Purpose
	Addr      string
	Truth     string
}

// Stream returns copies with at least so many hits in all, the same for the
// same seed.
func Stream(seed uint64, hits int) (copies []Copy) {
	w := world{rand.New(rand.NewPCG(seed, 1))}
	for n := 0; n < hits; {
		c := w.copy()
		copies = append(copies, c)
		n += len(c.Hits)
	}
	return copies
}

// A world is where readers live.
type world struct{ *rand.Rand }

// chance is true p times out of a hundred.
func (w world) chance(p float64) bool { return w.Float64()*100 < p }

// copy invents a copy, its mailbox, and who else looks at it.
func (w world) copy() Copy {
	c := Copy{Links: 1 + w.IntN(8)}
	mailboxes := []func(*Copy){w.gmail, w.gmail, w.apple, w.apple, w.yahoo, w.office, w.office, w.webmail}
	mailboxes[w.IntN(len(mailboxes))](&c)
	if w.chance(3) {
		w.operator(&c)
	}
	if w.chance(4) {
		w.shared(&c)
	}
	if w.chance(2) {
		w.script(&c)
	}
	slices.SortStableFunc(c.Hits, func(a, b Hit) int { return int(a.After - b.After) })
	for i := 1; i < len(c.Hits); i++ {
		c.Hits[i].After = max(c.Hits[i].After, c.Hits[i-1].After+time.Microsecond)
	}
	return c
}

// hit adds one; what it leaves open is usual.
func (c *Copy) hit(after time.Duration, link int, truth string, h Hit) {
	h.After, h.Link, h.Truth = after, link, truth
	if h.Method == "" {
		h.Method = "GET"
	}
	c.Hits = append(c.Hits, h)
}

// seconds returns a time spread evenly.
func (w world) seconds(from, to float64) time.Duration {
	return time.Duration((from + w.Float64()*(to-from)) * float64(time.Second))
}

// later is when people read their mail: half of them within 40 minutes, some
// at once, some after days.
func (w world) later() time.Duration {
	if w.chance(2) {
		return w.seconds(0.5, 5)
	}
	return time.Duration(math.Exp(w.NormFloat64()*2+math.Log(2400)) * float64(time.Second))
}

// reads lets a person open and click. open is how opens look, click how clicks
// do.
func (w world) reads(c *Copy, open func(time.Duration), click Hit) {
	at := w.later()
	for range 1 + w.IntN(3) {
		if open != nil {
			open(at)
		}
		if w.chance(35) {
			w.clicks(c, at, click)
		}
		at += w.later()
	}
}

// clicks lets a person follow links: one after the other, or, rarely, all at
// once in tabs behind.
func (w world) clicks(c *Copy, at time.Duration, h Hit) {
	if w.chance(2) {
		for link := 1; link <= c.Links; link++ {
			at += w.seconds(0.15, 0.7)
			c.hit(at, link, Human, h)
		}
		return
	}
	for range 1 + w.IntN(3) {
		at += w.seconds(1.5, 60)
		c.hit(at, 1+w.IntN(c.Links), Human, h)
	}
}

// person is how somebody's browser shows; a few hide what it is.
func (w world) person() Hit {
	h := Hit{UserAgent: w.browser(), Addr: w.home()}
	switch {
	case w.chance(1):
		h.UserAgent = "" // a program against tracking took it away
	case w.chance(10):
		h.Referer = w.pick("https://mail.google.com/", "https://outlook.live.com/", "https://mail.naver.com/", "android-app://com.google.android.gm/")
	}
	return h
}

func (w world) pick(of ...string) string { return of[w.IntN(len(of))] }

func (w world) browser() string {
	major := 118 + w.IntN(26)
	switch w.IntN(6) {
	case 0, 1:
		return fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", major)
	case 2:
		return fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%[1]d.0", major)
	case 3:
		return fmt.Sprintf("Mozilla/5.0 (Linux; Android 14; SM-S92%dN) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Mobile Safari/537.36", w.IntN(10), major)
	case 4:
		return fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36 Edg/%[1]d.0.0.0", major)
	}
	return w.iphone()
}

func (w world) iphone() string {
	return fmt.Sprintf("Mozilla/5.0 (iPhone; CPU iPhone OS 1%d_%d like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/1%[1]d.%[2]d Mobile/15E148 Safari/604.1", 5+w.IntN(4), w.IntN(7))
}

// home is an address of a provider of access.
func (w world) home() string {
	return fmt.Sprintf("%d.%d.%d.%d", w.pickN(81, 92, 121, 175, 211), w.IntN(256), w.IntN(256), 1+w.IntN(254))
}

// cloud is an address of a data centre.
func (w world) cloud() string {
	return fmt.Sprintf("%d.%d.%d.%d", w.pickN(13, 20, 40, 52), w.IntN(256), w.IntN(256), 1+w.IntN(254))
}

func (w world) pickN(of ...int) int { return of[w.IntN(len(of))] }

// in is an address of a network of 20 bits whose first two parts are given.
func (w world) in(a, b, c int) string {
	return fmt.Sprintf("%d.%d.%d.%d", a, b, c+w.IntN(16), 1+w.IntN(254))
}
