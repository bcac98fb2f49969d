# The two commands of the README are `make demo` and `make test`; both set up all they need.
.PHONY: demo test check run soak golden docs clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

demo: $(VENV)/.runs
	$(BIN)/inservice demo

test: $(VENV)/.tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

check: $(VENV)/.tests
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy

run: $(VENV)/.runs
	$(BIN)/inservice up

# Hours of seeded deployments with faults; a failing seed is printed and can be pasted.
soak: $(VENV)/.tests
	$(BIN)/python -m tests.simulation --hours 2

# Rewrites the golden transcripts; read the diff.
golden: $(VENV)/.tests
	$(BIN)/python -m pytest -q tests/core/deployment --rewrite-golden

# Writes docs/reference from the code it describes. The tables in docs/concepts are golden.
docs: $(VENV)/.tests
	$(BIN)/python -m tests.docs_pages
	$(BIN)/python -m tests.cli.reference

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sklearn]'
	touch $@

$(VENV)/.tests: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.runs

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
