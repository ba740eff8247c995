# make run    set up .venv from pinned versions, then execute the default blueprint end to end
# make test   set up .venv, then run the tests (make test-slow: the slow ones; make test-engines: DeepSpeed, Megatron, torchft)
# make lint   ruff, mypy, and the check of the project's words
# make bench NAME=corpus [DATA=folder] [JSON=file]   set up .venv-bench with the peers, then measure against them
# make gpu [JSON=file] [GPU_PYTHON=python3]   on a GPU: tests and figures within ten minutes; installs nothing there
# make guide  the book, over the default run (FAST=1: over a small one, in minutes); runs/.../guide/index.html
# make docs   draw again what docs/ takes from the code
# make seeds [SEEDS="1337 1338 1339"] [JSON=file]   the default run with several seeds: mean and range of its figures
# make test-bench   every benchmark at toy size, in a fresh environment of peers

PYTHON ?= python3
RUN ?= runs/python-docs
VENV := .venv
INSTALLED := $(VENV)/.installed
PEERS := .venv-bench
NAME ?= corpus
DATA ?= $(wildcard ../shared/data/corpus)
BLUEPRINT ?= src/groundup/blueprint/gallery/python-docs.yaml

GPU_PYTHON ?= $(VENV)/bin/python

GUIDE_RUN := $(if $(FAST),runs/guide-fast,$(RUN))
FAST_SETS := size=300K tokenizer.vocabulary=1024 pretrain.tokens=120_000 sft.subjects=40 sft.epochs=6 \
	reward.pairs_per_subject=2 ppo.iterations=3 ppo.rollouts=16 ppo.minibatch=8 evaluate.bootstrap=200

.PHONY: run test test-slow test-engines test-bench lint bench gpu seeds docs guide setup wheel constraints clean

run: setup
	@$(VENV)/bin/groundup run $(BLUEPRINT) --run $(RUN) $(ARGS)

# two processes share the cores, so threads that wait must not spin
test: setup
	@OMP_WAIT_POLICY=passive $(VENV)/bin/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder $(ARGS)

test-slow: setup
	@$(VENV)/bin/python -m pytest -m slow $(ARGS)

test-engines: setup $(VENV)/.engines
	@$(VENV)/bin/python -m pytest -m engines $(ARGS)

lint: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/python tools/check_language.py

guide: setup
	@$(VENV)/bin/groundup run $(BLUEPRINT) --run $(GUIDE_RUN) $(if $(FAST),$(addprefix --set ,$(FAST_SETS)))
	@$(VENV)/bin/groundup guide --run $(GUIDE_RUN)

docs: setup
	@$(VENV)/bin/python tools/house.py

bench: $(PEERS)/.installed
	@$(PEERS)/bin/python -m benchmarks $(NAME) $(if $(DATA),--data $(DATA)) $(if $(JSON),--json $(JSON)) \
		$(if $(PEER),--peer $(PEER)) $(if $(BUDGET),--budget $(BUDGET)) $(if $(SIDES),--sides $(SIDES))

gpu:
	@PYTHONPATH=src:. $(GPU_PYTHON) -m benchmarks.gpu $(if $(JSON),--json $(JSON)) $(ARGS)

seeds: setup
	@$(VENV)/bin/python -m benchmarks.seeds $(if $(SEEDS),--seeds $(SEEDS)) $(if $(JSON),--json $(JSON)) $(ARGS)

test-bench:
	@rm -rf .venv-bench-fresh
	@$(MAKE) --no-print-directory PEERS=.venv-bench-fresh .venv-bench-fresh/.installed
	@.venv-bench-fresh/bin/python -m benchmarks all --check

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "groundup needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV) (once, a few minutes) ..."
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@PIP_CONSTRAINT=constraints.txt $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[serve,dev]'
	@touch $@

$(VENV)/.engines: $(INSTALLED)
	@echo "Installing DeepSpeed, Megatron-core and torchft (once) ..."
	@PIP_CONSTRAINT=constraints.txt $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[deepspeed,megatron,torchft]'
	@touch $@

$(PEERS)/.installed: pyproject.toml constraints.txt benchmarks/peers.txt benchmarks/peers-alone.txt
	@echo "Setting up $(PEERS) (once, some minutes) ..."
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@PIP_CONSTRAINT=constraints.txt $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement benchmarks/peers.txt --editable '.[serve,dev]'
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--requirement benchmarks/peers-alone.txt
	@touch $@

wheel: setup
	@PIP_CONSTRAINT=constraints.txt $(VENV)/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

constraints:
	@$(PYTHON) -m venv --clear .venv-new
	@.venv-new/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[serve,dev,deepspeed,megatron,torchft]'
	@{ head -1 constraints.txt; echo 'editables==0.5'; echo 'hatchling==1.27.0'; \
		.venv-new/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > constraints.new
	@mv constraints.new constraints.txt
	@rm -rf .venv-new

clean:
	@rm -rf dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
