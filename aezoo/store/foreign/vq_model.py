"""`VQModel` of diffusers: the vector-quantised autoencoders of latent diffusion."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from aezoo.store.foreign.ldm import (
    DOWN,
    NAMES,
    UP,
    activation_name,
    check_exported,
    down_types,
    image_size,
    network_config,
    up_types,
)
from aezoo.store.foreign.sources import Conversion, ForeignConfig, unsupported
from aezoo.utils.records import Count

__all__ = ["NAMES", "Config", "export"]

Channels = Annotated[int, Meta(ge=1, le=4096)]


class Config(ForeignConfig, frozen=True):
    """Its `config.json`; names and defaults are those of diffusers."""

    in_channels: Count = 3
    out_channels: Count = 3
    down_block_types: tuple[str, ...] = (DOWN,)
    up_block_types: tuple[str, ...] = (UP,)
    block_out_channels: tuple[Count, ...] = (64,)
    layers_per_block: Count = 1
    act_fn: str = "silu"
    latent_channels: Channels = 3
    sample_size: Count | tuple[Count, ...] = 32
    num_vq_embeddings: Count = 256
    norm_num_groups: Count = 32
    vq_embed_dim: Channels | None = None
    scaling_factor: float = 0.18215
    norm_type: str = "group"
    mid_block_add_attention: bool = True
    lookup_from_codebook: bool = False
    force_upcast: bool = False

    def convert(self) -> Conversion:
        """A `vq_vae` on the network `ldm`, whose codebook follows the gradient."""
        if self.in_channels != self.out_channels:
            raise unsupported(
                "out_channels", self.out_channels, f"{self.in_channels}, as in_channels"
            )
        if self.norm_type != "group":
            raise unsupported("norm_type", self.norm_type, "'group'")
        size, stride = image_size(self.sample_size, self.block_out_channels)
        input_shape = (*size, self.in_channels)
        code_dim = self.vq_embed_dim or self.latent_channels
        config = {
            "input_shape": list(input_shape),
            "output_activation": "linear",
            "num_codes": self.num_vq_embeddings,
            "code_dim": code_dim,
            "codebook_update": "gradient",
            "restart_below": 0.0,
            **network_config(self),
            "inner_channels": self.latent_channels,
        }
        return Conversion(
            family="vq_vae",
            config=config,
            input_shape=input_shape,
            latent_shape=(*(side // stride for side in size), code_dim),
            tasks=("reconstruction", "features"),
            names=NAMES,
        )


def export(config: Mapping[str, Any], constants: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """The `config.json` of a model of ours.

    Args:
        config: Its flat arguments.
        constants: Counts of use, which are left out.

    Raises:
        ConversionError: If diffusers has no such network.
    """
    check_exported(config, quant_conv=True, post_quant_conv=True)
    height, width, channels = config["input_shape"]
    return {
        "_class_name": "VQModel",
        "act_fn": activation_name(config),
        "block_out_channels": list(config["filters"]),
        "down_block_types": down_types(config),
        "in_channels": channels,
        "latent_channels": config["inner_channels"] or config["code_dim"],
        "layers_per_block": config["blocks_per_stage"],
        "mid_block_add_attention": config["mid_attention"],
        "norm_num_groups": config["groups"],
        "num_vq_embeddings": config["num_codes"],
        "out_channels": channels,
        "sample_size": height if height == width else [height, width],
        "up_block_types": up_types(config),
        "vq_embed_dim": config["code_dim"],
    }
