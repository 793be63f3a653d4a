# One command per job. `make drill` and `make test` set up all they need on a fresh machine.
.DEFAULT_GOAL := help
.PHONY: help setup drill test selftest check format bench clean
SHELL := /bin/bash

PYTHON ?=
PYTEST_ARGS ?=
ENGINES ?= local
VENV := .venv/bin

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv and check the host's programs (quick when all is there)
	@PYTHON='$(PYTHON)' scripts/setup.sh

drill: setup ## lose region 1 and recover in region 2, live, then judge what happened
	$(VENV)/drharness drill full-failover

test: ## the whole test suite, real deployments included (ENGINES=local,docker: in containers, too)
	@PYTHON='$(PYTHON)' scripts/setup.sh for-tests
	$(VENV)/python -m pytest -n 2 --dist loadfile --dr-require $(ENGINES) $(PYTEST_ARGS)

selftest: setup ## plant mistakes and see that each is found by name (3 minutes)
	$(VENV)/drharness selftest

check: setup ## lint, formatting, types and the structure tests
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy --strict src tests
	$(VENV)/python -m pytest tests/repo $(PYTEST_ARGS)

format: setup ## put the code into the one format, and repair what lint can repair
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

bench: setup ## run the benchmarks of bench/
	@set -e; found=; for file in bench/bench_*.py; do [ -e "$$file" ] || continue; found=1; \
		echo "== $$file"; $(VENV)/python "$$file"; done; \
		[ -n "$$found" ] || echo "no benchmarks yet: bench/bench_*.py"

clean: ## remove the environment, caches and the evidence of past runs
	rm -rf .venv .drharness .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
