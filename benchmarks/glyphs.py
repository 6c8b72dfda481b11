"""Fonts completed from a few letters, and what content and style latents know.

    python -m benchmarks.glyphs group_vae_glyphs --data-dir DIR --fonts DIR --runs DIR

On fonts that nothing was trained on: from the letters `GIVEN` of a font its other
characters, as mean squared error of a pixel, by models with style and content apart
(`complete`, contents shown by training fonts), by others through arithmetic (the mean
code of a character in the training fonts, plus the mean difference of the font's
letters from theirs), and by the nearest training font in those letters. A linear
classifier reads the character from content and from style latents. And bold italics by
arithmetic: the letters of a font's italic, edited by what makes it bold,
`attribute_vector(bold, regular)`. Prints Markdown, with standard errors over fonts.

With `--runs` the same network is also trained as a VAE without groups, there.
`--hold-out N` measures on the last N training fonts, for a choice.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baseline import trained_as
from benchmarks.common import markdown_table, with_error

GIVEN = "Hamge"
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# Training fonts that show which contents are meant.
SHOWN_BY = 20


def error_of_fonts(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean squared error of each font, of `(fonts, characters, h, w, 1)` in [0, 1]."""
    return np.square(found - truth).mean(axis=(1, 2, 3, 4))


def complete(
    model: Any, train: np.ndarray, test: np.ndarray, given: list[int], rest: list[int]
) -> np.ndarray:
    """The characters `rest` of each test font, from those `given`.

    Args:
        model: With style and content apart, or any other.
        train: Fonts, `(fonts, 62, 32, 32, 1)`, in [0, 1].
        test: The same.
        given: Places of the characters that are seen.
        rest: Of those that are wanted.
    """
    if hasattr(model, "complete"):
        every = len(train) // SHOWN_BY
        shown = train[::every][:SHOWN_BY, rest].swapaxes(0, 1)
        return np.stack([model.complete(font[given], shown) for font in test])
    known = codes_of(model, train).mean(axis=0)
    style = (codes_of(model, test)[:, given] - known[given]).mean(axis=1)
    z = known[rest] + style[:, None]
    shape = (*z.shape[:2], *test.shape[2:])
    return np.asarray(model.decode(z.reshape(-1, z.shape[-1]))).reshape(shape)


def codes_of(model: Any, fonts: np.ndarray) -> np.ndarray:
    """Codes, `(fonts, 62, latent_dim)`."""
    return np.asarray(model.encode(fonts.reshape(-1, *fonts.shape[2:]))).reshape(
        *fonts.shape[:2], -1
    )


def nearest_font(
    train: np.ndarray, test: np.ndarray, given: list[int], rest: list[int]
) -> np.ndarray:
    """The characters `rest` of the training font that is nearest in those `given`."""
    pool = train[:, given].reshape(len(train), -1)
    seen = test[:, given].reshape(len(test), -1)
    apart = np.square(pool).sum(axis=1) - 2.0 * seen @ pool.T
    return train[np.argmin(apart, axis=1)][:, rest]


