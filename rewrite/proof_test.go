package rewrite_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/damage"
	"backstamp/mail"
	"backstamp/rewrite"
	"backstamp/track"
)

// base is where the tracking links of these tests lead.
const base = "https://t.example.net"

// A prover runs messages through the engine, with real keys, and proves that
// they were not damaged, without any code of the engine.
type prover struct {
	*rewrite.Rewriter
	keys  *track.Keys
	judge damage.Judge
}

func newProver(t testing.TB) prover {
	t.Helper()
	keys, err := track.NewKeys([]string{track.GenerateKey()})
	if err != nil {
		t.Fatal(err)
	}
	r, err := rewrite.New(rewrite.Settings{BaseURL: base}, keys)
	if err != nil {
		t.Fatal(err)
	}
	return prover{r, keys, damage.Judge{Base: base, Verify: keys.Verify}}
}

// messageID is the ID of every message here.
var messageID = mail.ID{7}

// request asks for everything, for two recipients.
func request(content []byte) rewrite.Request {
	return rewrite.Request{
		ID: messageID, Content: bytes.NewReader(content), Recipients: 2, Opens: true, Clicks: true, Privacy: mail.Identified,
	}
}

// render returns the copy of a recipient, whose size is as it was said.
func (v prover) render(p *rewrite.Plan, content []byte, recipient int) ([]byte, error) {
	c := bytes.NewReader(content)
	head, err := p.Header(c)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	copied := bytes.NewBuffer(bytes.Clone(head))
	if err := p.WriteBody(copied, c, v.keys, recipient); err != nil {
		return nil, fmt.Errorf("write body: %w", err)
	}
	if got, want := p.BodySize(c), int64(copied.Len()-len(head)); got != want {
		return nil, fmt.Errorf("BodySize %d, wrote %d", got, want)
	}
	if got, want := p.Growth(), int64(copied.Len()-len(content)); got != want {
		return nil, fmt.Errorf("Growth %d, grew by %d", got, want)
	}
	return copied.Bytes(), nil
}

// A proof is a message that was proven not to be damaged.
type proof struct {
	plan     *rewrite.Plan
	original []byte
	copied   []byte
	seen     damage.Seen
	again    []string // links that are tracked only when the copy is sent anew
}

// prove runs content through the engine. Its error says what was damaged.
func (v prover) prove(content []byte) (f proof, err error) {
	f.plan, f.original = v.Plan(request(content)), content
	if f.plan.Reason() == rewrite.ReasonInternal {
		return f, errors.New("the engine panicked")
	}
	if f.copied, err = v.render(f.plan, content, 1); err != nil {
		return f, err
	}
	if !f.plan.Edited() {
		if !bytes.Equal(f.copied, content) {
			return f, fmt.Errorf("untouched (%s): %s", f.plan.Reason(), damage.Difference(f.copied, content))
		}
		f.seen, err = v.judge.Copy(content, f.copied)
		return f, err
	}
	if f.seen, err = v.judge.Copy(content, f.copied); err != nil {
		return f, err
	}
	for _, check := range []func(*proof) error{v.closed, v.tokens, v.hrefs, v.stored, v.second, v.anew} {
		if err := check(&f); err != nil {
			return f, err
		}
	}
	return f, nil
}

