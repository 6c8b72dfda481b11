"""How near completions of images come to what was hidden."""

from collections.abc import Callable

import numpy as np

from aezoo.evaluation.context import Chunk
from aezoo.models.inpainting import inpaint
from aezoo.utils.arrays import to_numpy

# As the protocol of `imputation_mse` states.
COMPLETIONS, STEPS, CANDIDATES = 10, 50, 1
_STREAM = 3_000_003


def hidden_half(chunk: Chunk) -> np.ndarray:
    """The lower half of each image: bools, `(n, height, width)`."""
    n, (height, width) = len(chunk), chunk.modality.positions
    hidden = np.zeros((n, height, width), bool)
    hidden[:, height // 2 :] = True
    return hidden


def hidden_block(chunk: Chunk) -> np.ndarray:
    """A rectangle of half the height and width, anywhere in each image."""
    n, (height, width) = len(chunk), chunk.modality.positions
    places = to_numpy(chunk.noise(_STREAM).uniform((n, 2)), "float64")
    hidden = np.zeros((n, height, width), bool)
    for row, (down, right) in zip(hidden, places, strict=True):
        top = int(down * (height - height // 2 + 1))
        left = int(right * (width - width // 2 + 1))
        row[top : top + height // 2, left : left + width // 2] = True
    return hidden


def hidden_at_random(chunk: Chunk) -> np.ndarray:
    """Each pixel with a probability of one half."""
    shape = (len(chunk), *chunk.modality.positions)
    return to_numpy(chunk.noise(_STREAM).uniform(shape)) < 0.5


MASKS: dict[str, Callable[[Chunk], np.ndarray]] = {
    "block": hidden_block,
    "half": hidden_half,
    "random": hidden_at_random,
}


def error_of(x: np.ndarray, guess: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Mean squared error of the hidden elements of each image, float64, `(n,)`."""
    squares = np.square(x - guess, dtype="float64").mean(axis=-1)
    axes = tuple(range(1, squares.ndim))
    return np.asarray((squares * hidden).sum(axis=axes) / hidden.sum(axis=axes))


def _mse(chunk: Chunk, kind: str) -> np.ndarray:
    hidden = MASKS[kind](chunk)
    completions = inpaint(
        chunk.model,
        chunk.x,
        hidden,
        COMPLETIONS,
        chunk.evaluation.seed,
        STEPS,
        CANDIDATES,
        first=chunk.start,
        **chunk.given,
    )
    return error_of(chunk.x, completions.mean(axis=1), hidden)


def half(chunk: Chunk) -> np.ndarray:
    """Squared error where the lower half is missing, `(n,)`."""
    return _mse(chunk, "half")


def block(chunk: Chunk) -> np.ndarray:
    """Squared error where a block is missing, `(n,)`."""
    return _mse(chunk, "block")


def random(chunk: Chunk) -> np.ndarray:
    """Squared error where pixels are missing at random, `(n,)`."""
    return _mse(chunk, "random")
