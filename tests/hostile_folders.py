"""Folders of models that mean harm, or were damaged; by seed, any number of them.

`python -m tests.hostile_folders SCRATCH FAMILIES CASES SEED` makes small models of
families and as many folders of each kind, and loads each of them. It must give a named
error or a model with finite weights, within ten seconds of computing and 1 GB, and
write no file. Prints what did not, as JSON, and how often which error came.

Every folder's hashes fit its files: what a careless check would trust.
"""

import dataclasses
import faulthandler
import io
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SECONDS, GIGABYTE = 10, 1 << 30
WEIGHTS, ENTRY, GOLDEN = "model.weights.h5", "aezoo.json", "golden.npz"
TEXTS = ("", "a" * 5_000, "\ud800", "\0", "../x", "/etc/passwd", "\x1b[31m", "nan", ".")
NUMBERS = (-1, 0, 1, 2**31, 2**63, 10**9, 10**400, -(10**400), 1e308, 1e-320, 0.5)
ODD = (None, True, float("nan"), float("inf"), {}, [], [[]], [[[1]]], {"a": {"b": 1}})
LONG = ([1] * 5_000, [2] * 300, [10**6] * 3, list(range(50)), "x" * 100_000)
VALUES = (*TEXTS, *NUMBERS, *ODD, *LONG)
# For counts and widths: what would take long, or much memory.
COUNTS = (10**3, 4_096, 10**4, 10**5, 10**6, 10**9, 10**12, 2**63)


@dataclasses.dataclass
class Case:
    """One folder: its entry, and its files by name."""

    what: str
    entry: dict[str, Any]
    files: dict[str, bytes]
    is_hashed: bool = True

    def write(self, folder: Path) -> None:
        """Write the folder, with hashes that fit."""
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        if self.is_hashed:
            fit(self.entry, self.files)
        (folder / ENTRY).write_text(json.dumps(self.entry))


def fit(entry: dict[str, Any], files: dict[str, bytes]) -> None:
    """State sizes and hashes of the files, wherever the entry still has the fields."""
    from aezoo.utils.files import sha256_hex

    for field, name in (("weights", WEIGHTS), ("golden", GOLDEN)):
        stated = entry.get(field)
        if isinstance(stated, dict) and name in files:
            stated["sha256"] = sha256_hex(files[name])
            if field == "weights":
                stated["bytes"] = len(files[name])


# --- What is done to a folder --------------------------------------------------------


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all fields, of groups as well."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, (*path, key))


