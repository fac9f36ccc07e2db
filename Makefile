# Two commands: `make paper` (everything from nothing) and `make test`. Both are thin: in an environment of your own,
# call `snakemake --cores all` and `pytest`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORES ?= all
RUN ?= full
# Modules are compiled when they are first imported, and kept; else each of a run's many processes would compile them anew.
export PYTHONDONTWRITEBYTECODE :=
# What of a run is kept with the project; all else is made from it.
PUBLISHED := rows traces code run.json ro-crate-metadata.json paper.pdf supplement.pdf

.PHONY: docs help paper smoke full published publish verify bench costs same budgets test test-all lint types report ready env latex check schema lock clean

help: ## this list
	@grep -E '^[a-z./-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z.\/-]+):.*## /\1\t/' | expand -t 14

paper: ready check ## the default run, from nothing to results/default/paper.pdf
	$(BIN)/snakemake --cores $(CORES)

smoke: ready ## a miniature of it in a minute or two: results/smoke/paper.pdf
	@$(BIN)/python -m orthogrid check --config config/smoke.yaml
	$(BIN)/snakemake --cores $(CORES) --configfile config/smoke.yaml

full: ready ## the published run: five to six hours of one core, or a GPU
	@$(BIN)/python -m orthogrid check --config config/full.yaml
	$(BIN)/snakemake --cores $(CORES) --configfile config/full.yaml

published: ready ## the published run's paper again, from the rows that are kept with the project; trains nothing. RUN=name: another's
	@$(BIN)/python -m orthogrid plan --config config/$(RUN).yaml --nothing-new
	$(BIN)/snakemake --cores $(CORES) --configfile config/$(RUN).yaml

verify: env ## train a sample of the published rows again on this machine and compare, in about five minutes. RUN=name: another's
	@$(BIN)/python -m orthogrid verify --config config/$(RUN).yaml

publish: ready ## RUN=name: put the finished run of config/name.yaml under git, so that a clone renders it without training
	@$(BIN)/python -m orthogrid plan --config config/$(RUN).yaml --nothing-new
	$(BIN)/snakemake all clear_old_rows --cores $(CORES) --configfile config/$(RUN).yaml
	$(BIN)/python -m orthogrid.publishing.crate results/$(RUN)
	git add --force config/$(RUN).yaml $(addprefix results/$(RUN)/,$(PUBLISHED))
	@echo "Commit now, with the files that its code: names. A clone renders it by: make published RUN=$(RUN)"

bench: env ## what steps, memory and workflow cost, beside others: results/bench/<device>.csv; wants an idle machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks

costs: env ## what a step costs by penalty, method and dimension: the table that foretells times; wants an idle machine
	$(BIN)/python -m benchmarks.costs

same: ready ## COMMIT=...: whether a rebuild changed any number, figure or page since that commit; five minutes, wants pdftotext
	$(BIN)/python -m benchmarks.same $(COMMIT)

budgets: env ## how big the house is: lines against budgets, circles of imports, the way of one reg
	$(BIN)/python -m benchmarks.budgets

test: ready ## the tests, some minutes
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: ready ## the slow ones too; those of a browser and of Slurm where these are installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -r tests/requirements.txt
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: env ## format and lint, as the tests check it
	$(BIN)/ruff format src tests workflow benchmarks
	$(BIN)/ruff check --fix src tests workflow benchmarks
	$(BIN)/snakefmt Snakefile workflow

types: env ## check types
	$(BIN)/mypy

report: env ## Snakemake's HTML report of a finished default run
	$(BIN)/snakemake --report results/default/report.html

docs: published schema ## what README and docs show of the published run; wants pdftoppm and graphviz
	pdftoppm -r 200 -png -singlefile results/full/figures/teaser.pdf docs/teaser
	cp results/full/explorer.html docs/explorer.html
	$(BIN)/snakemake --forceall --rulegraph --configfile config/smoke.yaml --config results=$$(mktemp -d) 2>/dev/null | dot -Tsvg -o docs/rules.svg

# Both at once: one waits for the network where the other unpacks.
ready:
	@$(MAKE) --no-print-directory -j2 env latex

env: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1); say which: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	# What is imported is compiled then; compiling all of it takes longer than the rest of the installation.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --no-build-isolation -e .
	@touch $@

# Needs nothing but Python, so it can go beside the environment.
latex:
	@PYTHONPATH=src $(PYTHON) -m orthogrid.publishing.latex --install

check: env
	@$(BIN)/python -m orthogrid check

schema: env ## after editing an axis, a key, a penalty or a method: the config's schema and the page of docs that says the same
	$(BIN)/python -m orthogrid schema > workflow/schemas/config.schema.yaml
	$(BIN)/python -m orthogrid.tools.reference > docs/config.md

lock: ## pin today's versions anew; then copy them into environment.yml
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet torch==2.13.0 -e '.[methods,paper,test]'
	.venv-lock/bin/pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu//' > requirements.lock
	rm -r .venv-lock

clean: ## remove the environment and every generated result that is not tracked
	rm -rf $(VENV) .snakemake
	git clean -fdX results
