# The first Python that the packages are tested with; another one: make PYTHON=/path/to/python
SUITABLE := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python python3.13 python3.12 python3.11 python3.10; do \
  $$python -c '$(SUITABLE)' 2>/dev/null && echo $$python && break; done)
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
COLAB_PYTHON ?= python3.13
NOTEBOOKS ?= book/*.ipynb
WORKERS ?= 2

.PHONY: help demo ledger lint test test-fast test-site test-machines test-colab book pdf links package release coursework grade solutions clean
help:            ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*##/ {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One stamp for each set of packages; it is made anew when pyproject.toml changes.
.venv/core.stamp: pyproject.toml
	@$(or $(PYTHON),false) -c '$(SUITABLE)' || { \
	  echo "$(if $(PYTHON),$(PYTHON) is not,There is no) Python 3.10 to 3.13 here: install one, or name it: make PYTHON=/path/to/python3.12"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@
.venv/test.stamp: .venv/core.stamp
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@
.venv/book.stamp: .venv/test.stamp
	$(BIN)/python -m pip install --quiet --editable ".[book]"
	touch $@
.venv/release.stamp: .venv/book.stamp
	$(BIN)/python -m pip install --quiet --editable ".[release]"
	touch $@

demo: .venv/core.stamp  ## zero-shot, fine-tune and the line between them, in a few minutes
	$(BIN)/wiseft-lite demo --overwrite

lint: .venv/test.stamp  ## style, types and the arrows between packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test-fast: .venv/test.stamp  ## the unit tests that need no minutes, several at a time; no notebook; WORKERS as for test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not slow" tests/unit tests/tasks wiseft_lite

test: .venv/book.stamp  ## unit tests, every notebook, the site with warnings as errors, and a browser if there is one; WORKERS: tests at a time (2)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -n $(WORKERS) --dist loadfile --ignore=tests/browser
	$(BIN)/python data_scripts/build_book.py
	$(BIN)/python -m pytest -q -rs -n $(WORKERS) tests/browser

test-site: .venv/book.stamp  ## open the built pages in a browser; builds them if they are not there
	test -f _build/html/index.html || $(MAKE) book
	command -v chromium chromium-browser google-chrome >/dev/null || $(BIN)/python -m playwright install chromium
	$(BIN)/python -m pytest -q -rs -n $(WORKERS) tests/browser

ledger: .venv/book.stamp  ## measure every number of the book that the present code has not measured; resumes where it was stopped
	$(BIN)/wiseft-lite ledger all --run

test-machines: .venv/book.stamp  ## notebooks and tests under other kernels, threads, seeds, caches and load; FULL=1: all combinations
	$(BIN)/python data_scripts/machines.py $(if $(FULL),--full)

# An environment of its own with the packages that Colab ships, in Colab's versions.
.venv-colab/stamp: tests/colab/constraints.txt
	@command -v $(COLAB_PYTHON) >/dev/null || { echo "no $(COLAB_PYTHON), the Python of Colab: install it, or name the nearest: make test-colab COLAB_PYTHON=python3.12"; exit 2; }
	$(COLAB_PYTHON) -m venv --clear .venv-colab
	.venv-colab/bin/python -m pip install --quiet --requirement tests/colab/constraints.txt
	touch $@

test-colab: .venv-colab/stamp  ## the notebooks under Colab's packages (5 GB of disk); some: NOTEBOOKS="book/01*.ipynb"
	.venv-colab/bin/python tests/colab/run.py $(NOTEBOOKS)

book: .venv/book.stamp  ## run every notebook and build the site into _build/html
	$(BIN)/python data_scripts/build_book.py

pdf: .venv/book.stamp  ## make the site into one PDF, _build/wiseft-book.pdf, and link to it from the start page; builds the site if it is not there
	test -f _build/html/index.html || $(MAKE) book
	command -v chromium chromium-browser google-chrome >/dev/null || $(BIN)/python -m playwright install chromium
	$(BIN)/python data_scripts/build_pdf.py

links: .venv/book.stamp  ## ask every web address in the book whether it is still there; needs a network
	test -d build/book || $(MAKE) book
	$(BIN)/jupyter-book build --builder linkcheck build/book

package: .venv/release.stamp  ## build the source distribution and the wheel into build/dist, and check them
	$(BIN)/python data_scripts/release.py

release: .venv/release.stamp  ## make release VERSION=0.2.0: check everything, build and try the wheel, make the tag; DRY=1: no tag
	@test -n "$(VERSION)" || { echo "say which version: make release VERSION=0.2.0 DRY=1"; exit 2; }
	$(BIN)/python data_scripts/release.py --version $(VERSION) $(if $(DRY),--dry-run) $(foreach python,$(TRY),--try-with $(python))

# Otter's own files carry the time in their names, so one stamp stands for all of them.
build/coursework/stamp: $(wildcard book/coursework/*.ipynb) $(wildcard data_scripts/coursework/*.py) .venv/test.stamp
	PYTHONPATH=data_scripts $(BIN)/python -m coursework.build
	touch $@

coursework: build/coursework/stamp  ## build what students get, Gradescope's zips and the tests into build/coursework
	@ls build/coursework/student/*.zip build/coursework/gradescope/*.zip

grade: build/coursework/stamp  ## make grade IN=folder OUT=grades.csv: grade a folder of notebooks (A=a1 says which)
	@test -n "$(IN)" || { echo "say which folder: make grade IN=submissions OUT=grades.csv"; exit 2; }
	PYTHONPATH=data_scripts $(BIN)/python -m coursework.grade "$(IN)" "$(or $(OUT),grades.csv)" $(if $(A),--assignment $(A))

solutions: .venv/test.stamp  ## make solutions OUT=folder: the solved coursework, for instructors
	@test -n "$(OUT)" || { echo "say where to: make solutions OUT=solutions-not-for-students"; exit 2; }
	PYTHONPATH=data_scripts $(BIN)/python -m coursework.build --solutions "$(OUT)"

clean:           ## remove what was built, not the packages
	rm -rf _build build results
