"""What is measured of sentences alone: words that are right, and how samples vary."""

from types import MappingProxyType
from typing import Any

from aezoo.metrics.definition import PRIOR, MetricDefinition

# Longest n-grams of self-BLEU, and what counts in place of no match.
BLEU_ORDER, NO_MATCH = 4, 0.1

_TEXT: dict[str, Any] = {"modalities": ("text",)}
_SAMPLES: dict[str, Any] = {
    "kind": "samples",
    "arguments": MappingProxyType({"sampler": PRIOR}),
    "requires": (PRIOR,),
    "has_samplers": True,
    "fewest": 2,
    **_TEXT,
}

LIKELIHOOD = (
    MetricDefinition(
        "perplexity",
        kind="likelihood",
        unit="equally probable words",
        protocol="exp of the mean over words, the ends of sentences among them, of "
        "-log(1/K sum_k p(x|z_k) p(z_k) / q(z_k|x)), z_k ~ q(z|x), K = "
        "{importance_samples}, seed {seed}; words outside the vocabulary are one word",
        computation="metrics.text:perplexity",
        format=".2f",
        requires=("likelihood",),
        is_headline=True,
        **_TEXT,
    ),
)
RECONSTRUCTION = (
    MetricDefinition(
        "token_accuracy",
        kind="reconstruction",
        unit="share of words",
        protocol="mean over sentences of the share of their words, each at its place, "
        "that greedy decoding of the posterior's mode gives",
        computation="metrics.text:token_accuracy",
        is_per_example=True,
        higher_is_better=True,
        format=".3f",
        is_quick=True,
        is_headline=True,
        **_TEXT,
    ),
)
_OF_SAMPLES = " of {num_samples} sentences, seed {seed}: {samples}"
SAMPLES = (
    *(
        MetricDefinition(
            f"distinct_{n}",
            unit=f"share of {grams}",
            protocol=f"number of different {grams} over the number of all"
            + _OF_SAMPLES,
            computation="metrics.text:distinct",
            **{
                **_SAMPLES,
                "arguments": MappingProxyType({"sampler": PRIOR, "order": n}),
            },
            higher_is_better=True,
            heading=f"distinct-{n}",
            format=".3f",
            reference="https://arxiv.org/abs/1510.03055",
        )
        for n, grams in ((1, "words"), (2, "pairs of neighbouring words"))
    ),
    MetricDefinition(
        "self_bleu",
        unit="BLEU, 1 for equal sentences",
        protocol="mean BLEU of each sentence against all others, n-grams up to 4 words "
        "or to the sentence's length, no match counted as 0.1," + _OF_SAMPLES,
        computation="metrics.text:self_bleu",
        heading="self-BLEU",
        format=".3f",
        reference="https://arxiv.org/abs/1802.01886",
        **_SAMPLES,
    ),
)
