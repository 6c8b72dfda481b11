"""One environment for all tests: seeded, offline, with its own cache and home."""

import atexit
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

_STARTED = time.monotonic()
# Before Keras is imported: it reads `$KERAS_HOME/keras.json` and fixes its backend.
_HOME = Path(tempfile.mkdtemp(prefix="aezoo-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
# The real datasets stay reachable from the temporary home.
DATASETS = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
os.environ.update(
    HOME=str(_HOME),
    KERAS_HOME=str(_HOME / "keras"),
    XDG_CACHE_HOME=str(_HOME / "cache"),
    HF_HOME=str(_HOME / "huggingface"),
    HF_HUB_DISABLE_XET="1",  # a protocol that the tests' own Hub does not speak
    MPLCONFIGDIR=str(_HOME / "matplotlib"),
    MPLBACKEND="Agg",
    TFDS_DATA_DIR=str(DATASETS),
    TF_CPP_MIN_LOG_LEVEL="3",
)
# XLA spends more time on optimising these tiny models than on running them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if os.environ.get("KERAS_BACKEND") == "torch":
    # PyTorch's threads wait for each other at every operation, and there is a process
    # of tests for each core.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests.zoo_fixtures import _tiny_zoo_folder, own_zoo, tiny_zoo  # noqa: E402, F401

if os.environ.get("KERAS_BACKEND") == "torch":
    from tests.torch_tensors import refuse_numpy

    refuse_numpy()  # as on a GPU

pytest.register_assert_rewrite("tests.checks")  # show the values that differ
# The same examples at every run; no time limit, as the first one compiles.
settings.register_profile("aezoo", derandomize=True, deadline=None, database=None)
settings.load_profile("aezoo")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--seconds`: how long tests may be started, for runs that take what fits."""
    parser.addoption("--seconds", type=float, default=None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what would start too late."""
    seconds = item.config.getoption("--seconds")
    if seconds is not None and time.monotonic() - _STARTED > seconds:
        pytest.skip(f"not started within {seconds:.0f} seconds")


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Every test starts from the same random state, in whatever order they run."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    """NumPy random numbers, the same for every run of a test."""
    return np.random.default_rng(0)


def needs_dataset(name: str) -> None:
    """Skips the test where the dataset is not prepared, or only half of it is."""
    if not any((DATASETS / name).glob("**/dataset_info.json")):
        pytest.skip(f"needs the dataset {name} in {DATASETS}")


@pytest.fixture(scope="session")
def mnist() -> tuple[np.ndarray, np.ndarray]:
    """Real MNIST images `(train, test)`, uint8; skips where it is not prepared."""
    needs_dataset("mnist")
    from aezoo.data.datasets import load_dataset

    train, test = load_dataset("mnist", "train"), load_dataset("mnist", "test")
    return train.examples, test.examples


# Files whose tests share, by their first parameter, a family's or a pretrained model.
BY_PARAMETER = {"test_common.py", "test_golden.py"}


def group_of(nodeid: str) -> str:
    """What shares a process, and its fixtures: a file, a family, a pretrained model."""
    path, _, test = nodeid.partition("::")
    file = path.rpartition("/")[2]
    first = re.search(r"\[(\w+)", test)
    return first[1] if first and file in BY_PARAMETER else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """By groups; `--dist loadgroup` writes them into ids, which pytest 9.2 ignores."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return ByGroup(config, log)


# What `make test` runs, for those who wait for it: the rules that all code keeps, the
# whole life of a model of every kind of network, objectives, training, folders, data.
# `make test-all` runs the rest as well: every file, and every behaviour once.
QUICK = {
    "test_batches.py",
    "test_bits.py",
    "test_check.py",
    "test_checks_can_fail.py",
    "test_contributing.py",
    "test_corruption.py",
    "test_datasets.py",
    "test_demo.py",
    "test_digits.py",
    "test_documents.py",
    "test_draws.py",
    "test_files.py",
    "test_folder.py",
    "test_folders.py",
    "test_images.py",
    "test_import_rules.py",
    "test_keras_private.py",
    "test_losses.py",
    "test_manifest.py",
    "test_records.py",
    "test_torch.py",
    "test_training_step.py",
    "test_weights_files.py",
}
if os.environ.get("KERAS_BACKEND") == "torch":
    QUICK |= {"test_checkpoints.py", "test_features.py"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups in one piece, as their tests share fixtures.

    The faults come first: they mostly wait, while another process computes. The small
    groups come last, so that no process is left alone with a large one.
    """

    def turn(item: pytest.Item) -> int:
        if item.path.name == "test_hub_faults.py":
            return 0
        return 1 if group_of(item.nodeid) == item.path.name else 2

    items.sort(key=turn)
    for item in items:
        if item.path.name not in QUICK:
            item.add_marker(pytest.mark.rest)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of faults (`tests/test_hub_faults.py`), whichever process ran them."""
    rows = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "fault"
    ]
    if rows:
        from tabulate import tabulate

        table = tabulate(
            [
                (fault, outcome, f"{seconds:.1f} (< {bound})", requests)
                for fault, outcome, seconds, bound, requests in rows
            ],
            headers=("fault", "what happens", "seconds", "requests"),
            maxcolwidths=(28, 46, None, None),
        )
        terminalreporter.write_sep("=", "what goes wrong with the Hub")
        terminalreporter.write_line(table)
