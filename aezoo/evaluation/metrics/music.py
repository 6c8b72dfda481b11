"""Notes that are right, and the pitch classes of samples."""

import numpy as np

from aezoo.evaluation.context import Chunk, Evaluation
from aezoo.evaluation.definition import Result, mean_with_error
from aezoo.modalities.music import REST, onsets

# Semitones of an octave.
CLASSES = 12


def note_accuracy(chunk: Chunk) -> np.ndarray:
    """Share of the notes of each piece that begin where and as they should, `(n,)`."""
    return note_accuracy_of(chunk.examples, chunk.x_hat)


def note_accuracy_of(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """Share of the notes of `x` that `x_hat` begins at the same step and pitch, `(n,)`.

    A piece without notes has 1 if the other one has none, too, else 0.

    Args:
        x: Pitches, `(n, steps, voices)`.
        x_hat: Those that are judged.
    """
    is_note, is_given = onsets(x), onsets(x_hat)
    count = np.count_nonzero(is_note, axis=(1, 2))
    right = np.count_nonzero(is_note & is_given & (x == x_hat), axis=(1, 2))
    is_silent = ~is_given.any(axis=(1, 2))
    return np.where(count == 0, is_silent, right / np.maximum(count, 1))


def frame_accuracy(chunk: Chunk) -> np.ndarray:
    """Share of the steps and voices of each piece with the right pitch, `(n,)`."""
    return np.mean(chunk.examples == chunk.x_hat, axis=(1, 2))


def pitch_class_entropy(evaluation: Evaluation, sampler: str) -> Result:
    """Entropy of the pitch classes of samples, bits (Dong et al., 2020)."""

    def draw() -> np.ndarray:
        return evaluation.modality.check(evaluation.sample(sampler))

    pieces = evaluation.cached(("pieces", sampler), draw)
    return mean_with_error(pitch_class_entropy_of(pieces))


def pitch_class_entropy_of(x: np.ndarray) -> np.ndarray:
    """Entropy of the pitch classes of the notes of each piece, bits, `(n,)`.

    That of MusPy: of the shares of notes, however long. 0 of a piece without notes.

    Args:
        x: Pitches, `(n, steps, voices)`.
    """
    found = []
    for piece in np.asarray(x):
        pitches = piece[onsets(piece) & (piece != REST)]
        counts = np.bincount(pitches % CLASSES, minlength=CLASSES)
        shares = counts[counts > 0] / max(counts.sum(), 1)
        found.append(-np.sum(shares * np.log2(shares)))
    return np.array(found)
