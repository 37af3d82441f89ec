# Every target is one or two lines; tools come out of .venv. `make check` is what CI runs beside the tests.

PYTHON ?= python3
BIN    := .venv/bin
APP    ?= examples.collisions.pipeline:app
SEED   ?= 1
ARGS   ?=
TYPED  := $(wildcard covey examples benchmarks)
PROTOS := $(wildcard protos protos/third_party)
OUT    ?= .

.PHONY: setup run test check lint types law contract compose fmt proto bench bench-slo bench-peers sim sim-moves up down lock gpu-check clean

setup: .venv/.stamp  ## a second call does nothing until the lock or pyproject.toml changes

.venv/.stamp: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv && $(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps traffic==2.13 --editable . && touch $@

run: setup  ## the whole mesh on real tracks
	$(BIN)/python -m examples.collisions $(ARGS)

test: setup
	$(BIN)/python -m pytest $(ARGS)

check: setup lint types law contract compose

lint:
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types:
	$(BIN)/mypy $(TYPED:%=-p %)

law:  ## who may import whom
	$(BIN)/lint-imports --no-logo --no-cache

contract:  ## the protos, and that covey/v1 is what they generate
	$(BIN)/buf lint && rm -rf build/proto && mkdir -p build/proto && $(MAKE) --no-print-directory proto OUT=build/proto
	diff -r -x __init__.py -x __pycache__ build/proto/covey/v1 covey/v1

compose: $(wildcard deploy/*compose*.yml deploy/Dockerfile*)  ## no container engine needed
	$(if $(filter %.yml,$^),$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec $(filter %.yml,$^) && $(BIN)/compose-lint check $(filter %.yml,$^))
	$(if $(filter deploy/Dockerfile%,$^),$(BIN)/hadolint $(filter deploy/Dockerfile%,$^))

fmt: setup
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

proto: setup
	$(BIN)/python -m grpc_tools.protoc $(PROTOS:%=-I %) --python_out=$(OUT) --pyi_out=$(OUT) --grpc_python_out=$(OUT) protos/covey/v1/*.proto

bench: setup  ## what is claimed, as programs that print it
	$(BIN)/python -m benchmarks $(ARGS)

bench-slo: setup  ## pipelines under one objective, an hour or more; what was interrupted goes on. Its log is runs/slo/log.txt
	mkdir -p runs/slo && $(BIN)/python -u -m benchmarks.slo $(ARGS) >> runs/slo/log.txt 2>&1
	cd runs/slo && for each in summary.json report.txt runs.jsonl; do cp $$each ../../benchmarks/results/slo-$$each; done

bench-peers: setup
	$(BIN)/python -m benchmarks.peers $(ARGS)

sim: setup  ## the same cores in virtual time; a failing run prints its seed
	$(BIN)/python -m covey.simulator --seed $(SEED) $(ARGS)

sim-moves: setup  ## a thousand worlds in which groups move while traffic runs
	$(BIN)/python -m covey.simulator --seed $(SEED) --moving 1000 $(ARGS)

up: setup  ## a local mesh that stays; its log is runs/up.log
	mkdir -p runs && { nohup $(BIN)/covey up $(APP) $(ARGS) > runs/up.log 2>&1 & echo $$! > runs/up.pid; }
	@until grep 'gateway listens' runs/up.log; do kill -0 $$(cat runs/up.pid) || { cat runs/up.log; exit 1; }; sleep 0.2; done

down:  ## returns when every process is gone
	test ! -f runs/up.pid || { pid=$$(cat runs/up.pid); rm runs/up.pid; kill -TERM $$pid && tail -s 0.1 --pid=$$pid -f /dev/null; }

# Without hashes on purpose: pip asks for all or none, and PyPI's CUDA build of torch brings nvidia-* packages that the
# CPU build, which this is compiled with, does not name. The tag of the local build (+cpu) goes: any 2.13.0 will do.
lock:
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --all-extras --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-options -P torch==2.13.0 -o requirements.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.lock

gpu-check: setup  ## the engine's rules and what they are worth, on a CUDA device
	$(BIN)/python -m pytest -m gpu $(ARGS) && $(BIN)/python -m benchmarks.priority.gpu

clean:
	rm -rf .venv build dist runs
