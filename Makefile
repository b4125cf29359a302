# LabLink. `make` alone prints this help.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin
READY  := $(VENV)/.ready
PIP    := $(RUN)/python -m pip install --quiet --disable-pip-version-check
unexport PYTHONDONTWRITEBYTECODE # each of some thousand processes would compile its modules again

.DEFAULT_GOAL := help
.PHONY: help setup up test check format lint types imports browser others bless alerts bench bench-quick package lambda image manual prove sbom audit lock clean

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(READY) ## virtual environment with all that running and testing need

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "LabLink needs Python 3.11 or newer: make setup PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing what LabLink needs into $(VENV): some minutes, this once." >&2
	@$(PYTHON) -m venv $(VENV)
	@sed -n '/^pip==/,/[^\\]$$/p' requirements.txt > $(VENV)/pip.txt
	@$(PIP) --require-hashes -r $(VENV)/pip.txt  # Python's own may be years old, and takes twice as long for the others
	@$(PIP) --require-hashes --no-deps --no-compile -r requirements.txt
	@$(RUN)/python -m compileall -q -j 0 $(VENV)/lib > $(VENV)/compileall.txt || true  # some packages bring files for other Pythons
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

up: setup ## a whole lab on this machine, at http://127.0.0.1:5000 (options: make up ARGS="--port 5001")
	@$(RUN)/lablink up $(ARGS)

test: setup ## all tests
	@$(MAKE) --no-print-directory --jobs lint types imports browser others

check: setup lint types imports ## the fast part: format, lint, types, import rules, unit, property, scenarios
	@$(RUN)/pytest tests/unit tests/property tests/scenarios

format: setup ## rewrite the code in the one format
	@$(RUN)/ruff format .
	@$(RUN)/ruff check --fix .

lint: setup
	@$(RUN)/ruff format --check .
	@$(RUN)/ruff check .

types: setup
	@$(RUN)/mypy
	@$(RUN)/mypy docs/*.py

imports: setup
	@$(RUN)/lint-imports

browser: setup
	@$(RUN)/pytest tests/browser  # one lab and one browser for all of them

others: setup
	@$(RUN)/pytest -n 4 --dist loadfile --no-loadscope-reorder --ignore tests/browser  # a file stays with one worker: its labs are opened once

bless: setup ## rewrite what the scenarios expect; review reads the difference
	@$(RUN)/python -m tests.scenarios.bless

alerts: setup ## an alert rule for each condition, for Prometheus, from the table of conditions
	@$(RUN)/python -m lablink.alert_rules > deploy/monitoring/conditions.yaml

bench: setup ## measure, each figure beside its baseline or limit
	@$(RUN)/python -m bench --json docs/performance.json

bench-quick: setup ## the figures that take no more than three minutes together
	@$(RUN)/python -m bench decide listing reports seating

package: setup ## wheel and source archive in dist/, of the version that git's newest tag says; needs no network
	@$(RUN)/python -m hatchling build -d dist -t sdist -t wheel

lambda: setup ## the package of the log Lambda, dist/log_lambda.zip, the same bytes each time
	@$(RUN)/python -m lablink.lambda_package dist/log_lambda.zip

image: setup ## the allocator's image without Docker (Debian, as root), tried: dist/image/lablink.tar
	@deploy/image

manual: setup ## the manual as pages: dist/manual
	@NO_MKDOCS_2_WARNING=1 $(RUN)/python -m mkdocs build --quiet

prove: setup ## every proof of tests/prove, for hours, going on where it was stopped; writes docs/reliability.json (options: make prove ARGS="weeks --share 0.1")
	@$(RUN)/python -m tests.prove $(ARGS)

sbom: setup ## what the image is made of, by names, versions and hashes, as CycloneDX: dist/sbom.cdx.json
	@mkdir -p dist
	@deploy/core-requirements $(RUN)/uv | $(RUN)/cyclonedx-py requirements --output-reproducible --output-format JSON --output-file dist/sbom.cdx.json -

audit: setup ## known holes in what the image is made of; asks the advisories of the package index over the network
	@mkdir -p dist
	@deploy/core-requirements $(RUN)/uv > dist/core.txt
	@$(RUN)/pip-audit --strict --disable-pip --require-hashes --requirement dist/core.txt

lock: setup ## pin the newest versions that pyproject.toml allows, by hash
	@$(RUN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade --quiet --custom-compile-command 'make lock' --output-file requirements.txt

clean: ## the virtual environment and the sandbox's data
	rm -rf $(VENV) .lablink
