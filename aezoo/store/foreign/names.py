"""Where each weight of a model stands in the file of another library, and how.

A table of pairs says it: `{i}` on both sides stands for the same whole number, and a
pair without a weight's own name at its end is of a layer.

    names = Names((("encoder/down_{i}/conv", "encoder.blocks.{i}.conv"),))
    names.translate("encoder/down_3/conv/kernel")   # "encoder.blocks.3.conv.weight"
"""

import dataclasses
import re
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Weights of layers, here and in PyTorch.
LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
Pair = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How an array stands there: both ways.

    Attributes:
        to_ours: Their array as we have it.
        to_theirs: Our array as they have it.
    """

    to_ours: "Callable[[np.ndarray], np.ndarray]"
    to_theirs: "Callable[[np.ndarray], np.ndarray]"


def _transposed(array: "np.ndarray") -> "np.ndarray":
    return array.T


def _same(array: "np.ndarray") -> "np.ndarray":
    return array


SAME = Layout(_same, _same)
# `(out, in)` of linear layers, `(out, in, height, width)` of convolutions.
LINEAR = Layout(_transposed, _transposed)
CONVOLUTION = Layout(
    lambda array: array.transpose(2, 3, 1, 0), lambda array: array.transpose(3, 2, 0, 1)
)


@dataclasses.dataclass(frozen=True)
class Names:
    """A table of names.

    Attributes:
        pairs: Names here, of layers or weights as Keras has them without the model's,
            and there. The first that fits counts.
        layouts: Layouts of weights that have another than their number of axes tells,
            by their name here.
        aliases: Regular expressions of what older files call a part of a name, and
            what it is called now.
    """

    pairs: tuple[Pair, ...]
    layouts: tuple[tuple[str, Layout], ...] = ()
    aliases: tuple[Pair, ...] = ()

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        return tuple((_pattern(ours), theirs) for ours, theirs in self.pairs)

    def translate(self, path: str) -> str | None:
        """Their name of a weight of ours; None if the table has none.

        Args:
            path: Its name here, e.g. `"encoder/conv_in/kernel"`.
        """
        layer, _, leaf = path.rpartition("/")
        for name, suffix in ((path, ""), (layer, f".{LEAVES.get(leaf)}")):
            if suffix == ".None":
                continue
            for pattern, theirs in self._patterns:
                if match := pattern.fullmatch(name):
                    return theirs.format(**match.groupdict()) + suffix
        return None

    def current(self, name: str) -> str:
        """Their name of a tensor as newer files have it."""
        for old, new in self.aliases:
            name = re.sub(old, new, name)
        return name

    def layout(self, path: str, ndim: int) -> Layout:
        """How a weight stands there.

        Args:
            path: Its name here.
            ndim: Its number of axes here.
        """
        for name, layout in self.layouts:
            if path == name:
                return layout
        if path.endswith("/kernel"):
            return CONVOLUTION if ndim == 4 else LINEAR
        return SAME


def _pattern(ours: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", re.escape(ours)))


def within(blocks: tuple[Pair, ...], parts: tuple[Pair, ...]) -> tuple[Pair, ...]:
    """The pairs of each part of each block.

    Args:
        blocks: Names of blocks.
        parts: Names of parts within a block.
    """
    return tuple(
        (f"{ours}/{our_part}", f"{theirs}.{their_part}")
        for ours, theirs in blocks
        for our_part, their_part in parts
    )
