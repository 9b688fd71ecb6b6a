# Every target sets up what it needs in .venv; nothing is installed outside it.
PYTHON ?= python3
BIN := .venv/bin
LOCK := deploy/requirements.txt
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# what `make test` runs; CI adds the live tests, `make test-slow` the simulations
MARK ?= not slow and not gpu and not bench and not live

.PHONY: help install demo serve test test-live test-slow check format openapi bench lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "calibrant needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv \
	  || { echo "Python's venv module is missing (Debian: apt-get install python3-venv)"; exit 1; }

.venv/.installed: pyproject.toml $(LOCK) | .venv/bin/python
	@echo "Setting up .venv, about 900 MB on disk, most of it for the worker extra:"
	@echo "  numpy, numba, scipy    the numerics and their compiled kernels"
	@echo "  fastapi, uvicorn       the service"
	@echo "  sqlalchemy, dbos       metadata and durable jobs"
	@echo "  pyarrow, onnx          table files and calibrator graphs"
	@echo "  onnxruntime            checks each calibrator graph against our own kernels"
	@$(PIP) -c $(LOCK) -e '.[worker]'
	@touch $@

.venv/.developing: .venv/.installed
	@echo "Adding the tools for tests and checks to .venv ..."
	@$(PIP) 'pip>=25.1' # older ones know no dependency groups
	@$(PIP) -c $(LOCK) --group dev
	@touch $@

install: .venv/.installed ## Set up .venv with the `calibrant` command

demo: .venv/.installed ## Walk real flight delays through the main job (EXIT=1: do not stay)
	@$(BIN)/calibrant demo $(if $(EXIT),--exit)

serve: .venv/.installed ## Start the service (CALIBRANT_* settings, see README)
	@$(BIN)/calibrant serve

test: .venv/.developing ## Run the default tests
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m "$(MARK)"

test-live: ## Run the default tests and those with real processes, servers and browsers
	@$(MAKE) --no-print-directory test MARK="not slow and not gpu and not bench"

test-slow: .venv/.developing ## Run the simulations and large-data tests
	@$(BIN)/python -m pytest -s -m slow --timeout 1800

check: .venv/.developing ## Check format, lint, types, import contracts and OpenAPI freshness
	$(BIN)/ruff format --check service tests
	$(BIN)/ruff check service tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/calibrant openapi --check openapi/openapi.json

format: .venv/.developing ## Format the code and fix what lint can fix
	$(BIN)/ruff format service tests
	$(BIN)/ruff check --fix service tests

openapi: .venv/.installed ## Write openapi/openapi.json
	$(BIN)/calibrant openapi --write openapi/openapi.json

bench: .venv/.installed ## Measure against peers, each in its own environment
	$(BIN)/python -m tests.bench

lock: ## Write deploy/requirements.txt anew from the newest allowed versions
	rm -rf .venv && $(PYTHON) -m venv .venv && $(PIP) 'pip>=25.1'
	$(PIP) -e '.[worker]' --group dev
	$(BIN)/python -m pip freeze --exclude-editable > $(LOCK)

clean: ## Remove .venv and caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
