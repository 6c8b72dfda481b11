"""How probable a model finds examples: bounds, importance sampling, bits."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops

from aezoo.evaluation.abilities import can
from aezoo.evaluation.context import Chunk
from aezoo.evaluation.views import views_of
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.distributions import IndexedNoise
from aezoo.utils.arrays import to_numpy

Tensor = Any
# Codes decoded in one compiled call of the importance sampler. Memory depends on it
# alone, neither on the number of examples nor on that of samples.
ROWS = 1000
# Samples of one example in such a call.
DRAWS = 50


def elbo(chunk: Chunk) -> np.ndarray:
    """Evidence lower bound of each example, one sampled code, `(n,)`."""
    return -(chunk.reconstruction_nll + chunk.kl)


def reconstruction_nll(chunk: Chunk) -> np.ndarray:
    """-log p(x|z) of each example, one sampled code, `(n,)`."""
    return chunk.reconstruction_nll


def kl(chunk: Chunk) -> np.ndarray:
    """KL divergence of each example's posterior from the prior, `(n,)`."""
    return chunk.kl


def iwae_nll(chunk: Chunk) -> np.ndarray:
    """Importance-sampled -log p(x) of each example, `(n,)`."""
    return -log_marginal(chunk)


def log_likelihood(chunk: Chunk) -> np.ndarray:
    """Exact log p(x) of each example, for families that have it, `(n,)`."""
    return to_numpy(chunk.model.log_likelihood(chunk.x), "float64")


def bits_per_dim(chunk: Chunk) -> np.ndarray:
    """Bits per dimension of each example, of a density by dequantisation, `(n,)`."""
    nats_per_bit = chunk.modality.dims * math.log(2.0)
    if not can(chunk.model, "density"):
        return -log_marginal(chunk) / nats_per_bit
    bits = views_of(chunk.modality).bits("dequantised")
    return bits - log_marginal(chunk.view("dequantised")) / nats_per_bit


# --- Importance sampling -----------------------------------------------------------


def log_marginal(chunk: Chunk) -> np.ndarray:
    """Importance-sampled log p(x) of each example of a chunk, computed once.

    Burda, Grosse & Salakhutdinov (2016), equation 8: the log of the mean of
    `p(x|z) p(z) / q(z|x)` over codes from the posterior. The mean is accumulated in
    log space over compiled calls of `ROWS` codes, so that memory does not depend on
    the number of samples; the noise depends on example and sample alone, so that the
    result does not depend on `ROWS`.

    Args:
        chunk: Examples and their posteriors.

    Returns:
        Nats, float64, `(n,)`.
    """
    return chunk.kept("log_marginal", lambda: _log_marginal(chunk))


def _log_marginal(chunk: Chunk) -> np.ndarray:
    evaluation = chunk.evaluation
    samples = evaluation.settings.importance_samples
    draws = min(DRAWS, samples)
    group = max(1, ROWS // draws)
    told = chunk.given
    names = [*sorted(chunk.parameters), *told]
    values = {**chunk.parameters, **told}
    functions = {
        count: _compiled(chunk, names, values, count)
        for count in {draws, samples % draws} - {0}
    }
    parts = []
    for first in range(0, len(chunk), group):
        rows = slice(first, first + group)
        x = chunk.x[rows]
        arrays = [values[name][rows] for name in names]
        position = np.full(len(x), chunk.start + first, "int32")
        total = np.full(len(x), -np.inf)
        for draw in range(0, samples, draws):
            count = min(draws, samples - draw)
            first_draw = np.full(len(x), draw, "int32")
            part = functions[count](x, position, first_draw, *arrays)
            total = np.logaddexp(total, part.astype("float64"))
        parts.append(total - math.log(samples))
    return np.concatenate(parts)


def _compiled(
    chunk: Chunk, names: list[str], values: Mapping[str, np.ndarray], draws: int
) -> Callable[..., np.ndarray]:
    """Compiled log-sum of the importance weights of `draws` codes per example."""
    model, seed, told = chunk.model, chunk.evaluation.seed, tuple(chunk.given)
    key = ("log_marginal", seed, draws)
    functions = model.compiled_functions  # a second evaluation need not trace
    for other in [k for k in functions if k[0] == key[0] and k[1] != seed]:
        del functions[other]  # or every seed would leave its graph with the model

    def log_sum(
        x: Tensor, position: Tensor, first_draw: Tensor, *arrays: Tensor
    ) -> Tensor:
        noise = IndexedNoise(seed, position[0], draws, first_draw[0])
        parameters = dict(zip(names, arrays, strict=True))
        given = {name: parameters.pop(name) for name in told}
        return log_sum_of_weights(model, x, parameters, noise, **given)

    compiled: Callable[..., np.ndarray] = model.compiled_function(
        key,
        log_sum,
        (model.modality.tensor_shape, model.modality.target_dtype),
        ((), "int32"),
        ((), "int32"),
        *((values[name].shape[1:], values[name].dtype.name) for name in names),
    )
    return compiled


def log_sum_of_weights(
    model: Autoencoder,
    x: Tensor,
    parameters: dict[str, Tensor],
    noise: IndexedNoise,
    **given: Tensor,
) -> Tensor:
    """Log of the sum of importance weights over `noise.draws` codes per example.

    Args:
        model: A model with a likelihood.
        x: Examples as the model sees them, `(batch, *tensor_shape)`.
        parameters: Parameters of their posteriors.
        noise: Where the codes come from.
        **given: What the model is told, `(batch, ...)` each.

    Returns:
        Nats, `(batch,)`.
    """

    def repeat(values: Tensor) -> Tensor:
        return ops.repeat(values, noise.draws, axis=0)

    posterior = model.make_posterior({k: repeat(v) for k, v in parameters.items()})
    # (batch * draws, *latent_shape) and (batch * draws,)
    z, log_q = posterior.sample_with_log_prob(noise)
    told = {name: repeat(value) for name, value in given.items()}
    likelihood = model.make_likelihood(model.decode_parameters(z, **told))
    log_weights = likelihood.log_prob(repeat(x)) + model.log_prior(z) - log_q
    return ops.logsumexp(ops.reshape(log_weights, (-1, noise.draws)), axis=1)
