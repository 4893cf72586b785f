# Every target in one line each: `make help`.
SHELL := /bin/bash
VENV  ?= .venv
PY    := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help
help:  ## list every target
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'
