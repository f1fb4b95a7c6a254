# Everything lives in .venv; nothing on the system is changed. `make help` lists the targets.
# Each long step says what it does and ends in a stamp file, so an interrupted run goes on where it stopped
# and a finished one does nothing, without network.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP := $(BIN)/python -m pip
LOCKED := --no-deps --require-hashes --only-binary :all:
TORCH_INDEX := https://download.pytorch.org/whl/cpu
TEST_MODELS := smollm2-135m qwen2.5-coder-1.5b-cmr
PORT ?= 8000

.PHONY: help setup demo test check lint bench eval load serve models wheelhouse lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMPS)/extractor ## install everything into .venv (x86-64 Linux, Python 3.11 or 3.12; 2.9 GB)

demo: setup ## read the example reports with the default model
	$(BIN)/extractor models pull
	$(BIN)/extractor extract examples/*.txt

test: setup models ## run the tests, with coverage
	$(BIN)/python -m pytest --cov

check: lint test ## linters, types, import rules, then the tests: what CI runs

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

bench: setup models $(STAMPS)/bench ## how fast the default model reads here, and what others use beside it (about an hour)
	$(BIN)/python -m benchmarks.choice_vs_grammar
	$(BIN)/python -m benchmarks.peers

eval: setup ## how well the default model and the baselines read the test set (about 15 minutes; goes on where it stopped)
	$(BIN)/extractor models pull
	$(BIN)/python -m eval

load: setup models ## how the service holds up at 1, 2 and 5 times what it can read (about 15 minutes)
	$(BIN)/python -m benchmarks.load

serve: setup ## the HTTP API on port 8000 of this machine (PORT=… for another)
	$(BIN)/extractor models pull
	$(BIN)/extractor serve --port $(PORT)

models: setup
	$(BIN)/extractor models pull $(TEST_MODELS)

wheelhouse: $(STAMPS)/venv ## download every locked wheel into wheelhouse/, to set up a machine without network
	$(call say,downloading the locked wheels into wheelhouse/)
	$(PIP) download --no-deps --only-binary :all: --dest wheelhouse --require-hashes -r locks/torch-cpu.txt 2>/dev/null \
	  || $(PIP) download --no-deps --only-binary :all: --dest wheelhouse --require-hashes -r locks/torch-cpu.txt --index-url $(TORCH_INDEX)
	$(PIP) download --no-deps --only-binary :all: --dest wheelhouse --require-hashes -r locks/cpu.txt -r locks/dev.txt -r locks/bench.txt

clean: ## remove .venv and caches (downloaded models stay)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage coverage.xml htmlcov build dist *.egg-info

say = @printf '\n==> %s\n' "$(1)"

# --- set-up ---------------------------------------------------------------------------------------------------------

define FIND_PYTHON
[ "$$(uname -s)-$$(uname -m)" = Linux-x86_64 ] || { \
  echo "make setup: the locked set-up is for Linux on x86-64, this is $$(uname -s) on $$(uname -m). See docs/install.md." >&2; exit 1; }; \
python=; \
for candidate in $(PYTHON) python3.11 python3.12 python3; do \
  if "$$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then python=$$candidate; break; fi; \
done; \
[ -n "$$python" ] || { \
  echo "make setup: Python 3.11 or 3.12 is needed and none was found. Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }; \
"$$python" -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "make setup: $$python has no venv module. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
endef

$(STAMPS)/venv:
	@$(FIND_PYTHON); \
	printf '\n==> 1/4 %s with %s\n' "$(VENV)" "$$("$$python" --version)"; \
	"$$python" -m venv $(VENV)
	@mkdir -p $(@D) && touch $@

# vLLM's CPU kernels are linked against libnuma, a system library that small installations lack. Where it is missing,
# its Debian or Ubuntu package is unpacked inside .venv, and a .pth file loads it at every start of this Python.
$(STAMPS)/libnuma: $(STAMPS)/venv
	@if ! $(BIN)/python -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null; then \
	  echo "    libnuma is not on this system: unpacking its package into $(VENV)"; \
	  mkdir -p $(VENV)/libnuma && cd $(VENV)/libnuma && \
	  { apt-get download libnuma1 && dpkg-deb --extract libnuma1_*.deb . ; } || { \
	    echo "make setup: libnuma is needed. On Debian and Ubuntu: sudo apt-get install libnuma1" >&2; exit 1; }; \
	  library=$$(find "$$PWD" -name libnuma.so.1 | head -n 1); \
	  printf 'import ctypes; ctypes.CDLL("%s")\n' "$$library" > "$$(../bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/libnuma.pth"; \
	fi
	@touch $@

# A package whose installation was killed looks whole to pip: without the file that pip writes last, it is installed again.
REPAIR = find $(VENV)/lib -maxdepth 3 -name '*.dist-info' ! -exec test -e '{}/INSTALLER' ';' -prune -exec rm -r '{}' +; \
	find $(VENV)/lib -maxdepth 3 -name '~*' -prune -exec rm -r '{}' +

# torch's CPU build is not on PyPI. A machine may be set up to find it (a mirror, a wheelhouse); else PyTorch has it.
$(STAMPS)/torch: locks/torch-cpu.txt $(STAMPS)/libnuma
	$(call say,2/4 torch for the CPU (190 MB))
	@SECONDS=0; $(REPAIR); \
	if $(PIP) install $(LOCKED) --retries 1 -r $< 2> $@.log; then :; \
	else \
	  echo "    not where pip looks by itself: fetching it from $(TORCH_INDEX)"; \
	  $(PIP) install $(LOCKED) -r $< --index-url $(TORCH_INDEX) || { \
	    printf '%s\n' "" "make setup: torch could not be fetched, neither as pip is configured here:" >&2; \
	    sed 's/^/    /' $@.log >&2; \
	    printf '%s\n' "nor from $(TORCH_INDEX): is it reachable from here?" \
	      "'make setup' goes on from here; docs/install.md says how to set up a machine without network." >&2; exit 1; }; \
	fi; echo "    done in $$SECONDS s"
	@touch $@

$(STAMPS)/packages: locks/cpu.txt locks/dev.txt $(STAMPS)/torch
	$(call say,3/4 vLLM and about 190 other packages (500 MB; unpacking them takes a quiet minute))
	@SECONDS=0; $(REPAIR); \
	$(PIP) install $(LOCKED) -r locks/cpu.txt -r locks/dev.txt; echo "    done in $$SECONDS s"
	@touch $@

$(STAMPS)/extractor: pyproject.toml $(STAMPS)/packages
	$(call say,4/4 extractor itself)
	@$(PIP) install --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "    ready: $(BIN)/extractor --help"

$(STAMPS)/bench: locks/bench.txt $(STAMPS)/packages
	$(call say,what make bench compares with (35 MB))
	@$(REPAIR); $(PIP) install --quiet $(LOCKED) -r $<
	@touch $@

# --- lock files -----------------------------------------------------------------------------------------------------

COMPILE = $(BIN)/uv pip compile --no-config --quiet $(UPGRADE) --no-sources \
	--python-version 3.11 --python-platform x86_64-manylinux_2_31 --only-binary :all: \
	--generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# torch-cpu.txt is kept by hand: two hashes, as PyTorch publishes them.
lock: $(STAMPS)/packages ## resolve pyproject.toml into locks/ again (UPGRADE=--upgrade for newer versions)
	$(COMPILE) pyproject.toml locks/cpu.in --extra cpu --extra batch --extra eval --extra fhir --extra ray --override locks/cpu.override --output-file locks/cpu.txt
	$(COMPILE) --group dev --constraint locks/cpu.txt --output-file locks/dev.txt
	$(COMPILE) pyproject.toml --extra bench --constraint locks/cpu.txt --output-file locks/bench.txt
	$(COMPILE) pyproject.toml --extra gpu --extra batch --extra eval --extra fhir --extra ray --output-file locks/gpu.txt
