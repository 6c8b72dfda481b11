"""Saves of several processes into one place, without Keras, so that forks are cheap.

`python -m tests.race_saves new SCRATCH`: eight processes save to one new path, without
overwriting; prints how many succeeded. `... replace A B TARGET SECONDS`: saves files
of the folders A and B to TARGET by turns, and prints how often.
"""

import os
import sys
import time
from pathlib import Path

from aezoo.utils import folders

PROCESSES = 8


def save_new(scratch: str) -> int:
    """How many of the processes succeeded; each tells so by a byte."""
    target = Path(scratch) / "model"
    files = {name: os.urandom(10_000) for name in "abc"}

    def check() -> None:
        if target.exists():
            raise FileExistsError

    start_read, start_write = os.pipe()
    for _ in range(PROCESSES):
        if os.fork() == 0:
            os.close(start_write)
            os.read(start_read, 1)  # until all are there
            try:
                folders.write_folder(target, files, set(files), check)
            except FileExistsError:
                os._exit(1)
            os._exit(0)
    os.close(start_write)
    codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(PROCESSES)]
    if set(codes) > {0, 1} or [p.name for p in Path(scratch).iterdir()] != ["model"]:
        raise RuntimeError(f"{codes}, {list(Path(scratch).iterdir())}")
    return codes.count(0)


def replace(a: str, b: str, target: str, seconds: str) -> int:
    """How often a folder was replaced."""
    versions = [{p.name: p.read_bytes() for p in Path(f).iterdir()} for f in (a, b)]
    end, count = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        files = versions[count % 2]
        folders.write_folder(Path(target), files, set(files), lambda: None)
        count += 1
    return count


if __name__ == "__main__":
    action = {"new": save_new, "replace": replace}[sys.argv[1]]
    sys.stdout.write(str(action(*sys.argv[2:])))
