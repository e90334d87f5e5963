# What people do with this checkout. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /usr/bin/env bash
BIN := .venv/bin
SITE ?= inventories/lab
SCENARIO ?= default
# What a wrong SITE gets: one line instead of what Ansible says of an inventory that is not there.
NO_SITE = no site at SITE=$(SITE); right: a folder with hosts.yml, such as $(patsubst %/hosts.yml,%,$(wildcard inventories/*/hosts.yml)); fix: $(MAKE) $@ SITE=$(firstword $(patsubst %/hosts.yml,%,$(wildcard inventories/$(notdir $(SITE:/=))/hosts.yml)) inventories/lab)
VAULT = $(SITE)/group_vars/all/vault.yml
SITE_IS_THERE = $(if $(wildcard $(SITE)/hosts.yml),,$(error $(NO_SITE)))$(if $(wildcard $(BIN)/ansible-playbook),,$(error nothing is installed in $(BIN) yet; fix: make setup))

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: ## build the lab, run site.yml against it, print where things are
	@scripts/up

.PHONY: down
down: ## remove the lab: containers, network, volumes, keys, and the Docker engine if it was started here
	@scripts/down

.PHONY: show
show: ## print again where things are in the lab, and how they feel
	@$(SITE_IS_THERE)scripts/show $(SITE)

.PHONY: site
site: ## run site.yml once more (SITE=inventories/...)
	@$(SITE_IS_THERE)$(BIN)/ansible-playbook -i $(SITE) site.yml

.PHONY: secrets
secrets: ## print the secrets of a site on this terminal (SITE=inventories/...)
	@$(SITE_IS_THERE)$(if $(wildcard $(VAULT)),,$(error no vault at $(VAULT); fix: $(BIN)/ansible-playbook playbooks/ops/secrets_init.yml -i $(SITE)))$(BIN)/ansible-vault view $(VAULT)

.PHONY: test
test: ## install what tests need, then run all of them
	@scripts/test

.PHONY: setup
setup: ## install packages and the virtual environment for development
	@scripts/setup dev

.PHONY: lint
lint: setup ## ruff, mypy, yamllint, ansible-lint, shellcheck
	@scripts/lint

.PHONY: format
format: setup ## write Python the way the linters want it
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

.PHONY: hooks
hooks: setup ## check each commit before it is made
	@$(BIN)/pre-commit install

.PHONY: unit
unit: setup ## tests without a network (K=part-of-a-name)
	@$(BIN)/pytest tests/unit $(if $(K),-k '$(K)')

.PHONY: service-test
service-test: setup ## tests of the file service against real PostgreSQL, Redis and S3 (K=...)
	@$(BIN)/pytest service/tests $(if $(K),-k '$(K)')

.PHONY: contract
contract: setup ## tests against real S3 servers (K=...)
	@$(BIN)/pytest tests/contract $(if $(K),-k '$(K)')

.PHONY: molecule
molecule: setup ## a Molecule scenario from bare hosts to destroy (SCENARIO=default)
	@$(if $(wildcard molecule/$(SCENARIO)/molecule.yml),,$(error no scenario $(SCENARIO); right: one of $(sort $(patsubst molecule/%/molecule.yml,%,$(wildcard molecule/*/molecule.yml))); fix: make molecule SCENARIO=default))scripts/engine start && scripts/lab-image && $(BIN)/pytest tests/molecule -k $(SCENARIO)

.PHONY: known-site
known-site:
	@$(if $(wildcard $(SITE)/hosts.yml),,$(error $(subst known-site,e2e,$(NO_SITE)))):

.PHONY: e2e
e2e: known-site setup ## end-to-end tests against the running lab (SITE=inventories/...)
	@STOWAGE_SITE=$(SITE) $(BIN)/pytest tests/e2e

.PHONY: bench-converge
bench-converge: setup ## cold and warm `make up`, a run that changes nothing, with a breakdown by role
	@$(BIN)/python bench/converge.py

.PHONY: bench-prune
bench-prune: setup ## prune beside single deletes, bare batches and rclone
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.txt
	@$(BIN)/python bench/prune.py

.PHONY: bench-service
bench-service: setup ## the file service beside plain S3 and its peers
	@$(BIN)/python bench/service.py

.PHONY: bench-access
bench-access: setup ## access as code beside a script of single calls
	@$(BIN)/python bench/access.py

.PHONY: faults-service
faults-service: setup ## kill the file service's parts under load and count what was lost
	@$(BIN)/python bench/faults_service.py

.PHONY: attack
attack: setup ## attack the file service, by itself and behind both edges, while others use it
	@$(BIN)/python bench/attack.py

.PHONY: faults-trace
faults-trace: setup ## 10,000 writes and deletes while sink and store are killed; is each in the trace? (needs two programs)
	@$(BIN)/python bench/faults_trace.py

.PHONY: lock
lock: ## pin the dependencies anew
	@scripts/lock

.PHONY: clean
clean: down ## down, and remove the images, the virtual environment and caches too
	@scripts/clean
