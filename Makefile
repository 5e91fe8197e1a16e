# Set-up, checks and first steps. `make help` lists the targets.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& { echo $$p; break; }; done)
# Made readable for all (umask), because in sandboxes another user runs it.
VENV := .venv
BIN := $(VENV)/bin
PYTEST_WORKERS ?= 2
FUZZ_POINTS ?= 204
# Another one each day.
FUZZ_SEED ?= $(shell expr $$(date +%s) / 86400)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# A .venv that uv made has no pip.
ENSURE_PIP := $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null

.PHONY: help launch test test-fast fuzz zoo lint format lock setup wheel

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

launch: $(VENV)/.runtime ## improve circle_packing with four offline agents (no key, no Docker, no GPU)
	@$(BIN)/harness launch circle_packing

test: $(VENV)/.dev ## all tests; HARNESS_REQUIRE_DOCKER=1 fails instead of skipping those for Docker
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal -m "not zoo"

zoo: $(VENV)/.dev ## attacks on sandboxes and evaluators, one after the other; root, Docker, bubblewrap
	@HARNESS_REQUIRE_DOCKER=1 REQUIRE_BUBBLEWRAP=1 $(BIN)/python -m pytest -n 0 tests/zoo -m zoo

test-fast: $(VENV)/.dev ## the tests that take under two minutes together
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal -m "not slow and not zoo"

fuzz: $(VENV)/.dev ## SIGKILL at FUZZ_POINTS points chosen by FUZZ_SEED, and resume
	@$(BIN)/python -m tests.fault.fuzz --points $(FUZZ_POINTS) --seed $(FUZZ_SEED)

lint: $(VENV)/.dev ## ruff, mypy, pyright, import-linter, the lock file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --warnings
	$(BIN)/lint-imports
	@$(BIN)/python requirements/check.py

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.dev ## resolve the dependencies anew and write requirements/*.txt from the lock file
	$(BIN)/uv lock
	$(BIN)/python requirements/check.py --write

wheel: $(VENV)/.dev ## build the sdist, and the wheel from the sdist
	@rm -rf dist
	@$(BIN)/python -m build

setup: $(VENV)/.dev ## only the virtual environment

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found"; \
	  echo "  expected: python3 3.11+ on PATH"; \
	  echo "  to do:    install it, or: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "error: the modules venv and ensurepip are missing from $(PYTHON)"; \
	  echo "  expected: a Python that can make virtual environments"; \
	  echo "  to do:    Debian, Ubuntu: apt-get install python3-venv"; exit 2; }
	@echo "making $(VENV) with $(PYTHON) ..."
	@umask 022; $(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	@umask 022; start=$$(date +%s); $(ENSURE_PIP); \
	$(PIP) install --requirement requirements/runtime.txt && $(PIP) install --no-deps --editable . && \
	echo "set-up: $$(($$(date +%s) - start)) s" && touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@umask 022; start=$$(date +%s); $(ENSURE_PIP); \
	$(PIP) install --requirement requirements/dev.txt && $(PIP) install --no-deps --editable . && \
	echo "set-up: $$(($$(date +%s) - start)) s" && touch $@ $(VENV)/.runtime
