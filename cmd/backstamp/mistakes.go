package main

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/config"
)

// mistakes are all that is wrong with a configuration of which not every value
// could be read: known are those, and the rooms are asked about the others. What
// they say of an account, a provider or another block that has one of the known
// may follow from it, and is left for when that is mended.
func (p *program) mistakes(path string, known config.Errors) config.Errors {
	conf, err := config.Outline(path, p.env, p.sets)
	if err != nil {
		return known
	}
	keys, err := spareKeys()
	if err != nil {
		return known
	}
	b := p.builder(conf, keys, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	b.check()
	news := slices.DeleteFunc(b.errs, func(e config.Problem) bool {
		return slices.ContainsFunc(known, func(k config.Problem) bool { return touches(blockOf(k.Key), blockOf(e.Key)) })
	})
	return append(known, news...).Sorted()
}

// blockOf is the part of the configuration that a key belongs to: an account, a
// listener, or a block that has neither names nor numbers.
func blockOf(key string) string {
	first, rest, _ := strings.Cut(key, ".")
	switch first {
	case "accounts", "providers", "clients", "listeners", "dkim":
		second, _, _ := strings.Cut(rest, ".")
		return strings.TrimSuffix(first+"."+second, ".")
	}
	return first
}

// touches reports whether two blocks are the same, or one is in the other.
func touches(a, b string) bool {
	return a == b || a == "" || b == "" || strings.HasPrefix(a, b+".") || strings.HasPrefix(b, a+".")
}
