"""How probable a model finds images: bounds, importance sampling, bits.

Metrics named `.../binarised` measure images whose pixels were drawn as 0 or 1 with
their grey value as probability (dynamic binarisation; fixed by the seed).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from aezoo.evaluation.context import Chunk
from aezoo.evaluation.definition import (
    has_likelihood,
    is_bernoulli,
    is_discretized,
    per_image_metric,
)
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.backend import compile_inference
from aezoo.nn.distributions import IndexedNoise

Tensor = Any
# Codes decoded in one compiled call of the importance sampler. Memory depends on it
# alone, neither on the number of images nor on that of samples.
ROWS = 1000
# Samples of one image in such a call.
DRAWS = 50
_GREY = "grey values as they are"
_BINARISED = "pixels drawn as 0 or 1 with their grey value as probability, seed {seed}"
_VAE = "https://arxiv.org/abs/1312.6114"
_IWAE = "https://arxiv.org/abs/1509.00519"


def _has_density(model: Autoencoder) -> bool:
    return not (is_bernoulli(model) or is_discretized(model))


def _with_binarised(name: str, protocol: str, **fields: Any) -> Callable[..., Any]:
    """Define a per-image metric on the images as they are and on binarised ones."""

    def register(compute: Callable[[Chunk], np.ndarray]) -> Callable[..., Any]:
        per_image_metric(
            name,
            protocol=f"{protocol}; {_GREY}",
            is_possible=has_likelihood,
            **fields,
        )(compute)
        per_image_metric(
            f"{name}/binarised",
            protocol=f"{protocol}; {_BINARISED}",
            is_possible=is_bernoulli,
            **fields,
        )(lambda chunk: compute(chunk.binarised))
        return compute

    return register


@_with_binarised(
    "elbo",
    unit="nats per image",
    protocol="mean over images of log p(x|z) - KL(q(z|x)||p(z)), one z ~ q(z|x) per "
    "image, seed {seed}, KL {kl} with weight 1",
    higher_is_better=True,
    is_density=_has_density,
    reference=_VAE,
)
def elbo(chunk: Chunk) -> np.ndarray:
    """Evidence lower bound of each image, one sampled code, `(n,)`."""
    return -(chunk.reconstruction_nll + chunk.kl)


@_with_binarised(
    "reconstruction_nll",
    unit="nats per image",
    protocol="mean over images of -log p(x|z), one z ~ q(z|x) per image, seed {seed}: "
    "the first part of the negative ELBO",
    is_density=_has_density,
    reference=_VAE,
)
def reconstruction_nll(chunk: Chunk) -> np.ndarray:
    """-log p(x|z) of each image, one sampled code, `(n,)`."""
    return chunk.reconstruction_nll


@_with_binarised(
    "kl",
    unit="nats per image",
    protocol="mean over images of KL(q(z|x)||p(z)) {kl}: the second part of the "
    "negative ELBO",
    higher_is_better=None,
    reference=_VAE,
)
def kl(chunk: Chunk) -> np.ndarray:
    """KL divergence of each image's posterior from the prior, `(n,)`."""
    return chunk.kl


@_with_binarised(
    "iwae_nll",
    unit="nats per image",
    protocol="mean over images of -log(1/K sum_k p(x|z_k) p(z_k) / q(z_k|x)), "
    "z_k ~ q(z|x), K = {importance_samples}, seed {seed}: an upper bound on -log p(x) "
    "in expectation, tight as K grows",
    is_density=_has_density,
    reference=_IWAE,
)
def iwae_nll(chunk: Chunk) -> np.ndarray:
    """Importance-sampled -log p(x) of each image, `(n,)`."""
    return -log_marginal(chunk)


@per_image_metric(
    "log_likelihood",
    unit="nats per image, density",
    protocol="mean over images of the exact log p(x)",
    is_possible=lambda model: model.has_exact_likelihood,
    higher_is_better=True,
)
def log_likelihood(chunk: Chunk) -> np.ndarray:
    """Exact log p(x) of each image, for families that have it, `(n,)`."""
    return np.asarray(chunk.model.log_likelihood(chunk.x), "float64")


@per_image_metric(
    "bits_per_dim",
    unit="bits per pixel and channel",
    protocol="importance-sampled -log2 p(x) / number of pixels, K = "
    "{importance_samples}, seed {seed}. Gaussian and Laplace pixels: uniform "
    "dequantisation, x = (level + u) / 256 with one u ~ U[0, 1) per pixel, plus "
    "log2(256): an upper bound on the bits of the 8-bit image. Discretised pixels: no "
    "dequantisation. Bernoulli pixels: no dequantisation, cross-entropy of grey "
    "values, which is no code length",
    is_possible=has_likelihood,
    reference="https://arxiv.org/abs/1511.01844",
)
def bits_per_dim(chunk: Chunk) -> np.ndarray:
    """Bits per pixel of each image, `(n,)`."""
    pixels = math.prod(chunk.model.input_shape)
    if not _has_density(chunk.model):
        return -log_marginal(chunk) / (pixels * math.log(2.0))
    return 8.0 - log_marginal(chunk.dequantised) / (pixels * math.log(2.0))


