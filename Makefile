# make demo   convert, segment and measure, from nothing but Python and make
# make test   the test suite
# make check  lint, formatting, types
# make web-tools   npm packages that the tests of the page in a browser take
# make kotlin      npm's Kotlin compiler (94 MB), for the tests of the Android project
#
# Each target makes what it needs. Another interpreter: make test PYTHON=python3.12

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV := .venv
BIN := $(VENV)/bin
TYPES := build/types

.PHONY: demo test check types web-tools kotlin clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/edge-vos demo --overwrite

test: $(VENV)/.dev
	$(BIN)/pytest

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory types

# The checker cannot see folders that setuptools maps to other names, so it reads an installed tree.
types: $(VENV)/.dev
	rm -rf $(TYPES) build/lib build/bdist.*
	$(BIN)/pip install -qq --no-deps --target $(TYPES) .
	cd $(TYPES) && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache -p edge_vos
	cd $(TYPES) && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache $(CURDIR)/docs/examples/*.py

# Without Node.js or a registry these tests skip, and name what they lack.
web-tools: build/web/package.json
kotlin: build/kotlin/package.json
build/web/package.json: tests/runtime/web/package.json
build/kotlin/package.json: tests/contracts/phone/package.json
build/web/package.json build/kotlin/package.json:
	@mkdir -p $(@D)
	@npm install --prefix $(@D) --ignore-scripts --no-package-lock --no-audit --no-fund --silent \
		$$(sed -n 's/^    "\(.*\)": "\(.*\)".*/\1@\2/p' $<)
	@cp $< $@

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# One environment; a stamp for each set of extras, renewed when pyproject.toml changes.
$(VENV)/.demo $(VENV)/.dev: $(VENV)/.%: pyproject.toml | $(BIN)/pip
	@echo "Installing edge-vos[$*] into $(VENV): a minute or two"
	@$(BIN)/pip install -qq -e ".[$*]"
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "This needs Python 3.11 or newer, and '$(PYTHON)' is not (or is missing)." \
			"Name one that is: make $(firstword $(MAKECMDGOALS) demo) PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "No virtual environment could be made; on Debian: apt install python3-venv" >&2; exit 1; }
