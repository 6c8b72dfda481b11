"""Futures of traffic scenes: a motion VAE, a regressor of its network, and retrieval.

    python -m benchmarks.motion motion_vae_traffic --data-dir DIR

On the test scenes of `traffic_futures`, each of which has 20 true futures: 20 samples
of the model; the answer of a regressor, which is the model's own network of images and
decoder with a code of zeros, trained here on the same scenes for the squared error, the
best epoch on those that the recipe holds out; and what followed in the 20 training
scenes that look most alike, by pixels and by the regressor's features. The last row
holds each true future against the 19 others of its scene. Prints Markdown. `--figure
FILE` draws the futures of a few scenes beside samples.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from aezoo.evaluation.metrics.motion import displacement, final_displacement
from aezoo.metrics.motion import RADIUS
from benchmarks.common import machine, markdown_table, verdict

SAMPLES = 20
# Of the targets: final error over the regressor's, and what is covered both ways.
SHARE, COVERED = 0.5, 0.7
COLUMNS = (
    *("best ADE, m", "best FDE, m", "futures covered", "samples covered"),
    *("futures covered at the end", "samples covered at the end"),
)


def read(data_dir: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures `(scenes, h, w, 3)` and futures `(scenes, number, steps, 2)`."""
    from aezoo.data.datasets import load_dataset

    data = load_dataset("traffic_futures", split, data_dir)
    number = SAMPLES if split == "test" else 1
    futures = data.examples.reshape(-1, number, *data.examples.shape[1:])
    return data.given["image"][::number], futures


def distances(futures: np.ndarray, samples: np.ndarray) -> dict[str, np.ndarray]:
    """Of each future to each sample of its scene, `(scenes, futures, samples)`."""
    pairs = futures[:, :, None], samples[:, None]
    return {"ade": displacement(*pairs), "fde": final_displacement(*pairs)}


def figures(apart: dict[str, np.ndarray]) -> list[float]:
    """What `COLUMNS` names."""
    best = [float(apart[name].min(axis=2).mean()) for name in ("ade", "fde")]
    covered = [
        float((apart[name].min(axis=axis) <= RADIUS).mean())
        for name in ("ade", "fde")
        for axis in (2, 1)
    ]
    return best + covered


