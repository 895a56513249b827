# The two commands: `make demo` runs the main job from a fresh clone, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
# one thread a process: tests run in two processes, and several of them start more
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
TEST := $(VENV)/.test
INTEGRATIONS := $(VENV)-integrations
RAY := $(VENV)-ray

.PHONY: demo test test-slow bench docs evidence lint clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(TEST): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@ $(CORE)

$(INTEGRATIONS)/.made: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(INTEGRATIONS)
	$(INTEGRATIONS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(INTEGRATIONS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,integrations]"
	touch $@

$(RAY)/.made: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(RAY)
	$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[ray,slurm,postgres]" \
	    pytest pytest-xdist hypothesis
	touch $@

demo: $(CORE)
	$(BIN)/luthier demo --full --out demo

test: $(TEST)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"  # long files with few tests not last

test-slow: $(TEST) $(INTEGRATIONS)/.made $(RAY)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps mup==1.0.0
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow -rs
	$(INTEGRATIONS)/bin/python -m pytest tests/integrations -rs
	RAY_USAGE_STATS_ENABLED=0 $(RAY)/bin/python -m pytest -m slow -rs tests/runtime/test_executor_ray.py \
	    tests/runtime/test_executor_slurm.py tests/contracts/test_executor_contract.py tests/faults/test_matrix.py
	$(BIN)/python tools/build_docs.py
	$(BIN)/python tools/check_wheel.py

bench: $(TEST)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt optuna
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/profiles.py
	$(BIN)/python benchmarks/cqr_against_random.py
	$(BIN)/python benchmarks/demo.py
	for tool in optuna smac syne-tune hebo nevergrad dehb; do $(BIN)/luthier bench env create $$tool || exit 1; done
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/quality.py run --tools auto,random,optuna-tpe --tasks judged --seeds 0:10
	$(BIN)/python benchmarks/quality.py report
	$(BIN)/luthier bench env create xgb
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/optima.py

docs: $(TEST)
	$(BIN)/python tools/build_docs.py

evidence: $(TEST)
	$(BIN)/python tools/evidence

lint: $(TEST)
	$(BIN)/ruff check src tests benchmarks examples tools
	$(BIN)/ruff format --check src tests benchmarks examples tools
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(INTEGRATIONS) $(RAY) build dist demo .pytest_cache .mypy_cache .ruff_cache
