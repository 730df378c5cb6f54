package rewrite

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"backstamp/mail"
)

// A Request is one message to plan.
type Request struct {
	ID         mail.ID
	Content    mail.Content // the stored original, lines ending in CRLF
	MessageID  string       // the Message-ID of the copies where Content has none; may be empty
	Shared     bool         // one copy for all recipients
	Recipients int
	Opens      bool
	Clicks     bool
	// Off is why the message is not tracked where others decided so; empty:
	// track.
	Off string
	// KeepForeign leaves the attributes in that other services' trackers read.
	KeepForeign bool
	PixelTop    *bool        // where the pixel goes, for this message; nil: as the settings say
	Privacy     mail.Privacy // the zero value makes no tokens: nothing is edited
}

// Plan decides what is tracked. It never fails: what cannot be edited safely
// is left, and Plan.Reason and the links say why; where Content cannot be read
// that is ReasonInternal. In memory are the HTML parts and a window on the rest.
func (r *Rewriter) Plan(req Request) (p *Plan) {
	b := builder{Rewriter: r, req: req, left: newBudget(), quotedClick: `"` + r.base + mail.PathClick}
	b.plan = b.untouched("")
	defer func() { // a fault of ours must not stop mail
		if recover() != nil {
			p = b.untouched(ReasonInternal)
		}
	}()
	reason := b.build()
	if reason == "" {
		return b.plan
	}
	p = b.untouched(reason)
	p.links, p.charsets = left(b.plan.links, reason), b.plan.charsets
	return p
}

// untouched returns a plan that edits nothing.
func (b *builder) untouched(reason string) *Plan {
	p := &Plan{
		reason: reason, size: int(b.req.Content.Size()), id: b.req.ID, privacy: b.req.Privacy,
		shared: b.req.Shared, recipients: b.req.Recipients, baseURL: b.base,
	}
	if b.top != nil {
		p.bodyAt = b.top.headEnd
	}
	return p
}

// left returns the links of a message that is relayed untouched after all.
func left(links []mail.Link, reason string) []mail.Link {
	for _, l := range links {
		if l.Decision == mail.Tracked {
			return nil
		}
	}
	return links
}

// A builder makes one plan.
type builder struct {
	*Rewriter
	req    Request
	plan   *Plan
	judge  *judge
	top    *part
	header mail.Header // of top
	pages  []*part     // HTML parts that may be edited, in order
	why    string      // the first reason why another part may not
	left   budget

	quotedClick string // what tracking links begin with, behind a quotation mark
	after       []byte // what the last one ended with
}

// build fills in the plan, or says why nothing is edited.
func (b *builder) build() (reason string) {
	s := splitter{window: look(b.req.Content)}
	defer s.close()
	b.readHeader(&s)
	switch {
	case b.req.Off != "":
		return b.req.Off
	case b.req.Privacy != mail.Identified && b.req.Privacy != mail.Pseudonymous && b.req.Privacy != mail.Anonymous:
		return ReasonPrivacy
	case !b.req.Opens && !b.req.Clicks:
		return ReasonOff
	}
	s.split(b.top)
	s.close()
	switch {
	case s.err != nil:
		return ReasonInternal
	case s.limits:
		return ReasonMIMELimits
	case b.isStamped():
		return ReasonRewritten
	}
	if reason := b.collect(b.top); reason != "" {
		return reason
	}
	if len(b.pages) == 0 {
		return cmp.Or(b.why, ReasonNoHTML)
	}
	if reason := b.edit(); reason != "" {
		return reason
	}
	if len(b.plan.regions) == 0 {
		return ReasonNothing
	}
	return b.finish()
}

// readHeader reads the top header, which every plan needs. It is kept, so the
// next header gets other memory.
func (b *builder) readHeader(s *splitter) {
	b.top, b.header = s.part(0, 0, "text/plain")
	b.top.finish(s.size)
	b.plan.bodyAt = b.top.headEnd
	s.head = nil
}

