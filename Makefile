# Two commands matter: `make demo` and `make test`. Both install first, into .venv, once.
# Every path is relative, so that a checkout may live in a folder whose name has spaces.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install demo test lint clean

python := .venv/bin/python
# workers are the parallelism of the tests; each worker's BLAS gets one thread, and threads
# that wait must not spin (PASSIVE), or two workers slow each other down several times
test_threads := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
workers ?= 2

help:
	@echo "make install   .venv with the tested versions (constraints.txt)"
	@echo "make demo      simulate, reconstruct, score against the truth: demo-run/report.html"
	@echo "make test      ruff, mypy and the tests"
	@echo "make lint      ruff and mypy only"
	@echo "make clean     remove .venv, caches and demo-run"

install: .venv/installed

# The stamp is younger than what it was made from, or the install runs again.
.venv/installed: pyproject.toml constraints.txt
	@candidate=""; \
	for name in $(PYTHON) python3 python3.11 python3.12 python3.13; do \
	    if $$name -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
	        >/dev/null 2>&1; then candidate=$$name; break; fi; \
	done; \
	if [ -z "$$candidate" ]; then \
	    echo "cryospin needs Python >= 3.11 with venv: install it or say make PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi; \
	echo "making .venv with $$candidate ($$($$candidate --version))"; \
	$$candidate -m venv .venv
	$(python) -m pip install --quiet -c constraints.txt -e '.[test]'
	touch .venv/installed

demo: install
	.venv/bin/cryospin demo --out demo-run

lint: install
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

test: lint
	$(test_threads) $(python) -m pytest -n $(workers) --jaxtyping --enough-tests

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis demo-run
