# Two commands matter: `make demo` and `make test`. Both install first, into .venv, once.
# Every path is relative, so that a checkout may live in a folder whose name has spaces.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install demo test lint coverage docs wheel clean

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
	@echo "make docs      the documentation and API reference as a site: site/index.html"
	@echo "make coverage  which lines the tests reach: coverage/index.html"
	@echo "make wheel     dist/*.whl, installed and tried outside of the checkout's source"
	@echo "make clean     remove .venv, caches, dist, site, coverage and demo-run"

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

# Slower than the tests alone: every line is traced.
coverage: install
	$(test_threads) $(python) -m pytest -n $(workers) --jaxtyping \
	    --cov --cov-report=term --cov-report=html:coverage

.venv/docs-installed: .venv/installed
	$(python) -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch .venv/docs-installed

# Warnings are errors: a link that leads nowhere, a parameter that no docstring explains.
docs: .venv/docs-installed
	$(python) -m sphinx -q -W --keep-going -c docs/site -d site/.doctrees . site

# Tried in an environment that has the wheel and, by a path, the packages of .venv: a path in a
# .pth file does not lead to .venv's editable cryospin. These tests check tables and images,
# write reports and load the weights: a file that the wheel lacks makes one fail.
wheel: install
	rm -rf dist
	$(python) -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(python) -m venv dist/venv
	dist/venv/bin/python -m pip install --quiet --no-deps dist/*.whl
	site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	    $(python) -c "$$site" > "$$(dist/venv/bin/python -c "$$site")/packages_of_the_checkout.pth"
	dist/venv/bin/python -c 'import sys, cryospin; assert cryospin.__file__.startswith(sys.prefix)'
	dist/venv/bin/cryospin --version
	$(test_threads) dist/venv/bin/python -m pytest -q -o pythonpath=tests -p no:cacheprovider \
	    tests/cli/test_check.py tests/report/test_page.py tests/pairs/test_shipped_weights.py \
	    -k 'not noisy_images'

clean:
	rm -rf dist site coverage .coverage .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis demo-run
