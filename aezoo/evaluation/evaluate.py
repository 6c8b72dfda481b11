"""One measurement protocol for every model."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from aezoo.distributions import IndexedNoise
from aezoo.errors import UnsupportedOperationError
from aezoo.manifest import Metric
from aezoo.models._base import Autoencoder, VariationalAutoencoder
from aezoo.models.ppca import PPCA
from aezoo.progress import with_progress
from aezoo.registry import did_you_mean

# Images per step; no result depends on it.
CHUNK = 1000
# Standard deviation of the noise in `denoising_mse`.
DENOISING_SIGMA = 0.5


@dataclasses.dataclass(frozen=True)
class MetricDefinition:
    """How a metric is measured.

    Attributes:
        unit: Unit of the value.
        protocol: How it is measured, in words.
        compute: Model, images and seed to one value per image, or to one number.
        models: Classes of models that have this metric.
    """

    unit: str
    protocol: str
    compute: Callable[[Any, np.ndarray, int], np.ndarray]
    models: tuple[type, ...] = (Autoencoder,)


def evaluate(
    model: Autoencoder,
    images: np.ndarray,
    metrics: Sequence[str],
    seed: int = 0,
    dataset: str = "images",
) -> dict[str, Metric]:
    """Measure a model on images; the result does not depend on any batch size.

    Args:
        model: Any model of the zoo.
        images: Images `(n, *input_shape)`: uint8, or floats in [0, 1]. All are used.
        metrics: Names from `METRICS`.
        seed: Seed of sampled codes and noise.
        dataset: What the images are, for the protocol, e.g. `"mnist/test"`.

    Returns:
        One record per metric: value, unit, protocol and, for means over images,
        standard error.

    Raises:
        ValueError: If a metric is unknown or the images are not valid.
        UnsupportedOperationError: If the family cannot have a metric; says which it
            has.
    """
    for name in metrics:
        if name not in METRICS:
            raise ValueError(
                f"Unknown metric {name!r}.{did_you_mean(name, METRICS)} "
                f"Metrics: {', '.join(METRICS)}."
            )
        if not isinstance(model, METRICS[name].models):
            possible = [m for m, d in METRICS.items() if isinstance(model, d.models)]
            raise UnsupportedOperationError(
                f"{model.family!r} has no metric {name!r}. "
                f"It has: {', '.join(possible)}."
            )
    model._check_images(images, "images")
    report = {}
    for name in metrics:
        definition = METRICS[name]
        values = definition.compute(model, images, seed)
        per_image = np.ndim(values) == 1
        error = np.std(values, ddof=1) / np.sqrt(len(values)) if per_image else None
        report[name] = Metric(
            value=float(np.mean(values)),
            unit=definition.unit,
            protocol=f"{dataset}, all {len(images):,} images; "
            + definition.protocol.format(seed=seed, sigma=DENOISING_SIGMA),
            standard_error=None if error is None else float(error),
        )
    return report


def _chunks(images: np.ndarray, name: str) -> Iterator[tuple[int, np.ndarray]]:
    starts = range(0, len(images), CHUNK)
    for start in with_progress(starts, name):
        yield start, images[start : start + CHUNK]


def _unit_range(model: Autoencoder, images: np.ndarray) -> np.ndarray:
    return np.asarray(model.to_unit_range(images))


def _squared_error(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    return np.mean((x - x_hat) ** 2, axis=(1, 2, 3), dtype="float64")


def _mse(model: Autoencoder, images: np.ndarray, seed: int) -> np.ndarray:  # noqa: ARG001
    parts = []
    for _, chunk in _chunks(images, "mse"):
        x = _unit_range(model, chunk)
        parts.append(_squared_error(x, model.reconstruct(x)))
    return np.concatenate(parts)


def _mae(model: Autoencoder, images: np.ndarray, seed: int) -> np.ndarray:  # noqa: ARG001
    parts = []
    for _, chunk in _chunks(images, "mae"):
        x = _unit_range(model, chunk)
        error = np.abs(x - model.reconstruct(x))
        parts.append(np.mean(error, axis=(1, 2, 3), dtype="float64"))
    return np.concatenate(parts)


def _denoising_mse(model: Autoencoder, images: np.ndarray, seed: int) -> np.ndarray:
    parts = []
    for start, chunk in _chunks(images, "denoising_mse"):
        x = _unit_range(model, chunk)
        noise = np.asarray(IndexedNoise(seed, start).normal(x.shape))
        noisy = np.clip(x + DENOISING_SIGMA * noise, 0.0, 1.0)
        parts.append(_squared_error(x, model.reconstruct(noisy)))
    return np.concatenate(parts)


def _elbo_terms(
    model: VariationalAutoencoder, images: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    reconstruction, kl = [], []
    for start, chunk in _chunks(images, "elbo"):
        posterior = model.posterior(chunk)
        z = np.asarray(posterior.sample(IndexedNoise(seed, start)))
        observation = model.observation(model._run("decode_parameters", z, 256))
        nll = -observation.log_prob(model.to_unit_range(chunk))
        reconstruction.append(np.asarray(nll, "float64"))
        kl.append(np.asarray(posterior.kl(), "float64"))
    return np.concatenate(reconstruction), np.concatenate(kl)


def _active_code_fraction(
    model: Autoencoder,
    images: np.ndarray,
    seed: int,  # noqa: ARG001
) -> np.ndarray:
    codes = np.abs(model.encode(images)).reshape(len(images), -1)
    return np.mean(codes > 0.01 * codes.max(axis=0), axis=1)


def _active_units(
    model: Autoencoder,
    images: np.ndarray,
    seed: int,  # noqa: ARG001
) -> np.ndarray:
    codes = model.encode(images).reshape(len(images), -1).astype("float64")
    return np.sum(codes.var(axis=0) > 0.01)


METRICS: dict[str, MetricDefinition] = {
    "mse": MetricDefinition(
        "squared error per pixel, pixels in [0, 1]",
        "mean over images and pixels of (x - reconstruct(x))^2, from the mode of the "
        "posterior, reconstruction clipped to [0, 1]",
        _mse,
    ),
    "mae": MetricDefinition(
        "absolute error per pixel, pixels in [0, 1]",
        "mean over images and pixels of |x - reconstruct(x)|, from the mode of the "
        "posterior, reconstruction clipped to [0, 1]",
        _mae,
    ),
    "denoising_mse": MetricDefinition(
        "squared error per pixel, pixels in [0, 1]",
        "mean over images and pixels of (x - reconstruct(noisy))^2 against the clean "
        "x, noisy = clip(x + {sigma} * N(0, 1), 0, 1), seed {seed}",
        _denoising_mse,
    ),
    "negative_elbo": MetricDefinition(
        "nats per image",
        "mean over images of -log p(x|z) + KL(q(z|x)||p(z)), grey values as they are, "
        "one z ~ q(z|x) per image, seed {seed}, beta 1",
        lambda model, images, seed: np.add(*_elbo_terms(model, images, seed)),
        (VariationalAutoencoder,),
    ),
    "reconstruction_nll": MetricDefinition(
        "nats per image",
        "mean over images of -log p(x|z), grey values as they are, one z ~ q(z|x) per "
        "image, seed {seed}",
        lambda model, images, seed: _elbo_terms(model, images, seed)[0],
        (VariationalAutoencoder,),
    ),
    "kl": MetricDefinition(
        "nats per image",
        "mean over images of KL(q(z|x)||p(z)), closed form",
        lambda model, images, seed: np.asarray(  # noqa: ARG005
            model.posterior(images).kl(), "float64"
        ),
        (VariationalAutoencoder, PPCA),
    ),
    "log_likelihood": MetricDefinition(
        "nats per image, density of grey values in [0, 1]",
        "mean over images of the exact log p(x)",
        lambda model, images, seed: model.log_likelihood(images).astype(  # noqa: ARG005
            "float64"
        ),
        (PPCA,),
    ),
    "active_units": MetricDefinition(
        "units",
        "number of code units whose posterior mean has a variance over images above "
        "0.01 (Burda et al., 2016)",
        _active_units,
    ),
    "active_code_fraction": MetricDefinition(
        "fraction of code units",
        "mean over images of the fraction of code units with |z| above 1 % of the "
        "unit's largest |z| over all images",
        _active_code_fraction,
    ),
}
