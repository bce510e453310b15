# Two commands matter: `make demo` and `make test`. Both make the virtual environment when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Where pip finds a CPU build of torch if your default index has only the CUDA one, e.g.
#   make demo TORCH_ARGS="--index-url <the CPU wheel index of the PyTorch project>"
TORCH_ARGS ?=
# One more than there are processors: many tests wait for a server, a signal or a lock.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.PHONY: demo test ui docs lint clean

demo: $(READY)
	$(BIN)/lifecycle run

test: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

ui: $(READY)
	$(BIN)/lifecycle ui

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

lint: $(READY)
	$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/pyright --pythonpath $(BIN)/python

$(READY): requirements.lock pyproject.toml deploy/docker/install.sh
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sh deploy/docker/install.sh $(BIN)/python packages $(TORCH_ARGS)
	sh deploy/docker/install.sh $(BIN)/python project
	touch $(READY)

clean:
	rm -rf $(VENV) .lifecycle .site
