# Python that makes .venv: 3.10 to 3.13.
PYTHON ?= python3
BIN := .venv/bin
# Named after PYTHON, so that another PYTHON makes a new environment.
STAMP := .venv/made-with-$(notdir $(PYTHON))
KIT := $(BIN)/kit
BUNDLES := demo/run/bundles
THREE := $(patsubst %,demo/pictures/images/SYN_0000%.jpg,1 2 3)

.DEFAULT_GOAL := help
.PHONY: help demo test check lint pi bench figures docs wheels clean

help: ## List what make can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Seed 1: of the 48 test pictures that seed 0 draws, even hand-made features can tell little.
demo: $(STAMP) ## Set up, then train, compress, compare and diagnose on made-up pictures, into demo/
	rm -rf demo
	$(KIT) data synth demo/pictures --images 240 --seed 1
	$(KIT) train demo/pictures --out demo/run --weights none --recipe scratch --image-size 96
	$(KIT) compress demo/run --recipe demo
	$(KIT) compare $(BUNDLES)/float.kit $(BUNDLES)/small.kit --data demo/run --split test --out demo/report
	$(KIT) diagnose $(BUNDLES)/small.kit $(THREE)
	$(KIT) camera $(BUNDLES)/small.kit --source demo/pictures/images --frames 10 --no-window
	@echo
	@echo "The report (made-up pictures): $(CURDIR)/demo/report/report.html"

test: check ## Set up, then lint, format, types and all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: lint ## Lint, format and types
	$(BIN)/basedpyright --pythonpath $(BIN)/python

lint: $(STAMP) ## Lint and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

pi: $(STAMP) ## Install and run the edge package on an emulated Raspberry Pi OS (root, qemu)
	KIT_PI=1 $(BIN)/python -m pytest tests/pi -s

bench: $(STAMP) ## Measure speed and memory, write docs/benchmarks.md (after make demo)
	$(BIN)/python -m pytest benchmarks --benchmark-only -o python_files='bench_*.py' \
		--benchmark-json docs/benchmarks.json
	$(BIN)/python benchmarks/make_page.py

figures: $(STAMP) ## Draw the figures of docs/ from docs/data, write its pages that follow from the code
	$(BIN)/python docs/figures/make.py
	$(BIN)/python docs/reference.py

# The variable silences an announcement of MkDocs Material's makers.
docs: $(STAMP) ## Build the tutorial and the reference into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site: $(CURDIR)/build/site/index.html"

wheels: $(STAMP) ## Build the wheels of dermkit and dermkit-edge into dist/
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .
	$(BIN)/python -m build --wheel --no-isolation --outdir dist edge_runtime

clean: ## Remove .venv, demo/, dist/ and all caches
	rm -rf .venv demo dist build .pytest_cache .ruff_cache .hypothesis .benchmarks
	find edge_runtime train compress tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Made anew whenever pyproject.toml changes: what left the list must leave the environment.
$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; \
	name a Python 3.10 to 3.13: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1), but Python 3.10 to 3.13 is needed; \
	name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) lacks the module \
	venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Setting up .venv: some minutes, and about 3 GB with TensorFlow"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev --editable '.[train]'
	@touch $@
