"""How near reconstructions come to the examples."""

import numpy as np

from aezoo.evaluation.context import Chunk


def squared_error(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """Mean over elements of the squared difference of each pair, float64, `(n,)`."""
    difference = x.reshape(len(x), -1) - x_hat.reshape(len(x), -1)
    return np.einsum("ij,ij->i", difference, difference) / np.float64(
        difference.shape[1]
    )


def mse(chunk: Chunk) -> np.ndarray:
    """Squared error per element, `(n,)`."""
    return squared_error(chunk.x, chunk.x_hat)


def mae(chunk: Chunk) -> np.ndarray:
    """Absolute error per element, `(n,)`."""
    x_hat = chunk.x_hat  # models may see an axis for channels that users do not
    difference = np.abs(chunk.x.reshape(x_hat.shape) - x_hat)
    return np.mean(difference, axis=tuple(range(1, difference.ndim)), dtype="float64")
