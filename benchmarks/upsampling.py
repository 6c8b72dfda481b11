"""The ways to upsample in a decoder: training speed and checkerboard.

Trains conv_vae on MNIST with each, and measures how much of the variance of decoded
images has the period of the upsampling (`checkerboard_energy`): before training, after
it, and in the images themselves. Prints Markdown.
"""

import argparse
import json
import os
import statistics
import sys
import time
from typing import Any

import numpy as np

from benchmarks.common import ROUND, machine, markdown_table, round_robin

NAIVE = "`UpSampling2D` + `Conv2D`"
METHODS = ("resize_conv", "transposed_conv", "subpixel", NAIVE)
BORDER = 4  # pixels next to the border, where padding acts
BATCH_SIZE = 128


def build(method: str) -> Any:
    """A conv_vae with that upsampling."""
    import keras

    from aezoo.models.families import new_model

    is_naive = method == NAIVE
    model = new_model(
        "conv_vae", latent_dim=16, upsampling="transposed_conv" if is_naive else method
    )
    if is_naive:
        model.decoder.convs = [
            keras.Sequential(
                [
                    keras.layers.UpSampling2D(2),
                    keras.layers.Conv2D(
                        conv.filters, 3, padding="same", activation=conv.activation
                    ),
                ]
            )
            for conv in model.decoder.convs
        ]
    model.build((None, *model.input_shape))
    return model


def energies(images: np.ndarray) -> dict[str, float]:
    """Checkerboard energy of the interior at the decoder's two periods."""
    from aezoo.evaluation.image.checkerboard import checkerboard_energy

    interior = images[:, BORDER:-BORDER, BORDER:-BORDER]
    return {str(s): checkerboard_energy(interior, s) for s in (2, 4)}


def measure(method: str, images: int, epochs: int) -> dict[str, Any]:
    """Energies before and after training, and images per second, in this process."""
    import keras

    from aezoo.data.datasets import load_dataset
    from aezoo.nn.optimizers import Adam

    marks = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            marks.append(time.perf_counter())

    seed = int(os.environ[ROUND])
    keras.utils.set_random_seed(seed)
    x = load_dataset("mnist", "train").examples[:images]
    test = load_dataset("mnist", "test").examples[:1000]
    codes = np.random.default_rng(seed).standard_normal((1000, 16), dtype="float32")
    model = build(method)
    result: dict[str, Any] = {"params": model.count_params(), "data": energies(test)}
    result["untrained"] = energies(model.decode(codes))
    model.compile(Adam(1e-3), steps_per_execution=16)
    # The first epoch compiles and is not timed.
    history = model.fit(
        x, batch_size=BATCH_SIZE, epochs=epochs + 1, verbose=0, callbacks=[Clock()]
    )
    marks.append(time.perf_counter())
    times = np.diff(marks)[1:]
    return {
        **result,
        "rate": len(x) / float(np.median(times)),
        "loss": history.history["loss"][-1],
        "samples": energies(model.decode(codes)),
        "reconstructions": energies(model.reconstruct(test)),
    }


def report(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: speed, and energies in thousandths."""

    def energy(runs: list[dict[str, Any]], key: str) -> str:
        return " / ".join(
            f"{1e3 * statistics.median(r[key][s] for r in runs):.2f}"
            for s in ("2", "4")
        )

    keys = ("untrained", "samples", "reconstructions")
    rows = [
        [
            method,
            f"{runs[0]['params']:,}",
            f"{statistics.median(r['rate'] for r in runs):,.0f}",
            f"{statistics.median(r['loss'] for r in runs):.2f}",
            *(energy(runs, key) for key in keys),
        ]
        for method, runs in results.items()
    ]
    data = energy(next(iter(results.values())), "data")
    pixels = (28 - 2 * BORDER) ** 2
    noise = " / ".join(f"{1e3 * (s * s - 1) / (pixels - 1):.2f}" for s in (2, 4))
    rows += [
        ["MNIST test images", "", "", "", "", "", data],
        ["white noise, expected", "", "", "", noise, noise, noise],
    ]
    header = ["upsampling", "weights", "training images/s", "loss, nats"]
    header += [f"{key}, 2 / 4" for key in keys]
    return markdown_table(header, rows)


def main() -> None:
    """Run all methods in a round robin, or one of them as a child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=2, help="after a first one")
    parser.add_argument("--method", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.method:
        print(json.dumps(measure(args.method, args.images, args.epochs)))
        return
    command = [sys.executable, "-m", "benchmarks.upsampling", *sys.argv[1:]]
    print(f"## Upsampling\n\n{machine()}; medians of {args.rounds} rounds.\n")
    print(
        f"conv_vae, {args.epochs + 1} epochs of {args.images:,} MNIST images in "
        f"batches of {BATCH_SIZE}. Energies in thousandths, at periods 2 / 4.\n"
    )
    runners = {m: ([*command, "--method", m], {}) for m in METHODS}
    print(report(round_robin(runners, args.rounds)))


if __name__ == "__main__":
    main()
