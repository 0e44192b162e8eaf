# `make` alone lists the targets. A machine with Python 3.11 or newer, make and git needs nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# By file, in the order of tests/conftest.py: the slow files first.
SPREAD := --dist loadfile --no-loadscope-reorder
AGAIN := $(BIN)/python -m pytest --last-failed --last-failed-no-failures none
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test screenshots lint format bench lock clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(STAMP) ## Send one real webhook through the whole pipeline and show its trace.
	@$(BIN)/watchkeeper demo

# Many tests wait for real processes, so more of them run at a time than there are cores; a file's stay together.
# Those that kill parts of a whole stack come by themselves. What failed beside others has the machine once alone.
test: $(STAMP) ## Run all tests. ARGS="-k name" picks some.
ifeq ($(strip $(ARGS)),)
	@$(BIN)/python -m pytest --numprocesses 3 $(SPREAD) --ignore tests/faults || $(AGAIN) --ignore tests/faults
	@$(BIN)/python -m pytest --numprocesses 2 $(SPREAD) tests/faults || $(AGAIN) tests/faults
else
	@$(BIN)/python -m pytest $(ARGS)
endif

screenshots: $(STAMP) ## Write pictures of every page of the console to screenshots/: light, dark, wide, phone.
	@WATCHKEEPER_SCREENSHOTS=screenshots $(BIN)/python -m pytest tests/webhook_app/console/test_pages_look.py

lint: $(STAMP) ## Check style, types and the rooms' contracts.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## Put the code in the form that lint asks for.
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP) ## Measure, and write the tables to bench-results/. ARGS="accept storm" picks some.
	@$(BIN)/python -m tests.bench $(ARGS)

lock: $(STAMP) ## Write requirements.lock anew from pyproject.toml, naming no index.
	@$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --no-emit-find-links --python-version 3.11 \
		--upgrade --extra ai --extra dev pyproject.toml --output-file requirements.lock

clean: ## Remove the virtual environment and what tools left behind.
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The environment is made anew where a run before was cut short or the lock has changed.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "making $(VENV) ..." >&2
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "python's venv module is missing (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "installing requirements.lock (about a minute) ..." >&2
	@$(BIN)/python -m pip install --quiet --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)
