"""The grid: one network, one budget, one optimiser, and only the objective changes.

Recipes of the grid take these, so that any two of its rows can be compared. `GRID`
lists the rows as the README shows them, each with what its figures teach.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

# Three strided 3x3 convolutions, a dense layer, and their mirror; 0.17 M parameters.
CONVOLUTIONS: dict[str, Any] = {
    "filters": (16, 32, 32),
    "strides": (2, 2, 2),
    "hidden_units": (128,),
    "activation": "silu",
}
NETWORK: dict[str, Any] = {**CONVOLUTIONS, "latent_dim": 16}
# The same convolutions, to a map of 7x7 vectors; for quantised codes.
MAP_NETWORK: dict[str, Any] = {
    "filters": (16, 32, 32),
    "strides": (2, 2, 1),
    "activation": "silu",
}
BUDGET: dict[str, Any] = {"epochs": 12, "batch_size": 128, "learning_rate": 3e-3}
# Beside the grid, for the best likelihoods: a residual block after each convolution;
# 0.33 M parameters.
RESIDUAL: dict[str, Any] = {
    "filters": (32, 32, 64),
    "strides": (2, 2, 2),
    "hidden_units": (),
    "residual_blocks": 1,
    "latent_dim": 16,
}


@dataclasses.dataclass(frozen=True)
class Objective:
    """A row of the grid.

    Attributes:
        name: Its weights.
        words: What is minimised.
        lesson: What its figures teach beside those of the other rows, in one line;
            empty until they are measured.
        is_matched: Whether it has the grid's network and budget, or the same
            convolutions to a map of codes; else the table says so.
    """

    name: str
    words: str
    lesson: str = ""
    is_matched: bool = True


# Rows by group, in the order of the table.
GRID: Mapping[str, tuple[Objective, ...]] = {
    "Deterministic": (
        Objective("conv_ae_mnist", "squared error"),
        Objective("contractive_conv_ae_mnist", "+ estimated Jacobian of the encoder"),
        Objective(
            "contractive_ae_mnist", "+ exact Jacobian, one layer", is_matched=False
        ),
        Objective("rae_mnist_l2", "RAE: + norm of codes, decoder's weights"),
        Objective("rae_mnist_gp", "RAE: + norm of codes, decoder's gradient"),
        Objective("wae_mnist_mmd", "WAE: + MMD of codes and prior, IMQ kernel"),
        Objective("wae_mnist_sliced", "+ sliced Wasserstein distance to the prior"),
        Objective(
            "masked_ae_mnist", "MAE: hidden patches, transformer", is_matched=False
        ),
    ),
    "Gaussian": (
        Objective("conv_vae_mnist", "VAE: negative ELBO"),
        Objective("beta_vae_mnist", "beta-VAE: KL times 4"),
        Objective("beta_tcvae_mnist", "beta-TCVAE: total correlation times 6"),
        Objective("factor_vae_mnist", "FactorVAE: + total correlation, adversarial"),
        Objective("dip_vae_mnist_i", "DIP-VAE I: + covariance of posterior means"),
        Objective("dip_vae_mnist_ii", "DIP-VAE II: + covariance of codes"),
        Objective("info_vae_mnist", "InfoVAE: weaker KL, + MMD of codes and prior"),
        Objective("conv_vae_mnist_sigma", "sigma-VAE: Gaussian pixels, optimal scale"),
        Objective("conv_vae_mnist_ms_ssim", "MS-SSIM in place of a likelihood"),
        Objective("conditional_vae_mnist", "conditional VAE: given the label"),
        Objective(
            "semi_supervised_vae_mnist",
            "M2: few labels, others marginalised",
            is_matched=False,
        ),
    ),
    "Bounds": (
        Objective("iwae_mnist", "IWAE: bound of 5 samples"),
        Objective("iwae_mnist_miwae", "MIWAE: 2 bounds of 2 samples"),
        Objective("iwae_mnist_ciwae", "CIWAE: half ELBO, half IWAE of 5 samples"),
    ),
    "Posteriors and priors": (
        Objective("flow_vae_mnist_iaf", "posterior by inverse autoregressive flow"),
        Objective("flow_vae_mnist_planar", "posterior by planar flow"),
        Objective("vamp_vae_mnist", "VampPrior of 200 pseudo-inputs"),
        Objective("mixture_vae_mnist", "prior of 100 learned Gaussians"),
        Objective("hyperspherical_vae_mnist", "von Mises-Fisher on the sphere"),
    ),
    "Discrete": (
        Objective("vq_vae_mnist", "VQ-VAE: 7x7 codes of 256"),
        Objective("fsq_mnist", "FSQ: 7x7 codes of 240, by rounding"),
        Objective("categorical_vae_mnist", "20 variables of 10 classes, relaxed"),
    ),
    "Adversarial": (
        Objective("adversarial_ae_mnist", "codes matched to the prior by an adversary"),
        Objective(
            "vae_gan_mnist",
            "VAE-GAN: images compared by an adversary",
            is_matched=False,
        ),
    ),
}
OBJECTIVES = tuple(row for rows in GRID.values() for row in rows)
