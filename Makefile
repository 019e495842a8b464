# Needs Python 3.11 or newer with its venv module. PYTHON=python3.12 chooses another interpreter.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
EXTRA := .venv-extra/bin
EXTRA_READY := .venv-extra/ready
RUN := runs/quickstart-$(shell date +%Y%m%d-%H%M%S)

.PHONY: setup quickstart test test-slow lint pins docs help-screens

setup: $(READY)

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spectralvision needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $(READY)

quickstart: setup
	$(BIN)/spectralvision predict docs/images/ship.png --model affnet_et.cifar10 --top-k 3
	$(BIN)/spectralvision train --data digits --model affnet_et --out $(RUN)
	$(BIN)/spectralvision evaluate --model $(RUN) --data digits
	$(BIN)/spectralvision predict --model $(RUN) --data digits --num-images 5
	@echo
	@echo "Next: train on your own images, a folder with one subfolder per class:"
	@echo "  $(BIN)/spectralvision train --data FOLDER"
	@echo "  $(BIN)/spectralvision predict PHOTO.jpg --model runs/FOLDER-affnet_et"
	@echo "  $(BIN)/spectralvision models"

test: setup
	$(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal

test-slow: setup $(EXTRA_READY)
	$(BIN)/python -m pytest -m "slow and not mobile and not demo" --durations=15
	$(EXTRA)/python -m pytest -m "mobile or demo" tests/export tests/demo --durations=5

# A second environment, for the runtimes of phones, whose packages are large.
$(EXTRA_READY): requirements/extra.txt pyproject.toml $(READY)
	test -x $(EXTRA)/python || $(PYTHON) -m venv .venv-extra
	$(BIN)/uv pip install --quiet --python $(EXTRA)/python -r requirements/extra.txt
	$(BIN)/uv pip install --quiet --python $(EXTRA)/python --no-deps -e .
	touch $(EXTRA_READY)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

pins: setup
	$(BIN)/uv pip compile pyproject.toml --extra train --extra dense --extra export --group dev --no-annotate --no-header \
		--python-version 3.11 --python-platform linux --upgrade -o requirements/dev.txt
	$(BIN)/uv pip compile pyproject.toml --extra train --extra dense --extra export --extra mobile --extra demo --group dev \
		--no-annotate --no-header --python-version 3.11 --python-platform linux --upgrade -o requirements/extra.txt

# Write the reference from the docstrings, and build the site in site/
docs: setup
	$(BIN)/python docs/write_reference.py
	$(BIN)/zensical build --strict

# Store what --help shows about tasks and recipes; a test compares it with the code.
help-screens: setup
	$(BIN)/python -m spectralvision.commands.describe_options
