# `make` alone lists what there is. Needs GNU make 3.81 or later; never root, never a GPU.

VENV ?= .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.panet-lite-installed
BUSY := $(VENV)/.panet-lite-installing
CHAPTERS := $(sort $(wildcard book/*.ipynb))
INDEX := $(CURDIR)/_build/html/index.html
# What a chapter's outputs depend on besides its own cells.
INPUTS := panet_lite data requirements.txt
# What every page depends on besides its own text.
LOOK := _config.yml book/offline.py book/_assets book/_toc.yml

export PYTHONUTF8 := 1
export JUPYTER_PLATFORM_DIRS := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test notebooks study bench lab clean distclean FORCE

help: ## list the targets
	@awk 'BEGIN {FS = ": .*## "} /^[a-z]+: .*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

book: $(STAMP) ## install what is needed, run the chapters, build the book
	@sum() { find "$$@" -type f ! -path '*/__pycache__/*' ! -name '.*' | LC_ALL=C sort | xargs cksum | cksum; }; \
	now=$$(sum $(INPUTS)); \
	if [ "$$now" != "$$(cat _build/.inputs 2>/dev/null)" ]; then \
	  if [ -d _build ]; then echo "==> the package or the data changed: forgetting the chapters' old outputs"; fi; \
	  rm -rf _build && mkdir _build && echo "$$now" > _build/.inputs; \
	fi; \
	now=$$(sum $(LOOK)); \
	if [ "$$now" != "$$(cat _build/.look 2>/dev/null)" ]; then \
	  rm -rf _build/html _build/.doctrees && echo "$$now" > _build/.look; \
	fi
	@echo "==> running the chapters that changed and building the book (a first build takes minutes)"
	@[ -e _build/.complete ] || rm -rf _build/html _build/.doctrees # Sphinx warns once, a failed build must fail again
	@rm -f _build/.complete
	@$(PY) -c 'from jupyter_book.cli.main import main; main()' build book -W -n --keep-going
	@touch _build/.complete
	@echo "==> done; open this in a browser:"
	@echo "$(INDEX)"

test: $(STAMP) ## install what is needed, test the package and every chapter's printed outputs
	@echo "==> testing the package, then running every chapter and comparing what it prints"
	@$(PY) -m pytest --nbval --nbval-current-env --nbval-cell-timeout=120 \
	  --nbval-sanitize-with=tests/nbval_sanitize.cfg tests $(CHAPTERS)

notebooks: $(STAMP) ## run the chapters afresh and write them back, outputs and all
	@echo "==> writing the set-up cell into every chapter"
	@$(PY) book/notebooks.py setup
	@echo "==> running the chapters"
	@$(PY) book/notebooks.py execute
	@echo "==> tidying the chapters"
	@$(PY) book/notebooks.py normalise
	@$(PY) book/notebooks.py check

study: $(STAMP) ## train and score every model of the book's tables; goes on where it stopped (hours)
	@echo "==> training four folds with and without alignment, then scoring them; Ctrl-C and again goes on"
	@$(PY) data/results/study.py

bench: $(STAMP) ## time evaluation, head and step against the literal way, and weigh the built pages (minutes)
	@echo "==> scoring 10,000 episodes, then some of them literally, and comparing every pixel"
	@$(PY) benchmarks/evaluation.py
	@echo "==> prototypes, the whole head and VGG-16's training step against the paper taken literally"
	@$(PY) benchmarks/versus_literal.py
	@echo "==> opening every page of the built book: weight, time until ready, repaints of the widgets"
	@$(PY) benchmarks/widgets.py

lab: $(STAMP) ## open the chapters in JupyterLab
	@echo "==> starting JupyterLab; stop it with Ctrl-C"
	@$(PY) -m jupyterlab book/index.ipynb

clean: ## remove what was built, keep the environment
	rm -rf _build book/_build build panet_lite.egg-info .pytest_cache .ruff_cache .hypothesis
	find panet_lite tests book data -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

distclean: clean ## remove the environment as well
	rm -rf $(VENV)

# ---- the environment ---------------------------------------------------------------------------
# $(STAMP) holds the path of this folder, so a moved checkout is installed anew. $(BUSY) exists only
# while pip runs: found at the start, it tells of an installation that failed or was cut off, and since
# nobody knows what that left behind, the environment is made again (from pip's cache).

ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): FORCE
endif

$(STAMP): requirements.txt pyproject.toml
	@rm -f $@
	@if [ -e $(BUSY) ]; then echo "==> the last installation did not finish: starting afresh"; rm -rf $(VENV)/*; fi
	@if $(PY) -m pip --version >/dev/null 2>&1; then :; else \
	  found=; \
	  for python in $(PYTHON) python3 python3.11 python3.12 python3.13; do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; \
	    then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "make: no Python 3.11, 3.12 or 3.13 with its venv module on the PATH; install one (on Debian or Ubuntu: python3 and python3-venv) or say make PYTHON=/path/to/python3." >&2; \
	    exit 1; \
	  fi; \
	  echo "==> making an environment in $(VENV) with $$($$found --version)"; \
	  rm -rf $(VENV) && $$found -m venv $(VENV); \
	fi
	@echo "==> installing the tested versions (minutes the first time: PyTorch is large)"
	@touch $(BUSY)
	@$(PY) -m pip install --disable-pip-version-check -r requirements.txt
	@echo "==> installing the project itself"
	@$(PY) -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(PY) -c 'import jupyter_book, matplotlib.font_manager, torch, torchvision, panet_lite'
	@mkdir -p $(VENV)/etc/ipython # kernels talk to this machine only; no warning for each that they do
	@echo "c.IPKernelApp.log_level = 'ERROR'" > $(VENV)/etc/ipython/ipython_kernel_config.py
	@rm -f $(BUSY)
	@echo "$(CURDIR)" > $@
	@echo "==> installed; from here on nothing needs a network"
