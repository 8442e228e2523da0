# `make` says what there is. Nothing here needs a service that runs on the machine.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-sources test-sources-agentos check format clippy docs bench fuzz test-mcp load-test faults

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: PostgreSQL, Redis, a C compiler (Debian, Ubuntu)
	@scripts/setup.sh

demo: setup ## build Spark and show it at work on this machine, then stop
	cargo build --locked
	target/debug/automagik-spark dev --demo

test: ## run every test
	@scripts/setup.sh browser
	cargo test --locked --no-fail-fast --lib --tests

test-sources: setup ## try the real servers of all sources: needs PyPI, 2 GB and some minutes
	cargo build --locked
	scripts/test-sources.sh

test-sources-agentos: setup ## try a real AgentOS only: needs PyPI, 160 MB and a minute
	cargo build --locked
	scripts/test-sources.sh agentos

SEEDS ?= 10
TASKS ?= 1000
faults: setup ## attack the guarantees: SEEDS=100 random runs of 1000 tasks each, or one with SEED=n
	SPARK_FAULT_TASKS=$(TASKS) $(if $(SEED),SPARK_FAULT_SEED=$(SEED),SPARK_FAULT_SEEDS=$(SEEDS)) \
		cargo test --locked --test it no_fault_loses_or_doubles_a_task -- --nocapture

check: format clippy test docs ## everything that CI wants: format, lints, tests, documentation

format: ## is every file formatted?
	cargo fmt --all --check

clippy: ## lints, as errors
	cargo clippy --locked --all-targets -- -D warnings

docs: ## documentation, warnings as errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

fuzz: setup ## search for answers that the OpenAPI document does not describe (schemathesis, from PyPI)
	cargo build --locked
	scripts/with-service.sh scripts/fuzz.sh

load-test: setup ## run the scaling guide's load test: 1000 tasks by 50 clients
	cargo build --locked
	scripts/with-service.sh bash -c '"$$SPARK" load-test "$$FLOW_ID" --tasks 1000 --clients 50'

test-mcp: setup ## let an MCP client drive the service (automagik-tools, from PyPI)
	cargo build --locked
	scripts/with-service.sh scripts/mcp-client.sh

bench: setup ## measure a release build
	cargo bench --locked --bench end_to_end
