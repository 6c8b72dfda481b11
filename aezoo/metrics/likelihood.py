"""How probable a model finds examples: bounds, importance sampling, bits.

Metrics named `.../binarised` are of the modality's view of that name: elements drawn
as 0 or 1 with their value as probability (dynamic binarisation; fixed by the seed).
"""

import dataclasses
from typing import Any

from aezoo.metrics.definition import MetricDefinition

_PER_EXAMPLE = "nats per {example}"
_VAE = "https://arxiv.org/abs/1312.6114"
_IWAE = "https://arxiv.org/abs/1509.00519"
_FIELDS: dict[str, Any] = {"kind": "likelihood", "is_per_example": True}


def _and_binarised(
    definition: MetricDefinition, **changes: Any
) -> tuple[MetricDefinition, MetricDefinition]:
    """A metric of the examples as they are, and the same of binarised ones."""
    binarised = {
        "name": f"{definition.name}/binarised",
        "heading": f"{definition.title} binarised",
        "view": "binarised",
        "is_quick": False,
        **changes,
    }
    return definition, dataclasses.replace(definition, **binarised)


METRICS = (
    *_and_binarised(
        MetricDefinition(
            "elbo",
            unit=_PER_EXAMPLE,
            protocol="mean over {examples} of log p(x|z) - KL(q(z|x)||p(z)), one "
            "z ~ q(z|x) per {example}, seed {seed}, KL {kl} with weight 1{view}",
            computation="metrics.likelihood:elbo",
            higher_is_better=True,
            heading="ELBO",
            format=".2f",
            requires=("likelihood",),
            may_be_density=True,
            reference=_VAE,
            is_quick=True,
            **_FIELDS,
        )
    ),
    *_and_binarised(
        MetricDefinition(
            "reconstruction_nll",
            unit=_PER_EXAMPLE,
            protocol="mean over {examples} of -log p(x|z), one z ~ q(z|x) per "
            "{example}, seed {seed}: the first part of the negative ELBO{view}",
            computation="metrics.likelihood:reconstruction_nll",
            heading="-log p(x|z)",
            format=".2f",
            requires=("likelihood",),
            may_be_density=True,
            reference=_VAE,
            is_quick=True,
            **_FIELDS,
        )
    ),
    *_and_binarised(
        MetricDefinition(
            "kl",
            unit=_PER_EXAMPLE,
            protocol="mean over {examples} of KL(q(z|x)||p(z)) {kl}: the second part "
            "of the negative ELBO{view}",
            computation="metrics.likelihood:kl",
            higher_is_better=None,
            heading="KL",
            format=".2f",
            requires=("likelihood",),
            reference=_VAE,
            is_quick=True,
            is_headline=True,
            **_FIELDS,
        )
    ),
    MetricDefinition(
        "log_likelihood",
        unit="nats per {example}, density",
        protocol="mean over {examples} of the exact log p(x)",
        computation="metrics.likelihood:log_likelihood",
        higher_is_better=True,
        heading="log p(x)",
        format=".1f",
        requires=("exact likelihood",),
        is_quick=True,
        **_FIELDS,
    ),
    *_and_binarised(
        MetricDefinition(
            "iwae_nll",
            unit=_PER_EXAMPLE,
            protocol="mean over {examples} of -log(1/K sum_k p(x|z_k) p(z_k) / "
            "q(z_k|x)), z_k ~ q(z|x), K = {importance_samples}, seed {seed}: an upper "
            "bound on -log p(x) in expectation, tight as K grows{view}",
            computation="metrics.likelihood:iwae_nll",
            heading="NLL (IWAE)",
            format=".2f",
            requires=("likelihood",),
            may_be_density=True,
            reference=_IWAE,
            is_headline=True,
            **_FIELDS,
        ),
        heading="NLL binarised",
    ),
    *_and_binarised(
        MetricDefinition(
            "bits_per_dim",
            unit="bits per {dimension}",
            protocol="importance-sampled -log2 p(x) / number of {elements}, K = "
            "{importance_samples}, seed {seed}{dequantisation}",
            computation="metrics.likelihood:bits_per_dim",
            heading="bits per dim",
            format=".3f",
            requires=("likelihood", "code length"),
            reference="https://arxiv.org/abs/1511.01844",
            **_FIELDS,
        ),
        protocol="importance-sampled -log2 p(x) / number of {elements}, K = "
        "{importance_samples}, seed {seed}{view}; no dequantisation, the {elements} "
        "being binary",
        reference=None,
    ),
)
