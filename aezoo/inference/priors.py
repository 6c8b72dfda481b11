"""Priors over codes, as values: drawn by NumPy, the same numbers everywhere."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np


class Prior(Protocol):
    """What every prior can do; a frozen dataclass of numbers and arrays."""

    kind: ClassVar[str]

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Codes, float32, `(n, *latent_shape)`.

        Args:
            n: How many; the first ones do not depend on it.
            generator: Source of the noise.
        """

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        """The codes that the prior can draw which are closest to some points.

        Args:
            codes: The points, float32, `(n, *latent_shape)`.
        """


class _Everywhere:
    """Of priors that can draw any code."""

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        """As in `Prior`: the points themselves."""
        return codes


def _one_hot(scores: np.ndarray) -> np.ndarray:
    """1 at the largest of the last axis, 0 elsewhere."""
    return np.eye(scores.shape[-1], dtype="float32")[scores.argmax(axis=-1)]


@dataclasses.dataclass(frozen=True)
class StandardNormal(_Everywhere):
    """Independent units, each standard normal.

    Attributes:
        latent_shape: Shape of a code.
    """

    kind: ClassVar[str] = "standard_normal"

    latent_shape: Sequence[int]

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Prior`."""
        return generator.standard_normal((n, *self.latent_shape), dtype="float32")


@dataclasses.dataclass(frozen=True)
class UniformSphere(StandardNormal):
    """All directions alike: codes of length 1, `latent_shape` is `(units,)`."""

    kind: ClassVar[str] = "uniform_sphere"

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Prior`."""
        return self.nearest(super().sample(n, generator))

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        """As in `Prior`: their directions."""
        lengths: np.ndarray = np.linalg.norm(codes, axis=1, keepdims=True)
        return codes / np.maximum(lengths, 1e-12)


@dataclasses.dataclass(frozen=True)
class UniformClasses:
    """Categorical variables whose classes are equally probable; one-hot rows.

    Attributes:
        num_variables: Variables of a code.
        num_classes: Classes of each.
    """

    kind: ClassVar[str] = "uniform_classes"

    num_variables: int
    num_classes: int

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Prior`; `(n, num_variables, num_classes)`."""
        classes = generator.integers(self.num_classes, size=(n, self.num_variables))
        return np.eye(self.num_classes, dtype="float32")[classes]

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        """As in `Prior`: the class of each variable that has the largest number."""
        return _one_hot(codes)


@dataclasses.dataclass(frozen=True)
class NormalAndClass:
    """Units, each standard normal, and then a class, all equally probable, one-hot.

    Attributes:
        units: Units before the class.
        num_classes: Number of classes.
    """

    kind: ClassVar[str] = "normal_and_class"

    units: int
    num_classes: int

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Prior`; `(n, units + num_classes)`."""
        # from a stream of their own, whatever n
        drawn = np.random.default_rng(int(generator.integers(2**31)))
        classes = np.eye(self.num_classes, dtype="float32")[
            drawn.integers(self.num_classes, size=n)
        ]
        z = generator.standard_normal((n, self.units), dtype="float32")
        return np.concatenate([z, classes], axis=1)

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        """As in `Prior`: the units, and the class that has the largest number."""
        z, classes = codes[:, : self.units], codes[:, self.units :]
        return np.concatenate([z, _one_hot(classes)], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianMixture(_Everywhere):
    """A mixture of Gaussians with independent units.

    Attributes:
        log_weights: Logs of the components' weights, `(components,)`.
        means: `(components, units)`.
        log_vars: Natural logs of the variances, same shape.
    """

    kind: ClassVar[str] = "gaussian_mixture"

    log_weights: np.ndarray
    means: np.ndarray
    log_vars: np.ndarray

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Prior`; `(n, units)`."""
        cumulative = np.cumsum(np.exp(self.log_weights.astype("float64")))
        choices, noise = generator.spawn(2)  # so that neither shifts the other
        uniform = choices.random(n) * cumulative[-1]
        component = np.searchsorted(cumulative, uniform, side="right")
        component = np.minimum(component, len(cumulative) - 1)
        spread = np.exp(0.5 * self.log_vars[component])
        codes = noise.standard_normal((n, self.means.shape[1]), dtype="float32")
        drawn: np.ndarray = self.means[component] + spread * codes
        return drawn


_KINDS: dict[str, Any] = {
    cls.kind: cls
    for cls in (
        StandardNormal,
        UniformSphere,
        UniformClasses,
        NormalAndClass,
        GaussianMixture,
    )
}


def to_parts(prior: Prior) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A prior as JSON values, `{"kind": ...}` and numbers, and its arrays."""
    fields = dataclasses.fields(prior)  # type: ignore[arg-type]
    values = {field.name: getattr(prior, field.name) for field in fields}
    arrays = {k: v for k, v in values.items() if isinstance(v, np.ndarray)}
    numbers = {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in values.items()
        if k not in arrays
    }
    return {"kind": prior.kind, **numbers}, arrays


def from_parts(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> Prior:
    """The prior of what `to_parts` gave.

    Raises:
        ValueError: If the kind is unknown, or a part is missing or superfluous.
    """
    arguments = {**config, **arrays}
    kind = str(arguments.pop("kind", None))
    if kind not in _KINDS:
        known = ", ".join(sorted(_KINDS))
        raise ValueError(f"Unknown prior {kind!r}. Known: {known}.")
    try:
        prior: Prior = _KINDS[kind](**arguments)
    except TypeError as error:
        raise ValueError(f"The prior {kind!r} is not valid: {error}") from error
    return prior
