//go:build unix

package crashtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sector is what a disk writes whole or not at all, in octets.
const sector = 512

// An Image is what a power cut may have left.
type Image struct {
	Dir      string   // where it lies, in the place of the root
	Cut      int      // the line of the trace before which the power went
	Answered []string // what had been answered until then
}

// Cuts says which images are made of a trace.
type Cuts struct {
	// Root is the directory that is rebuilt. The trace must begin with the
	// process that fills it: what was there before is not known.
	Root   string
	Answer *regexp.Regexp // finds an answer in what is sent, in its first group
	Number int
	Random *rand.Rand
}

// Images builds images at random moments of a trace, in the order of time, and
// has each checked. It stops at the first error.
//
// An image holds all that was synced: octets of a file by fsync or fdatasync of
// it, names by fsync of their directory. Of the rest any subset is there, and
// writes that are there may be torn between sectors. A call counts as synced
// when it had ended before the sync began, and the sync had ended; as done, in
// part or in whole, as soon as it began. Renames are atomic.
func Images(calls []Call, c Cuts, check func(Image) error) error {
	moments := momentsOf(calls)
	if len(moments) == 0 {
		return errors.New("the trace is empty")
	}
	var cuts []int
	for range c.Number {
		cuts = append(cuts, c.Random.IntN(len(moments))+1)
	}
	slices.Sort(cuts)
	d := newDisk(c)
	done := 0
	for _, cut := range cuts {
		for ; done < cut; done++ {
			if err := d.apply(moments[done]); err != nil {
				return err
			}
		}
		if err := d.image(moments[cut-1].line, check); err != nil {
			return err
		}
	}
	return nil
}

// A moment is the begin or the end of a call.
type moment struct {
	line int
	end  bool
	*Call
}

func momentsOf(calls []Call) (ms []moment) {
	for i := range calls {
		c := &calls[i]
		ms = append(ms, moment{c.begin, false, c}, moment{c.end, true, c})
	}
	slices.SortStableFunc(ms, func(a, b moment) int { return a.line - b.line })
	return ms
}

// A node is a file or a directory.
type node struct {
	dir    bool
	synced []byte
	size   int64    // as the process sees it
	offset int64    // of the next write
	wrote  []change // not synced, in their order
}

// A change is one of the octets of a file.
type change struct {
	end    int // line
	offset int64
	data   []byte
	cut    bool // set the length to offset
}

// A naming is a change of names: to names a node, and from, if any, is gone.
type naming struct {
	end      int // line
	dir      string
	from, to string
	node     *node // nil: to is gone
}

// A disk is what the process sees, and what of it is durable.
type disk struct {
	Cuts
	names    map[string]*node // as the process sees them
	synced   map[string]*node
	named    []naming // not synced, in their order
	answered []string
}

func newDisk(c Cuts) *disk {
	root := &node{dir: true}
	return &disk{Cuts: c, names: map[string]*node{c.Root: root}, synced: map[string]*node{c.Root: root}}
}

// inside reports whether a path is below the root.
func (d *disk) inside(path string) bool { return strings.HasPrefix(path, d.Root+"/") }

// apply does what a call did: syncs and opens when they end, the rest when it
// begins.
func (d *disk) apply(m moment) error {
	c := m.Call
	sync := c.name == "fsync" || c.name == "fdatasync"
	if m.end != (sync || c.name == "openat" || c.name == "creat") {
		return nil
	}
	if strings.HasPrefix(c.path, "socket:") {
		d.answer(c)
		return nil
	}
	if c.failed() {
		return nil
	}
	switch {
	case sync:
		d.sync(c)
	case m.end:
		return d.open(c)
	case c.name == "write", c.name == "pwrite64", c.name == "ftruncate":
		return d.write(c)
	case c.name == "mkdirat":
		d.name(c, c.at(0), "", &node{dir: true})
	case c.name == "unlinkat":
		d.name(c, c.at(0), "", nil)
	case c.name == "linkat":
		d.name(c, c.at(2), "", d.names[c.at(0)])
	case strings.HasPrefix(c.name, "rename") && c.name != "rename":
		d.name(c, c.at(2), c.at(0), d.names[c.at(0)])
	case slices.ContainsFunc(c.args, func(arg string) bool { return strings.Contains(arg, d.Root+"/") }):
		return fmt.Errorf("line %d: %s is not understood", c.begin+1, c.name)
	}
	return nil
}

func (d *disk) answer(c *Call) {
	if len(c.args) > 1 {
		for _, m := range d.Answer.FindAllStringSubmatch(c.args[1], -1) {
			d.answered = append(d.answered, m[1])
		}
	}
}

