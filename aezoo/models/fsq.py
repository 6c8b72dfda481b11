"""Autoencoder with finite scalar quantisation."""

import math

from aezoo.models._discrete import QuantizedAE
from aezoo.models.arguments import sizes
from aezoo.networks import Conv
from aezoo.nn.layers.quantizers import ScalarQuantizer
from aezoo.registry import register_family


@register_family(
    "fsq",
    network=Conv(),
    tiny={
        "input_shape": (8, 8, 1),
        "filters": (4, 6),
        "levels": (25, 16, 9),  # fine: an untrained encoder varies little
    },
)
class FSQ(QuantizedAE):
    """Autoencoder with the finite scalar quantisation of Mentzer et al. (2023).

    "Finite scalar quantization: VQ-VAE made simple"
    (https://arxiv.org/abs/2309.15505), section 3.1: each unit of each vector of the
    encoder's map is bounded and rounded to one of a few levels, and passes its
    gradient straight through the rounding. The product of the levels is the size of
    a codebook that needs no learning, no term of its own and no restarts; the loss
    is the reconstruction alone.

    It learns no prior, so it cannot sample by itself.

    Args:
        levels: Levels of each unit, at least 2 each (the paper advises 5); their
            number is the width of a code. `(8, 8, 8)` has the 512 codes of `VQVAE`.
        **kwargs: As in `AE`, without `latent_dim` and `code_activation`.
    """

    levels: tuple[int, ...] = sizes((8, 8, 8), minimum=1)

    def check_arguments(self) -> None:
        """Refuse levels that are no choice, and more codes than an index can tell."""
        super().check_arguments()
        if min(self.levels) < 2 or self.num_codes >= 2**31:
            raise ValueError(
                "`levels` must be at least 2 each, and their product below 2**31. "
                f"Received: levels={self.levels}."
            )

    @property
    def num_codes(self) -> int:
        """Number of codes: the product of the levels."""
        return math.prod(self.levels)

    @property
    def code_dim(self) -> int:
        """Width of a code: the number of levels."""
        return len(self.levels)

    def new_quantizer(self) -> ScalarQuantizer:
        """The grid of levels."""
        return ScalarQuantizer(self.levels)
