# Everything that developers and continuous integration do. `make` alone lists it.
#
#   PYTHON   the interpreter to set up with; default: the first Python 3.11 or newer on PATH that was built with optimizations
#   RUNTIME  embedded, or temporal: on a Temporal cluster of this machine (run, torture)
#   CI=true  what a test needs beyond Python is then required, where otherwise the test is skipped

BIN     := .venv/bin
ARGS    ?=
WORKERS ?= logical
COUNT   ?= 3000
EXAMPLES ?= 20000
KILLS   ?= 200
SEED    ?=
RUNTIME ?= embedded

VENV       := .venv/.stamp
PYTEST_SET := -n $(WORKERS) --maxprocesses=8 --dist=loadfile --no-loadscope-reorder

export BUF := $(BIN)/buf
# Hundreds of processes start in a test run: each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup compiled run gateway-go gateway-js test test-clients test-oldest check format lint types generate bench load
.PHONY: helm deploy-tools try-image sbom conformance fuzz torture temporal-server constraints clean console screenshots

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV): pyproject.toml clients/python/pyproject.toml constraints.txt tools/setup_venv.sh
	@tools/setup_venv.sh .venv constraints.txt

setup: $(VENV) ## make the environment in .venv (other targets do it when needed)
	@tools/setup_node.sh tests/conformance
	@tools/build_console.sh --optional
	@$(BIN)/python tools/compile_modules.py --optional

compiled: $(VENV) ## compile the modules that run for every event, so that the service is faster (needs a C compiler)
	@$(BIN)/python tools/compile_modules.py

console: $(VENV) ## build the console, the server's web page, into the server's package
	@tools/build_console.sh

run: $(VENV) ## start a server, run an example and stay until Ctrl-C (ARGS=--once: end by itself; RUNTIME=temporal: a cluster)
	@tools/build_console.sh --optional
	@$(if $(filter temporal,$(RUNTIME)),tools/build_temporal.sh --required)
	@exec $(BIN)/python -m flowgram_server.$(if $(filter temporal,$(RUNTIME)),temporal_demo,demo) $(ARGS)

gateway-go: ## start the gateway in Go against a running server (ARGS=-help lists its flags)
	@cd clients/go && go build -o ../../build/gateway ./cmd/gateway
	@exec build/gateway $(ARGS)

gateway-js: ## start the gateway in TypeScript against a running server (ARGS=--help lists its flags)
	@tools/build_js.sh && exec node clients/js/dist/gateway/main.js $(ARGS)

test: setup check ## check, then run all tests
	@exec $(BIN)/python -m pytest $(PYTEST_SET) $(ARGS)

test-clients: setup ## test all clients and gateways against the real server, by the same scenarios
	@exec $(BIN)/python -m pytest $(PYTEST_SET) tests/clients $(ARGS)

test-oldest: ## test clients and service with the oldest supported grpcio and protobuf
	@tools/test_oldest.sh $(PYTEST_SET) $(ARGS)

check: $(VENV) ## format, lint, types, contract, generated code; changes nothing
	@$(BIN)/ruff format --check --quiet --output-format=concise || { echo "make format would change the files above"; exit 1; }
	@$(MAKE) --no-print-directory lint types
	@$(BUF) format protos --diff --exit-code
	@tools/check_breaking.sh
	@$(BIN)/python tools/generate.py --check
	@tools/generate_go.sh --check
	@tools/generate_js.sh --check

format: $(VENV) ## format Python and protos, and mend what the linter can
	@$(BIN)/ruff check --quiet --fix --exit-zero
	@$(BIN)/ruff format --quiet
	@$(BUF) format protos --write

lint: $(VENV) ## lint Python and protos
	@$(BIN)/ruff check --quiet
	@$(BUF) lint protos

types: $(VENV) ## check types
	@$(BIN)/mypy --no-error-summary

screenshots: setup console ## take the pictures of docs/console.md anew
	@SCREENSHOTS=true $(BIN)/python -m pytest -q -n 0 tests/console/test_screenshots.py

generate: $(VENV) ## generate the code of the protos, for all languages
	@$(BIN)/python tools/generate.py
	@tools/generate_go.sh
	@tools/generate_js.sh

bench: setup ## measure, and print the table of docs/performance.md (ARGS=peers: against FlowGram's runtime; temporal: on a cluster; protection; console)
	@$(if $(filter temporal,$(ARGS)),tools/build_temporal.sh --required)
	@exec $(BIN)/python -m benchmarks $(ARGS)

load: setup ## put the service under more load than it can take, and under attack, and print what became of it (ARGS: load, attacks)
	@exec $(BIN)/python -m benchmarks $(or $(ARGS),load attacks)

torture: $(VENV) ## kill a loaded server KILLS times, and check that nothing that was seen is lost
	@$(if $(filter temporal,$(RUNTIME)),tools/build_temporal.sh --required)
	@PYTHONPATH=tests exec $(BIN)/python -m tests.torture --kills $(KILLS) --runtime $(RUNTIME) $(if $(SEED),--seed $(SEED)) $(ARGS)

temporal-server: ## build the Temporal server that tests and RUNTIME=temporal use (minutes the first time; needs go)
	@tools/build_temporal.sh --required

conformance: setup ## compare COUNT random workflows with the reference runtime, from SEED
	@exec $(BIN)/python -m tests.conformance --count $(COUNT) $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz: $(VENV) ## feed EXAMPLES odd inputs to each target: the compiler of schemas, and the reader of REST bodies
	@FUZZ_EXAMPLES=$(EXAMPLES) exec $(BIN)/python -m pytest -q -n 0 --timeout 0 tests/fuzz $(ARGS)

constraints: $(VENV) ## write constraints.txt anew, with the newest versions
	@tools/renew_constraints.sh

helm: ## build the Helm that the tests of the chart use (minutes the first time; needs go)
	@tools/build_deploy_tools.sh helm

deploy-tools: $(VENV) ## get all tools that tests of deploy/ and gRPC use: Helm, linters, grpcurl … (minutes the first time; needs go)
	@tools/build_deploy_tools.sh

try-image: $(VENV) ## run the Dockerfile's steps, and the server, in a chroot of Debian (needs Linux, root, debootstrap, npm)
	@exec $(BIN)/python tools/try_image.py $(ARGS)

sbom: $(VENV) ## write a bill of materials of the image's environment to build/sbom.cdx.json
	@tools/make_sbom.sh $(ARGS)

clean: ## remove environments, caches and builds; keeps data
	@rm -rf .venv .venv-oldest runtime/flowgram_core/compiled_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist clients/js/dist
	@find . -name node_modules -prune -exec rm -rf {} + -o -name __pycache__ -prune -exec rm -rf {} +
