# What a person types. CI types the same (.ci/run).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

ARGS ?=
FUZZTIME ?= 5s
BENCHTIME ?= 1s
BENCHCOUNT ?= 1
TESTFLAGS ?=
# COUNTS names a file to which each test runner appends what it counted.
COUNTS ?=
export COUNTS

# Everything builds without a C compiler; only the race detector needs one.
export CGO_ENABLED ?= 0

GO_VERSION := $(shell awk '$$1 == "go" {print $$2}' go.mod)
WEB_SRC := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' -not -path 'web/tests/*' -not -name '*.go' -not -name '*.test.ts' 2>/dev/null) $(shell find docs internal/agents -type f \( -path "docs/*" -o -name README.md \))
WEB_ALL := web/node_modules/.installed-all
WEB_RUN := web/node_modules/.installed-run

##@ Use

run: ## check the tools, build what changed, then amoskys up (ARGS="--agents proc,synth")
	@exec tools/run.sh $(ARGS)

build: web programs ## the web UI and the programs, into bin/

programs: web/dist/index.html ## bin/amoskys and bin/amoskys-agent
	@go build -o bin/ ./cmd/...

web: web/dist/index.html ## the web UI, into web/dist, from where it is built into bin/amoskys

clean: ## take away what make built; data, certificates and configuration stay
	@rm -rf bin release web/node_modules
	@find web/dist -mindepth 1 ! -name .gitkeep -delete

##@ Check

test: web vet ## go vet, all Go tests, web tests and checks (under 10 minutes on 2 cores)
	@$(MAKE) --keep-going test-go test-tools test-web

vet: web/dist/index.html
	@go vet ./...

# testcount judges, for it may run again what failed; it fails where no test ran.
test-go: web/dist/index.html bin/testcount
	@{ go test -json -shuffle=on -timeout 9m $(TESTFLAGS) ./... || true; } | bin/testcount go -label go -out "$(COUNTS)" -retry "go test -json -count=1 -timeout 5m $(TESTFLAGS)"

test-tools: bin/testcount
	@{ go test -C tools -json ./testcount ./sbom; go test -C test/k8s -json .; } | bin/testcount go -label tools -out "$(COUNTS)"

test-web: $(WEB_ALL) bin/testcount
	@tools/web-test.sh unit
	@npm --prefix web run --silent check

# Some tests build the programs and run them: the detector would see nothing of these.
race: web/dist/index.html bin/testcount ## all Go tests under the race detector (needs a C compiler)
	@{ CGO_ENABLED=1 go test -race -json -shuffle=on -timeout 20m $(TESTFLAGS) $$(go list ./... | grep -vE '/test/(hostile|outage|script|skew)$$') || true; } | CGO_ENABLED=1 bin/testcount go -again -label race -out "$(COUNTS)" -retry "go test -race -json -count=1 -timeout 5m $(TESTFLAGS)"

browser: build $(WEB_ALL) bin/testcount ## the dashboard in the system's Chromium
	@tools/web-test.sh browser

lint: bin/golangci-lint bin/buf $(WEB_ALL) generate-check ## golangci-lint, buf, tidy go.mod, fresh generated code, biome, svelte-check
	@tools/lint.sh

fuzz: ## each fuzz target for FUZZTIME (5s)
	@tools/fuzz.sh $(FUZZTIME)

bench: web/dist/index.html ## each benchmark (BENCHTIME=1s BENCHCOUNT=1); compare two runs with bin/benchstat
	@go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(BENCHCOUNT) -timeout 30m $(TESTFLAGS) $$(tools/bench-packages.sh)

ui-bench: build $(WEB_ALL) ## how soon Overview and Events show on a CPU slowed four times (ARGS="--json --runs 9 --against PROGRAM")
	@node web/scripts/ui-bench.mjs $(ARGS)

pictures: build $(WEB_ALL) ## take the pictures of README and docs anew, of what the browser tests make up (ARGS="overview events": only these)
	@node web/scripts/pictures.mjs $(ARGS)

bars: build $(WEB_ALL) ## measure what docs/performance.md states and write it there (half an hour, on a quiet machine; ARGS=log: only hub, log and readers; ARGS=flow: only flows; ARGS=scan: only scans)
	@tools/bars.sh $(ARGS)

smoke: build ## start the built program as a user would, look at all it serves, stop it
	@tools/smoke.sh

docs: web/dist/index.html ## run the blocks of commands in README and docs that are marked runnable
	@RUN_DOCS=1 go test -count=1 -run 'TestShellBlocks' ./test/script

conformance: ## score us against the public corpora in ../shared/corpora
	@tools/conformance.sh

test-packages: web bin/nfpm bin/testcount ## install, upgrade, remove and purge the deb under a real systemd (needs root and mmdebstrap)
	@{ RUN_PACKAGES=1 go test -json -count=1 -timeout 10m ./test/packages || true; } | bin/testcount go -label packages -out "$(COUNTS)"

test-docker: web bin/testcount ## build the image and run it in a Docker daemon of its own (needs root and dockerd)
	@{ RUN_DOCKER=1 go test -json -count=1 -timeout 10m ./test/docker || true; } | bin/testcount go -label docker -out "$(COUNTS)"

test-k8s: web bin/testcount bin/helm ## install the manifests into the cluster of $KUBECONFIG, break things, take them away (IMAGE=NAME:TAG that its nodes have, or CTR="ctr -a SOCKET" to load this tree's)
	@{ RUN_K8S=1 go test -C test/k8s -json -count=1 -timeout 20m -run 'Cluster|Helm' . || true; } | bin/testcount go -label k8s -out "$(COUNTS)"

##@ Make

generate: bin/buf bin/protoc-gen-go bin/protoc-gen-go-grpc $(WEB_ALL) ## write what is generated from proto/, from the API, the dashboards for Grafana, and the Helm chart
	@bin/buf generate
	@tools/generate-web.sh
	@go run -C tools ./grafana ../deploy/grafana/dashboards
	@go run -C tools ./chart ../deploy/k8s ../deploy/helm/amoskys/templates

generate-check: bin/buf bin/protoc-gen-go bin/protoc-gen-go-grpc $(WEB_ALL)
	@tools/generate-check.sh

tools: bin/golangci-lint bin/buf bin/protoc-gen-go bin/protoc-gen-go-grpc bin/benchstat bin/testcount ## the pinned tools, into bin/

release: web bin/nfpm ## archives, deb, rpm, bills of materials and checksums for all systems, into release/ (RELEASE_KEY=FILE signs)
	@tools/release.sh

reproduce: web bin/nfpm ## make the release of this commit twice in two folders and compare all bytes (ARGS="linux/amd64"; FRESH=1 compiles anew)
	@tools/reproduce.sh $(ARGS)

packages: web bin/nfpm ## deb and rpm of this tree for this machine, into release/
	@RELEASE_TARGETS="linux/$$(go env GOARCH)" tools/release.sh

image: web ## the image amoskys:latest around this tree's program, without any other image
	@tools/image.sh

bin/golangci-lint bin/protoc-gen-go bin/protoc-gen-go-grpc bin/benchstat: tools/go.mod
	@tools/build-tool.sh tools $@

bin/buf: tools/buf/go.mod
	@tools/build-tool.sh tools/buf $@

bin/nfpm: tools/nfpm/go.mod
	@tools/build-tool.sh tools/nfpm $@

bin/helm: tools/helm/go.mod
	@tools/build-tool.sh tools/helm $@

bin/testcount: tools/go.mod $(wildcard tools/testcount/*.go)
	@go build -C tools -o ../bin/ ./testcount

web/dist/index.html: $(WEB_SRC) | $(WEB_RUN)
	@npm --prefix web run --silent build
	@touch $@

# Installing all packages serves both; installing those that only the build
# needs must not take the others away.
$(WEB_RUN): web/package-lock.json
	@[[ $(WEB_ALL) -nt $< ]] || npm --prefix web ci --omit=dev --no-audit --no-fund
	@touch $@

$(WEB_ALL): web/package-lock.json
	@npm --prefix web ci --no-audit --no-fund
	@touch $@ $(WEB_RUN)

help: ## this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

.PHONY: run build programs web clean test vet test-go test-tools test-web race browser lint fuzz bench ui-bench pictures bars smoke docs conformance generate generate-check tools release reproduce packages image test-packages test-docker test-k8s help
