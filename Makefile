# `make` alone lists the targets. Each recipe is a script, so that all of them run without make too.
SHELL := bash
ifdef DEMO_CONFIGURATION
export CONFIGURATION := $(DEMO_CONFIGURATION)
endif
.DEFAULT_GOAL := help
.PHONY: help bootstrap build demo test test-cores lint format bench fuzz sim models lab interop clean

help: ## print this list
	@echo "ShadowMesh: make TARGET"
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

bootstrap: ## install what is missing (Debian packages, Python test packages)
	@scripts/bootstrap

build: ## build the three programs as release
	@scripts/bootstrap programs
	@scripts/build

demo: ## two nodes and a backbone in namespaces of their own, carrying real traffic
	@scripts/bootstrap programs
	@scripts/demo --check
	@scripts/build
	@scripts/demo

test: ## every test: Swift, the independent Python peer, the OpenAPI document
	@scripts/bootstrap
	@scripts/test

test-cores: ## only the protocol cores: a build of a minute
	SHADOWMESH_CORES_ONLY=1 swift test --scratch-path .build-cores

lint: ## formatting, script syntax, Python syntax
	@scripts/lint

format: ## rewrite the Swift sources in the house style
	swift format --in-place --recursive --parallel Package.swift Sources Tests

bench: ## measure, and write results/bench.json
	@scripts/bootstrap bench
	@scripts/bench

fuzz: ## every parser of our own that reads outside bytes, 60 seconds each
	@scripts/fuzz

sim: ## the protocol cores in a simulated internet, and write results/sim.json
	@scripts/bootstrap programs
	@scripts/sim

models: ## the formal models of sessions and of logging in, every state of them
	@scripts/bootstrap models
	@scripts/models

lab: ## real nodes behind every kind of NAT, and write results/nat.json and results/nat.html
	@scripts/bootstrap lab
	@scripts/nat-lab --check
	@scripts/build
	@scripts/nat-lab

interop: ## only the independent Python peer against the Swift node
	@scripts/bootstrap
	@scripts/test interop

clean: ## remove what was built and measured
	rm -rf .build .build-* .venv results
