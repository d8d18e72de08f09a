# Two words for people: `make demo` runs Invigil here, `make test` checks all of it.

.PHONY: help demo demo-cluster release test simulate fmt lint figures clean

help:
	@echo 'make demo          build everything and run it here, with sample exams'
	@echo 'make demo-cluster  the same with three nodes behind HAProxy, to be killed one by one'
	@echo 'make release       build the program as it is installed: target/dist/invigil'
	@echo 'make test          every check there is (a step alone: .ci/run STEP)'
	@echo 'make simulate      many nodes under faults: SIM_SEEDS=5000 of them, or SIM_SEED=17 again'
	@echo 'make fmt           format the code'
	@echo 'make lint          clippy and the checks of the pages'
	@echo 'make figures       measure what docs/performance.md claims'
	@echo 'make clean         remove what was built'

# What a first try needs, without optimization and in the profile of the tests, which find the
# same dependencies built. Arguments for the program: make demo ARGS='--listen 127.0.0.1:9000'
demo:
	@scripts/need.sh rust node cc
	cd clients && npm ci && npm run build
	cargo build --locked --no-default-features
	@exec "$${CARGO_TARGET_DIR:-target}/debug/invigil" demo $(ARGS)

# Arguments for the script: make demo-cluster ARGS='--listen 127.0.0.1:9000'
demo-cluster:
	@scripts/need.sh rust node cc
	@scripts/need.sh postgres redis haproxy
	cd clients && npm ci && npm run build
	cargo build --locked --no-default-features --features mongodb
	@exec scripts/demo-cluster.sh $(ARGS)

release:
	@scripts/need.sh rust node cc
	cd clients && npm ci && npm run build
	@scripts/release.sh

test:
	@scripts/test.sh

simulate:
	@cargo test --locked --test simulation no_promise -- --nocapture

fmt:
	cargo fmt --all
	cd clients && npm run format

lint:
	@scripts/test.sh fmt shell js lint

figures:
	@scripts/figures.sh
	@scripts/figures-nodes.sh

clean:
	cargo clean
	rm -rf clients/node_modules clients/*/node_modules clients/*/dist
