# tamis: `make demo` shows the whole job, `make test` tests it. Both set up all they need in .venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do command -v $$name && break; done)
BIN := .venv/bin
UV := $(BIN)/uv
SOURCES := src tests benchmarks docs
MESSAGE = @printf '\n-- %s\n'

.PHONY: help demo test check lint format bench docs system lock clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/demo.ready ## the whole job on the embedded market place, in a few minutes
	$(MESSAGE) "the demo: from listing pages to a trained model"
	@$(BIN)/tamis demo

test: .venv/dev.ready system ## all tests
	$(MESSAGE) "all tests, on two processes"
	@$(BIN)/pytest -n 2 --dist loadgroup -q

check: lint ## format, lint, types and the fast tests
	@$(BIN)/pytest -n 2 --dist loadgroup -q -m "not slow and not browser and not real"

lint: .venv/dev.ready ## format, lint and types
	@$(BIN)/ruff format --check -q $(SOURCES)
	@$(BIN)/ruff check -q $(SOURCES)
	@$(BIN)/mypy

format: .venv/dev.ready ## put the code into its form
	@$(BIN)/ruff check -q --fix $(SOURCES)
	@$(BIN)/ruff format -q $(SOURCES)

bench: .venv/dev.ready ## all benchmarks, each beside its peer
	@set -e; for name in extraction hostile fetch rules inspection hashindex resize duplicates detect views pipeline million real.run; do printf "\n-- %s\n" $$name; $(BIN)/python -m benchmarks.$$name; done

docs: .venv/dev.ready ## generate the reference pages from the code
	@$(BIN)/python docs/generate.py

system: ## what the tests need from Debian: Chromium, MariaDB, PostgreSQL
	@scripts/system-packages

lock: $(UV) ## write requirements.lock anew
	@$(UV) pip compile -q --universal --python-version 3.11 --no-annotate --no-header --all-extras --upgrade \
		pyproject.toml -o requirements.lock

clean: ## remove what was set up and made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build

# --- the virtual environment --------------------------------------------------------------------------------------

$(UV):
	$(MESSAGE) "setting up .venv with $(PYTHON)"
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: install it, or say PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "the module venv is missing: on Debian, apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check uv

.venv/%.ready: $(UV) pyproject.toml requirements.lock
	$(MESSAGE) "installing tamis[$*] (with torch it takes a minute or two the first time)"
	@$(UV) pip install -q --compile-bytecode --python $(BIN)/python -c requirements.lock -e '.[$*]'
	@touch $@

.PRECIOUS: .venv/%.ready $(UV)
