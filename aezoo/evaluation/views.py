"""Other looks at the same examples, for variants of metrics, and their words."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from aezoo.evaluation.image.views import ImageViews
from aezoo.modalities import Modality


class Views:
    """What metrics make of examples of a modality, and say of them in protocols.

    This one is of modalities that have nothing to say.
    """

    def view(self, name: str, x: np.ndarray, noise: Any) -> np.ndarray:
        """Examples in another look.

        Args:
            name: One of the modality's `views`.
            x: Examples as models see them, float32.
            noise: Source of the draws, with a method `uniform`.

        Returns:
            Float32, of the shape of `x`.
        """
        raise NotImplementedError(f"There is no view {name!r}.")

    def bits(self, name: str) -> float:
        """Bits per dimension that a density of a view lacks to a code of the levels."""
        raise NotImplementedError(f"There is no view {name!r}.")

    def words(self, name: str | None) -> str:
        """A view in the words of protocols, where `{seed}` may stand; None: as is."""
        return "" if name is None else name

    def protocol_words(self, likelihood: str | None) -> Mapping[str, str]:  # noqa: ARG002
        """The fields of protocols that only this modality has words for.

        Args:
            likelihood: Name of the model's likelihood; None without one.
        """
        return {}


_OF_KINDS: Mapping[str, Any] = {"image": ImageViews()}


def views_of(modality: Modality) -> Any:
    """The views of a modality: of the interface of `Views`."""
    return _OF_KINDS.get(modality.kind, Views())
