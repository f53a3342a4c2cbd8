# Development commands. They need only Python 3.11 or newer and a package index.
#
#   make demo    search real questions by meaning, in Korean and English
#   make test    the tests
#
# Each target creates the environment that it needs in .venv (benchmarks: .venv-bench).

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python that is new enough; `make PYTHON=/path/to/python demo` selects another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Three workers for two cores: many tests wait for a process that they started.
PYTEST_WORKERS ?= 3

PROCESSES ?= 20

.PHONY: help demo test test-hub test-kills stress lint types format docs changelog bench results clean

help: ## list the targets
	@grep -E '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "munjang needs Python 3.11 or newer; none was found. Try: make PYTHON=/path/to/python3.11 demo" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Stamp files: an environment is installed once, and again when its inputs change.
$(VENV)/.runs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python $(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.develops: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python $(PIP_INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.runs

$(VENV)/.documents: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python $(PIP_INSTALL) --editable '.[docs]'
	@touch $@ $(VENV)/.runs

.PHONY: $(VENV)
$(VENV): $(VENV)/.runs ## install the package in .venv; the command is .venv/bin/munjang

demo: $(VENV)/.runs ## search the example questions by meaning
	@$(BIN)/python examples/demo.py

test: $(VENV)/.develops ## run the tests, except those that need the hub
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder -m 'not hub'

test-hub: $(VENV)/.develops ## run the lesson cases that need trained weights from the hub
	$(BIN)/python -m pytest -m hub -rs

test-kills: $(VENV)/.develops ## kill writers, builds and encodings at many more random moments than the tests do
	MUNJANG_KILLS=1000 MUNJANG_BUILD_KILLS=30 MUNJANG_ENCODE_KILLS=20 $(BIN)/python -m pytest \
		tests/search/stores/test_kill.py tests/cli/test_index_build_killed.py tests/bulk/test_resume.py

stress: $(VENV)/.develops ## compare streams in fresh processes; PROCESSES=600 for a long check
	$(BIN)/python scripts/stress_streams.py --processes $(PROCESSES)

lint: $(VENV)/.develops ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.develops ## check types, of the tests too
	$(BIN)/mypy

format: $(VENV)/.develops ## format the code and fix style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.documents ## write docs/cli.md again and build the site into build/site; warnings are errors
	$(BIN)/python scripts/docs_cli.py
	$(BIN)/python -m mkdocs build --strict

changelog: $(VENV)/.develops ## show the next section of CHANGELOG.md, made from changelog.d/
	$(BIN)/towncrier build --draft --version next

.venv-bench/.benches: benchmarks/requirements.txt pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "munjang needs Python 3.11 or newer; none was found." >&2; exit 1; }
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python $(PIP_INSTALL) --editable . --requirement benchmarks/requirements.txt
	@touch $@

bench: .venv-bench/.benches ## run the benchmarks against other libraries
	.venv-bench/bin/python -m benchmarks $(BENCH)

results: $(VENV)/.develops ## train the models of docs/results again (hours); RESULTS="korsts nsmc" chooses
	$(BIN)/python -m scripts.results $(RESULTS)

clean: ## remove the environments, caches and built files
	rm -rf $(VENV) .venv-bench build .pytest_cache .mypy_cache .ruff_cache .hypothesis
