"""How near reconstructions come to the examples."""

from aezoo.metrics.definition import MetricDefinition

_HIDDEN = {
    "block": "a rectangle of half the height and half the width, at a random place",
    "half": "the lower half",
    "random": "each {element}, with a probability of one half",
}
_FROM_THE_MODE = ", from the mode of the posterior{clipped}"

METRICS = (
    MetricDefinition(
        "mse",
        kind="reconstruction",
        unit="squared error per {element}{scale}",
        protocol="mean over {examples} and {elements} of (x - reconstruct(x))^2"
        + _FROM_THE_MODE,
        computation="metrics.reconstruction:mse",
        is_per_example=True,
        heading="MSE",
        format=".5f",
        requires=("numeric",),
        is_quick=True,
        is_headline=True,
    ),
    MetricDefinition(
        "mae",
        kind="reconstruction",
        unit="absolute error per {element}{scale}",
        protocol="mean over {examples} and {elements} of |x - reconstruct(x)|"
        + _FROM_THE_MODE,
        computation="metrics.reconstruction:mae",
        is_per_example=True,
        heading="MAE",
        format=".5f",
        requires=("numeric",),
        is_quick=True,
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
