"""What a model loses that learns from half of each image's pixels.

    python -m benchmarks.missing_pixels --epochs 10

Two trainings of one recipe, from each seed: on whole images, and on images of which
each pixel is missing with probability 1/2, always the same ones of an image. Then the
likelihood of whole binarised test images, by importance sampling.
"""

import argparse
import json
from typing import Any

import keras
import numpy as np

import aezoo
from aezoo.data.datasets import load_dataset
from benchmarks.common import verdict
from training.recipes import load_recipe

RECIPE = "conv_vae_mnist"
MISSING = 0.5
METRIC = "iwae_nll/binarised"


def masks(n: int, positions: tuple[int, ...]) -> np.ndarray:
    """Which elements are missing: independent of everything, `(n, *positions)`."""
    return np.random.default_rng(0).random((n, *positions)) < MISSING


def train(
    recipe: str, x: np.ndarray, mask: np.ndarray | None, seed: int, epochs: int
) -> Any:
    """A model of a recipe after some epochs.

    Args:
        recipe: Name of the recipe.
        x: Training examples.
        mask: Where elements are missing; None for nowhere.
        seed: Of weights, order and noise.
        epochs: How many.
    """
    known = load_recipe(recipe)
    keras.utils.set_random_seed(seed)
    model = aezoo.create(known.family, **known.config)
    model.compile(aezoo.optimizers.Adam(known.learning_rate))
    model.fit(x, mask=mask, batch_size=known.batch_size, epochs=epochs, verbose=2)
    return model


def nll(model: Any, limit: int) -> float:
    """Nats of whole test images."""
    data = load_dataset("mnist", "test")
    report = aezoo.evaluate(model, data, metrics=[METRIC], limit=limit)
    return float(report[METRIC].value)


def main() -> None:
    """Train, measure, and print both and their difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=int, default=500)
    args = parser.parse_args()
    x = load_dataset("mnist", "train").examples
    mask = masks(len(x), x.shape[1:3])
    found = []
    for seed in range(args.seeds):
        row = {
            name: nll(train(args.recipe, x, holes, seed, args.epochs), args.limit)
            for name, holes in (("whole", None), ("half", mask))
        }
        print(json.dumps({"seed": seed, **row}), flush=True)
        found.append(row)
    lost = [row["half"] - row["whole"] for row in found]
    print("\n# Missing pixels\n")
    print(f"{args.recipe}, {args.epochs} epochs, {args.limit} test images\n")
    for name in ("whole", "half"):
        print(f"  {name:5s} {np.mean([row[name] for row in found]):8.2f} nats")
    print(f"  lost  {np.mean(lost):8.2f} nats, by seed {np.round(lost, 2).tolist()}")
    print()
    print(verdict("lost, nats", float(np.mean(lost)), 4.0, at_least=False))


if __name__ == "__main__":
    main()
