# Two commands for people: `make demo` and `make test`. Each sets up all that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint $(LOCK)

.PHONY: demo test test-page bench policy lint clean

demo: $(VENV)/run.stamp
	$(BIN)/vla-rl demo --blackout 5 --out demo_output $(DEMO_ARGS)

# Two at a time where nothing is timed; graphs of processes one after the other. Status 5 says that
# TEST_ARGS chose none of one half. A graph's test that fails while the machine stands still for a
# tenth of a second is run again, twice at most, and counted in the last line.
test: $(VENV)/test.stamp lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile \
		-m "not graph and not alone and not nightly and not browser" $(TEST_ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest --reruns 2 --only-rerun MachineStalledError \
		-m "(graph or alone) and not nightly and not browser" $(TEST_ARGS) || [ $$? -eq 5 ]

# The operator's page in a real browser, on a simulated robot. Chromium is the system's; as root of
# a Debian machine it is installed.
test-page: $(VENV)/test.stamp
	command -v chromium || (apt-get update && apt-get install --yes chromium)
	$(PIP) playwright
	$(BIN)/python -m pytest -m browser test/browser $(TEST_ARGS)

# Attacks on the safety filter, a million ticks for each robot, and what a tick costs; then the link
# to the learner under 200 kills and cuts, and reading, converting, sampling and exporting.
bench: $(VENV)/test.stamp
	$(BIN)/vla-rl bench safety --ticks 1000000 --steady 1000000 --jobs 2 $(BENCH_ARGS)
	$(BIN)/vla-rl bench link $(BENCH_ARGS)
	$(BIN)/vla-rl bench replay $(BENCH_ARGS)

# The shipped policy again: demonstrations through the graph in real time, then training.
policy: $(VENV)/test.stamp
	$(BIN)/vla-rl demo --actor sim_expert --seed 1000000 --episodes 120 --out policy_output
	$(BIN)/vla-rl learner train --recipe franka_pick_consistency \
		--replay policy_output/replay --out policy_output/bundle --seed 0

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/run.stamp: $(LOCK) setup.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) setuptools wheel
	$(PIP) --no-build-isolation --editable ".[ros,sim]"
	touch $@

# The learner's torch comes after the robot's packages and from the same lock.
$(VENV)/test.stamp: $(VENV)/run.stamp
	$(PIP) torch
	$(PIP) --no-build-isolation --editable ".[ros,sim,learner,dev]"
	touch $@

clean:
	rm -rf $(VENV) build install log demo_output policy_output
