# `make help` lists the targets. ARGS adds arguments: make test ARGS='-k first_login'
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=
bin := .venv/bin
py := $(bin)/python
typed := $(wildcard bench conftest.py deploy/*.py services stack tests tools)

.PHONY: help setup proto up demo status check-books rotate-keys reset test test-quick faults dump lint lint-python lint-proto lint-api lint-deploy format try-openapi bench bench-replay bench-flash-sale bench-growth bench-codes bench-exports bench-search bench-watchers env lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

setup: .venv/.setup ## install the locked packages into .venv
	@:

.venv/.setup: requirements/dev.txt requirements/pip.txt tools/setup.sh
	@PYTHON='$(PYTHON)' tools/setup.sh

proto: setup ## generate stubs, descriptors and the OpenAPI document from protos/ into build/
	@$(py) -m tools.proto

up: proto ## run all of Scrip on this machine, until Ctrl-C
	@exec $(py) -m stack up $(ARGS)

demo: proto ## tell the whole story over REST, call by call
	@exec $(py) -m stack.demo $(ARGS)

status: setup ## tell what of `make up` runs
	@exec $(py) -m stack status $(ARGS)

check-books: proto ## prove that all books of points agree, of `make up` or of its data alone
	@exec $(py) -m stack check-books $(ARGS)

rotate-keys: proto ## make the next key that signs tokens, of `make up` or of its data alone
	@exec $(py) -m stack rotate-keys $(ARGS)

reset: setup ## forget the data of `make up`
	@exec $(py) -m stack reset $(ARGS)

# Chosen tests are done sooner by one process than two are started.
test: proto ## run every test, on two cores; those that ARGS chooses, on one
	@exec $(py) -m pytest $(or $(ARGS),--numprocesses=2)

test-quick: proto ## run all but the slow tests, on two cores
	@exec $(py) -m pytest --numprocesses=2 -m 'not slow' $(ARGS)

faults: proto ## break all there is under orders, as a seed draws: make faults ARGS='--seed 7 --minutes 30'
	@exec $(py) -m tests.faults.campaign $(ARGS)

dump: proto ## dump a platform in the middle of its work for tests/upgrades: make dump NAME=points-whole
	@exec $(py) -m tests.upgrades.make '$(NAME)'

lint: lint-python lint-proto lint-api lint-deploy ## run every check that needs no server

lint-python: proto
	$(bin)/ruff check --quiet
	$(bin)/ruff format --check --quiet
	$(bin)/mypy --no-error-summary $(typed)
	$(bin)/lint-imports --no-logo

lint-proto: proto
	$(bin)/buf lint
	$(bin)/buf format --diff --exit-code protos
	tools/breaking.sh

lint-api: proto
	$(bin)/openapi-spec-validator --validation-errors all build/openapi.json >/dev/null
	$(py) -m tools.openapi.checks

lint-deploy: proto
	$(bin)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	$(py) -m stack validate-edge

format: setup ## format Python and protos, and mend what ruff can mend
	@$(bin)/ruff check --fix --quiet || true
	@$(bin)/ruff format --quiet
	@$(bin)/buf format --write protos

try-openapi: proto ## make up 10,000 calls from the OpenAPI document, and compare what comes of them
	@exec $(py) -m tests.openapi $(ARGS)

bench: proto ## measure throughput beside the peers, and print the table
	@exec $(py) -m bench $(ARGS)

bench-replay: proto ## replay a day of 100,000 receipts, killing points on the way
	@exec $(py) -m bench.replay $(ARGS)

bench-codes: proto ## measure making codes beside PostgreSQL's own COPY, and one at a time
	@exec $(py) -m bench.make_codes $(ARGS)

bench-exports: proto ## measure calls beside the export of a million codes
	@exec $(py) -m bench.exports $(ARGS)

bench-search: proto ## measure searches among 100,000 stores
	@exec $(py) -m bench.search $(ARGS)

bench-flash-sale: proto ## sell 1,000 pieces to 5,000 members who come at once (takes some minutes)
	@exec $(py) -m bench.flash_sale $(ARGS)

bench-watchers: proto ## measure what 2,000 members cost who watch a quantity
	@exec $(py) -m bench.watchers $(ARGS)

bench-growth: proto ## measure points with ten million rows beside an empty one (takes 8 GB and some minutes)
	@exec $(py) -m bench.growth $(ARGS)

env: ## make .env for docker compose, with fresh secrets
	@$(PYTHON) tools/compose_env.py

lock: ## pin the dependencies of pyproject.toml in requirements/
	@PYTHON='$(PYTHON)' tools/lock.sh $(ARGS)

clean: ## delete what make made, but not the data of `make up`
	@rm -rf .venv build edge/docs/node_modules tools/openapi/checks/node_modules .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
