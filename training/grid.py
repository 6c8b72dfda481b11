"""The grid: one network, one budget, one optimiser, and only the objective changes.

Recipes of the grid take these, so that any two of its rows can be compared. `GRID`
lists the rows as the README shows them, each with what its figures teach.

What a row leaves to choose, such as the weight of a term, is its paper's, or is chosen
on images held out of the training split (`python -m training.train NAME --hold-out
5000`), never on the test split. What its figures teach rests on several seeds.
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
        lesson: What its figures teach beside those of the other rows, in one line.
            Its own words hold no number and no comparison: these are fields, which
            `training.lessons` fills from what was measured.
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
                "The error to beat. No prior: it samples from a fitted mixture alone, "
                "at a Frechet distance of {frechet/gmm}."
            ),
        ),
        Objective(
            "conv_ae_mnist_denoising",
            "+ input noise of sigma 0.5",
            lesson=(
                "Trained to restore: {denoising_mse vs conv_ae_mnist:%} from noisy "
                "images, {mse vs conv_ae_mnist:%} from clean ones."
            ),
        ),
        Objective(
            "conv_ae_mnist_sparse",
            "+ L1 norm of rectified codes",
            lesson=(
                "There are few units to spare: {active_code_fraction} still fire, with "
                "{mse vs conv_ae_mnist:%}."
            ),
        ),
        Objective(
            "contractive_conv_ae_mnist",
            "+ estimated Jacobian of the encoder",
            lesson=(
                "Codes that shall move little with the input: {denoising_mse vs "
                "conv_ae_mnist:%} from noisy images, {mse vs conv_ae_mnist:%} from "
                "clean ones."
            ),
        ),
        Objective(
            "contractive_ae_mnist",
            "+ exact Jacobian, one layer",
            lesson=(
                "One layer under an exact penalty: {mse vs conv_ae_mnist:%}, "
                "{frechet/gmm vs conv_ae_mnist}."
            ),
            is_matched=False,
        ),
        Objective(
            "rae_mnist_l2",
            "RAE: + norm of codes, decoder's weights",
            lesson=(
                "Small codes and a smooth decoder: {frechet/gmm vs conv_ae_mnist}, "
                "{mse vs conv_ae_mnist:%}."
            ),
        ),
        Objective(
            "rae_mnist_gp",
            "RAE: + norm of codes, decoder's gradient",
            lesson=(
                "A penalty on the decoder's gradient needs gradients of gradients; "
                "beside one on its weights: {frechet/gmm vs rae_mnist_l2}, {mse vs "
                "rae_mnist_l2:%}."
            ),
        ),
        Objective(
            "wae_mnist_mmd",
            "WAE: + MMD of codes and prior, IMQ kernel",
            lesson=(
                "Codes are drawn to the prior by a kernel. Samples from the prior "
                "beside those from a fitted mixture: {frechet vs frechet/gmm}."
            ),
        ),
        Objective(
            "wae_mnist_sliced",
            "+ sliced Wasserstein distance to the prior",
            lesson=(
                "Random directions in place of a kernel: {mse vs wae_mnist_mmd:%}, "
                "{frechet vs wae_mnist_mmd}, {frechet/gmm vs wae_mnist_mmd}."
            ),
        ),
        Objective(
            "masked_ae_mnist",
            "MAE: hidden patches, transformer",
            lesson=(
                "A code per patch keeps most of the image, so its error compares with "
                "no flat code's: {linear_probe vs conv_ae_mnist}."
            ),
            is_matched=False,
        ),
    ),
    "Gaussian": (
        Objective(
            "conv_vae_mnist",
            "VAE: negative ELBO",
            lesson=(
                "The reference. Its samples from the prior beside those from a mixture "
                "fitted to its codes: {frechet vs frechet/gmm}."
            ),
        ),
        Objective(
            "beta_vae_mnist",
            "beta-VAE: KL times 4",
            lesson=(
                "A KL of more weight: {kl/binarised vs conv_vae_mnist}, "
                "{total_correlation/gaussian vs conv_vae_mnist:%}, {iwae_nll/binarised "
                "vs conv_vae_mnist}."
            ),
        ),
        Objective(
            "beta_tcvae_mnist",
            "beta-TCVAE: total correlation times 6",
            lesson=(
                "{active_units} units stay active: {iwae_nll/binarised vs "
                "beta_vae_mnist}. On drawn shapes: {beta_tcvae_shapes.mig vs "
                "beta_vae_shapes_b4}; {beta_tcvae_shapes.mig vs factor_vae_shapes}."
            ),
        ),
        Objective(
            "factor_vae_mnist",
            "FactorVAE: + total correlation, adversarial",
            lesson=(
                "A discriminator tells dependent units: {total_correlation/gaussian vs "
                "conv_vae_mnist:%}, {iwae_nll/binarised vs conv_vae_mnist}. What is "
                "left beyond the covariance, so few images cannot tell."
            ),
        ),
        Objective(
            "dip_vae_mnist_i",
            "DIP-VAE I: + covariance of posterior means",
            lesson=(
                "Uncorrelated means, not posteriors: {active_units} units stay active, "
                "{iwae_nll/binarised vs conv_vae_mnist}."
            ),
        ),
        Objective(
            "dip_vae_mnist_ii",
            "DIP-VAE II: + covariance of codes",
            lesson=(
                "Uncorrelated codes: {active_units vs conv_vae_mnist}, "
                "{iwae_nll/binarised vs conv_vae_mnist}."
            ),
        ),
        Objective(
            "info_vae_mnist",
            "InfoVAE: weaker KL, + MMD of codes and prior",
            lesson=(
                "A KL of less weight: {kl/binarised vs conv_vae_mnist}, {mse vs "
                "conv_vae_mnist:%}, {frechet vs conv_vae_mnist}."
            ),
        ),
        Objective(
            "conv_vae_mnist_sigma",
            "sigma-VAE: Gaussian pixels, optimal scale",
            lesson=(
                "Gaussian pixels of one fitted scale: {mse vs conv_vae_mnist:%}. The "
                "code holds a KL of {kl}; of samples from the prior: {frechet vs "
                "conv_vae_mnist}."
            ),
        ),
        Objective(
            "conv_vae_mnist_ms_ssim",
            "MS-SSIM in place of a likelihood",
            lesson=(
                "Structure in place of pixels: {ms_ssim vs conv_vae_mnist}, {mse vs "
                "conv_vae_mnist:%}."
            ),
        ),
        Objective(
            "conditional_vae_mnist",
            "conditional VAE: given the label",
            lesson=(
                "Samples of every class alike: {frechet vs conv_vae_mnist}. The "
                "table's figures are without labels: {elbo/binarised vs "
                "conv_vae_mnist}. Given each image's label: "
                "{elbo/binarised/given_labels vs conv_vae_mnist.elbo/binarised}."
            ),
        ),
        Objective(
            "semi_supervised_vae_mnist",
            "M2: few labels, others marginalised",
            lesson=(
                "Few labels, few epochs: {classification_accuracy} of the test images "
                "are classified right, with {mse vs conv_vae_mnist:%}."
            ),
            is_matched=False,
        ),
    ),
    "Bounds": (
        Objective(
            "iwae_mnist",
            "IWAE: bound of 5 samples",
            lesson=(
                "A bound of several samples lets the posterior be inexact: "
                "{iwae_nll/binarised vs conv_vae_mnist}, {elbo/binarised vs "
                "conv_vae_mnist}."
            ),
        ),
        Objective(
            "iwae_mnist_miwae",
            "MIWAE: 2 bounds of 2 samples",
            lesson=(
                "Doubly reparameterised gradients: {iwae_nll/binarised vs "
                "conv_vae_mnist}, {iwae_nll/binarised vs iwae_mnist}; {elbo/binarised "
                "vs iwae_mnist}."
            ),
        ),
        Objective(
            "iwae_mnist_ciwae",
            "CIWAE: half ELBO, half IWAE of 5 samples",
            lesson=(
                "The part that is the ELBO holds the encoder to it: "
                "{iwae_nll/binarised vs conv_vae_mnist}, {iwae_nll/binarised vs "
                "iwae_mnist}; {elbo/binarised vs iwae_mnist}."
            ),
        ),
    ),
    "Posteriors and priors": (
        Objective(
            "flow_vae_mnist_iaf",
            "posterior by inverse autoregressive flow",
            lesson=(
                "A posterior that need not be Gaussian: {iwae_nll/binarised vs "
                "conv_vae_mnist}, {elbo/binarised vs conv_vae_mnist}."
            ),
        ),
        Objective(
            "flow_vae_mnist_planar",
            "posterior by planar flow",
            lesson=(
                "Ten planar flows beside four autoregressive ones: {iwae_nll/binarised "
                "vs flow_vae_mnist_iaf}, {elbo/binarised vs flow_vae_mnist_iaf}; "
                "{elbo/binarised vs conv_vae_mnist}."
            ),
        ),
        Objective(
            "vamp_vae_mnist",
            "VampPrior of 200 pseudo-inputs",
            lesson=(
                "A prior of learned images' posteriors: {iwae_nll/binarised vs "
                "conv_vae_mnist}, {elbo/binarised vs conv_vae_mnist}, {frechet vs "
                "conv_vae_mnist}."
            ),
        ),
        Objective(
            "mixture_vae_mnist",
            "prior of 100 learned Gaussians",
            lesson=(
                "A learned prior without pseudo-inputs: {iwae_nll/binarised vs "
                "vamp_vae_mnist}, {frechet vs vamp_vae_mnist}; {frechet vs "
                "conv_vae_mnist}."
            ),
        ),
        Objective(
            "hyperspherical_vae_mnist",
            "von Mises-Fisher on the sphere",
            lesson=(
                "Made for few dimensions: {iwae_nll/binarised vs conv_vae_mnist}, "
                "{elbo/binarised vs conv_vae_mnist}."
            ),
        ),
    ),
    "Discrete": (
        Objective(
            "vq_vae_mnist",
            "VQ-VAE: 7x7 codes of 256",
            lesson=(
                "A map of indices in the place of a flat code: {mse vs "
                "conv_ae_mnist:%}. {codebook_usage} of the codebook is used."
            ),
        ),
        Objective(
            "fsq_mnist",
            "FSQ: 7x7 codes of 240, by rounding",
            lesson=(
                "No codebook, no commitment, no restarts: {mse vs vq_vae_mnist:%}. "
                "{codebook_usage} of the codes are used."
            ),
        ),
        Objective(
            "categorical_vae_mnist",
            "20 variables of 10 classes, relaxed",
            lesson=(
                "Relaxed one-hot codes: {iwae_nll/binarised vs conv_vae_mnist}, "
                "{elbo/binarised vs conv_vae_mnist}. What the ELBO lacks beyond the "
                "NLL is its posterior's."
            ),
        ),
    ),
    "Adversarial": (
        Objective(
            "adversarial_ae_mnist",
            "codes matched to the prior by an adversary",
            lesson=(
                "An adversary in the place of MMD: {frechet vs wae_mnist_mmd}, {mse vs "
                "wae_mnist_mmd:%}."
            ),
        ),
        Objective(
            "vae_gan_mnist",
            "VAE-GAN: images compared by an adversary",
            lesson=(
                "Images compared by an adversary's features: {reconstruction_frechet "
                "vs conv_vae_mnist}, {mse vs conv_vae_mnist:%}."
            ),
            is_matched=False,
        ),
    ),
}
OBJECTIVES = tuple(row for rows in GRID.values() for row in rows)
