"""How a model uses its code: units, moments, information, codebooks."""

import math
from collections.abc import Callable

import numpy as np
from keras import ops

from aezoo.evaluation.abilities import can
from aezoo.evaluation.context import Evaluation
from aezoo.evaluation.definition import MeaninglessFigureError, Result, mean_with_error
from aezoo.metrics.latent import ACTIVE_VARIANCE, SATURATION_MARGIN
from aezoo.nn import losses
from aezoo.utils.arrays import to_numpy
from aezoo.utils.progress import with_progress


def active_units(evaluation: Evaluation) -> Result:
    """Units whose posterior mean varies over examples (Burda et al., 2016)."""
    variance = _continuous_codes(evaluation).astype("float64").var(axis=0)
    protocol, model = None, evaluation.model
    if not (can(model, "known moments") and can(model, "standard prior")):
        protocol = (
            "number of code units whose code (the posterior's mode) has a variance "
            f"over {{examples}} above {ACTIVE_VARIANCE:g}"
        )
    return Result(float(np.sum(variance > ACTIVE_VARIANCE)), protocol=protocol)


def active_code_fraction(evaluation: Evaluation) -> Result:
    """Share of units that are on for an example."""
    codes = np.abs(_continuous_codes(evaluation))
    share = np.mean(codes > 0.01 * codes.max(axis=0), axis=1)
    return mean_with_error(share)


def _continuous_codes(evaluation: Evaluation) -> np.ndarray:
    """Codes without the class that they may end in: `(n, units)`."""
    model = evaluation.model
    units = model.latent_dim if model.CODES == "mixed" else None
    return evaluation.codes[:, :units]


def kl_per_dim(evaluation: Evaluation) -> Result:
    """KL divergence of each unit."""
    mean = evaluation.parameters["z_mean"]
    log_var = evaluation.parameters["z_log_var"]
    # one unit at a time is one example to `gaussian_kl`
    flat = losses.gaussian_kl(mean.reshape(-1, 1), log_var.reshape(-1, 1))
    values = to_numpy(flat).reshape(len(mean), -1).mean(axis=0, dtype="float64")
    return Result(float(values.mean()), values=_tuple(values))


def aggregate_mean(evaluation: Evaluation) -> Result:
    """Mean of the aggregate posterior, by unit."""
    values = evaluation.codes.mean(axis=0, dtype="float64")
    return Result(float(np.sqrt(np.mean(values**2))), values=_tuple(values))


def aggregate_variance(evaluation: Evaluation) -> Result:
    """Variance of the aggregate posterior, by unit."""
    values = evaluation.codes.var(axis=0, dtype="float64")
    parameters = evaluation.parameters
    if "z_log_var" in parameters:
        values = values + _mean_variance(parameters["z_log_var"])
    elif "z_scale_tril" in parameters:
        inner = np.mean(parameters["z_scale_tril"] ** 2, axis=0, dtype="float64")
        values = values + inner.sum(axis=-1)
    return Result(float(values.mean()), values=_tuple(values))


def _mean_variance(z_log_var: np.ndarray) -> np.ndarray:
    """Of each unit of codes of any shape, over examples; float64, `(units,)`."""
    flat = z_log_var.reshape(len(z_log_var), -1)
    return np.asarray(np.exp(flat).mean(axis=0, dtype="float64"))


# --- Information ---------------------------------------------------------------------


def mutual_information(evaluation: Evaluation) -> float:
    """Mutual information of example and code under the encoder."""
    log_q = aggregate_log_densities(evaluation)
    return float(np.mean(log_q["conditional"] - log_q["joint"]))


def total_correlation(evaluation: Evaluation) -> float:
    """KL divergence of the aggregate posterior from the product of its marginals.

    Raises:
        MeaninglessFigureError: If mutual information is within `SATURATION_MARGIN` of
            its bound, the log of the number of examples. Then few posteriors overlap,
            log q(z) is little else than log q(z|x) less that bound, and the estimate
            is mostly bias: about the nats that independent units know beyond it.
    """
    information = mutual_information(evaluation)
    bound = math.log(len(evaluation))
    if information > bound - SATURATION_MARGIN:
        raise MeaninglessFigureError(
            f"Mutual information, {information:.2f} nats, is within "
            f"{SATURATION_MARGIN:g} of log({len(evaluation):,}) = {bound:.2f}, the "
            "most that so many examples can show: few posteriors overlap, and "
            "independent units would have a total correlation far above 0, too. "
            "`total_correlation/gaussian` has no such bias."
        )
    log_q = aggregate_log_densities(evaluation)
    return float(np.mean(log_q["joint"] - log_q["marginals"]))


def total_correlation_gaussian(evaluation: Evaluation) -> float:
    """Total correlation of a Gaussian with the aggregate posterior's moments."""
    centred = evaluation.codes - evaluation.codes.mean(axis=0, dtype="float64")
    covariance = centred.T @ centred / len(centred)
    covariance += np.diag(_mean_variance(evaluation.parameters["z_log_var"]))
    log_det = np.linalg.slogdet(covariance)[1]
    return float(0.5 * (np.sum(np.log(np.diag(covariance))) - log_det))


