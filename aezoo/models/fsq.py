"""Autoencoder with finite scalar quantisation."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from aezoo.models._discrete import QuantizedAutoencoder
from aezoo.nn.layers import ScalarQuantizer
from aezoo.registry import register_family
from aezoo.utils.validation import check_positive_ints


@register_family("fsq")
class FSQ(QuantizedAutoencoder):
    """Autoencoder with the finite scalar quantisation of Mentzer et al. (2023).

    "Finite scalar quantization: VQ-VAE made simple"
    (https://arxiv.org/abs/2309.15505), section 3.1: each unit of each vector of the
    encoder's map is bounded and rounded to one of a few levels, and passes its
    gradient straight through the rounding. The product of the levels is the size of
    a codebook that needs no learning, no term of its own and no restarts; the loss
    is the reconstruction alone.

    It learns no prior, so it cannot sample by itself.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        levels: Levels of each unit, at least 2 each (the paper advises 5); their
            number is the width of a code. `(8, 8, 8)` has the 512 codes of `VQVAE`.
        **kwargs: As in `ConvMapNetwork` and `DeterministicAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "filters": (4, 6),
        "levels": (25, 16, 9),  # fine: an untrained encoder varies little
    }

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        *,
        levels: Sequence[int] = (8, 8, 8),
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, **kwargs)
        self.levels = check_positive_ints("levels", levels, minimum=1)
        self.num_codes = math.prod(self.levels)
        if min(self.levels) < 2 or self.num_codes >= 2**31:
            raise ValueError(
                "`levels` must be at least 2 each, and their product below 2**31. "
                f"Received: levels={self.levels}."
            )
        self.add_networks(len(self.levels), ScalarQuantizer(self.levels))

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {**super().config, "levels": list(self.levels)}
