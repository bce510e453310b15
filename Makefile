# Two commands matter: `make demo` and `make test`. Both make the virtual environment when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Where pip finds a CPU build of torch if your default index has only the CUDA one, e.g.
#   make demo TORCH_ARGS="--index-url <the CPU wheel index of the PyTorch project>"
TORCH_ARGS ?=

.PHONY: demo test ui lint clean

demo: $(READY)
	$(BIN)/lifecycle run

test: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

ui: $(READY)
	$(BIN)/lifecycle ui

lint: $(READY)
	$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/pyright --pythonpath $(BIN)/python

# torch first: a package that depends on it would otherwise pull the CUDA build and gigabytes with it.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH_ARGS) $$(grep '^torch==' requirements.lock)
	DS_BUILD_OPS=0 $(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/pip check
	touch $(READY)

clean:
	rm -rf $(VENV) .lifecycle
