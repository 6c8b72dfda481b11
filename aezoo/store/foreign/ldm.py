"""What `AutoencoderKL` and `VQModel` of diffusers share: the network `ldm`."""

from collections.abc import Mapping, Sequence
from typing import Any

from aezoo.errors import ConversionError
from aezoo.store.foreign.names import Names, within
from aezoo.store.foreign.sources import unsupported

DOWN, UP = "DownEncoderBlock2D", "UpDecoderBlock2D"
DOWN_ATTENTION, UP_ATTENTION = "AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D"
# Activations, there and here.
ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "mish": "mish",
    "relu": "relu",
}

_RESNETS = within(
    (
        ("encoder/down_{i}_resnet_{j}", "encoder.down_blocks.{i}.resnets.{j}"),
        ("encoder/mid_resnet_{j}", "encoder.mid_block.resnets.{j}"),
        ("decoder/mid_resnet_{j}", "decoder.mid_block.resnets.{j}"),
        ("decoder/up_{i}_resnet_{j}", "decoder.up_blocks.{i}.resnets.{j}"),
    ),
    (
        ("norm_{k}", "norm{k}"),
        ("conv_{k}", "conv{k}"),
        ("shortcut", "conv_shortcut"),
    ),
)
_ATTENTIONS = within(
    (
        ("encoder/down_{i}_attention_{j}", "encoder.down_blocks.{i}.attentions.{j}"),
        ("encoder/mid_attention_{j}", "encoder.mid_block.attentions.{j}"),
        ("decoder/mid_attention_{j}", "decoder.mid_block.attentions.{j}"),
        ("decoder/up_{i}_attention_{j}", "decoder.up_blocks.{i}.attentions.{j}"),
    ),
    (
        ("norm", "group_norm"),
        ("query", "to_q"),
        ("key", "to_k"),
        ("value", "to_v"),
        ("merge", "to_out.0"),
    ),
)
NAMES = Names(
    (
        ("encoder/conv_in", "encoder.conv_in"),
        ("encoder/down_{i}_halve", "encoder.down_blocks.{i}.downsamplers.0.conv"),
        ("encoder/norm_out", "encoder.conv_norm_out"),
        ("encoder/conv_out", "encoder.conv_out"),
        ("encoder/quant_conv", "quant_conv"),
        ("encoder/vector_quantizer/codebook", "quantize.embedding.weight"),
        ("encoder/vector_quantizer_{i}/codebook", "quantize.embedding.weight"),
        ("decoder/post_quant_conv", "post_quant_conv"),
        ("decoder/conv_in", "decoder.conv_in"),
        ("decoder/up_{i}_double", "decoder.up_blocks.{i}.upsamplers.0.conv"),
        ("decoder/norm_out", "decoder.conv_norm_out"),
        ("decoder/conv_out", "decoder.conv_out"),
        *_RESNETS,
        *_ATTENTIONS,
    ),
    # of files from before 2023
    aliases=tuple(
        (rf"(attentions\.\d+)\.{old}\.", rf"\1.{new}.")
        for old, new in (
            ("query", "to_q"),
            ("key", "to_k"),
            ("value", "to_v"),
            ("proj_attn", "to_out.0"),
        )
    ),
)


def image_size(
    sample_size: Any, block_out_channels: Sequence[int]
) -> tuple[tuple[int, int], int]:
    """Height and width of an image, and how many pixels a position of the code has."""
    size = sample_size if isinstance(sample_size, tuple) else (sample_size,) * 2
    if not 1 <= len(block_out_channels) <= 16:
        raise unsupported(
            "block_out_channels", block_out_channels, "1 to 16 whole numbers"
        )
    stride = 1 << (len(block_out_channels) - 1)
    if len(size) != 2 or any(side % stride for side in size):
        raise unsupported("sample_size", sample_size, f"multiples of {stride}")
    return (size[0], size[1]), stride


def network_config(config: Any) -> dict[str, Any]:
    """The arguments of the network that both classes have.

    Args:
        config: Fields of a `config.json`.

    Raises:
        ConversionError: If there is no such network here.
    """
    count = len(config.block_out_channels)
    down = _attention_stages(
        "down_block_types", config.down_block_types, DOWN, DOWN_ATTENTION, count
    )
    up = _attention_stages(
        "up_block_types", config.up_block_types, UP, UP_ATTENTION, count
    )
    if [count + 1 - stage for stage in reversed(up)] != down:
        raise unsupported(
            "up_block_types",
            config.up_block_types,
            "the mirror of `down_block_types`, with attention in the same stages",
        )
    if config.act_fn not in ACTIVATIONS:
        raise unsupported("act_fn", config.act_fn, f"one of {', '.join(ACTIVATIONS)}")
    return {
        "network": "ldm",
        "filters": list(config.block_out_channels),
        "blocks_per_stage": config.layers_per_block,
        "groups": config.norm_num_groups,
        "activation": ACTIVATIONS[config.act_fn],
        "mid_attention": config.mid_block_add_attention,
        "attention_stages": down,
    }


def _attention_stages(
    field: str, types: Sequence[str], plain: str, attention: str, count: int
) -> list[int]:
    if len(types) != count or not set(types) <= {plain, attention}:
        raise unsupported(
            field, types, f"{plain} or {attention} for each of `block_out_channels`"
        )
    return [i for i, kind in enumerate(types, start=1) if kind == attention]


def down_types(config: Mapping[str, Any]) -> list[str]:
    """`down_block_types` of flat arguments of ours."""
    stages = range(1, len(config["filters"]) + 1)
    has = set(config["attention_stages"])
    return [DOWN_ATTENTION if stage in has else DOWN for stage in stages]


def up_types(config: Mapping[str, Any]) -> list[str]:
    """`up_block_types` of flat arguments of ours."""
    return [
        UP_ATTENTION if kind == DOWN_ATTENTION else UP
        for kind in reversed(down_types(config))
    ]


def activation_name(config: Mapping[str, Any]) -> str:
    """`act_fn` of flat arguments of ours.

    Raises:
        ConversionError: If diffusers has no such activation.
    """
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    if config["activation"] not in names:
        raise unsupported(
            "activation", config["activation"], f"one of {', '.join(names)}"
        )
    return names[config["activation"]]


def check_exported(config: Mapping[str, Any], **wanted: Any) -> None:
    """Refuse a model that diffusers has no class for.

    Args:
        config: Flat arguments of ours.
        **wanted: Values that some of them must have.

    Raises:
        ConversionError: Says what it would have to be.
    """
    wanted = {"network": "ldm", "output_activation": "linear", **wanted}
    for name, value in wanted.items():
        if config.get(name) != value:
            raise ConversionError(
                f"diffusers has no class for such a model: `{name}` must be "
                f"{value!r}. Received: {name}={config.get(name)!r}."
            )
