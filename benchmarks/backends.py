"""The same model on every backend: cold start, training, inference.

    python -m benchmarks.backends

`conv_vae_mnist_z16`, few large layers, and `hierarchical_vae_mnist`, many small ones:
seconds from the start of a process to the first image; images per second of `fit` in
its second epoch and of `reconstruct` at its second call; milliseconds of one image.
Each runner is a fresh process, and all take turns. Prints Markdown.
"""

import argparse
import json
import os
import statistics
import sys
import time
from typing import Any

from benchmarks.common import (
    machine,
    markdown_table,
    round_robin,
    seconds_since_start,
    synthetic_images,
)

BACKENDS = ("tensorflow", "jax", "torch")
MODELS = ("conv_vae_mnist_z16", "hierarchical_vae_mnist")
ROWS = {
    "cold_s": "start to the first image, s",
    "fit": "`fit`, images/s",
    "reconstruct": "`reconstruct`, images/s",
    "one_ms": "`reconstruct` of one image, ms",
}


def measure(name: str, images: int) -> dict[str, float]:
    """All figures of one model, in this process."""
    import aezoo

    x = synthetic_images(images)
    model = aezoo.load(name)
    model.reconstruct(x[:1])
    found = {"cold_s": seconds_since_start()}
    model.reconstruct(x)
    found["reconstruct"] = images / _seconds(lambda: model.reconstruct(x))
    found["one_ms"] = 1e3 * min(
        _seconds(lambda: model.reconstruct(x[:1])) for _ in "12345"
    )
    model.compile("adam")
    model.fit(x, batch_size=128, epochs=1, verbose=0)
    found["fit"] = images / _seconds(
        lambda: model.fit(x, batch_size=128, epochs=1, verbose=0)
    )
    return found


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.images)))
        return
    print(f"{machine()}.")
    for name in options.models:
        command = [sys.executable, "-m", "benchmarks.backends", "--one", name]
        command += ["--images", str(options.images)]
        runners = {b: (command, {"KERAS_BACKEND": b}) for b in BACKENDS}
        results = round_robin(runners, options.rounds)
        rows = []
        for key, label in ROWS.items():
            values = [statistics.median(f[key] for f in results[b]) for b in BACKENDS]
            rows.append([label, *(f"{value:.3g}" for value in values)])
        print(f"\n### {name}\n\n{markdown_table(['', *BACKENDS], rows)}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
