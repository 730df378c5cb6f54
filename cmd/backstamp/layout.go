package main

import (
	"bufio"
	"fmt"
	"strings"

	"backstamp/mail"
	"backstamp/rewrite"
)

// nearby is how much of a line is shown on each side of a change, in columns.
const nearby = 40

// A layout prints the changes of one part, each in its line, with the line
// before and the one behind, and leaves out what lies between.
type layout struct {
	w     *bufio.Writer
	marks marks
	line  int  // of the text, from 1
	begun bool // a row was begun
	shown int  // the last line that was begun
}

// kept prints what is near the changes before and behind some text.
func (l *layout) kept(text string, behind, before bool) {
	lines := strings.Split(text, "\n")
	last := len(lines) - 1
	if last == 0 && behind && before && columns(clean(text)) <= 2*nearby {
		l.text(clean(text))
		return
	}
	if behind {
		l.text(clip(clean(lines[0]), nearby))
		l.end()
		if last > 1 {
			l.context(l.line+1, lines[1])
		}
	}
	if behind && before && last > 4 {
		fmt.Fprintf(l.w, "%s    ⋮%s\n", l.marks.quiet, l.marks.quietEnd)
	}
	if before {
		if last > 1 || last == 1 && !behind {
			l.context(l.line+last-1, lines[last-1])
		}
		l.line += last
		l.text(clipFront(clean(lines[last]), nearby))
	}
}

// context prints a line that has no change, unless it is blank or was printed.
func (l *layout) context(number int, text string) {
	if text = clean(text); strings.TrimSpace(text) == "" || number <= l.shown {
		return
	}
	fmt.Fprintf(l.w, "%s%5d  %s%s\n", l.marks.quiet, number, clip(text, 2*nearby), l.marks.quietEnd)
	l.shown = number
}

func (l *layout) change(c rewrite.Change) {
	if c.Removed != "" {
		l.text(l.marks.out + clean(c.Removed) + l.marks.outEnd)
	}
	if c.Added != "" {
		l.text(l.marks.in + clean(c.Added) + l.marks.inEnd)
	}
	l.line += strings.Count(c.Removed, "\n")
}

// text goes on with the row of the current line, or begins one. A line that has
// several rows has its number once.
func (l *layout) text(s string) {
	switch {
	case l.begun:
	case l.line > l.shown:
		fmt.Fprintf(l.w, "%5d  ", l.line)
		l.shown = l.line
	default:
		l.w.WriteString("       ")
	}
	l.begun = true
	l.w.WriteString(s)
}

// end ends the row.
func (l *layout) end() {
	if l.begun {
		l.w.WriteByte('\n')
	}
	l.begun = false
}

// clean makes text fit for one row of a terminal.
func clean(s string) string {
	s = strings.TrimSuffix(s, "\r")
	return mail.Escape(strings.NewReplacer("\r\n", "⏎", "\n", "⏎", "\t", " ").Replace(s))
}
