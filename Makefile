# The only entrance: people and CI call the same targets. Whatever a target needs and can install, it installs;
# whatever it starts, it stops.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo examples broker run test sim sim-mutants alerts alerts-write dashboard-picture compat chaos fuzz audit bench bench-quick bench-protection bench-publish lint docs check readme image image-check sbom asyncapi status-page ops-check

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Watch the worker do its main job
	@deploy/dev/demo.sh

examples: ## Try the example clients in Python and Node
	@deploy/dev/examples.sh

broker: ## Run a private RabbitMQ until Ctrl-C; prints its URL
	@deploy/dev/broker.sh install
	@deploy/dev/broker.sh run --until-signal

run: ## Run the worker with your settings; it says which are missing
	cargo run --release --locked -- run

test: ## Run all tests, against AMQP_URL or a private RabbitMQ
	@deploy/dev/broker.sh install
	@deploy/dev/prometheus.sh install
	cargo test --locked

# With SEED and FAMILY one history, and with ALL=1 every one that fails and not only the first.
sim: SEEDS ?= 1000
sim: ## Simulate SEEDS=1000 histories of workers, broker and Flow Service; SEED= and FAMILY= repeat one
	@SIM_SEEDS=$(SEEDS) SIM_SEED=$(SEED) SIM_ALL=$(ALL) cargo test --locked --test sim -- $(FAMILY)

sim-mutants: SEEDS ?= 200
sim-mutants: ## See that the simulation finds deliberate faults, within SEEDS=200 histories of a family; MUTANTS= names some
	@SEEDS=$(SEEDS) deploy/dev/sim-mutants.sh $(MUTANTS)

alerts: ## Check the alerts and run their tests
	@deploy/dev/prometheus.sh install
	@deploy/dev/prometheus.sh alerts

alerts-write: ## Write what follows from deploy/prometheus/rules.yaml
	BLESS=1 cargo test --locked --test it alerts::

dashboard-picture: ## Draw the dashboard from a run under load, for the README
	@deploy/dev/broker.sh install
	@deploy/dev/prometheus.sh install
	@deploy/dev/prometheus.sh picture

compat: ## Run the integration tests against RabbitMQ 4.0; as root
	@deploy/dev/compat.sh

# Half of the time on one node, half on a cluster of three; never on somebody's own broker, for it kills them.
chaos: SEED ?= 1
chaos: SECONDS ?= 300
chaos: ## Storm for SECONDS=300 with SEED=1; nothing may be lost or created twice
	@env -u AMQP_URL deploy/dev/broker.sh install
	@status=0; for nodes in 1 3; do \
		env -u AMQP_URL CHAOS_SEED=$(SEED) CHAOS_SECONDS=$$(($(SECONDS) / 2)) CHAOS_NODES=$$nodes \
			cargo test --locked --test it -- --exact --nocapture \
			chaos::a_storm_loses_nothing_and_creates_nothing_twice || status=1; \
	done; exit $$status

fuzz: SECONDS ?= 60
fuzz: ## Feed nonsense to each fuzz target for SECONDS=60; needs a nightly compiler
	@deploy/dev/fuzz.sh $(SECONDS) $(TARGETS)

audit: ## Check licences, sources and advisories of all dependencies against .deny.toml
	@deploy/dev/audit.sh

# Never against somebody's own broker: its figures would say nothing, and it would suffer.
BENCH = env -u AMQP_URL cargo bench --locked --bench bench --

bench: ## Measure the worker beside a bare loop: tables, JSON and plots in target/bench
	@env -u AMQP_URL deploy/dev/broker.sh install
	$(BENCH)

bench-quick: ## Compare both in about a minute; fails if the worker has become slow
	@env -u AMQP_URL deploy/dev/broker.sh install
	$(BENCH) quick

bench-protection: ## Show what an ill Flow Service and a flood of jobs come to; takes about half an hour
	@env -u AMQP_URL deploy/dev/broker.sh install
	$(BENCH) protection

bench-publish: ## Put the figures and plots of the last `make bench` into the README
	mkdir -p tests/bench/results
	cp target/bench/results.json target/bench/*.svg tests/bench/results/
	$(MAKE) --no-print-directory readme

lint: ## Check format and lints, with and without the simulator
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo clippy --no-default-features --locked -- -D warnings

docs: ## Build the documentation; a broken link fails
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --locked

readme: ## Write the tables of the README and the scaling guide, and deploy/asyncapi.json, anew
	BLESS=1 cargo test --locked --test it -- readme:: asyncapi::

sbom: ## Write what the worker is made of, as CycloneDX, to target/sbom
	@deploy/dev/sbom.sh

asyncapi: ## Check deploy/asyncapi.json with AsyncAPI's own parser, from npm
	@deploy/dev/asyncapi.sh

status-page: ## Look at the status page with a browser, and take the README's picture of it
	@deploy/dev/install.sh chromium chromium
	@deploy/dev/install.sh node nodejs
	@deploy/dev/broker.sh install
	STATUS_PAGE=deploy/status-page.png cargo test --locked --test it -- --exact --nocapture \
		status::a_browser_draws_what_the_worker_does

image: ## Build the image, with docker, podman or buildah
	@deploy/dev/image.sh build

image-check: ## Build the image where there is no registry, and try it; as root
	@deploy/dev/image.sh check

ops-check: ## Check files, alerts, SBOM, dashboard and, as root, the image; about 20 minutes
	@deploy/dev/ops.sh

check: lint docs test ## Everything that CI runs
