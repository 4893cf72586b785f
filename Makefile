# Every target in one line each: `make help`.
SHELL := /bin/bash
VENV  ?= .venv
PY    := $(VENV)/bin/python
# Whatever the surroundings say: tests start hundreds of processes, and each would compile all that it imports.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help
help:  ## list every target
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

# The development environment: everything pinned, with hashes.
$(VENV)/.ready: pyproject.toml requirements-dev.txt
	@test -x $(PY) || python3 -m venv $(VENV) 2>/dev/null || { apt-get install -qy python3-venv && python3 -m venv $(VENV); }
	@$(PY) -m pip install --quiet --require-hashes -r <(awk '/^[^ ]/ {uv = /^uv==/} uv' requirements-dev.txt)
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r requirements-dev.txt \
	  || $(PY) -m pip install --quiet --require-hashes -r requirements-dev.txt  # uv is quick, but does not read pip's configuration
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: dev test test-unit test-serving test-browser test-api test-e2e
dev: $(VENV)/.ready  ## make the development environment (.venv)

test: dev  ## every test: unit, API, server, real cluster; one line of counts at the end
	@$(PY) -m pytest

test-unit: dev  ## the pure rooms, in seconds
	@$(PY) -m pytest tests/unit tests/golden tests/properties tests/contract tests/packaging

test-serving: dev  ## the inference server and the sample models
	@$(PY) -m pytest tests/serving tests/models

test-browser: dev  ## the server's page in a real Chromium
	@$(PY) -m pytest tests/browser

test-api: dev  ## the operator against a real kube-apiserver and etcd
	@$(PY) -m pytest tests/api

test-e2e: dev  ## real pods on the real cluster
	@$(PY) -m pytest tests/local tests/e2e

.PHONY: bench-serving
bench-serving: dev  ## the server beside a bare ONNX Runtime loop: table and plot into out/serving (ARGS='--models unet --seconds 2', '--soak 100000')
	@PYTHONPATH=.:serving $(PY) -m tests.bench.serving $(ARGS)

.PHONY: crds
crds: dev  ## the CRD and its reference, generated from the pydantic models
	@$(PY) -m crackseg_operator.api.crd --write

.PHONY: proto
PROTOS := serving/crackseg_serving/rpc/inference.proto serving/crackseg_serving/rpc/health.proto
proto: dev  ## gRPC's messages, generated from the published interface (a test holds both equal)
	@$(PY) -m grpc_tools.protoc -I serving --python_out=serving --pyi_out=serving $(PROTOS)

.PHONY: model-report tile-report model-train
model-report: dev  ## IoU and F1 of the sample models on pictures they never saw (CRACKSEG_PHOTOGRAPHS=FOLDER for real ones)
	PYTHONPATH=serving $(PY) -m crackseg_models report
tile-report: dev  ## what skipping empty tiles loses and gains, on pictures that the models never saw (CRACKSEG_PHOTOGRAPHS=FOLDER)
	PYTHONPATH=serving $(PY) -m crackseg_models tiles $(ARGS)
model-train: dev  ## train on rendered pictures and PHOTOGRAPHS=FOLDER/*/{images,masks}; needs torch (pip install -e '.[models]')
	PYTHONPATH=serving $(PY) -m crackseg_models train --out out/model/weights.pt $(foreach d,$(wildcard $(PHOTOGRAPHS)/*/images),--images $(d) --masks $(d:images=masks))

# The local cluster needs nothing but Python: no environment is made for it.
.PHONY: cluster down images
LOCAL := PYTHONPATH=deploy/local python3 -m crackseg_local
cluster:  ## bring up a real Kubernetes on this machine, or repair it (CLUSTER=local|kind|existing)
	@$(LOCAL) up

down:  ## take the cluster away and leave the machine as it was
	@$(LOCAL) down

images:  ## build the operator's and the server's images and load them into the cluster (GPU=1: the GPU's)
	@$(LOCAL) images

.PHONY: demo
demo: dev  ## from one YAML to a served model, a rollout under load and a rollback (CLUSTER=local|kind|existing, PHOTOS=FOLDER)
	@PYTHONPATH=deploy/demo:deploy/local $(PY) -m crackseg_demo

.PHONY: lock lint
UV_COMPILE := $(VENV)/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
  --python-version 3.11 --python-platform x86_64-unknown-linux-gnu
lock:  ## the requirements files, pinned with hashes, from pyproject.toml
	@test -x $(VENV)/bin/uv || $(PY) -m pip install --quiet "uv>=0.5"
	@$(UV_COMPILE) pyproject.toml --extra operator --output-file requirements-operator.txt
	@$(UV_COMPILE) pyproject.toml --extra serving --extra cpu --output-file requirements-serving-cpu.txt
	@$(UV_COMPILE) pyproject.toml --extra serving --extra gpu --output-file requirements-serving-gpu.txt
	@$(UV_COMPILE) pyproject.toml --extra serving --extra openvino --constraint requirements-serving-cpu.txt --output-file requirements-serving-openvino.txt
	@$(UV_COMPILE) pyproject.toml --extra operator --extra plugin --extra serving --extra cpu --extra dev --output-file requirements-dev.txt

lint: dev  ## format, lint, types and the import contract
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

.PHONY: docs
docs: crds  ## generated pages: the fields' reference, the chart's README
	@$(PY) deploy/helm/chart_readme.py --write
