//go:build unix

package crashtest

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// TraceCalls are the system calls that a trace for ReadTrace must have, as
// strace takes them: strace -f -y -xx -s 1000000 -e trace=…
const TraceCalls = "openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,fsync,fdatasync,sync_file_range,copy_file_range,sendto"

// A Call is one system call: what it did, and when. Begin and end are lines of
// the trace; what it does may be so from its begin on, and is once it ended.
type Call struct {
	name       string
	args       []string // as strace writes them, strings decoded
	path       string   // of the descriptor in the first argument
	result     int64
	begin, end int
	cut        bool // it never ended
}

// ReadTrace reads what strace wrote. A call that the kill cut off ends after
// the last line.
func ReadTrace(r io.Reader) ([]Call, error) {
	var calls []Call
	pending := map[string]int{} // by process: its unfinished call
	lines := bufio.NewReaderSize(r, 1<<20)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return finished(calls, n), nil
		}
		if err != nil {
			return nil, err
		}
		pid, text, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		text = strings.TrimSpace(text)
		switch {
		case strings.HasPrefix(text, "<... "):
			i, ok := pending[pid]
			if !ok {
				return nil, fmt.Errorf("line %d ends a call that did not begin", n+1)
			}
			_, rest, _ := strings.Cut(text, "resumed>")
			delete(pending, pid)
			calls[i].finish(rest, n)
		case strings.HasPrefix(text, "+++") || strings.HasPrefix(text, "---") || !strings.Contains(text, "("):
		default:
			c, whole := parseCall(text, n)
			calls = append(calls, c)
			if !whole {
				pending[pid] = len(calls) - 1
			}
		}
	}
}

// finished gives calls without an end one after the last line.
func finished(calls []Call, lines int) []Call {
	for i := range calls {
		if calls[i].end < 0 {
			calls[i].end, calls[i].result, calls[i].cut = lines+1, -1, true
		}
	}
	return calls
}

var (
	descriptor = regexp.MustCompile(`^-?\w+<(.*)>$`)
	outcome    = regexp.MustCompile(`\)\s+= (-?\d+)`)
)

// parseCall reads the beginning of a call, or all of it.
func parseCall(text string, n int) (c Call, whole bool) {
	name, rest, _ := strings.Cut(text, "(")
	c = Call{name: name, begin: n, end: -1}
	rest, unfinished := strings.CutSuffix(rest, "<unfinished ...>")
	args := rest
	if i := strings.LastIndex(rest, ")"); !unfinished && i >= 0 {
		args = rest[:i]
	}
	for _, a := range splitArgs(args) {
		c.args = append(c.args, decode(a))
	}
	if len(c.args) > 0 {
		if m := descriptor.FindStringSubmatch(c.args[0]); m != nil {
			c.path = unescape(m[1])
		}
	}
	if !unfinished {
		c.finish(rest, n)
	}
	return c, !unfinished
}

// finish reads the end of a call.
func (c *Call) finish(rest string, n int) {
	c.end, c.result = n, -1
	if m := outcome.FindStringSubmatch(rest); m != nil {
		c.result, _ = strconv.ParseInt(m[1], 10, 64)
	}
	if c.name == "openat" || c.name == "creat" { // the new descriptor says what was opened
		if _, after, ok := strings.Cut(rest[strings.LastIndex(rest, "="):], "<"); ok {
			c.path = unescape(strings.TrimSuffix(strings.TrimSpace(after), ">"))
		}
	}
}

// failed reports whether the call is known to have done nothing. One that was
// cut off may have done all of it.
func (c *Call) failed() bool { return c.result < 0 && !c.cut }

// at returns the path of two arguments: a directory, and a name in it.
func (c *Call) at(i int) string {
	if len(c.args) < i+2 {
		return ""
	}
	name := c.args[i+1]
	if m := descriptor.FindStringSubmatch(c.args[i]); m != nil && !filepath.IsAbs(name) {
		name = filepath.Join(unescape(m[1]), name)
	}
	return filepath.Clean(name)
}

// splitArgs parts arguments at commas outside of strings and brackets.
func splitArgs(text string) (args []string) {
	depth, quoted, from := 0, false, 0
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == '"':
			quoted = !quoted // with -xx no quote stands in a string
		case quoted:
		case b == '<' || b == '[' || b == '{':
			depth++
		case b == '>' || b == ']' || b == '}':
			depth--
		case b == ',' && depth == 0:
			args = append(args, strings.TrimSpace(text[from:i]))
			from = i + 1
		}
	}
	if last := strings.TrimSpace(text[from:]); last != "" {
		args = append(args, last)
	}
	return args
}

// decode undoes the quoting of a string; other arguments stay.
func decode(arg string) string {
	if len(arg) < 2 || arg[0] != '"' {
		return arg
	}
	return unescape(strings.Trim(arg, `"`))
}

// unescape undoes \xNN.
func unescape(text string) string {
	if !strings.Contains(text, `\x`) {
		return text
	}
	b := make([]byte, 0, len(text)/4)
	for i := 0; i < len(text); {
		if strings.HasPrefix(text[i:], `\x`) && i+4 <= len(text) {
			if v, err := strconv.ParseUint(text[i+2:i+4], 16, 8); err == nil {
				b = append(b, byte(v))
				i += 4
				continue
			}
		}
		b = append(b, text[i])
		i++
	}
	return string(b)
}
