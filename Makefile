# `make help` lists the commands. Everything is installed into .venv; nothing outside is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# uv installs the versions that requirements.lock names; pyproject.toml says which others work.
# The build of torch: cpu, auto, or another value of `uv pip install --torch-backend`.
TORCH_BACKEND :=
# The version of torch for `make lock` and `make test-newest`. A newer one must be named,
# TORCH=2.14.0: where it has no CPU build, they would fetch gigabytes of CUDA.
TORCH := $(shell sed -n 's/^torch==//p' requirements.lock)

INSTALL := uv pip install --quiet $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND))
LOCKED := --constraints requirements.lock --build-constraints requirements.lock

# uv does not read pip's settings, so those in the environment are passed on to it.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
export UV_INDEX_STRATEGY ?= unsafe-best-match# as pip does: the best version of all indexes
endif
ifdef PIP_FIND_LINKS
comma := ,
export UV_FIND_LINKS ?= $(subst $() ,$(comma),$(strip $(PIP_FIND_LINKS)))
endif
ifdef PIP_NO_INDEX
export UV_NO_INDEX ?= $(PIP_NO_INDEX)
endif
ifdef PIP_TRUSTED_HOST
export UV_INSECURE_HOST ?= $(PIP_TRUSTED_HOST)
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

CORPUS := datasets/chorales
RUN := runs/quickstart

.DEFAULT_GOAL := help
.PHONY: help quickstart chain dpo-demo test lint format types test-slow chaos test-processors test-scale \
	test-newest test-lowest lock wheel clean

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
	@echo
	@echo "One command: source $(BIN)/activate, then python -m notagen.train --help"

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

# The chain: a corpus, three stages, and the gain of each on its own validation pieces.
CHAIN := runs/chain

chain: $(CHAIN)/comparison.json ## Pre-train, post-train and fine-tune a small model on music21's scores (25 min)

$(CHAIN)/comparison.json: $(CHAIN)/finetune/model/model.safetensors
	$(BIN)/python -m notagen.evaluate weights=$(CHAIN)

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

# Samples of the last policy, scored as the iterations of conf/experiment/dpo_demo.yaml score theirs.
SCORE := $(BIN)/python -m notagen.evaluate corpus=music21 reward=m3 reward.name=$(ENCODERS)/m3/model \
	judge=$(ENCODERS)/judge/model samples.per_prompt=160 preferences.max_similarity=0.996 \
	preferences.max_misaligned=0.4 \
	'where="composer == \"Bach, Johann Sebastian\" and instrumentation == \"Choral\""'

$(DPO)/seed-0/dpo-4/report.md: $(CHAIN)/finetune/model/model.safetensors $(ENCODERS)/judge/model/model.safetensors
	$(BIN)/python -m notagen.train -m experiment=dpo_demo iteration=1,2,3
	$(SCORE) weights=$(DPO)/seed-0/dpo-3/model iteration=4 out=$(@D)

$(DPO)/seed-%/dpo-2/report.md: $(DPO)/seed-0/dpo-4/report.md
	$(BIN)/python -m notagen.train experiment=dpo_demo seed=$* iteration=1
	$(SCORE) seed=$* weights=$(DPO)/seed-$*/dpo-1/model iteration=2 out=$(@D)

$(ENCODERS)/judge/model/model.safetensors: $(ENCODERS)/m3/model/model.safetensors
	$(BIN)/python -m notagen.train experiment=judge corpus=music21 run=encoders optimizer=muon schedule=linear resume=auto

$(ENCODERS)/m3/model/model.safetensors: datasets/music21/dataset_dict.json
	$(BIN)/python -m notagen.train stage=m3 corpus=music21 run=encoders optimizer=muon schedule=linear resume=auto

test: $(VENV)/dev lint types ## Install, lint, check types, run the tests (5 to 7 min)
	$(BIN)/python -m pytest -n 2 -m "not slow and not gpu and not chaos"

lint: $(VENV)/dev ## Check style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/dev ## Fix style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/dev ## Check types
	$(BIN)/mypy

test-slow: $(VENV)/dev ## Run the tests that take minutes: every chorale to text and back, 15 keys of every piece
	$(BIN)/python -m pytest -m slow

chaos: $(VENV)/dev ## Interrupt every command with faults and signals, and see it end as undisturbed (30 min)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m chaos tests/chaos

