# Needs rustup, Go, make, gcc and git; all else is fetched or built once and kept in the user's cache.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

DENY_VERSION := 0.20.2
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/meshagent-operator
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
# The same as in the Dockerfile.
AUDITABLE_VERSION := 0.7.7
AUDITABLE := $(CACHE)/cargo-auditable-$(AUDITABLE_VERSION)/bin
MUTANTS_VERSION := 27.1.0
MUTANTS := $(CACHE)/cargo-mutants-$(MUTANTS_VERSION)/bin/cargo-mutants
# The same as for the control plane's build, whose compiled packages vet then uses.
GO := CGO_ENABLED=0 go
# The same as in tests/harness/src/assets.rs.
NEWER_GO := GOTOOLCHAIN=go1.27.3 $(GO)

say = @printf '\n== %s\n' "$(1)"

.PHONY: help demo dev test tools fmt clippy deny advisories alerts dockerfile crds reference snapshots docs controlplane go build unit integration model image image-twice mutants measured bench soak health-data gitops

help: ## print this
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1|\2/' | \
		while IFS='|' read -r target text; do printf '%-18s %s\n' "$$target" "$$text"; done

demo: build ## show the product on a real control plane with a simulated MeshAgent; KEEP=1 leaves it running
	$(call say,demo: a control plane with the simulator and the operator; what users type and what they see)
	@cargo run -q -p harness --bin demo

dev: build ## a control plane, the CRDs and a simulated MeshAgent to change the operator against; it says what to export
	$(call say,dev: a control plane with the CRDs and the simulator; the operator is yours to start)
	@cargo run -q -p harness --bin demo -- dev

# One after the other, and the quick ones first; cargo test's own lines come last.
test: ## everything that CI runs
	@set -e; for part in tools fmt clippy deny alerts dockerfile docs go build controlplane unit integration; do $(MAKE) $$part; done

tools:
	$(call say,tools: rustfmt and clippy and cargo-deny are there)
	@cargo fmt --version >/dev/null
	@cargo clippy --version >/dev/null
	@$(MAKE) $(DENY)

# With little optimization: it builds in 84 seconds on two cores and checks in one.
$(DENY):
	@echo "building cargo-deny $(DENY_VERSION) (once; about 90 seconds on two cores)"
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo install -q cargo-deny --locked --version $(DENY_VERSION) --root $(CACHE)/cargo-deny-$(DENY_VERSION)

fmt: ## Rust and Go are formatted
	$(call say,fmt: Rust and Go sources are formatted)
	@cargo fmt --all --check
	@unformatted=$$(gofmt -l tests) || exit 1; \
		[ -z "$$unformatted" ] || { echo "run gofmt -w on: $$unformatted"; exit 1; }

clippy: ## clippy finds nothing, warnings included
	$(call say,clippy: no lint and no warning)
	@cargo clippy --locked --workspace --all-targets -- -D warnings

deny: $(DENY) ## dependencies: bans, licences, sources
	$(call say,deny: dependencies have allowed licences and sources; no second TLS stack)
	@$(DENY) --locked --workspace check bans licenses sources

advisories: $(DENY) ## dependencies: published advisories; asks the advisory database on the network
	$(call say,advisories: no dependency has a published advisory)
	@$(DENY) --locked --workspace check advisories

docs: ## the API documentation builds without a warning
	$(call say,docs: the API documentation builds without a warning)
	@RUSTDOCFLAGS="-D warnings" cargo doc -q --locked --workspace --no-deps --document-private-items

