# The front door. `make` alone says what there is.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run build deb setup test check bench

help: ## what can be asked for
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: ## build (release) and run the demo: the gateway, a sensor fleet, and a page with four clients
	cargo run --release --bin ratatosk -- demo

build: ## release binary: target/release/ratatosk
	cargo build --release --bin ratatosk

deb: build ## Debian package, with manual page and completions (cargo install cargo-deb)
	mkdir -p target/dist
	target/release/ratatosk man >target/dist/ratatosk.1
	for shell in bash zsh fish; do target/release/ratatosk completions $$shell >target/dist/ratatosk.$$shell; done
	cargo deb -p ratatosk --no-build

setup: ## install what the tests need (brokers, browser, npm and PyPI clients)
	@tests/setup.sh

test: setup ## everything: unit tests, then the real binary with real stock clients
	cargo build --workspace --all-targets --quiet
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	  status=0; cargo test --workspace --no-fail-fast 2>&1 | tee "$$log" || status=$$?; \
	  echo; echo "Summary"; \
	  grep -E '^(     Running|   Doc-tests|test result:)' "$$log" | paste -sd' \n' - | sed -E 's/ +/ /g; s/ \([^)]*\)//' ; \
	  grep -E '^test .* FAILED$$' "$$log" || true; \
	  exit $$status

check: ## formatting, lints, documentation, sans-IO builds, licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	@# The protocol machines must build without a runtime: each crate that offers that is built so.
	@for crate in crates/*/; do \
	  if grep -qE '^default *= *\[' $$crate/Cargo.toml; then \
	    echo "cargo check --no-default-features: $$crate"; \
	    cargo check --quiet --manifest-path $$crate/Cargo.toml --no-default-features; \
	  fi; \
	done
	@# Known holes are looked up in a database that has to be fetched; the rest needs nothing from elsewhere.
	@if ! command -v cargo-deny >/dev/null; then \
	  echo "cargo-deny is not installed (cargo install cargo-deny): licences, sources and known holes not checked"; \
	else \
	  cargo deny --workspace check --hide-inclusion-graph --allow duplicate licenses bans sources; \
	  if cargo deny fetch db >/dev/null 2>&1; then cargo deny --workspace check --hide-inclusion-graph advisories; \
	  else echo "the database of known holes cannot be fetched: not checked"; fi; \
	fi

bench: ## fan-out, latency and memory against the floor (release build)
	cargo build --release --workspace --bins
	target/release/ratatosk bench
