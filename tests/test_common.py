"""Every family keeps every promise: families x checks, on either backend.

A family of each kind goes through all checks; families with an objective of their own
through those of the objective; what a family inherits is checked at the family that it
comes from. Of the others a default run takes a few, always the same; `make
test-exhaustive` checks everything of everyone.
"""

import itertools
import os

import numpy as np
import pytest

import aezoo
from aezoo.modalities import Image
from aezoo.registry import find_family
from tests import checks
from tests.draws import chosen, exhaustive, parent_of, some_of

FAMILIES = aezoo.list_families()
# Deterministic; with a likelihood, discrete codes, labels, attention, chained latents.
KINDS = {"dense_ae", "conv_vae", "vq_vae", "conditional_vae", "masked_ae", "draw"}
# Not those that JAX compiles slowly.
if checks.BACKEND == "jax":
    KINDS -= {"masked_ae", "draw"}


def stands_for_others(family: str) -> bool:
    """Whether a default run checks what other families have in common with this one."""
    return family in KINDS if checks.BACKEND == "jax" else parent_of(family) is None


OTHERS = [family for family in FAMILIES if not stands_for_others(family)]
CHOSEN = some_of(OTHERS, at_most=1 if checks.BACKEND == "jax" else 3)


def is_checked_elsewhere(family: str, check) -> bool:
    """Whether a check runs what the family inherits, or what one of each kind runs."""
    if stands_for_others(family) and family in KINDS:
        return False
    if not stands_for_others(family) and family not in CHOSEN:
        return True
    if checks.BACKEND == "jax":
        return check not in checks.CORE_CHECKS
    return check in checks.SHARED_CHECKS


def cases(listed) -> list:
    """One case per family and check; what is checked elsewhere is exhaustive."""
    return [
        pytest.param(
            family,
            check,
            id=f"{family}-{check.__name__[6:]}",
            marks=[exhaustive] * is_checked_elsewhere(family, check),
        )
        for family, check in itertools.product(FAMILIES, listed)
    ]


def families() -> list:
    """One case per family; all but three kinds are exhaustive."""
    return chosen(FAMILIES, some_of(KINDS, at_most=3))


