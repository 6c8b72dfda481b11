"""What models can do, as far as metrics ask for it."""

from collections.abc import Callable

from aezoo.models._discrete import QuantizedAE
from aezoo.models.autoencoder import Autoencoder


def can(model: Autoencoder, ability: str) -> bool:
    """Whether a model has an ability.

    Args:
        model: A model; it need not be built.
        ability: A key of `ABILITIES`, `"sampler <kind>"` for a fitted sampler, or
            `"view <name>"` for a view of its examples with a likelihood of its own.
    """
    name, _, which = ability.partition(" ")
    if name == "sampler":
        return which in model.samplers
    if name == "view":
        return which in model.modality.views and VIEWS[which](model)
    return ABILITIES[ability](model)


def is_bernoulli(model: Autoencoder) -> bool:
    """Models whose elements are Bernoulli, so that binarised examples have a mass."""
    return model.likelihood_name == "bernoulli"


def is_discretized(model: Autoencoder) -> bool:
    """Models whose elements have levels, each with its own probability."""
    return model.likelihood_name == "discretized_logistic"


def has_density(model: Autoencoder) -> bool:
    """Models whose likelihood is a density rather than a mass."""
    is_mass = is_bernoulli(model) or is_discretized(model)
    return model.modality.is_continuous and not is_mass


def has_code_length(model: Autoencoder) -> bool:
    """Models that give examples as they are stored a probability, or a bound of it."""
    modality = model.modality
    has_length = not has_density(model) or "dequantised" in modality.views
    return modality.has_fixed_size and has_length


def has_codebook(model: Autoencoder) -> bool:
    """Models whose codes are indices into a codebook."""
    return isinstance(model, QuantizedAE)


ABILITIES: dict[str, Callable[[Autoencoder], bool]] = {
    "reconstruction": lambda model: "reconstruction" in model.TASKS,
    "features": lambda model: "features" in model.TASKS,
    "prior": lambda model: "sampling" in model.TASKS,
    "classification": lambda model: model.is_classifier,
    "numeric": lambda model: "mse" in model.modality.errors,
    "likelihood": lambda model: model.has_likelihood,
    "exact likelihood": lambda model: model.has_exact_likelihood,
    "density": has_density,
    "code length": has_code_length,
    "diagonal posterior": lambda model: model.has_diagonal_posterior,
    "standard prior": lambda model: model.has_standard_prior,
    "known moments": lambda model: model.code_head in ("z", "z_mean"),
    "codebook": has_codebook,
}
# Which models give a view of their examples a probability of its own.
VIEWS: dict[str, Callable[[Autoencoder], bool]] = {"binarised": is_bernoulli}
