# Needs make and Python 3.11 or newer; everything else goes into .venv.

PYTHON ?= python3
VENV ?= .venv
FLINK ?= .venv-flink
AIRFLOW ?= .venv-airflow
WORKERS ?= 2
# Many slow tests wait for servers and processes.
SLOW_WORKERS ?= 3
# make lock keeps torch here unless told otherwise: other builds can be gigabytes larger.
TORCH ?= 2.13.0

BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := -m pip --disable-pip-version-check --no-input

# Set-up compiles nothing: unless Python may keep what it compiles, each process does it all again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo notebooks experiments experiments-quick test coverage test-slow test-flink test-airflow lint types imports check docs manifest lock clean python-version
.DELETE_ON_ERROR:

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) \
		| while IFS='|' read -r name text; do printf '%-18s %s\n' "$$name" "$$text"; done

setup: $(READY)  ## make the virtual environment from the pinned versions

python-version:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "riskml needs Python 3.11 or newer, '$(PYTHON)' is not (or is missing)." >&2; \
		echo "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
		echo "'$(PYTHON)' cannot make virtual environments." >&2; \
		echo "Install its venv package (Debian, Ubuntu: python3-venv)." >&2; exit 1; }

# The stamp comes last, so an interrupted set-up is taken up again where it stopped. Compiling all
# that is installed would take twice as long; Python compiles what is imported.
$(READY): requirements.lock pyproject.toml | python-version
	@rm -f $@
	@echo "Setting up $(VENV): downloads once, some minutes on a fresh machine."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) install --no-compile -r requirements.lock
	$(BIN)/python $(PIP) install --no-deps -e .
	@touch $@

demo: $(READY)  ## train a VAE on a simulated organisation, then compare it with the baselines
	$(BIN)/python train.py model=vae
	$(BIN)/python evaluate.py

notebooks: $(READY)  ## make the notebooks of their .py, and run them all into outputs/notebooks
	$(BIN)/jupytext --quiet --update --to ipynb notebooks/0*.py
	mkdir -p outputs/notebooks
	$(BIN)/jupyter execute --output=../outputs/notebooks/{notebook_name} notebooks/0*.ipynb

experiments: $(READY)  ## run the studies of experiments/: makes what is missing, writes their tables
	$(BIN)/python -m experiments

experiments-quick: $(READY)  ## make a few results of each study again, and hold them to its table
	$(BIN)/python -m experiments --quick

# Each worker of the tests has a core: more threads would wait for each other, LSTMs 25 times as long.
test coverage test-slow test-airflow: export OMP_NUM_THREADS = 1

test: $(READY)  ## run the tests, except the slow ones
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist worksteal

coverage: $(READY)  ## the same, and which lines they reach
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist worksteal --cov --cov-report=term-missing

test-slow: $(READY)  ## run the slow tests
	@$(BIN)/python -m pytest -m slow -n $(SLOW_WORKERS) --dist worksteal || { status=$$?; \
		if [ $$status -eq 5 ]; then echo "There are no slow tests."; else exit $$status; fi; }

test-flink: $(READY) $(FLINK)/.ready  ## run the tests of the Flink job; needs Java 17 and 2 GB of disk
	RISKML_FLINK=$(abspath $(FLINK)) $(BIN)/python -m pytest -m slow tests/integration/test_flink_job.py

# Kafka's connector comes in jars of a package that must not be installed beside apache-flink.
$(FLINK)/.ready: deploy/flink/requirements.txt | python-version
	@rm -f $@
	$(PYTHON) -m venv $(FLINK)
	$(FLINK)/bin/python $(PIP) install --no-compile -r deploy/flink/requirements.txt
	$(FLINK)/bin/python $(PIP) install --no-compile --no-deps --upgrade --target $(FLINK)/jars \
		shigawire-apache-flink-libraries==2.0.0.post1
	$(FLINK)/bin/python $(PIP) install --no-deps -e .
	@touch $@

test-airflow: $(READY) $(AIRFLOW)/.ready  ## run the tests of the DAGs in a real Airflow
	RISKML_AIRFLOW=$(abspath $(AIRFLOW)) $(BIN)/python -m pytest -m slow tests/integration/test_airflow_dags.py

$(AIRFLOW)/.ready: deploy/airflow/requirements.txt | python-version
	@rm -f $@
	$(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python $(PIP) install --quiet --no-compile -r deploy/airflow/requirements.txt
	@touch $@

lint: $(READY)  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## check types
	$(BIN)/mypy

imports: $(READY)  ## check that imports follow the house plan
	$(BIN)/lint-imports

check: lint types imports test  ## all of the above, except the slow tests

docs: $(READY)  ## build the documentation site into build/docs; a broken link is an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs/site . build/docs
	@echo "build/docs/index.html"

manifest: $(READY)  ## render the Helm chart into deploy/k8s/k8s_anomaly_manifest.yaml
	$(BIN)/python deploy/k8s/render.py

lock: | python-version  ## resolve the dependencies of pyproject.toml anew into requirements.lock
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python $(PIP) install torch==$(TORCH)
	$(VENV)-lock/bin/python $(PIP) install -e ".[alerts,dev,docs,drift,graph,monitoring,notebook,onnx,ray,report,serve,stream,train,triage]"
	sed '/^[^#]/,$$d' requirements.lock > requirements.lock.new
	$(VENV)-lock/bin/python $(PIP) list --format=freeze --exclude-editable --exclude pip \
		| sed 's/^\(torch==[^+]*\)+.*/\1/' >> requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf $(VENV)-lock

clean:  ## remove the virtual environment and caches; results stay
	rm -rf $(VENV) $(VENV)-lock $(FLINK) $(AIRFLOW) build dist *.egg-info .coverage .coverage.* htmlcov
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
