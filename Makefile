# `make help` lists the commands. Everything is installed into .venv; nothing outside is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The one place that pins torch: a version whose set-up was timed. pyproject.toml says what works.
TORCH := torch==2.13.0

CORPUS := datasets/chorales
RUN := runs/quickstart

.DEFAULT_GOAL := help
.PHONY: help quickstart chain dpo-demo test lint format types test-slow test-processors test-scale wheel clean

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

quickstart: $(RUN)/pieces/index.jsonl ## Install, train a small model on Bach chorales, write new ones (12 min)
	@echo
	@echo "scores (ABC, MusicXML, MIDI, SVG, PDF): $(RUN)/pieces"
	@echo "weights:                                $(RUN)/pretrain/model"
	@echo "curves:                                 $(BIN)/tensorboard --logdir $(RUN)"

$(CORPUS)/dataset_dict.json: | $(VENV)/notagen
	$(BIN)/python -m notagen.prepare corpus=chorales

$(RUN)/pretrain/model/model.safetensors: $(CORPUS)/dataset_dict.json
	$(BIN)/python -m notagen.train stage=pretrain model=nano experiment=quickstart resume=auto

$(RUN)/evaluation.json: $(RUN)/pretrain/model/model.safetensors
	$(BIN)/python -m notagen.evaluate weights=$(RUN)/pretrain/model out=$@

$(RUN)/pieces/index.jsonl: $(RUN)/pretrain/model/model.safetensors $(RUN)/evaluation.json
	$(BIN)/python -m notagen.generate weights=$(RUN)/pretrain/model sampling=careful n=20 out=$(RUN)/pieces

# The chain: a corpus, three stages, and what each has gained on what it was trained for.
CHAIN := runs/chain

chain: $(CHAIN)/comparison.json ## Pre-train, post-train and fine-tune a small model on music21's scores (25 min)

$(CHAIN)/comparison.json: $(CHAIN)/finetune/model/model.safetensors
	$(BIN)/python -m notagen.compare run=$(CHAIN)

$(CHAIN)/finetune/model/model.safetensors: $(CHAIN)/posttrain/model/model.safetensors
	$(BIN)/python -m notagen.train experiment=chain_finetune resume=auto

$(CHAIN)/posttrain/model/model.safetensors: $(CHAIN)/pretrain/model/model.safetensors
	$(BIN)/python -m notagen.train experiment=chain_posttrain resume=auto

$(CHAIN)/pretrain/model/model.safetensors: datasets/music21/dataset_dict.json
	$(BIN)/python -m notagen.train experiment=chain_pretrain resume=auto

datasets/music21/dataset_dict.json: | $(VENV)/notagen
	$(BIN)/python -m notagen.prepare corpus=music21

# CLaMP-DPO: three iterations from the chain's fine-tuned model, and the first with two more seeds.
# The last line of each table is what the last policy writes.
DPO := runs/dpo_demo
ENCODERS := runs/encoders

dpo-demo: $(DPO)/seed-0/dpo-4/report.md $(DPO)/seed-1/dpo-2/report.md $(DPO)/seed-2/dpo-2/report.md ## Align the chain's model with a music encoder, three times (30 min after chain)
	@for report in $^; do echo; echo "$$report"; sed '/^$$/q' $$report; done

$(DPO)/seed-0/dpo-4/report.md: $(CHAIN)/finetune/model/model.safetensors $(ENCODERS)/judge/model/model.safetensors
	$(BIN)/python -m notagen.train -m experiment=dpo_demo iteration=1,2,3
	$(BIN)/python -m notagen.train experiment=dpo_demo iteration=4 stage.until=score

$(DPO)/seed-%/dpo-2/report.md: $(DPO)/seed-0/dpo-4/report.md
	$(BIN)/python -m notagen.train experiment=dpo_demo seed=$* iteration=1
	$(BIN)/python -m notagen.train experiment=dpo_demo seed=$* iteration=2 stage.until=score

$(ENCODERS)/judge/model/model.safetensors: $(ENCODERS)/m3/model/model.safetensors
	$(BIN)/python -m notagen.train experiment=judge corpus=music21 run=encoders optimizer=muon schedule=linear resume=auto

$(ENCODERS)/m3/model/model.safetensors: datasets/music21/dataset_dict.json
	$(BIN)/python -m notagen.train stage=m3 corpus=music21 run=encoders optimizer=muon schedule=linear resume=auto

test: $(VENV)/dev lint types ## Install, lint, check types, run the tests (5 to 7 min)
	$(BIN)/python -m pytest -n 2 -m "not slow and not gpu"

lint: $(VENV)/dev ## Check style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/dev ## Mend style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/dev ## Check types
	$(BIN)/mypy

test-slow: $(VENV)/dev ## The tests that take minutes: every chorale there and back, 15 keys of every piece
	$(BIN)/python -m pytest -m slow

test-processors: $(VENV)/dev ## The tests of model and writing as on other processors: instructions, threads, numba (10 min)
	$(BIN)/python tests/processors.py

test-scale: $(VENV)/dev ## The tests of engine=ray, on two local workers
	$(BIN)/pip install --quiet $(TORCH) --editable '.[dev,scale]'
	$(BIN)/python -m pytest -m dist tests/corpus/test_ray.py

roundtrip: $(VENV)/notagen ## Scores to text and back: what survives, by collection (15 min)
	$(BIN)/python -m notagen.roundtrip

.PHONY: bench
BENCH := # --quick, --slow, --threads 2; `--help` lists them
bench: $(VENV)/notagen ## Time everything beside the published formulation (5 min; 2 with BENCH=--quick)
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH)

.PHONY: time-to-loss
TIMING := # --bits 1.0 --minutes 30 --seeds 3; `--help` lists them
time-to-loss: $(VENV)/notagen $(CORPUS)/dataset_dict.json ## Minutes until a nano knows chorales, by optimizer (40 min)
	PYTHONPATH=tests $(BIN)/python -m benchmarks.time_to_loss $(TIMING)

wheel: $(VENV)/dev ## Build the wheel into dist/
	$(BIN)/python -m build --wheel

clean: ## Remove the environment, prepared corpora and runs
	rm -rf $(VENV) datasets runs

$(VENV)/python:
	@echo "making $(VENV) and installing torch (about a minute)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet $(TORCH)
	@touch $@

$(VENV)/notagen: pyproject.toml | $(VENV)/python
	@echo "installing notagen and what it needs (about a minute)"
	$(BIN)/pip install --quiet $(TORCH) --editable '.[fast]'
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/python
	@echo "installing notagen and what its tests need (about a minute)"
	$(BIN)/pip install --quiet $(TORCH) --editable '.[dev]'
	@touch $@ $(VENV)/notagen
