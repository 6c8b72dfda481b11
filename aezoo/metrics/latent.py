"""How a model uses its code: units, moments, information, codebooks."""

from typing import Any

from aezoo.metrics.definition import MetricDefinition

# A unit is active whose posterior mean varies more than this (Burda et al., 2016).
ACTIVE_VARIANCE = 0.01
# A mean of N posteriors cannot tell of more than log N nats. What the code says of its
# example beyond that counts as total correlation: units that are independent get as
# much of it as their mutual information falls short, under a nat while this many nats
# are left of log N, 14 nats where none are.
SATURATION_MARGIN = 2.0
_FIELDS: dict[str, Any] = {"kind": "latent"}

METRICS = (
    MetricDefinition(
        "active_units",
        unit="units",
        protocol="number of code units whose posterior mean has a variance over "
        "{examples} above 0.01; the prior's is 1",
        computation="metrics.latent:active_units",
        higher_is_better=None,
        format=".0f",
        requires=("prior",),
        reference="https://arxiv.org/abs/1509.00519",
        is_quick=True,
        is_headline=True,
        **_FIELDS,
    ),
    MetricDefinition(
        "active_code_fraction",
        unit="fraction of code units",
        protocol="mean over {examples} of the fraction of code units with |z| above "
        "1 % of the unit's largest |z| over all {examples}",
        computation="metrics.latent:active_code_fraction",
        higher_is_better=None,
        requires=("features",),
        heading="active code",
        format=".1%",
        **_FIELDS,
    ),
    MetricDefinition(
        "kl_per_dim",
        unit="nats per {example} and unit",
        protocol="mean over {examples} and code units of KL(q(z_j|x)||p(z_j)) in "
        "closed form; the values are the means over {examples} of each unit",
        computation="metrics.latent:kl_per_dim",
        higher_is_better=None,
        requires=("diagonal posterior", "standard prior"),
        **_FIELDS,
    ),
    MetricDefinition(
        "codebook_usage",
        unit="fraction of the codebook",
        protocol="share of the codebook's entries that occur in the codes of the "
        "{examples}",
        computation="metrics.latent:usage_of_codebooks",
        higher_is_better=True,
        format=".1%",
        requires=("codebook",),
        is_headline=True,
        **_FIELDS,
    ),
    MetricDefinition(
        "codebook_perplexity",
        unit="entries",
        protocol="exp of the entropy of the codebook's entries over {examples} and "
        "positions",
        computation="metrics.latent:perplexity_of_codebooks",
        higher_is_better=True,
        format=".1f",
        requires=("codebook",),
        is_headline=True,
        **_FIELDS,
    ),
    MetricDefinition(
        "aggregate_mean",
        unit="code units",
        protocol="root mean square over code units of the mean over {examples} of "
        "z ~ q(z|x), in closed form; the values are the means; 0 where the aggregate "
        "posterior is the prior",
        computation="metrics.latent:aggregate_mean",
        higher_is_better=None,
        requires=("features", "known moments", "standard prior"),
        **_FIELDS,
    ),
    MetricDefinition(
        "aggregate_variance",
        unit="squared code units",
        protocol="mean over code units of the variance over {examples} of z ~ q(z|x), "
        "in closed form: that of the posterior means plus the mean posterior variance; "
        "the values are the variances; 1 where the aggregate posterior is the prior",
        computation="metrics.latent:aggregate_variance",
        higher_is_better=None,
        requires=("features", "known moments", "standard prior"),
        **_FIELDS,
    ),
    MetricDefinition(
        "mutual_information",
        unit="nats",
        protocol="E[log q(z|x) - log q(z)], q(z) the mean of the posteriors of all "
        "{examples}, one z ~ q(z|x) per {example}, seed {seed}; at most log(number of "
        "{examples})",
        computation="metrics.latent:mutual_information",
        higher_is_better=None,
        requires=("diagonal posterior",),
        reference="https://arxiv.org/abs/1606.03657",
        **_FIELDS,
    ),
    MetricDefinition(
        "total_correlation",
        unit="nats",
        protocol="E[log q(z) - sum_j log q(z_j)], q(z) and q(z_j) means over the "
        "posteriors of all {examples}, one z ~ q(z|x) per {example}, seed {seed}; "
        "biased upwards where few posteriors overlap",
        computation="metrics.latent:total_correlation",
        requires=("diagonal posterior",),
        reference="https://arxiv.org/abs/1802.04942",
        **_FIELDS,
    ),
    MetricDefinition(
        "total_correlation/gaussian",
        unit="nats",
        protocol="(sum_j log C_jj - log det C) / 2, C the covariance of the aggregate "
        "posterior in closed form: the total correlation of the Gaussian with its "
        "moments",
        computation="metrics.latent:total_correlation_gaussian",
        heading="total correlation (gaussian)",
        requires=("diagonal posterior",),
        reference="https://arxiv.org/abs/1811.12359",
        **_FIELDS,
    ),
)
