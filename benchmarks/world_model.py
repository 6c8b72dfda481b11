"""What a world model knows of the road, and of what follows.

    python -m benchmarks.world_model world_model_carracing --data-dir DIR

On the test frames of `carracing`: how well a linear map reads the distance to the
middle of the road, and the change of heading in one step, from the model's codes, from
as many principal components of the pixels as codes have units, and from the pixels, for
growing numbers of labelled training frames (drawn with five seeds: mean, and a 95 %
interval of the mean); ridge regression whose penalty is chosen on a fifth of them.
Then the negative log density of the next code, beside that of the same network which is
not told what is done. Prints Markdown.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from aezoo.utils.arrays import to_numpy
from benchmarks.common import machine, markdown_table, verdict
from training.intervals import mean

COUNTS = (100, 1_000, 10_000)
SEEDS = (0, 1, 2, 3, 4)
PENALTIES = tuple(10.0**k for k in range(-4, 6))
READ = ("distance to the middle", "change of heading")
# Of the targets: at how many frames, how well.
TARGET_COUNT, TARGET_R2 = 1_000, 0.8


def readings(states: np.ndarray, episodes: np.ndarray) -> np.ndarray:
    """What is read, `(n, 2)`; NaN where nothing follows a frame.

    Args:
        states: `(n, 7)`, as the builder has them.
        episodes: Integers `(n,)`.
    """
    found = np.full((len(states), 2), np.nan)
    follows = episodes[1:] == episodes[:-1]
    found[:-1, 0][follows] = states[:-1, 6][follows]
    found[:-1, 1][follows] = np.diff(states[:, 2])[follows]
    return found


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Weights, the last one of a constant, of centred and scaled features."""
    ones = np.c_[x, np.ones(len(x))]
    if len(x) < x.shape[1]:  # the same by the smaller matrix
        level, centre = y.mean(axis=0), x.mean(axis=0)
        centred = x - centre
        inner = centred @ centred.T + penalty * np.eye(len(x))
        weights = centred.T @ np.linalg.solve(inner, y - level)
        return np.r_[weights, (level - centre @ weights)[None]]
    square = ones.T @ ones + np.diag([penalty] * x.shape[1] + [0.0])
    return np.linalg.solve(square, ones.T @ y)


def share_explained(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """R squared of each column of `y`."""
    error = np.square(np.c_[x, np.ones(len(x))] @ weights - y).mean(axis=0)
    return 1.0 - error / y.var(axis=0)


def read_out(
    train: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray, count: int,
    seed: int,
) -> np.ndarray:  # fmt: skip
    """R squared on test frames of a map that is fitted to some training frames."""
    rows = np.random.default_rng(seed).permutation(len(train))[:count]
    scale = train[rows].std(axis=0) + 1e-6
    x, x_test = train[rows] / scale, test / scale
    held = len(rows) // 5
    scores = [
        share_explained(ridge(x[held:], y[rows][held:], p), x[:held], y[rows][:held])
        for p in PENALTIES
    ]
    best = np.argmax(scores, axis=0)
    found = [
        share_explained(ridge(x, y[rows], PENALTIES[penalty]), x_test, y_test)[column]
        for column, penalty in enumerate(best)
    ]
    return np.array(found)


def components(x: np.ndarray, others: np.ndarray, count: int) -> list[np.ndarray]:
    """The first principal components of `x`, of both."""
    centre = x.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((x - centre)[::4], rowvar=False))
    basis = vectors[:, ::-1][:, :count]
    return [(part - centre) @ basis for part in (x, others)]


def features(model: Any, data: dict[str, Any]) -> dict[str, list[np.ndarray]]:
    """Codes, components and pixels of train and test."""
    codes = [model.encode(data[split].examples) for split in ("train", "test")]
    # at a quarter of the size: more pixels than frames say no more
    pixels = [
        to_numpy(data[split].examples)
        .reshape(-1, 16, 4, 16, 4, 3)
        .mean(axis=(2, 4))
        .reshape(len(data[split].examples), -1)
        / 255.0
        for split in ("train", "test")
    ]
    found = components(*pixels, count=codes[0].shape[1])
    return {
        "codes": codes,
        f"{codes[0].shape[1]} principal components": found,
        "pixels, 16 x 16": pixels,
    }


def _shown(values: np.ndarray) -> str:
    found = mean(list(values))
    return f"{found.value:.2f} ± {found.half_width or 0.0:.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a model, or its folder")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=40, help="of the untold network")
    options = parser.parse_args()

    import aezoo
    from aezoo.data.datasets import load_dataset

    model = aezoo.load(options.name)
    splits = ("train", "test")
    data = {s: load_dataset("carracing", s, options.data_dir) for s in splits}
    with np.load(options.data_dir / "carracing" / "states.npz") as archive:
        y = {s: readings(archive[s], data[s].given["episode"]) for s in splits}
    known = {s: np.isfinite(y[s]).all(axis=1) for s in splits}
    print(f"{machine()}; {known['test'].sum()} test frames.\n")
    scores: dict[str, dict[int, np.ndarray]] = {}
    for name, (train, test) in features(model, data).items():
        scores[name] = {
            count: np.array(
                [
                    read_out(
                        train[known["train"]],
                        y["train"][known["train"]],
                        test[known["test"]],
                        y["test"][known["test"]],
                        count,
                        seed,
                    )
                    for seed in SEEDS
                ]
            )
            for count in COUNTS
        }
    for column, what in enumerate(READ):
        rows = [
            [name, *(_shown(found[count][:, column]) for count in COUNTS)]
            for name, found in scores.items()
        ]
        print(f"### R squared, {what}\n")
        print(markdown_table(["", *(f"{c:,} frames" for c in COUNTS)], rows))
        print()
    for column, what in enumerate(READ):
        value = scores["codes"][TARGET_COUNT][:, column].mean()
        label = f"R squared of {what} from {TARGET_COUNT:,} frames"
        print(verdict(label, value, TARGET_R2, at_least=True))

    told, untold = next_code(model, data, options.epochs)
    print("\n### Next code\n")
    rows = [["told what is done", f"{told:.2f}"], ["not told", f"{untold:.2f}"]]
    print(markdown_table(["", "nats"], rows))
    print()
    print(verdict("nats less, told what is done", untold - told, 0.0, at_least=True))


def next_code(model: Any, data: dict[str, Any], epochs: int) -> tuple[float, float]:
    """Mean negative log density of the next code, told what is done and not."""
    test, train = data["test"], data["train"]
    z = model.encode(test.examples)
    given = test.given
    told = -model.next_log_prob(z, given["action"], given["episode"]).mean()
    nothing = np.zeros_like(train.given["action"])
    model.fit_dynamics(train.examples, nothing, train.given["episode"], epochs=epochs)
    untold = -model.next_log_prob(
        z, np.zeros_like(given["action"]), given["episode"]
    ).mean()
    return float(told), float(untold)


if __name__ == "__main__":
    main()