def read_characters(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Share of each test font's characters that a linear classifier reads.

    Args:
        train: Codes of the training fonts, `(fonts, 62, units)`.
        test: Of the test fonts.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    truth = np.tile(np.arange(train.shape[1]), len(train))
    reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    reader.fit(train.reshape(-1, train.shape[-1]), truth)
    read = reader.predict(test.reshape(-1, test.shape[-1])).reshape(test.shape[:2])
    return (read == np.arange(test.shape[1])).mean(axis=1)


def families(fonts: list[dict[str, Any]]) -> list[dict[str, int]]:
    """Places of the four styles of each family that has all of them."""
    found: dict[tuple[str, bool], dict[str, int]] = {}
    for i, font in enumerate(fonts):
        found.setdefault((font["family"], font["mono"]), {})[font["style"]] = i
    return [places for places in found.values() if len(places) == 4]


def bold_italics(model: Any, test: np.ndarray, places: list[dict[str, int]]) -> Any:
    """For each family: the share of letters nearer the true bold italic, and errors.

    Returns:
        Shares `(families,)`: letters whose arithmetic is nearer to the true bold italic
        than its bold and its italic are; errors of the three, `(families, 3)`.
    """
    import aezoo

    styles = {name: test[[p[name] for p in places]] for name in places[0]}
    made = np.stack(
        [
            model.edit(italic, aezoo.attribute_vector(model, bold, regular))
            for regular, bold, italic in zip(
                styles["regular"], styles["bold"], styles["italic"], strict=True
            )
        ]
    )
    truth = styles["bold italic"]
    errors = np.stack(
        [
            np.square(guess - truth).mean(axis=(2, 3, 4))
            for guess in (made, styles["bold"], styles["italic"])
        ]
    )
    return (errors[0] < errors[1:].min(axis=0)).mean(axis=1), errors.mean(axis=2).T


def read_fonts(folder: Path, split: str) -> np.ndarray:
    """The fonts of a split, `(fonts, 62, 32, 32, 1)`, in [0, 1]."""
    from aezoo.data.datasets import load_dataset

    images = load_dataset("glyphs", split, folder).examples.astype("float32") / 255.0
    return images.reshape(-1, len(CHARACTERS), *images.shape[1:])


def report(
    models: dict[str, Any],
    train: np.ndarray,
    test: np.ndarray,
    fonts: list[dict[str, Any]],
) -> None:
    """Print the tables.

    Args:
        models: By name.
        train: As in `complete`.
        test: As in `complete`.
        fonts: What is known of the test fonts.
    """
    given = [CHARACTERS.index(letter) for letter in GIVEN]
    rest = [i for i in range(len(CHARACTERS)) if i not in given]
    rows: list[list[Any]] = []
    guesses = {
        name: complete(model, train, test, given, rest)
        for name, model in models.items()
    }
    guesses["nearest training font"] = nearest_font(train, test, given, rest)
    mean = train[:, rest].mean(axis=0)
    guesses["mean of the training fonts"] = np.broadcast_to(mean, test[:, rest].shape)
    for name, guess in guesses.items():
        rows.append([name, with_error(error_of_fonts(guess, test[:, rest]), ".4f")])
    print(f"## The other 57 characters from {', '.join(GIVEN)}: {len(test)} fonts\n")
    print(markdown_table(["", "squared error"], rows))

    rows = []
    for name, model in models.items():
        pairs = codes_of(model, train), codes_of(model, test)
        parts = {"all": slice(None), **getattr(model, "latent_groups", {})}
        for part, at in parts.items():
            read = read_characters(*(codes[..., at] for codes in pairs))
            rows.append([name, part, with_error(100.0 * read, ".1f")])
    print("\n## Characters read by a linear classifier, in percent\n")
    print(markdown_table(["", "latents", "read"], rows))

    places = families(fonts)
    rows = []
    for name, model in models.items():
        shares, errors = bold_italics(model, test, places)
        won = 100.0 * (errors[:, 0] < errors[:, 1:].min(axis=1)).mean()
        rows.append(
            [name, with_error(100.0 * shares, ".1f"), f"{won:.0f}"]
            + [with_error(column, ".4f") for column in errors.T]
        )
    head = ["", "letters, %", "families, %", "arithmetic", "bold", "italic"]
    print(f"\n## bold - regular + italic: {len(places)} families\n")
    print(markdown_table(head, rows))


def main() -> None:
    """Print the figures of models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", help="models of `glyphs`")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument(
        "--fonts", type=Path, required=True, help="folder of the lists of fonts"
    )
    parser.add_argument("--runs", type=Path, help="where the VAE is trained; or none")
    parser.add_argument("--hold-out", type=int, default=0, help="training fonts")
    args = parser.parse_args()
    import aezoo

    train = read_fonts(args.data_dir, "train")
    split = "train" if args.hold_out else "test"
    fonts = json.loads((args.fonts / f"{split}-fonts.json").read_text(encoding="utf-8"))
    if args.hold_out:
        train, test = train[: -args.hold_out], train[-args.hold_out :]
        fonts = fonts[-args.hold_out :]
    else:
        test = read_fonts(args.data_dir, "test")
    models = {name: aezoo.load(name) for name in args.names}
    for name in args.names if args.runs else ():
        alike = trained_as(name, "vae", args.runs / f"vae_as_{name}", args.data_dir)
        models["without groups"] = alike
    report(models, train, test, fonts)


if __name__ == "__main__":
    main()
