# demo   the main job on the shipped model: base install only, no torch, offline after the install
# test   everything that CI runs
# check  what must be green before a commit
# bench  speed against peers, in the same run; the full profile: make bench BENCH="--full --write docs/performance.md"
# test-integrations  the adapters against all the libraries that they plug into (400 MB more)
# test-cluster  the store's tests against a cluster: make test-cluster URL=qdrant://host:6334
# evaluate-mini  the model card, from a clean state; with a text model to compare with: make evaluate-mini TEACHER=folder
# train-mini  the shipped model from nothing, and its card: hours on a laptop
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.onespace

.PHONY: demo test check bench test-integrations test-cluster evaluate-mini train-mini clean

demo: $(STAMP)-base
	$(BIN)/onespace demo --out demo-output

test: $(STAMP)-test
	$(BIN)/python -m pytest

check: $(STAMP)-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

bench: $(STAMP)-test
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks $(BENCH)

test-integrations: $(STAMP)-test
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[integrations]'
	$(BIN)/python -m pytest tests/integrations src/onespace/integrations

test-cluster: $(STAMP)-test
	ONESPACE_CLUSTER=$(URL) $(BIN)/python -m pytest tests/store -k cluster

MINI := $(BIN)/python -m recipes.mini

# Fetches the pinned drawings and names, and renders them.
build/mini/.ready: $(STAMP)-test
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[recipes]'
	$(MINI).fetch
	$(MINI).texts
	$(MINI).render
	touch $@

# Measures the shipped model and writes docs/model-card.md.
evaluate-mini: build/mini/.ready
	$(MINI).card $(if $(TEACHER),--teacher $(TEACHER))

# Run after run: the first from random weights, each other from what the one before it has learnt.
train-mini: build/mini/.ready
	$(MINI).tokenizer
	$(MINI).train --steps 2000 --out build/mini/first
	$(MINI).ship --run build/mini/first --checkpoint build/mini/v0 --shipped build/mini/v0-onnx \
	    --note "From random weights."
	$(MINI).train --steps 2400 --start build/mini/v0 --behind 2000 --decay 0.42 --out build/mini/second
	$(MINI).ship --run build/mini/second --checkpoint build/mini/v1 --shipped build/mini/v1-onnx \
	    --note "Goes on from v0."
	$(MINI).train --steps 900 --start build/mini/v1 --behind 4400 --rate 7e-4 --decay 0.82 --out build/mini/third
	$(MINI).ship --run build/mini/third --share 0.5 --checkpoint build/mini/v2 --shipped build/mini/v2-onnx \
	    --note "Goes on from v1; the mean of both is kept."
	$(MINI).reading --start build/mini/v2 --favoured 0.65 --steps 400 --rate 1e-3 --out build/mini/fourth
	$(MINI).ship --run build/mini/fourth --checkpoint build/mini/v3 --shipped build/mini/v3-onnx \
	    --note "The table of words alone, by names in all languages."
	$(MINI).seeing --start build/mini/v3
	$(MINI).reading --start build/mini/v3
	$(MINI).ship --run build/mini/seeing build/mini/reading --share 0.5 1 \
	    --checkpoint build/mini/v5 --shipped build/mini/v5-onnx \
	    --note "The image tower alone; half of its change is kept." "The table of words alone; three quarters of the names in any language."
	$(MINI).train --steps 100 --start build/mini/v5 --behind 5700 --only heads --decay 0.7 --out build/mini/run
	$(MINI).ship --note "The sparse and the multi-vector head alone."
	$(MINI).calibrate
	$(MINI).card $(if $(TEACHER),--teacher $(TEACHER))

clean:
	rm -rf .venv build dist demo-output

$(BIN)/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

$(STAMP)-base: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile -e .
	touch $@

$(STAMP)-test: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch $@
