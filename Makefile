# Everything starts here; `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Small matrices on few cores: two threads are slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test lint evaluate bench bench-gate bench-drift bench-explore screenshots chaos clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/local ## See it work; ARGS="--once --json demo.json" ends by itself with figures
	$(BIN)/streamrec demo $(ARGS)

# Three at a time, the long ones first, then what needs the machine for itself; with ARGS, just what they name.
test: lint ## Linters, types, import contract and all tests, real servers included
ifeq ($(ARGS),)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not alone"
	$(BIN)/python -m pytest -m alone tests/e2e tests/benchmarks
else
	$(BIN)/python -m pytest $(ARGS)
endif

lint: $(VENV)/dev ## Linters, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev ## Speed as ratios in one run; writes bench.json
	$(BIN)/python -m tests.benchmarks --out bench.json $(ARGS)

bench-gate: $(VENV)/dev ## How often the gate errs, on 200 good and 200 null updates
	$(BIN)/python -m tests.benchmarks.gate $(ARGS)

bench-drift: $(VENV)/dev ## How soon each detector sees a shift, and its false alarms; ARGS=--write: into docs/drift.md
	$(BIN)/python -m tests.benchmarks.drift $(ARGS)

bench-explore: $(VENV)/dev ## Ways to give new articles their early impressions, on the synthetic site
	$(BIN)/python -m tests.benchmarks.exploring $(ARGS)

evaluate: $(VENV)/dev ## What learning brings, on the project's own synthetic site, with the oracle beside
	$(BIN)/streamrec simulate build/site --seasons 2 --readers 1200 --visits 60000
	$(BIN)/streamrec evaluate build/site --seeds 1 --windows 6 --sample 1500 --jobs 2 \
		--arms random,newest,popular,item-knn,content,frozen,naive,replay,oracle \
		--outside oracle=streamrec.demo.oracle:Oracle --truth streamrec.demo.oracle:Oracle \
		--json build/evaluate.json --html build/evaluate.html $(ARGS)

screenshots: $(VENV)/dev ## Pictures of the dashboard into docs/img, from its browser test
	mkdir -p docs/img
	STREAMREC_TEST_PICTURES=$(CURDIR)/docs/img $(BIN)/python -m pytest tests/e2e/test_dashboard.py $(ARGS)

chaos: $(VENV)/dev ## 50 kill -9 of collectors under load
	CHAOS_KILLS=50 $(BIN)/python -m pytest --timeout 1800 tests/e2e/test_collector_chaos.py $(ARGS)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "streamrec needs Python >= 3.11: set PYTHON=")'
	$(PYTHON) -c 'import shutil, sys; sys.exit(shutil.disk_usage(".").free < 8e9 and "the packages take 7 GB of disk, torch the most of it, and up to 7 more while they are fetched: free some")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/local: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --progress-bar off -e '.[local,train]'
	@touch $@

$(VENV)/dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --progress-bar off -e '.[dev]'
	@touch $@ $(VENV)/local

clean: ## Remove what was built; data in STREAMREC_HOME stays
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .hypothesis bench.json demo.json