CASES, FILE_CASES = cases(checks.CHECKS), cases(checks.FILE_CHECKS)
# Arguments on top of a family's tiny ones. A family takes part in every variant whose
# arguments it has and allows.
VARIANTS = {
    "mse": {"reconstruction_loss": "mse", "output_activation": "linear"},
    "mae": {"reconstruction_loss": "mae"},
    "smooth_l1": {"reconstruction_loss": "smooth_l1", "smooth_l1_beta": 0.1},
    "bce": {"reconstruction_loss": "bce", "output_activation": "sigmoid"},
    "ms_ssim": {"reconstruction_loss": "ms_ssim", "input_shape": [12, 11, 3]},
    "sparsity": {"sparsity": 0.3},
    "gaussian_noise": {"corruption": "gaussian", "corruption_level": 0.2},
    "masking": {"corruption": "masking", "corruption_level": 0.3},
    "salt_and_pepper": {"corruption": "salt_and_pepper", "corruption_level": 0.3},
    "bernoulli": {"likelihood": "bernoulli", "likelihood_scale": "learned"},
    "gaussian_fixed": {"likelihood": "gaussian", "likelihood_scale": 0.3},
    "gaussian_learned": {
        "likelihood": "gaussian",
        "likelihood_scale": "learned",
        "output_activation": "linear",
    },
    "laplace": {"likelihood": "laplace", "likelihood_scale": "learned"},
    "gaussian_optimal": {"likelihood": "gaussian", "likelihood_scale": "optimal"},
    "laplace_optimal": {"likelihood": "laplace", "likelihood_scale": "optimal"},
    "beta": {"beta": 4.0},
    "total_correlation": {"dataset_size": 7, "alpha": 0.0, "beta": 8.0, "gamma": 2.0},
    "ema": {"codebook_update": "ema", "restart_below": 0.1},
    "restarted_gradient": {"codebook_update": "gradient", "restart_below": 0.1},
    "hard": {"hard": True, "anneal_steps": 0},
    "kl_warmup": {"kl_warmup_steps": 10, "beta": 2.0},
    "covariance_of_means": {"kind": "i", "lambda_od": 0.5, "lambda_d": 5.0},
    "perceptual": {"perceptual": "lenet_mnist_v1", "perceptual_weight": 2.0},
    "no_discriminator": {"discriminator_filters": []},
    "late_generator": {"discriminator_start": 5, "adversarial_weight": 0.1},
    "mmd_vae": {"alpha": 1.0, "mmd_weight": 100.0, "kernel": "imq"},
    "first_features": {"feature_layer": 1, "discriminator_filters": [4, 4, 4]},
    "resize_conv": {"upsampling": "resize_conv"},
    "transposed_conv": {"upsampling": "transposed_conv"},
    "subpixel": {"upsampling": "subpixel"},
    "one_stride": {"filters": [4, 6, 4], "strides": [2, 1, 2]},
    "no_hidden_layer": {"hidden_units": []},
    "relu_code": {"code_activation": "relu"},
    "residual": {"residual_blocks": 1},
    "batch_normalization": {"residual_blocks": 2, "normalization": "batch"},
    "group_normalization": {"residual_blocks": 1, "normalization": "group"},
    "binarize": {"binarize": True},
    "gradient_penalty": {"penalty": "gradient", "penalty_weight": 0.1},
    "no_penalty": {"penalty": None, "code_norm_weight": 0.3},
    "rbf_kernel": {"kernel": "rbf"},
    "normalize_patches": {"normalize_patches": True, "mask_ratio": 0.25},
    "hutchinson": {"estimator": "hutchinson"},
    "sliced_wasserstein": {"divergence": "sliced_wasserstein", "num_projections": 7},
    "miwae": {"bound": "miwae", "num_samples": 2, "num_bounds": 2},
    "ciwae": {"bound": "ciwae", "elbo_weight": 0.3, "kl_warmup_steps": 5},
    "doubly_reparameterised": {"gradient": "doubly_reparameterised"},
    "pseudo_inputs": {"num_pseudo_inputs": 3},
    "prior_components": {"num_components": 1},
    "planar": {"flow": "planar", "num_flows": 3},
    "iaf": {"flow": "iaf", "num_flows": 1, "flow_units": []},
    "whole_images": {"read_size": None, "write_size": None},
    "linear_canvas": {
        "read_size": 3,
        "likelihood": "gaussian",
        "output_activation": "linear",
    },
    "free_bits": {"free_bits": 0.5, "kl_warmup_steps": 10},
    "rematerialise": {"rematerialise": True},
    "discretized_logistic": {
        "blocks": [[2, 1], [4, 2]],
        "likelihood": "discretized_logistic",
        "input_shape": [7, 9, 3],
    },
    "odd_residual": {"input_shape": [7, 9, 3], "residual_blocks": 1},
    "odd_rgb": {"input_shape": [7, 9, 3]},
    "odd_subpixel": {"input_shape": [7, 9, 3], "upsampling": "subpixel"},
    "odd_transposed": {"input_shape": [7, 9, 3], "upsampling": "transposed_conv"},
}
# Families and variants whose values they refuse.
REFUSED = {
    ("kl_autoencoder", "binarize"),
    ("semi_supervised_vae", "gaussian_optimal"),
    ("semi_supervised_vae", "laplace_optimal"),
    ("gan", "no_discriminator"),
    # no halves of odd sides; values of any size
    *(
        (family, name)
        for family in ("restoration", "restoration_vae")
        for name in ("bce", "ms_ssim", "odd_rgb")
    ),
    ("vae_gan", "no_discriminator"),
}


