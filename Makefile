# Every verb a person types here. `make up` and `make test` need Python 3.11, make and a package index; nothing else.

.DEFAULT_GOAL := help
.PHONY: help up test endure check native image bench figures wheels fuzz sanitize lock clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SOURCES := fairlead fairlead_cli stund turnd signal_api
CHECKED := $(SOURCES) $(wildcard bench fuzz) sdk/python tests

help:  ## Lists the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

up: $(VENV)/run.stamp  ## Runs stund, turnd and signal-api; arguments for `fairlead up` go into ARGS
	@tools/build-engine --if-possible
	@exec $(BIN)/fairlead up $(ARGS)

test: $(VENV)/dev.stamp  ## Runs the tests; ARGS narrows them down, as in ARGS="tests/stund -x"
	@tools/install-programs tests/programs.txt
	@tools/build-engine --if-possible
	@$(CARGO_TEST)
	@$(BIN)/python -m pytest $(ARGS)

# What a minute of tests only hints at, with the values that are promised; half an hour of a quiet machine.
ENDURED := FAIRLEAD_RECONNECTS=1000 FAIRLEAD_REDIS_PAUSE=15 FAIRLEAD_DRAINED_CLIENTS=2000 FAIRLEAD_HOSTILE=16 \
	FAIRLEAD_SIMULATION=1000 FAIRLEAD_GHOSTS=40
ENDURING := tests/signal_api/engine/redis/test_vault_switching.py tests/signal_api/engine/redis/test_vault_ghosts.py \
	tests/system/test_redis_outages.py tests/system/test_redis_deaths.py tests/hostile/test_others.py tests/simulation

endure: $(VENV)/dev.stamp  ## Runs the long variants of tests: reconnects, outages, drains, attacks, simulation
	@tools/install-programs tests/programs.txt
	@tools/build-engine --if-possible
	@$(ENDURED) $(BIN)/python -m pytest --timeout 1800 -s $(ENDURING) $(ARGS)

check: $(VENV)/dev.stamp  ## Format, lint, types, import contracts
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports
	@$(CARGO_CHECK)

native:  ## Builds the native engine; needs Rust (cargo)
	@tools/build-engine

image: $(VENV)/dev.stamp  ## Builds the image without a registry, runs it and tries it; root
	@tools/install-programs tests/deploy/programs.txt
	@tools/build-engine --if-possible
	@FAIRLEAD_IMAGE=$${FAIRLEAD_IMAGE:-here} $(BIN)/python -m pytest tests/deploy $(ARGS)

bench: $(VENV)/dev.stamp  ## Measures the relay against coturn; ARGS are those of `python -m bench relay`
	@tools/install-programs tests/programs.txt
	@tools/build-engine --if-possible
	@$(BIN)/python -m bench relay --vs coturn $(ARGS)

fuzz: $(VENV)/fuzz.stamp  ## Looks for bytes that break something; ARGS are those of `python -m fuzz`
	@$(BIN)/python -m fuzz $(ARGS)

sanitize:  ## Runs the native tests under AddressSanitizer, and under Miri where a nightly toolchain has it
	@tools/sanitize

figures: $(VENV)/dev.stamp  ## Measures and draws what README shows; root, coturn and five quiet minutes
	@tools/install-programs tests/programs.txt
	@tools/build-engine
	@tools/measure-figures $(ARGS)

wheels: $(VENV)/dev.stamp  ## Builds what is published into dist/; ARGS=--manylinux for other machines, in containers
	@tools/build-wheels $(ARGS)

# uv resolves for every platform at once. Neither the index nor a machine's wheel folder is written down.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: $(VENV)/dev.stamp  ## Renews requirements/ from pyproject.toml; UPGRADE=--upgrade takes the newest of everything
	$(LOCK) $(UPGRADE) pyproject.toml --group build --output-file requirements/run.txt
	$(LOCK) $(UPGRADE) pyproject.toml --group build --group dev --constraint requirements/run.txt --output-file requirements/dev.txt
	$(LOCK) $(UPGRADE) --group pyproject.toml:fuzz --output-file requirements/fuzz.txt

clean:  ## Removes the environment and every cache
	rm -rf $(VENV) sdk/js/node_modules sdk/js/dist tests/interop/node/node_modules native/target fairlead/native/_engine.abi3.so build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz
	find $(CHECKED) -name __pycache__ -type d -prune -exec rm -rf {} +

# What Rust has its own tools for.
IN_NATIVE := cd native && command -v cargo >/dev/null || { echo "no cargo here: native/ is not checked"; exit 0; }
CARGO_CHECK := $(IN_NATIVE); cargo fmt --check && cargo clippy --quiet --locked --all-targets --all-features -- --deny warnings
CARGO_TEST := $(IN_NATIVE); cargo test --quiet --locked --all-features --package routes --package engine --package fuzz

# A stamp is as new as the lock that it installed, so the second run of a verb starts at once.
# The checkout itself is installed last: editable, from the pinned build tools, fetching nothing.
define install
	$(PIP) install --require-hashes --requirement requirements/$(1).txt
	$(PIP) install --no-deps --no-build-isolation --editable .
endef

$(BIN)/python:
	@tools/make-environment $(VENV)

$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "installing what Fairlead runs on into $(VENV)"
	@$(call install,run)
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "installing what Fairlead is developed with into $(VENV)"
	@$(call install,dev)
	@touch $@ $(VENV)/run.stamp

# Fuzzers are wheels for few machines; the replay of what they found needs none of them.
$(VENV)/fuzz.stamp: requirements/fuzz.txt $(VENV)/dev.stamp
	@$(PIP) install --require-hashes --requirement requirements/fuzz.txt
	@touch $@