def changed(entry: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of an entry with another value at a path."""
    copy = json.loads(json.dumps(entry))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


def edit_entry(case: Case, draw: random.Random) -> Case:
    """A field of the entry is something else; any of its hashes, too."""
    path = draw.choice(list(leaves(case.entry)))
    value = draw.choice(VALUES)
    return Case(
        f"{'.'.join(path)}={value!r:.60}",
        changed(case.entry, path, value),
        case.files,
        is_hashed=path[0] not in ("weights", "golden"),
    )


def enlarge(case: Case, draw: random.Random) -> Case:
    """Numbers of the configuration are huge; mostly the stated count of weights too."""
    numbers = [
        path
        for path in leaves(case.entry["config"])
        if is_size(case.entry["config"][path[0]])
    ]
    entry, names = case.entry, []
    for path in draw.sample(numbers, min(len(numbers), draw.choice((1, 1, 2, 3)))):
        old, size = case.entry["config"][path[0]], draw.choice(COUNTS)
        new: Any = size
        if isinstance(old, list):
            new = draw.choice(([size] * max(len(old), 1), [2] * min(size, 10**5)))
            new = [*old[:-1], size] if draw.random() < 0.5 else new
        entry = changed(entry, ("config", *path), new)
        names.append(f"{path[0]}={new!r:.40}")
        if path[0] == "input_shape":
            entry["input_shape"] = new
    if draw.random() < 0.3:
        entry = changed(entry, ("num_params",), draw.choice(COUNTS))
        names.append(f"num_params={entry['num_params']}")
    return Case(", ".join(names), entry, case.files)


def is_size(value: Any) -> bool:
    """Whether a value of a configuration is a number of things, or several."""
    if isinstance(value, list):
        return bool(value) and all(type(part) is int for part in value)
    return type(value) is int


def flip_bits(case: Case, draw: random.Random) -> Case:
    """Some bits of the weights file are others; most in its headers."""
    content = bytearray(case.files[WEIGHTS])
    for _ in range(draw.choice((1, 1, 2, 8))):
        end = draw.choice((100, 2_000, len(content)))
        content[draw.randrange(min(end, len(content)))] ^= 1 << draw.randrange(8)
    return Case("bits", case.entry, {**case.files, WEIGHTS: bytes(content)})


def cut(case: Case, draw: random.Random) -> Case:
    """A file is shorter, longer, empty or another."""
    name = draw.choice((WEIGHTS, GOLDEN))
    content = case.files[name]
    part = content[: draw.randrange(len(content))]
    new = draw.choice((b"", part, content + part, draw.randbytes(300), part[::-1]))
    return Case(f"{name} cut", case.entry, {**case.files, name: new})


def rebuild(case: Case, draw: random.Random) -> Case:
    """An array of the weights file has another name, shape, type or content."""
    changes = draw.sample(ARRAY_CHANGES, draw.choice((1, 1, 2)))
    content = io.BytesIO()
    with (
        h5py.File(io.BytesIO(case.files[WEIGHTS]), "r") as source,
        h5py.File(content, "w") as target,
    ):
        for key in source:
            source.copy(key, target)
        paths: list[str] = []
        target.visititems(
            lambda name, item: paths.append(name) if hasattr(item, "shape") else None
        )
        names = []
        for change in changes:
            path = draw.choice(paths)
            if path in target:
                change(target, path, draw)
            names.append(f"{change.__name__} {path}")
    files = {**case.files, WEIGHTS: content.getvalue()}
    return Case(", ".join(names), case.entry, files)


def put(file: h5py.File, path: str, **options: Any) -> None:
    """Replace an array."""
    del file[path]
    file.create_dataset(path, **options)


def of_another_type(file: h5py.File, path: str, draw: random.Random) -> None:
    values = file[path][()]
    dtype = draw.choice(["f2", "f8", ">f4", "i4", "c8", "?", "S3", "u1", "V4"])
    put(file, path, data=np.asarray(values).astype(dtype))


def not_finite(file: h5py.File, path: str, draw: random.Random) -> None:
    values = np.array(file[path][()])
    values.flat[draw.randrange(values.size)] = draw.choice((np.nan, np.inf, 3e38))
    put(file, path, data=values)


def too_large(file: h5py.File, path: str, draw: random.Random) -> None:
    values = np.array(file[path][()], "f8")
    values.flat[draw.randrange(values.size)] = 1e300
    put(file, path, data=values)


def unstored(file: h5py.File, path: str, draw: random.Random) -> None:
    shape = draw.choice([file[path].shape, (10**4, 10**4, 10), (2**40,)])
    dtype = draw.choice(["f4", "S1000000", h5py.string_dtype()])
    chunks = draw.choice((None, True)) if math.prod(shape) else None
    put(file, path, shape=shape, dtype=dtype, chunks=chunks)


def of_another_shape(file: h5py.File, path: str, draw: random.Random) -> None:
    values = np.array(file[path][()])
    new = (values.ravel(), values.T, values[None], values.ravel()[:-1])
    put(file, path, data=draw.choice(new))


def elsewhere(file: h5py.File, path: str, draw: random.Random) -> None:
    name = draw.choice(
        ("x", "layers/y", f"{path}/0", "\x1b[31m", "é" * 100, "0", "vars")
    )
    values = file[path][()]
    del file[path]
    if name in file:
        name = "z"
    file[name] = values


def linked(file: h5py.File, path: str, draw: random.Random) -> None:
    del file[path]
    external = h5py.ExternalLink("/etc/passwd", "/")
    file[path] = draw.choice((external, h5py.SoftLink("/"), h5py.SoftLink(f"/{path}")))


def doubled(file: h5py.File, path: str, draw: random.Random) -> None:
    file["twin"] = file[draw.choice((path, "/"))]


def with_odd_attributes(file: h5py.File, path: str, draw: random.Random) -> None:
    value = draw.choice(("bfloat16", b"\xff", 3, np.zeros(3), ["bfloat16"] * 2))
    file[path].attrs["dtype"] = value


def gone(file: h5py.File, path: str, draw: random.Random) -> None:  # noqa: ARG001
    del file[path]


ARRAY_CHANGES: list[Callable[[h5py.File, str, random.Random], None]] = [
    *(of_another_type, not_finite, too_large, unstored, of_another_shape, elsewhere),
    *(linked, doubled, with_odd_attributes, gone),
]
CHANGES = (edit_entry, enlarge, flip_bits, cut, rebuild)


def trap(folder: Path, draw: random.Random) -> str:
    """Something in the folder is no file, but waits, circles or leads elsewhere."""
    path = folder / draw.choice((WEIGHTS, ENTRY, GOLDEN))
    kind = draw.choice(("pipe", "circle", "folder", "zero", "out", "gone", "text"))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text(draw.choice(("{", "[]", "NaN", "[" * 10**5, "1" * 5_000)))
    elif kind != "gone":
        places = {"circle": path.name, "zero": "/dev/zero", "out": "/etc/passwd"}
        path.symlink_to(places[kind])
    return f"{path.name} is {kind}"


# --- What must come of it ------------------------------------------------------------


class WroteError(Exception):
    """A file was opened to be written, or made."""


def watch_writes() -> None:
    """Whatever writes a file ends in an error from now on."""
    is_inside = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal is_inside
        if is_inside:
            return
        writes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link")
        if event == "open":
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if writes and not str(arguments[0]).endswith(("/dev/null", ".pyc")):
            is_inside = True
            try:
                if "__pycache__" not in str(arguments[0]) and WATCHED[0]:
                    raise WroteError(f"{event} {arguments[0]!r}")
            finally:
                is_inside = False

    sys.addaudithook(hook)


WATCHED = [False]


def peak() -> int:
    """Most bytes of memory that this process has had, since `reset_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("This is no Linux.")


def reset_peak() -> int:
    """Memory of this process now."""
    WATCHED[0] = False
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def outcome(folder: Path, verifies: bool) -> str:
    """The name of what came of loading, or what is wrong with it."""
    import aezoo

    def too_slow(*_: Any) -> None:
        raise TimeoutError(f"It took more than {SECONDS} s.")

    before = reset_peak()
    signal.signal(signal.SIGPROF, too_slow)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    WATCHED[0] = True
    try:
        model = aezoo.load(folder)
        finite = all(np.isfinite(np.asarray(w, "f4")).all() for w in model.weights)
        result = "loaded" if finite else "!weights that are not finite"
        if verifies:
            result = f"loaded, {'ok' if aezoo.verify(folder).ok else 'not ok'}"
    except aezoo.errors.AezooError as error:
        result = type(error).__name__
    except BaseException as error:
        result = f"!{type(error).__name__}: {error}"[:300]
    finally:
        WATCHED[0] = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    if peak() - before > GIGABYTE:
        result = f"!{(peak() - before) / 1e9:.1f} GB: {result}"
    return result


def bare(family: str) -> Case:
    """A small model of a family as a folder, without what `aezoo.save` computes."""
    import aezoo
    from aezoo import registry
    from aezoo.nn.weights import weights_bytes

    model = aezoo.create(family, **registry.find_family(family).tiny)
    entry = {
        "schema_version": 1,
        "name": "model",
        "family": family,
        "config": {**model.config, "dtype": "float32"},
        "input_shape": list(model.input_shape),
        "value_range": [0.0, 1.0],
        "latent_shape": list(model.latent_shape),
        "num_params": model.count_params(),
        "tasks": list(model.TASKS),
        "weights": {"file": WEIGHTS},
        "golden": {"file": GOLDEN},
    }
    golden = io.BytesIO()
    shape = (1, *model.input_shape)
    np.savez(golden, inputs=np.zeros(shape, "uint8"), codes=np.zeros(3, "f4"))
    return Case("", entry, {WEIGHTS: weights_bytes(model), GOLDEN: golden.getvalue()})


def main(scratch: str, families: str, cases: str, seed: str) -> None:
    """Make and load `cases` folders of every kind and family."""
    faulthandler.enable()
    watch_writes()
    place, counts, wrong = Path(scratch), Counter[str](), []
    for family in families.split(","):
        whole = bare(family)
        whole.write(place / "whole")
        if (found := outcome(place / "whole", verifies=False)) != "loaded":
            raise RuntimeError(f"{family} itself: {found}")
        shutil.rmtree(place / "whole")
        memory = resource.getrlimit(resource.RLIMIT_AS)[1]
        size = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (size + 2 * GIGABYTE, memory))
        for number in range(int(cases) * (len(CHANGES) + 1)):
            draw = random.Random(f"{seed} {family} {number}")
            folder = place / f"{number}"
            kind = number % (len(CHANGES) + 1)
            if kind < len(CHANGES):
                case = CHANGES[kind](whole, draw)
                case.write(folder)
                what = f"{CHANGES[kind].__name__}: {case.what}"
            else:
                whole.write(folder)
                what = trap(folder, draw)
            found = outcome(folder, verifies=number % 24 in (3, 5))
            counts[found.partition(":")[0]] += 1
            if found.startswith("!"):
                wrong.append(f"{family} {number}, {what}: {found}")
            shutil.rmtree(folder)
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    sys.stdout.write(json.dumps({"wrong": wrong, "counts": counts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
