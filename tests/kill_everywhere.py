"""Encodings that are killed at every moment, and gone on with.

`python -m tests.kill_everywhere FOLDER SCRATCH` forks one process after the other. The
i-th dies by SIGKILL at its i-th step: before or after anything that it does to a file,
or between two batches. The next one must finish its work. Prints JSON. Keras is not
involved, so that a fork is safe and cheap; nor is the disk waited for, whose caches
outlive a process.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock  # noqa: F401  # what every fork would import anew
import numpy as np
import pandas as pd  # noqa: F401
import pyarrow.parquet as pq
from PIL import PngImagePlugin  # noqa: F401

from aezoo.features.streaming import EncodingRun

CALLS = ("mkdir", "fsync", "replace", "unlink", "rmdir")


class ToyEncoder:
    """Three pixels of an image are its features."""

    feature_shape = (3,)
    dim = 3

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self._step()
        return images[:, 10, 12:15, 0].astype("float32")


def encode(folder: str, output: Path, dies_at: int | None) -> None:
    """One run; dies at a step if there is one."""
    steps = 0

    def step() -> None:
        nonlocal steps
        if steps == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            step()
            result = function(*args, **kwargs)
            step()
            return result

        return call

    os.fsync = lambda _: None
    for name in CALLS:
        setattr(os, name, watched(getattr(os, name)))
    run = EncodingRun("conv_ae_mnist_z32", folder, output, batch_size=4, part_size=8)
    run.write(lambda: ToyEncoder(step))  # type: ignore[arg-type,return-value]


def in_a_fork(*arguments: Any) -> int:
    """The signal that ended it; 0 if none did."""
    process = os.fork()
    if process == 0:
        try:
            encode(*arguments)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"A run failed: {arguments}.")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def main(folder: str, scratch: str) -> None:
    """Kill at step 0, 1, ... until a run has fewer steps."""
    expected, killed, resumed = None, 0, 0
    place = Path(scratch)
    for dies_at in (None, *range(10_000)):
        place.mkdir()
        output = place / "features.parquet"
        death = in_a_fork(folder, output, dies_at)
        parts = len(list(place.glob("*.parts/part-*.arrow")))
        if death:
            killed += 1
            resumed += parts > 0
            in_a_fork(folder, output, None)
        table = pq.read_table(output)
        expected = expected or table
        if not table.equals(expected, check_metadata=True):
            raise RuntimeError(f"Killed at step {dies_at}, the rows differ.")
        left = [path.name for path in place.iterdir()]
        if left != ["features.parquet"]:
            raise RuntimeError(f"Killed at step {dies_at}, these stay: {left}.")
        shutil.rmtree(place)
        if dies_at is not None and not death:
            break
    paths = expected["path"].to_pylist()
    sys.stdout.write(json.dumps({"killed": killed, "resumed": resumed, "paths": paths}))


if __name__ == "__main__":
    main(*sys.argv[1:])
