"""`AutoencoderTiny` of diffusers: TAESD and its kin, for previews."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from aezoo.store.foreign.ldm import ACTIVATIONS, activation_name, check_exported
from aezoo.store.foreign.names import Names, within
from aezoo.store.foreign.sources import Conversion, ForeignConfig, unsupported
from aezoo.utils.records import Count

Blocks = Annotated[tuple[Count, ...], Meta(min_length=1, max_length=16)]
# The configuration names no size: that of the models whose codes it reads.
SIZE = 512
_LAYERS = (
    ("encoder/layer_{i}", "encoder.layers.{i}"),
    ("decoder/layer_{i}", "decoder.layers.{i}"),
)
NAMES = Names((*_LAYERS, *within(_LAYERS, (("conv_{j}", "conv.{j}"),))))


class Config(ForeignConfig, frozen=True):
    """Its `config.json`; names and defaults are those of diffusers."""

    in_channels: Count = 3
    out_channels: Count = 3
    encoder_block_out_channels: tuple[Count, ...] = (64, 64, 64, 64)
    decoder_block_out_channels: tuple[Count, ...] = (64, 64, 64, 64)
    block_out_channels: tuple[Count, ...] | None = None
    act_fn: str = "relu"
    upsample_fn: str = "nearest"
    latent_channels: Annotated[int, Meta(ge=1, le=4096)] = 4
    upsampling_scaling_factor: int = 2
    num_encoder_blocks: Blocks = (1, 3, 3, 3)
    num_decoder_blocks: Blocks = (3, 3, 3, 1)
    latent_magnitude: float = 3
    latent_shift: float = 0.5
    force_upcast: bool = False
    scaling_factor: Annotated[float, Meta(gt=0)] = 1.0
    shift_factor: float = 0.0

    def convert(self) -> Conversion:
        """A `spatial_ae` on the network `taesd`."""
        stages = len(self.num_encoder_blocks)
        width = self.encoder_block_out_channels[:1] or (0,)
        for name, wanted in (
            ("out_channels", self.in_channels),
            ("encoder_block_out_channels", width * stages),
            ("decoder_block_out_channels", width * stages),
            ("upsample_fn", "nearest"),
            ("upsampling_scaling_factor", 2),
        ):
            if getattr(self, name) != wanted:
                raise unsupported(name, getattr(self, name), f"{wanted!r}")
        if len(self.num_decoder_blocks) != stages:
            raise unsupported(
                "num_decoder_blocks", self.num_decoder_blocks, f"{stages} numbers"
            )
        if self.act_fn not in ACTIVATIONS:
            names = ", ".join(ACTIVATIONS)
            raise unsupported("act_fn", self.act_fn, f"one of {names}")
        stride = 1 << (stages - 1)
        side = max(SIZE, stride)
        config = {
            "input_shape": [side, side, self.in_channels],
            "output_activation": "linear",
            "code_dim": self.latent_channels,
            "network": "taesd",
            "width": width[0],
            "encoder_blocks": list(self.num_encoder_blocks),
            "decoder_blocks": list(self.num_decoder_blocks),
            "activation": ACTIVATIONS[self.act_fn],
        }
        return Conversion(
            family="spatial_ae",
            config=config,
            input_shape=(side, side, self.in_channels),
            latent_shape=(side // stride, side // stride, self.latent_channels),
            tasks=("reconstruction", "features"),
            names=NAMES,
            constants={
                "code_mean": (self.shift_factor,) * self.latent_channels,
                "code_std": (1.0 / self.scaling_factor,) * self.latent_channels,
            },
        )


def export(config: Mapping[str, Any], constants: Mapping[str, Any]) -> dict[str, Any]:
    """The `config.json` of a model of ours.

    Args:
        config: Its flat arguments.
        constants: `code_mean` and `code_std`, of which diffusers has one each.

    Raises:
        ConversionError: If diffusers has no such network.
    """
    check_exported(config, network="taesd")
    means, stds = (
        sorted({float(v) for v in constants[n]}) for n in ("code_mean", "code_std")
    )
    if len(means) != 1 or len(stds) != 1:
        raise unsupported("code_std", stds, "the same in all channels, for diffusers")
    channels = config["input_shape"][-1]
    widths = [config["width"]] * len(config["encoder_blocks"])
    return {
        "_class_name": "AutoencoderTiny",
        "act_fn": activation_name(config),
        "decoder_block_out_channels": widths,
        "encoder_block_out_channels": widths,
        "in_channels": channels,
        "latent_channels": config["code_dim"],
        "num_decoder_blocks": list(config["decoder_blocks"]),
        "num_encoder_blocks": list(config["encoder_blocks"]),
        "out_channels": channels,
        "scaling_factor": 1.0 / stds[0],
        "shift_factor": means[0],
    }
