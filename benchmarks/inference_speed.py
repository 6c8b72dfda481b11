"""Inference speed of `reconstruct`, `encode` and `decode` on conv_vae.

Compares them with a compiled `tf.function` of the same graph, with Keras's `predict`
and with an eager call; counts how often batch sizes 1 to 300 make them retrace.
Prints Markdown.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import (
    machine,
    markdown_table,
    median_ratio,
    round_robin,
    synthetic_images,
    verdict,
)

CONFIG = {"upsampling": "transposed_conv", "latent_dim": 16}
OURS, COMPILED = "aezoo", "compiled `tf.function`"
OURS_UINT8 = "aezoo, uint8 in and out"


def median_ms(
    functions: dict[str, Callable[[], Any]], repeats: int
) -> dict[str, float]:
    """Median milliseconds of each function, called in turn so that all meet the same.

    One untimed call of each comes first.
    """
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(t) for name, t in times.items()}


def measure(images: int, batch_size: int, repeats: int) -> dict[str, Any]:
    """All timings and the retrace counts, in this process."""
    import keras
    import tensorflow as tf

    import aezoo

    keras.utils.set_random_seed(0)
    model = aezoo.create("conv_vae", **CONFIG)
    traces = {name: count_traces(model, name) for name in ("encode", "reconstruct")}
    x = synthetic_images(images)
    codes = np.random.default_rng(0).standard_normal((1, 16), dtype="float32")
    one = x[:1]

    def graph(function: Callable[[Any], Any], shape: tuple[int, ...]) -> Any:
        spec = tf.TensorSpec((None, *shape), "float32")
        return tf.function(function, input_signature=[spec], autograph=False)

    # Written with the model's layers and nothing of `aezoo`'s inference code.
    def encode(x: Any) -> Any:
        return model.encoder(x)["z_mean"]

    def decode(z: Any) -> Any:
        return tf.sigmoid(model.decoder(z))

    compiled_encode = graph(encode, (28, 28, 1))
    compiled_decode = graph(decode, (16,))
    compiled = graph(lambda x: decode(encode(x)), (28, 28, 1))
    starts = range(0, images, batch_size)

    def compiled_batches() -> np.ndarray:
        parts = [compiled(x[i : i + batch_size]).numpy() for i in starts]
        return np.concatenate(parts)

    if not np.allclose(compiled_batches(), model.reconstruct(x), atol=1e-5):
        sys.exit("`reconstruct` and the compiled function disagree.")
    inputs = keras.Input((28, 28, 1))
    encoder = keras.Model(inputs, model.encoder(inputs)["z_mean"])
    inputs = keras.Input((16,))
    decoder = keras.Model(inputs, keras.ops.sigmoid(model.decoder(inputs)))
    bytes_ = np.round(255 * x).astype("uint8")
    times = {
        "reconstruct": median_ms(
            {
                OURS: lambda: model.reconstruct(x, batch_size=batch_size),
                COMPILED: compiled_batches,
                OURS_UINT8: lambda: model.reconstruct(bytes_, batch_size=batch_size),
            },
            max(3, repeats // 40),
        ),
        "encode": median_ms(
            {
                OURS: lambda: model.encode(one),
                COMPILED: lambda: compiled_encode(one).numpy(),
            },
            repeats,
        ),
        "decode": median_ms(
            {
                OURS: lambda: model.decode(codes),
                COMPILED: lambda: compiled_decode(codes).numpy(),
            },
            repeats,
        ),
    }
    # The slow ways come last: `predict` leaves caches and threads cold for the others.
    few = max(3, repeats // 10)
    times["encode"] |= median_ms(
        {
            "Keras eager call": lambda: encode(one).numpy(),
            "Keras `predict`": lambda: encoder.predict(one, verbose=0),
        },
        few,
    )
    times["decode"] |= median_ms(
        {
            "Keras eager call": lambda: decode(codes).numpy(),
            "Keras `predict`": lambda: decoder.predict(codes, verbose=0),
        },
        few,
    )
    before = {name: len(calls) for name, calls in traces.items()}
    for size in range(1, 301):
        model.encode(x[:size])
        model.reconstruct(x[:size])
    retraces = {name: len(calls) - before[name] for name, calls in traces.items()}
    return {"times": times, "retraces": retraces}


def count_traces(model: Any, name: str) -> list[Any]:
    """Make `model` note every trace of a compiled function; returns the notes."""
    calls: list[Any] = []
    original = getattr(model, f"_graph_{name}")

    def counted(*arguments: Any, **given: Any) -> Any:
        calls.append(arguments[0].shape)
        return original(*arguments, **given)

    setattr(model, f"_graph_{name}", counted)
    return calls


def report(results: list[dict[str, Any]], images: int, batch_size: int) -> str:
    """Markdown: one table per method, then the targets."""

    def series(method: str, way: str) -> list[float]:
        return [r["times"][method][way] for r in results]

    def rows(method: str, show: Callable[[float], str]) -> list[list[str]]:
        return [
            [way, show(statistics.median(series(method, way)))]
            for way in results[0]["times"][method]
        ]

    reconstruct = markdown_table(
        ["way", "images/s"],
        rows("reconstruct", lambda ms: f"{images / ms * 1e3:,.0f}"),
    )
    lines = [
        f"### `reconstruct`, {images:,} images in batches of {batch_size}",
        "",
        reconstruct,
        "",
    ]
    for method in ("encode", "decode"):
        table = markdown_table(
            ["way", "ms per call"], rows(method, lambda ms: f"{ms:.3g}")
        )
        lines += [f"### `{method}`, one image", "", table, ""]
    speed = median_ratio(series("reconstruct", COMPILED), series("reconstruct", OURS))
    lines.append(
        verdict("`reconstruct` / compiled function", speed, 0.9, at_least=True)
    )
    for method in ("encode", "decode"):
        pairs = zip(series(method, OURS), series(method, COMPILED), strict=True)
        extra = statistics.median(a - b for a, b in pairs)
        lines.append(verdict(f"`{method}`, added ms", extra, 0.5, at_least=False))
    retraces = max(n for r in results for n in r["retraces"].values())
    lines.append(
        verdict("retraces over batch sizes 1 to 300", retraces, 0, at_least=False)
    )
    return "\n".join(lines)


def main() -> None:
    """Measure in fresh processes, or in this one as a child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=400, help="calls of one image")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.images, args.batch_size, args.repeats)))
        return
    print(f"## Inference speed\n\n{machine()}; medians of {args.rounds} rounds.\n")
    command = [sys.executable, "-m", "benchmarks.inference_speed", *sys.argv[1:]]
    results = round_robin({"inference": ([*command, "--child"], {})}, args.rounds)
    print(report(results["inference"], args.images, args.batch_size))


if __name__ == "__main__":
    main()
