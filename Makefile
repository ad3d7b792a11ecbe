# Everything that developers and continuous integration do. `make` alone lists it.
#
#   PYTHON   the interpreter to set up with; default: the first Python 3.11 or newer on PATH
#   CI=true  what a test needs beyond Python is then required, where otherwise the test is skipped

BIN     := .venv/bin
ARGS    ?=
WORKERS ?= logical
COUNT   ?= 3000
SEED    ?=

VENV       := .venv/.stamp
PYTEST_SET := -n $(WORKERS) --maxprocesses=8 --dist=loadfile

export BUF := $(BIN)/buf

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test test-oldest check format lint types generate bench conformance constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV): pyproject.toml constraints.txt tools/setup_venv.sh
	@tools/setup_venv.sh .venv constraints.txt

setup: $(VENV) ## make the environment in .venv (other targets do it when needed)
	@tools/setup_node.sh tests/conformance

run: $(VENV) ## start a server, run an example and stay until Ctrl-C (ARGS=--once: end by itself)
	@exec $(BIN)/python -m flowgram_server.demo $(ARGS)

test: setup check ## check, then run all tests
	@exec $(BIN)/python -m pytest $(PYTEST_SET) $(ARGS)

test-oldest: ## test clients and service with the oldest supported grpcio and protobuf
	@tools/test_oldest.sh $(PYTEST_SET) $(ARGS)

check: $(VENV) ## format, lint, types, contract, generated code; changes nothing
	@$(BIN)/ruff format --check --quiet --output-format=concise || { echo "make format would change the files above"; exit 1; }
	@$(MAKE) --no-print-directory lint types
	@$(BUF) format protos --diff --exit-code
	@tools/check_breaking.sh
	@$(BIN)/python tools/generate.py --check

format: $(VENV) ## format Python and protos, and mend what the linter can
	@$(BIN)/ruff check --quiet --fix --exit-zero
	@$(BIN)/ruff format --quiet
	@$(BUF) format protos --write

lint: $(VENV) ## lint Python and protos
	@$(BIN)/ruff check --quiet
	@$(BUF) lint protos

types: $(VENV) ## check types
	@$(BIN)/mypy --no-error-summary

generate: $(VENV) ## generate the Python code of the protos
	@$(BIN)/python tools/generate.py

bench: setup ## measure, and print the table of docs/performance.md
	@exec $(BIN)/python -m benchmarks $(ARGS)

conformance: setup ## compare COUNT random workflows with the reference runtime, from SEED
	@exec $(BIN)/python -m tests.conformance --count $(COUNT) $(if $(SEED),--seed $(SEED)) $(ARGS)

constraints: $(VENV) ## write constraints.txt anew, with the newest versions
	@tools/renew_constraints.sh

clean: ## remove environments, caches and builds; keeps data
	@rm -rf .venv .venv-oldest .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name node_modules -prune -exec rm -rf {} + -o -name __pycache__ -prune -exec rm -rf {} +
