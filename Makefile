# `make help` lists the words. Everything lives in .venv and .local; delete them to start afresh.

PYTHON ?= python3
BIN := .venv/bin
GUIDELINE ?=
GUIDELINES ?= tests/llm/samples
KILLS ?= 40
SEED ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Images of Python often set it; a hundred processes that each compile all anew take minutes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo run code manage test faults chaos chaos-naive bench bench-bloat bench-chain bench-growth bench-worker bench-claims bench-submit bench-recovery bench-documents bench-exports bench-staff eval lint format types contracts openapi permissions prove-isolation fuzz-api screenshots lock clean

help:  ## this list
	@grep -E '^[a-z-]+:.*  ## ' Makefile | sed -E 's/:.*  ## /\t/' | expand -t 14

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Guidepost needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv .venv

# What is installed is what the lock file names, hash by hash. The development lock holds all of
# the local one.
.venv/local.stamp: requirements/local.txt | .venv/bin/python
	@echo "Installing packages (once) ..."
	@$(BIN)/pip install --quiet --require-hashes -r requirements/local.txt
	@touch $@

.venv/dev.stamp: requirements/dev.txt | .venv/bin/python
	@echo "Installing packages (once) ..."
	@$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@ .venv/local.stamp

setup: .venv/local.stamp  ## install what demo and run need
setup-dev: .venv/dev.stamp  ## install what tests and linters need

demo: setup  ## a guideline through the whole stack; GUIDELINE=path takes yours
	@$(BIN)/python -m deploy.local demo $(if $(GUIDELINE),"$(GUIDELINE)")

run: setup  ## serve until Ctrl-C
	@$(BIN)/python -m deploy.local run

code: setup  ## the second factor of the staff user of the running stack
	@$(BIN)/python -m deploy.local code

manage: setup  ## manage.py against the running stack, as in: make manage CMD="shell"
	@$(BIN)/python -m deploy.local manage $(CMD)

test: setup-dev  ## the tests, against real servers; ARGS="-k name" picks some, faults too
	@$(BIN)/python -m $(if $(ARGS),pytest $(ARGS),tests)

faults: setup-dev  ## kill, stop, freeze and fill whatever the stack is made of, row by row
	@$(BIN)/python -m pytest -m faults

chaos: setup-dev  ## kill processes and servers under load, then look what is left; KILLS=500 SEED=7
	@$(BIN)/python -m tests.chaos --kills $(KILLS) --seed $(SEED)

chaos-naive: setup-dev  ## the same kills against a plain Celery design
	@$(BIN)/python -m tests.chaos --naive --kills $(KILLS) --seed $(SEED)

fuzz-api: setup-dev  ## schemathesis against a stack of its own, as each role
	@$(BIN)/python -m tests.security.fuzz

prove-isolation: setup-dev  ## every route, method and role with another tenant's ids, on a stack of its own
	@$(BIN)/python -m deploy.local.prove $(ARGS)

bench: setup-dev  ## what a request costs, beside a floor and two peers; ARGS="--rounds 5"
	@$(BIN)/python -m tests.bench $(ARGS)

bench-chain: setup-dev  ## what a job costs the processor in llm, phase by phase
	@$(BIN)/python -m tests.bench.chain

bench-growth: setup-dev  ## a page and a job among ten thousand and ten million; ARGS="--sizes 10000 1000000"
	@$(BIN)/python -m tests.bench.growth $(ARGS)

bench-claims: setup-dev  ## how long a claim takes, with a thousand to a million jobs waiting
	@$(BIN)/python -m tests.bench.claims

bench-submit: setup-dev  ## what POST /jobs costs beside another revision; BASE=commit
	@$(BIN)/python -m tests.bench.submit --base $(BASE)

bench-recovery: setup-dev  ## how soon a job runs elsewhere once its worker is killed or stopped
	@$(BIN)/python -m tests.bench.recovery

bench-bloat: setup-dev  ## what a million changes of status leave behind; ARGS="--changes 100000"
	@$(BIN)/python -m tests.bench.bloat $(ARGS)

bench-worker: setup-dev  ## what a job costs in a worker, and how many a second it gets done
	@$(BIN)/python -m tests.bench.worker $(ARGS)

bench-documents: setup-dev  ## what guidelines of 10 KB to 1 MB cost in time, calls and memory
	@$(BIN)/python -m tests.bench.documents

bench-exports: setup-dev  ## how long and how large an export of 2,000 items is
	@$(BIN)/python -m tests.bench.exports $(ARGS)

bench-staff: setup-dev  ## how long staff wait for each page, among a million jobs of a thousand tenants
	@$(BIN)/python -m tests.bench.staff $(ARGS)

eval: setup-dev  ## guidelines through the chain, measured; GUIDELINES=folder ARGS="--base-url ..."
	@$(BIN)/python -m tests.eval "$(GUIDELINES)" $(ARGS)

lint: setup-dev  ## style, and who may import whom
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-cache

format: setup-dev  ## put the code into shape
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

types: setup-dev  ## check types
	@$(BIN)/python -m mypy

openapi: setup-dev  ## write docs/openapi.yaml anew, and the schema of exported checklists
	@DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -m django spectacular --validate --fail-on-warn --file docs/openapi.yaml
	@DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -m django checklist_schema --to docs/checklist.v1.schema.json

permissions: setup-dev  ## write docs/permissions.md anew
	@DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -m django permissions --to docs/permissions.md

screenshots: setup-dev  ## pictures of the pages, for docs/admin/ and docs/console/
	@$(BIN)/python -m tests.e2e.screenshots

lock: setup-dev  ## compile the lock files anew from pyproject.toml
	@for name in base local dev; do \
	  $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" \
	    $$([ $$name = base ] || echo --extra local) $$([ $$name != dev ] || echo --extra dev) \
	    --output-file requirements/$$name.txt || exit 1; \
	done

clean:  ## delete the environment and the local data
	@rm -rf .venv .local
