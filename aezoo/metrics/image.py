"""What is measured of images alone: similarity of pictures, and pictures of samples.

Every figure of samples carries the network of its features: `frechet/lenet_mnist_v1`.
Figures of different networks do not compare, and none is the FID of the literature,
which is measured with one particular copy of InceptionV3.
"""

from typing import Any

from aezoo.metrics.definition import PRIOR, MetricDefinition

# Standard deviation of the noise in `denoising_mse`.
DENOISING_SIGMA = 0.5
# An error below 1e-10 counts as that, so that a perfect image has a finite PSNR.
SMALLEST_MSE = 1e-10
# Neighbours of precision and recall, and of density and coverage.
PRECISION_K, DENSITY_K = 3, 5
# Of the kernel distance: random subsets, and the images in each.
NUM_SUBSETS, SUBSET_SIZE = 100, 1000

_HIDDEN = {
    "block": "a rectangle of half the height and half the width, at a random place",
    "half": "the lower half",
    "random": "each {element}, with a probability of one half",
}
_FROM_THE_MODE = "from the mode of the posterior, reconstruction clipped to [0, 1]"
_SIMILARITY: dict[str, Any] = {
    "kind": "reconstruction",
    "is_per_example": True,
    "modalities": ("image",),
}

SIMILARITY = (
    MetricDefinition(
        "psnr",
        unit="dB, peak 1",
        protocol="mean over images of -10 log10(mean over pixels of (x - "
        "reconstruct(x))^2), an error below 1e-10 taken as 1e-10, " + _FROM_THE_MODE,
        computation="image.similarity:psnr",
        higher_is_better=True,
        heading="PSNR",
        format=".2f",
        is_quick=True,
        is_headline=True,
        **_SIMILARITY,
    ),
    MetricDefinition(
        "ssim",
        unit="structural similarity, 1 for equal images",
        protocol="mean over images of SSIM(x, reconstruct(x)): Gaussian window of "
        "11 x 11 pixels, sigma 1.5, K1 0.01, K2 0.03, range 1, mean over channels and "
        "over the pixels whose window lies inside the image (scikit-image), "
        + _FROM_THE_MODE,
        computation="image.similarity:ssim",
        higher_is_better=True,
        heading="SSIM",
        format=".4f",
        package="skimage",
        reference="https://doi.org/10.1109/TIP.2003.819861",
        is_headline=True,
        **_SIMILARITY,
    ),
    MetricDefinition(
        "ms_ssim",
        unit="structural similarity, 1 for equal images",
        protocol="mean over images of multi-scale SSIM(x, reconstruct(x)): the window "
        "of SSIM on as many scales as keep 11 pixels of the shorter side (at most 5; 2 "
        "for 28 pixels), 2 x 2 means between them, the weights of the first scales "
        "divided by their sum, " + _FROM_THE_MODE,
        computation="image.similarity:ms_ssim",
        higher_is_better=True,
        heading="MS-SSIM",
        format=".4f",
        reference="https://doi.org/10.1109/ACSSC.2003.1292216",
        **_SIMILARITY,
    ),
    MetricDefinition(
        "denoising_mse",
        unit="squared error per pixel, pixels in [0, 1]",
        protocol="mean over images and pixels of (x - reconstruct(noisy))^2 against "
        "the clean x, noisy = clip(x + 0.5 * N(0, 1), 0, 1), seed {seed}",
        computation="image.similarity:denoising_mse",
        heading="MSE denoising",
        format=".4f",
        **_SIMILARITY,
    ),
)

_SAMPLES = "{num_samples} samples ({samples}, seed {seed}, rounded to 8 bits)"
_FEATURES = ", in features of {variant}"
_OF_SAMPLES: dict[str, Any] = {
    "kind": "samples",
    "arguments": {"sampler": PRIOR},
    "requires": (PRIOR,),
    "modalities": ("image",),
    "variant": "extractor",
    "has_samplers": True,
}
_HEUSEL = "https://arxiv.org/abs/1706.08500"
_KYNKAANNIEMI = "https://arxiv.org/abs/1904.06991"
_NAEEM = "https://arxiv.org/abs/2002.09797"

