package main

import (
	"bufio"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/width"

	"backstamp/mail"
)

// A table lines up cells for people. It holds what it is given until flush:
// listings for people are short.
type table struct {
	head   []string
	rows   [][]string
	colour bool
}

func (p *program) table(head ...string) *table {
	return &table{head: head, colour: p.colours()}
}

// colours reports whether standard output is a terminal that wants colours.
func (p *program) colours() bool {
	f, ok := p.out.(*os.File)
	if !ok || p.getenv("NO_COLOR") != "" || p.getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = mail.Escape(c)
	}
	t.rows = append(t.rows, cells)
}

// terminal is how wide a terminal is taken to be, in columns.
const terminal = 80

// fold breaks the last cell of each row into lines, so that the rows fit into n
// columns where the other cells leave it some of them.
func (t *table) fold(n int) *table {
	last := len(t.head) - 1
	for i := range last {
		width := columns(t.head[i])
		for _, row := range t.rows {
			width = max(width, columns(row[i]))
		}
		n -= width + 2
	}
	var rows [][]string
	for _, row := range t.rows {
		for i, line := range inLines(row[last], max(n, 24)) {
			if i > 0 {
				row = make([]string, len(t.head))
			}
			row[last] = line
			rows = append(rows, row)
		}
	}
	t.rows = rows
	return t
}

// inLines breaks a text between words into lines of at most n columns; a word that
// is longer has a line of its own. There is always one line.
func inLines(text string, n int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		line := &lines[len(lines)-1]
		switch {
		case *line == "":
			*line = word
		case columns(*line)+1+columns(word) <= n:
			*line += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

// flush writes the table; nothing when it has no rows.
func (t *table) flush(w io.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, c := range row {
			widths[i] = max(widths[i], columns(c))
		}
	}
	out := bufio.NewWriter(w)
	for n, row := range append([][]string{t.head}, t.rows...) {
		for i, c := range row {
			text := c
			if t.colour {
				text = paint(c, n == 0)
			}
			out.WriteString(text)
			if i < len(row)-1 {
				out.WriteString(strings.Repeat(" ", widths[i]-columns(c)+2))
			}
		}
		out.WriteByte('\n')
	}
	return out.Flush()
}

// columns is how many cells of a terminal a text takes: Korean letters take two.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

func cells(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// clip shortens a text to its first n columns at most.
func clip(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	left := n - 1
	for i, r := range s {
		if left -= cells(r); left < 0 {
			return s[:i] + "…"
		}
	}
	return s
}

// clipFront shortens a text to its last n columns at most.
func clipFront(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	left := n - 1
	for i := len(s); ; {
		r, size := utf8.DecodeLastRuneInString(s[:i])
		if left -= cells(r); left < 0 {
			return "…" + s[i:]
		}
		i -= size
	}
}

// paint colours a header, or a cell that is a status.
func paint(cell string, head bool) string {
	const bold, green, yellow, red, plain = "\x1b[1m", "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"
	if head {
		return bold + cell + plain
	}
	word, _, _ := strings.Cut(cell, " ")
	switch mail.Status(word) {
	case mail.Sent, mail.Delivered, mail.Opened, mail.Clicked, fine:
		return green + cell + plain
	case mail.Queued, mail.Deferred, mail.Held, doubted:
		return yellow + cell + plain
	case mail.Failed, mail.Bounced, mail.Suppressed, "parked", bad:
		return red + cell + plain
	}
	return cell
}
