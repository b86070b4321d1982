# `make help` lists the commands. Everything is installed into .venv; nothing outside is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The one place that pins torch: a version whose set-up was timed. pyproject.toml says what works.
TORCH := torch==2.13.0

CORPUS := datasets/chorales
RUN := runs/quickstart

.DEFAULT_GOAL := help
.PHONY: help quickstart test lint format types test-slow test-scale wheel clean

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

test: $(VENV)/dev lint types ## Install, lint, check types, run the tests (5 min)
	$(BIN)/python -m pytest -n 2 -m "not slow and not gpu"

lint: $(VENV)/dev ## Check style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/dev ## Mend style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/dev ## Check types
	$(BIN)/mypy

test-slow: $(VENV)/dev ## The tests that take minutes: every chorale there and back
	$(BIN)/python -m pytest -m slow

.PHONY: roundtrip
test-scale: $(VENV)/dev ## The tests of engine=ray, on two local workers
	$(BIN)/pip install --quiet $(TORCH) --editable '.[dev,scale]'
	$(BIN)/python -m pytest -m dist tests/corpus/test_ray.py

roundtrip: $(VENV)/notagen ## Scores to text and back: what survives, by collection (15 min)
	$(BIN)/python -m notagen.roundtrip

.PHONY: bench
BENCH := # --quick, --slow, --threads 2; `--help` lists them
bench: $(VENV)/notagen ## Time everything beside the published formulation (5 min; 2 with BENCH=--quick)
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH)

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
	$(BIN)/pip install --quiet $(TORCH) --editable .
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/python
	@echo "installing notagen and what its tests need (about a minute)"
	$(BIN)/pip install --quiet $(TORCH) --editable '.[dev]'
	@touch $@ $(VENV)/notagen
