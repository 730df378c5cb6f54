# make test runs everything a machine without a network can run.

GO ?= go

.PHONY: test check fuzz cover build bench

# The race detector runs on the project's own messages, and on few: it would take
# ten times as long on the corpora, to look at code that shares nothing.
test: check
	BACKSTAMP_CORPUS= BACKSTAMP_TEST_KILLS= $(GO) test -race -short -shuffle=on -timeout 20m ./...
	$(GO) test -timeout 20m ./relay ./rewrite ./store/bolt ./cmd/backstamp

# The fast part: formatting and static analysis.
check:
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "gofmt: $$bad"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

build:
	$(GO) build -trimpath -o backstamp ./cmd/backstamp

# Each fuzz target for a minute: make fuzz FUZZTIME=10s for less.
FUZZTIME ?= 60s
fuzz:
	@$(GO) list ./... | while read pkg; do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
		done; \
	done

cover:
	$(GO) test -coverpkg=./... -coverprofile=cover.out ./... && $(GO) tool cover -func=cover.out | tail -1

# Whole programs beside Postfix, where the bench kit is, then each room: all of
# it in the format of benchstat. make bench BENCHCOUNT=1 BENCHLINES=plain for less.
BACKSTAMP_BENCH_KIT ?= $(abspath ../shared/bench)
BENCHCOUNT ?= 6
BENCHLINES ?= all
bench:
	@if test -e $(BACKSTAMP_BENCH_KIT)/relay-bench; then \
		BACKSTAMP_BENCH_KIT=$(BACKSTAMP_BENCH_KIT) bench/relay --lines $(BENCHLINES); \
	else \
		echo "no bench kit in $(BACKSTAMP_BENCH_KIT): no whole programs"; \
	fi
	env -u BACKSTAMP_BENCH_KIT $(GO) test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) -timeout 60m ./...
