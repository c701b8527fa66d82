# Everything a person or CI runs. `make help` lists it.
# `make demo` and `make test` need Python 3.11 and make; what else they need they install here.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --require-hashes --only-binary :all:
ARGS ?=

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- what people run -------------------------------------------------------------------------------------------------

.PHONY: demo
demo: .venv/demo-installed assets ## everything on this machine: http://127.0.0.1:8000 (ARGS="--source 0" for a camera)
	@$(BIN)/emotion-edge demo $(ARGS)

.PHONY: assets
assets: services/web/static/vendor/.installed ## the browser's third-party files, by pinned version and hash

.PHONY: test
test: .venv/dev-installed debian assets ## all tests, servers included (ARGS="-k name" for some)
	$(BIN)/python -m pytest $(ARGS)

.PHONY: test-compose
test-compose: .venv/dev-installed debian ## the containers: both stacks from nothing to the dashboard; needs a Docker engine
	@docker info >/dev/null 2>&1 || { \
	  printf '%s\n' '' '!! NOT TESTED: no Docker engine can be reached, so no image was built and no container was started.' \
	    '!! Start Docker (or see whether this user may use it: group docker), then run make test-compose again.' '' >&2; exit 1; }
	COMPOSE_TESTS=1 $(BIN)/python -m pytest tests/compose -v $(ARGS)

.PHONY: test-slow
test-slow: .venv/dev-installed debian assets ## the pages in a slow browser, with every answer late: half an hour
	$(BIN)/python -m pytest -p tests.support.slow_web tests/e2e --ignore=tests/e2e/test_demo.py --ignore=tests/e2e/test_pipeline.py --ignore=tests/e2e/test_analyze.py $(ARGS)

.PHONY: test-stalls
test-stalls: .venv/dev-installed debian assets ## all tests on a machine that stands still now and then: an hour
	$(BIN)/python -m pytest -p tests.support.stalls $(ARGS)

.PHONY: check
check: .venv/dev-installed ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.audit --offline-ok

.PHONY: audit
audit: .venv/dev-installed ## look up known vulnerabilities of every pinned dependency; fails where it cannot
	$(BIN)/python -m tools.audit

.PHONY: sbom
sbom: .venv/dev-installed ## a CycloneDX bill of materials for each requirements file and the page: build/sbom/
	$(BIN)/python -m tools.sbom build/sbom

.PHONY: fuzz
fuzz: .venv/dev-installed ## look for bytes that break a reader (SECONDS_EACH=60)
	$(BIN)/python -m tests.fuzz $(or $(SECONDS_EACH),60)

.PHONY: bench
bench: .venv/dev-installed debian ## speed and memory beside a baseline in the same run: bench/results/latest.json
	$(BIN)/python -m bench $(ARGS)

SEEDS ?= 1
.PHONY: chaos
chaos: .venv/dev-installed debian ## strike everything down at random and count what is lost (SEEDS=20)
	$(BIN)/python -m tests.chaos --seeds $(SEEDS) $(ARGS)

.PHONY: docs
docs: .venv/dev-installed ## write the parts of docs/ that come from the code
	$(BIN)/python -m tests.docs_from_code

.PHONY: screenshot
screenshot: .venv/dev-installed debian assets ## take the pictures in docs: the demo with its sample, in Chromium
	KEEP_PICTURES=1 $(BIN)/python -m pytest -q tests/e2e/test_docs_pictures.py

.PHONY: clean
clean: ## remove what was built here; data/ stays
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis services/web/static/vendor node_modules

# --- what they need ----------------------------------------------------------------------------------------------------

.venv/created:
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] < (3, 13); \
	  sys.exit(None if ok else "Python 3.11 or 3.12 is needed, this is %d.%d; say make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/demo-installed: .venv/created requirements/build.txt requirements/demo.txt pyproject.toml
	@echo "Installing what the demo needs into .venv (about 500 MB, once) ..."
	$(INSTALL) -r requirements/build.txt -r requirements/demo.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev-installed: .venv/created requirements/build.txt requirements/dev.txt pyproject.toml
	@echo "Installing what tests and training need into .venv (about 3 GB, once) ..."
	@# forbiddenfruit, which blockbuster needs, comes as source only
	$(INSTALL) --no-binary forbiddenfruit -r requirements/build.txt -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ .venv/demo-installed

services/web/static/vendor/.installed: package.json package-lock.json | .venv/created
	@$(MAKE) --no-print-directory $(if $(wildcard .venv/dev-installed),.venv/dev-installed,.venv/demo-installed)
	@command -v npm >/dev/null || $(INSTALL) -r requirements/assets.txt
	@$(BIN)/python -m services.web.assets
	@touch $@

# Tests run against Debian's Mosquitto, Postgres and Chromium, let clocks jump with libfaketime, and follow the docs with curl and jq. As root they are installed; else their absence is said.
DEBIAN_PROGRAMS := mosquitto:/usr/sbin/mosquitto chromium:/usr/bin/chromium curl:/usr/bin/curl jq:/usr/bin/jq \
  postgresql:$(or $(firstword $(wildcard /usr/lib/postgresql/*/bin/postgres)),/absent) \
  libfaketime:$(or $(firstword $(wildcard /usr/lib/*/faketime/libfaketimeMT.so.1)),/absent)
.PHONY: debian
debian:
	@missing=(); for pair in $(DEBIAN_PROGRAMS); do [ -e "$${pair#*:}" ] || missing+=("$${pair%%:*}"); done; \
	if (($${#missing[@]})); then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Debian packages: $${missing[*]} ..."; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
	  else \
	    echo "The tests need these Debian packages; install them as root: apt-get install $${missing[*]}" >&2; exit 1; \
	  fi; \
	fi

# --- pins --------------------------------------------------------------------------------------------------------------

COMPILE := $(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url \
  --no-emit-find-links --no-emit-trusted-host --no-header
DEMO := --extra capture --extra classifier --extra ingest --extra web --extra sample --extra embedded
ONE_EACH := assets train certs capture classifier ingest web

.PHONY: requirements
requirements: .venv/dev-installed ## pin every dependency again, from pyproject.toml, with hashes
	mkdir -p requirements
	$(COMPILE) $(DEMO) --extra train --extra certs --extra parquet --extra dev --output-file requirements/dev.txt pyproject.toml
	echo 'setuptools>=77' | $(COMPILE) --output-file requirements/build.txt -
	$(COMPILE) $(DEMO) --constraint requirements/dev.txt --output-file requirements/demo.txt pyproject.toml
	for extra in $(ONE_EACH); do \
	  $(COMPILE) --extra $$extra --constraint requirements/dev.txt --output-file requirements/$$extra.txt pyproject.toml || exit 1; done
