"""Distributions over codes that are fitted once and kept beside a model's weights.

With one, also a model without a prior can sample; and a model whose codes are not
spread as its prior samples better. What is fitted is plain arrays, and everything
after the fit is NumPy: the same seed gives the same codes on every backend.
"""

import abc
import dataclasses
import functools
import hashlib
import inspect
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aezoo.distributions import DiagonalGaussian, Posterior, check_seed
from aezoo.errors import ChecksumError, ManifestError, UnsupportedOperationError
from aezoo.extras import require
from aezoo.files import read_npz
from aezoo.manifest import BundledFile
from aezoo.registry import did_you_mean
from aezoo.validation import check_choice, check_positive_int

if TYPE_CHECKING:
    from aezoo.models._base import Autoencoder

# Sampler files may come from others; a mixture of ten on 784 code units takes 25 MB.
MAX_BYTES = 50_000_000
MAX_CONFIG_LENGTH = 10_000
CONFIG = "config"
_HUGE = 1e30  # a float32 can be it
_CHUNK = 1024  # codes whose densities are computed at once; no result depends on it


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Sampler(abc.ABC):
    """A distribution over the codes of one model; the base of all kinds.

    The fields beyond these two are its arrays.

    Attributes:
        latent_shape: Shape of one code.
        fit: What it was fitted to, and how: `num_images`, `seed` and its options.
    """

    kind: ClassVar[str] = ""

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

    def log_prob(self, z: Any) -> np.ndarray:
        """Log density of codes.

        Args:
            z: Codes, shape `(n, *latent_shape)`.

        Returns:
            Nats, float64, shape `(n,)`.

        Raises:
            ValueError: If the codes have another shape.
            UnsupportedOperationError: If the kind has no density over codes.
        """
        codes = np.asarray(z, "float64")
        if codes.ndim < 2 or codes.shape[1:] != self.latent_shape:
            raise ValueError(
                f"`z` must have shape (n, {', '.join(map(str, self.latent_shape))}). "
                f"Received: z.shape={codes.shape}."
            )
        rows = codes.reshape(len(codes), self.units)
        parts = [
            self.log_density(rows[i : i + _CHUNK]) for i in range(0, len(rows), _CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def log_density(self, z: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """Log density of flat codes `(n, units)`, float64; `(n,)`."""
        raise UnsupportedOperationError(
            f"The sampler {self.kind!r} has no density over codes."
        )

    @property
    def units(self) -> int:
        """Number of code units."""
        return math.prod(self.latent_shape)

    @property
    def description(self) -> str:
        """What it is and what it was fitted to, in words; for protocols."""
        return f"{self.kind}, fitted to {self.fit.get('num_images', 0):,} images"

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that was fitted, by name."""
        names = [f.name for f in dataclasses.fields(self)][2:]
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        """Kind, and shapes of the arrays."""
        shapes = ", ".join(f"{k}{v.shape}" for k, v in self.arrays().items())
        return f"<{self.description}: {shapes}>"

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


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class GaussianMixtureSampler(Sampler):
    """A Gaussian mixture with full covariances.

    Fitted to codes of training images it gives deterministic autoencoders samples, as
    in Ghosh et al. (2020, https://arxiv.org/abs/1903.12436), section 4.

    Attributes:
        weights: Weights of the components, `(k,)`, of sum 1.
        means: `(k, units)`.
        scale_tril: Cholesky factors of the covariances, `(k, units, units)`.
    """

    kind: ClassVar[str] = "gmm"

    weights: np.ndarray
    means: np.ndarray
    scale_tril: np.ndarray

    def check_shapes(self) -> None:
        """Also that the weights have sum 1, and the factors are such."""
        k = self.weights.size
        self._expect(
            weights=(k,), means=(k, self.units), scale_tril=(k, self.units, self.units)
        )
        if not (np.all(self.weights >= 0) and abs(self.weights.sum() - 1.0) < 1e-3):
            raise ValueError("`weights` must not be negative, and have sum 1.")
        diagonals = np.diagonal(self.scale_tril, axis1=1, axis2=2)
        if np.any(np.triu(self.scale_tril, 1)) or not np.all(diagonals > 0):
            raise ValueError(
                "`scale_tril` must be lower triangular, with positive diagonals."
            )

    @property
    def description(self) -> str:
        """What it is and what it was fitted to."""
        return (
            f"Gaussian mixture of {len(self.weights)} components with full covariances "
            f"on codes of {self.fit.get('num_images', 0):,} images"
        )

    def sample_codes(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Sampler`: a component by its weight, then a code from it."""
        choice, source = generator.spawn(2)
        which = _choose(self.weights, check_positive_int("n", n), choice)
        noise = source.standard_normal((n, self.units))
        z = self.means[which].astype("float64")
        for k in np.unique(which):
            z[which == k] += noise[which == k] @ self.scale_tril[k].T.astype("float64")
        return self._as_codes(z)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Log of the weighted sum of the components' densities."""
        log_densities = []
        for mean, factor in zip(self.means, self.scale_tril, strict=True):
            factor = factor.astype("float64")
            noise = np.linalg.solve(factor, (z - mean).T)  # (units, n)
            log_det = np.log(np.diagonal(factor)).sum()
            log_densities.append(_log_normal(noise.T) - log_det)
        with np.errstate(divide="ignore"):  # weight 0
            log_weights = np.log(self.weights.astype("float64"))
        return _log_sum_exp(np.stack(log_densities, axis=1) + log_weights)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PosteriorMixtureSampler(Sampler):
    """The posteriors of a few training images, as a mixture of equal weights.

    The estimate of the aggregate posterior that Tomczak & Welling (2018,
    https://arxiv.org/abs/1705.07120), section 2, call a mixture of posteriors on a
    subset of the data; their VampPrior learns the inputs instead. Holds parameters of
    posteriors and no images, though codes tell much of the images they are of.

    Attributes:
        z_mean: Means, `(k, units)`.
        z_log_var: Natural logs of the variances, `(k, units)`.
    """

    kind: ClassVar[str] = "vamp"

    z_mean: np.ndarray
    z_log_var: np.ndarray

    def check_shapes(self) -> None:
        """Also that the variances are representable."""
        shape = (len(np.atleast_1d(self.z_mean)), self.units)
        self._expect(z_mean=shape, z_log_var=shape)
        if np.any(np.abs(self.z_log_var) > 80.0):
            raise ValueError("`z_log_var` must be within -80 and 80.")

    @property
    def description(self) -> str:
        """What it is and what it was fitted to."""
        return f"mixture of the posteriors of {len(self.z_mean):,} images"

    def sample_codes(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Sampler`: a posterior by chance, then a code from it."""
        choice, source = generator.spawn(2)
        which = choice.integers(len(self.z_mean), size=check_positive_int("n", n))
        noise = source.standard_normal((n, self.units))
        return self._as_codes(
            self.z_mean[which] + np.exp(0.5 * self.z_log_var[which]) * noise
        )

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Log of the mean of the posteriors' densities."""
        log_densities = np.empty((len(z), len(self.z_mean)))
        for k, (mean, log_var) in enumerate(
            zip(self.z_mean, self.z_log_var.astype("float64"), strict=True)
        ):
            noise = (z - mean) * np.exp(-0.5 * log_var)
            log_densities[:, k] = _log_normal(noise) - 0.5 * log_var.sum()
        return _log_sum_exp(log_densities) - math.log(len(self.z_mean))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FlowSampler(Sampler):
    """A masked autoregressive flow from codes to the standard normal.

    Papamakarios et al. (2017, https://arxiv.org/abs/1705.07057), equations 3 to 5:
    each step takes from a unit a shift and divides it by a scale that depend on the
    units before it, `u_i = (z_i - m_i) exp(-a_i)`; the order of the units is reversed
    between steps. Both come from a MADE (Germain et al., 2015,
    https://arxiv.org/abs/1502.03509) with two hidden layers of rectified units, and
    `a` stays within `LOG_SCALE`. The density takes one pass, a draw one per unit.

    Attributes:
        centre: Mean of the codes that it was fitted to, `(units,)`.
        scale: Their standard deviation, `(units,)`.
        kernel_0: `(steps, units, width)`; the mask is applied on use, as to the others.
        bias_0: `(steps, width)`.
        kernel_1: `(steps, width, width)`.
        bias_1: `(steps, width)`.
        kernel_2: `(steps, width, 2 units)`, for `m` and then `a`.
        bias_2: `(steps, 2 units)`.
    """

    kind: ClassVar[str] = "flow"
    LOG_SCALE: ClassVar[float] = 5.0

    centre: np.ndarray
    scale: np.ndarray
    kernel_0: np.ndarray
    bias_0: np.ndarray
    kernel_1: np.ndarray
    bias_1: np.ndarray
    kernel_2: np.ndarray
    bias_2: np.ndarray

    def check_shapes(self) -> None:
        """Also that the scales are positive."""
        steps, width = self.bias_0.shape if self.bias_0.ndim == 2 else (0, 0)
        units = self.units
        self._expect(
            centre=(units,),
            scale=(units,),
            kernel_0=(steps, units, width),
            bias_0=(steps, width),
            kernel_1=(steps, width, width),
            bias_1=(steps, width),
            kernel_2=(steps, width, 2 * units),
            bias_2=(steps, 2 * units),
        )
        if not np.all(self.scale > 0):
            raise ValueError("`scale` must be positive.")

    @property
    def description(self) -> str:
        """What it is and what it was fitted to."""
        return (
            f"masked autoregressive flow of {len(self.bias_0)} steps on codes of "
            f"{self.fit.get('num_images', 0):,} images"
        )

    @functools.cached_property
    def _layers(self) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        """Masked kernel and bias of each layer of each step, float64."""
        masks = made_masks(self.units, self.bias_0.shape[1])
        kernels = (self.kernel_0, self.kernel_1, self.kernel_2)
        biases = (self.bias_0, self.bias_1, self.bias_2)
        return [
            [
                (mask * kernel[step].astype("float64"), bias[step].astype("float64"))
                for mask, kernel, bias in zip(masks, kernels, biases, strict=True)
            ]
            for step in range(len(self.bias_0))
        ]

    def _shift_and_log_scale(
        self, step: int, z: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        (k0, b0), (k1, b1), (k2, b2) = self._layers[step]
        hidden = np.maximum(z @ k0 + b0, 0.0)
        hidden = np.maximum(hidden @ k1 + b1, 0.0)
        shift, log_scale = np.split(hidden @ k2 + b2, 2, axis=1)
        return shift, self.LOG_SCALE * np.tanh(log_scale / self.LOG_SCALE)

    def sample_codes(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Sampler`: noise through the inverted steps, unit by unit."""
        u = generator.standard_normal((check_positive_int("n", n), self.units))
        for step in reversed(range(len(self._layers))):
            z = np.zeros_like(u)
            for unit in range(self.units):
                shift, log_scale = self._shift_and_log_scale(step, z)
                z[:, unit] = u[:, unit] * np.exp(log_scale[:, unit]) + shift[:, unit]
            u = z[:, ::-1] if step else z
        return self._as_codes(np.clip(self.centre + self.scale * u, -_HUGE, _HUGE))

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Density of the noise, times the volume by which the steps change it."""
        u, log_det = self.to_noise(z)
        return _log_normal(u) + log_det

    def to_noise(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The noise that flat codes come from, and the map's log determinant."""
        u = (z - self.centre) / self.scale
        log_det = np.full(len(z), -np.log(self.scale.astype("float64")).sum())
        for step in range(len(self._layers)):
            u = u[:, ::-1] if step else u
            shift, log_scale = self._shift_and_log_scale(step, u)
            u = (u - shift) * np.exp(-log_scale)
            log_det = log_det - log_scale.sum(axis=1)
        return u, log_det


def made_masks(units: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks of a MADE with two hidden layers, whose outputs are two per unit.

    An output of a unit depends on the units before it alone (Germain et al., 2015,
    section 3).

    Returns:
        Zeros and ones: `(units, width)`, `(width, width)`, `(width, 2 * units)`.
    """
    inputs = np.arange(1, units + 1)
    hidden = np.arange(width) % max(units - 1, 1) + 1
    outputs = np.tile(inputs, 2)
    return (
        (hidden[None] >= inputs[:, None]).astype("float32"),
        (hidden[None] >= hidden[:, None]).astype("float32"),
        (outputs[None] > hidden[:, None]).astype("float32"),
    )


def _choose(weights: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    bounds = np.cumsum(weights, dtype="float64")
    which = np.searchsorted(bounds, generator.random(n) * bounds[-1], side="right")
    return np.minimum(which, np.flatnonzero(weights)[-1])


def _log_normal(noise: np.ndarray) -> np.ndarray:
    """Log density of the standard normal, `(n, units)` to `(n,)`."""
    return -0.5 * np.sum(noise**2 + math.log(2.0 * math.pi), axis=1)


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    highest = values.max(axis=-1, keepdims=True)
    total = np.exp(values - highest).sum(axis=-1)
    return np.asarray(np.log(total) + highest[..., 0])


# --- Fitting -------------------------------------------------------------------------


def fit_sampler(
    model: "Autoencoder",
    images: Any,
    kind: str = "gmm",
    seed: int = 0,
    labels: Any = None,
    **options: Any,
) -> Sampler:
    """Fit a sampler to the codes of images, and let the model have it.

    `model.sample(n, sampler=kind)` then draws from it, and `aezoo.save` and
    `push_to_hub` write it beside the weights. It belongs to the weights as they are:
    fit it again after training them further.

    Args:
        model: A trained model.
        images: Training images `(n, *input_shape)`: uint8, or floats in [0, 1].
        kind: `"gmm"`, a Gaussian mixture on codes drawn from the posteriors, of
            `num_components` (10) components with full covariances; `"vamp"`, the
            posteriors of `num_pseudo_inputs` (500) of the images, for models with
            Gaussian ones; `"flow"`, a masked autoregressive flow of `num_steps` (5)
            networks of `width` (128), trained for `epochs` (20) on such codes.
        seed: Of codes, initialisation and choice; the same seed fits the same sampler.
        labels: Of the images, `(n,)`, for families whose posterior depends on them;
            the others ignore them.
        **options: Of the kind, as above.

    Returns:
        The sampler, also in `model.samplers[kind]`.

    Raises:
        ValueError: If images, kind or an option are invalid.
        UnsupportedOperationError: If the model's codes cannot have this kind.
        MissingDependencyError: If `"gmm"` is to be fitted without scikit-learn.

    Example:
        >>> aezoo.samplers.fit_sampler(model, images, "gmm")
        >>> model.sample(16, seed=0, sampler="gmm")
    """
    fitter = _FITTERS[check_choice("kind", kind, tuple(_FITTERS))]
    known = list(inspect.signature(fitter).parameters)[3:]
    for name in options:
        if name not in known:
            raise ValueError(
                f"Unknown option `{name}` of the sampler {kind!r}."
                f"{did_you_mean(name, known)} Known: {', '.join(known)}."
            )
    checked_seed = check_seed(seed)
    if checked_seed is None:
        raise ValueError("`seed` must be a number, as a fit is kept. Received: None.")
    takes_labels = "labels" in inspect.signature(model.posterior).parameters
    given = {"labels": labels} if takes_labels else {}
    posterior = model.posterior(images, **given)
    sampler = fitter(model, posterior, checked_seed, **options)
    model.samplers[kind] = sampler
    return sampler


def _drawn_codes(posterior: Posterior, seed: int) -> np.ndarray:
    """One code per image from its posterior, flat: float64, `(n, units)`."""
    codes = np.asarray(posterior.sample(seed), "float64")
    if not np.isfinite(codes).all():
        raise ValueError(
            "The codes of `images` hold NaN or infinity. Find them with "
            "`np.isfinite(model.encode(images))`."
        )
    return codes.reshape(len(codes), -1)


def _fit_gmm(
    model: "Autoencoder", posterior: Posterior, seed: int, num_components: int = 10
) -> GaussianMixtureSampler:
    """Expectation maximisation by scikit-learn, on codes scaled to unit variance."""
    purpose = "Fitting a Gaussian mixture"
    mixture = require("sklearn.mixture", "evaluation", purpose)
    exceptions = require("sklearn.exceptions", "evaluation", purpose)
    threads = require("threadpoolctl", "evaluation", purpose)
    check_positive_int("num_components", num_components)
    codes = _drawn_codes(posterior, seed)
    if len(codes) < max(2, num_components):
        raise ValueError(
            "`images` must be at least 2, and as many as `num_components`. Received: "
            f"{len(codes)} images, num_components={num_components}."
        )
    centre, scale = _moments(codes)
    estimate = mixture.GaussianMixture(num_components, max_iter=500, random_state=seed)
    # Threads of OpenMP add in any order; those of the matrix products do not.
    with (
        threads.threadpool_limits(1, user_api="openmp"),
        _ignored(exceptions.ConvergenceWarning),
    ):
        estimate.fit((codes - centre) / scale)
    factors = np.linalg.cholesky(estimate.covariances_) * scale[:, None]
    return GaussianMixtureSampler(
        model.latent_shape,
        {"num_images": len(codes), "seed": seed, "num_components": num_components},
        estimate.weights_.astype("float32"),
        (centre + scale * estimate.means_).astype("float32"),
        factors.astype("float32"),
    )


def _moments(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each unit, and standard deviation; 1 where it is constant."""
    centre, scale = codes.mean(axis=0), codes.std(axis=0)
    # it would divide by zero, or by what rounding left of it
    scale[scale < 1e-6 * np.maximum(1.0, np.abs(centre))] = 1.0
    return centre, scale


def _ignored(category: type[Warning]) -> Any:
    import warnings

    return warnings.catch_warnings(action="ignore", category=category)


def _fit_vamp(
    model: "Autoencoder", posterior: Posterior, seed: int, num_pseudo_inputs: int = 500
) -> PosteriorMixtureSampler:
    """Posteriors of random images."""
    check_positive_int("num_pseudo_inputs", num_pseudo_inputs)
    if not isinstance(posterior, DiagonalGaussian):
        raise UnsupportedOperationError(
            "The sampler 'vamp' is a mixture of diagonal Gaussian posteriors, and "
            f"{model.family!r} has none. Fit 'gmm' instead."
        )
    parameters = {
        name: np.asarray(value, "float32").reshape(len(value), -1)
        for name, value in posterior.parameters().items()
    }
    num_images = len(parameters["z_mean"])
    if num_images < num_pseudo_inputs:
        raise ValueError(
            "`images` must be at least as many as `num_pseudo_inputs`. Received: "
            f"{num_images} images, num_pseudo_inputs={num_pseudo_inputs}."
        )
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.choice(num_images, num_pseudo_inputs, replace=False))
    return PosteriorMixtureSampler(
        model.latent_shape,
        {
            "num_images": num_images,
            "seed": seed,
            "num_pseudo_inputs": num_pseudo_inputs,
        },
        parameters["z_mean"][chosen],
        np.clip(parameters["z_log_var"][chosen], -80.0, 80.0),
    )


def _fit_flow(
    model: "Autoencoder",
    posterior: Posterior,
    seed: int,
    num_steps: int = 5,
    width: int = 128,
    epochs: int = 20,
) -> FlowSampler:
    """Maximum likelihood by Adam, on codes scaled to unit variance."""
    from aezoo.flow_training import train_flow

    for name, value in (("num_steps", num_steps), ("width", width), ("epochs", epochs)):
        check_positive_int(name, value)
    codes = _drawn_codes(posterior, seed)
    centre, scale = _moments(codes)
    arrays = train_flow(
        ((codes - centre) / scale).astype("float32"),
        made_masks(codes.shape[1], width),
        FlowSampler.LOG_SCALE,
        num_steps,
        epochs,
        seed,
    )
    fit = {"num_steps": num_steps, "width": width, "epochs": epochs}
    return FlowSampler(
        model.latent_shape,
        {"num_images": len(codes), "seed": seed, **fit},
        centre.astype("float32"),
        scale.astype("float32"),
        **arrays,
    )


_FITTERS: dict[str, Callable[..., Sampler]] = {
    "gmm": _fit_gmm,
    "vamp": _fit_vamp,
    "flow": _fit_flow,
}
_CLASSES: dict[str, type[Sampler]] = {
    cls.kind: cls
    for cls in (GaussianMixtureSampler, PosteriorMixtureSampler, FlowSampler)
}
KINDS = tuple(_CLASSES)


# --- Of a model ----------------------------------------------------------------------


class Samplers(MutableMapping[str, Sampler]):
    """The fitted samplers of a model, by kind; those in files are read on first use.

    Args:
        model: The model.
    """

    def __init__(self, model: "Autoencoder") -> None:
        self._model = model
        self._fitted: dict[str, Sampler] = {}
        self._readers: dict[str, Callable[[], Sampler]] = {}

    def read_later(self, readers: Mapping[str, Callable[[], Sampler]]) -> None:
        """Take what reads samplers when they are first used, by kind."""
        self._readers.update(readers)

    def find(self, kind: str) -> Sampler:
        """The sampler of a kind.

        Raises:
            UnsupportedOperationError: If the model has none; says which it has.
        """
        if kind in self:
            return self[kind]
        own = ["prior"] if "sampling" in self._model.TASKS else []
        has = ", ".join(map(repr, [*own, *self])) or "none"
        raise UnsupportedOperationError(
            f"The model {self._model.name!r} has no sampler {kind!r}. It has: {has}. "
            f"{how_to_fit(kind)}"
        )

    def __getitem__(self, kind: str) -> Sampler:
        if kind in self._readers:
            self[kind] = self._readers[kind]()
        return self._fitted[kind]

    def __setitem__(self, kind: str, sampler: Sampler) -> None:
        if not isinstance(sampler, Sampler) or sampler.kind != kind:
            raise ValueError(
                f"`samplers[{kind!r}]` must be a sampler of that kind, as "
                f"`fit_sampler` returns it. Received: {sampler!r:.80}."
            )
        if sampler.latent_shape != self._model.latent_shape:
            raise ValueError(
                f"`samplers[{kind!r}]` must have codes of shape "
                f"{self._model.latent_shape}. Received: {sampler.latent_shape}."
            )
        self._fitted[kind] = sampler
        self._readers.pop(kind, None)

    def __delitem__(self, kind: str) -> None:
        if self._readers.pop(kind, None) is None:
            del self._fitted[kind]

    def __iter__(self) -> Iterator[str]:
        yield from (k for k in KINDS if k in self._fitted or k in self._readers)

    def __contains__(self, kind: object) -> bool:
        return kind in self._fitted or kind in self._readers

    def __len__(self) -> int:
        return len(self._fitted.keys() | self._readers.keys())

    def __repr__(self) -> str:
        """The kinds."""
        return f"<samplers: {', '.join(self) or 'none'}>"


def how_to_fit(kind: str) -> str:
    """What to do for a sampler that a model does not have."""
    kinds = ", ".join(map(repr, KINDS))
    wanted = kind if kind in KINDS else KINDS[0]
    return (
        f"Fit one with `aezoo.samplers.fit_sampler(model, images, {wanted!r})`; kinds: "
        f"{kinds}."
    )


# --- Files ---------------------------------------------------------------------------


def write_sampler(sampler: Sampler, path: Path) -> None:
    """Write a sampler as an `.npz` file; the same bytes each time.

    Raises:
        ValueError: If it is larger than what would be read.
    """
    arrays = sampler.arrays()
    size = sum(array.nbytes for array in arrays.values())
    if size > MAX_BYTES - 10 * MAX_CONFIG_LENGTH:
        raise ValueError(
            f"A sampler may take at most {MAX_BYTES:,} bytes. Received: {size:,} "
            "bytes. Fit a smaller one."
        )
    config = {
        "kind": sampler.kind,
        "latent_shape": list(sampler.latent_shape),
        "fit": dict(sampler.fit),
    }
    content: dict[str, Any] = {CONFIG: np.array(json.dumps(config)), **arrays}
    with path.open("wb") as file:
        np.savez_compressed(file, **content)


def read_sampler(
    path: Path,
    kind: str,
    latent_shape: tuple[int, ...],
    file: BundledFile,
    remedy: str,
) -> Sampler:
    """Read a sampler file, once its size and hash are as stated.

    It may come from others: nothing is unpacked before its size is known to be
    bounded, and nothing in it is ever run.

    Args:
        path: The file.
        kind: What it must be.
        latent_shape: Shape of the codes that it must give.
        file: Size and hash.
        remedy: What to do about a file that is damaged; ends the message.

    Raises:
        ChecksumError: If it is missing, or its size or bytes differ.
        ManifestError: If it is no sampler of that kind for such codes.
    """
    size = path.stat().st_size if path.is_file() else None
    if size is None:
        raise ChecksumError(f"The file {path} is missing. {remedy}")
    if size > MAX_BYTES or size != file.bytes:
        raise ChecksumError(
            f"The sampler file {path} must have {file.bytes:,} bytes, and at most "
            f"{MAX_BYTES:,}. Received: {size:,} bytes. {remedy}"
        )
    content = path.read_bytes()  # what is hashed is what is read
    received = hashlib.sha256(content).hexdigest()
    if received != file.sha256:
        raise ChecksumError(
            f"The file {path} does not match its hash: expected sha256 "
            f"{file.sha256[:12]}…, received {received[:12]}… ({size:,} bytes). {remedy}"
        )
    arrays = read_npz(io.BytesIO(content), MAX_BYTES, f"sampler file {path}")
    try:
        sampler = _parse(arrays)
        if (sampler.kind, sampler.latent_shape) != (kind, latent_shape):
            raise ValueError(
                f"it must be of kind {kind!r} for codes of shape {latent_shape}. "
                f"Received: {sampler.kind!r}, {sampler.latent_shape}."
            )
    except ValueError as error:
        raise ManifestError(
            f"The sampler file {path} is not valid: {error} {remedy}"
        ) from error
    return sampler


def _parse(arrays: dict[str, np.ndarray]) -> Sampler:
    """The sampler of a file's arrays; raises ValueError."""
    text = arrays.pop(CONFIG, np.zeros(0))
    if text.ndim or text.dtype.kind != "U" or text.itemsize > 4 * MAX_CONFIG_LENGTH:
        raise ValueError(
            f"`{CONFIG}` must be text of at most {MAX_CONFIG_LENGTH:,} letters."
        )
    try:
        config = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"`{CONFIG}` is not JSON: {error}.") from error
    if not isinstance(config, dict) or set(config) != {"kind", "latent_shape", "fit"}:
        raise ValueError(f"`{CONFIG}` must hold `kind`, `latent_shape` and `fit`.")
    kind, shape, fit = config["kind"], config["latent_shape"], config["fit"]
    if not isinstance(kind, str) or kind not in _CLASSES:
        raise ValueError(
            f"`kind` must be one of {', '.join(map(repr, KINDS))}. Received: "
            f"kind={kind!r:.80}. Upgrade aezoo if the file is newer."
        )
    is_shape = isinstance(shape, list) and all(type(v) is int and v > 0 for v in shape)
    if not is_shape or not shape or not isinstance(fit, dict):
        raise ValueError(
            "`latent_shape` must be a list of positive integers, and `fit` an object. "
            f"Received: {shape!r:.80}, {fit!r:.80}."
        )
    if type(fit.get("num_images")) is not int:
        raise ValueError(f"`fit` must state `num_images`. Received: {fit!r:.80}.")
    cls = _CLASSES[kind]
    names = {f.name for f in dataclasses.fields(cls)} - {"latent_shape", "fit"}
    if set(arrays) != names:
        raise ValueError(
            f"a sampler {kind!r} must hold {', '.join(sorted(names))}. Received: "
            f"{', '.join(sorted(arrays))[:200]}."
        )
    return cls(tuple(shape), fit, **arrays)
