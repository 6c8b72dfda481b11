"""Speed and memory of `aezoo.encode_to_parquet`.

From memory, it is compared with the bare compiled encoder, whose features are thrown
away. From PNG files, with the same threads that only decode. Peak memory is that of
fresh processes over numbers of images, which are synthetic. Prints Markdown.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import aezoo
from benchmarks.common import (
    machine,
    markdown_table,
    median_ratio,
    round_robin,
    synthetic_images,
    verdict,
)

BATCH_SIZE = 256
BARE, MEMORY = "bare encoder, from memory", "`encode_to_parquet`, from memory"
DECODING, FILES = "decoding PNG files alone", "`encode_to_parquet`, PNG files"


def draw(images: int, shape: Sequence[int]) -> np.ndarray:
    """Synthetic images, uint8; few at a time are floats."""
    x = np.empty((images, *shape), "uint8")
    for i in range(0, images, 1000):
        n = min(1000, images - i)
        x[i : i + n] = np.round(255 * synthetic_images(n, seed=i, shape=shape))
    return x


def write_files(folder: Path, images: int, shape: Sequence[int]) -> None:
    """PNG files, 1,000 in each subfolder."""
    from PIL import Image

    for start in range(0, images, 1000):
        place = folder / f"{start:06d}"
        if place.is_dir():
            continue
        place.mkdir(parents=True)
        for i, image in enumerate(draw(min(1000, images - start), shape)):
            Image.fromarray(image.squeeze()).save(place / f"{i:04d}.png")


def seconds(function: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def speeds(
    name: str, folder: Path, images: int, files: int, repeats: int
) -> dict[str, float]:
    """Images per second of each way: medians, taking turns, in this process."""
    from aezoo.data.streams import open_stream
    from aezoo.features.streaming import EncodingRun
    from aezoo.nn.backend import compile_inference

    model = aezoo.load(name)
    shape = model.input_shape
    x = draw(images, shape)
    encode = compile_inference(
        lambda batch: model.encoder(model.modality.to_model(batch))[model.code_head],
        model,
        (shape, "uint8"),
    )
    output = folder / "out.parquet"
    loaded = EncodingRun(name, x, output, overwrite=True).load()

    def bare() -> None:
        for i in range(0, images, BATCH_SIZE):
            encode(x[i : i + BATCH_SIZE])

    def decode() -> None:
        for _ in open_stream(folder / "png", shape).batches(BATCH_SIZE):
            pass

    def write(source: Any) -> None:
        run = EncodingRun(name, source, output, overwrite=True, batch_size=BATCH_SIZE)
        run.write(lambda: loaded)

    ways: dict[str, tuple[Callable[[], None], int]] = {
        BARE: (bare, images),
        MEMORY: (lambda: write(x), images),
        DECODING: (decode, files),
        FILES: (lambda: write(folder / "png"), files),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    for i in range(repeats + 1):
        for way, (function, count) in ways.items():
            speed = count / seconds(function)
            if i:  # the first compiles, and fills the file cache
                found[way].append(speed)
    return {way: statistics.median(values) for way, values in found.items()}


def peak_megabytes(name: str, folder: Path, files: int) -> float:
    """Peak resident memory of this process after encoding PNG files."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        done = aezoo.encode_to_parquet(
            name, folder / f"png{files}", Path(scratch) / "out.parquet"
        )
    if done.num_rows != files:
        raise RuntimeError(f"{done.num_rows} rows of {files} images")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(name: str, results: dict[str, list[Any]], counts: list[int]) -> str:
    """Markdown: two tables, then the targets."""
    speed = results["speed"]

    def series(way: str) -> list[float]:
        return [result[way] for result in speed]

    rows = [[way, f"{statistics.median(series(way)):,.0f}"] for way in speed[0]]
    memory = [
        [f"{count:,}", f"{statistics.median(results[str(count)]):,.0f}"]
        for count in counts
    ]
    growth = median_ratio(results[str(counts[-1])], results[str(counts[0])])
    return "\n".join(
        [
            f"### {name}",
            "",
            markdown_table(["way", "images/s"], rows),
            "",
            markdown_table(["PNG files", "peak MB"], memory),
            "",
            verdict(
                "from memory / bare encoder",
                median_ratio(series(MEMORY), series(BARE)),
                0.85,
                at_least=True,
            ),
            verdict(
                "from PNG files / decoding alone",
                median_ratio(series(FILES), series(DECODING)),
                0.85,
                at_least=True,
            ),
            verdict(
                f"peak memory, {counts[-1]:,} / {counts[0]:,} images",
                growth,
                1.05,
                at_least=False,
            ),
        ]
    )


def main() -> None:
    """Measure in fresh processes, or in this one as a child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="conv_vae_mnist_z16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000, help="from memory")
    parser.add_argument("--files", type=int, default=20_000, help="timed PNG files")
    parser.add_argument(
        "--counts",
        type=int,
        nargs="+",
        default=[1_000, 10_000, 60_000],
        help="PNG files whose encoding's peak memory is measured, rising",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child and args.memory:
        print(json.dumps(peak_megabytes(args.model, args.child, args.memory)))
        return
    if args.child:
        found = speeds(args.model, args.child, args.images, args.files, args.repeats)
        print(json.dumps(found))
        return
    shape = aezoo.describe(args.model).input_shape
    print(f"## Encoding speed\n\n{machine()}; medians of {args.rounds} rounds.\n")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_files(folder / "png", args.files, shape)
        for count in args.counts:
            write_files(folder / f"png{count}", count, shape)
        command = [sys.executable, "-m", "benchmarks.encode_speed", *sys.argv[1:]]
        command += ["--child", scratch]
        runners = {"speed": (command, {})} | {
            str(count): ([*command, "--memory", str(count)], {})
            for count in args.counts
        }
        print(report(args.model, round_robin(runners, args.rounds), args.counts))


if __name__ == "__main__":
    main()
