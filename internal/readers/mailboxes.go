package readers

import "time"

// gmail opens through Google's proxy, and now and then fetches ahead while the
// program runs.
func (w world) gmail(c *Copy) {
	if w.chance(4) {
		c.hit(w.seconds(1, 3000), 0, Prefetch, Hit{Addr: w.in(66, 249, 80),
			UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"})
	}
	proxy := Hit{UserAgent: "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", Addr: w.in(66, 249, 80)}
	w.reads(c, func(at time.Duration) { c.hit(at, 0, Proxy, proxy) }, w.person())
}

func (w world) yahoo(c *Copy) {
	proxy := Hit{UserAgent: "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", Addr: w.in(87, 248, 112)}
	w.reads(c, func(at time.Duration) { c.hit(at, 0, Proxy, proxy) }, w.person())
}

// apple loads pictures after delivery, through relays that people's clicks come
// through too. Of the reading itself nothing shows. Some relays are on no list.
func (w world) apple(c *Copy) {
	relay := w.in(172, 224, 224)
	if w.chance(5) {
		relay = w.in(104, 28, 32)
	}
	fetch := Hit{UserAgent: "Mozilla/5.0", Addr: relay}
	if w.chance(3) {
		fetch.UserAgent = w.iphone() // and so looks like a person where the list does not have it
	}
	c.hit(w.seconds(2, 5000), 0, Prefetch, fetch)
	person := Hit{UserAgent: w.iphone(), Addr: w.home()}
	if w.chance(40) {
		person.Addr = relay
	}
	w.reads(c, nil, person)
}

// webmail and programs load pictures themselves when somebody reads.
func (w world) webmail(c *Copy) {
	p := w.person()
	open := p
	switch {
	case w.chance(30):
		open.UserAgent = "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)"
	case w.chance(20):
		open.UserAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.1.0"
	}
	if w.chance(3) {
		ahead := open
		ahead.Purpose = w.pick("prefetch", "prefetch;prerender", "preview")
		c.hit(w.seconds(5, 4000), 0, Prefetch, ahead)
	}
	w.reads(c, func(at time.Duration) { c.hit(at, 0, Human, open) }, p)
}

// office is a mailbox behind a gateway, which looks before anybody reads, and
// on whose wrapped links people click.
func (w world) office(c *Copy) {
	wrapper := w.gateway(c)
	p := w.person()
	if wrapper != "" && w.chance(3) {
		p.Referer = wrapper // its page of warning was in between
	}
	w.reads(c, func(at time.Duration) { c.hit(at, 0, Human, Hit{UserAgent: p.UserAgent, Addr: p.Addr}) }, p)
}

// operator tries out their own mail.
func (w world) operator(c *Copy) {
	h := Hit{UserAgent: w.browser(), Addr: "192.0.2." + w.pick("1", "7", "14")}
	at := w.later()
	c.hit(at, 0, Self, h)
	for link := 1; link <= c.Links && w.chance(70); link++ {
		at += w.seconds(0.5, 20)
		c.hit(at, link, Self, h)
	}
}

// shared is a link that was passed on to a messenger, which looks what it is.
func (w world) shared(c *Copy) {
	c.hit(w.later(), 1+w.IntN(c.Links), Scanner, Hit{Addr: w.cloud(), UserAgent: w.pick(
		"facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/t/scrap/33984",
		"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
		"WhatsApp/2.23.20.0", "TelegramBot (like TwitterBot)", "facebookexternalhit/1.1;line-poker/1.0",
		"Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
		"Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b",
		"Iframely/1.3.1 (+https://iframely.com/docs/about)",
		"LinkUnfurler/0.3", // says neither what it is nor where to ask
	)})
}

// script is a program that somebody wrote.
func (w world) script(c *Copy) {
	h := Hit{Addr: w.cloud(), UserAgent: w.pick("curl/8.5.0", "python-requests/2.32.3", "Go-http-client/2.0", "okhttp/4.12.0", "")}
	for range 1 + w.IntN(3) {
		c.hit(w.later(), w.IntN(c.Links+1), Unknown, h)
	}
}
