"""The engine 'onnx' beside TensorFlow and ONNX Runtime alone: start, one image, 256.

    python -m benchmarks.onnx_engine --rounds 5

Start: fresh processes, from their start by the operating system to the first
reconstruction, with the graphs in the cache and bytecode as an installation has it.
Computing: the same process has all three, which take turns, so that a busy machine
slows them alike; the fastest of many calls counts, as what else runs only adds. Prints
Markdown.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    STARTED,
    machine,
    markdown_table,
    round_robin,
    run_fresh,
    synthetic_images,
    verdict,
)

START, ONE_ENCODE, ONE_DECODE = 0.6, 0.2, 0.5  # seconds, and milliseconds
LARGE = 256
ENGINE, BARE, KERAS = "aezoo, engine onnx", "ONNX Runtime alone", "aezoo, TensorFlow"
_END = (
    "import os, time, json; "
    f"print(json.dumps(time.time() - float(os.environ[{STARTED!r}])))"
)
_RECONSTRUCT = (
    "import numpy as np, aezoo; "
    "x = np.zeros((1, 28, 28, 1), 'uint8'); "
    "y = aezoo.load({!r}{}).reconstruct(x); assert y.shape == x.shape; "
)
_BARE = (
    "import numpy as np, onnxruntime; "
    "s = onnxruntime.InferenceSession({!r}); "
    "y = s.run(None, {{'x': np.zeros((1, 28, 28, 1), 'float32')}}); "
)


def start_runners(name: str, graph: Path, environment: dict[str, str]) -> Any:
    """Fresh processes up to a reconstruction."""

    def runner(code: str) -> Any:
        return [sys.executable, "-c", code + _END], environment

    return {
        "bare interpreter": runner(""),
        BARE: runner(_BARE.format(str(graph))),
        ENGINE: runner(_RECONSTRUCT.format(name, ", engine='onnx'")),
        f"{ENGINE}, its folder": runner(
            _RECONSTRUCT.format(str(graph.parent), ", engine='onnx'")
        ),
        KERAS: runner(_RECONSTRUCT.format(name, "")),
    }


def fastest(works: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Milliseconds of the fastest call of each, in turns for so long."""
    found = dict.fromkeys(works, float("inf"))
    for work in works.values():
        work()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, work in works.items():
            for _ in range(5):
                start = time.perf_counter()
                work()
                found[name] = min(found[name], time.perf_counter() - start)
    return {name: 1e3 * value for name, value in found.items()}


def compute(name: str, seconds: float) -> dict[str, dict[str, float]]:
    """Milliseconds of each call, by engine: what a fresh process measures."""
    import onnxruntime

    import aezoo
    from aezoo.engines.load import cached_folder

    engine, model = aezoo.load(name, engine="onnx"), aezoo.load(name)
    folder = cached_folder(aezoo.describe(name))
    sessions = {
        graph: onnxruntime.InferenceSession(str(folder / f"{graph}.onnx"))
        for graph in ("encode", "decode", "reconstruct")
    }
    found = {}
    for n in (1, LARGE):
        x = synthetic_images(n)
        z = np.asarray(engine.encode(x))
        for graph in sessions:
            row = {"x": z if graph == "decode" else x}

            def bare(graph: str = graph, row: Any = row) -> Any:
                key = "z" if graph == "decode" else "x"
                return sessions[graph].run(None, {key: row["x"]})

            works = {
                ENGINE: lambda g=graph, r=row: getattr(engine, g)(r["x"]),
                BARE: bare,
                KERAS: lambda g=graph, r=row: getattr(model, g)(r["x"]),
            }
            found[f"{graph} {n}"] = fastest(works, seconds)
    return found


def main() -> None:
    """Start in a round robin, then computing in fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="conv_vae_mnist_z16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each call")
    parser.add_argument("--compute", action="store_true", help="in this process")
    args = parser.parse_args()
    if args.compute:
        print(json.dumps(compute(args.model, args.seconds)))
        return
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": f"{scratch}/bytecode",
            "XDG_CACHE_HOME": f"{scratch}/cache",
        }
        os.environ["XDG_CACHE_HOME"] = environment["XDG_CACHE_HOME"]
        import aezoo
        from aezoo.engines.load import cached_folder

        aezoo.load(args.model, engine="onnx")  # exports
        graph = cached_folder(aezoo.describe(args.model)) / "reconstruct.onnx"
        runners = start_runners(args.model, graph, environment)
        for command, env in runners.values():  # bytecode
            run_fresh(command, env)
        starts = round_robin(runners, args.rounds)
        rows = [
            [label, f"{min(runs):.3f}", f"{statistics.median(runs):.3f}"]
            for label, runs in starts.items()
        ]
        print("### From the start of a process to the first reconstruction\n")
        print(
            markdown_table(["process", "seconds, fastest", "median"], rows), flush=True
        )
        command = [sys.executable, "-m", "benchmarks.onnx_engine", "--compute"]
        options = ["--model", args.model, "--seconds", str(args.seconds)]
        found = run_fresh([*command, *options], environment)
    print("\n### Milliseconds of a call, the fastest of many\n")
    rows = [
        [call, *(f"{times[engine]:.3f}" for engine in (ENGINE, BARE, KERAS))]
        for call, times in found.items()
    ]
    print(markdown_table(["call", ENGINE, BARE, KERAS], rows) + "\n")
    print(verdict("start, seconds", min(starts[ENGINE]), START, at_least=False))
    for call, limit in (("encode 1", ONE_ENCODE), ("decode 1", ONE_DECODE)):
        print(verdict(f"{call}, ms", found[call][ENGINE], limit, at_least=False))
    for call, times in found.items():
        if call.endswith(f" {LARGE}"):
            best = min(times[BARE], times[KERAS])
            label = f"{call}: the better of the two others' time over ours"
            print(verdict(label, best / times[ENGINE], 1.0, at_least=True))


if __name__ == "__main__":
    main()
