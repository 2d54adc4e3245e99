# Two commands: `make book` and `make test`. Each sets itself up in .venv first; nothing is taken for set up before it is.
# The pins in requirements.txt are what `make pins` makes of pyproject.toml.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON3 ?= python3
PYTHON := .venv/bin/python

# The stamp's name holds what the environment was made from, and where: a changed pin or a moved tree has another stamp.
# It is written last, so an interrupted set-up has none and starts over.
READY := .venv/ready-$(shell { cat requirements.txt pyproject.toml; pwd; } | cksum | tr -d ' ')

BOOK := _build/html/.complete
SOURCES := Makefile _config.yml _toc.yml $(shell find book flatlab labs/release results -type f \
             -not -path '*/.*' -not -path '*/__pycache__/*' 2>/dev/null)

NOTEBOOKS := --nbval-lax --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with tests/nbval.cfg

PAGES := $(addprefix tests/test_,book.py browser.py)

PYTEST = env -u MPLBACKEND FLATLAB_TIER=smoke FLATLAB_STORE="$(CURDIR)/_build/store" OMP_NUM_THREADS=1 TQDM_DISABLE=1 \
  $(PYTHON) -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder --durations=10

# On a CUDA device, else on a pretended one, which cannot be taken back: so in a process of its own. `make test` takes one
# experiment of those that `make gpu` takes.
REHEARSAL = OMP_NUM_THREADS=1 TQDM_DISABLE=1 $(PYTHON) -m pytest tests/gpu -rs

# Tests of closed forms and of the house's own rules: no training beyond a toy, no browser, no kernel.
QUICK := $(addprefix tests/test_,$(addsuffix .py,objective hessian spectrum nets noise paths project maximise paper claims))

.PHONY: book test pages package check lint lab labs class slides bench gpu pins setup clean help

book: $(READY)  ## build the book at the smoke tier, with real computation; prints where it is
	@$(PYTHON) book/build.py

test: $(READY) $(BOOK)  ## run everything: unit tests, chapters, labs, their pipeline, the built pages in a browser
	@$(REHEARSAL) --quiet --numprocesses=auto -k 'not experiment or walk'
	@$(PYTEST) $(NOTEBOOKS) tests $(wildcard book labs/source)

pages: $(READY) $(BOOK)  ## the part of `make test` that needs the built book: its driver, its chapters, its pages in a browser
	@$(PYTEST) $(NOTEBOOKS) $(PAGES) $(wildcard book)

package: $(READY)  ## the other part: the package, the labs and their pipeline
	@$(PYTEST) $(NOTEBOOKS) tests $(addprefix --ignore=,$(PAGES)) $(wildcard labs/source)

check: lint  ## lint, and the tests of closed forms: what to run while working, in under two minutes
	@OMP_NUM_THREADS=1 TQDM_DISABLE=1 $(PYTHON) -m pytest --quiet --numprocesses=auto $(QUICK)

lint: $(READY)  ## what reading the code alone can find: ruff's rules and layout, mypy's types
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --check --quiet .
	@$(PYTHON) -m mypy

lab: $(READY)  ## open JupyterLab on the chapters and the labs
	@$(PYTHON) -m jupyter lab

labs: $(READY)  ## make the students' editions, labs/release, from every master in labs/source
	@$(PYTHON) labs/pipeline.py release

class: $(READY)  ## mark a longer class of hazards, in a cage and without one: cheats, and every lab's other right answers
	@$(PYTEST) --verbose tests/hazards.py

slides: $(READY) $(BOOK)  ## slides of the chapters, one file each, from what the built book shows
	@$(PYTHON) book/slides.py

bench: $(READY)  ## measure against other libraries: prints a table of ratios and writes results/bench.json
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements.txt
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TQDM_DISABLE=1 $(PYTHON) -m benchmarks.run

# A machine with a GPU may have torch and no network: there `make gpu PYTHON=python3` takes what it has.
gpu: $(if $(filter .venv/%,$(PYTHON)),$(READY))  ## the package on a CUDA device, or on a pretended one; with a real one, writes results/gpu.json
	@$(REHEARSAL)
	@if $(PYTHON) -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then TQDM_DISABLE=1 $(PYTHON) -m benchmarks.gpu; fi

pins: pyproject.toml  ## make requirements.txt anew, in an environment thrown away; MOVE="--upgrade-package NAME" moves a pin
	@rm -rf _build/pins && $(PYTHON3) -m venv _build/pins
	@_build/pins/bin/python -m pip install --quiet --disable-pip-version-check uv
	@_build/pins/bin/uv pip compile pyproject.toml --extra book --extra course --extra dev --group render --python-version 3.11 \
	  --no-annotate --quiet --custom-compile-command 'make pins' --output-file requirements.txt $(MOVE) >/dev/null
	@rm -rf _build/pins

setup: $(READY)  ## only create .venv, with the pinned environment and the package

clean:  ## remove what was built, and the environment
	rm -rf .venv _build

help:  ## list these
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' Makefile | expand -t 8

$(READY):
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo 'flatlab needs Python 3.11 or newer: name one, as in `make book PYTHON3=python3.12`.' >&2; exit 1; }
	@echo 'Setting up .venv; this takes some minutes the first time.'
	@rm -rf .venv
	@$(PYTHON3) -m venv .venv
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(BOOK): $(SOURCES) | $(READY)
	@$(PYTHON) book/build.py
