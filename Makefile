# What developers run. Only Go and git are needed, and for test whatever the tests find; make help lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO   ?= go
TIME ?= 30s
# The module's own tools, at the versions that tools/go.mod pins.
TOOL := $(GO) tool -modfile=tools/go.mod

.PHONY: help build test check fuzz bench cover api

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

build: ## build the static binary ./postrider
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=true -ldflags='-s -w' -o postrider ./cmd/postrider

test: ## run every test; the last line sums up what ran and what was skipped
	@$(GO) test -json ./... | $(GO) run ./internal/testsum

check: ## everything but the tests: formats, vets, analyses and builds, for three systems
	@scripts/check "$(GO)"

fuzz: ## run every Fuzz target for TIME (30s) each
	@scripts/fuzz "$(GO)" "$(TIME)"

bench: ## measure against the peers; writes bench/results.md
	cd bench && $(GO) run . -o results.md

cover: ## run the tests and print what they cover, function by function
	$(GO) test -coverpkg=./... -coverprofile=cover.out ./...
	$(GO) tool cover -func=cover.out | tail -n 1

api: ## compare the exported API with that of the last tag
	@scripts/api "$(GO)"
