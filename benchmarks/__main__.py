"""Run the benchmarks one after another, and write what they print to `RESULTS.md`.

    python -m benchmarks                       # all that this environment can run
    python -m benchmarks startup writing_speed # these; the others keep their section
    python -m benchmarks --list

A machine that does something else measures that. So a run starts only where the load
average is below a quarter of the cores; `--busy` runs all the same, and says so in what
it writes. Every section has its command, date, versions and load; the file begins with
every target, met or missed.
"""

import argparse
import datetime
import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from aezoo.utils.files import atomic_path
from benchmarks.common import ROOT, machine

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
PYTHAE = ROOT / ".venv-pythae" / "bin" / "python"
REFERENCES = ROOT / "references" / "bin" / "python"
# Of `python -m benchmarks.NAME`. Those of peers need environments: see README.md.
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "startup": ("--rounds", "5"),
    "inference_speed": ("--rounds", "5"),
    "training_speed": ("--rounds", "5", "--pythae-python", str(PYTHAE)),
    "evaluation_speed": ("--rounds", "5"),
    "encode_speed": (),
    "writing_speed": (),
    "scale": (),
    "compression_speed": ("conv_vae_mnist", "hierarchical_vae_mnist"),
    "onnx_engine": (),
    "explorer": ("--moves", "1000"),
    "hub_speed": (),
    "backends": (),
    "upsampling": ("--rounds", "3"),
    "inpainting": ("hierarchical_vae_mnist", "conv_vae_mnist", "--limit", "40"),
    "missing_pixels": ("--epochs", "10", "--seeds", "3"),
    "utilisation": ("hierarchical_vae_mnist", "draw_mnist", "vq_vae_2_cifar10"),
    "import_speed": (
        *("--python", sys.executable, "--reference", str(REFERENCES)),
        *("--rounds", "1", "--backends", "tensorflow"),
    ),
    "rate_distortion": ("vq_vae_cifar10", "vq_vae_2_cifar10"),
}
PACKAGES = ("tensorflow", "keras", "jax", "torch", "numpy", "onnxruntime")
# Load average for each core, below which a machine counts as quiet; seconds to wait.
QUIET_LOAD, PATIENCE = 0.25, 120.0
# Titles are lines of their own, so that sections can be told apart again.
_SECTION = re.compile(r"^## `(\w+)`$", re.MULTILINE)
_TARGET = re.compile(r"^- .*: (?:met|MISSED)$", re.MULTILINE)


def is_quiet(patience: float = PATIENCE) -> bool:
    """Whether the machine does nothing else, now or soon.

    Args:
        patience: Seconds in which the load average of a run before may fall.
    """
    limit = QUIET_LOAD * (os.cpu_count() or 1)
    deadline = time.monotonic() + patience
    while os.getloadavg()[0] > limit:
        if time.monotonic() > deadline:
            return False
        time.sleep(5.0)
    return True


def run(name: str, was_quiet: bool) -> str:
    """What a benchmark prints, with its command, date, machine and versions.

    Args:
        name: One of `BENCHMARKS`.
        was_quiet: Whether the machine did nothing else when it started.

    Raises:
        subprocess.CalledProcessError: If it fails; its errors go to the terminal.
    """
    command = ["-m", f"benchmarks.{name}", *BENCHMARKS[name]]
    started = datetime.datetime.now().date().isoformat()
    where = machine()
    done = subprocess.run(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, check=True
    )
    shown = " ".join(map(shlex.quote, command))
    for here in (f"{ROOT}/", f"{Path(sys.executable).parent}/"):
        shown = shown.replace(here, "")
    busy = "" if was_quiet else " **The machine had other work.**"
    # headings below this file's own
    printed = re.sub(r"^(#+) ", r"#\1 ", done.stdout.strip(), flags=re.MULTILINE)
    return f"`python {shown}`, {started}. {where}. {versions()}.{busy}\n\n{printed}"


def versions() -> str:
    """Versions of what the figures depend on, as far as it is installed."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def read_sections(path: Path) -> dict[str, str]:
    """The sections of a file of results, by benchmark; nothing if there is none."""
    text = path.read_text("utf-8") if path.is_file() else ""
    parts = _SECTION.split(text)[1:]
    return {
        name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def page(sections: dict[str, str]) -> str:
    """The file of results: all targets, then the sections in the order of the list."""
    order = [name for name in BENCHMARKS if name in sections]
    targets = [
        f"- `{name}`:{line.removeprefix('-')}"
        for name in order
        for line in _TARGET.findall(sections[name])
    ]
    missed = sum(line.endswith("MISSED") for line in targets)
    return "\n\n".join(
        [
            "# Results",
            "As `python -m benchmarks` writes it; [README](README.md) says what each\n"
            "measures. Only ratios carry over to another machine.",
            "\n".join(
                [f"{len(targets) - missed} targets met, {missed} missed:", "", *targets]
            ),
            *(f"## `{name}`\n\n{sections[name]}" for name in order),
            "",
        ]
    )


def main() -> None:
    """Run the benchmarks that were named, or all, and write what they print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="Which; none for all.")
    parser.add_argument("--busy", action="store_true", help="Run with other work.")
    parser.add_argument("--list", action="store_true", help="Print their names.")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.list:
        print("\n".join(BENCHMARKS))
        return
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}. `--list` names them.")
    sections, failed = read_sections(args.output), []
    for name in args.names or BENCHMARKS:
        was_quiet = is_quiet(0.0 if args.busy else PATIENCE)
        if not was_quiet and not args.busy:
            parser.error(
                f"the machine is busy: load average {os.getloadavg()[0]:.1f} on "
                f"{os.cpu_count()} cores. Wait, or pass --busy, which the file will "
                "say."
            )
        print(f"== {name}", file=sys.stderr, flush=True)
        try:
            sections[name] = run(name, was_quiet)
        except subprocess.CalledProcessError:
            failed.append(name)
            continue
        with atomic_path(args.output) as temporary:  # what is measured is kept
            temporary.write_text(page(sections), encoding="utf-8")
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}; their sections are as before.")


if __name__ == "__main__":
    main()
