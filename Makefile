# Everything a contributor runs. `make` prints this list.

GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
# A PostgreSQL and a Redis of its own, unless TEST_DATABASE_URL and
# TEST_REDIS_URL name some.
WITHDB  := scripts/test-postgres scripts/test-redis
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Reproducible and static: no cgo, no paths of this machine, no build id.
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.release=$(VERSION)"
FUZZTIME ?= 20s

.DEFAULT_GOAL := help
.PHONY: help run demo build test clients race canary fuzz bench lint fmt check cover generate reproducible

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## run the gateway with the environment's settings
	$(GO) run ./cmd/gateway serve

demo: ## run the gateway with simulated models behind it
	$(GO) run ./cmd/gateway demo

build: ## build bin/gateway, static and reproducible
	$(BUILD) -o bin/gateway ./cmd/gateway

test: ## run every test, and every query of the dashboard and the alerts
	$(WITHDB) $(GO) test ./...
	cd deploy/check && $(GO) test ./...

clients: ## run the tests with the official clients only (needs Node for the JavaScript ones)
	$(WITHDB) $(GO) test -count=1 -run Client -v ./cmd/gateway

race: ## run every test under the race detector
	$(WITHDB) $(GO) test -race ./...

canary: ## 100,000 requests in which nothing may cross
	CANARY=100000 $(WITHDB) $(GO) test -count=1 -timeout 20m -run NothingCrosses -v ./gateway

fuzz: ## run each fuzz target for FUZZTIME (20s)
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

bench: ## compare with a reverse proxy, and say what keeping state costs, as ratios in one run
	$(WITHDB) $(GO) run ./bench

lint: ## run the linters
	$(TOOL) golangci-lint run ./...

fmt: ## format the source
	$(TOOL) golangci-lint fmt ./...

generate: ## write the files that are made from the source
	$(GO) generate ./...

reproducible: ## build twice in two folders and compare
	@set -e; a=$$(mktemp -d); b=$$(mktemp -d); trap 'rm -rf '$$a' '$$b EXIT; \
	$(BUILD) -o $$a/gateway ./cmd/gateway; cp -r . $$b/copy; \
	(cd $$b/copy && $(BUILD) -a -o $$b/gateway ./cmd/gateway); cmp $$a/gateway $$b/gateway && echo "the two builds are equal"

check: lint ## everything but the tests: linters, module file, build
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(BUILD) -o /dev/null ./cmd/gateway

cover: ## test coverage by package
	$(WITHDB) $(GO) test -cover ./...
