"""Principal components in one streamed pass: the closed form of linear models."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from aezoo.utils.progress import with_progress

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder


@dataclasses.dataclass(frozen=True)
class PrincipalComponents:
    """Mean, eigenvectors and eigenvalues of a dataset's covariance.

    Attributes:
        mean: Shape `(elements,)`.
        components: Orthonormal rows, by falling eigenvalue, `(latent_dim, elements)`.
        eigenvalues: All eigenvalues of the covariance, falling, `(elements,)`.
    """

    mean: np.ndarray
    components: np.ndarray
    eigenvalues: np.ndarray


def principal_components(
    model: "Autoencoder", x: Any, batch_size: int = 4096
) -> PrincipalComponents:
    """Exact principal components; memory does not grow with the number of examples.

    Accumulates the mean and the scatter matrix in float64 with the pairwise update of
    Chan et al. (1983), then solves one symmetric eigenproblem. Each component's sign
    makes its largest entry positive, so that refits agree.

    Args:
        model: Gives the shape of examples, the number of components and the checks.
        x: An array of examples as `model.encode` takes them, or an iterable of
            such batches (a generator, a `tf.data.Dataset`), passed over once.
        batch_size: Examples per step where `x` is an array.

    Raises:
        ValueError: If there are fewer than two examples, or fewer elements than
            components.
    """
    elements = int(np.prod(model.input_shape))
    if model.latent_dim > elements:
        raise ValueError(
            f"`latent_dim` must be at most the number of elements, {elements}. "
            f"Received: latent_dim={model.latent_dim}."
        )
    count, mean = 0, np.zeros(elements)
    scatter = np.zeros((elements, elements))
    for batch in with_progress(_batches(x, batch_size)):
        x = ops.convert_to_numpy(model.modality.to_model(model.modality.check(batch)))
        x = x.astype("float64")
        x = x.reshape(len(x), elements)
        batch_mean = x.mean(axis=0)
        shift = batch_mean - mean
        total = count + len(x)
        x -= batch_mean
        scatter += x.T @ x
        scatter += np.outer(shift, shift) * (count * len(x) / total)
        mean += shift * (len(x) / total)
        count = total
    if count < 2:
        raise ValueError(f"`x` must hold at least 2 examples. Received: {count}.")
    values, vectors = np.linalg.eigh(scatter / count)
    components = vectors[:, ::-1][:, : model.latent_dim].T
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return PrincipalComponents(
        mean, components * signs[:, None], np.maximum(values[::-1], 0.0)
    )


def _batches(x: Any, batch_size: int) -> Iterator[Any]:
    if hasattr(x, "shape"):
        for start in range(0, len(x), batch_size):
            yield x[start : start + batch_size]
    elif isinstance(x, Iterable):
        yield from x
    else:
        raise ValueError(
            "`x` must be an array or an iterable of batches. "
            f"Received: {type(x).__name__}."
        )
