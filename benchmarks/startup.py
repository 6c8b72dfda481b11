"""Start-up: `import aezoo`, the metadata commands, and the first reconstruction.

Every figure is a fresh process, from its start by the operating system to the moment
it has the result. `--python` (and `--jax-python`) must be an environment as a user has
it, with the package's own dependencies alone: Keras imports scikit-learn, SciPy,
matplotlib and pandas where it finds them. Prints Markdown.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import (
    STARTED,
    machine,
    markdown_table,
    round_robin,
    run_fresh,
    verdict,
)

# Reads the clock before it imports anything else, to time none of its own imports.
_END = (
    "import os, time; "
    f"s = time.time() - float(os.environ['{STARTED}']); import json, sys; "
)
_LIGHT = (
    "heavy = {'tensorflow', 'keras', 'jax'} & set(sys.modules); "
    "assert not heavy, heavy; "
)
_REPORT = "print(json.dumps({'seconds': s}))"
_COMMAND = (
    "import contextlib, io; from aezoo.cli import main\n"
    "with contextlib.redirect_stdout(io.StringIO()): main({}, standalone_mode=False)\n"
)
_RECONSTRUCT = (
    "import numpy as np, aezoo; "
    "x = np.random.default_rng(0).integers(0, 256, (16, 28, 28, 1), dtype='uint8'); "
    "y = aezoo.load({!r}).reconstruct(x); assert y.shape == x.shape; "
)
# Seconds that each may add: imports, commands that load nothing, and loading.
IMPORT, COMMAND, LOAD = 0.010, 0.060, 0.2
BARE, TENSORFLOW = "bare interpreter", "`import tensorflow`"
LOADED = "aezoo, TensorFlow: `load(...)`"
OURS = "aezoo, TensorFlow: `load(...).reconstruct(16 images)`"
OURS_JAX = "the same, JAX"
JAX = "`import jax, keras`"
PYTHAE = "pythae 0.1.2: `AutoModel.load_from_folder(...).reconstruct(16 images)`"


def light_runners(python: Path, name: str) -> dict[str, Any]:
    """What must load neither TensorFlow nor Keras, beside a bare interpreter."""
    codes = {
        BARE: "",
        "`import aezoo`": "import aezoo; ",
        "`aezoo.list_models()`": "import aezoo; aezoo.list_models(); ",
        "`aezoo --help`": _COMMAND.format(["--help"]),
        "`aezoo list`": _COMMAND.format(["list"]),
        "`aezoo describe NAME`": _COMMAND.format(["describe", name]),
    }
    return {
        label: ([str(python), "-c", code + _END + _LIGHT + _REPORT], {})
        for label, code in codes.items()
    }


def heavy_runners(
    python: Path, jax_python: Path | None, pythae_python: Path | None, name: str
) -> dict[str, Any]:
    """Cold starts up to a reconstruction, beside the bare imports they need."""

    def runner(executable: Path, code: str, backend: str) -> Any:
        command = [str(executable), "-c", code + _END + _REPORT]
        return command, {"KERAS_BACKEND": backend}

    load = _RECONSTRUCT.format(name)
    runners = {
        TENSORFLOW: runner(python, "import tensorflow; ", "tensorflow"),
        LOADED: runner(python, f"import aezoo; aezoo.load({name!r}); ", "tensorflow"),
        OURS: runner(python, load, "tensorflow"),
    }
    if jax_python:
        runners[JAX] = runner(jax_python, "import jax, keras; ", "jax")
        runners[OURS_JAX] = runner(jax_python, load, "jax")
    if pythae_python:
        folder = tempfile.mkdtemp(prefix="aezoo-pythae-")
        peer = [str(pythae_python), "-m", "benchmarks.pythae_peer"]
        run_fresh([*peer, "save", folder])
        runners[PYTHAE] = ([*peer, "load", folder], {})
    return runners


def report(title: str, results: dict[str, list[dict[str, float]]], base: str) -> str:
    """Markdown: seconds of each runner, and what it adds to `base`."""
    rows = [
        [
            label,
            f"{statistics.median(r['seconds'] for r in runs):.3f}",
            f"{added(results, label, base):+.3f}",
        ]
        for label, runs in results.items()
    ]
    table = markdown_table(["process", "seconds", f"over {base}"], rows)
    return f"### {title}\n\n{table}\n"


def added(results: dict[str, list[dict[str, float]]], label: str, base: str) -> float:
    """Median over the rounds of the seconds that `label` takes beyond `base`."""
    pairs = zip(results[label], results[base], strict=True)
    return statistics.median(a["seconds"] - b["seconds"] for a, b in pairs)


def main() -> None:
    """Run everything in a round robin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="has aezoo"
    )
    parser.add_argument("--jax-python", type=Path, help="the same, with JAX")
    parser.add_argument("--pythae-python", type=Path, help="has pythae 0.1.2")
    parser.add_argument("--model", default="conv_vae_mnist_z16")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    extras = "sklearn", "scipy", "matplotlib", "pandas"
    code = (
        "import json; from importlib.util import find_spec; "
        f"print(json.dumps([m for m in {extras} if find_spec(m)]))"
    )
    found = run_fresh([str(args.python), "-c", code])
    print(f"## Start-up\n\n{machine()}; medians of {args.rounds} rounds. In the ")
    print(f"environment of `--python` beside the dependencies: {found or 'nothing'}.\n")
    light = round_robin(light_runners(args.python, args.model), args.rounds)
    print(report("Metadata", light, BARE), flush=True)
    heavy = round_robin(
        heavy_runners(args.python, args.jax_python, args.pythae_python, args.model),
        args.rounds,
    )
    print(report(f"Cold start of {args.model}", heavy, TENSORFLOW))
    for label in light:
        if label != BARE:
            extra = added(light, label, BARE)
            limit = IMPORT if label == "`import aezoo`" else COMMAND
            print(verdict(f"{label}, added s", extra, limit, at_least=False))
    extra = added(heavy, LOADED, TENSORFLOW)
    print(verdict("`aezoo.load(...)`, added s", extra, LOAD, at_least=False))


if __name__ == "__main__":
    main()
