# `make help` lists what there is. Everything is installed under .cache/ and
# built into dist/, both ignored by git; Go's own module and build caches stay
# where Go keeps them.

# ---- Versions ----------------------------------------------------------------
# Every tool is pinned here. What the Python tools depend on is pinned in
# .tools/*.txt, the npm packages in infra/package-lock.json, govulncheck in its own
# .tools/govulncheck/go.mod, which says why, and so are the tools that bench
# compares with, in .tools/peers.
MINISTACK_VERSION   := 1.5.33
LOCALSTACK_VERSION  := 4.14.0
VERSITYGW_VERSION   := v1.8.0
CFN_LINT_VERSION    := 1.58.0
SCHEMATHESIS_VERSION := 4.32.5
DEPGUARD_VERSION    := v2.3.0
STATICCHECK_VERSION := v0.8.2

# ---- Settings ----------------------------------------------------------------
# Each can be given on the command line: make deploy CONFIG=my.yaml
CONFIG   ?= infra/replication.yaml
PORT     ?=
FUZZTIME ?= 20s
PACKAGES ?= ./...

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CACHE  := $(CURDIR)/.cache
STAMPS := $(CACHE)/installed
BIN    := $(CACHE)/bin
CDK    := $(CACHE)/tools/cdk/node_modules/.bin/cdk
# What the page of functions/admin is served with, beside its own files.
ASSETS := $(addprefix $(CACHE)/tools/cdk/node_modules/,htmx.org/dist/htmx.min.js idiomorph/dist/idiomorph-ext.min.js)
CHROMIUM := $(CACHE)/tools/browser/chromium/chromium
PEERS  := $(addprefix $(BIN)/,s5cmd rclone mc)
HOSTARCH  := $(shell go env GOHOSTARCH)
FUNCTIONS := $(patsubst functions/%/main.go,%,$(wildcard functions/*/main.go))

export PATH := $(BIN):$(PATH)

##@ Start here
.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\n  Settings: CONFIG=%s PORT=%s FUZZTIME=%s PACKAGES=%s\n' '$(CONFIG)' '$(or $(PORT),4566)' '$(FUZZTIME)' '$(PACKAGES)'

.PHONY: demo
demo: ministack cdk build-local ## The whole stack on a local cloud, as a story (needs Go, Node, Python 3)
	@go run ./localstack demo

.PHONY: test
test: tools build-local ## Every test, with all set-up; ends with what each S3 server was seen to keep
	@.tools/test $(PACKAGES)

##@ Build and check
# Both kinds of functions are wanted: AWS runs them on arm64, the local cloud
# on this machine's architecture.
.PHONY: build build-local build-aws
build: build-local build-aws ## Functions for AWS (arm64) and for the local cloud, and the CDK app, into dist/

build-local: dist/infra functions-$(HOSTARCH)
build-aws: dist/infra functions-arm64

.PHONY: functions-arm64 functions-amd64
functions-arm64 functions-amd64: functions-%: $(CDK)
	@for f in $(FUNCTIONS); do \
		echo "building dist/$*/$$f/bootstrap"; \
		GOOS=linux GOARCH=$* CGO_ENABLED=0 go build -trimpath -tags lambda.norpc -ldflags '-s -w' \
			-o dist/$*/$$f/bootstrap ./functions/$$f; \
	done
	@mkdir -p dist/$*/admin/assets && cp $(ASSETS) dist/$*/admin/assets/

.PHONY: dist/infra
dist/infra:
	@[ -x $@ ] || echo "building $@ (the first build takes about 90 s)"
	@go build -o $@ ./infra

.PHONY: e2e
e2e: ministack cdk build-local ## The end-to-end tests alone, each step told
	@go test -count=1 -v ./tests/e2e/...

.PHONY: browser
browser: ministack cdk browser-tools schemathesis build-local ## The tests of page and API from outside: Chromium, fuzzer, forgers (ARGS='-run TestRunNow')
	@go test -count=1 -v ./tests/console $(ARGS)

.PHONY: bench
bench: ministack cdk versitygw build-local $(PEERS) ## The event function's size, start and memory; a rule's rate limit; the reconcile and large objects beside s5cmd, rclone and mc (ARGS=-quick)
	@go run ./tests/bench/function
	@go run ./tests/bench/limits
	@go run ./tests/bench/peers $(ARGS)

.PHONY: simulate
simulate: ## A billion keys under a virtual clock: time, cost, balance
	@go run ./tests/simulate $(ARGS)

.PHONY: lint
lint: $(BIN)/depguard $(BIN)/staticcheck $(BIN)/govulncheck ## Format, go vet, staticcheck, layering, top-level entries, known vulnerabilities
	@.tools/lint

.PHONY: fmt
fmt: ## Format all Go files
	@gofmt -l -w $$(git ls-files '*.go')

.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZTIME
	@.tools/fuzz $(FUZZTIME)

##@ Deploy into an AWS account (the usual AWS_PROFILE, AWS_REGION; CONFIG=file)
# The CDK runs in infra/, where cdk.json is, so it gets absolute paths.
CDK_ARGS = --context config=$(abspath $(CONFIG))

# NAMES="ID=name ID=https://endpoint/name" says what the file calls the buckets.
# Without FILE the rules are those that S3 has for BUCKET.
.PHONY: import
import: ## Print the rules of another system's file as YAML (FORMAT=s3|minio|backblaze FILE=... BUCKET=...)
	@go run ./localstack import -format '$(or $(FORMAT),s3)' -file '$(FILE)' -bucket '$(BUCKET)' -names '$(NAMES)'

.PHONY: synth
synth: $(CDK) build-aws ## Write the CloudFormation templates to infra/cdk.out; offline
	@cd infra && $(CDK) synth --quiet $(CDK_ARGS)

.PHONY: diff
diff: $(CDK) build-aws ## What a deploy would change
	@cd infra && $(CDK) diff $(CDK_ARGS)

.PHONY: deploy
deploy: $(CDK) build-aws ## Deploy; shows permission changes and asks before it makes them
	@echo "Deploying $(CONFIG) with the credentials of $${AWS_PROFILE:-the environment}."
	@echo "Each account and region is bootstrapped once: $(CDK:$(CURDIR)/%=%) bootstrap aws://ACCOUNT/REGION"
	@cd infra && $(CDK) deploy --all $(CDK_ARGS) --require-approval broadening

.PHONY: destroy
destroy: $(CDK) build-aws ## Remove the stack; buckets, and tables that a deployment protects, stay
	@cd infra && $(CDK) destroy --all $(CDK_ARGS)

##@ Operate a deployment (RULE=name JSON=1; in the account that the usual AWS variables name, without any on the local cloud if it runs)
# Each says where it acts, and signs its requests. JSON=1 prints the API's own answer.
OPERATE = @go run ./localstack $@ $(if $(JSON),-json) $(if $(MODE),-mode '$(MODE)') $(if $(COMPARE),-compare '$(COMPARE)') '$(RULE)'
.PHONY: jobs run adopt runs transfers failures pause resume kill approve verify console redrive
jobs: ## The rules, and what each is at
	$(OPERATE)
run: ## Bring both sides of RULE into step now, and wait for the end (COMPARE=metadata|checksum|bytes repairs what is damaged, too)
	$(OPERATE)
adopt: ## A run of RULE that takes over the replicas which another replication left, and says how many
	$(OPERATE)
runs: ## The last runs of RULE
	$(OPERATE)
transfers: ## The large objects of RULE that are being copied by parts, and how far each is
	$(OPERATE)
failures: ## What RULE could not replicate, why, and what to do
	$(OPERATE)
pause: ## Stop RULE: events, schedule and the run that is active
	$(OPERATE)
resume: ## Let RULE go on, with a run for what it missed
	$(OPERATE)
kill: ## Cancel the active run of RULE
	$(OPERATE)
approve: ## Let the deletes go that the last run of RULE holds
	$(OPERATE)
verify: ## Compare both sides of RULE, and repair nothing (MODE=metadata|checksum|bytes)
	$(OPERATE)
console: ## A page with all of that, for a browser, at a port of this machine (PORT=); Ctrl-C ends it
	@go run ./localstack console $(if $(PORT),-port $(PORT))
redrive: ## Move what is in the dead-letter queues back to the events queue
	@go run ./localstack redrive

##@ Local cloud (never reaches an AWS account)
.PHONY: local-up
local-up: ministack cdk build-local ## Start the local cloud and deploy CONFIG; again: update it (PORT=4566)
	@go run ./localstack up -config '$(CONFIG)' $(if $(PORT),-port $(PORT)) $(if $(ENDPOINT),-endpoint $(ENDPOINT))

.PHONY: local-down
local-down: ## Stop the local cloud and everything it started
	@go run ./localstack down

.PHONY: local-status
local-status: ## Whether the local cloud runs, where, and what is deployed
	@go run ./localstack status

##@ Housekeeping
.PHONY: tools
tools: ministack localstack versitygw cfn-lint cdk browser-tools schemathesis ## Install the pinned tools under .cache/ (once, about two minutes)

.PHONY: clean
clean: ## Remove what was built; the tools under .cache/ stay
	@rm -rf dist infra/cdk.out

# ---- Tools -------------------------------------------------------------------
# A stamp that carries the version says that it is installed.
.PHONY: ministack localstack versitygw cfn-lint schemathesis cdk browser-tools
ministack:  $(STAMPS)/ministack-$(MINISTACK_VERSION)
localstack: $(STAMPS)/localstack-$(LOCALSTACK_VERSION)
versitygw:  $(STAMPS)/versitygw-$(VERSITYGW_VERSION)
cfn-lint:   $(STAMPS)/cfn-lint-$(CFN_LINT_VERSION)
schemathesis: $(STAMPS)/schemathesis-$(SCHEMATHESIS_VERSION)
cdk:        $(CDK)
browser-tools: $(CHROMIUM)

# $(call python-tool,NAME,REQUIREMENT): a virtual environment of its own, made
# by the interpreter in $$python, with the dependencies of .tools/NAME.txt.
define python-tool
	rm -rf $(CACHE)/tools/$(1); \
	"$$python" -m venv $(CACHE)/tools/$(1); \
	$(CACHE)/tools/$(1)/bin/pip install --quiet --disable-pip-version-check \
		--constraint .tools/$(1).txt '$(2)'; \
	mkdir -p $(STAMPS); touch $@
endef

$(STAMPS)/ministack-$(MINISTACK_VERSION): .tools/ministack.txt
	@echo "installing MiniStack $(MINISTACK_VERSION), the local cloud (about 25 s, once)"
	@python=$$(.tools/find-python 3.10); $(call python-tool,ministack,ministack==$(MINISTACK_VERSION))

$(STAMPS)/cfn-lint-$(CFN_LINT_VERSION): .tools/cfn-lint.txt
	@echo "installing cfn-lint $(CFN_LINT_VERSION) (about 25 s, once)"
	@python=$$(.tools/find-python 3.10); $(call python-tool,cfn-lint,cfn-lint==$(CFN_LINT_VERSION))

$(STAMPS)/schemathesis-$(SCHEMATHESIS_VERSION): .tools/schemathesis.txt
	@echo "installing schemathesis $(SCHEMATHESIS_VERSION), which fuzzes the API, and a validator of OpenAPI (about 10 s, once)"
	@python=$$(.tools/find-python 3.10); $(call python-tool,schemathesis,schemathesis==$(SCHEMATHESIS_VERSION)' 'openapi-spec-validator)

# LocalStack alone enforces the destination conditions of CopyObject. Without
# it those tests say loudly that they did not run; in CI that is a failure.
$(STAMPS)/localstack-$(LOCALSTACK_VERSION): .tools/localstack.txt
	@echo "installing LocalStack $(LOCALSTACK_VERSION), S3 only (about 30 s, once)"
	@if python=$$(.tools/find-python 3.13); then \
		$(call python-tool,localstack,localstack-core[base-runtime]==$(LOCALSTACK_VERSION)); \
	else \
		echo "WARNING: LocalStack needs Python 3.13 or newer. UNTESTED without it: that a conditional"; \
		echo "CopyObject refuses a changed destination. Install one, or name it: make tools PYTHON=/path/to/python"; \
		[ "$${CI:-}" != true ]; \
	fi >&2

# $(call go-tool,NAME,MODULE PATH,VERSION)
define go-tool
$(BIN)/$(1): $(STAMPS)/$(1)-$(3)
$(STAMPS)/$(1)-$(3):
	@echo "installing $(1) $(3) (about 20 s, once)"
	@mkdir -p $(BIN) $(STAMPS); rm -f $(BIN)/$(1)
	@GOBIN=$(BIN) go install $(2)@$(3)
	@touch $$@
endef
$(eval $(call go-tool,versitygw,github.com/versity/versitygw/cmd/versitygw,$(VERSITYGW_VERSION)))
$(eval $(call go-tool,depguard,github.com/OpenPeeDeeP/depguard/v2/cmd/depguard,$(DEPGUARD_VERSION)))
$(eval $(call go-tool,staticcheck,honnef.co/go/tools/cmd/staticcheck,$(STATICCHECK_VERSION)))

$(BIN)/govulncheck: .tools/govulncheck/go.mod
	@echo "installing govulncheck (about 10 s, once)"
	@GOBIN=$(BIN) go -C .tools/govulncheck install tool
	@touch $@

# Each peer is a small module that requires the exact version: the Go proxy has
# no list of their versions, and they need other versions of what they share.
$(PEERS): $(BIN)/%: .tools/peers/%/go.mod
	@echo "building $* of $< (once; rclone takes three minutes)"
	@GOBIN=$(BIN) nice go -C $(<D) install tool
	@touch $@

# The CDK CLI outside infra/, so that no node_modules lies in the source tree.
$(CDK): infra/package.json infra/package-lock.json
	@echo "installing the CDK CLI and the page's libraries of infra/package-lock.json (about 5 s, once)"
	@mkdir -p $(CACHE)/tools/cdk && cp $^ $(CACHE)/tools/cdk/
	@npm ci --prefix $(CACHE)/tools/cdk --silent --no-audit --no-fund
	@touch $@

# The package has a Chromium for Linux on x86-64, compressed, and the libraries
# and the font that a machine without a desktop lacks. Its own engine setting is
# about code of its that is not used here.
$(CHROMIUM): .tools/browser/package.json .tools/browser/package-lock.json .tools/browser/fonts.conf
ifeq ($(shell go env GOHOSTOS)/$(HOSTARCH),linux/amd64)
	@echo "installing a headless Chromium and axe-core (about 10 s, once)"
	@mkdir -p $(CACHE)/tools/browser && cp $(filter %.json,$^) $(CACHE)/tools/browser/
	@npm ci --prefix $(CACHE)/tools/browser --silent --no-audit --no-fund
	@rm -rf $(@D) && mkdir -p $(@D) && cd $(CACHE)/tools/browser && TMPDIR=$(@D) node --input-type=module --eval \
		'import { inflate } from "@sparticuz/chromium"; for (const part of ["al2023.tar", "fonts.tar", "chromium"]) await inflate(`node_modules/@sparticuz/chromium/bin/$${part}.br`)'
	@cp .tools/browser/fonts.conf $(@D)/fonts/
	@touch $@
else
	@echo "WARNING: the pinned Chromium runs on Linux on x86-64 alone. UNTESTED without it: the page in a browser" >&2
	@[ "$${CI:-}" != true ]
endif
