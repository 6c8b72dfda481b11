"""The missing elements of examples, given the others."""

from typing import Any

import numpy as np
from keras import ops

from aezoo.errors import UnsupportedOperationError
from aezoo.nn.distributions import IndexedNoise
from aezoo.utils.arrays import to_numpy
from aezoo.utils.progress import with_progress
from aezoo.utils.validation import check_count, check_positive_int, check_seed

Array = np.ndarray
# Rows of a step, with all candidates: bounds memory, does not change the result.
ROWS = 512
# Draws from the prior that chains start from, and which part of them each may.
SAMPLES, SHARE = 1024, 0.125
# Between the seeds of two steps.
_STRIDE = 7919


def inpaint(
    model: Any,
    x: Any,
    mask: Any,
    n: int,
    seed: int | None,
    steps: int,
    candidates: int,
    first: int = 0,
    **given: Array,
) -> Array:
    """As `Autoencoder.inpaint`; `given` is checked.

    Args:
        model: The model.
        x: As there.
        mask: As there.
        n: As there.
        seed: As there.
        steps: As there.
        candidates: As there.
        first: Which of more examples the first one is, for noise that is the same
            however they are divided.
        **given: What the model is told, `(len(x), ...)` each.
    """
    modality = model.modality
    if not modality.is_continuous or model.is_autoregressive:
        raise UnsupportedOperationError(
            f"{model.name!r} cannot fill in {modality.nouns}: `inpaint` is for "
            f"examples of continuous {modality.element}s that are decoded at once."
        )
    x = modality.check(x)
    hidden = check_mask(model, mask, len(x))
    if not hidden.any():
        raise ValueError("`mask` must hide something. Received: no True.")
    check_positive_int("n", n)
    check_positive_int("steps", steps)
    check_count("candidates", candidates, minimum=1)
    seed = check_seed(seed)
    if seed is None:
        seed = int(np.random.default_rng().integers(2**31))
    known = np.repeat(ops.convert_to_numpy(modality.to_model(x)), n, axis=0)
    hidden = np.repeat(hidden, n, axis=0)
    told = {name: np.repeat(value, n, axis=0) for name, value in given.items()}
    filled = np.empty_like(known)
    size = max(1, ROWS // candidates)
    for start in with_progress(range(0, len(known), size), "Filling in", "chunk"):
        rows = slice(start, start + size)
        here = {name: value[rows] for name, value in told.items()}
        part, holes, row = known[rows], hidden[rows], first * n + start
        guess = model.first_guess(part, holes, _noise(seed, 0, row), **here)
        shown = state = fill(part, holes, guess)
        for step in range(steps):
            source = _noise(seed, step + 1, row * candidates)
            share = step / steps
            found, answer = model.inpaint_step(
                state, holes, source, share, candidates, **here
            )
            state, shown = (
                fill(part, holes, modality.from_model(ops.convert_to_tensor(values)))
                for values in (found, answer)
            )
        filled[rows] = shown
    filled = ops.convert_to_numpy(modality.to_dtype(filled, x.dtype.name))
    filled = filled.reshape(len(x), n, *x.shape[1:])
    holes = hidden.reshape(len(x), n, *hidden.shape[1:], 1)
    return np.where(holes, filled, x[:, None])


def _noise(seed: int, step: int, start: int) -> IndexedNoise:
    return IndexedNoise((seed + _STRIDE * step) % 2**31, start)


def _stream(noise: IndexedNoise, number: int) -> IndexedNoise:
    """Noise of the same examples that has nothing to do with the given one."""
    return IndexedNoise((noise.seed + 1_000_003 * number) % 2**31, noise.start)


def fill(x: Array, hidden: Array, values: Any) -> Array:
    """`x` with `values` at its hidden positions, float32."""
    chosen = np.where(hidden[..., None], ops.convert_to_numpy(values), x)
    return np.asarray(chosen, "float32")


def check_mask(model: Any, mask: Any, n: int) -> Array:
    """A mask as bools `(n, *positions)`.

    Args:
        model: The model.
        mask: As in `Autoencoder.inpaint`.
        n: Number of examples.

    Raises:
        ValueError: If its shape or dtype is wrong.
    """
    values = to_numpy(mask)
    positions = tuple(model.modality.positions)
    shapes = (positions, (n, *positions))
    if values.shape not in shapes or values.dtype != bool:
        raise ValueError(
            "`mask` must be bools, True where an element is missing, of shape "
            f"{positions} or (n, {', '.join(map(str, positions))}). Received: "
            f"mask.shape={values.shape}, dtype={values.dtype}."
        )
    return np.broadcast_to(values, (n, *positions))


def nearest_sample(model: Any, x: Array, hidden: Array, noise: IndexedNoise) -> Array:
    """For each example, a sample of the model's that explains what is known of it.

    A chain that starts from noise stays near it where the posterior keeps everything it
    sees. So each starts from a draw from the prior: of a random `SHARE` of `SAMPLES`
    draws, which lets chains differ, the one with the largest `p(x_known|z)`.

    Args:
        model: A model with a likelihood and a prior.
        x: As in `project`.
        hidden: As in `project`.
        noise: As in `project`.

    Returns:
        Points of p(x|z), as `x`.
    """
    z = model.sample_prior(SAMPLES, np.random.default_rng(noise.seed))
    parameters = model.run("decode_parameters", z, ROWS)
    shown = ops.convert_to_numpy(model.point(ops.convert_to_tensor(parameters)))
    is_seen = ops.convert_to_numpy(noise.uniform((len(x), SAMPLES))) < SHARE
    chosen = []
    for row, holes, seen in zip(x, hidden, is_seen, strict=True):
        at_positions = log_prob_at_positions(model, parameters, row[None], SAMPLES)
        weights = np.sum(at_positions * ~holes.reshape(1, -1), axis=1)
        chosen.append(np.argmax(np.where(seen, weights, -np.inf)))
    return shown[chosen]


def project(
    model: Any, x: Array, hidden: Array, noise: IndexedNoise, share: float, **given: Any
) -> tuple[Array, Array]:
    """A step of an autoencoder: reconstruct, and put back what is known.

    Where it was trained to remove Gaussian noise, hidden elements first get some, of a
    spread that falls from the one in training to 0: the walk of Bengio et al. (2013),
    "Generalized denoising auto-encoders as generative models"
    (https://arxiv.org/abs/1305.6663), projected on what is known.

    Args:
        model: The model.
        x: Examples with all elements, `(rows, *tensor_shape)`.
        hidden: Which positions are missing, `(rows, *positions)`.
        noise: Source of the noise.
        share: Of the steps that are done, in [0, 1).
        **given: What the model is told.
    """
    if model.corruption == "gaussian":
        spread = model.corruption_level * (1.0 - share)
        drawn = x + spread * ops.convert_to_numpy(noise.normal(x.shape))
        x = fill(x, hidden, np.clip(drawn, 0.0, 1.0))
    found = model.run("reconstruct", x, ROWS, **given)
    return found, found


def resample(
    model: Any,
    x: Array,
    hidden: Array,
    noise: IndexedNoise,
    candidates: int,
    **given: Any,
) -> tuple[Array, Array]:
    """A step of a latent variable model: z given x, then what is hidden given z.

    Pseudo-Gibbs of Rezende et al. (2014, https://arxiv.org/abs/1401.4082, appendix F).
    Of several candidates z ~ q(z|x), one is kept with a probability in proportion to
    `p(x_known|z) p(z) / q(z|x)`, so that the guess of the hidden elements, which q has
    seen, does not count: the importance resampling of Mattei & Frellsen (2019),
    "MIWAE" (https://arxiv.org/abs/1812.02633, section 3.2).

    Args:
        model: A model with a likelihood.
        x: As in `project`.
        hidden: As in `project`.
        noise: As in `project`.
        candidates: How many; 1 resamples nothing.
        **given: As in `project`.

    Returns:
        Elements to go on with, drawn if the model learned binarised ones, and the
        point of p(x|z), both `(rows, *tensor_shape)`.
    """
    rows = len(x)
    given = {name: np.repeat(v, candidates, axis=0) for name, v in given.items()}
    posterior = model.posterior(np.repeat(x, candidates, axis=0), given=given or None)
    z, log_q = posterior.sample_with_log_prob(noise)
    parameters = model.run("decode_parameters", ops.convert_to_numpy(z), ROWS, **given)
    if candidates > 1:
        seen = np.repeat(~hidden, candidates, axis=0).reshape(len(parameters), -1)
        at_positions = log_prob_at_positions(model, parameters, x, candidates)
        weights = np.sum(seen * at_positions, axis=1)
        weights = weights + ops.convert_to_numpy(model.prior_density()(z))
        weights = weights - ops.convert_to_numpy(log_q)
        drawn = ops.convert_to_numpy(
            _stream(noise, 1).uniform((len(parameters), 1))
        ).astype("float64")
        gumbel = -np.log(-np.log(np.clip(drawn[:, 0], 1e-12, 1.0 - 1e-7)))
        chosen = np.argmax((weights + gumbel).reshape(rows, candidates), axis=1)
        parameters = parameters[np.arange(rows) * candidates + chosen]
    shown = ops.convert_to_numpy(model.point(ops.convert_to_tensor(parameters)))
    if not model.learns_binarised:
        return shown, shown
    drawn = ops.convert_to_numpy(_stream(noise, 2).uniform(shown.shape))
    return (drawn < shown).astype("float32"), shown


def log_prob_at_positions(
    model: Any, parameters: Array, x: Array, candidates: int
) -> Array:
    """Log p(x|z) of each position by itself: nats, `(rows * candidates, positions)`.

    Args:
        model: A model whose positions are independent given z.
        parameters: Of the likelihood, `(rows * candidates, *positions, width)`.
        x: Examples, `(rows, *positions, channels)`.
        candidates: Codes of each example.
    """
    x = np.repeat(x, candidates, axis=0)
    flat = parameters.reshape(-1, parameters.shape[-1])
    likelihood = model.make_likelihood(ops.convert_to_tensor(flat))
    values = ops.convert_to_tensor(x.reshape(-1, x.shape[-1]))
    return ops.convert_to_numpy(likelihood.log_prob(values)).reshape(
        len(parameters), -1
    )
