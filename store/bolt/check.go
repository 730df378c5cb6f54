package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt's file format: pages with a header of 16 bytes, then elements of 16
// bytes that point to keys and values; numbers in the machine's own order. Two
// meta pages take turns.
const (
	pageHeader  = 16
	elementSize = 16
	metaSize    = 64
	sumAt       = 56 // where the checksum of a meta lies in it

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketLeaf   = 0x01 // an element whose value is a bucket

	noFreelist = ^uint64(0)
	depthMax   = 64 // of pages and of buckets; more is a loop
)

var errOrder = errors.New("keys are out of order")

// meta is what a meta page says.
type meta struct {
	pageSize             uint32
	root, freelist, high uint64 // page numbers; high is the first that is not used
	txid                 uint64
}

// A checker walks the file as bbolt would, but reads it: bbolt maps it, and
// walks it at the start in a goroutine of its own, where a page that is cut off
// or damaged ends the whole process. Memory: one bit a page.
type checker struct {
	file io.ReaderAt
	meta meta
	seen []uint64
}

// checkFile returns store.ErrCorrupt unless every page that the newest meta
// page leads to is there and well formed. It does not look into values: bodies
// have their own checksums. Nobody may write to the file meanwhile.
func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return classify(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return classify(err)
	}
	if err := check(f, info.Size()); err != nil {
		return corruptf("%s: %w", path, err)
	}
	return nil
}

func check(f io.ReaderAt, size int64) error {
	m, err := newestMeta(f)
	if err != nil {
		return err
	}
	if want := int64(m.high) * int64(m.pageSize); size < want {
		return fmt.Errorf("file has %d bytes, its meta page says at least %d", size, want)
	}
	c := checker{file: f, meta: m, seen: make([]uint64, m.high/64+1)}
	if err := c.tree(m.root, span{}, 0); err != nil {
		return err
	}
	return c.freelist()
}

// newestMeta reads both meta pages. Either may be the newest, so with one
// damaged the other may be a commit behind; and no crash damages one, since a
// meta lies in one sector.
func newestMeta(f io.ReaderAt) (meta, error) {
	first, err := readMeta(f, 0)
	if err != nil {
		return meta{}, fmt.Errorf("first meta page: %w", err)
	}
	second, err := readMeta(f, int64(first.pageSize))
	if err != nil {
		return meta{}, fmt.Errorf("second meta page: %w", err)
	}
	if second.txid > first.txid {
		return second, nil
	}
	return first, nil
}

func readMeta(f io.ReaderAt, at int64) (meta, error) {
	var b [metaSize]byte
	if _, err := f.ReadAt(b[:], at+pageHeader); err != nil {
		return meta{}, err
	}
	n := binary.NativeEndian
	h := fnv.New64a()
	h.Write(b[:sumAt])
	m := meta{
		pageSize: n.Uint32(b[8:]),
		root:     n.Uint64(b[16:]),
		freelist: n.Uint64(b[32:]),
		high:     n.Uint64(b[40:]),
		txid:     n.Uint64(b[48:]),
	}
	switch {
	case n.Uint32(b[0:]) != boltMagic:
		return meta{}, fmt.Errorf("no bbolt file")
	case n.Uint32(b[4:]) != boltVersion:
		return meta{}, fmt.Errorf("unknown version %d of bbolt's format", n.Uint32(b[4:]))
	case n.Uint64(b[sumAt:]) != h.Sum64():
		return meta{}, fmt.Errorf("checksum does not fit")
	case m.pageSize < 1<<9 || m.pageSize > 1<<24 || m.high >= 1<<40:
		return meta{}, fmt.Errorf("sizes make no sense")
	}
	return m, nil
}

// page reads the start of a page, and marks it and what overflows from it as
// seen.
func (c *checker) page(id uint64) (page, error) {
	if id < 2 || id >= c.meta.high {
		return page{}, fmt.Errorf("page %d is not in the file", id)
	}
	size := uint64(c.meta.pageSize)
	data := make([]byte, size)
	if _, err := c.file.ReadAt(data, int64(id*size)); err != nil {
		return page{}, fmt.Errorf("page %d: %w", id, err)
	}
	n := binary.NativeEndian
	last := id + uint64(n.Uint32(data[12:]))
	if n.Uint64(data) != id || last >= c.meta.high {
		return page{}, fmt.Errorf("page %d is damaged", id)
	}
	for i := id; i <= last; i++ {
		if c.seen[i/64]&(1<<(i%64)) != 0 {
			return page{}, fmt.Errorf("page %d is in two places", i)
		}
		c.seen[i/64] |= 1 << (i % 64)
	}
	return parsePage(data, io.NewSectionReader(c.file, int64(id*size), int64((last-id+1)*size)))
}

// A span is the range of keys that a page may hold: low ≤ key < high. nil is no
// bound.
type span struct{ low, high []byte }

func (s span) holds(key []byte) bool {
	return bytes.Compare(key, s.low) >= 0 && (s.high == nil || bytes.Compare(key, s.high) < 0)
}

