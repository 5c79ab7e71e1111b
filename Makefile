# make demo and make test do all their own set-up; they need Python 3.11 or newer and nothing else.

PYTHON  ?= $(shell command -v python3.11 || command -v python3)
VENV    ?= .venv
WORKERS ?= 2
CHROMIUM ?=
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo docs test test-slow test-web test-install wheel fuzz lint format picture clean

help:
	@echo "make demo       fuse a hand-held bracket with a moving subject into demo/"
	@echo "make test       run the quick tests"
	@echo "make test-slow  run the slow ones too: large images, short trainings, thousands of damaged files"
	@echo "make test-web   test the web page in Chromium (which must be there) and fuzz its API"
	@echo "make test-install  install the core alone in a clean environment and fuse with it"
	@echo "make wheel      build dist/, check it, and install it clean"
	@echo "make fuzz       try ten thousand damaged files of every kind; goes on where it ended"
	@echo "make lint       check style and types"
	@echo "make format     put the code into the project's format"
	@echo "make picture    make the README's picture again"
	@echo "make docs       make the pictures and figures of docs/ again, from the demo and docs/results.json"

# A stamp is newer than what it was installed from, so that nothing is installed twice.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and python3 was not found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e '.[networks,torch,heif,web,bench,train,onnx,render,dev]'
	@touch $@ $(VENV)/core.stamp

demo: $(VENV)/core.stamp
	$(BIN)/python -m ghostless.demo demo

picture: demo
	mkdir -p docs/images
	cp demo/readme.jpg docs/images/demo.jpg

docs: picture $(VENV)/dev.stamp
	$(BIN)/python docs/pictures.py
	$(BIN)/python docs/failures.py
	$(BIN)/python docs/renew.py

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n $(WORKERS)

test-slow: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

test-web: $(VENV)/dev.stamp
	$(PIP) install --quiet -c constraints.txt -e '.[test-web]'
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  { echo "Chromium is needed (Debian: apt-get install chromium); name it with CHROMIUM=..." >&2; test -n "$(CHROMIUM)"; }
	CHROMIUM="$(CHROMIUM)" $(BIN)/python -m pytest -n $(WORKERS) -m web

test-install: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m slow tests/test_packaging.py

# Both files are built from a copy of what git knows, so that nothing else can come along.
# The page on an index links to make wheel REPOSITORY=https://..., or to git's remote.
wheel: $(VENV)/dev.stamp
	$(PIP) install --quiet 'build>=1.2' 'twine>=6'
	REPOSITORY="$(REPOSITORY)" $(BIN)/python -m tests.packages dist

# One case again: make fuzz ROUNDS=1 FUZZ="--from 1234". What it finds is kept in .fuzz/.
ROUNDS ?= 10000
fuzz: $(VENV)/dev.stamp
	$(BIN)/python -m tests.fuzz --rounds $(ROUNDS) --workers $(WORKERS) $(FUZZ)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