def makes_sense(family, arguments: dict) -> bool:
    """Whether a variant is one of the family's modality."""
    modality = family.modality or Image(28, 28, 1)
    if not isinstance(modality, Image) and "input_shape" in arguments:
        return False
    choices = {
        "likelihood": modality.likelihoods,
        "reconstruction_loss": modality.errors,
        "corruption": modality.corruptions,
        "output_activation": modality.activations,
    }
    if arguments.get("binarize") and "bernoulli" not in modality.likelihoods:
        return False
    return all(
        arguments[name] in choices[name] for name in arguments if name in choices
    )


def variants() -> list:
    """One case per family and variant that fit together.

    A default run takes those whose arguments are not inherited, once for each kind of
    network; on JAX once.
    """
    cases: list = []
    seen: set[tuple[str, ...]] = set()
    for family, (name, arguments) in itertools.product(FAMILIES, VARIANTS.items()):
        found = find_family(family)
        known = {"input_shape", *checks.arguments_of(found)}
        if not makes_sense(found, arguments):
            continue
        if not set(arguments) <= known or (family, name) in REFUSED:
            continue
        parent = parent_of(family)
        is_inherited = parent is not None and set(arguments) <= {
            "input_shape",
            *checks.arguments_of(find_family(parent)),
        }
        config = {**found.tiny, **arguments}
        network = (found.network.kind,) if checks.BACKEND != "jax" else ()
        is_repeated = (name, *network) in seen
        is_not_chosen = family in OTHERS and family not in CHOSEN
        marks = [exhaustive] * (is_inherited or is_repeated or is_not_chosen)
        seen |= set() if marks else {(name, *network)}
        cases.append(pytest.param(family, config, id=f"{family}-{name}", marks=marks))
    return cases


def test_a_model_of_averaged_weights_is_fitted_once_more() -> None:
    """On JAX, averages that share buffers with weights cannot be trained on."""
    model = aezoo.create("dense_ae", **find_family("dense_ae").tiny)
    model.compile(aezoo.optimizers.Adam(use_ema=True, ema_momentum=0.9))
    x = np.random.default_rng(0).random((8, *model.input_shape), "float32")
    first, second = (
        model.fit(x, epochs=5, verbose=0).history["loss"][-1] for _ in range(2)
    )
    assert second < first


def test_there_are_families_and_checks_to_run() -> None:
    assert len(FAMILIES) >= 6
    assert set(FAMILIES) >= KINDS
    assert len(CASES) == len(FAMILIES) * len(checks.CHECKS) > 100
    assert len(variants()) > 60
    assert os.environ.get("KERAS_BACKEND", "tensorflow") == checks.BACKEND


def test_every_check_is_in_a_list() -> None:
    listed = {
        *checks.CHECKS,
        *checks.FILE_CHECKS,
        checks.check_mixed_precision,
        checks.check_overfits_four_images,
    }
    defined = {f for name, f in vars(checks).items() if name.startswith("check_")}
    assert listed == defined


@pytest.mark.parametrize(("family", "check"), CASES)
def test_family(family, check) -> None:
    found = find_family(family)
    check(found, dict(found.tiny))


@pytest.mark.parametrize(("family", "check"), FILE_CASES)
def test_family_with_files(family, check, tmp_path) -> None:
    found = find_family(family)
    check(found, dict(found.tiny), tmp_path)


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=exhaustive)]
)
@pytest.mark.parametrize("family", families())
def test_mixed_precision(family, policy) -> None:
    found = find_family(family)
    checks.check_mixed_precision(found, dict(found.tiny), policy)


@pytest.mark.parametrize(("family", "config"), variants())
def test_variant(family, config) -> None:
    for check in checks.UNTRAINED_CHECKS:
        check(find_family(family), config)


@pytest.mark.slow
@pytest.mark.parametrize("family", families())
def test_overfits_four_images(family) -> None:
    found = find_family(family)
    checks.check_overfits_four_images(found, dict(found.tiny))
