package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"backstamp/internal/damage"
	"backstamp/mail"
)

// wire puts line ends right and drops NUL, as the relay does.
func wire(content []byte) []byte { return damage.Wire(content) }

func wrapHTML(page []byte, encoding string) []byte { return damage.Mail(page, "utf-8", encoding) }

// render returns the copy of a recipient and checks the size.
func render(p *Plan, content []byte, recipient int) ([]byte, error) {
	c := bytes.NewReader(content)
	head, err := p.Header(c)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	var body bytes.Buffer
	if err := p.WriteBody(&body, c, fakeLinker{}, recipient); err != nil {
		return nil, fmt.Errorf("write body: %w", err)
	}
	if got := p.BodySize(c); got != int64(body.Len()) {
		return nil, fmt.Errorf("BodySize %d, wrote %d", got, body.Len())
	}
	return append(bytes.Clone(head), body.Bytes()...), nil
}

func rendered(t testing.TB, p *Plan, content []byte, recipient int) []byte {
	t.Helper()
	out, err := render(p, content, recipient)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// judgeCopy checks a copy against its original, without any code of the engine.
func judgeCopy(p *Plan, content, out []byte) (seen damage.Seen, err error) {
	switch {
	case p.Reason() == ReasonInternal:
		return seen, errors.New("the engine panicked")
	case !p.Edited() && !bytes.Equal(out, content):
		return seen, fmt.Errorf("untouched (%s), yet it changed", p.Reason())
	case !p.Edited():
		return seen, nil
	}
	seen, err = damage.Judge{Base: testBase, Verify: fakeLinker{}.Verify}.Copy(content, out)
	if err != nil {
		return seen, err
	}
	tracked := 0
	for _, l := range p.Links() {
		if l.Decision == mail.Tracked {
			tracked++
		}
	}
	if tracked != len(seen.Links) {
		return seen, fmt.Errorf("%d links tracked, %d found in the copy", tracked, len(seen.Links))
	}
	if seen.Pixels > 1 {
		return seen, fmt.Errorf("%d pixels", seen.Pixels)
	}
	return seen, nil
}

// checkCopy plans, renders and judges one message.
func checkCopy(t testing.TB, r *Rewriter, content []byte) (*Plan, []byte, damage.Seen) {
	t.Helper()
	p := r.Plan(request(content))
	out := rendered(t, p, content, 1)
	seen, err := judgeCopy(p, content, out)
	if err != nil {
		t.Fatal(err)
	}
	return p, out, seen
}

// stamped returns a copy with the field that the relay adds.
func stamped(p *Plan, out []byte) []byte {
	return append([]byte("X-Backstamp: "+p.Stamp()+"\r\n"), out...)
}