go: ## the Go sources, and the Lua for Argo CD, pass vet and their tests
	$(call say,go: the control plane's Go sources pass vet and their tests (the first time takes minutes))
	@for module in helm kubescore; do (cd tests/$$module && $(GO) mod verify) || exit 1; done
	@cd tests/argocd && $(GO) mod verify && $(GO) vet -trimpath ./... && $(GO) test -trimpath ./...
	@cd tests/controlplane && $(GO) mod verify && $(GO) vet -trimpath ./... && $(GO) test -trimpath ./signin/

controlplane: ## build the tests' control plane, Helm, kube-score and kubeconform, and fetch Prometheus, unless this machine has them
	$(call say,controlplane: etcd with Kubernetes and kwok and kubectl and helm and kube-score and kubeconform for the tests)
	@cargo run -q -p harness --bin controlplane -- helm kube-score kubeconform
	@scripts/prometheus prometheus --version >/dev/null

build: ## build the operator and the simulator
	$(call say,build: the operator and the simulator)
	@scripts/cargo-progress build --locked --workspace --bins

unit: ## unit, property and model tests, and examples in documentation
	$(call say,unit: unit and property and model tests)
	@cargo test --locked --workspace --lib --bins
	@cargo test --locked --workspace --doc

# Six at a time: they wait more than they work.
integration: build ## tests against the real control plane, the how-tos as written, and that generated files are fresh
	$(call say,integration: the operator on a real control plane; the how-tos as written; generated files are fresh)
	@cargo test --locked --workspace --test '*' -- --test-threads=6

alerts: ## each alert fires and resolves, says promtool
	$(call say,alerts: each alert fires and resolves)
	@scripts/prometheus promtool check rules charts/meshagent-operator/files/alerts.yaml
	@scripts/prometheus promtool test rules tests/alerts.test.yaml

# Exit code 3 says that there is no hadolint and no way to fetch it, which is no fault of the Dockerfile.
dockerfile: ## hadolint finds nothing in the Dockerfile; skipped where there is neither hadolint nor python3 with pip
	$(call say,dockerfile: hadolint finds nothing)
	@scripts/hadolint Dockerfile || { code=$$?; [ $$code = 3 ] || exit $$code; echo "SKIPPED: the Dockerfile was not checked"; }

$(AUDITABLE):
	@echo "building cargo-auditable $(AUDITABLE_VERSION) (once)"
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo install -q cargo-auditable --locked --version $(AUDITABLE_VERSION) --root $(AUDITABLE)/..

image: $(AUDITABLE) build ## lay out the image without a container tool, and run its binary in a chroot that holds nothing else (about 8 minutes; as root)
	$(call say,image: what the image holds is small and static and starts by itself)
	@PATH="$(AUDITABLE):$$PATH" scripts/image-root meshagent-operator target/image
	@scripts/image-check target/image
	@IMAGE_ROOT=$(CURDIR)/target/image cargo test -q --locked --test integration image:: -- --ignored

image-twice: image ## lay out the image once more, from a clone elsewhere, and compare bit for bit (about 16 minutes; as root)
	$(call say,image-twice: the same commit gives the same bits)
	@git diff --quiet HEAD || { echo "commit first: the second one is built of HEAD"; exit 1; }
	@rm -rf target/again && git clone -q . target/again
	@cd target/again && PATH="$(AUDITABLE):$$PATH" CARGO_TARGET_DIR=$(CURDIR)/target/again/target scripts/image-root meshagent-operator $(CURDIR)/target/image-again
	@digest() { tar --sort=name --numeric-owner -C "$$1" -c . | sha256sum; }; \
		[ "$$(digest target/image)" = "$$(digest target/image-again)" ] || { diff -r target/image target/image-again; exit 1; }; \
		echo "both are $$(digest target/image)"

# Apart from the rest for the libraries, whose build takes as long as the control plane's.
gitops: build controlplane ## Argo CD's and Flux's own code beside the operator: no difference, no second rollout (the first time 8 minutes more)
	$(call say,gitops: what Argo CD and Flux see of what the operator changes and what they undo)
	@cd tests/gitopsdiff && $(NEWER_GO) mod verify && $(NEWER_GO) vet -trimpath ./... && $(NEWER_GO) test -vet=off -trimpath ./...
	@cargo run -q -p harness --bin controlplane -- gitopsdiff
	@cargo test --locked --test integration gitops_tools:: -- --ignored

model: ## explore the model to deeper bounds than the tests do; takes many minutes
	$(call say,model: the deciding core under every interleaving; what is explored is in docs/model.md)
	@cargo test -q --locked -p meshagent-operator --test model -- --include-ignored --nocapture

$(MUTANTS):
	@echo "building cargo-mutants $(MUTANTS_VERSION) (once; about two minutes on two cores)"
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo install -q cargo-mutants --locked --version $(MUTANTS_VERSION) --root $(CACHE)/cargo-mutants-$(MUTANTS_VERSION)

mutants: $(MUTANTS) ## change the code that decides, one expression at a time: unit tests or the model must notice (hours)
	$(call say,mutants: whatever is changed in what decides is noticed; docs/model.md explains what is not)
	@PATH="$(dir $(MUTANTS)):$$PATH" scripts/mutants

# The programs that are measured are built as for an image.
measured: $(AUDITABLE)
	$(call say,measured: the programs that are measured; each takes minutes the first time)
	@for package in meshagent-operator meshagent-simulator bench; do \
		PATH="$(AUDITABLE):$$PATH" scripts/build-release $$package target/measured || exit 1; done

bench: measured ## measure the operator and its webhook beside a bare client, and print a table; N=1000 clients (ten minutes, and as many to build; 10000 take half an hour; 100000 or ONLY=memory: memory alone; ONLY=operator: no bare client)
	$(call say,bench: release builds on a real control plane; the table comes last)
	@N=$(N) target/measured/bench

soak: measured ## work, faults and kills for an hour (MINUTES=5), round after round; SEED repeats what is done
	$(call say,soak: people work and things go wrong; after each round all is as declared and nothing has grown)
	@MINUTES=$(MINUTES) SEED=$(SEED) target/measured/bench soak

crds: ## write crds/ and the chart's CRDs anew from the Rust types
	@cargo run -q --locked --bin meshagent-operator -- crds > crds/meshagent.com.yaml
	@cargo run -q --locked -p documents

snapshots: ## write the chart's snapshot and the plain manifests in deploy/ anew
	@WRITE_SNAPSHOTS=1 cargo test -q --locked --test integration chart::render

health-data: ## write the health tests of gitops/argocd anew, of the states that SEEN_STATES=target/states make integration saw
	@SEEN_STATES=$${SEEN_STATES:-$(CURDIR)/target/states} cargo test -q --locked --test integration states:: -- --ignored

reference: ## write docs/reference.md, the table of reasons and the chart's table of values anew from types, flags, metrics, values
	@cargo run -q --locked -p documents
