# Two commands do all the set-up: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3.11
PY := .venv/bin/python
export TREATMENT_RESPONSE_DATA ?= ../shared/data

.PHONY: install demo test lint clean

install: .venv/installed

# numpy, setuptools and wheel come first because pyradiomics builds its C extension against them. The last pip line adds
# what this platform's torch needs at run time (the CUDA libraries on a GPU machine, nothing beside a CPU build).
.venv/installed: requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 with headers and venv (Debian: python3.11-dev python3.11-venv), or set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	grep -E '^(numpy|setuptools|wheel)==' requirements.txt | $(PY) -m pip install -q --no-deps -r /dev/stdin
	$(PY) -m pip install -q --no-deps --no-build-isolation -r requirements.txt
	$(PY) -m pip install -q "$$(grep '^torch==' requirements.txt)"
	$(PY) -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

lint: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

test: lint
	$(PY) -m pytest

demo: install
	$(PY) scripts/demo.py --out demo

clean:
	rm -rf demo .venv .pytest_cache .mypy_cache .ruff_cache