SAMPLES = (
    MetricDefinition(
        "frechet",
        unit="squared feature distance",
        protocol="squared Frechet distance of Gaussians with the moments of the images "
        "and of " + _SAMPLES + _FEATURES,
        computation="image.samples:frechet",
        fewest=2,
        heading="Frechet",
        format=".2f",
        reference=_HEUSEL,
        is_headline=True,
        is_published_of_samplers=True,
        **_OF_SAMPLES,
    ),
    MetricDefinition(
        "kernel_distance",
        unit="squared maximum mean discrepancy",
        protocol="unbiased estimate with the kernel (x.y / dim + 1)^3 between the "
        "images and " + _SAMPLES + _FEATURES + f"; mean over {NUM_SUBSETS} random "
        f"subsets of {SUBSET_SIZE:,} (of all if fewer; one estimate if both sets are "
        "no larger), seed {seed}, standard error over subsets",
        computation="image.samples:kernel",
        fewest=2,
        reference="https://arxiv.org/abs/1801.01401",
        **_OF_SAMPLES,
    ),
    MetricDefinition(
        "precision",
        unit="fraction of samples",
        protocol="share of " + _SAMPLES + " within the distance of an image to its "
        f"k-th nearest other image, k = {PRECISION_K}" + _FEATURES,
        computation="image.samples:precision",
        fewest=PRECISION_K + 1,
        higher_is_better=True,
        package="sklearn",
        reference=_KYNKAANNIEMI,
        **_OF_SAMPLES,
    ),
    MetricDefinition(
        "recall",
        unit="fraction of images",
        protocol="share of the images within the distance of a sample to its k-th "
        f"nearest other sample, among {_SAMPLES}, k = {PRECISION_K}" + _FEATURES,
        computation="image.samples:recall",
        fewest=PRECISION_K + 1,
        higher_is_better=True,
        package="sklearn",
        reference=_KYNKAANNIEMI,
        **_OF_SAMPLES,
    ),
    MetricDefinition(
        "density",
        unit="ratio, about 1 for equal distributions",
        protocol="mean over " + _SAMPLES + " of the number of images that have the "
        "sample nearer than their k-th nearest other image, divided by k = "
        f"{DENSITY_K}" + _FEATURES,
        computation="image.samples:density",
        fewest=DENSITY_K + 1,
        higher_is_better=True,
        package="sklearn",
        reference=_NAEEM,
        **_OF_SAMPLES,
    ),
    MetricDefinition(
        "coverage",
        unit="fraction of images",
        protocol="share of the images that have one of " + _SAMPLES + " nearer than "
        f"their k-th nearest other image, k = {DENSITY_K}" + _FEATURES,
        computation="image.samples:coverage",
        fewest=DENSITY_K + 1,
        higher_is_better=True,
        package="sklearn",
        reference=_NAEEM,
        **_OF_SAMPLES,
    ),
    MetricDefinition(
        "reconstruction_frechet",
        kind="samples",
        unit="squared feature distance",
        protocol="squared Frechet distance of Gaussians with the moments of the images "
        "and of their reconstructions (from the mode of the posterior, rounded to 8 "
        "bits)" + _FEATURES,
        computation="image.samples:reconstruction_frechet",
        fewest=2,
        requires=("reconstruction",),
        modalities=("image",),
        variant="extractor",
        reference=_HEUSEL,
    ),
    *(
        MetricDefinition(
            f"imputation_mse/{kind}",
            kind="reconstruction",
            unit="squared error per missing {element}{scale}",
            protocol=f"mean over {{examples}} and what is hidden of them, {hidden}, of "
            "(x - mean completion)^2; the mean of 10 completions by `inpaint`, 50 "
            "steps each, seed {seed}",
            computation=f"image.imputation:{kind}",
            is_per_example=True,
            heading=f"MSE {kind} missing",
            format=".4f",
            requires=("numeric",),
            modalities=("image",),
            reference="https://arxiv.org/abs/1401.4082",
            is_published=False,
        )
        for kind, hidden in _HIDDEN.items()
    ),
)
