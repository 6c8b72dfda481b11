"""How well single code units stand for single generative factors."""

from typing import Any

from aezoo.metrics.definition import MetricDefinition

_CODES = "codes are modes of the posterior"
_FIELDS: dict[str, Any] = {
    "kind": "disentanglement",
    "unit": "score, 1 is best",
    "higher_is_better": True,
    "format": ".3f",
    "needs": ("factors",),
    "package": "sklearn",
}
_DCI = (
    "importances of random forests of 20 trees, fitted to 80 % of the {examples}, seed "
    f"{{seed}}; {_CODES}"
)
_DCI_PAPER = "https://openreview.net/forum?id=By-7dz-AZ"

METRICS = (
    MetricDefinition(
        "mig",
        protocol="mean over factors of the mutual information of the best unit minus "
        "that of the second best, over the factor's entropy; 20 bins per unit; "
        f"{_CODES}",
        computation="metrics.disentanglement:mig",
        heading="MIG",
        reference="https://arxiv.org/abs/1802.04942",
        is_headline=True,
        **_FIELDS,
    ),
    MetricDefinition(
        "dci_disentanglement",
        protocol="1 - entropy over factors of each unit's importance, weighted; "
        f"{_DCI}",
        computation="metrics.disentanglement:dci_disentanglement",
        heading="DCI disentanglement",
        reference=_DCI_PAPER,
        is_headline=True,
        **_FIELDS,
    ),
    MetricDefinition(
        "dci_completeness",
        protocol="1 - entropy over units of each factor's importance, weighted; "
        f"{_DCI}",
        computation="metrics.disentanglement:dci_completeness",
        heading="DCI completeness",
        reference=_DCI_PAPER,
        **_FIELDS,
    ),
    MetricDefinition(
        "dci_informativeness",
        protocol="accuracy on the other 20 % of the {examples}, mean over factors; "
        f"{_DCI}",
        computation="metrics.disentanglement:dci_informativeness",
        heading="DCI informativeness",
        reference=_DCI_PAPER,
        **_FIELDS,
    ),
    MetricDefinition(
        "sap",
        protocol="mean over factors of the balanced accuracy of thresholds on the best "
        "unit minus that on the second best; fitted to 80 % of the {examples}, scored "
        f"on the others, seed {{seed}}; {_CODES}",
        computation="metrics.disentanglement:sap",
        heading="SAP",
        reference="https://arxiv.org/abs/1711.00848",
        **_FIELDS,
    ),
    MetricDefinition(
        "modularity",
        protocol="mean over informative units of 1 - (squared mutual information with "
        "other factors) / (that with the best one x their number); 20 bins per unit; "
        f"{_CODES}",
        computation="metrics.disentanglement:modularity_of_codes",
        reference="https://arxiv.org/abs/1802.05312",
        **_FIELDS,
    ),
    MetricDefinition(
        "factor_vae_score",
        protocol="accuracy of the majority vote of the unit that varies least among 64 "
        "{examples} that share a factor; 10,000 votes to fit, 5,000 to test, from "
        f"disjoint halves of the {{examples}}, seed {{seed}}; {_CODES}",
        computation="metrics.disentanglement:factor_vae",
        heading="FactorVAE score",
        reference="https://arxiv.org/abs/1802.05983",
        is_headline=True,
        **_FIELDS,
    ),
    MetricDefinition(
        "beta_vae_score",
        protocol="accuracy of logistic regression on the mean absolute difference of "
        "64 pairs that share a factor; 10,000 means to fit, 5,000 to test, from "
        f"disjoint halves of the {{examples}}, seed {{seed}}; {_CODES}",
        computation="metrics.disentanglement:beta_vae",
        heading="beta-VAE score",
        reference="https://openreview.net/forum?id=Sy2fzU9gl",
        **_FIELDS,
    ),
)
