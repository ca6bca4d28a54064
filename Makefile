# comunik-pbx: everything here works for an ordinary user, without root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup check test test-old demo run simulate fuzz bench bench-portal faults clean

help:  ## What there is to type
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.ready: pyproject.toml
	@echo "Setting up $(VENV)/ (once; about half a minute)"
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "comunik-pbx needs Python 3.11 or newer")'
	@$(PYTHON) -c 'import venv, ensurepip; ensurepip.version()' 2>/dev/null || \
		{ echo "Python's venv module is missing: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' || \
		{ echo "The packages named in pyproject.toml could not be installed (is there a network?); make tries again"; exit 1; }
	@touch $@

setup: $(VENV)/.ready  ## The virtual environment alone

check: setup  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup  ## All tests, those on a real Asterisk included
	$(BIN)/python -m pytest

test-old: setup  ## The calls on the oldest Asterisk tested (16.28, Debian 11's), fetched once
	COMUNIK_SANDBOX_SUITE=bullseye $(BIN)/python -m pytest -m "pbx and not start_time" tests/stories tests/dialplan \
	  tests/asterisk tests/cli tests/service/test_modules_not_loaded.py

demo: setup  ## Real calls by real SIP phones through every kind of forward
	$(BIN)/python -m comunik_pbx.sandbox demo

run: setup  ## The same PBX and service, staying up (EXTRA=file.toml adds configuration)
	$(BIN)/python -m comunik_pbx.sandbox run $(if $(EXTRA),--extra $(EXTRA))

simulate: setup  ## The service on a simulated Asterisk in virtual time (SEEDS=500 HOURS=2 FIRST=1 JOBS=1)
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),500) --hours $(or $(HOURS),2) \
	  --first $(or $(FIRST),1) --jobs $(or $(JOBS),1)

fuzz: setup  ## Whatever Asterisk, admins and users may send, spoiled at random, for SECONDS=600
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),600)

bench: setup  ## Decision time and cost per call beside plain Dial(); a few minutes (QUICK=1: one; TALK=17: longer calls; SOUND=10: with sound)
	$(BIN)/python -m comunik_pbx.sandbox bench $(if $(QUICK),--quick) $(if $(TALK),--talk $(TALK)) $(if $(SOUND),--sound --talk $(SOUND))

bench-portal: setup  ## A change of a rule with 50 users at once, and what calls notice of it; three minutes
	$(BIN)/python -m comunik_pbx.sandbox bench-portal $(if $(QUICK),--quick)

faults: setup  ## Calls while service, Asterisk and network fail (ONLY="kill stop"; ONLY=soak MINUTES=30 RATE=20)
	$(BIN)/python -m comunik_pbx.sandbox faults $(or $(ONLY),all) --per-second $(or $(RATE),10) \
	  --minutes $(or $(MINUTES),30)

clean:  ## Forget .venv/ and .sandbox/
	rm -rf $(VENV) .sandbox