test-processors: $(VENV)/dev ## Run the tests of model and generation as on other processors: instructions, threads, numba (10 min)
	$(BIN)/python tests/processors.py

test-scale: $(VENV)/dev ## Run the tests of engine=ray, on two local workers
	$(BIN)/$(INSTALL) --python $(BIN)/python $(LOCKED) --editable '.[dev,scale]'
	$(BIN)/python -m pytest -m dist tests/corpus/test_ray.py

test-newest: $(BIN)/uv ## Run the tests on the newest versions that pyproject.toml allows, in .venv-newest
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)-newest
	$(BIN)/$(INSTALL) --python $(VENV)-newest/bin/python torch==$(TORCH) --editable '.[dev]'
	$(VENV)-newest/bin/python -m pytest -n 2 -m "not slow and not gpu and not chaos"

# torch comes first, alone: of 2.13.0 and 2.13.0+cpu the lowest is the one that brings CUDA.
LOWEST_TORCH = $(shell sed -n 's/.*"torch>=\([0-9.]*\).*/\1/p' pyproject.toml)
test-lowest: $(BIN)/uv ## Run the tests on the lowest versions that pyproject.toml allows, in .venv-lowest
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)-lowest
	$(BIN)/$(INSTALL) --python $(VENV)-lowest/bin/python --no-deps torch==$(LOWEST_TORCH)
	$(BIN)/$(INSTALL) --python $(VENV)-lowest/bin/python --resolution lowest-direct --editable '.[dev]'
	$(VENV)-lowest/bin/python -m pytest -n 2 -m "not slow and not gpu and not chaos"

# From one index alone: a CPU build of torch found elsewhere would be locked as such.
# What only a CUDA build of torch needs is left out, so that a CPU build does without.
lock: $(BIN)/uv ## Refresh requirements.lock; torch stays unless TORCH=2.14.0 names another
	echo torch==$(TORCH) > $(VENV)/torch.txt
	env -u UV_FIND_LINKS -u UV_INDEX $(BIN)/uv pip compile --quiet --upgrade --universal \
		--python-version 3.11 --extra dev --extra scale --constraints $(VENV)/torch.txt \
		--no-annotate --custom-compile-command 'make lock' \
		--output-file $(VENV)/requirements.lock pyproject.toml
	grep -vE '^(nvidia|cuda|triton)' $(VENV)/requirements.lock > requirements.lock

.PHONY: roundtrip
ROUNDTRIP := # --collections bach haydn --limit 10 --folder scores; `--help` lists them
roundtrip: $(VENV)/notagen ## Measure what survives from scores to text and back, by collection (15 min)
	PYTHONPATH=tests $(BIN)/python -m benchmarks.roundtrip $(ROUNDTRIP)

.PHONY: bench
BENCH := # --quick, --slow, --threads 2; `--help` lists them
bench: $(VENV)/notagen ## Measure time and memory against the published formulation (5 min; 2 with BENCH=--quick)
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH)

.PHONY: time-to-loss
TIMING := # --bits 1.0 --minutes 30 --seeds 3; `--help` lists them
time-to-loss: $(VENV)/notagen $(CORPUS)/dataset_dict.json ## Measure minutes until a nano has learnt the chorales, by optimizer (40 min)
	PYTHONPATH=tests $(BIN)/python -m benchmarks.time_to_loss $(TIMING)

wheel: $(VENV)/dev ## Build the wheel into dist/
	$(BIN)/python -m build --wheel

clean: ## Remove the environments, prepared corpora and runs
	rm -rf $(VENV) $(VENV)-newest $(VENV)-lowest datasets runs

$(BIN)/uv:
	@echo "making $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv

$(VENV)/notagen: pyproject.toml requirements.lock | $(BIN)/uv
	@echo "installing notagen and what it needs (half a minute)"
	$(BIN)/$(INSTALL) --python $(BIN)/python $(LOCKED) --editable '.[fast]'
	@touch $@

$(VENV)/dev: pyproject.toml requirements.lock | $(BIN)/uv
	@echo "installing notagen and what its tests need (half a minute)"
	$(BIN)/$(INSTALL) --python $(BIN)/python $(LOCKED) --editable '.[dev]'
	@touch $@ $(VENV)/notagen
