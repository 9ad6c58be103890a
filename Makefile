# Everything a developer runs. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED := 1

BIN := bin/millrace
DEMO_DATA ?= data/demo
DEMO_HTTP ?= 127.0.0.1:8080
DEMO_RATE ?= 300
FUZZTIME ?= 60s
BENCH_SECONDS ?= 120
BENCH_BINARY ?=
BENCH_ROWS ?=
BENCH_CASE ?=
BENCH_RUN ?= ^TestBench(Ratio|Protocols)?$$
TOOL := go tool -modfile=tools/go.mod

# Packages whose goroutines share memory: these run under the race detector.
RACE := ./agent/... ./auth/... ./client/... ./ingest/... ./internal/faultproxy/... ./memory/... ./pipeline/... ./query/... ./queue/... ./web/...

# The engine shares its tables out among goroutines; these tests do so, and the
# others would take minutes under the race detector.
RACE_ROLLUP := EqualsPrevious|PanicOfWorker|Replan

.PHONY: help build run demo test test-cluster test-clients client-tools cluster-servers soak-cluster test-fast test-race bench bench-engine bench-load bench-exceptions bench-search bench-cluster soak fuzz lint fmt clean check-compilers

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# DuckDB comes as a C++ library: without a compiler and linker the build would
# end in a page of linker errors.
check-compilers:
	@missing=(); for c in go gcc g++; do command -v $$c >/dev/null || missing+=("$$c"); done; \
	if (( $${#missing[@]} )); then \
	  echo "millrace needs $${missing[*]} to build, and cannot find it." >&2; \
	  for c in "$${missing[@]}"; do case $$c in \
	    go)  echo "  go:  version $$(awk '/^go /{print $$2}' go.mod) or later from https://go.dev/dl" >&2;; \
	    gcc) echo "  gcc: apt-get install gcc libc6-dev   (Fedora: dnf install gcc; Alpine: apk add gcc musl-dev; macOS: xcode-select --install)" >&2;; \
	    g++) echo "  g++: apt-get install g++             (Fedora: dnf install gcc-c++; Alpine: apk add g++; macOS: xcode-select --install)" >&2;; \
	  esac; done; exit 1; fi
	@out=$$(printf '#include <string>\nint main(){return std::string("x").empty();}\n' | g++ -x c++ - -o /dev/null 2>&1) || { \
	  echo "g++ is there but cannot build a program with the C++ standard library; install libstdc++ (apt-get install g++)." >&2; \
	  echo "$$out" | head -3 >&2; exit 1; }

build: check-compilers ## build bin/millrace
	go build -buildvcs=auto -o $(BIN) ./cmd/millrace

run: build ## start the server on 127.0.0.1:8080 with its data in ./data
	$(BIN) serve

demo: build ## start the server and feed it a live, generated stream
	@./scripts/demo.sh $(BIN) $(DEMO_DATA) $(DEMO_HTTP) $(DEMO_RATE)

test: check-compilers ## all tests; the concurrent packages under the race detector
	go test -race -timeout 20m $(RACE)
	go test -race -short -run '$(RACE_ROLLUP)' ./rollup
	go test -timeout 20m $$(go list ./... | grep -vE "$$(go list $(RACE) | sed 's/.*/^&$$/' | paste -sd'|')")
	@echo "exceptions: how many samples of each family decode as expected, and how pairs are grouped"
	@go test -count=1 -v ./exception | sed -nE 's/^ +[a-z_]+\.go:[0-9]+: (.* decode as expected.*|(generated|inputs): .* recall [0-9.]+).*/  \1/p'

# Tests that need the real servers skip without MILLRACE_CLUSTER and fail with it
# where something is missing. What they need is fetched into $MILLRACE_CACHE
# (default ~/.cache/millrace-test).
CLUSTER := ./clickhouse/... ./internal/chtest/... ./meta/... ./queue/...
CLUSTER_RUN := ^TestCluster|OnClickHouse$$

cluster-servers:
	@go run ./internal/chtest/chserver -fetch
	@go run ./internal/kafkatest/fetch

test-cluster: check-compilers cluster-servers ## tests against real Kafka, ClickHouse and PostgreSQL
	MILLRACE_CLUSTER=1 go test -count=1 -timeout 20m $(CLUSTER)
	MILLRACE_CLUSTER=1 go test -count=1 -timeout 20m -run '$(CLUSTER_RUN)' ./cmd/millrace

soak-cluster: check-compilers cluster-servers ## 5M events into a cluster while 50 things fail; a rolling upgrade
	MILLRACE_CLUSTER=1 MILLRACE_SOAK=1 go test -count=1 -timeout 2h -v -run '^Test(Cluster|RollingUpgrade|RunningFaults)$$' ./cmd/millrace

# Real clients of other projects against the built binary; they are installed
# into $MILLRACE_CACHE/clients, pinned by lock files with checksums.
CLIENTS := $${MILLRACE_CACHE:-$$HOME/.cache/millrace-test}/clients

