# nexops: what one types while working on it. `make` lists the targets.

GO   ?= go
LINT := $(GO) tool -modfile=.ci/tools/go.mod golangci-lint
LAB_CTL := $(GO) run ./lab/real/labctl

.DEFAULT_GOAL := help
.PHONY: help build run demo test race lint fmt bench fuzz lab-up lab-down lab-status

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/nexops
	$(GO) build -trimpath -o bin/nexops ./cmd/nexops

run: ## the console on your own estate; ARGS="--env prod"
	$(GO) run ./cmd/nexops $(ARGS)

demo: ## the console on an estate in memory; ARGS="--incident bad-deploy"
	$(GO) run ./cmd/nexops demo $(ARGS)

test: ## vet and all tests, against the real lab where it can run (LAB=off: without, LAB=required: fail if it cannot)
	@.ci/test

race: ## all tests but the lab's, with the race detector
	$(GO) test -race -timeout 30m ./...

lint: ## golangci-lint, the version of .ci/tools/go.mod
	$(LINT) run ./...

fmt: ## gofmt -s
	gofmt -s -w $$(git ls-files '*.go')

bench: ## the benchmarks; BENCH=Join PKG=./fleet
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem $(or $(PKG),./...)

fuzz: ## every fuzz test for FUZZTIME (default 10s)
	@set -e; git grep -l '^func Fuzz' -- '*_test.go' | while read -r file; do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file"); do \
			echo "$$(dirname $$file) $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(or $(FUZZTIME),10s) ./$$(dirname $$file) </dev/null; \
		done; \
	done

lab-up: ## start the real lab (root on Debian) and print the config to use
	$(LAB_CTL) up

lab-down: ## remove everything the lab made
	$(LAB_CTL) down

lab-status: ## look at every part of the lab
	$(LAB_CTL) status
