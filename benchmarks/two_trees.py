"""Speed of this tree beside another one of the project: both in turn, in one run.

    git worktree add --detach ../before c40ad45
    python -m benchmarks.two_trees ../before --rounds 3

Prints the medians of each and the median ratio of speeds, before over after in time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIST = "from aezoo.cli import main; main(['list'])"


def measure() -> dict[str, float]:
    """Seconds of each piece of work, in a process of one tree."""
    import keras
    import numpy as np

    import aezoo

    def fastest(work: Callable[[], object], repeats: int = 15) -> float:
        work()
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return min(seconds)  # what else runs only ever adds

    x = aezoo.digits.draw_digits(2_048, seed=1)[0]
    floats = x.astype("float32") / 255.0
    model = aezoo.load("conv_vae_mnist_z16")
    found = {
        "reconstruct 2,048, uint8": fastest(lambda: model.reconstruct(x)),
        "reconstruct 2,048, float": fastest(lambda: model.reconstruct(floats)),
        "encode 2,048": fastest(lambda: model.encode(floats)),
        "sample 1,024": fastest(lambda: model.sample(1_024, seed=0)),
        "reconstruct one, 100 times": fastest(
            lambda: [model.reconstruct(floats[:1]) for _ in range(100)]
        ),
    }
    for family, size in (("dense_vae", 8_192), ("conv_vae", 1_024)):
        keras.utils.set_random_seed(0)
        fitted = aezoo.create(family, latent_dim=16)
        fitted.compile("adam")
        data = np.resize(floats, (size, 28, 28, 1))
        found[f"fit {family}, {size:,}"] = fastest(
            lambda m=fitted, d=data: m.fit(d, batch_size=128, verbose=0), 6
        )
    return found


def run(tree: Path) -> dict[str, float]:
    """What one tree takes for everything, and for `aezoo list`."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "TF_CPP_MIN_LOG_LEVEL": "3"}

    def process(*arguments: str) -> str:
        # `-P`: no folder but the tree's may provide `aezoo`
        return subprocess.run(
            [sys.executable, "-P", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    found: dict[str, float] = json.loads(process(__file__, "--child").splitlines()[-1])
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        process("-c", LIST)
        seconds.append(time.perf_counter() - start)
    return {**found, "aezoo list": statistics.median(seconds)}


def main() -> None:
    """Measure, and print a line for each piece of work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, nargs="?", help="the other tree")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure()))
        return
    if arguments.before is None or not (arguments.before / "aezoo").is_dir():
        parser.error("name the folder of another tree of the project")
    trees = {"before": arguments.before.resolve(), "after": ROOT}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    for number in range(arguments.rounds):
        for name in list(trees)[:: 1 if number % 2 else -1]:
            rounds[name].append(run(trees[name]))
    for work in rounds["before"][0]:
        before, after = ([each[work] for each in rounds[name]] for name in trees)
        ratio = statistics.median(b / a for b, a in zip(before, after, strict=True))
        print(
            f"{work:28} {statistics.median(before):.3f} s, now "
            f"{statistics.median(after):.3f} s: {ratio:.2f} of the speed"
        )


if __name__ == "__main__":
    main()
