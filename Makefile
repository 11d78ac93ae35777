# One command each; `make` alone lists them. Needs git, make and Python 3.11 or newer, nothing else.

PYTHON ?= python3
PYTEST_ARGS ?=
WORKERS ?= 2
SEED ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup run test lint bench nightly soak docs audit requirements

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: $(STAMP) ## make the environment in .venv; skipped while the requirements are unchanged

$(STAMP): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Theke needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Say which: make PYTHON=python3.12 setup" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements-dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## start everything with demo data; Ctrl-C stops it
	@exec env THEKE_DEMO=1 $(BIN)/theke up

test: setup ## run every test, WORKERS=2 at once; PYTEST_ARGS="-k receipt" to choose
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

lint: setup ## ruff, mypy and the one-way dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## measure sales, evenings, closes, uploads and the ERP beside a bare floor
	$(BIN)/python -m tests.bench.core
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.rebuild
	$(BIN)/python -m tests.bench.erp

nightly: test ## the tests, then five minutes of chaos; SEED=7 repeats it
	$(BIN)/python -m tests.chaos --minutes 5 $(SEED)

DIKAS := tests/integration/dikas
FAULTY := $(DIKAS)/test_a_week.py $(DIKAS)/test_an_evening.py $(DIKAS)/test_offline.py $(DIKAS)/test_payments.py \
  $(DIKAS)/test_day_close.py $(DIKAS)/test_sales.py tests/integration/zeyos/test_conformance.py

soak: setup ## kill and starve it for long; SEED=7 repeats a run
	THEKE_FUZZ_EXAMPLES=100 $(BIN)/python -m pytest -q tests/integration/dikas/test_fuzzed.py
	THEKE_MODEL_EXAMPLES=100 $(BIN)/python -m pytest -q tests/integration/eventstore/test_model.py
	$(BIN)/python -m pytest -q -p tests.faults $(if $(SEED),--faults $(SEED)) $(FAULTY)
	$(BIN)/python -m tests.chaos $(SEED)
	$(BIN)/python -m tests.chaos --replicas pos=2,inventory=2,gateway=2 $(SEED)
	$(BIN)/python -m tests.chaos.clocks
	$(BIN)/python -m tests.chaos.failover
	$(BIN)/python -m tests.chaos.disk_full || [ $$? -eq 77 ] # 77: not done without root

docs: setup ## write the generated parts of the reference
	$(BIN)/python -m libs.cli.docs

audit: ## known holes in the pinned dependencies; says so when no advisory service could be asked
	rm -rf build/audit && $(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install --quiet pip-audit
	@build/audit/bin/python deploy/audit.py; code=$$?; rm -rf build/audit; exit $$code

# pip-tools lives in a throwaway environment; the result holds versions and hashes, no addresses.
COMPILE := --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --all-build-deps \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

requirements: ## pin the newest dependencies of pyproject.toml anew
	rm -rf build/pin && $(PYTHON) -m venv build/pin && build/pin/bin/python -m pip install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make requirements" build/pin/bin/pip-compile $(COMPILE) -o requirements.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make requirements" build/pin/bin/pip-compile $(COMPILE) -c requirements.txt --extra dev --extra otel \
	  -o requirements-dev.txt pyproject.toml
	rm -rf build/pin
