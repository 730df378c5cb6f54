package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A Secret is a text that nothing prints: fmt, slog, JSON and YAML show it as
// <redacted>, or as nothing where it is empty. Convert it to a string where it
// is used, and only there.
type Secret string

// String returns <redacted>, or "" for the empty Secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "<redacted>"
}

// Format prints String for every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText returns String, for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// A Size is a number of octets, written as 25MB; KB, MB and GB are powers of
// 1024.
type Size int64

var errValue = errors.New("malformed")

// sizeUnits runs from the largest to the smallest, which ends every other.
var sizeUnits = []struct {
	name   string
	factor int64
}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}}

func parseSize(s string) (Size, error) {
	number, factor := s, int64(1)
	for _, u := range sizeUnits {
		if cut, ok := strings.CutSuffix(strings.ToUpper(s), u.name); ok {
			number, factor = cut, u.factor
			break
		}
	}
	n, err := parseCount(number)
	if err != nil || n > math.MaxInt64/factor {
		return 0, errValue
	}
	return Size(n * factor), nil
}

// String returns the size in the largest unit that needs no fraction.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if n := int64(s); n != 0 && n%u.factor == 0 {
			return strconv.FormatInt(n/u.factor, 10) + u.name
		}
	}
	return "0"
}

// MarshalText returns String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Duration is a time.Duration that is also written in days: 30d, 1d12h.
type Duration time.Duration

const day = 24 * time.Hour

func parseDuration(s string) (Duration, error) {
	var days int64
	rest := s
	if number, tail, ok := strings.Cut(s, "d"); ok {
		n, err := parseCount(number)
		if err != nil || n > int64(math.MaxInt64/day) {
			return 0, errValue
		}
		days, rest = n, tail
	}
	var d time.Duration
	if rest != "" || s == "" {
		var err error
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, errValue
		}
	}
	total := time.Duration(days)*day + d
	if d < 0 || total < d {
		return 0, errValue
	}
	return Duration(total), nil
}

// String returns the duration without parts that are zero.
func (d Duration) String() string {
	if d != 0 && time.Duration(d)%day == 0 {
		return strconv.FormatInt(int64(time.Duration(d)/day), 10) + "d"
	}
	s := time.Duration(d).String()
	if cut, ok := strings.CutSuffix(s, "m0s"); ok {
		s = cut + "m"
	}
	if cut, ok := strings.CutSuffix(s, "h0m"); ok {
		s = cut + "h"
	}
	return s
}

// MarshalText returns String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// A Rate is how often something may happen, written 10/s or 600/min. The zero
// Rate is no bound.
type Rate struct {
	Count int
	Per   time.Duration
}

func parseRate(s string) (Rate, error) {
	number, unit, _ := strings.Cut(s, "/")
	n, err := parseCount(number)
	if err != nil || n < 1 || n > 1e9 {
		return Rate{}, errValue
	}
	switch unit {
	case "s":
		return Rate{int(n), time.Second}, nil
	case "min":
		return Rate{int(n), time.Minute}, nil
	}
	return Rate{}, errValue
}

// String returns the rate as it is written, "" for the zero Rate.
func (r Rate) String() string {
	switch r.Per {
	case 0:
		return ""
	case time.Minute:
		return fmt.Sprintf("%d/min", r.Count)
	}
	return fmt.Sprintf("%d/s", r.Count)
}

// MarshalText returns String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// IsZero reports whether there is no bound.
func (r Rate) IsZero() bool { return r == Rate{} }

// parsePrefix reads a network, or an address as the network of it alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, errValue
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errValue
	}
	return p.Masked(), nil
}

// parseCount reads digits and nothing else: no sign, no leading zero.
func parseCount(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != s || n < 0 {
		return 0, errValue
	}
	return n, nil
}
