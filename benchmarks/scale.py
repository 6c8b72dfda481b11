"""How encoding and training grow: with the number of images, and of processes.

    python -m benchmarks.scale
    python -m benchmarks.scale --images 1000 100000 --processes 1 2

Encoding: `aezoo.encode_to_parquet` of a synthetic stream, which never is in memory as a
whole, each length in a fresh process: microseconds for each image, and the peak of its
memory. On Ray, `aezoo.features.ray.Encoder` in that many workers of one thread each;
their start is left out. Training: `training.train --distribute` in that many local
processes of one thread each, whose batches together are the recipe's; the first epoch,
which compiles, is left out. Efficiency is the speed over that of one process times
their number: processes beyond the cores cannot add to it. Prints Markdown.
"""

import argparse
import csv
import functools
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    QUIET,
    ROOT,
    machine,
    markdown_table,
    run_fresh,
    synthetic_images,
    verdict,
)

ENCODER, RECIPE = "dense_vae_mnist_z20", "conv_vae_mnist"
BLOCK = 4096
# Images of a training, and its epochs; images that Ray's workers encode, each.
LEARNT, EPOCHS, FOR_EACH = 12_800, 3, 40_000
# Of the cost of an image in the longest stream to that in the shortest of `STEADY` and
# more, which a start cannot dominate; and of memory likewise.
FLAT, STEADY = 1.1, 100_000
ONE_THREAD = {
    name: "1"
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
}


def stream_of(count: int, shape: tuple[int, ...]) -> Any:
    """A stream of that many images, the same ones again and again."""
    from aezoo.data.streams import Batch, Part, Stream

    block = np.round(255 * synthetic_images(BLOCK, shape=shape)).astype("uint8")

    class Repeated(Stream):
        name, kind, label_type, readers = "synthetic", "array", None, 0

        def __len__(self) -> int:
            return count

        def parts(self, size: int, batch_size: int) -> Iterator[Part]:
            for start in range(0, count, size):
                stop = min(start + size, count)
                yield Part(
                    start,
                    stop,
                    functools.partial(str, start),
                    functools.partial(batches, start, stop, batch_size),
                )

    def batches(start: int, stop: int, size: int) -> Iterator[Any]:
        for i in range(start, stop, size):
            n = min(size, stop - i)
            first = i % (BLOCK - size)
            paths = [f"synthetic/{j}" for j in range(i, i + n)]
            yield lambda p=paths, f=first, n=n: Batch(p, None, block[f : f + n])

    return Repeated()


def encode(count: int) -> dict[str, float]:
    """Microseconds for each image of a stream, and peak megabytes; of this process."""
    import aezoo
    from aezoo.features.streaming import EncodingRun

    shape = aezoo.describe(ENCODER).input_shape
    with tempfile.TemporaryDirectory() as folder:
        few = EncodingRun(ENCODER, stream_of(512, shape), Path(folder) / "a.parquet")
        loaded = few.load()
        few.write(lambda: loaded)  # compiles
        run = EncodingRun(ENCODER, stream_of(count, shape), Path(folder) / "b.parquet")
        start = time.perf_counter()
        run.write(lambda: loaded)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"microseconds": 1e6 * seconds / count, "megabytes": peak}


