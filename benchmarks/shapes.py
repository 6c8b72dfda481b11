"""Solid shapes: what an occupancy VAE is worth beside one on a grid, and its meshes.

Volumes in common with unseen shapes, of both models; seconds of a mesh of 96 cells a
side, from coarse to fine and of all cells; how much samples by mixture have in common
with the nearest shape that the model has learnt from, beside what unseen shapes have;
with `--figures`, pictures of surfaces, on a path between two chairs and of samples.
Prints Markdown.
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
RESOLUTION, DRAWN, STEPS, SAMPLES = 96, 48, 9, 100


def mesh_seconds(model: Any, z: np.ndarray, adaptive: bool, repeats: int) -> float:
    """Median seconds of a mesh, after one that is not timed."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model.mesh(z, RESOLUTION, adaptive=adaptive)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def nearest(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The largest volume that each shape has in common with a known one, `(n,)`.

    Args:
        x: Shapes, `(n, depth, height, width)`, occupied from 1/2 on.
        known: Others.

    Returns:
        Over the volume of both together, in [0, 1].
    """
    a, b = ((v.reshape(len(v), -1) >= 0.5).astype("float32") for v in (x, known))
    both = a @ b.T
    either = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - both
    found: np.ndarray = np.max(both / np.maximum(either, 1.0), axis=1)
    return found


def draw(model: Any, codes: np.ndarray, path: Path) -> None:
    """Write the surfaces of codes, side by side, the last axis upwards."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.3 * len(codes), 1.4))
    for i, z in enumerate(codes):
        axes = figure.add_axes((i / len(codes), 0.0, 1.0 / len(codes), 1.0),
                               projection="3d")  # fmt: skip
        mesh = model.mesh(z, DRAWN)
        if len(mesh.faces):
            axes.plot_trisurf(
                *mesh.vertices.T, triangles=mesh.faces, color="tan", linewidth=0.0
            )
        axes.set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 1))
        axes.set_box_aspect((1, 1, 1), zoom=1.25)
        axes.view_init(elev=20, azim=-50)
        axes.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument(
        "--models",
        nargs="+",
        default=[MODEL, ON_GRID],
        help="the one with meshes, and what it is compared with, if anything",
    )
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    import aezoo
    from aezoo.data.datasets import load_dataset
    from aezoo.nn.distributions import interpolate_codes

    header = machine()
    models = [aezoo.load(name) for name in arguments.models]
    model = models[0]
    test = load_dataset(DATASET, "test", arguments.data_dir)
    ious = [aezoo.evaluate(m, test, metrics=["iou"])["iou"].value for m in models]
    chairs = test.examples[test.labels == CHAIR]
    volumes = chairs.sum(axis=(1, 2, 3))
    # one of middling volume, and one that is larger than three quarters
    chairs = chairs[np.argsort(volumes)[[len(chairs) // 2, 3 * len(chairs) // 4]]]
    z = model.encode(chairs[:1])
    seconds = {
        way: mesh_seconds(model, z, is_adaptive, arguments.repeats)
        for way, is_adaptive in (("coarse to fine", True), ("all cells", False))
    }
    learnt = load_dataset(DATASET, "train", arguments.data_dir).examples
    aezoo.fit_sampler(model, learnt, "gmm")
    codes = model.sample_codes(SAMPLES, np.random.default_rng(0), "gmm")
    drawn = model.decode(codes)
    alike = {
        "a sample, by mixture": nearest(drawn, learnt),
        "an unseen shape": nearest(test.examples[:: len(test.examples) // SAMPLES],
                                   learnt),
    }  # fmt: skip
    if arguments.figures:
        path = interpolate_codes(*model.encode(chairs)[:, None], STEPS, "spherical")
        draw(model, path[0], arguments.figures / "interpolation.png")
        draw(model, codes[:STEPS], arguments.figures / "samples.png")
    print("# Shapes\n")
    print(f"{header}; meshes: medians of {arguments.repeats}.\n")
    rows = [[f"`{m.name}`", f"{iou:.3f}"] for m, iou in zip(models, ious, strict=True)]
    print(markdown_table(["model", "IoU of unseen shapes"], rows), end="\n\n")
    rows = [[name, f"{np.median(v):.2f}"] for name, v in alike.items()]
    header = ["", "IoU with the nearest that was learnt from, median"]
    print(markdown_table(header, rows), end="\n\n")
    rows = [[way, f"{s:.2f}"] for way, s in seconds.items()]
    print(markdown_table([f"mesh of {RESOLUTION}^3", "seconds"], rows), end="\n\n")
    print(verdict("IoU", ious[0], 0.80, at_least=True))
    for m, iou in zip(models[1:], ious[1:], strict=True):
        print(verdict(f"IoU over that of {m.name}", ious[0] / iou, 1.0, at_least=True))
    print(verdict("mesh, s", seconds["coarse to fine"], 2.0, at_least=False))


if __name__ == "__main__":
    sys.exit(main())