// closed: what the design says is never edited is there octet by octet.
func (v prover) closed(f *proof) error {
	var walk func(a, b *damage.Part) error
	walk = func(a, b *damage.Part) error {
		if why := neverEdited(a); why != "" && !bytes.Equal(a.Body, b.Body) {
			return fmt.Errorf("%s was edited: %s", why, damage.Difference(b.Body, a.Body))
		}
		for i := range a.Children {
			if err := walk(a.Children[i], b.Children[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(damage.Split(f.original), damage.Split(f.copied))
}

// tokens: the links of the copy are those that the plan says are tracked.
func (v prover) tokens(f *proof) error {
	var want []mail.Link
	for _, l := range f.plan.Links() {
		if l.Decision == mail.Tracked {
			want = append(want, l)
		}
	}
	if len(want) != len(f.seen.Tokens) || f.seen.Pixels > 1 {
		return fmt.Errorf("%d links tracked, %d in the copy with %d pixels", len(want), len(f.seen.Tokens), f.seen.Pixels)
	}
	for i, t := range f.seen.Tokens {
		if int(t.Link) != want[i].Index || f.seen.Links[i] != want[i].URL || t.Message != messageID || t.Recipient != 1 {
			return fmt.Errorf("tracked link %d, %q: token %+v", want[i].Index, want[i].URL, t)
		}
	}
	return nil
}

// hrefs: who reads the page finds the same links in the same order, and those
// that changed lead to where they led.
func (v prover) hrefs(f *proof) error {
	tracked := 0
	for _, e := range f.seen.Edited {
		x, y := damage.Hrefs(e.Before), damage.Hrefs(e.After)
		if len(x) != len(y) {
			return fmt.Errorf("%d links became %d", len(x), len(y))
		}
		for i := range x {
			to, ours := v.destination(strings.Trim(y[i].URL, " "))
			if ours && to == damage.Percent(strings.Trim(x[i].URL, " ")) {
				tracked++
			} else if x[i].URL != y[i].URL && x[i].URL != strings.Replace(y[i].URL, "://", "+notrack://", 1) {
				return fmt.Errorf("link %d: %q became %q", i+1, x[i].URL, y[i].URL)
			}
		}
	}
	if tracked < len(f.seen.Links) {
		return fmt.Errorf("%d links tracked, readers find %d", len(f.seen.Links), tracked)
	}
	return nil
}

// destination returns where a tracking link leads.
func (v prover) destination(url string) (to string, ok bool) {
	rest, ok := strings.CutPrefix(url, base+mail.PathClick)
	if !ok || len(rest) <= mail.TokenLen {
		return "", false
	}
	to, err := mail.DecodeDestination(rest[mail.TokenLen+1:])
	if err != nil {
		return "", false
	}
	_, err = v.keys.Verify(mail.PurposeClick, rest[:mail.TokenLen], to)
	return to, err == nil
}

// stored: a plan that was stored makes the same copies.
func (v prover) stored(f *proof) error {
	p, err := rewrite.Decode(f.plan.Encode())
	if err != nil {
		return err
	}
	copied, err := v.render(p, f.original, 1)
	if err == nil && !bytes.Equal(copied, f.copied) {
		err = fmt.Errorf("the stored plan: %s", damage.Difference(copied, f.copied))
	}
	return err
}

// second: copies of two recipients differ in tokens only.
func (v prover) second(f *proof) error {
	copied, err := v.render(f.plan, f.original, 2)
	if err != nil || len(copied) != len(f.copied) {
		return fmt.Errorf("the second copy has %d bytes, want %d: %w", len(copied), len(f.copied), err)
	}
	seen, err := v.judge.Copy(f.original, copied)
	if err != nil {
		return fmt.Errorf("the second copy: %w", err)
	}
	if !slices.Equal(seen.Links, f.seen.Links) || seen.Pixels != f.seen.Pixels {
		return fmt.Errorf("the second copy has %d links, want %d", len(seen.Links), len(f.seen.Links))
	}
	for _, t := range seen.Tokens {
		if t.Recipient != 2 {
			return fmt.Errorf("the second copy has the token %+v", t)
		}
	}
	return nil
}

// anew: a copy is known by its stamp and then left alone. Without the stamp
// its links are known as ours: only the pixel is new, and links whose opt-out
// was removed.
func (v prover) anew(f *proof) error {
	stamped := append([]byte("X-Backstamp: "+f.plan.Stamp()+"\r\n"), f.copied...)
	if p := v.Plan(request(stamped)); !bytes.HasPrefix(f.copied, []byte("From ")) && p.Reason() != rewrite.ReasonRewritten {
		return fmt.Errorf("the copy is not known again: %q", p.Reason())
	}
	p := v.Plan(request(f.copied))
	copied, err := v.render(p, f.copied, 1)
	if err != nil {
		return fmt.Errorf("anew: %w", err)
	}
	seen, err := v.judge.Copy(f.copied, copied)
	if err != nil {
		return fmt.Errorf("anew: %w", err)
	}
	for _, l := range f.plan.Links() {
		if i := slices.Index(seen.Links, strings.Replace(l.URL, "+notrack://", "://", 1)); i >= 0 && l.Reason == rewrite.LinkOptOut {
			seen.Links = slices.Delete(seen.Links, i, i+1)
			f.again = append(f.again, l.URL)
		}
	}
	if len(seen.Links) > 0 {
		return fmt.Errorf("anew, %q is tracked", seen.Links[0])
	}
	return nil
}

// A prover that sees nothing proves nothing: each octet that is changed, lost
// or doubled in a copy must be found; in short tests one in 23.
func TestProverSeesDamage(t *testing.T) {
	v := newProver(t)
	step := 1
	if testing.Short() {
		step = 23
	}
	page := "<p>한글 <a clicktracking=on href='https://example.com/?a=1&amp;b=2' title=x>x</a>\r\n.\r\n<a href=https://example.com/>y</a></p>\r\n"
	for _, content := range [][]byte{damage.Mail([]byte(page), "utf-8", "8bit"), damage.Nested([]byte(page), "utf-8", "8bit")} {
		f, err := v.prove(content)
		if err != nil || len(f.seen.Links) != 2 {
			t.Fatalf("%d links, %v", len(f.seen.Links), err)
		}
		for i := 0; i < len(f.copied); i += step {
			c := f.copied[i]
			for _, with := range []string{"", string(c ^ 1), string([]byte{c, c})} {
				damaged := slices.Concat(f.copied[:i], []byte(with), f.copied[i+1:])
				seen, err := v.judge.Copy(content, damaged)
				if err == nil && len(seen.Links) == 2 && seen.Pixels == 1 {
					t.Errorf("%q as %q was not seen: %q", c, with, damaged[max(0, i-40):min(len(damaged), i+40)])
				}
			}
		}
	}
}
