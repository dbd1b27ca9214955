# What one needs day to day. `make demo` and `make test` set up what they need.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SECONDS ?= 60
.DEFAULT_GOAL := help
.PHONY: help demo test check bench mutants short-trials trials fix fuzz clean

help: ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(READY) ## the main job, with three partner systems and 200 notifications
	@$(BIN)/gateway demo

test: $(READY) ## every test, with a real Kafka and a real PostgreSQL, and the short form of the trials
	@$(BIN)/python -m tests.services.kafka --fetch
	@$(BIN)/python -m tests.suite

check: $(READY) ## what must hold before a commit, in under a minute
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n 2 -m "not slow" tests/architecture tests/unit tests/properties tests/docs

bench: $(READY) ## messages a second, and their ratio to the bare cryptography
	$(BIN)/python -m benchmarks

mutants: $(READY) ## break each promise on purpose: its test must notice
	$(BIN)/python -m tests.mutants

short-trials: $(READY) ## three trials of each kind, and three broken gateways that must be caught
	@$(BIN)/python -m tests.services.kafka --fetch
	$(BIN)/python -m pytest -n 2 --maxschedchunk 1 -m trials

trials: $(READY) ## break processes, services and networks under load: ARGS="--kinds kill-inner --budget 30m --resume"
	@$(BIN)/python -m trials $(ARGS)

fix: $(READY) ## format, and mend what is safe to mend
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

fuzz: $(READY) ## property tests with fresh examples for SECONDS=60 or longer
	@end=$$(($$(date +%s) + $(SECONDS))); \
	while [ $$(date +%s) -lt $$end ]; do \
		$(BIN)/python -m pytest -q tests/properties --hypothesis-seed=random || exit 1; \
	done

clean: ## remove what was made here
	rm -rf .venv .run .services demo-data build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(READY): requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
