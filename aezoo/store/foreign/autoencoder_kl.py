"""`AutoencoderKL` of diffusers: the autoencoders of Stable Diffusion, SDXL and Flux."""

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

Positive = Annotated[float, Meta(gt=0)]


class Config(ForeignConfig, frozen=True):
    """Its `config.json`; names and defaults are those of diffusers."""

    in_channels: Count = 3
    out_channels: Count = 3
    down_block_types: tuple[str, ...] = (DOWN,)
    up_block_types: tuple[str, ...] = (UP,)
    block_out_channels: tuple[Count, ...] = (64,)
    layers_per_block: Count = 1
    act_fn: str = "silu"
    latent_channels: Annotated[int, Meta(ge=1, le=4096)] = 4
    norm_num_groups: Count = 32
    # msgspec 0.22 ends the process over a union with a tuple of a certain length
    sample_size: Count | tuple[Count, ...] = 32
    scaling_factor: Positive = 0.18215
    shift_factor: float | None = None
    latents_mean: tuple[float, ...] | None = None
    latents_std: tuple[Positive, ...] | None = None
    force_upcast: bool = True
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True

    def convert(self) -> Conversion:
        """A `kl_autoencoder` on the network `ldm`."""
        if self.in_channels != self.out_channels:
            raise unsupported(
                "out_channels", self.out_channels, f"{self.in_channels}, as in_channels"
            )
        size, stride = image_size(self.sample_size, self.block_out_channels)
        input_shape = (*size, self.in_channels)
        means = self.latents_mean or (self.shift_factor or 0.0,) * self.latent_channels
        stds = self.latents_std or (1.0,) * self.latent_channels
        for name, values in (("latents_mean", means), ("latents_std", stds)):
            if len(values) != self.latent_channels:
                raise unsupported(name, values, f"{self.latent_channels} numbers")
        config = {
            "input_shape": list(input_shape),
            "output_activation": "linear",
            "code_dim": self.latent_channels,
            **network_config(self),
            "quant_conv": self.use_quant_conv,
            "post_quant_conv": self.use_post_quant_conv,
        }
        return Conversion(
            family="kl_autoencoder",
            config=config,
            input_shape=input_shape,
            latent_shape=(*(s // stride for s in size), self.latent_channels),
            tasks=("reconstruction", "features"),
            names=NAMES,
            constants={
                "code_mean": means,
                "code_std": tuple(std / self.scaling_factor for std in stds),
            },
        )


def export(config: Mapping[str, Any], constants: Mapping[str, Any]) -> dict[str, Any]:
    """The `config.json` of a model of ours.

    Args:
        config: Its flat arguments.
        constants: `code_mean` and `code_std`, one number a channel.

    Raises:
        ConversionError: If diffusers has no such network.
    """
    check_exported(config, inner_channels=None)
    height, width, channels = config["input_shape"]
    means, stds = (
        [float(v) for v in constants[name]] for name in ("code_mean", "code_std")
    )
    is_uniform = len(set(means)) == len(set(stds)) == 1
    moments: dict[str, Any] = (
        {"scaling_factor": 1.0 / stds[0], "shift_factor": means[0] or None}
        if is_uniform
        else {"scaling_factor": 1.0, "latents_mean": means, "latents_std": stds}
    )
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": activation_name(config),
        "block_out_channels": list(config["filters"]),
        "down_block_types": down_types(config),
        "in_channels": channels,
        "latent_channels": config["code_dim"],
        "layers_per_block": config["blocks_per_stage"],
        "mid_block_add_attention": config["mid_attention"],
        "norm_num_groups": config["groups"],
        "out_channels": channels,
        "sample_size": height if height == width else [height, width],
        "up_block_types": up_types(config),
        "use_post_quant_conv": config["post_quant_conv"],
        "use_quant_conv": config["quant_conv"],
        **moments,
    }