// collect finds the HTML parts below p. It returns why nothing at all may be
// edited.
func (b *builder) collect(p *part) (reason string) {
	for _, child := range p.children {
		if reason := b.collect(child); reason != "" {
			return reason
		}
	}
	if p.charset != "" && strings.HasPrefix(p.media, "text/") {
		b.plan.charsets = append(b.plan.charsets, p.charset)
	}
	why, reason := b.open(p)
	switch {
	case p.page != nil:
		b.pages = append(b.pages, p)
	case b.why == "":
		b.why = why
	}
	return reason
}

// open takes an HTML part apart, or says why it is not edited, or even why
// nothing is; "" for parts that have nothing to edit.
func (b *builder) open(p *part) (why, reason string) {
	switch {
	case p.blocked != "":
		return p.blocked, ""
	case p.media != "text/html", p.body == p.headEnd: // the latter has no body at all
		return "", ""
	case p.attached:
		return ReasonAttachment, ""
	}
	codec, known := codecOf(p.encoding)
	if !known {
		return ReasonEncodingUnknown, ""
	}
	if codec == codecPlain && p.end-p.body > maxHTML { // before it is in memory
		return "", ReasonHTMLLimits
	}
	enc, err := read(b.req.Content, p.body, p.end)
	if err != nil {
		return "", ReasonInternal
	}
	if p.codec = codec; codec == codecBase64 {
		p.form = formOf(enc)
	}
	text, ok := codec.decode(enc)
	if !ok {
		return ReasonEncodingBroken, ""
	}
	charset, why := charsetOf(p.charset, text)
	if why != "" {
		return why, ""
	}
	if p.charset == "" && codec == codecPlain && !isASCII(text) && utf8.Valid(text) {
		charset.name = "utf-8" // for the relay labels it so
	}
	masked, ok := mask(text, charset.hz)
	if !ok {
		return ReasonCharsetBroken, ""
	}
	if why = armour(text); why != "" {
		return why, ""
	}
	if p.page, ok = scanPage(text, masked, charset, &b.left); !ok {
		return "", ReasonHTMLLimits
	}
	return "", ""
}

// armour knows PGP within the text (RFC 4880 section 6.2).
func armour(text []byte) (reason string) {
	switch {
	case bytes.Contains(text, []byte("-----BEGIN PGP MESSAGE-----")):
		return ReasonEncrypted
	case bytes.Contains(text, []byte("-----BEGIN PGP SIGNED MESSAGE-----")):
		return ReasonSigned
	}
	return ""
}

// edit adds the regions of the pages, when anything is to be tracked at all. It
// returns why nothing may be.
func (b *builder) edit() (reason string) {
	verdicts, ok := b.decide()
	if !ok {
		return ReasonHTMLLimits
	}
	var pixel *part
	if b.req.Opens {
		pixel = b.top.shown()
	}
	tracked := func(l mail.Link) bool { return l.Decision == mail.Tracked }
	if pixel == nil && !slices.ContainsFunc(b.plan.links, tracked) {
		return ""
	}
	for i, p := range b.pages {
		splices := b.splices(p.page, verdicts[i])
		if p == pixel {
			splices = append(splices, b.pixel(p.page))
		}
		if len(splices) == 0 {
			continue
		}
		slices.SortStableFunc(splices, func(x, y splice) int { return x.from - y.from })
		b.noteClip(p.page, splices)
		if err := b.encode(p, splices); err != nil {
			return ReasonInternal
		}
	}
	return ""
}

// decide decides about the links of every page. ok is false beyond a bound.
func (b *builder) decide() (verdicts [][]verdict, ok bool) {
	b.judge = newJudge(b.Rewriter, b.req, b.header.All("List-Unsubscribe"))
	verdicts = make([][]verdict, len(b.pages))
	for i, p := range b.pages {
		if verdicts[i], ok = b.judge.page(p.page, len(b.plan.links)+1, &b.left); !ok {
			b.plan.links = nil
			return nil, false
		}
		b.plan.links = slices.Grow(b.plan.links, len(verdicts[i]))
		for _, v := range verdicts[i] {
			b.plan.links = append(b.plan.links, v.link)
		}
	}
	return verdicts, true
}

// clip is the decoded size at which Gmail cuts an HTML part.
const clip = 102 << 10

