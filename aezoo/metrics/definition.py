"""What a metric is, without what computes it. Imports no framework."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aezoo.utils.text import plural

# Where samples come from unless a fitted sampler is named.
PRIOR = "prior"


@dataclasses.dataclass(frozen=True)
class MetricDefinition:
    """Everything that is known of a metric but its computation.

    `unit` and `protocol` are templates: `{example}`, `{examples}`, `{an_example}`,
    `{element}` and `{elements}` are the words of a modality ("image", "pixel"), other
    fields what `Evaluation.fields` states of a measurement, such as `{seed}`.

    Attributes:
        name: Name; a part after `/` is a variant.
        kind: What it is about: `"reconstruction"`, `"likelihood"`, `"latent"`,
            `"samples"`, `"representation"` or `"disentanglement"`.
        unit: Unit of the value.
        protocol: How it is measured, in words.
        computation: `module:function` in `aezoo.evaluation`. Per example: from a
            `Chunk` to an array `(n,)`. Else: from an `Evaluation`, and `arguments`
            and the variant by keyword, to a `Result` or a number.
        arguments: What else the computation is told.
        is_per_example: Whether the value is a mean over examples.
        higher_is_better: None where neither direction is better.
        heading: Of its column in tables; None takes the words of the name.
        format: How tables write the value.
        requires: What a model must have: keys of `abilities.ABILITIES`.
        needs: What the dataset must have: `"labels"`, `"factors"`.
        modalities: Kinds of modality that it is for; None for all.
        view: What the modality makes of the examples first, e.g. `"binarised"`; None
            takes them as they are.
        may_be_density: Whether it is a density, in another unit than a mass, for
            models with a density of examples.
        variant: What an open variant names: `"extractor"`, `"dataset"`; None if the
            metric has none.
        has_samplers: Whether there is one more of each kind of fitted sampler, as
            `frechet/gmm`, beside that of samples from the prior.
        fewest: Examples that it takes at least, and samples if it has any.
        package: Optional package that must be installed.
        reference: URL of the paper that defines it.
        tolerance: How far rounding may move a repeated measurement, absolute: of
            iterative fits.
        is_quick: Whether `evaluate` measures it unless metrics are named.
        is_headline: Whether the leaderboard shows it unless metrics are named.
        is_published: Whether it is measured of the zoo's models.
        is_published_of_samplers: Whether it is of their fitted samplers, too.
    """

    name: str
    kind: str
    unit: str
    protocol: str
    computation: str
    arguments: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )
    is_per_example: bool = False
    higher_is_better: bool | None = False
    heading: str | None = None
    format: str = ".4g"
    requires: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    modalities: tuple[str, ...] | None = None
    view: str | None = None
    may_be_density: bool = False
    variant: str | None = None
    has_samplers: bool = False
    fewest: int = 1
    package: str | None = None
    reference: str | None = None
    tolerance: float = 0.0
    is_quick: bool = False
    is_headline: bool = False
    is_published: bool = True
    is_published_of_samplers: bool = False

    @property
    def title(self) -> str:
        """The heading of its column."""
        return self.heading or self.name.replace("_", " ")

    @property
    def is_importance_sampled(self) -> bool:
        """Whether it takes many codes of every example, and so by far the longest."""
        return "{importance_samples}" in self.protocol

    def of_sampler(self, kind: str) -> "MetricDefinition":
        """The same of decoded codes from a kind of fitted sampler."""
        return dataclasses.replace(
            self,
            name=f"{self.name}/{kind}",
            heading=f"{self.title} {kind}",
            arguments=MappingProxyType({**self.arguments, "sampler": kind}),
            requires=tuple(
                f"sampler {kind}" if r == PRIOR else r for r in self.requires
            ),
            is_published=self.is_published_of_samplers,
        )


def words(noun: str, element: str) -> dict[str, str]:
    """The fields of templates that name an example of a modality and its parts.

    What only some modalities have words for, such as the scale of their elements, is
    empty.

    Args:
        noun: What an example is called, e.g. `"image"`.
        element: What a part of it is called, e.g. `"pixel"`.
    """
    article = "an" if noun[0] in "aeiou" else "a"
    return {
        "example": noun,
        "examples": plural(noun),
        "an_example": f"{article} {noun}",
        "element": element,
        "elements": plural(element),
        "dimension": element,
        **dict.fromkeys(("scale", "clipped", "view", "as_they_are"), ""),
        "dequantisation": "",
    }


class Placeholders(dict):
    """Fields of a template, and `<name>` for what is not known yet."""

    def __missing__(self, name: str) -> str:
        """The name in angle brackets."""
        return f"<{name}>"
