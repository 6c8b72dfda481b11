"""Solid shapes: what an occupancy VAE is worth beside one on a grid, and its meshes.

Volumes in common with unseen shapes, of both models; seconds of a mesh of 96 cells a
side, from coarse to fine and of all cells; with `--figures`, pictures of a path between
two chairs, and of samples by mixture, each above the nearest shape that the model has
learnt from. Prints Markdown.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine, markdown_table, verdict

MODEL, ON_GRID = "occupancy_vae_modelnet10", "voxel_vae_modelnet10"
DATASET, CHAIR = "modelnet10", 2
RESOLUTION, STEPS, SAMPLES = 96, 9, 10


def mesh_seconds(model: Any, z: np.ndarray, adaptive: bool, repeats: int) -> float:
    """Median seconds of a mesh, after one that is not timed."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model.mesh(z, RESOLUTION, adaptive=adaptive)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def nearest(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """For each shape, of those that are known the one of the largest IoU.

    Args:
        x: Shapes, `(n, depth, height, width)`, occupied from 1/2 on.
        known: Others.
    """
    a, b = ((v.reshape(len(v), -1) >= 0.5).astype("float32") for v in (x, known))
    both = a @ b.T
    either = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - both
    return known[np.argmax(both / np.maximum(either, 1.0), axis=1)]


def draw(model: Any, learnt: np.ndarray, chairs: np.ndarray, folder: Path) -> None:
    """Write `interpolation.png` and `samples.png`."""
    import aezoo
    from aezoo.modalities.image.files import write_image

    path = model.interpolate(chairs[0], chairs[1], steps=STEPS, of="examples")
    strip = np.concatenate([chairs[:1], path, chairs[1:]])
    aezoo.fit_sampler(model, learnt, "gmm")
    drawn = (model.sample(SAMPLES, seed=0, sampler="gmm") >= 0.5).astype("uint8")
    pairs = np.concatenate([drawn, nearest(drawn, learnt)])
    folder.mkdir(parents=True, exist_ok=True)
    for name, shapes, columns in (
        ("interpolation", strip, len(strip)),
        ("samples", pairs, SAMPLES),
    ):
        sheet = model.modality.sheet(shapes, columns, 72)
        write_image(folder / f"{name}.png", sheet)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--models", nargs=2, default=[MODEL, ON_GRID])
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    import aezoo
    from aezoo.data.datasets import load_dataset

    header = machine()
    model, on_grid = map(aezoo.load, arguments.models)
    test = load_dataset(DATASET, "test", arguments.data_dir)
    ious = [
        aezoo.evaluate(m, test, metrics=["iou"])["iou"].value for m in (model, on_grid)
    ]
    chairs = test.examples[test.labels == CHAIR][:2]
    z = model.encode(chairs[:1])
    seconds = {
        way: mesh_seconds(model, z, is_adaptive, arguments.repeats)
        for way, is_adaptive in (("coarse to fine", True), ("all cells", False))
    }
    if arguments.figures:
        learnt = load_dataset(DATASET, "train", arguments.data_dir).examples
        draw(model, learnt, chairs, arguments.figures)
    print("# Shapes\n")
    print(f"{header}; meshes: medians of {arguments.repeats}.\n")
    rows = [
        [f"`{m.name}`", f"{iou:.3f}"]
        for m, iou in zip((model, on_grid), ious, strict=True)
    ]
    print(markdown_table(["model", "IoU of unseen shapes"], rows), end="\n\n")
    rows = [[way, f"{s:.2f}"] for way, s in seconds.items()]
    print(markdown_table([f"mesh of {RESOLUTION}^3", "seconds"], rows), end="\n\n")
    print(verdict("IoU", ious[0], 0.80, at_least=True))
    print(verdict("IoU over the grid's", ious[0] / ious[1], 1.0, at_least=True))
    print(verdict("mesh, s", seconds["coarse to fine"], 2.0, at_least=False))


if __name__ == "__main__":
    sys.exit(main())
