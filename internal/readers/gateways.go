package readers

import "time"

// gateway lets one look at the mail, and returns the address of the page that
// its wrapped links lead through, if it wraps any.
func (w world) gateway(c *Copy) (wrapper string) {
	switch w.IntN(8) {
	case 0, 1, 2:
		wrapper = "https://" + w.pick("nam02", "eur05", "apc01") + ".safelinks.protection.outlook.com/"
		w.safeLinks(c, wrapper)
	case 3:
		w.barracuda(c)
	case 4:
		wrapper = w.pick("https://urldefense.com/v3/", "https://urldefense.proofpoint.com/v2/url")
		w.listed(c, wrapper, w.in(67, 231, 144))
	case 5:
		wrapper = w.pick("https://protect-us.mimecast.com/", "https://protect-eu.mimecast.com/")
		w.listed(c, wrapper, "207.211.30."+w.pick("9", "77", "240"))
	case 6:
		wrapper = "https://secure-web.cisco.com/"
		w.listed(c, wrapper, w.cloud())
	case 7:
		w.named(c)
	}
	return wrapper
}

// safeLinks says nothing of itself. Mostly it follows all links before the mail
// is let through; it also follows some when they are clicked, from its page.
func (w world) safeLinks(c *Copy, wrapper string) {
	h := Hit{UserAgent: w.browser(), Addr: w.cloud()}
	switch {
	case w.chance(60):
		w.burst(c, w.seconds(0.2, 4), h)
	case w.chance(50):
		c.hit(w.seconds(0.5, 30), 1+w.IntN(c.Links), Scanner, h)
	default: // slowly, as if it read
		at := w.seconds(5, 600)
		for link := 1; link <= c.Links; link++ {
			at += w.seconds(3, 40)
			c.hit(at, link, Scanner, h)
		}
	}
	if w.chance(30) {
		h.Referer = wrapper
		c.hit(w.later(), 1+w.IntN(c.Links), Scanner, h)
	}
}

// burst follows all links at once, some of them twice, perhaps with the pixel;
// some from several addresses.
func (w world) burst(c *Copy, at time.Duration, h Hit) {
	if w.chance(30) {
		c.hit(at, 0, Scanner, h)
	}
	for link := 1; link <= c.Links; link++ {
		if w.chance(20) {
			h.Addr = w.cloud()
		}
		if w.chance(25) {
			head := h
			head.Method = "HEAD"
			c.hit(at, link, Scanner, head)
		}
		at += w.seconds(0.02, 0.2)
		c.hit(at, link, Scanner, h)
	}
}

// barracuda looks like a browser, often at the first link alone, from its own
// networks, which grow now and then.
func (w world) barracuda(c *Copy) {
	h := Hit{UserAgent: w.browser(), Addr: w.in(64, 235, 144)}
	if w.chance(8) {
		h.Addr = w.cloud()
	}
	at := w.seconds(0.5, 8)
	for link := 1; link <= c.Links && (link == 1 || w.chance(40)); link++ {
		c.hit(at, link, Scanner, h)
		at += w.seconds(0.05, 1)
	}
}

// listed comes from its wrapped links, or from networks of its own, or hides.
func (w world) listed(c *Copy, wrapper, addr string) {
	h := Hit{UserAgent: w.browser(), Addr: w.cloud()}
	switch {
	case w.chance(50):
		h.Referer = wrapper
	case w.chance(60):
		h.Addr = addr
	}
	w.burst(c, w.seconds(0.3, 20), h)
}

// named tells its name.
func (w world) named(c *Copy) {
	w.burst(c, w.seconds(0.3, 600), Hit{Addr: w.cloud(), UserAgent: w.pick(
		"Barracuda Sentinel (EE)", "Mozilla/5.0 (compatible; Mimecast-Scanner)", "FortiMail/7.4",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36",
		"Mozilla/5.0 (compatible; urlscan/2.1; +https://scanner.example/about)",
	)})
}
