"""How a model uses its code: units, moments, information, codebooks."""

import numpy as np

from aezoo.evaluation.context import Evaluation
from aezoo.evaluation.definition import (
    Result,
    has_prior,
    mean_with_error,
    metric,
)
from aezoo.models._discrete import QuantizedAE
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn import losses
from aezoo.utils.progress import with_progress

# A unit is active whose posterior mean varies more than this (Burda et al., 2016).
ACTIVE_VARIANCE = 0.01
_BURDA = "https://arxiv.org/abs/1509.00519"
_CHEN = "https://arxiv.org/abs/1802.04942"


@metric(
    "active_units",
    unit="units",
    protocol="number of code units whose posterior mean has a variance over images "
    "above 0.01; the prior's is 1",
    higher_is_better=None,
    is_possible=has_prior,
    reference=_BURDA,
)
def active_units(evaluation: Evaluation) -> Result:
    """Units whose posterior mean varies over images (Burda et al., 2016)."""
    variance = _continuous_codes(evaluation).astype("float64").var(axis=0)
    protocol = None
    if not has_known_moments(evaluation.model):
        protocol = (
            "number of code units whose code (the posterior's mode) has a variance "
            "over images above 0.01"
        )
    return Result(float(np.sum(variance > ACTIVE_VARIANCE)), protocol=protocol)


@metric(
    "active_code_fraction",
    unit="fraction of code units",
    protocol="mean over images of the fraction of code units with |z| above 1 % of the "
    "unit's largest |z| over all images",
    higher_is_better=None,
)
def active_code_fraction(evaluation: Evaluation) -> Result:
    """Share of units that are on for an image."""
    codes = np.abs(_continuous_codes(evaluation))
    share = np.mean(codes > 0.01 * codes.max(axis=0), axis=1)
    return mean_with_error(share)


def _continuous_codes(evaluation: Evaluation) -> np.ndarray:
    """Codes without the class that they may end in: `(n, units)`."""
    model = evaluation.model
    units = model.latent_dim if model.CODES == "mixed" else None
    return evaluation.codes[:, :units]


def is_diagonal(model: Autoencoder) -> bool:
    """Models whose posterior is a Gaussian with independent units."""
    return model.has_diagonal_posterior


def has_standard_prior(model: Autoencoder) -> bool:
    """Models whose prior, if any, is the standard normal."""
    return model.has_standard_prior


def is_standard(model: Autoencoder) -> bool:
    """Models with a standard-normal prior, and a posterior of independent units."""
    return is_diagonal(model) and has_standard_prior(model)


def has_known_moments(model: Autoencoder) -> bool:
    """Models whose codes are compared with a standard normal, moment by moment."""
    return model.code_head in ("z", "z_mean") and has_standard_prior(model)


@metric(
    "kl_per_dim",
    unit="nats per image and unit",
    protocol="mean over images and code units of KL(q(z_j|x)||p(z_j)) in closed form; "
    "the values are the means over images of each unit",
    higher_is_better=None,
    is_possible=is_standard,
)
def kl_per_dim(evaluation: Evaluation) -> Result:
    """KL divergence of each unit."""
    mean = evaluation.parameters["z_mean"]
    log_var = evaluation.parameters["z_log_var"]
    # one unit at a time is one example to `gaussian_kl`
    flat = losses.gaussian_kl(mean.reshape(-1, 1), log_var.reshape(-1, 1))
    values = np.asarray(flat).reshape(len(mean), -1).mean(axis=0, dtype="float64")
    return Result(float(values.mean()), values=_tuple(values))


@metric(
    "aggregate_mean",
    unit="code units",
    protocol="root mean square over code units of the mean over images of z ~ q(z|x), "
    "in closed form; the values are the means; 0 where the aggregate posterior is "
    "the prior",
    higher_is_better=None,
    is_possible=has_known_moments,
)
def aggregate_mean(evaluation: Evaluation) -> Result:
    """Mean of the aggregate posterior, by unit."""
    values = evaluation.codes.mean(axis=0, dtype="float64")
    return Result(float(np.sqrt(np.mean(values**2))), values=_tuple(values))