// noteClip notes a page that the splices make too long for Gmail.
func (b *builder) noteClip(p *page, splices []splice) {
	size := len(p.text)
	for _, s := range splices {
		size += s.grown()
	}
	if len(p.text) <= clip && size > clip && len(b.plan.notes) == 0 {
		b.plan.notes = append(b.plan.notes, NoteClip)
	}
}

// shown returns the HTML part that a reader sees: of alternatives the last, of
// related parts the one that start names (RFC 2387 section 3.2), else the first.
func (p *part) shown() *part {
	if p.page != nil {
		if _, ok := p.page.pixelAt(false); ok {
			return p
		}
		return nil
	}
	var found *part
	for _, child := range p.children {
		c := child.shown()
		switch {
		case c == nil:
		case p.media == "multipart/related" && p.start != "" && child.id == p.start:
			return c
		case found == nil || p.media == "multipart/alternative":
			found = c
		}
	}
	return found
}

// splices returns what changes in a page, in offsets into its text.
func (b *builder) splices(p *page, verdicts []verdict) []splice {
	var out []splice
	for _, v := range verdicts {
		switch {
		case v.link.Decision == mail.Tracked:
			out = append(out, b.click(v))
		case v.strip.from < v.strip.to && !b.req.KeepForeign:
			out = append(out, splice{from: v.strip.from, to: v.strip.to})
		}
	}
	for _, o := range p.optOuts {
		if !o.foreign || !b.req.KeepForeign {
			out = append(out, splice{from: o.from, to: o.to})
		}
	}
	return out
}

// click replaces the href of a tracked link. A value without quotes gets them.
func (b *builder) click(v verdict) splice {
	before, after := b.quotedClick, mail.AppendDestination(append(b.after[:0], '.'), v.link.URL)
	if v.quote == 0 {
		after = append(after, '"')
	} else {
		before = before[1:]
	}
	b.after = after
	return splice{v.value.from, v.value.to, before, slotLink + v.link.Index - 1, string(after)}
}

// pixel returns the open pixel of a page. Mail readers do not load what is not
// displayed, and show a border where none is forbidden. It takes no room in the
// text, where a mail reader knows positions: else it would move a line.
func (b *builder) pixel(p *page) splice {
	top := b.Rewriter.top
	if b.req.PixelTop != nil {
		top = *b.req.PixelTop
	}
	at, _ := p.pixelAt(top)
	after := mail.PixelSuffix + `" width="1" height="1" alt="" style="border:0;position:absolute">`
	if at == len(p.text) && bytes.HasSuffix(p.text, []byte("\r\n")) {
		after += "\r\n"
	}
	return splice{at, at, `<img src="` + b.base + mail.PathOpen, slotOpen, after}
}

// isStamped reports whether the message was rewritten by us before.
func (b *builder) isStamped() bool {
	id := b.header.Get("Message-ID")
	for _, f := range b.header.All("X-Backstamp") {
		version, token, _ := strings.Cut(f.Value(), " ")
		if version != stampVersion {
			continue
		}
		for _, destination := range []string{id, ""} {
			if _, err := b.linker.Verify(mail.PurposeStamp, token, destination); err == nil {
				return true
			}
		}
	}
	return false
}

const stampVersion = "1"

// finish makes the stamp, drops stale ones and puts the regions in order.
func (b *builder) finish() (reason string) {
	b.plan.key = b.linker.Key()
	token, err := b.linker.AppendToken(nil, mail.Token{
		Key: b.plan.key, Privacy: b.req.Privacy, Message: b.req.ID, Purpose: mail.PurposeStamp,
		Destination: cmp.Or(b.header.Get("Message-ID"), b.req.MessageID),
	})
	if err != nil {
		return ReasonInternal
	}
	b.plan.stamp = stampVersion + " " + string(token)
	var stale []splice
	at := 0
	for _, f := range b.header {
		if f.Is("X-Backstamp") {
			stale = append(stale, splice{from: at, to: at + len(f.Raw)})
		}
		at += len(f.Raw)
	}
	b.plan.editHeader(stale...)
	b.plan.sort()
	return ""
}
