# The habits of this repository; `make` lists them.

.DEFAULT_GOAL := help
.PHONY: help build helpers tools test test-chart test-image test-renderer test-decrypter crash-points fuzz-cluster coverage bench demo devcluster helm registry prometheus deploy regenerate fuzz lint deny fmt fmt-check ci clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Where cargo puts what it builds.
BUILT := $(or $(CARGO_TARGET_DIR),target)

build: ## driftless and, where there is Go, its two helpers: target/release/driftless, driftless-renderer, driftless-decrypt
	cargo build --release --locked
	@deploy/helpers $(BUILT)/release

# Beside the driftless that tests and demo run.
helpers: ## the helpers for tests and demo, in target/debug: some minutes, once; needs Go
	@mkdir -p $(BUILT)/debug
	@deploy/helpers $(BUILT)/debug

# The files and the last stage are those of the Dockerfile; of the binary, the dev profile, since an optimised one
# takes some 10 minutes more and runs no other code.
test-image: IMAGE_ARCH ?= $(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(shell uname -m)))
test-image: devcluster ## the image, without Docker: its files, and a run as its user; needs buildah, bubblewrap, musl, Go
	@deploy/image/build missing $(IMAGE_ARCH) || { echo "make: deploy/image/build says how to install this" >&2; exit 1; }
	@renderer/build >/dev/null && decrypter/build >/dev/null
	binary=$$(realpath "$$(deploy/image/build binary $(IMAGE_ARCH) dev)") && \
	  DRIFTLESS_IMAGE_BINARY=$$binary cargo test --locked --test it -- --ignored --show-output image::

# What builds and tests need and nothing here installs: missing, it is said before anything is built.
tools:
	@tests/needs $(NEEDED_FOR)

# Most tests wait for the control plane most of the time.
test: NEEDED_FOR := tests
test: export RUST_TEST_THREADS ?= 4
test: tools prometheus devcluster helm helpers registry ## all tests, on a throwaway control plane; TEST_ARGS="--lib plan::" runs some
	cargo test --locked $(TEST_ARGS)

# The agent's account has what the manifests for a whole cluster grant, and nothing else.
CHART_TESTS := sync::commits:: sync::order:: sync::example_shop:: prune::orphans:: prune::order:: drift::seen_by_watches::
test-chart: export RUST_TEST_THREADS ?= 4
test-chart: devcluster helpers ## the core of the tests, with the permissions that the chart grants
	DRIFTLESS_TEST_AS=chart cargo test --locked --test it -- $(CHART_TESTS)

test-renderer: ## the helper for charts and overlays, compared with helm and kustomize; needs Go
	renderer/test

test-decrypter: ## the helper for encrypted files, compared with sops; needs Go
	decrypter/test

# The story of the dashboards takes two minutes.
regenerate: export DRIFTLESS_REGENERATE = 1
regenerate: tools prometheus devcluster ## writes anew what is made from other files: the PrometheusRule, docs/observability.md
	cargo test --locked --test it -- observability::

crash-points: devcluster helpers ## kills the agent before and after every request of a story; `make test` tries some
	DRIFTLESS_CRASH_POINTS=all cargo test --locked --test it -- --nocapture crash::

fuzz-cluster: devcluster helpers ## random runs of commits, hands, faults, crashes; SEEDS=100, FIRST=1
	DRIFTLESS_SEEDS=$(or $(SEEDS),100) DRIFTLESS_FIRST_SEED=$(or $(FIRST),1) cargo test --locked --test it -- --nocapture random::seeds::whatever

coverage: ## lines of src that the unit tests run, by module; needs cargo-llvm-cov; COVERAGE_ARGS="--test it -- sync::" measures others
	@tests/coverage $(COVERAGE_ARGS)

bench: devcluster helpers ## first sync, heals and quiet of a release build; DRIFTLESS_BENCH="before=PATH after=PATH" compares two
	cargo build --release --locked
	@deploy/helpers $(BUILT)/release
	DRIFTLESS_BENCH="$${DRIFTLESS_BENCH:-release=target/release/driftless}" \
	  cargo test --locked --test it -- --ignored --nocapture bench::

# Run without a shell in between, which would not pass on the signal when somebody stops make.
demo: export KEEP := $(KEEP)
demo: tools devcluster helpers ## a shop in a throwaway cluster, kept equal to git; KEEP=1 leaves it running
	cargo build --locked
	tests/demo

# Nothing to build where the tests are given a control plane.
devcluster: ## the control plane for tests and demo: some minutes, once
	@if [ -z "$$KUBEBUILDER_ASSETS$$DRIFTLESS_TEST_KUBECONFIG" ]; then tests/devcluster/build; fi

registry: ## a registry, for the tests of charts in one: a minute or two, once
	@tests/registry/build

helm: ## helm, for the tests of the chart: a minute or two, once; HELM=... names another
	@tests/helm/build

# Left out where TEST_ARGS names tests that need neither. A test that needs them after all builds them itself.
prometheus: export TEST_ARGS := $(TEST_ARGS)
prometheus: ## both programs of Prometheus, for the tests of alerts: some minutes, once; nothing where they are on the PATH
	@case "$$TEST_ARGS" in *"--skip observability"*) exit 0 ;; *observability* | *telemetry*) ;; *::* | *--lib*) exit 0 ;; esac; \
	  tests/prometheus/build

deploy: ## makes deploy/kubernetes and the schema of the values out of the chart
	deploy/generate

fuzz: ## searches for input that breaks a parser: TARGET=manifests|fields|path|inventory|config|walk SECONDS=600
	fuzz/run $(or $(TARGET),manifests) $(or $(SECONDS),600)

lint: ## clippy and rustdoc; every warning is an error
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
	@cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null

# The database of advisories comes from github.com: where that is not reached, the check fails, it does not pass.
deny: CHECKS ?= licenses bans sources advisories
deny: ## licences, sources and bans of the crates, and advisories against them; CHECKS="licenses bans sources" leaves these out
	@command -v cargo-deny >/dev/null || \
	  { echo "make: cargo-deny is missing: cargo install --locked cargo-deny (some four minutes)" >&2; exit 1; }
	@cargo deny --locked check $(CHECKS) || { echo "make: not allowed, or not checked: see above. The database of" \
	  "advisories is on github.com; CHECKS='licenses bans sources' does without" >&2; exit 1; }

fmt: ## formats the sources
	cargo fmt

fmt-check: ## fails where the sources are not formatted
	cargo fmt --check

ci: ## everything that has to pass, as on a bare machine
	.ci/run

clean: ## removes target/; the control plane stays in the cache
	cargo clean