func (d *disk) open(c *Call) error {
	flags := strings.Join(c.args[min(1, len(c.args)):], " ")
	if !d.inside(c.path) || !strings.Contains(flags, "O_WRONLY") && !strings.Contains(flags, "O_RDWR") {
		return nil
	}
	n := d.names[c.path]
	switch {
	case n == nil && !strings.Contains(flags, "O_CREAT"):
		return fmt.Errorf("line %d: %q was there before the trace", c.begin+1, c.path)
	case n == nil:
		n = &node{}
		d.name(c, c.path, "", n)
	case strings.Contains(flags, "O_TRUNC"):
		n.add(change{end: c.end, cut: true})
	}
	n.offset = 0
	if strings.Contains(flags, "O_APPEND") {
		n.offset = n.size
	}
	return nil
}

func (d *disk) write(c *Call) error {
	if !d.inside(c.path) {
		return nil
	}
	n := d.names[strings.TrimSuffix(c.path, " (deleted)")]
	if n == nil {
		if strings.HasSuffix(c.path, " (deleted)") {
			return nil
		}
		return fmt.Errorf("line %d: nothing is known of %q", c.begin+1, c.path)
	}
	last := c.args[len(c.args)-1]
	number, err := strconv.ParseInt(last, 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("line %d: %w", c.begin+1, err)
	case c.name == "ftruncate":
		n.add(change{end: c.end, offset: number, cut: true})
		return nil
	}
	data := []byte(c.args[1])
	if c.result >= 0 {
		data = data[:min(int(c.result), len(data))]
	}
	if c.name == "write" {
		number = n.offset
		n.offset += int64(len(data))
	}
	n.add(change{end: c.end, offset: number, data: data})
	return nil
}

func (n *node) add(c change) {
	n.wrote = append(n.wrote, c)
	n.size = max(n.size, c.offset+int64(len(c.data)))
	if c.cut {
		n.size = c.offset
	}
}

// name changes names.
func (d *disk) name(c *Call, to, from string, n *node) {
	if !d.inside(to) {
		return
	}
	op := naming{end: c.end, dir: filepath.Dir(to), from: from, to: to, node: n}
	op.apply(d.names)
	d.named = append(d.named, op)
}

func (op naming) apply(names map[string]*node) {
	if op.from != "" && names[op.from] == op.node {
		delete(names, op.from)
	}
	if op.node == nil {
		delete(names, op.to)
	} else {
		names[op.to] = op.node
	}
}

// sync makes durable what had ended when it began.
func (d *disk) sync(c *Call) {
	n := d.names[strings.TrimSuffix(c.path, " (deleted)")]
	if n == nil {
		return
	}
	n.wrote = slices.DeleteFunc(n.wrote, func(w change) bool {
		if w.end >= c.begin {
			return false
		}
		n.synced = w.apply(n.synced, nil)
		return true
	})
	if n.dir {
		d.named = slices.DeleteFunc(d.named, func(op naming) bool {
			if op.dir != c.path || op.end >= c.begin {
				return false
			}
			op.apply(d.synced)
			return true
		})
	}
}

// apply changes octets. Torn, if not nil, says which sectors stay as they were.
func (w change) apply(b []byte, torn func() bool) []byte {
	if w.cut {
		return resized(b, w.offset)
	}
	for i := int64(0); i < int64(len(w.data)); {
		next := min((w.offset+i)/sector*sector+sector-w.offset, int64(len(w.data)))
		if torn == nil || !torn() {
			if end := w.offset + next; end > int64(len(b)) {
				b = resized(b, end)
			}
			copy(b[w.offset+i:], w.data[i:next])
		}
		i = next
	}
	return b
}

func resized(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// image writes down what may be left now, has it checked and removes it.
func (d *disk) image(line int, check func(Image) error) error {
	dir, err := os.MkdirTemp("", "powercut-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	luck := d.luck()
	names := make(map[string]*node, len(d.synced))
	for path, n := range d.synced {
		names[path] = n
	}
	for _, op := range d.named {
		if luck() {
			op.apply(names)
		}
	}
	for path, n := range names {
		if !n.dir && d.reached(names, path) {
			if err := d.lay(filepath.Join(dir, strings.TrimPrefix(path, d.Root)), n, luck); err != nil {
				return err
			}
		}
	}
	if err := check(Image{dir, line, d.answered}); err != nil {
		return fmt.Errorf("power cut before line %d of the trace: %w", line+1, err)
	}
	return nil
}

// luck returns what decides whether something unsynced is there: more or less
// of it, by image; sometimes all or nothing.
func (d *disk) luck() func() bool {
	share := min(max(d.Random.Float64()*1.5-0.25, 0), 1)
	return func() bool { return d.Random.Float64() < share }
}

// reached reports whether all directories above a path have names.
func (d *disk) reached(names map[string]*node, path string) bool {
	for p := filepath.Dir(path); p != d.Root; p = filepath.Dir(p) {
		if n := names[p]; n == nil || !n.dir {
			return false
		}
	}
	return true
}

// lay writes a file as it may be.
func (d *disk) lay(path string, n *node, luck func() bool) error {
	b := slices.Clone(n.synced)
	for _, w := range n.wrote {
		switch {
		case !luck():
		case d.Random.IntN(2) == 0:
			b = w.apply(b, nil)
		default:
			b = w.apply(b, func() bool { return d.Random.IntN(2) == 0 })
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}
