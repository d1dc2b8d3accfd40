# The verbs of this project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help run run-agent check test sim kubernetes fuzz props bench docs deny

help: ## List the verbs.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: ## Build and start `skald serve`: one process, files in ./data, port 3100.
	$(CARGO) build --release --bin skald
	@# On a terminal the server says this itself.
	@[ -t 2 ] || printf '%s\n' "push: target/release/skald push --label job=demo FILE" "ask:  target/release/skald query '{job=\"demo\"}'"
	target/release/skald serve

run-agent: ## Build and start `skald-agent`: the logs of this machine (files, and the journal where there is one) into a running `skald serve`.
	$(CARGO) build --release --bin skald-agent
	@mkdir -p agent-data
	@# The journal comes last in the file; without its reader only files are left.
	@if command -v journalctl > /dev/null; then cat deploy/agent.yaml; else sed '/job_name: journal/,$$d' deploy/agent.yaml; fi > agent-data/agent.yaml
	@printf '%s\n' "watch: http://127.0.0.1:9080/targets" "ask:   target/release/skald query '{job=~\"varlogs|systemd-journal\"}'"
	target/release/skald-agent -config.file=agent-data/agent.yaml

check: ## Format, clippy with warnings denied, docs, dependency policy.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	scripts/deny.sh

test: ## Every test: unit, property, golden, fault, and end-to-end on the real binary, a real S3 server and real exporters (installed below .tools).
	scripts/s3-server.sh > /dev/null
	scripts/otlp-exporter.sh > /dev/null
	scripts/log-senders.sh > /dev/null
	$(CARGO) test --workspace --all-targets
	$(CARGO) test --workspace --doc --quiet

sim: ## Long crash simulations: power cuts and kills over many seeds (SEEDS=n).
	SKALD_SIM_SEEDS=$(or $(SEEDS),2000) $(CARGO) test --release -p skald-sim -p skald-wal -p skald-store

kubernetes: ## Discovery of targets against a real kube-apiserver, built below .tools from its sources (Go 1.26, about ten minutes the first time).
	SKALD_KUBERNETES_API=$$(scripts/kubernetes-api.sh) $(CARGO) test -p skald-discovery --test kubernetes_api -- --ignored --nocapture

fuzz: ## Damaged inputs for every decoder and parser (CASES=n of each, TARGET=name, SEED=n, FIRST=n); docs/testing.md has more.
	RUST_BACKTRACE=$(or $(RUST_BACKTRACE),0) $(CARGO) run --quiet -p skald-fuzz -- --cases $(or $(CASES),20000) --seed $(or $(SEED),$$RANDOM) --first $(or $(FIRST),0) $(if $(TARGET),--target $(TARGET))

props: ## Long runs of the property tests that stand beside the code (CASES=n).
	SKALD_FUZZ_CASES=$(or $(CASES),100000) $(CARGO) test --release --workspace --lib --test damage -- --nocapture

bench: ## Micro-benchmarks.
	$(CARGO) bench --workspace

docs: ## Write docs/configuration.md anew and build the API documentation.
	SKALD_WRITE_REFERENCE=1 $(CARGO) test -p skald-config reference
	$(CARGO) doc --workspace --no-deps

deny: ## Dependency policy alone.
	scripts/deny.sh
