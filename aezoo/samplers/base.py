"""What all samplers share: a distribution over the codes of a model."""

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aezoo.errors import UnsupportedOperationError
from aezoo.utils.arrays import to_numpy

# Where a file says how many examples a sampler was fitted to.
COUNT = "num_images"

if TYPE_CHECKING:
    from aezoo.nn.distributions import Posterior


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Sampler(abc.ABC):
    """A distribution over the codes of one model; the base of all kinds.

    The fields beyond these two are its arrays.

    Attributes:
        latent_shape: Shape of one code.
        fit: What it was fitted to, and how: `num_images`, `seed` and its options.
    """

    kind: ClassVar[str] = ""
    # Of the models that it can be fitted to; see `Autoencoder.CODES`.
    CODES: ClassVar[str] = "continuous"

    latent_shape: tuple[int, ...]
    fit: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse arrays of wrong shapes, or that are not finite.

        Raises:
            ValueError: Names the array.
        """
        self.check_shapes()
        for name, array in self.arrays().items():
            if not np.isfinite(array).all():
                raise ValueError(f"`{name}` holds NaN or infinity.")

    @abc.abstractmethod
    def check_shapes(self) -> None:
        """Refuse arrays that do not fit each other; raises ValueError."""

    @abc.abstractmethod
    def sample_codes(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """New codes.

        Args:
            n: How many; the first ones do not depend on it, but for rounding.
            generator: Source of the noise.

        Returns:
            Float32, shape `(n, *latent_shape)`.
        """

    @property
    def num_classes(self) -> int:
        """Classes that codes can be drawn of; 0 if it knows none."""
        return 0

    def check_labels(self, labels: Any, n: int) -> np.ndarray:
        """Classes for `n` codes, `(n,)`.

        Args:
            labels: Integers `(n,)`, or one for all.
            n: How many.

        Raises:
            UnsupportedOperationError: If the sampler knows no classes.
            ValueError: If they are no such integers, or out of range.
        """
        if not self.num_classes:
            raise UnsupportedOperationError(
                f"This sampler {self.kind!r} knows no classes, so `labels` must be "
                "None. `fit_sampler(model, x, 'autoregressive', labels=labels, "
                "class_conditional=True)` fits one to discrete codes that does."
            )
        values = to_numpy(labels)
        if (
            values.dtype.kind not in "iu"
            or values.shape not in ((), (n,))
            or np.any((values < 0) | (values >= self.num_classes))
        ):
            raise ValueError(
                f"`labels` must be {n} integers from 0 to {self.num_classes - 1}, or "
                f"one for all. Received: labels={labels!r:.80}."
            )
        return np.broadcast_to(values, (n,))

    def log_prob(self, z: Any) -> np.ndarray:
        """Log density of codes; of discrete ones, the log of their probability.

        Args:
            z: Codes, shape `(n, *latent_shape)`.

        Returns:
            Nats, float64, shape `(n,)`.

        Raises:
            ValueError: If the codes have another shape, or no probability at all.
            UnsupportedOperationError: If the kind has no density over codes.
        """
        codes = to_numpy(z, "float64")
        if codes.ndim < 2 or codes.shape[1:] != self.latent_shape:
            raise ValueError(
                f"`z` must have shape (n, {', '.join(map(str, self.latent_shape))}). "
                f"Received: z.shape={codes.shape}."
            )
        rows = codes.reshape(len(codes), self.units)
        parts = [
            self.log_density(rows[i : i + self.chunk])
            for i in range(0, len(rows), self.chunk)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def log_density(self, z: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """Log density of flat codes `(n, units)`, float64; `(n,)`."""
        raise UnsupportedOperationError(
            f"The sampler {self.kind!r} has no density over codes."
        )

    @property
    def chunk(self) -> int:
        """How many codes are computed at once; no result depends on it."""
        return 1024

    @property
    def units(self) -> int:
        """Number of code units."""
        return math.prod(self.latent_shape)

    def describe(self, nouns: str = "examples") -> str:
        """What it is and what it was fitted to, in words; for protocols.

        Args:
            nouns: What the modality calls examples.
        """
        return f"{self.kind}, fitted to {self.num_fitted:,} {nouns}"

    @property
    def num_fitted(self) -> int:
        """How many examples it was fitted to; 0 where nobody says."""
        return int(self.fit.get(COUNT, 0))

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that was fitted, by name."""
        names = [f.name for f in dataclasses.fields(self)][2:]
        found = {name: getattr(self, name) for name in names}
        return {name: array for name, array in found.items() if array is not None}

    def __repr__(self) -> str:
        """Kind, and shapes of the arrays."""
        shapes = ", ".join(f"{k}{v.shape}" for k, v in self.arrays().items())
        return f"<{self.describe()}: {shapes}>"

    def _as_codes(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype("float32").reshape(len(rows), *self.latent_shape)

    def _expect(self, **shapes: tuple[int, ...]) -> None:
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != "float32" or 0 in shape:
                raise ValueError(
                    f"`{name}` must be float32 of shape {shape}. Received: "
                    f"{array.dtype}, {array.shape}."
                )


def log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    highest = values.max(axis=-1, keepdims=True)
    total = np.exp(values - highest).sum(axis=-1)
    return np.asarray(np.log(total) + highest[..., 0])


def log_normal(noise: np.ndarray) -> np.ndarray:
    """Log density of the standard normal, `(n, units)` to `(n,)`."""
    return -0.5 * np.sum(noise**2 + math.log(2.0 * math.pi), axis=1)


def drawn_codes(posterior: "Posterior", seed: int) -> np.ndarray:
    """One code per example from its posterior, flat: float64, `(n, units)`."""
    from keras import ops  # samplers themselves need none

    codes = ops.convert_to_numpy(posterior.sample(seed)).astype("float64")
    if not np.isfinite(codes).all():
        raise ValueError(
            "The codes of `x` hold NaN or infinity. Find them with "
            "`np.isfinite(model.encode(x))`."
        )
    return codes.reshape(len(codes), -1)


def moments(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each unit, and standard deviation; 1 where it is constant."""
    centre, scale = codes.mean(axis=0), codes.std(axis=0)
    # it would divide by zero, or by what rounding left of it
    scale[scale < 1e-6 * np.maximum(1.0, np.abs(centre))] = 1.0
    return centre, scale