class Timed:
    """Encodes batches, and says when; for `map_batches`."""

    def __init__(self, name: str) -> None:
        from aezoo.features.ray import Encoder

        self._encode = Encoder(name)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row: the worker, when it began and ended, and how many images."""
        start = time.time()
        self._encode(batch)
        row = {"worker": os.getpid(), "start": start, "end": time.time(),
               "images": len(batch["image"])}  # fmt: skip
        return {key: np.array([value]) for key, value in row.items()}


def encode_on_ray(processes: int) -> float:
    """Images per second of all workers, each from its second batch to its last."""
    import ray

    import aezoo

    shape = aezoo.describe(RECIPE).input_shape
    x = np.round(255 * synthetic_images(BLOCK, shape=shape)).astype("uint8")[..., 0]
    environment = {**QUIET, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
    ray.init(num_cpus=max(processes, 2), include_dashboard=False,
             log_to_driver=False, runtime_env={"env_vars": environment})  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = [x] * max(1, processes * FOR_EACH // BLOCK)
    images = ray.data.from_numpy(blocks).rename_columns({"data": "image"})
    timed = images.map_batches(
        Timed,
        fn_constructor_args=(RECIPE,),
        batch_size=256,
        compute=ray.data.ActorPoolStrategy(size=processes),
        num_cpus=1,
    )
    rows = timed.to_pandas()
    ray.shutdown()
    by_worker = defaultdict(list)
    for row in rows.itertuples():
        by_worker[row.worker].append((row.start, row.end, row.images))
    # while all of them work
    start = max(sorted(found)[1][0] for found in by_worker.values())
    stop = min(max(found)[1] for found in by_worker.values())
    done = [
        r
        for found in by_worker.values()
        for r in found
        if start <= r[0] and r[1] <= stop
    ]
    return sum(images for *_, images in done) / (stop - start)


def train(processes: int, data_dir: Path, folder: Path) -> float:
    """Images per second of a training in that many processes."""
    out = folder / str(processes)
    ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(processes)]
    workers = [f"127.0.0.1:{port.getsockname()[1]}" for port in ports]
    for port in ports:
        port.close()
    running = []
    for i in range(processes):
        environment = {
            **os.environ,
            **QUIET,
            **ONE_THREAD,
            "KERAS_BACKEND": "tensorflow",
        }
        command = [sys.executable, "-m", "training.train", RECIPE, "--data-dir"]
        command += [str(data_dir), "--out", str(out), "--epochs", str(EPOCHS)]
        if processes > 1:
            task = {"type": "worker", "index": i}
            cluster = {"cluster": {"worker": workers}, "task": task}
            environment["TF_CONFIG"] = json.dumps(cluster)
            command.append("--distribute")
        running.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in running:
        _, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(errors[-3000:])
    with (out / "log.csv").open() as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    return LEARNT * (EPOCHS - 1) / sum(seconds[1:])


def write_digits(folder: Path) -> None:
    """Drawn digits as the dataset `mnist`."""
    from aezoo.modalities.image.digits import draw_digits

    (folder / "mnist").mkdir()
    for seed, (split, count) in enumerate({"train": LEARNT, "test": 64}.items()):
        images, labels = draw_digits(count, seed=seed)
        np.savez(folder / "mnist" / f"{split}.npz", images=images, labels=labels)


def efficiencies(speeds: dict[int, float]) -> str:
    """Markdown: images per second and efficiency, by the number of processes."""
    first, speed = next(iter(speeds.items()))
    rows = [
        [str(n), f"{found:,.0f}", f"{found * first / (n * speed):.2f}"]
        for n, found in speeds.items()
    ]
    return markdown_table(["processes", "images/s", "efficiency"], rows)


def main() -> None:
    """Measure all, or one part in this process as a child."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    counts = [1000, 10_000, 100_000, 1_000_000, 10_000_000]
    parser.add_argument("--images", type=int, nargs="*", default=counts)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--encode", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ray", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.encode:
        print(json.dumps(encode(args.encode)))
        return
    if args.ray:
        print(json.dumps(encode_on_ray(args.ray)))
        return
    this = [sys.executable, "-m", "benchmarks.scale"]
    print(f"## Scale\n\n{machine()}.\n")
    costs = {n: run_fresh([*this, "--encode", str(n)]) for n in args.images}
    rows = [
        [f"{n:,}", f"{cost['microseconds']:.1f}", f"{cost['megabytes']:,.0f}"]
        for n, cost in costs.items()
    ]
    print(f"### A stream of images, {ENCODER}\n")
    print(markdown_table(["images", "microseconds each", "peak MB"], rows) + "\n")
    if args.processes:
        on_ray = {n: run_fresh([*this, "--ray", str(n)]) for n in args.processes}
        print(f"### Encoding on Ray, {RECIPE}\n\n{efficiencies(on_ray)}\n", flush=True)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_digits(folder)
            trained = {n: train(n, folder, folder) for n in args.processes}
        print(f"### Data-parallel training, {RECIPE}\n\n{efficiencies(trained)}\n")
    steady = [cost for n, cost in costs.items() if n >= STEADY]
    for key, label in (("microseconds", "cost of an image"), ("megabytes", "memory")):
        if len(steady) > 1:
            share = steady[-1][key] / steady[0][key]
            print(
                verdict(f"{label}, longest / {STEADY:,}", share, FLAT, at_least=False)
            )


if __name__ == "__main__":
    main()
