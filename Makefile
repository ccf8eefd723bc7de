# `make` alone lists what there is. Needs GNU make 3.81 or later; never root, never a GPU.

# Where the environment lies: .venv, or what the command line says (make VENV=/elsewhere book). A variable
# of that name in the shell's own environment is somebody else's business.
override VENV := $(if $(findstring command,$(origin VENV)),$(value VENV),.venv)
override PYTHON := $(value PYTHON)
export VENV PYTHON
PY = "$$VENV/bin/python"
# What a chapter's outputs depend on besides its own cells.
INPUTS := panet_lite data requirements.txt
# What every page depends on besides its own text.
LOOK := _config.yml book/offline.py book/_assets book/_toc.yml LICENSE LICENSES.md
# A digest of all files in these folders.
SUM = sum() { find "$$@" -type f ! -path '*/__pycache__/*' ! -name '.*' | LC_ALL=C sort | xargs cksum | cksum; };
# Tests run in as many processes as there are cores, four at most; each computes on one thread. Files are taken in the
# order of their names: by their numbers of tests, the few slow ones would come last, with one process idle.
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n logical --maxprocesses=4 --dist loadfile --no-loadscope-reorder
# What continuous integration adds, COVERAGE=--cov: the share of the package's lines and branches that tests take, 95 %.
COVERAGE :=
# The tests of the method and of the house.
METHOD := tests/test_parity.py tests/test_properties.py tests/test_episodes.py tests/backbones/test_vgg.py \
  tests/training/test_training.py tests/training/test_step.py tests/evaluation/test_evaluation.py tests/project/test_house.py

export PYTHONUTF8 := 1
export JUPYTER_PLATFORM_DIRS := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test check mutants places matrix notebooks editions pdf course dist links study bench fuzz gpu lab clean distclean environment chapters

help: ## list the targets
	@awk 'BEGIN {FS = ": .*## "} /^[a-z]+: .*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

book: chapters ## install what is needed, run the chapters, build the book
	@$(SUM) \
	now=$$(sum $(LOOK)); \
	if [ "$$now" != "$$(cat _build/.look 2>/dev/null)" ]; then \
	  rm -rf _build/html _build/.doctrees && echo "$$now" > _build/.look; \
	fi
	@echo "==> building the book"
	@$(PY) book/ledger.py # from paper to code: what it names must be there
	@[ -e _build/.complete ] || rm -rf _build/html _build/.doctrees # Sphinx warns once, a failed build must fail again
	@rm -f _build/.complete
	@$(PY) -c 'from jupyter_book.cli.main import main; main()' build book -W -n --keep-going
	@touch _build/.complete
	@echo "==> done; open this in a browser:"
	@echo "$$PWD/_build/html/index.html"

chapters: environment
	@mkdir -p _build; \
	$(SUM) \
	now=$$(sum $(INPUTS)); \
	if [ "$$now" != "$$(cat _build/.inputs 2>/dev/null)" ]; then \
	  if [ -d _build/.jupyter_cache ]; then echo "==> the package or the data changed: forgetting the chapters' old outputs"; fi; \
	  rm -rf _build/.jupyter_cache _build/html _build/.doctrees && echo "$$now" > _build/.inputs; \
	fi
	@echo "==> running the chapters that changed, several at a time"
	@OMP_NUM_THREADS=1 PANET_FIGURES=retina $(PY) book/notebooks.py cache # twice the density, for phones, paper, projectors

test: chapters ## install what is needed, run the chapters, test the package and what the chapters print
	@echo "==> testing the package, and comparing what every chapter printed with what is committed"
	@$(PYTEST) $(COVERAGE) --ignore=tests/places tests

check: environment ## while you work: style, types, and the quick tests of the method
	@$(PY) -m ruff check && $(PY) -m ruff format --check && $(PY) -m mypy
	@$(PYTEST) -q -m "not slow" $(METHOD)

mutants: environment ## does a test notice each small fault in the method? (an hour at most, then on; a network once)
	@OMP_NUM_THREADS=1 $(PY) tests/mutants.py

