# foldbelt: `make demo` and `make test` set everything up by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SMK := Snakefile $(wildcard workflow/*.smk workflow/rules/*.smk)
PY := workflow/foldbelt workflow/scripts tests benchmarks docs

.PHONY: demo test quick install lint types unit workflow faults cluster cluster-long lock format docs clean

demo: install
	$(BIN)/snakemake --cores all
	@$(BIN)/python -m foldbelt.evaluate results/demo/scores.json

install: $(VENV)/.installed

# The stamp is newer than the lock only if every package was installed from it, hashes checked.
$(VENV)/.installed: envs/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "foldbelt needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r envs/requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

test: lint types unit workflow faults cluster

# What a change since the revision SINCE can break, in less than three minutes.
SINCE ?= HEAD
quick: lint types
	@tests=$$($(BIN)/python tests/touched.py $(SINCE)); if [ -n "$$tests" ]; \
	then OMP_NUM_THREADS=1 $(BIN)/pytest $$tests -n auto; else echo "no unit test is touched"; fi

lint: install
	$(BIN)/ruff format --check $(PY)
	$(BIN)/ruff check $(PY)
	$(BIN)/snakefmt --check $(SMK)
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/snakemake --lint

types: install
	$(BIN)/mypy
	$(BIN)/python tests/typed_scripts.py

unit: install
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/unit -n auto

# Two at a time, for the jobs of one run seldom fill two cores; by file, for the tests of a file share runs.
workflow: install
	$(BIN)/pytest tests/workflow -n 2 --dist loadfile --durations 10

faults: install
	$(BIN)/pytest tests/faults --durations 5

cluster: install
	$(BIN)/pytest tests/cluster -rs

# Longer: trainings stopped, or pre-empted and requeued, three times; on any scheduler, too.
cluster-long: install
	CLUSTER_LONG=1 $(BIN)/pytest tests/cluster -rs

format: install
	$(BIN)/ruff format $(PY)
	$(BIN)/ruff check --fix $(PY)
	$(BIN)/snakefmt $(SMK)

docs: install
	$(BIN)/python -m foldbelt.config.reference > config/README.md
	$(BIN)/python docs/make_rooms.py
	$(BIN)/python -m foldbelt.init.reference docs/init.md
	$(BIN)/python docs/make_recipe.py

# Needs uv. The lock carries no index addresses.
lock:
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
	    envs/requirements.in -o envs/requirements.lock

clean:
	rm -rf results/demo
