package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"backstamp/mail"
)

// A Plan is what was decided about one message, once and for all its copies.
// It is immutable. Tokens have a fixed length, so copies differ at known
// offsets only, and writing one is little more than copying bytes.
type Plan struct {
	reason     string
	size       int // of the content it was made for
	bodyAt     int // where the header fields end
	id         mail.ID
	key        mail.KeyID
	privacy    mail.Privacy
	shared     bool
	recipients int
	baseURL    string
	stamp      string
	links      []mail.Link
	notes      []string
	charsets   []string // not kept
	regions    []region // in order, apart from each other
}

// errContent says that a plan was handed content it was not made for.
var errContent = errors.New("rewrite: content is not the one the plan was made for")

// Edited reports whether copies differ from the original.
func (p *Plan) Edited() bool { return p.reason == "" }

// Reason says why nothing is edited, one of the Reason constants or what
// Request.Off said; "" when something is.
func (p *Plan) Reason() string { return p.reason }

// Links returns what was decided about each link, in order. The slice belongs
// to the plan.
func (p *Plan) Links() []mail.Link { return p.links }

// Tracked returns how many links the copies have that lead through us.
func (p *Plan) Tracked() (n int) {
	if !p.Edited() {
		return 0
	}
	for _, l := range p.links {
		if l.Decision == mail.Tracked {
			n++
		}
	}
	return n
}

// Notes returns what one should know about the copies, each one of the Note
// constants. The slice belongs to the plan.
func (p *Plan) Notes() []string { return p.notes }

// Charsets returns the charset labels of the text parts, as far as the message
// was taken apart. A decoded plan has none.
func (p *Plan) Charsets() []string { return p.charsets }

// Growth returns how many octets longer a copy is on the wire because of the
// plan's splices; added header fields, such as X-Backstamp, are not counted.
func (p *Plan) Growth() (n int64) {
	for _, r := range p.regions {
		n += int64(r.size - (r.to - r.from))
	}
	return n
}

// Stamp returns the value of the X-Backstamp field of every copy, or "" when
// nothing is edited: the digit 1, a space, and a token of mail.PurposeStamp
// whose destination is the message's Message-ID with its <>.
func (p *Plan) Stamp() string { return p.stamp }

// Key names the signing key of all tokens of the plan.
func (p *Plan) Key() mail.KeyID { return p.key }

// BaseURL returns the public address that its links begin with.
func (p *Plan) BaseURL() string { return p.baseURL }

// PerRecipient reports whether the copies of different recipients differ.
func (p *Plan) PerRecipient() bool {
	if !p.Edited() || p.shared || p.privacy == mail.Anonymous || p.recipients < 2 {
		return false
	}
	return slices.ContainsFunc(p.regions, region.hasSlot)
}

// check reports whether c can be what the plan was made for.
func (p *Plan) check(c mail.Content) error {
	if c.Size() != int64(p.size) {
		return fmt.Errorf("%w: it has %d bytes, want %d", errContent, c.Size(), p.size)
	}
	return nil
}

// Header returns the fields of the top header as every copy has them after the
// plan's own edits (another Content-Transfer-Encoding, a stale X-Backstamp
// dropped), without the empty line. It fails where c cannot be read or is not
// what the plan was made for.
func (p *Plan) Header(c mail.Content) ([]byte, error) {
	if err := p.check(c); err != nil {
		return nil, err
	}
	header, err := read(c, 0, p.bodyAt)
	if err != nil || len(p.regions) == 0 || p.regions[0].from >= p.bodyAt {
		return header, err
	}
	var out []byte
	at := 0
	for _, s := range p.regions[0].splices {
		out = append(append(out, header[at:s.from]...), s.before...)
		at = s.to
	}
	return append(out, header[at:]...), nil
}

// BodySize returns how many bytes WriteBody writes, the same for every
// recipient, or -1 for content the plan was not made for.
func (p *Plan) BodySize(c mail.Content) int64 {
	if p.check(c) != nil {
		return -1
	}
	size := int64(p.size - p.bodyAt)
	for _, r := range p.regions {
		if r.from >= p.bodyAt {
			size += int64(r.size - (r.to - r.from))
		}
	}
	return size
}