// tree checks a page and those below it.
func (c *checker) tree(id uint64, keys span, depth int) error {
	if depth > depthMax {
		return fmt.Errorf("page %d lies too deep", id)
	}
	p, err := c.page(id)
	if err == nil && p.flags == branchPage {
		err = c.branch(p, keys, depth)
	} else if err == nil {
		err = c.leaf(p, keys, depth)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// branch checks that the pages below hold the keys that the branch says.
func (c *checker) branch(p page, keys span, depth int) error {
	if p.count == 0 {
		return fmt.Errorf("branch leads nowhere")
	}
	e, err := p.element(0)
	if err != nil {
		return err
	}
	for i := range p.count {
		below, next := span{low: e.key, high: keys.high}, element{}
		if i+1 < p.count {
			if next, err = p.element(i + 1); err != nil {
				return err
			}
			below.high = next.key
		}
		if !keys.holds(e.key) || below.high != nil && bytes.Compare(e.key, below.high) >= 0 {
			return errOrder
		}
		if err := c.tree(e.child, below, depth+1); err != nil {
			return err
		}
		e = next
	}
	return nil
}

// leaf checks the keys, and the buckets that lie under some.
func (c *checker) leaf(p page, keys span, depth int) error {
	if p.flags != leafPage {
		return fmt.Errorf("kind %#x where a tree should be", p.flags)
	}
	var before []byte
	for i := range p.count {
		e, err := p.element(i)
		if err != nil {
			return err
		}
		if !keys.holds(e.key) || i > 0 && bytes.Compare(before, e.key) >= 0 {
			return errOrder
		}
		before = e.key
		if e.bucket {
			if err := c.bucket(e.value, depth+1); err != nil {
				return fmt.Errorf("bucket %q: %w", e.key, err)
			}
		}
	}
	return nil
}

// bucket checks a bucket: the number of its root page and a counter, or, where
// the number is 0, a page that lies in the value itself.
func (c *checker) bucket(value []byte, depth int) error {
	if len(value) < 16 {
		return fmt.Errorf("cut off")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return c.tree(root, span{}, depth)
	}
	p, err := parsePage(value[16:], io.NewSectionReader(bytes.NewReader(value[16:]), 0, int64(len(value)-16)))
	if err != nil {
		return err
	}
	return c.leaf(p, span{}, depth)
}

// freelist checks the list of free pages, where one was written.
func (c *checker) freelist() error {
	if c.meta.freelist == noFreelist {
		return nil
	}
	p, err := c.page(c.meta.freelist)
	if err != nil {
		return err
	}
	if p.flags != freelistPage {
		return fmt.Errorf("page %d is no list of free pages", c.meta.freelist)
	}
	ids, err := p.bytes(pageHeader, uint64(p.whole.Size())-pageHeader)
	if err != nil {
		return err
	}
	count := uint64(p.count)
	if count == 0xFFFF { // does not fit: the first number is the count
		count, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return fmt.Errorf("list of free pages is cut off")
	}
	for i := range count {
		id := binary.NativeEndian.Uint64(ids[i*8:])
		if id < 2 || id >= c.meta.high || c.seen[id/64]&(1<<(id%64)) != 0 {
			return fmt.Errorf("page %d is listed as free", id)
		}
	}
	return nil
}

// A page is one page of the file with what overflows from it. Most of a store
// is bodies, which are not read: of a page that overflows only the start is,
// and the keys.
type page struct {
	data  []byte // its start
	whole *io.SectionReader
	flags uint16
	count int
}

// An element is one entry of a page.
type element struct {
	key    []byte
	value  []byte // of a bucket
	child  uint64 // in a branch
	bucket bool   // the value is a bucket
}

func parsePage(data []byte, whole *io.SectionReader) (page, error) {
	if len(data) < pageHeader {
		return page{}, fmt.Errorf("cut off")
	}
	n := binary.NativeEndian
	return page{data: data, whole: whole, flags: n.Uint16(data[8:]), count: int(n.Uint16(data[10:]))}, nil
}

// bytes returns n bytes of the page.
func (p page) bytes(at, n uint64) ([]byte, error) {
	if at+n > uint64(p.whole.Size()) {
		return nil, fmt.Errorf("an element points outside the page")
	}
	if at+n <= uint64(len(p.data)) {
		return p.data[at : at+n], nil
	}
	b := make([]byte, n)
	_, err := p.whole.ReadAt(b, int64(at))
	return b, err
}

// element reads the i-th entry. Positions count from the entry itself.
func (p page) element(i int) (element, error) {
	at := uint64(pageHeader + i*elementSize)
	b, err := p.bytes(at, elementSize)
	if err != nil {
		return element{}, err
	}
	n := binary.NativeEndian
	var e element
	var pos, keyLen, valueLen uint64
	if p.flags == branchPage {
		pos, keyLen = uint64(n.Uint32(b)), uint64(n.Uint32(b[4:]))
		e.child = n.Uint64(b[8:])
	} else {
		e.bucket = n.Uint32(b)&bucketLeaf != 0
		pos, keyLen, valueLen = uint64(n.Uint32(b[4:])), uint64(n.Uint32(b[8:])), uint64(n.Uint32(b[12:]))
	}
	start := at + pos
	if start+keyLen+valueLen > uint64(p.whole.Size()) {
		return element{}, fmt.Errorf("element %d points outside its page", i)
	}
	if e.key, err = p.bytes(start, keyLen); err == nil && e.bucket {
		e.value, err = p.bytes(start+keyLen, valueLen)
	}
	return e, err
}
