package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"backstamp/mail"
	"backstamp/rewrite"
)

// marks are what stands around what is taken out and put in, and around what
// matters less.
type marks struct{ out, outEnd, in, inEnd, quiet, quietEnd string }

func (p *program) marks() marks {
	if p.colours() {
		return colouredMarks()
	}
	return plainMarks()
}

func colouredMarks() marks {
	const plain = "\x1b[0m"
	return marks{"\x1b[31m", plain, "\x1b[32m", plain, "\x1b[2m", plain}
}

func plainMarks() marks { return marks{out: "[-", outEnd: "-]", in: "{+", inEnd: "+}"} }

// diff prints what would change in a message, and why the rest would not.
func (p *program) diff(name string, t *trial) error {
	return printDiff(p.out, p.marks(), p.language(), name, t)
}

func printDiff(w io.Writer, m marks, lang, name string, t *trial) error {
	d := &differ{w: bufio.NewWriter(w), marks: m, lang: lang}
	if err := d.message(name, t); err != nil {
		return err
	}
	return d.w.Flush()
}

// A differ prints a message before and after, for people.
type differ struct {
	w     *bufio.Writer
	marks marks
	lang  string
	pixel string // where it is
}

func (d *differ) say(format string, args ...any) { fmt.Fprintf(d.w, format+"\n", args...) }

func (d *differ) message(name string, t *trial) error {
	if reason := t.plan.Reason(); reason != "" {
		d.say("%s would not be changed (%s). %s", mail.Escape(name), reason, rewrite.Explain(reason, d.lang))
		d.left(t.plan.Links())
		return nil
	}
	d.header(t.old, t.head)
	for e, err := range t.plan.Edits(t.letter, t.keys, 1) {
		if err != nil {
			return err
		}
		d.part(e, t.plan.BaseURL())
	}
	d.left(t.plan.Links())
	return d.summary(t)
}

// header prints the fields that leave and those that come.
func (d *differ) header(old, head mail.Header) {
	d.say("header")
	for _, f := range missing(old, head) {
		d.say("       %s%s%s", d.marks.out, mail.Escape(f.Name+": "+f.Value()), d.marks.outEnd)
	}
	for _, f := range missing(head, old) {
		d.say("       %s%s%s", d.marks.in, mail.Escape(f.Name+": "+f.Value()), d.marks.inEnd)
	}
}

// missing returns the fields of h that are not in other.
func missing(h, other mail.Header) (fields mail.Header) {
	there := map[string]int{}
	for _, f := range other {
		there[string(f.Raw)]++
	}
	for _, f := range h {
		if there[string(f.Raw)]--; there[string(f.Raw)] < 0 {
			fields = append(fields, f)
		}
	}
	return fields
}

func (d *differ) part(e rewrite.Edit, base string) {
	about := []string{"part " + e.Part + ": text/html"}
	for _, word := range []string{e.Charset, e.Encoding} {
		if word != "" {
			about = append(about, mail.Escape(word))
		}
	}
	if e.Became != e.Encoding {
		about = append(about, "now "+e.Became)
	}
	d.say("\n%s", strings.Join(about, ", "))
	l := layout{w: d.w, marks: d.marks, line: 1}
	for i, c := range e.Changes {
		l.kept(c.Kept, i > 0, i < len(e.Changes)-1)
		l.change(c)
		if strings.HasPrefix(c.Added, `<img src="`+base+mail.PathOpen) {
			d.pixel = fmt.Sprintf("at the %s of part %s, line %d", pixelPlace(e.Changes[i+1:]), e.Part, l.line)
		}
	}
	l.end()
}

// pixelPlace says where in the body the pixel is, by what follows it.
func pixelPlace(after []rewrite.Change) string {
	text := strings.ToLower(strings.TrimSpace(after[0].Kept))
	if len(after) == 1 && (text == "" || strings.HasPrefix(text, "</body") || strings.HasPrefix(text, "</html")) {
		return "end"
	}
	return "top"
}

// left lists the links that stay as they are, and explains each reason once.
func (d *differ) left(links []mail.Link) {
	t := &table{head: []string{"#", "REASON", "URL", "LABEL"}}
	var reasons []string
	for _, l := range links {
		if l.Decision != mail.Left {
			continue
		}
		t.row(fmt.Sprint(l.Index), l.Reason, clip(l.URL, 100), clip(l.Label, 30))
		if !slices.Contains(reasons, l.Reason) {
			reasons = append(reasons, l.Reason)
		}
	}
	if len(reasons) == 0 {
		return
	}
	d.say("\nleft alone")
	t.flush(d.w)
	for _, reason := range reasons {
		d.say("%s: %s", reason, rewrite.Explain(reason, d.lang))
	}
}

func (d *differ) summary(t *trial) error {
	size, err := t.writeTo(io.Discard)
	if err != nil {
		return err
	}
	tracked := 0
	for _, l := range t.plan.Links() {
		if l.Decision == mail.Tracked {
			tracked++
		}
	}
	d.say("\n%s tracked, %d left alone", plural(tracked, "link"), len(t.plan.Links())-tracked)
	if d.pixel == "" {
		d.say("no pixel: opens are off, or no part is shown that could hold it")
	} else {
		d.say("pixel %s", d.pixel)
	}
	d.say("%d octets become %d", t.file.Size(), size)
	for _, note := range t.plan.Notes() {
		d.say("note %s: %s", note, rewrite.Explain(note, d.lang))
	}
	return nil
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