def aggregate_log_densities(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Log densities of one sampled code per example, in mixtures of all posteriors.

    The mixture over all examples is exact, not estimated from a batch. Memory is a
    block of codes times all examples.

    Returns:
        `"conditional"` log q(z|x), `"joint"` log q(z) and `"marginals"`
        sum_j log q(z_j); nats, float64, `(n,)` each.
    """
    return evaluation.cached("aggregate", lambda: _aggregate(evaluation))


def _aggregate(evaluation: Evaluation) -> dict[str, np.ndarray]:
    mean, log_var, z = (
        values.reshape(len(values), -1)
        for values in (
            evaluation.parameters["z_mean"],
            evaluation.parameters["z_log_var"],
            evaluation.sampled_codes,
        )
    )
    n, units = z.shape
    joint, marginals = np.empty(n), np.empty(n)
    block = max(1, 2_000_000 // n)
    precision = np.exp(-log_var)
    for start in with_progress(range(0, n, block), "aggregate posterior", "block"):
        rows = slice(start, start + block)
        log_q = np.zeros((len(z[rows]), n), "float32")
        log_marginals = np.zeros(len(z[rows]))
        for j in range(units):
            centred = z[rows, j, None] - mean[None, :, j]
            term = -0.5 * (
                centred * centred * precision[:, j] + log_var[:, j] + losses.LOG_2PI
            )
            log_q += term
            log_marginals += _log_mean_exp(term)
        joint[rows] = _log_mean_exp(log_q)
        marginals[rows] = log_marginals
    log_q_of_own = evaluation.posterior.log_prob(evaluation.sampled_codes)
    conditional = to_numpy(log_q_of_own, "float64")
    return {"conditional": conditional, "joint": joint, "marginals": marginals}


def _log_mean_exp(values: np.ndarray) -> np.ndarray:
    largest = values.max(axis=1, keepdims=True)
    total = np.exp(values - largest).sum(axis=1, dtype="float64")
    return np.log(total / values.shape[1]) + largest[:, 0]


# --- Discrete codes ------------------------------------------------------------------


def usage_of_codebooks(evaluation: Evaluation) -> Result:
    """Share of entries in use, the mean over the codebooks of a model."""
    return _over_codebooks(evaluation, codebook_usage)


def perplexity_of_codebooks(evaluation: Evaluation) -> Result:
    """Effective number of entries in use, the mean over the codebooks of a model."""
    return _over_codebooks(evaluation, codebook_perplexity)


def _over_codebooks(
    evaluation: Evaluation, figure: Callable[[np.ndarray, int], float]
) -> Result:
    model, posterior = evaluation.model, evaluation.posterior
    indices = ops.convert_to_numpy(posterior.indices)  # type: ignore[attr-defined]
    flat = indices.reshape(len(indices), -1)  # (n, positions)
    values = tuple(
        figure(flat[:, book.positions] - book.first_index, book.num_codes)
        for book in model.codebooks
    )
    if len(values) == 1:
        return Result(values[0])
    note = f"; mean over {len(values)} codebooks, whose figures are the values"
    return Result(float(np.mean(values)), values=values, note=note)


def codebook_usage(indices: np.ndarray, num_codes: int) -> float:
    """Share of a codebook's entries that are used.

    Args:
        indices: Entries of the codes, integers from 0 to `num_codes - 1`, any shape.
        num_codes: Size of the codebook.

    Returns:
        From `1 / num_codes` to 1.

    Raises:
        ValueError: If there are no indices, or one is no entry of the codebook.
    """
    return float(np.mean(_counts(indices, num_codes) > 0))


def codebook_perplexity(indices: np.ndarray, num_codes: int) -> float:
    """Effective number of entries in use: exp of the entropy of their frequencies.

    Args:
        indices: Entries of the codes, integers from 0 to `num_codes - 1`, any shape.
        num_codes: Size of the codebook.

    Returns:
        From 1 (one entry) to `num_codes` (all equally often).

    Raises:
        ValueError: If there are no indices, or one is no entry of the codebook.
    """
    counts = _counts(indices, num_codes)
    share = counts[counts > 0] / counts.sum()
    return float(np.exp(-np.sum(share * np.log(share))))


def _counts(indices: np.ndarray, num_codes: int) -> np.ndarray:
    values = np.asarray(indices)
    if (
        values.size == 0
        or values.dtype.kind not in "iu"
        or values.min() < 0
        or values.max() >= num_codes
    ):
        raise ValueError(
            "`indices` must be integers from 0 to num_codes - 1, at least one. "
            f"Received: shape={values.shape}, dtype={values.dtype}, "
            f"num_codes={num_codes}."
        )
    return np.bincount(values.reshape(-1), minlength=num_codes)


def _tuple(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
