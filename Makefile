# annexkit. Every target sets up what it needs; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -o errexit -o nounset -o pipefail -c
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
SHELL_FILES = $(shell git ls-files --cached --others --exclude-standard -- provision scripts bench .ci \
	| while read -r file; do head -c 32 "$$file" | grep -qaE '^\#!.*(ba)?sh' && echo "$$file" || true; done)

.PHONY: help rehearse test test-all check check-packer check-workflows bench install tool-programs install-dev lint-tools machine format lock clean

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

rehearse: machine install-dev ## Bake, boot and check a real image in the rehearsal cloud on this machine
	@scripts/rehearse

test: machine install-dev ## Unit tests, one full rehearsal, one case of each fault family
	$(UNIT_TESTS) -m "not machines and not matrix"
	$(BIN)/python -m pytest -m "machines and not matrix"

test-all: machine install-dev ## Everything, with the whole fault and version matrix
	$(UNIT_TESTS) -m "not machines"
	$(BIN)/python -m pytest -m machines

check: install-dev lint-tools ## Format, lint, types, shell lint and the tests that need no machine
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	shellcheck --severity=style $(SHELL_FILES)
	shfmt -d -i 2 -ci -sr $(SHELL_FILES)
	$(UNIT_TESTS) -q -m "not machines and not matrix"

check-packer: install-dev ## A newer Packer, fetched by its digest: init, fmt -check, validate
	newer=$$(scripts/get-pinned packer build/bin) && \
		PATH="$$newer:$$PATH" ANNEXKIT_REQUIRE_PLUGINS=1 \
		$(BIN)/python -m pytest -q tests/unit/bake/test_packer_takes_all.py

check-workflows: ## actionlint, fetched by its digest, over .github/workflows
	linter=$$(scripts/get-pinned actionlint build/bin) && "$$linter/actionlint"

bench: machine install-dev $(VENV)-bench/.installed ## Measure; the figures stand in bench/README.md
	$(BIN)/python bench/bake.py
	$(BIN)/python bench/launch.py
	$(VENV)-bench/bin/python bench/verify.py
	$(BIN)/python bench/scale.py

format: install-dev ## Format Python and shell
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	shfmt -w -i 2 -ci -sr $(SHELL_FILES)

install: tool-programs $(VENV)/.installed ## The tool alone, in a virtual environment here

tool-programs:
	@scripts/prepare-machine tool

install-dev: $(VENV)/.installed-dev

lint-tools:
	@scripts/prepare-machine lint

machine: ## What a rehearsal needs of this machine (Debian 12 or newer, root)
	@scripts/prepare-machine

lock: install-dev ## Resolve the locks anew from pyproject.toml
	$(BIN)/uv pip compile -q --upgrade $(LOCKED) --extra rehearsal --extra dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile -q $(LOCKED) -c requirements-dev.lock pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q $(LOCKED) -c requirements-dev.lock --extra rehearsal --extra dev --extra bench pyproject.toml -o requirements-bench.lock

clean: ## Take the rehearsal down and remove what was made here
	@[ ! -x $(BIN)/invoke ] || [ ! -d .rehearsal ] || $(BIN)/invoke rehearsal.down
	rm -rf $(VENV) $(VENV)-bench .rehearsal packer/build .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

# What boots no machine needs no turn: as many at once as there are processors. The tests
# of one file share what they set up.
UNIT_TESTS = $(BIN)/python -m pytest -n auto --dist loadfile

LOCKED = --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

$(VENV)/bin/python:
	@scripts/prepare-machine python
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.installed

$(VENV)-bench/.installed: requirements-bench.lock pyproject.toml | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