def regressor(
    model: Any, images: np.ndarray, futures: np.ndarray, held_out: int, epochs: int
) -> Any:
    """The network of a model from image to future, trained for the squared error.

    Args:
        model: The model, whose architecture is taken.
        images: Training pictures, uint8.
        futures: `(n, steps, 2)`.
        held_out: Scenes to choose the epoch by, the last ones.
        epochs: Passes.

    Returns:
        A Keras model from floats in [0, 1].
    """
    import keras

    import aezoo

    keras.utils.set_random_seed(0)
    fresh = aezoo.create(model.family, **model.config)

    class Regressor(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.context, self.future = fresh.context, fresh.decoder

        def features(self, images: Any, training: bool = False) -> Any:
            return self.context({"image": images}, training=training)

        def call(self, images: Any, training: bool = False) -> Any:
            context = self.features(images, training)
            code = keras.ops.zeros((keras.ops.shape(images)[0], model.latent_dim))
            return self.future(code, context=context)

    found = Regressor()
    x = images.astype("float32") / 255.0
    steps = epochs * (-(-(len(x) - held_out) // 32))
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    found.compile(keras.optimizers.AdamW(rate, weight_decay=0.02), "mse")
    found.fit(
        x[:-held_out],
        futures[:-held_out],
        batch_size=32,
        epochs=epochs,
        validation_data=(x[-held_out:], futures[-held_out:]),
        callbacks=[
            keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)
        ],
        verbose=2,
    )
    return found


def retrieved(known: np.ndarray, futures: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What followed in the most alike training scenes, `(wanted, SAMPLES, steps, 2)`.

    Args:
        known: Features of the training scenes, `(n, size)`.
        futures: What followed, `(n, steps, 2)`.
        wanted: Features of the scenes that are asked for.
    """
    known, wanted = known.astype("float32"), wanted.astype("float32")
    squares = np.square(known).sum(axis=1) - 2.0 * wanted @ known.T
    return futures[np.argsort(squares, axis=1)[:, :SAMPLES]]


def draw(model: Any, images: np.ndarray, futures: np.ndarray, path: Path) -> None:
    """Scenes in columns: the picture, its true futures, samples of the model."""
    from aezoo.modalities.image.files import write_image
    from aezoo.modalities.image.tiling import tile

    spread = futures[:, :, -1].std(axis=1).sum(axis=1)
    order = np.argsort(spread)
    chosen = order[(np.linspace(0.2, 0.95, 6) * len(order)).astype(int)]
    rows = []
    for which in range(3):
        for scene in chosen:
            paths = futures[scene][:0]
            if which == 1:
                paths = futures[scene]
            if which == 2:
                paths = model.sample(SAMPLES, seed=0, given={"image": images[scene]})
            rows.append(model.modality.draw(paths, images[scene]))
    write_image(path, tile(np.stack(rows), columns=len(chosen)))


def main() -> None:
    """Print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a model of `traffic_futures`")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=10, help="of the regressor")
    parser.add_argument("--figure", type=Path, help="picture to draw")
    args = parser.parse_args()
    about = machine()

    import aezoo
    from training.recipes import load_recipe

    model = aezoo.load(args.name)
    images, futures = read(args.data_dir, "test")
    known, followed = read(args.data_dir, "train")
    held_out = load_recipe(args.name).validation_examples
    each = np.repeat(images, SAMPLES, axis=0)
    samples = model.sample(len(each), seed=0, given={"image": each})
    samples = samples.reshape(len(images), SAMPLES, *samples.shape[1:])
    alone = regressor(model, known, followed[:, 0], held_out, args.epochs)

    def features(pictures: np.ndarray) -> np.ndarray:
        parts = np.array_split(pictures, max(1, len(pictures) // 256))
        found = [alone.features(part.astype("float32") / 255.0) for part in parts]
        return np.concatenate([np.asarray(part) for part in found])

    flat = (pictures.reshape(len(pictures), -1) for pictures in (known, images))
    guesses = {
        f"`{args.name}`, {SAMPLES} samples": samples,
        "regressor of the same network": np.asarray(
            alone.predict(images.astype("float32") / 255.0, verbose=0)
        )[:, None],
        f"{SAMPLES} nearest scenes by pixels": retrieved(
            next(flat), followed[:, 0], next(flat)
        ),
        f"{SAMPLES} nearest scenes by its features": retrieved(
            features(known), followed[:, 0], features(images)
        ),
    }
    found = {k: figures(distances(futures, guess)) for k, guess in guesses.items()}
    others = distances(futures, futures)
    for apart in others.values():
        apart[:, np.arange(SAMPLES), np.arange(SAMPLES)] = np.inf
    found["the other 19 true futures"] = figures(others)
    rows = [
        [name, *(f"{v:.2f}" for v in row[:2]), *(f"{100 * v:.1f} %" for v in row[2:])]
        for name, row in found.items()
    ]
    print(f"{about}\n\n{len(images)} scenes.\n")
    print(markdown_table(["", *COLUMNS], rows))
    ours, alone_row, by_pixels, by_features = list(found.values())[:4]
    print()
    print(
        verdict(
            "best FDE over the regressor's",
            ours[1] / alone_row[1],
            SHARE,
            at_least=False,
        )
    )
    print(
        verdict(
            "best FDE over the better retrieval's",
            ours[1] / min(by_pixels[1], by_features[1]),
            1.0,
            at_least=False,
        )
    )
    for name, value in zip(COLUMNS[2:], ours[2:], strict=True):
        print(verdict(name, value, COVERED, at_least=True))
    if args.figure is not None:
        draw(model, images, futures, args.figure)


if __name__ == "__main__":
    main()
