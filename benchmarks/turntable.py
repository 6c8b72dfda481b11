"""Shapes turned, tilted and lit by hand, beside the same moves in a plain VAE.

    python -m benchmarks.turntable dc_ign_turntable --data-dir DIR --runs RUNS

On shapes that nothing was trained on. Every picture is shown at every other value of a
factor by moving that factor's latents alone, and compared with the true picture (mean
squared error of a value in [0, 1]). Beside it stand principal components, as many as
latents, and with `--runs` a VAE of the same network and training: there the code is
moved by the difference between the mean codes of both values, of all training pictures.
Then how well each factor is read (the value whose mean latents are nearest),
by how many degrees azimuths are wrong, and how far the other latents move while one
factor varies, as a part of their spread: the root of their variance among pictures that
differ in it alone over that among all, variances summed over units. Prints Markdown,
with standard errors over shapes.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baseline import trained_as
from benchmarks.common import markdown_table, with_error

# Azimuths, elevations, lights of each shape, in this order.
GRID = (16, 2, 3)
DEGREES = 22.5


def as_grid(values: np.ndarray) -> np.ndarray:
    """Rows of pictures as `(shapes, 16, 2, 3, ...)`."""
    return values.reshape(-1, *GRID, *values.shape[1:])


def errors_of_moves(model: Any, images: np.ndarray, means: Any, axis: int) -> Any:
    """Error of every move of one factor, a mean for each shape.

    Args:
        model: The model.
        images: `(n, 64, 64, 3)`, floats in [0, 1], all views of each shape.
        means: Mean units of each value `(values, units)`, and where in a code they
            stand, which are set; or mean codes `(values, latent_dim)`, and None: their
            differences are added.
        axis: Which factor, from 1.

    Returns:
        Errors of the moves, and of leaving the picture as it is reconstructed.
    """
    units, place = means
    codes = as_grid(model.encode(images))
    truth = as_grid(images)
    count = GRID[axis - 1]
    errors, still = [], []
    at = np.moveaxis(codes, axis, 0), np.moveaxis(truth, axis, 0)
    plain = np.asarray(model.decode(codes.reshape(-1, codes.shape[-1])))
    plain = np.moveaxis(plain.reshape(truth.shape), axis, 0)
    for source in range(count):
        for target in range(count):
            if source == target:
                continue
            z = at[0][source].copy()
            if place is None:
                z += units[target] - units[source]
            else:
                z[..., place] = units[target]
            shown = model.decode(z.reshape(-1, z.shape[-1]))
            wanted = at[1][target]
            shown = np.asarray(shown).reshape(wanted.shape)
            for found, guess in ((errors, shown), (still, plain[source])):
                found.append(np.square(guess - wanted).reshape(len(wanted), -1).mean(1))
    return np.mean(errors, axis=0), np.mean(still, axis=0)


class Components:
    """Principal components of pictures, with the methods of a model.

    Args:
        images: Training pictures, floats in [0, 1], `(n, height, width, channels)`.
        count: How many.
    """

    def __init__(self, images: np.ndarray, count: int) -> None:
        from sklearn.decomposition import PCA

        self.shape = images.shape[1:]
        self.pca = PCA(count, svd_solver="randomized", random_state=0)
        self.pca.fit(images.reshape(len(images), -1))

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Codes, `(n, count)`."""
        return np.asarray(self.pca.transform(images.reshape(len(images), -1)))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Pictures, cut to [0, 1]."""
        found = self.pca.inverse_transform(codes).reshape(-1, *self.shape)
        return np.clip(found, 0.0, 1.0)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a model of the family `dc_ign`")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--runs", type=Path, help="where the VAE is trained; or none")
    parser.add_argument("--shapes", type=int, help="only the first of the test shapes")
    args = parser.parse_args()
    import aezoo
    from aezoo.data.datasets import load_dataset

    train = load_dataset("turntable", "train", args.data_dir)
    test = load_dataset("turntable", "test", args.data_dir)
    test = test.take(args.shapes and args.shapes * int(np.prod(GRID)))
    images = test.examples.astype("float32") / np.float32(255)
    model = aezoo.load(args.name)
    learnt = train.examples.astype("float32") / np.float32(255)
    others: dict[str, Any] = {"PCA": Components(learnt, model.latent_dim)}
    if args.runs:
        out = args.runs / "conv_vae"
        others["plain VAE"] = trained_as(args.name, "conv_vae", out, args.data_dir)
    known = {name: as_grid(other.encode(learnt)) for name, other in others.items()}
    rows, read = [], []
    codes = as_grid(model.encode(test.examples))
    spread = codes.reshape(-1, codes.shape[-1]).var(axis=0)
    for axis, factor in enumerate(model.factors[:-1], start=1):
        place = model.group(factor)
        units = np.asarray(model.value_means[factor])
        errors, still = errors_of_moves(model, images, (units, place), axis)
        figures = [with_error(errors, ".4f"), with_error(still, ".4f")]
        for name, other in others.items():
            means = known[name].mean(axis=tuple({0, 1, 2, 3} - {axis}))
            beside, _ = errors_of_moves(other, images, (means, None), axis)
            ratio = errors.mean() / beside.mean()
            figures += [with_error(beside, ".4f"), f"{ratio:.2f}"]
        rows.append([factor, *figures])
        found = as_grid(model.read(test.examples, factor))
        truth = np.indices(found.shape)[axis]
        right = 100.0 * (found == truth).reshape(len(found), -1).mean(axis=1)
        away = ""
        if factor == "azimuth":
            turns = np.abs(found - truth)
            turns = np.minimum(turns, GRID[0] - turns) * DEGREES
            away = f"{np.median(turns):g} (mean {turns.mean():.0f})"
        within = codes.std(axis=axis).reshape(-1, codes.shape[-1])
        moved = np.square(within).mean(axis=0)
        is_other = np.ones(codes.shape[-1], bool)
        is_other[place] = False
        own, rest = (
            f"{100 * np.sqrt(moved[which].sum() / spread[which].sum()):.0f}"
            for which in (~is_other, is_other)
        )
        read.append([factor, with_error(right, ".0f"), away, own, rest])
    print(f"## Moves of one factor: {len(codes)} shapes, mean squared error\n")
    head = ["factor", args.name, "not moved"]
    head += [word for name in others for word in (name, "ratio")]
    print(markdown_table(head, rows))
    print("\n## What the latents say\n")
    head = ["factor", "read, %", "median error, degrees"]
    head += ["own latents move, % of their spread", "other latents, %"]
    print(markdown_table(head, read))


if __name__ == "__main__":
    main()