places: book ## the places where the book is read: pages, phone, paper, JupyterLab, Colab, the wheel (minutes)
	@echo "==> opening the book wherever it is read"
	@$(PYTEST) tests/places

matrix: environment ## every chapter with the oldest, the newest and Colab's versions (an hour, 20 GB, a network)
	@failed=0; for place in oldest newest colab; do \
	  echo "==> running every chapter with $$place versions"; \
	  OMP_NUM_THREADS=1 $(PY) tests/places/environments.py $$place -n logical --maxprocesses=4 --dist loadfile || failed=1; \
	done; exit $$failed

notebooks: environment ## run the chapters afresh and write them back, outputs, editions and all
	@echo "==> writing the set-up cell into every chapter"
	@$(PY) book/notebooks.py setup
	@echo "==> running the chapters"
	@$(PY) book/notebooks.py execute
	@echo "==> tidying the chapters"
	@$(PY) book/notebooks.py normalise
	@$(PY) book/notebooks.py check
	@$(PY) book/catalogue.py && $(PY) book/quiz.py
	@echo "==> writing the plain edition, book/plain"
	@$(PY) book/editions.py plain

editions: environment ## write the plain edition (book/plain) and the teacher's (_build/editions/teacher)
	@$(PY) book/editions.py plain
	@$(PY) book/editions.py teacher

pdf: book ## the whole book in one PDF, and a hand-out of each chapter (_build/pdf)
	@$(PY) book/pdf.py

course: environment ## all a teacher hands out or shows (_build/course; OUT= EXERCISES= REPOSITORY=)
	@$(PY) book/course.py "$${OUT:-_build/course}" $${EXERCISES:+--exercises "$$EXERCISES"} \
	  $${REPOSITORY:+--repository "$$REPOSITORY"}

dist: pdf ## what a release holds: wheel, source, book.zip and the PDF (dist)
	@rm -rf dist build && mkdir dist
	@$(PY) -m build --no-isolation --outdir dist . >/dev/null
	@$(PY) -c 'import shutil; shutil.make_archive("dist/book", "zip", "_build", "html")'
	@cp _build/pdf/panet-hands-on.pdf dist
	@ls -l dist

links: environment ## follow every link of the book to other machines (needs a network)
	@$(PY) -c 'from jupyter_book.cli.main import main; main()' build book --builder linkcheck || \
	  { echo "==> the broken links are listed above; without a network that is all of them"; exit 1; }

study: environment ## train and score every model of the book's tables; goes on where it stopped (hours)
	@echo "==> training four folds with and without alignment, then scoring them; Ctrl-C and again goes on"
	@$(PY) data/results/study.py

bench: book ## time evaluation, head and step against the literal way, and weigh the built pages (minutes)
	@echo "==> scoring 10,000 episodes, then some of them literally, and comparing every pixel"
	@$(PY) benchmarks/evaluation.py
	@echo "==> prototypes, the whole head and VGG-16's training step against the paper taken literally"
	@$(PY) benchmarks/versus_literal.py
	@echo "==> segmenting photographs of 12 megapixels, from the command's start to the last file"
	@$(PY) benchmarks/segment.py
	@echo "==> opening every page of the built book: weight, time until ready, repaints of the widgets"
	@$(PY) benchmarks/widgets.py

fuzz: environment ## hostile input, made up by the hundred, for an hour (or MINUTES=5 make fuzz); _build/fuzz
	@echo "==> trying hostile input until something is found, for $${MINUTES:-60} minutes; Ctrl-C ends it at any time"
	@OMP_NUM_THREADS=1 $(PY) tests/fuzzing.py

gpu: environment ## all that a GPU can tell: its tests, step, training, evaluation (6 minutes at most; runs/gpu)
	@$(PY) benchmarks/gpu.py

lab: environment ## open the chapters in JupyterLab, solutions folded (lab; what you change there stays)
	@$(PY) book/editions.py lab
	@echo "==> starting JupyterLab; stop it with Ctrl-C"
	@$(PY) -m jupyterlab lab/index.ipynb

clean: ## remove what was built, keep the environment
	rm -rf _build book/_build build dist panet_lite.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find panet_lite tests book data -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

