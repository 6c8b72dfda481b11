"""Images per second, use of the device and memory, by recipe or family.

    python -m benchmarks.utilisation conv_vae_mnist_z16 hierarchical_vae_mnist

For each: training steps of `fit` as its recipe has them (a family: its defaults,
batches of 128, Adam), and `sample`. The FLOPs of a step are those that XLA's own cost
analysis counts on JAX, so with TensorFlow the column is empty. The device's peak is not
looked up but measured, by a large matrix product in the precision of the training. On
JAX, a training step is also compared with a bare `jax.jit` of the same network: losses,
gradients and Adam as plain functions of arrays. Prints Markdown.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import (
    machine,
    markdown_table,
    round_robin,
    verdict,
)

# Of `fit`'s step over the bare loop's.
MOST_OVERHEAD = 1.15
SAMPLES = 64
MATRIX = {"cpu": 2048, "gpu": 8192}


def median_seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median seconds of a call, after one to warm up; `run` must wait for its end."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def compiled_model(name: str, mixed_precision: str | None) -> tuple[Any, int]:
    """A model as its recipe trains it, and images per step."""
    import aezoo
    from aezoo.registry import list_families
    from aezoo.training.loop import make_optimizer
    from aezoo.training.recipe import Recipe
    from training.recipes import load_recipe

    recipe = (
        Recipe(family=name, config={}, description="-", paper="-", metrics=("mse",))
        if name in list_families()
        else load_recipe(name)
    )
    model = aezoo.create(recipe.family, **recipe.config, dtype=mixed_precision)
    model.compile(make_optimizer(recipe, 1000))
    return model, recipe.batch_size


def peak_flops(dtype: str, repeats: int) -> float:
    """FLOP/s of a large matrix product: 2 n^3 in the time it takes."""
    import keras
    from keras import ops

    is_cpu = all(d.startswith("cpu") for d in keras.distribution.list_devices())
    n = MATRIX["cpu" if is_cpu else "gpu"]
    a = ops.cast(keras.random.normal((n, n), seed=0), dtype)
    if keras.backend.backend() == "jax":
        import jax

        product = jax.jit(ops.matmul)
    else:
        product = ops.matmul
    # one number comes back, so that the product is done
    seconds = median_seconds(lambda: float(product(a, a)[0, 0]), repeats)
    return 2.0 * n**3 / seconds


def peak_memory() -> int:
    """Most bytes in use so far: on the accelerator, or resident on a CPU."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        statistics_ = jax.local_devices()[0].memory_stats()
        if statistics_:
            return int(statistics_["peak_bytes_in_use"])
    else:
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(
    name: str, mixed_precision: str | None, steps: int, repeats: int
) -> dict[str, Any]:
    """All figures of one model, in this process."""
    import keras
    import numpy as np

    model, batch_size = compiled_model(name, mixed_precision)
    generator = np.random.default_rng(0)
    shape = (steps * batch_size, *model.input_shape)
    data = (generator.integers(0, 256, shape, dtype="uint8"),)
    if "labels" in model.given:
        data += (generator.integers(0, 10, len(data[0])),)

    class Clock(keras.callbacks.Callback):
        """When the first step of an epoch ends, and the last one."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch in (0, steps - 1):
                float(logs["loss"])  # wait for it
                marks.append(time.perf_counter())

    marks: list[float] = []

    def fit_step() -> float:
        marks.clear()
        model.fit(
            *data, batch_size=batch_size, shuffle=False, verbose=0, callbacks=[Clock()]
        )
        return (marks[1] - marks[0]) / (steps - 1)

    fit_step()  # compiles
    results = {
        "batch_size": batch_size,
        "params": model.count_params(),
        "memory": peak_memory(),
        "peak": peak_flops(model.compute_dtype, repeats),
    }
    if keras.backend.backend() == "jax":
        batches = [
            tuple(part[i : i + batch_size] for part in data)
            for i in range(0, len(data[0]), batch_size)
        ]
        results["flops"], bare_step = bare_loop(model, batches)
        bare_step()
        # in turns, so that a slow spell of the machine meets both
        pairs = [(fit_step(), bare_step()) for _ in range(repeats)]
        results["ratio"] = statistics.median(ours / bare for ours, bare in pairs)
        results["step"] = statistics.median(ours for ours, _ in pairs)
    else:
        results["step"] = statistics.median(fit_step() for _ in range(repeats))
    if "sampling" in model.TASKS:
        results["sampling"] = median_seconds(
            lambda: model.sample(SAMPLES, seed=0), repeats
        )
    return results


def bare_loop(
    model: Any, batches: list[tuple[Any, ...]]
) -> tuple[float, Callable[[], float]]:
    """FLOPs of a step as one writes it in JAX, and a function that times such steps.

    The network and its objective are the model's own, as a pure function of arrays;
    gradients, Adam and the loop are JAX alone. No metric but the loss.
    """
    import jax
    import jax.numpy as jnp
    import keras

    trained = model.trainable_variables
    others = model.non_trainable_variables

    def objectives(
        weights: list[Any], fixed: list[Any], batch: tuple[Any, ...]
    ) -> tuple[Any, Any]:
        pairs = [*zip(trained, weights, strict=True), *zip(others, fixed, strict=True)]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            losses, _, _ = model.training_objectives(batch)
            updated = [scope.get_current_value(v) for v in others]
        pairs = zip(updated, fixed, strict=True)
        return sum(losses), [old if new is None else new for new, old in pairs]

    def step(carried: tuple[Any, ...], batch: tuple[Any, ...]) -> tuple[Any, Any]:
        weights, fixed, means, squares, count = carried
        (loss, fixed), gradients = jax.value_and_grad(objectives, has_aux=True)(
            weights, fixed, batch
        )
        count = count + 1
        rate = 1e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        means = [0.9 * m + 0.1 * g for m, g in zip(means, gradients, strict=True)]
        squares = [
            0.999 * s + 0.001 * g * g for s, g in zip(squares, gradients, strict=True)
        ]
        weights = [
            w - rate * m / (jnp.sqrt(s) + 1e-7)
            for w, m, s in zip(weights, means, squares, strict=True)
        ]
        return (weights, fixed, means, squares, count), loss

    weights = [jnp.array(v.value) for v in trained]
    start = (
        weights,
        [jnp.array(v.value) for v in others],
        [jnp.zeros_like(w) for w in weights],
        [jnp.zeros_like(w) for w in weights],
        jnp.float32(0),
    )
    compiled = jax.jit(step, donate_argnums=0).lower(start, batches[0]).compile()
    carried = start

    def seconds_per_step() -> float:
        nonlocal carried
        start = time.perf_counter()
        for batch in batches:
            carried, loss = compiled(carried, jax.device_put(batch))
        loss.block_until_ready()
        return (time.perf_counter() - start) / len(batches)

    return float(compiled.cost_analysis()["flops"]), seconds_per_step


def report(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: one row per model, then the targets."""

    def median(runs: list[dict[str, Any]], key: str) -> float | None:
        values = [run[key] for run in runs if key in run]
        return statistics.median(values) if values else None

    rows, verdicts = [], []
    for name, runs in results.items():
        step, flops, sampling = (median(runs, k) for k in ("step", "flops", "sampling"))
        batch_size = runs[0]["batch_size"]
        use = "-"
        if flops is not None:
            use = f"{flops / step / median(runs, 'peak'):.1%}"
            ratio = median(runs, "ratio")
            label = f"{name}, `fit`'s step / bare `jax.jit`"
            verdicts.append(verdict(label, ratio, MOST_OVERHEAD, at_least=False))
        rows.append(
            [
                name,
                f"{runs[0]['params']:,}",
                batch_size,
                f"{batch_size / step:,.0f}",
                f"{flops / 1e9:,.2f}" if flops is not None else "-",
                use,
                f"{median(runs, 'memory') / 2**20:,.0f}",
                f"{SAMPLES / sampling:,.0f}" if sampling is not None else "-",
            ]
        )
    header = [
        "model", "parameters", "batch", "training images/s", "GFLOP a step",
        "of the peak", "peak memory, MiB", "samples/s",
    ]  # fmt: skip
    peaks = [run["peak"] for runs in results.values() for run in runs]
    lines = [
        f"Peak: {statistics.median(peaks) / 1e12:.3g} TFLOP/s, a product of matrices.",
        "",
        markdown_table(header, rows),
        "",
        *verdicts,
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure each model in fresh processes, or in this one as a child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", help="recipes or families")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50, help="of one timing")
    parser.add_argument("--repeats", type=int, default=5, help="timings in a process")
    parser.add_argument(
        "--mixed-precision", choices=["mixed_bfloat16", "mixed_float16"]
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        [name] = args.names
        figures = measure(name, args.mixed_precision, args.steps, args.repeats)
        print(json.dumps(figures))
        return
    from aezoo.nn.backend import BACKEND

    precision = args.mixed_precision or "float32"
    print(f"## Utilisation, {BACKEND}, {precision}\n")
    print(f"{machine()}; medians of {args.rounds} rounds.\n")
    options = ["--steps", str(args.steps), "--repeats", str(args.repeats), "--child"]
    if args.mixed_precision:
        options += ["--mixed-precision", args.mixed_precision]
    command = [sys.executable, "-m", "benchmarks.utilisation"]
    runners = {name: ([*command, name, *options], {}) for name in args.names}
    print(report(round_robin(runners, args.rounds)))


if __name__ == "__main__":
    main()