client-tools:
	@dir="$(CLIENTS)/js"; mkdir -p "$$dir"; cmp -s internal/clienttest/js/package-lock.json "$$dir/package-lock.json" && test -d "$$dir/node_modules" || { \
	  cp internal/clienttest/js/package*.json "$$dir/" && (cd "$$dir" && npm ci --no-audit --no-fund --loglevel=error) || { rm -f "$$dir/package-lock.json"; exit 1; }; }
	@dir="$(CLIENTS)/python"; mkdir -p "$$dir"; cmp -s internal/clienttest/python/requirements.txt "$$dir/requirements.txt" || { \
	  python3 -m venv "$$dir" && "$$dir/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r internal/clienttest/python/requirements.txt && \
	  cp internal/clienttest/python/requirements.txt "$$dir/"; }
	@dir="$(CLIENTS)/collector"; src=internal/clienttest/collector; mkdir -p "$$dir"; cat $$src/go.mod $$src/go.sum $$src/main.go | cmp -s - "$$dir/stamp" && test -x "$$dir/collector" || { \
	  (cd $$src && go build -trimpath -ldflags='-s -w' -o "$$dir/collector" .) && cat $$src/go.mod $$src/go.sum $$src/main.go > "$$dir/stamp"; }
	@./scripts/client-syslog.sh "$(CLIENTS)"

test-clients: build client-tools ## tests with real clients: collectors, shippers, SDKs
	cd internal/clienttest && MILLRACE_CLIENTS=1 MILLRACE_BINARY=$(CURDIR)/$(BIN) go test -count=1 -timeout 15m ./...
	MILLRACE_CLIENTS=1 go test -count=1 -timeout 5m -run '^Test(Kcat|SDKPages)$$' ./cmd/millrace

test-fast: check-compilers ## all tests that take seconds
	go test -short ./...

test-race: check-compilers ## every package under the race detector
	go test -race ./...

bench: bench-engine bench-load bench-exceptions bench-search ## throughput, latency, memory and disk under full load; exceptions, searches

bench-engine: check-compilers ## the rollup engine by itself
	MILLRACE_BENCH=1 go test -count=1 -timeout 60m -v -run '^TestEngineBench$$' ./rollup

# BENCH_BINARY=FILE compares with another millrace; BENCH_RUN='^TestBench$$/^100_sets$$'
# measures one case; BENCH_PROFILES=DIR keeps the CPU profiles.
bench-load: check-compilers ## the server under full load over HTTP
	MILLRACE_BENCH=1 BENCH_SECONDS=$(BENCH_SECONDS) BENCH_BINARY=$(BENCH_BINARY) \
	  go test -count=1 -timeout 90m -v -run '$(BENCH_RUN)' ./cmd/millrace

# BENCH_CASE=storm measures one of 50_KB_JSON, 50_KB_text, 1_KB, pre-aggregated and
# storm; BENCH_CONFIG=YAML is another configuration of the server; BENCH_PROFILES as above.
bench-exceptions: check-compilers ## exceptions under load: 50 KB, 1 KB, counted, a storm beside another issue
	MILLRACE_BENCH=1 BENCH_SECONDS=$(BENCH_SECONDS) go test -count=1 -timeout 60m -v -run '^TestBenchExceptions$$/^$(BENCH_CASE)' ./cmd/millrace

# BENCH_ROWS=N stores fewer rows than 20,000,000, one in a hundred an exception of
# BENCH_FAULT_BYTES (2500); BENCH_DATA=DIR keeps them for the next run.
bench-search: check-compilers ## how soon questions are answered over 20 million rows, 1% of them exceptions
	MILLRACE_BENCH=1 BENCH_ROWS=$(BENCH_ROWS) go test -count=1 -timeout 60m -v -run '^TestBenchSearch$$' ./cmd/millrace

# BENCH_SECONDS=N is how long each of the two is sent to.
bench-cluster: check-compilers ## one process against two nodes with Kafka, ClickHouse and PostgreSQL; ten questions on both stores
	MILLRACE_BENCH=1 MILLRACE_CLUSTER=1 BENCH_SECONDS=$(BENCH_SECONDS) BENCH_ROWS=$(BENCH_ROWS) \
	  go test -count=1 -timeout 30m -v -run '^TestBench(Cluster|Workers|SideBySide)$$' ./cmd/millrace

soak: check-compilers ## long runs: freshness, disk per row, a hundred kills, a hostile stream
	MILLRACE_SOAK=1 go test -count=1 -timeout 4h -v -run '^Test(Soak|Kills|ChangesUnderKills|ExceptionsUnderKills|Fairness)' ./cmd/millrace
	MILLRACE_SOAK=1 go test -count=1 -timeout 1h -v -run '^Test(Hostile|LargeRollups)' ./pipeline

fuzz: check-compilers ## every fuzz target for FUZZTIME each
	@for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -c6-); do \
	    echo "$$pkg $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$pkg; \
	  done; done

lint: check-compilers ## vet, golangci-lint and the formatting
	go vet ./...
	cd internal/clienttest && go vet ./...
	$(TOOL) golangci-lint run
	@out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	  if [ -n "$$out" ]; then echo "not formatted; make fmt mends it:"; echo "$$out"; exit 1; fi

fmt: ## format with gofumpt
	$(TOOL) gofumpt -w .

clean: ## remove what was built and the demo's data
	rm -rf bin $(DEMO_DATA)
