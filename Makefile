# Every target installs or builds what it needs, or says in one sentence what is missing.

SHELL := /bin/bash
CARGO ?= cargo
BELT := target/debug/belt
PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(HOME)/.local)

.PHONY: demo test api servers check build drivers guests fmt deny advisories install simulate chaos bench bench-quick clean

demo: build ## runs examples/supply-chain on this repository's own Cargo.lock
	@examples/supply-chain/run

test: build guests servers ## every test
	$(CARGO) test --workspace --locked
	@tests/api/run

servers: ## the nats-servers that the tests talk to, and a driver as Conveyor's users write it
	@tests/nats/install
	@if tests/go version >/dev/null; then tests/go build -C tests/conveyor -o ../../target/conveyor-driver .; \
	else rm -f target/conveyor-driver; echo "the tests of a driver of Conveyor's own kind will not run"; fi

api: build guests ## the API against its own document, with many more examples
	EXAMPLES=500 tests/api/run

check: deny ## formatting, lints with warnings denied, licences
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/guests/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --locked -- --deny warnings

build: drivers ## the host and the stock drivers
	$(CARGO) build --workspace --locked

drivers:
	@drivers/build
	@drivers/build both-ways

guests: ## the components that the tests run
	@drivers/build --manifest-path tests/guests/Cargo.toml --out target/guests --examples -p guests

simulate: ## the run machine under a hundred thousand seeds
	BELTLINE_SEEDS=100000 $(CARGO) test --locked -p beltline-engine --test simulation

chaos: build guests ## kill -9 at two thousand random moments, and of a loaded server a hundred times
	BELTLINE_KILLS=2000 $(CARGO) test --locked -p beltline --test it crash
	BELTLINE_KILLS=100 $(CARGO) test --locked -p beltline --test it up_killed

bench: build guests ## what Beltline costs, against what the machine itself costs; some minutes, ROWS=attempts for a part
	$(CARGO) bench --profile dev --workspace --locked --bench bench -- $(ROWS)

bench-quick: build guests ## less of the same, in less than a minute
	$(CARGO) bench --profile dev --workspace --locked --bench bench -- --quick $(ROWS)

deny:
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked --quiet --debug cargo-deny
	$(CARGO) deny --log-level error check bans licenses sources

advisories: ## known vulnerabilities; needs a network that reaches the advisory database
	$(CARGO) deny check advisories

install: build ## puts belt and belt-exec on PATH, under PREFIX
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(BELT) $(dir $(BELT))belt-exec
	@echo "belt is at $(DESTDIR)$(PREFIX)/bin/belt; completions: belt completions bash"

fmt:
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path tests/guests/Cargo.toml

clean:
	$(CARGO) clean
	rm -rf drivers/out
