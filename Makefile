# The two commands: `make demo` and `make test`. Both first make the environments that they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SERVER := .venv-server
SIM := .venv-sim
STUBS := .venv-stubs
RUNS := runs
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# pip tells a package a line: an installation takes minutes, and silence looks like a fault
SHOW := | sed -un 's/^Collecting \([^ ;(]*\).*/  \1/p; s/^Installing collected.*/  installing …/p'

# the pinned packages want it; without this, pip or the shell would fail in words of their own
CHECK_PYTHON = @"$(PYTHON)" -c "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || \
  { echo "make env needs Python 3.11 with venv, and '$(PYTHON)' is not: install python3.11 and" \
    "python3.11-venv, or name one: make env PYTHON=/path/to/python3.11" >&2; exit 1; }

.PHONY: env demo demo-short test chaos containers lint stubs clean gl

env: $(SERVER)/.ready $(SIM)/.ready

# serve, convert, finetune: torch, no MuJoCo
$(SERVER)/.ready: pyproject.toml server/constraints.txt
	$(CHECK_PYTHON)
	@echo "making $(SERVER), for serve, convert and finetune: some minutes, once"
	@$(PYTHON) -m venv $(SERVER)
	@$(SERVER)/bin/pip install -c server/constraints.txt -e ".[serve,convert,train,hdf5,bench,dev]" $(SHOW)
	@$(SERVER)/bin/pip install -q --no-deps openpi-client==0.1.2  # for tests; it asks for numpy 1
	touch $@

# record, replay, rollout: MuJoCo, no torch
$(SIM)/.ready: pyproject.toml client/constraints.txt | gl
	$(CHECK_PYTHON)
	@echo "making $(SIM), for record, replay and rollout: some minutes, once"
	@$(PYTHON) -m venv $(SIM)
	@$(SIM)/bin/pip install -c client/constraints.txt -e ".[sim,dev]" $(SHOW)
	touch $@

# the stubs' own generator: it wants an older protobuf than the rest
$(STUBS)/.ready: Makefile
	$(PYTHON) -m venv $(STUBS)
	$(STUBS)/bin/pip install -q "grpcio-tools==1.62.3" "setuptools<81"
	touch $@

# MuJoCo draws through EGL; Debian's packages bring it
GL_PACKAGES := libegl1 libgl1 libgl1-mesa-dri
gl:
	@if ! ldconfig -p | grep -q libEGL.so.1; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends $(GL_PACKAGES) >/dev/null; \
	  else echo "MuJoCo needs EGL to draw: sudo apt-get install $(GL_PACKAGES)"; fi; fi

stubs: $(STUBS)/.ready
	$(STUBS)/bin/python -m grpc_tools.protoc -I handover_proto=proto --python_out=proto \
	  --pyi_out=proto --grpc_python_out=proto handover_proto/policy.proto

demo: env
	@SERVER=$(SERVER) SIM=$(SIM) RUNS=$(RUNS) ./docs/demo.sh

# one episode of each task: what CI runs
demo-short: env
	@DEMO_EPISODES=1 SERVER=$(SERVER) SIM=$(SIM) RUNS=$(RUNS) ./docs/demo.sh

test: env $(STUBS)/.ready
	$(SERVER)/bin/python -m pytest -q --durations=10 tests/test_architecture.py tests/common tests/proto tests/model \
	  tests/conversion tests/training tests/server tests/chaos
	$(SIM)/bin/python -m pytest -q --durations=10 tests/common tests/proto tests/client tests/docs tests/envs tests/recipe tests/e2e

# every fault of tests/chaos, the slow ones too, as a table and as benchmarks/results/chaos.json
chaos: env
	$(SERVER)/bin/python -m benchmarks.chaos

# builds and tries the images of docker-compose.yml; needs Docker
containers:
	./tests/containers/run.sh

lint: env
	$(SERVER)/bin/ruff check .
	$(SERVER)/bin/ruff format --check .
	$(SERVER)/bin/pyright --pythonpath $(SERVER)/bin/python common proto model conversion training server
	$(SIM)/bin/pyright --pythonpath $(SIM)/bin/python client envs

clean:
	rm -rf $(SERVER) $(SIM) $(STUBS) .venv-triton $(RUNS)
