package track

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// rangesMax is the largest file of networks that is read, in octets; Apple's
// has 12 MB.
const rangesMax = 64 << 20

// A rangeSet is a set of addresses: ranges in order, apart from each other. It
// takes a binary search to ask, however many networks it was made of.
type rangeSet []addrRange

type addrRange struct{ first, last netip.Addr }

// newRangeSet returns the addresses of networks that are unmapped.
func newRangeSet(networks []netip.Prefix) rangeSet {
	all := make(rangeSet, 0, len(networks))
	for _, n := range networks {
		all = append(all, addrRange{n.Masked().Addr(), lastAddr(n)})
	}
	slices.SortFunc(all, func(a, b addrRange) int { return a.first.Compare(b.first) })
	merged := all[:0]
	for _, r := range all {
		i := len(merged) - 1
		if i < 0 || !adjoins(merged[i], r) {
			merged = append(merged, r)
		} else if merged[i].last.Less(r.last) {
			merged[i].last = r.last
		}
	}
	return slices.Clip(merged)
}

// adjoins reports whether b, which does not begin before a, overlaps it or
// follows at once.
func adjoins(a, b addrRange) bool {
	return a.first.BitLen() == b.first.BitLen() && (b.first.Compare(a.last) <= 0 || a.last.Next() == b.first)
}

// lastAddr is the last address of a network.
func lastAddr(n netip.Prefix) netip.Addr {
	if n.IsSingleIP() {
		return n.Addr()
	}
	b := n.Masked().Addr().AsSlice()
	for bit := n.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// holds reports whether the set has all addresses of a network, overlaps
// whether it has any.
func (s rangeSet) holds(n netip.Prefix) bool {
	r, ok := s.at(n)
	return ok && r.first.Compare(n.Masked().Addr()) <= 0 && r.last.Compare(lastAddr(n)) >= 0
}

func (s rangeSet) overlaps(n netip.Prefix) bool {
	_, ok := s.at(n)
	return ok
}

// at finds the first range that a network overlaps.
func (s rangeSet) at(n netip.Prefix) (addrRange, bool) {
	if len(s) == 0 || !n.IsValid() {
		return addrRange{}, false
	}
	first, last := n.Masked().Addr(), lastAddr(n)
	i, _ := slices.BinarySearchFunc(s, first, func(r addrRange, a netip.Addr) int { return r.last.Compare(a) })
	if i == len(s) || s[i].first.Compare(last) > 0 {
		return addrRange{}, false
	}
	return s[i], true
}

// readRanges reads a file of networks, one at the start of each line: what
// comes after a comma or a #, and empty lines, say nothing.
func readRanges(path string) ([]netip.Prefix, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > rangesMax {
		return nil, fmt.Errorf("%q has %d octets; at most %d are read", path, info.Size(), int64(rangesMax))
	}
	var networks []netip.Prefix
	lines := bufio.NewScanner(io.LimitReader(f, rangesMax))
	for line := 1; lines.Scan(); line++ {
		text := lines.Bytes()
		if i := bytes.IndexAny(text, ",#"); i >= 0 {
			text = text[:i]
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		var n network
		if err := n.UnmarshalText(text); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		networks = append(networks, n.Prefix)
	}
	return networks, lines.Err()
}

// keptPrefix reads an address as an event has it: alone, or as the network that
// it was cut to.
func keptPrefix(text string) netip.Prefix {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p
	}
	addr, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil {
		return netip.Prefix{}
	}
	return onePrefix(addr)
}

// onePrefix is the network of one address.
func onePrefix(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }
