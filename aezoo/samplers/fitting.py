"""Fitting a sampler of any kind to a model."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aezoo.errors import UnsupportedOperationError
from aezoo.samplers.autoregressive_fit import fit_autoregressive
from aezoo.samplers.base import Sampler
from aezoo.samplers.collection import how_to_fit
from aezoo.samplers.flow_fit import fit_flow
from aezoo.samplers.gaussian_mixture import fit_gaussian_mixture
from aezoo.samplers.kinds import CLASSES, KINDS
from aezoo.samplers.posterior_mixture import fit_posterior_mixture
from aezoo.utils.text import did_you_mean
from aezoo.utils.validation import check_choice, check_seed

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

FITTERS: dict[str, Callable[..., Sampler]] = {
    "gmm": fit_gaussian_mixture,
    "vamp": fit_posterior_mixture,
    "flow": fit_flow,
    "autoregressive": fit_autoregressive,
}


def fit_sampler(
    model: "Autoencoder",
    x: Any,
    kind: str = "gmm",
    seed: int = 0,
    labels: Any = None,
    given: Mapping[str, Any] | None = None,
    **options: Any,
) -> Sampler:
    """Fit a sampler to the codes of examples, and let the model have it.

    `model.sample(n, sampler=kind)` then draws from it, and `aezoo.save` and
    `push_to_hub` write it beside the weights. It belongs to the weights as they are:
    fit it again after training them further.

    Args:
        model: A trained model.
        x: Training examples `(n, *input_shape)`.
        kind: `"gmm"`, a Gaussian mixture on codes drawn from the posteriors, of
            `num_components` (10) components with full covariances; `"vamp"`, the
            posteriors of `num_pseudo_inputs` (500) of the examples, for models with
            Gaussian ones; `"flow"`, a masked autoregressive flow of `num_steps` (5)
            networks of `width` (128), trained for `epochs` (20) on such codes;
            `"autoregressive"`, for discrete codes and alone for these, a causal
            transformer of `layers` (3) with `heads` (4) and `width` (64), trained for
            `epochs` (5); with `class_conditional=True`, of codes given the `labels`.
        seed: Of codes, initialisation and choice; the same seed fits the same sampler.
        labels: Of the examples, `(n,)`, for families whose posterior depends on them
            and samplers that shall be class-conditional; the others ignore them.
        given: What else the model is told of the examples, as in `model.encode`.
        **options: Of the kind, as above.

    Returns:
        The sampler, also in `model.samplers[kind]`.

    Raises:
        ValueError: If examples, kind or an option are invalid.
        UnsupportedOperationError: If the model's codes cannot have this kind.
        MissingDependencyError: If `"gmm"` is to be fitted without scikit-learn.

    Example:
        >>> aezoo.samplers.fit_sampler(model, x, "gmm")
        >>> model.sample(16, seed=0, sampler="gmm")
    """
    cls = CLASSES[check_choice("kind", kind, KINDS)]
    fitter = FITTERS[kind]
    parameters = list(inspect.signature(fitter).parameters)[3:]
    known = [name for name in parameters if name != "labels"]
    for name in options:
        if name not in known:
            raise ValueError(
                f"Unknown option `{name}` of the sampler {kind!r}."
                f"{did_you_mean(name, known)} Known: {', '.join(known)}."
            )
    checked_seed = check_seed(seed)
    if checked_seed is None:
        raise ValueError("`seed` must be a number, as a fit is kept. Received: None.")
    if model.CODES != cls.CODES:
        raise UnsupportedOperationError(
            f"The sampler {kind!r} is for {cls.CODES} codes, and those of "
            f"{model.family!r} are {model.CODES}. {how_to_fit(model)}"
        )
    own = labels if "labels" in model.given else None
    posterior = model.posterior(x, given=given, labels=own)
    if "labels" in parameters:
        options["labels"] = labels
    sampler = fitter(model, posterior, checked_seed, **options)
    model.samplers[kind] = sampler
    return sampler
