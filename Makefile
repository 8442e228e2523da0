# `make` says what there is. Nothing here needs a service that runs on the machine.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Every target is a command; none is a file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: PostgreSQL, Redis, a C compiler (Debian, Ubuntu)
	@scripts/setup.sh

demo: setup ## build Spark and show it at work on this machine, then stop
	cargo build --locked
	target/debug/automagik-spark dev --demo

test: ## run every test
	@scripts/setup.sh browser prometheus pgbouncer
	cargo test --locked --no-fail-fast --lib --tests

test-pgbouncer: ## run the integration tests with a PgBouncer in transaction mode before PostgreSQL: needs ten minutes
	@scripts/setup.sh browser prometheus pgbouncer
	SPARK_IT_PGBOUNCER=1 cargo test --locked --no-fail-fast --test it

test-sources: setup ## try the real servers of all sources: needs PyPI, 2 GB and some minutes
	cargo build --locked
	scripts/test-sources.sh

test-sources-agentos: setup ## try a real AgentOS only: needs PyPI, 160 MB and a minute
	cargo build --locked
	scripts/test-sources.sh agentos

test-alerts: ## bring about what each alert is for, with a real Prometheus: needs ten minutes
	@scripts/setup.sh prometheus
	cargo test --locked --test it alerts::provoked -- --ignored --nocapture

SEEDS ?= 10
TASKS ?= 1000
faults: setup ## attack the guarantees: SEEDS=100 random runs of 1000 tasks each, or one with SEED=n
	SPARK_FAULT_TASKS=$(TASKS) $(if $(SEED),SPARK_FAULT_SEED=$(SEED),SPARK_FAULT_SEEDS=$(SEEDS)) \
		cargo test --locked --test it no_fault_loses_or_doubles_a_task -- --nocapture

check: format audit unit clippy test docs ## format, dependencies, unit, lints, tests, documentation; CI runs .ci/run, which has more

format: ## is every file formatted?
	cargo fmt --all --check

clippy: ## lints, as errors
	cargo clippy --locked --all-targets -- -D warnings

docs: ## documentation, warnings as errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

audit: ## check the dependencies: licences, sources, withdrawn versions, known vulnerabilities (where GitHub is reached)
	scripts/audit.sh

unit: ## check the systemd unit, and that its exposure is below 2.0
	@scripts/setup.sh systemd
	scripts/unit.sh

fuzz-targets: ## run each fuzz target for TIME seconds (60), see fuzz/
	@scripts/setup.sh fuzz
	scripts/fuzz-targets.sh

fuzz: setup ## search for answers that the OpenAPI document does not describe (schemathesis, from PyPI)
	cargo build --locked
	scripts/with-service.sh scripts/fuzz.sh

load-test: setup ## run the scaling guide's load test: 1000 tasks by 50 clients
	cargo build --locked
	scripts/with-service.sh bash -c '"$$SPARK" load-test "$$FLOW_ID" --tasks 1000 --clients 50'

profiles: setup ## what each profile does with flows of six seconds, beside the scaling guide's figures (10 minutes)
	cargo build --locked --release
	SPARK=$(CURDIR)/target/release/automagik-spark scripts/profile-throughput.sh small medium large enterprise

test-mcp: setup ## let an MCP client drive the service (automagik-tools, from PyPI)
	cargo build --locked
	scripts/with-service.sh scripts/mcp-client.sh

screenshots: ## take the pictures of docs/images in a headless Chromium
	@scripts/setup.sh browser
	cargo test --locked --test it -- --ignored --exact dashboard::pictures::every_page_in_both_themes

recovery: setup ## measure how soon tasks start again after each fault: 20 of each, 15 minutes (SAMPLES=n)
	SAMPLES=$(or $(SAMPLES),20) cargo test --locked --test it recovery::measure::measure -- --ignored --nocapture

bench: setup ## measure a release build
	cargo bench --locked --bench end_to_end

MINUTES ?= 15
soak: setup ## half of the highest rate for MINUTES=15: does memory, a table, anything grow?
	cargo bench --locked --bench end_to_end -- --soak $(MINUTES)
