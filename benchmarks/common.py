"""What the benchmarks share: fresh processes in a round robin, medians, tables.

Imports the standard library and NumPy alone, so that it also runs in the
environments of peers.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
STARTED = "AEZOO_BENCHMARK_STARTED"
ROUND = "AEZOO_BENCHMARK_ROUND"  # 0, 1, ...: a seed for what is random


def run_fresh(command: Sequence[str], env: Mapping[str, str] | None = None) -> Any:
    """Run a command in a fresh process; its last line of output is JSON.

    The process finds the time of its start in the environment (`seconds_since_start`).

    Raises:
        RuntimeError: If the process fails; shows the end of what it printed.
    """
    environment = {**os.environ, **QUIET, **(env or {})}
    environment[STARTED] = repr(time.time())
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def seconds_since_start() -> float:
    """Seconds since `run_fresh` started this process, interpreter included."""
    return time.time() - float(os.environ[STARTED])


def round_robin(
    runners: Mapping[str, tuple[Sequence[str], Mapping[str, str]]], rounds: int
) -> dict[str, list[Any]]:
    """Results of each runner `(command, environment)`, one per round.

    Every round runs all of them once, so that a slow spell of the machine meets all
    of them alike and ratios within a round stay meaningful.
    """
    results: dict[str, list[Any]] = {name: [] for name in runners}
    for i in range(rounds):
        for name, (command, env) in runners.items():
            print(f"round {i + 1}/{rounds}: {name}", file=sys.stderr, flush=True)
            results[name].append(run_fresh(command, {**env, ROUND: str(i)}))
    return results


def median_ratio(a: Sequence[float], b: Sequence[float]) -> float:
    """Median over the rounds of `a / b`."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def psnr(
    a: np.ndarray, b: np.ndarray, axes: tuple[int, ...] | None = None
) -> np.ndarray:
    """Peak signal-to-noise ratio in decibels, of values from 0 to 255.

    Args:
        a: Images of any shape.
        b: Others, which broadcast to them.
        axes: Of one image; None for all.
    """
    error = np.mean((a.astype("float64") - b.astype("float64")) ** 2, axis=axes)
    return 10.0 * np.log10(255.0**2 / np.maximum(error, 1e-3))


def with_error(values: np.ndarray, form: str) -> str:
    """A mean and its standard error, e.g. `"0.051 ± 0.004"`.

    Args:
        values: At least two, independent.
        form: How both are written, e.g. `".3f"`.
    """
    error = values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():{form}} ± {error:{form}}"


def verdict(label: str, value: float, limit: float, *, at_least: bool) -> str:
    """One line: the figure, its target, and whether it is met."""
    is_met = value >= limit if at_least else value <= limit
    sign = ">=" if at_least else "<="
    return f"- {label}: {value:.3g} (target {sign} {limit:g}): " + (
        "met" if is_met else "MISSED"
    )


def machine() -> str:
    """One line on the machine: processor, cores, load."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    load = os.getloadavg()[0]
    return (
        f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}; load "
        f"average at the start {load:.1f}"
    )


def synthetic_images(
    n: int, seed: int = 0, shape: Sequence[int] = (28, 28, 1)
) -> np.ndarray:
    """Float32 images `(n, *shape)` in [0, 1], four fifths of the pixels black."""
    generator = np.random.default_rng(seed)
    images = generator.random((n, *shape), dtype="float32")
    images[generator.random(images.shape, dtype="float32") < 0.8] = 0.0
    return images
