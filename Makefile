# What people run all day. Each target brings what it needs; `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

DATABASE ?= sqlite
WORKERS ?= 3
BIN := .venv/bin

.PHONY: help venv packages demo test check network faults faults-long faults-short bench bench-quick bench-formats bench-growth attacks attacks-short attacks-long clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: ## the virtual environment .venv, from the hash-locked requirements-dev.txt
	@deploy/install/venv.sh

packages: ## RabbitMQ and PostgreSQL from the distribution where missing, never as running services
	@deploy/install/packages.sh rabbitmq postgresql

# Faults of a bad line need these and root; without them their rows say that they were not run.
network:
	@deploy/install/packages.sh network || true

demo: packages venv ## two administrations on this machine, live (DATABASE=postgresql, JSON=1)
	@$(BIN)/panj demo --database $(DATABASE) $(if $(JSON),--json)

test: packages venv ## unit, contract, integration and acceptance tests (ARGS="-k name", WORKERS=3)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)

check: venv ## format, lint, types, import contracts, generated files, documentation
	@deploy/install/check.sh

faults: packages network venv ## every fault under load with its control, then a random soak (ARGS="--only NAME --seed N --soak SECONDS")
	@$(BIN)/python -m tests.faults $(ARGS)

faults-long: packages network venv ## the same for hours, with what needs its time
	@$(BIN)/python -m tests.faults --long $(ARGS)

faults-short: packages network venv ## the choice of them that CI runs, in about 4 minutes
	@$(BIN)/python -m tests.faults --short $(ARGS)

bench: packages venv ## beside FastStream, plain pika and the limit, in under 12 minutes; the last line is JSON (ARGS="--short --encrypted --search")
	@$(BIN)/python -m tests.benchmarks.compare $(ARGS)

bench-quick: packages venv ## what it reaches on this machine, in under 8 minutes; the last line is JSON
	@$(BIN)/python -m tests.benchmarks.quick

bench-growth: packages venv ## what a declaration costs against the size of everything around it (ARGS="--only inbox --long")
	@$(BIN)/python -m tests.benchmarks.growth $(ARGS)

bench-formats: venv ## how many SAD files a second one core takes, and whether memory stays flat (ARGS="--memory-files 100000")
	@$(BIN)/python -m tests.benchmarks.formats $(ARGS)

attacks: packages venv ## everything that must not get in, tried; a row each, the last line is JSON (ARGS="--only opening --seed 7")
	@$(BIN)/python -m tests.attacks $(ARGS)

attacks-short: packages venv ## the same in the form that CI runs, about 4 minutes
	@$(BIN)/python -m tests.attacks --short $(ARGS)

attacks-long: packages venv ## the same with a million changed bundles
	@$(BIN)/python -m tests.attacks --long $(ARGS)

clean: ## remove what was built here: .venv, caches, generated pages
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache site build var *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
