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
        Objective(
            "conv_ae_mnist",
            "squared error",
            lesson=(
                "The error to beat. No prior: it samples by a fitted mixture "
                "alone, and well (6.7)."
            ),
        ),
        Objective("conv_ae_mnist_denoising", "+ input noise of sigma 0.5"),
        Objective("conv_ae_mnist_sparse", "+ L1 norm of rectified codes"),
        Objective(
            "contractive_conv_ae_mnist",
            "+ estimated Jacobian of the encoder",
            lesson=(
                "Codes that move less with the input: 13% less error from "
                "noisy images, 13% more from clean ones."
            ),
        ),
        Objective(
            "contractive_ae_mnist",
            "+ exact Jacobian, one layer",
            lesson=(
                "One layer under an exact penalty is smooth and blurred: more "
                "than three times the error, no samples worth the name."
            ),
            is_matched=False,
        ),
        Objective(
            "rae_mnist_l2",
            "RAE: + norm of codes, decoder's weights",
            lesson=(
                "Small codes and a smooth decoder: the best samples by "
                "mixture of the deterministic rows, for 2% more error."
            ),
        ),
        Objective(
            "rae_mnist_gp",
            "RAE: + norm of codes, decoder's gradient",
            lesson=(
                "The penalty on the decoder's gradient costs three times the "
                "time and gains nothing over the one on its weights."
            ),
        ),
        Objective(
            "wae_mnist_mmd",
            "WAE: + MMD of codes and prior, IMQ kernel",
            lesson=(
                "Codes come near the prior, not onto it: samples are far "
                "better from a mixture than from the prior."
            ),
        ),
        Objective(
            "wae_mnist_sliced",
            "+ sliced Wasserstein distance to the prior",
            lesson=(
                "Random directions in place of a kernel: a little behind MMD "
                "in every column at this size."
            ),
        ),
        Objective(
            "masked_ae_mnist",
            "MAE: hidden patches, transformer",
            lesson=(
                "The best probe by far (98.3%), of a code per patch: it keeps "
                "most of the image, so its error compares with no flat "
                "code's."
            ),
            is_matched=False,
        ),
    ),
    "Gaussian": (
        Objective(
            "conv_vae_mnist",
            "VAE: negative ELBO",
            lesson=(
                "The reference. Its codes do not fill the prior: a mixture "
                "takes the Frechet distance from 34.5 to 6.9."
            ),
        ),
        Objective(
            "beta_vae_mnist",
            "beta-VAE: KL times 4",
            lesson=(
                "A KL of 9.8 nats instead of 23.1: units hardly depend on "
                "each other, and 17 nats of ELBO are gone."
            ),
        ),
        Objective(
            "beta_tcvae_mnist",
            "beta-TCVAE: total correlation times 6",
            lesson=(
                "Of 16 units 9 stay active; on MNIST that is all it buys. On "
                "shapes it has by far the best MIG."
            ),
        ),
        Objective(
            "factor_vae_mnist",
            "FactorVAE: + total correlation, adversarial",
            lesson=(
                "The mildest of the disentanglers: a quarter of the total "
                "correlation for 3.6 nats of ELBO."
            ),
        ),
        Objective(
            "dip_vae_mnist_i",
            "DIP-VAE I: + covariance of posterior means",
            lesson=(
                "Uncorrelated means, not posteriors: all units stay active, "
                "at 10 nats of ELBO."
            ),
        ),
        Objective(
            "dip_vae_mnist_ii",
            "DIP-VAE II: + covariance of codes",
            lesson=(
                "Uncorrelated codes switch units off (10 of 16 are active); 9 "
                "nats of ELBO."
            ),
        ),
        Objective(
            "info_vae_mnist",
            "InfoVAE: weaker KL, + MMD of codes and prior",
            lesson=(
                "A weaker KL keeps 8 nats more in the code and lowers the "
                "error by 14%; the prior fits no better."
            ),
        ),
        Objective(
            "conv_vae_mnist_sigma",
            "sigma-VAE: Gaussian pixels, optimal scale",
            lesson=(
                "Gaussian pixels of one fitted scale: the lowest error of the "
                "Gaussian rows; 56 nats in the code, which the prior fits "
                "worst but for M2."
            ),
        ),
        Objective(
            "conv_vae_mnist_ms_ssim",
            "MS-SSIM in place of a likelihood",
            lesson=(
                "Structure in place of pixels: more squared error than any VAE "
                "but the blurred ones, and yet the structure (MS-SSIM 0.967) of "
                "codes that hold far more."
            ),
        ),
        Objective(
            "conditional_vae_mnist",
            "conditional VAE: given the label",
            lesson=(
                "The label carries the class, so samples from the prior are "
                "three times better; without labels it is a worse VAE."
            ),
        ),
        Objective(
            "semi_supervised_vae_mnist",
            "M2: few labels, others marginalised",
            lesson=(
                "77% right with a hundred labels after three epochs; images "
                "suffer, and both would gain from a longer training."
            ),
            is_matched=False,
        ),
    ),
    "Bounds": (
        Objective(
            "iwae_mnist",
            "IWAE: bound of 5 samples",
            lesson=(
                "The encoder may be less exact: better samples and errors "
                "than the VAE at a similar ELBO, for more than four times the "
                "time."
            ),
        ),
        Objective(
            "iwae_mnist_miwae",
            "MIWAE: 2 bounds of 2 samples",
            lesson=(
                "Doubly reparameterised gradients: four samples in all, and an "
                "ELBO 1.7 nats above that of IWAE with five."
            ),
        ),
        Objective(
            "iwae_mnist_ciwae",
            "CIWAE: half ELBO, half IWAE of 5 samples",
            lesson=(
                "The half that is the ELBO keeps the encoder exact: 1.5 nats of "
                "ELBO above IWAE."
            ),
        ),
    ),
    "Posteriors and priors": (
        Objective(
            "flow_vae_mnist_iaf",
            "posterior by inverse autoregressive flow",
            lesson=(
                "A richer posterior is worth 1.6 nats of ELBO for a tenth more time."
            ),
        ),
        Objective(
            "flow_vae_mnist_planar",
            "posterior by planar flow",
            lesson=(
                "Ten planar flows do at least what four autoregressive ones do: "
                "1.9 nats of ELBO above the VAE."
            ),
        ),
        Objective(
            "vamp_vae_mnist",
            "VampPrior of 200 pseudo-inputs",
            lesson=(
                "The best ELBO of the grid, 2.9 nats above the VAE's, and the "
                "best samples from a prior, for twice the VAE's time."
            ),
        ),
        Objective(
            "mixture_vae_mnist",
            "prior of 100 learned Gaussians",
            lesson=(
                "Nearly the VampPrior's gain at the plain VAE's cost, and "
                "samples from the prior itself as good as from a fitted "
                "mixture."
            ),
        ),
        Objective(
            "hyperspherical_vae_mnist",
            "von Mises-Fisher on the sphere",
            lesson=(
                "Made for few dimensions: at 16 units the sphere costs 3.7 "
                "nats of ELBO."
            ),
        ),
    ),
    "Discrete": (
        Objective(
            "vq_vae_mnist",
            "VQ-VAE: 7x7 codes of 256",
            lesson=(
                "The lowest error of the grid: 49 codes hold up to 392 bits. "
                "All of the codebook is used."
            ),
        ),
        Objective(
            "fsq_mnist",
            "FSQ: 7x7 codes of 240, by rounding",
            lesson=(
                "No codebook, no commitment, no restarts, and nearly the "
                "VQ-VAE's error; 97% of the codes are used."
            ),
        ),
        Objective(
            "categorical_vae_mnist",
            "20 variables of 10 classes, relaxed",
            lesson=(
                "Relaxed one-hot codes train slowly: 21 nats of ELBO behind "
                "Gaussian ones at this budget."
            ),
        ),
    ),
    "Adversarial": (
        Objective(
            "adversarial_ae_mnist",
            "codes matched to the prior by an adversary",
            lesson=(
                "Meets the prior better than MMD does (25.6 to 37.2), for 9% "
                "more error than it."
            ),
        ),
        Objective(
            "vae_gan_mnist",
            "VAE-GAN: images compared by an adversary",
            lesson=(
                "Sharp: the most lifelike reconstructions of the VAEs "
                "(Frechet 1.0), with more squared error and four times the "
                "time."
            ),
            is_matched=False,
        ),
    ),
}
OBJECTIVES = tuple(row for rows in GRID.values() for row in rows)