@metric(
    "aggregate_variance",
    unit="squared code units",
    protocol="mean over code units of the variance over images of z ~ q(z|x), in "
    "closed form: that of the posterior means plus the mean posterior variance; the "
    "values are the variances; 1 where the aggregate posterior is the prior",
    higher_is_better=None,
    is_possible=has_known_moments,
)
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
    """Of each unit of codes of any shape, over images; float64, `(units,)`."""
    flat = z_log_var.reshape(len(z_log_var), -1)
    return np.asarray(np.exp(flat).mean(axis=0, dtype="float64"))


# --- Information ---------------------------------------------------------------------


@metric(
    "mutual_information",
    unit="nats",
    protocol="E[log q(z|x) - log q(z)], q(z) the mean of the posteriors of all images, "
    "one z ~ q(z|x) per image, seed {seed}; at most log(number of images)",
    higher_is_better=None,
    is_possible=is_diagonal,
    reference="https://arxiv.org/abs/1606.03657",
)
def mutual_information(evaluation: Evaluation) -> float:
    """Mutual information of image and code under the encoder."""
    log_q = aggregate_log_densities(evaluation)
    return float(np.mean(log_q["conditional"] - log_q["joint"]))


@metric(
    "total_correlation",
    unit="nats",
    protocol="E[log q(z) - sum_j log q(z_j)], q(z) and q(z_j) means over the "
    "posteriors of all images, one z ~ q(z|x) per image, seed {seed}; biased "
    "upwards where few posteriors overlap",
    is_possible=is_diagonal,
    reference=_CHEN,
)
def total_correlation(evaluation: Evaluation) -> float:
    """KL divergence of the aggregate posterior from the product of its marginals."""
    log_q = aggregate_log_densities(evaluation)
    return float(np.mean(log_q["joint"] - log_q["marginals"]))


@metric(
    "total_correlation/gaussian",
    unit="nats",
    protocol="(sum_j log C_jj - log det C) / 2, C the covariance of the aggregate "
    "posterior in closed form: the total correlation of the Gaussian with its moments",
    is_possible=is_diagonal,
    reference="https://arxiv.org/abs/1811.12359",
)
def total_correlation_gaussian(evaluation: Evaluation) -> float:
    """Total correlation of a Gaussian with the aggregate posterior's moments."""
    centred = evaluation.codes - evaluation.codes.mean(axis=0, dtype="float64")
    covariance = centred.T @ centred / len(centred)
    covariance += np.diag(_mean_variance(evaluation.parameters["z_log_var"]))
    log_det = np.linalg.slogdet(covariance)[1]
    return float(0.5 * (np.sum(np.log(np.diag(covariance))) - log_det))


def aggregate_log_densities(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Log densities of one sampled code per image, under mixtures of all posteriors.

    The mixture over all images is exact, not estimated from a batch. Memory is a
    block of codes times all images.

    Returns:
        `"conditional"` log q(z|x), `"joint"` log q(z) and `"marginals"`
        sum_j log q(z_j); nats, float64, `(n,)` each.
    """
    return evaluation.once("aggregate", lambda: _aggregate(evaluation))


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
    conditional = np.asarray(log_q_of_own, "float64")
    return {"conditional": conditional, "joint": joint, "marginals": marginals}


def _log_mean_exp(values: np.ndarray) -> np.ndarray:
    largest = values.max(axis=1, keepdims=True)
    total = np.exp(values - largest).sum(axis=1, dtype="float64")
    return np.log(total / values.shape[1]) + largest[:, 0]


# --- Discrete codes ------------------------------------------------------------------


def has_codebook(model: Autoencoder) -> bool:
    """Models whose codes are indices into a codebook."""
    return isinstance(model, QuantizedAE)


@metric(
    "codebook_usage",
    unit="fraction of the codebook",
    protocol="share of the codebook's entries that occur in the codes of the images",
    higher_is_better=True,
    is_possible=has_codebook,
)
def _codebook_usage(evaluation: Evaluation) -> float:
    indices = np.asarray(evaluation.posterior.indices)  # type: ignore[attr-defined]
    return codebook_usage(indices, _num_codes(evaluation))


@metric(
    "codebook_perplexity",
    unit="entries",
    protocol="exp of the entropy of the codebook's entries over images and positions",
    higher_is_better=True,
    is_possible=has_codebook,
)
def _codebook_perplexity(evaluation: Evaluation) -> float:
    indices = np.asarray(evaluation.posterior.indices)  # type: ignore[attr-defined]
    return codebook_perplexity(indices, _num_codes(evaluation))


def _num_codes(evaluation: Evaluation) -> int:
    return int(evaluation.model.quantizer.num_codes)


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
