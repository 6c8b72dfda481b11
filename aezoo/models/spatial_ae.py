"""Deterministic autoencoder whose code is a map."""

from aezoo.models._maps import CodeMaps
from aezoo.models.ae import AE
from aezoo.models.arguments import units
from aezoo.networks import Conv
from aezoo.registry import register_family


@register_family(
    "spatial_ae",
    network=Conv(),
    tiny={"input_shape": (8, 8, 1), "filters": (4, 6), "code_dim": 3},
)
class SpatialAE(CodeMaps, AE):  # type: ignore[override]
    """Autoencoder whose code keeps the positions of the image.

    Masci et al. (2011), "Stacked convolutional auto-encoders for hierarchical feature
    extraction" (https://doi.org/10.1007/978-3-642-21735-7_7): convolutions alone, so
    that the code is a map of features. On the network `"taesd"` it is the tiny
    autoencoder of a latent diffusion model, whose weights `aezoo.load` converts: it
    reads and makes the codes of a `kl_autoencoder`, in a fraction of its time.

    Images of other sizes than `input_shape` go through it in overlapping tiles:
    `encode_tiled`, `decode_tiled`. `scale_codes` gives each channel mean 0 and
    variance 1 over the training examples, for what is trained on codes.

    Args:
        code_dim: Channels of the code; it has shape `(h, w, code_dim)`.
        **kwargs: As in `AE`, without `latent_dim` and `code_activation`.
    """

    code_dim: int = units(4)
    code_activation = "linear"

    @property
    def heads(self) -> dict[str, int]:
        """`z`, the code."""
        return {"z": self.code_dim}
