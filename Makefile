# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What shares fixtures stays in one process: see tests/conftest.py.
WORKERS ?= 2
SECONDS ?= 600
LOWEST := .venv-lowest
# A whole life of a model, its weights, those of the zoo and of diffusers, the Hub.
LOWEST_TESTS := tests/test_weights_files.py \
	tests/test_golden.py::test_weights_reproduce_their_golden_tensors[conv_vae_mnist_z16] \
	tests/test_imports.py::test_an_autoencoder_kl_computes_what_diffusers_does[kl_sd] \
	tests/test_imports.py::test_a_model_on_the_hub tests/test_contributing.py \
	tests/test_bits.py
DIST := -n $(WORKERS) --dist loadscope --no-loadscope-reorder
PYTEST := $(BIN)/python -m pytest $(DIST)
SELECT ?= -m "not rest and not exhaustive"
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo docs test test-all test-rest test-exhaustive test-lowest test-tensorflow test-jax test-torch faults lint format wheel clean

demo: $(VENV)/.demo  ## Draw digits, run the models, write one picture: demo.png
	$(BIN)/aezoo demo -o demo.png

docs: $(VENV)/.docs  ## The documentation site, in build/site; strict, nothing from elsewhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

test: test-tensorflow test-jax  ## What to wait for, on both backends: 5 minutes

test-all:  ## Every file, and every behaviour once
	$(MAKE) test SELECT='-m "not exhaustive"'

test-rest: $(VENV)/.dev  ## Of what `test-all` adds, as much as starts within SECONDS
	KERAS_BACKEND=tensorflow $(PYTEST) -m "rest and not exhaustive" --seconds $(SECONDS)

test-exhaustive:  ## Every check of every family, and long draws: hours
	$(MAKE) test SELECT='-m exhaustive'

test-tensorflow: $(VENV)/.dev
	KERAS_BACKEND=tensorflow $(PYTEST) $(SELECT)

test-jax: $(VENV)/.dev  # its own process: a process has one Keras backend
	KERAS_BACKEND=jax $(PYTEST) $(SELECT) tests/test_bits.py tests/test_contributing.py \
		tests/test_common.py tests/test_golden.py tests/test_passes.py

test-torch: $(VENV)/.torch  ## What is of PyTorch's own, which no other target needs
	KERAS_BACKEND=torch $(PYTEST) -m "not exhaustive" tests/test_bits.py \
		tests/test_contributing.py tests/test_common.py tests/test_golden.py \
		tests/test_torch.py tests/test_training_step.py tests/test_checkpoints.py \
		tests/test_features.py tests/test_gan.py

test-lowest: $(LOWEST)/.dev  ## The lowest versions that pyproject.toml allows
	for backend in tensorflow jax; do KERAS_BACKEND=$$backend $(LOWEST)/bin/python \
		-m pytest -W default $(DIST) $(LOWEST_TESTS) || exit 1; done

faults: $(VENV)/.dev  ## Every fault of the Hub, what comes of it, and how soon
	REAL_WAITS=1 KERAS_BACKEND=tensorflow $(PYTEST) tests/test_hub_faults.py

lint: $(VENV)/.dev  ## Style, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(VENV)/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(LOWEST) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"aezoo needs Python 3.11 or newer. Set it with `make PYTHON=python3.11 ...`.")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[plots]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.demo

$(LOWEST)/.dev: pyproject.toml constraints.txt $(VENV)/.dev
	$(PIP) uv  # pip itself finds no lowest versions
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python \
		--resolution lowest-direct -e ".[dev]"
	@touch $@

$(VENV)/.torch: pyproject.toml constraints.txt $(VENV)/.dev
	$(PIP) -e ".[torch]"
	@touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[docs]"
	@touch $@
