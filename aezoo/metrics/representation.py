"""What codes are good for: labels from few examples, clusters, unfamiliar examples."""

import dataclasses
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from aezoo.metrics.definition import MetricDefinition

# Training labels of the metrics with few labels, and random subsets of each size.
LABEL_COUNTS = (10, 100, 1000)
NUM_SUBSETS = 5
NEIGHBOURS = 5
# Bounds of L-BFGS: largest gradient of the mean loss, and iterations.
TOLERANCE, MAX_ITERATIONS = 1e-4, 1000
# Starts of k-means, of which the best is taken.
STARTS = 10

_KIND = "representation"
_CODES = "codes (modes of the posteriors)"
_OF_LABELS: dict[str, Any] = {
    "kind": _KIND,
    "higher_is_better": True,
    "needs": ("labels",),
}
_FROM_LABELS: dict[str, Any] = {
    "unit": "fraction of {examples}",
    "format": ".2%",
    "package": "sklearn",
    "requires": ("features",),
    **_OF_LABELS,
}


def _at_label_counts(definition: MetricDefinition) -> Iterator[MetricDefinition]:
    """An accuracy at all training labels, and at few of them."""
    protocol = definition.protocol
    yield dataclasses.replace(
        definition, protocol=f"{protocol}; fitted on all training {{examples}}"
    )
    for count in LABEL_COUNTS:
        yield dataclasses.replace(
            definition,
            name=f"{definition.name}/{count}",
            heading=f"{definition.heading}, {count} labels",
            protocol=f"{protocol}; mean and its standard error over {NUM_SUBSETS} "
            f"random subsets of {count:,} labels, equally many of each class, seeds "
            f"{{seed}} and the next {NUM_SUBSETS - 1}, out of all training "
            "{examples}",
            arguments=MappingProxyType({"num_labels": count}),
            is_headline=definition.is_headline and count == 100,
        )


_K_MEANS = (
    f"of the labels and k-means of the {{examples}}' {_CODES} as they are, as many "
    f"clusters as classes, best of {STARTS} k-means++ starts, seed {{seed}} "
    "(scikit-learn)"
)
_CLUSTERS: dict[str, Any] = {
    "package": "sklearn",
    "tolerance": 0.02,
    "requires": ("features",),
    **_OF_LABELS,
}
_UNFAMILIAR: dict[str, Any] = {
    "kind": _KIND,
    "unit": "AUROC, 0.5 for chance",
    "higher_is_better": True,
    "variant": "dataset",
    "package": "sklearn",
}
_OUTSIDE = "probability that {an_example} of {variant} (same split and limit) has a "
_TIES = "than one of these {examples}, a tie counting half"

METRICS = (
    MetricDefinition(
        "classification_accuracy",
        unit="fraction of {examples}",
        protocol="accuracy of the most probable class by the model's own q(y|x), of "
        "{examples}{as_they_are}; a tie goes to the smaller label",
        computation="metrics.representation:classification_accuracy",
        is_per_example=True,
        heading="accuracy",
        format=".2%",
        requires=("classification",),
        reference="https://arxiv.org/abs/1406.5298",
        is_headline=True,
        **_OF_LABELS,
    ),
    *_at_label_counts(
        MetricDefinition(
            "linear_probe",
            protocol=f"accuracy of logistic regression on {_CODES}, each unit "
            "standardised by the training examples of the fit (scikit-learn, L-BFGS, "
            f"L2 penalty with C = 1, tolerance {TOLERANCE:g}, at most "
            f"{MAX_ITERATIONS:,} iterations)",
            computation="metrics.representation:linear_probe",
            heading="probe",
            reference="https://arxiv.org/abs/1610.01644",
            tolerance=0.003,
            is_headline=True,
            **_FROM_LABELS,
        )
    ),
    *_at_label_counts(
        MetricDefinition(
            "knn_accuracy",
            protocol=f"accuracy of the majority of the k nearest training {_CODES}, "
            f"Euclidean distance of codes as they are, k = {NEIGHBOURS} (1 where a "
            f"class has fewer than {NEIGHBOURS} labels), a tie goes to the smaller "
            "label",
            computation="metrics.representation:nearest_neighbours",
            heading="k-NN",
            reference="https://doi.org/10.1109/TIT.1967.1053964",
            **_FROM_LABELS,
        )
    ),
    MetricDefinition(
        "kmeans_ari",
        unit="adjusted Rand index, 1 for the same partition, 0 for chance",
        protocol=f"adjusted Rand index {_K_MEANS}",
        computation="metrics.representation:kmeans_ari",
        reference="https://doi.org/10.1007/BF01908075",
        **_CLUSTERS,
    ),
    MetricDefinition(
        "kmeans_nmi",
        unit="normalised mutual information, 1 for the same partition",
        protocol=f"mutual information over the mean of the entropies {_K_MEANS}",
        computation="metrics.representation:kmeans_nmi",
        reference="https://www.jmlr.org/papers/v11/vinh10a.html",
        **_CLUSTERS,
    ),
    MetricDefinition(
        "ood_auroc_mse",
        protocol=f"{_OUTSIDE}larger squared error per {{element}} {_TIES}; "
        "reconstructions from the mode of the posterior",
        computation="metrics.representation:ood_auroc_mse",
        requires=("reconstruction", "numeric"),
        reference="https://arxiv.org/abs/1610.02136",
        **_UNFAMILIAR,
    ),
    MetricDefinition(
        "ood_auroc_elbo",
        protocol=f"{_OUTSIDE}lower ELBO {_TIES}; one z ~ q(z|x) per {{example}}, seed "
        "{seed}, KL {kl} with weight 1",
        computation="metrics.representation:ood_auroc_elbo",
        requires=("likelihood",),
        reference="https://arxiv.org/abs/1810.09136",
        **_UNFAMILIAR,
    ),
)