// WriteBody writes what follows the header fields in the copy of a recipient,
// from 1: the empty line and the body. It asks l for each token. It fails where
// c is not what the plan was made for or cannot be read, where w cannot be
// written, and where l has no token; some of the body may be written then.
func (p *Plan) WriteBody(w io.Writer, c mail.Content, l Linker, recipient int) error {
	if err := p.check(c); err != nil {
		return err
	}
	index, err := p.index(recipient)
	if err != nil {
		return err
	}
	out := newWriter(w, c)
	defer out.close()
	at := p.bodyAt
	for _, r := range p.regions {
		if r.from < p.bodyAt {
			continue
		}
		out.copy(at, r.from)
		out.region(r, tokens{p, l, index})
		at = r.to
	}
	out.copy(at, p.size)
	return out.err
}

// add adds a region.
func (p *Plan) add(r region) { p.regions = append(p.regions, r) }

// editHeader adds splices of the top header.
func (p *Plan) editHeader(splices ...splice) {
	if len(splices) == 0 {
		return
	}
	for i, r := range p.regions {
		if r.from == 0 && r.to == p.bodyAt {
			p.regions[i] = plainRegion(0, p.bodyAt, append(r.splices, splices...))
			return
		}
	}
	p.add(plainRegion(0, p.bodyAt, splices))
}

// sort puts everything in the order in which it stands in the content.
func (p *Plan) sort() {
	slices.SortStableFunc(p.regions, func(x, y region) int { return cmp.Or(x.from-y.from, x.to-y.to) })
	for _, r := range p.regions {
		slices.SortStableFunc(r.splices, func(x, y splice) int { return x.from - y.from })
	}
}

// index returns what tokens say for a recipient: nothing where nobody may be
// told apart, or where all share one copy, unless there is only one of them.
func (p *Plan) index(recipient int) (uint16, error) {
	switch {
	case p.shared && p.recipients != 1, p.privacy == mail.Anonymous, !p.Edited():
		return 0, nil
	case p.shared:
		return 1, nil
	case recipient < 1 || recipient > p.recipients || recipient > 0xffff:
		return 0, fmt.Errorf("rewrite: recipient %d of %d", recipient, p.recipients)
	}
	return uint16(recipient), nil
}

// ClickURL returns the tracking URL of a link, from 1, in the copy of a
// recipient.
func (p *Plan) ClickURL(l Linker, link, recipient int) (string, error) {
	if link < 1 || link > len(p.links) || p.links[link-1].Decision != mail.Tracked {
		return "", fmt.Errorf("rewrite: link %d is not tracked", link)
	}
	token, err := p.token(l, slotLink+link-1, recipient)
	if err != nil {
		return "", err
	}
	return p.baseURL + mail.PathClick + token + "." + mail.EncodeDestination(p.links[link-1].URL), nil
}

// OpenURL returns the URL of the pixel in the copy of a recipient.
func (p *Plan) OpenURL(l Linker, recipient int) (string, error) {
	token, err := p.token(l, slotOpen, recipient)
	if err != nil {
		return "", err
	}
	return p.baseURL + mail.PathOpen + token + mail.PixelSuffix, nil
}

func (p *Plan) token(l Linker, slot, recipient int) (string, error) {
	if !p.Edited() {
		return "", errors.New("rewrite: the message is not tracked")
	}
	index, err := p.index(recipient)
	if err != nil {
		return "", err
	}
	token, err := tokens{p, l, index}.appendTo(nil, slot)
	return string(token), err
}

// tokens makes the tokens of one copy.
type tokens struct {
	plan      *Plan
	linker    Linker
	recipient uint16
}

// appendTo appends the token of a slot.
func (t tokens) appendTo(dst []byte, slot int) ([]byte, error) {
	if t.linker == nil { // while a plan is made
		return append(dst, placeholder...), nil
	}
	token := mail.Token{
		Key: t.plan.key, Privacy: t.plan.privacy, Message: t.plan.id,
		Recipient: t.recipient, Purpose: mail.PurposeOpen,
	}
	if slot >= slotLink {
		n := slot - slotLink
		if n >= len(t.plan.links) {
			return dst, fmt.Errorf("rewrite: no link %d", n+1)
		}
		token.Purpose, token.Link, token.Destination = mail.PurposeClick, uint16(n+1), t.plan.links[n].URL
	}
	before := len(dst)
	dst, err := t.linker.AppendToken(dst, token)
	if err != nil {
		return dst, fmt.Errorf("make token: %w", err)
	}
	if len(dst) != before+mail.TokenLen {
		return dst, fmt.Errorf("rewrite: token of %d bytes, want %d", len(dst)-before, mail.TokenLen)
	}
	return dst, nil
}
