# The commands of CONTRIBUTING.md.
BIN := .venv/bin

.PHONY: setup quick test all lint types seeds bugs notice

setup:
	python3 -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install -e '.[dev]'

quick:
	$(BIN)/pytest -m quick

test:
	$(BIN)/pytest

all:
	.ci/run

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types:
	$(BIN)/mypy

seeds:
	$(BIN)/python -m tests.simulation --seeds 1000 --workers 2

bugs:
	$(BIN)/python -m tests.simulation.mutants

notice:
	$(BIN)/python -m tests.mutation --count 300 --seed 1
