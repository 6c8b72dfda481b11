"""Missing pixels completed by models, beside guesses that know no model.

    python -m benchmarks.inpainting conv_vae_mnist hierarchical_vae_mnist --limit 100

The metrics `imputation_mse` of each model on the first test images of its dataset;
beside them, on the same images under the same masks, the mean of the training images,
and the training image that is nearest in the known pixels (of all of them). Prints
Markdown, with standard errors.

    python -m benchmarks.inpainting hierarchical_vae_mnist --figure halves.png

draws completions of digits that a program drew, and measures nothing.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import markdown_table

# Of the figure: digits, completions of each, and those that are shown.
DRAWN, ANSWERS, SHOWN = 10, 20, 3


def figures(errors: np.ndarray) -> str:
    """A mean and its standard error."""
    return f"{errors.mean():.4f} ± {errors.std(ddof=1) / math.sqrt(len(errors)):.4f}"


def nearest(train: np.ndarray, x: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """For each image, the training image nearest in the known pixels, `x`'s shape."""
    seen = (~hidden[..., None] * np.ones_like(x)).reshape(len(x), -1)
    flat, pool = x.reshape(len(x), -1), train.reshape(len(train), -1)
    # |seen (x - t)|^2 without what is alike for all t
    distances = seen @ np.square(pool).T - 2.0 * (seen * flat) @ pool.T
    return train[np.argmin(distances, axis=1)]


def draw(name: str, path: Path) -> None:
    """Write a figure of completions of drawn digits without their lower half."""
    import aezoo
    from aezoo.evaluation import plots

    shown, _ = aezoo.digits.draw_digits(DRAWN, seed=1)
    hidden = np.zeros(shown.shape[1:3], bool)
    hidden[len(hidden) // 2 :] = True
    found = aezoo.load(name).inpaint(shown, hidden, n=ANSWERS, seed=0)
    rows = {"input": shown, "seen": np.where(hidden[..., None], np.uint8(0), shown)}
    rows |= {f"answer {i + 1}": found[:, i] for i in range(SHOWN)}
    mean = (found / 255.0).mean(axis=1)
    rows |= {f"mean of {ANSWERS}": mean, "deviation": (found / 255.0).std(axis=1)}
    figure = plots.image_rows(rows, title=f"{name}: the lower half completed")
    plots.save_figure(figure, path)


def main() -> None:
    """Print a row per model and guess."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", help="models of one dataset")
    parser.add_argument("--limit", type=int, default=100, help="test images")
    parser.add_argument("--masks", nargs="+", default=["block", "half", "random"])
    parser.add_argument("--figure", type=Path, help="where to draw completions")
    args = parser.parse_args()
    if args.figure:
        draw(args.names[0], args.figure)
        return
    import aezoo
    from aezoo.data.datasets import load_dataset
    from aezoo.evaluation.context import Chunk, Evaluation, Settings
    from aezoo.evaluation.image import imputation

    masks = {kind: imputation.MASKS[kind] for kind in args.masks}
    dataset = aezoo.describe(args.names[0]).data.name
    data = load_dataset(dataset, "test")
    train = load_dataset(dataset, "train").examples.astype("float32") / 255.0
    rows: list[list[Any]] = []
    for name in args.names:
        model = aezoo.load(name)
        metrics = [f"imputation_mse/{kind}" for kind in masks]
        report = aezoo.evaluate(model, data, metrics=metrics, limit=args.limit)
        found = [report[metric] for metric in metrics]
        rows.append([name, *(f"{f.value:.4f} ± {f.standard_error:.4f}" for f in found)])
    limited = Evaluation(model, data.take(args.limit), Settings(), len(data.examples))
    guesses: dict[str, list[np.ndarray]] = {"training mean": [], "nearest image": []}
    for kind in masks.values():
        errors: dict[str, list[np.ndarray]] = {guess: [] for guess in guesses}
        for start in range(0, len(limited), 256):
            chunk = Chunk(limited, start, min(start + 256, len(limited)))
            hidden, x = kind(chunk), chunk.x
            mean = np.broadcast_to(train.mean(axis=0), x.shape)
            errors["training mean"].append(imputation.error_of(x, mean, hidden))
            errors["nearest image"].append(
                imputation.error_of(x, nearest(train, x, hidden), hidden)
            )
        for guess, parts in errors.items():
            guesses[guess].append(np.concatenate(parts))
    rows += [[guess, *map(figures, parts)] for guess, parts in guesses.items()]
    print(f"## Missing pixels: {dataset}, first {args.limit} test images\n")
    print(markdown_table(["", *masks], rows))


if __name__ == "__main__":
    main()