@per_image_metric(
    "bits_per_dim/binarised",
    unit="bits per pixel and channel",
    protocol="importance-sampled -log2 p(x) / number of pixels, K = "
    "{importance_samples}, seed {seed}; " + _BINARISED + "; no dequantisation, the "
    "pixels being binary",
    is_possible=is_bernoulli,
)
def bits_per_dim_binarised(chunk: Chunk) -> np.ndarray:
    """Bits per binary pixel of each image, `(n,)`."""
    pixels = math.prod(chunk.model.input_shape)
    return -log_marginal(chunk.binarised) / (pixels * math.log(2.0))


# --- Importance sampling -----------------------------------------------------------


def log_marginal(chunk: Chunk) -> np.ndarray:
    """Importance-sampled log p(x) of each image of a chunk, computed once.

    Burda, Grosse & Salakhutdinov (2016), equation 8: the log of the mean of
    `p(x|z) p(z) / q(z|x)` over codes from the posterior. The mean is accumulated in
    log space over compiled calls of `ROWS` codes, so that memory does not depend on
    the number of samples; the noise depends on image and sample alone, so that the
    result does not depend on `ROWS`.

    Args:
        chunk: Images and their posteriors.

    Returns:
        Nats, float64, `(n,)`.
    """
    return chunk.once("log_marginal", lambda: _log_marginal(chunk))


def _log_marginal(chunk: Chunk) -> np.ndarray:
    evaluation = chunk.evaluation
    samples = evaluation.settings.importance_samples
    draws = min(DRAWS, samples)
    group = max(1, ROWS // draws)
    names = sorted(chunk.parameters)
    functions = {
        count: _compiled(chunk, names, count)
        for count in {draws, samples % draws} - {0}
    }
    parts = []
    for first in range(0, len(chunk), group):
        rows = slice(first, first + group)
        x = chunk.x[rows]
        arrays = [chunk.parameters[name][rows] for name in names]
        position = np.full(len(x), chunk.start + first, "int32")
        total = np.full(len(x), -np.inf)
        for draw in range(0, samples, draws):
            count = min(draws, samples - draw)
            first_draw = np.full(len(x), draw, "int32")
            part = functions[count](x, position, first_draw, *arrays)
            total = np.logaddexp(total, part.astype("float64"))
        parts.append(total - math.log(samples))
    return np.concatenate(parts)


def _compiled(chunk: Chunk, names: list[str], draws: int) -> Callable[..., np.ndarray]:
    """Compiled log-sum of the importance weights of `draws` codes per image."""
    model, seed = chunk.model, chunk.evaluation.seed
    cache = model._compiled_functions  # so that a second evaluation need not trace
    key = ("log_marginal", seed, draws)
    for other in [k for k in cache if k[0] == key[0] and k[1] != seed]:
        del cache[other]  # or every seed would leave its graph with the model
    if key not in cache:

        def log_sum(
            x: Tensor, position: Tensor, first_draw: Tensor, *arrays: Tensor
        ) -> Tensor:
            noise = IndexedNoise(seed, position[0], draws, first_draw[0])
            parameters = dict(zip(names, arrays, strict=True))
            return log_sum_of_weights(model, x, parameters, noise)

        arrays = chunk.parameters
        cache[key] = compile_inference(
            log_sum,
            model,
            (model.input_shape, "float32"),
            ((), "int32"),
            ((), "int32"),
            *((arrays[name].shape[1:], arrays[name].dtype.name) for name in names),
        )
    compiled: Callable[..., np.ndarray] = cache[key]
    return compiled


def log_sum_of_weights(
    model: Autoencoder,
    x: Tensor,
    parameters: dict[str, Tensor],
    noise: IndexedNoise,
) -> Tensor:
    """Log of the sum of importance weights over `noise.draws` codes per image.

    Args:
        model: A model with a likelihood.
        x: Images in [0, 1], `(batch, *input_shape)`.
        parameters: Parameters of their posteriors.
        noise: Where the codes come from.

    Returns:
        Nats, `(batch,)`.
    """

    def repeat(values: Tensor) -> Tensor:
        return ops.repeat(values, noise.draws, axis=0)

    posterior = model.make_posterior({k: repeat(v) for k, v in parameters.items()})
    # (batch * draws, *latent_shape) and (batch * draws,)
    z, log_q = posterior.sample_with_log_prob(noise)
    observation = model.make_likelihood(model.decode_parameters(z))
    log_weights = observation.log_prob(repeat(x)) + model.log_prior(z) - log_q
    return ops.logsumexp(ops.reshape(log_weights, (-1, noise.draws)), axis=1)
