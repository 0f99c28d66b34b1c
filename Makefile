# `make demo` and `make test` need Python 3.11, make and a package registry; nothing needs root or a GPU.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test bench ui lint audit image lock docs versions clean

demo: $(INSTALLED)  ## set up, then run the whole chain on the simulated archive
	$(BIN)/burnscar demo

test: $(INSTALLED)  ## set up, then run the whole test suite
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

bench: $(INSTALLED)  ## measure the demo, what staying up to date costs, and imagery, training and maps beside rslearn: more than an hour
	failed=0; for name in start stage refresh imagery training mapping; do $(BIN)/python benchmarks/$$name.py || failed=1; done; exit $$failed

ui: $(INSTALLED)  ## the web UI and daemon on 127.0.0.1:3000, with what `make demo` made
	$(BIN)/burnscar ui

lint: $(INSTALLED)  ## formatter, linter, type checker, and that the code location loads
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/dg check defs

audit: $(INSTALLED)  ## known faults of locked packages, and the bill of materials (build/sbom.json)
	$(BIN)/python deploy/audit.py $(AUDIT_OPTIONS)

image: deploy/base.digest  ## build the image; commit deploy/base.digest, or delete it to take the newest base
	docker build -f deploy/Dockerfile -t burnscar:$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
		--build-arg BASE_DIGEST=$$(cat $<) .

deploy/base.digest:
	docker buildx imagetools inspect python:3.11-slim --format '{{.Manifest.Digest}}' > $@.new
	mv $@.new $@

COMPILE := uv pip compile pyproject.toml --generate-hashes --no-emit-index-url --universal \
	--python-version 3.11 --quiet --custom-compile-command "make lock"

lock:  ## write requirements.lock anew from pyproject.toml, and what of it production needs
	$(BIN)/$(COMPILE) --extra dev -o requirements.lock
	$(BIN)/$(COMPILE) --extra production --constraint requirements.lock -o deploy/requirements.lock

docs: $(INSTALLED)  ## write docs/data-contracts.md anew from the contracts
	$(BIN)/python -m burnscar_assets.orchestration.documentation

versions: $(INSTALLED)  ## record the code that the stages' versions stand for, after raising those whose results change
	$(BIN)/python -m burnscar_assets.orchestration.stage_code

clean:  ## remove the virtual environment and the demo's data
	rm -rf $(VENV) data/demo

$(INSTALLED): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q burnscar_assets
	touch $@