distclean: clean ## remove the environment as well, if make made it
	@if [ -e "$$VENV/.panet-lite" ] || [ -e "$$VENV/.panet-lite-installed" ]; then rm -rf "$$VENV"; \
	elif [ -e "$$VENV" ]; then echo "make: $$VENV was not made by make: left alone."; fi

# ---- the environment ---------------------------------------------------------------------------
# Three files in it tell its state. .panet-lite: make made this folder, and may delete it. .panet-lite-installing
# holds the number of the process that installs: left behind, it tells of an installation that was cut off, and
# since nobody knows what that left, the environment is made again (from pip's cache). .panet-lite-installed
# says for which folder and which versions it is complete: as long as they are the same, nothing is done.

environment:
	@mine="$$VENV/.panet-lite" busy="$$VENV/.panet-lite-installing" done="$$VENV/.panet-lite-installed"; \
	works() { "$$VENV/bin/python" -m pip --version >/dev/null 2>&1; }; \
	say() { echo "make: $$*" >&2; exit 1; }; \
	want="$$PWD $$(cat requirements.txt pyproject.toml Makefile | cksum)"; \
	[ ! -e "$$busy" ] && [ "$$want" = "$$(cat "$$done" 2>/dev/null)" ] && works && exit 0; \
	if [ -e "$$busy" ] && kill -0 "$$(cat "$$busy")" 2>/dev/null; then \
	  say "process $$(cat "$$busy") is installing into $$VENV: wait until it is done (or delete $$busy if that is something else)."; \
	fi; \
	if [ -n "$$(ls -A "$$VENV" 2>/dev/null)" ] && [ ! -e "$$mine" ] && [ ! -e "$$done" ]; then \
	  say "$$VENV is there and was not made by make, so it is left alone. Move it away, or name another folder: make VENV=.venv-panet ..."; \
	fi; \
	if [ -e "$$busy" ]; then echo "==> the last installation did not finish: starting afresh"; rm -rf "$$VENV"; fi; \
	if ! works; then \
	  found=; \
	  for python in "$$PYTHON" python3 python3.11 python3.12 python3.13; do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; \
	    then found=$$python; break; fi; \
	  done; \
	  [ -n "$$found" ] || say "no Python 3.11, 3.12 or 3.13 with its venv module on the PATH; install one (on Debian or Ubuntu: python3 and python3-venv) or say make PYTHON=/path/to/python3."; \
	  echo "==> making an environment in $$VENV with $$("$$found" --version)"; \
	  rm -rf "$$VENV" && "$$found" -m venv "$$VENV" && touch "$$mine" || exit 1; \
	fi; \
	pip() { "$$VENV/bin/python" -m pip --disable-pip-version-check "$$@"; }; \
	before=$$(pip freeze); \
	echo "==> installing the tested versions (minutes the first time: PyTorch is large)"; \
	echo $$$$ > "$$busy"; \
	if ! pip install --no-compile -r requirements.txt; then \
	  if [ "$$(pip freeze)" = "$$before" ]; then rm -f "$$busy"; then="What was in $$VENV is as it was"; \
	  else then="$$VENV is half done and will be made again"; fi; \
	  say "the versions of requirements.txt could not be installed: pip says why above (no network? a full disk?). $$then; run the same command again when that is mended."; \
	fi; \
	echo "==> installing the project itself"; \
	pip install --no-deps --no-build-isolation -e . || exit 1; \
	$(PY) -c 'import jupyter_book, matplotlib.font_manager, torch, torchvision, panet_lite' || exit 1; \
	mkdir -p "$$VENV/etc/ipython"; : kernels talk to this machine only, and need not warn that they do; \
	printf '%s\n' "import os" "c.IPKernelApp.log_level = 'ERROR'" \
	  "c.InlineBackend.figure_formats = {os.environ.get('PANET_FIGURES', 'png')}" > "$$VENV/etc/ipython/ipython_kernel_config.py"; \
	touch "$$mine" && echo "$$want" > "$$done" && rm -f "$$busy"; \
	echo "==> installed; from here on nothing needs a network"
