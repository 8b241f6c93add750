# Everything is installed into .venv (the peers of the benchmark elsewhere), and only when pyproject.toml has changed since.
#   make PYTHON=python3.12 ...   another interpreter, 3.11 or newer
#   make demo ARGS=--exit        arguments for the demo

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
FUZZ_MINUTES ?= 30
PROFILE ?=

# Unit tests of the pure packages: they are run by themselves, so that nothing that ran before hides what they reach.
MEASURED := $(addprefix tests/unit/,detect explain graph model profile provenance sdk wire)

BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder
BENCH := .benchmarks/venv
PIP := python -m pip --disable-pip-version-check
TESTED := stream_lineage tests benchmarks deploy/grafana

.DEFAULT_GOAL := help
.PHONY: help demo install up down env test fuzz bench dashboards clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  PYTHON=python3.12 chooses the interpreter, ARGS=... goes to the demo, the tests or the benchmark."

demo: $(VENV)/.installed ## A fault in a real click-stream, and the alert about it; Ctrl-C ends it
	@exec $(BIN)/stream-lineage demo $(ARGS)

install: $(VENV)/.installed ## Install into .venv, with what the sandbox needs

up: .env ## The service with Kafka, InfluxDB and Grafana, in Docker; PROFILE=demo adds a pipeline
	COMPOSE_PROFILES=$(PROFILE) docker compose up --detach --build
	@echo "Grafana: http://127.0.0.1:3000, as admin; the password is GRAFANA_ADMIN_PASSWORD in .env"

down: .env ## End what `make up` has started; ARGS=--volumes deletes its data, too
	COMPOSE_PROFILES=demo docker compose down $(ARGS)

env: .env ## Make .env with new passwords for `make up`, if there is none

# Hexadecimal: nothing that a shell, YAML or a command line could take for something else.
.env:
	@umask 077; for name in INFLUX_ADMIN_TOKEN INFLUX_ADMIN_PASSWORD GRAFANA_ADMIN_PASSWORD; do \
	  echo "$$name=$$($(PYTHON) -c 'import secrets; print(secrets.token_hex(24))')" || exit 1; \
	done > $@.new && mv $@.new $@
	@echo "Made .env with new passwords."

test: $(VENV)/.installed-dev ## All checks and all tests, on a real Kafka too
	$(BIN)/ruff check $(TESTED)
	$(BIN)/ruff format --check $(TESTED)
	$(BIN)/mypy
	MYPYPATH=deploy/grafana $(BIN)/mypy deploy/grafana/generate.py
	$(BIN)/lint-imports
	$(BIN)/deptry .
ifeq ($(ARGS),)
	$(PYTEST) -m measured --cov --cov-report= --cov-fail-under=0 $(MEASURED)
	$(BIN)/coverage report
	$(PYTEST) -m 'not measured'
else
	$(PYTEST) $(ARGS)
endif

fuzz: $(VENV)/.installed-dev ## Hostile bytes for each decoder, for FUZZ_MINUTES=30 in all
	@$(BIN)/$(PIP) install --quiet 'atheris>=3' || echo "No atheris for this Python: without it nothing guides the search."
	$(BIN)/python tests/fuzz/fuzz_run.py --minutes $(FUZZ_MINUTES) $(ARGS)

bench: $(BENCH)/.installed ## The collector against its peers, in ratios; about five minutes
	$(BENCH)/bin/python benchmarks/collect/run.py $(ARGS)

dashboards: $(VENV)/.installed-dev ## Generate Grafana's dashboards and alert rules from deploy/grafana
	$(BIN)/python deploy/grafana/generate.py

clean: ## Remove .venv and what tools have left
	rm -rf $(VENV) .coverage .coverage.* htmlcov build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache .benchmarks .fuzz
	find $(TESTED) -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	$(call make-venv,$(VENV))

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	@echo "Installing stream_lineage into $(VENV) ..."
	@$(BIN)/$(PIP) install --editable '.[sandbox]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.made
	@echo "Installing stream_lineage and what its tests need into $(VENV) ..."
	@$(BIN)/$(PIP) install --editable '.[sandbox]' --group dev
	@touch $@ $(VENV)/.installed

# The peers want other versions of what we use than we do: they get an environment of their own.
$(BENCH)/.made:
	$(call make-venv,$(BENCH))

$(BENCH)/.installed: pyproject.toml | $(BENCH)/.made
	@echo "Installing stream_lineage and what it is compared with into $(BENCH) ..."
	@$(BENCH)/bin/$(PIP) install --editable '.[sandbox]' --group bench
	@touch $@

# Groups of dependencies need pip 25.1.
define make-venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "$(PYTHON) is not Python 3.11 or newer. Name one that is: make PYTHON=python3.12 ..."; exit 1; }
@test -x $(1)/bin/python || { echo "Making $(1) with $$($(PYTHON) --version) ..."; $(PYTHON) -m venv $(1); } || { \
  rm -rf $(1); echo "Python's venv module does not work. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
@$(1)/bin/$(PIP) install --quiet 'pip>=25.1'
@touch $@
endef
