# make demo   environment, generated data, a small model trained and evaluated (a few minutes)
# make test   environment and all tests
# make lint   style and types

PYTHON ?= python3
BIN := .venv/bin
DEMO := workdirs/demo
INSTALLED := .venv/.installed

.PHONY: demo test lint clean

$(INSTALLED): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mmjax needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "$(PYTHON) cannot make environments; on Debian: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python -m data_pipelines.prepare synthetic --data_dir=workdirs/data
	$(BIN)/python -m mmjax.main --config=configs/demo/bttr.py --workdir=$(DEMO)
	$(BIN)/python -m mmjax.main --workdir=$(DEMO) --mode=evaluate --split=test

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf workdirs .cache build *.egg-info
