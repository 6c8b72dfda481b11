"""What the layers of an encoder give: names, shapes and strides, without weights."""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Any

from aezoo.errors import UnknownLayerError
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import new_model
from aezoo.networks.stages import LATENT, POOL
from aezoo.store.load import unbuilt_model
from aezoo.utils.text import did_you_mean


@dataclasses.dataclass(frozen=True)
class FeatureInfo:
    """One named layer of an encoder.

    Args:
        name: What `feature_extractor(layer=...)` calls it.
        shape: Shape of its output for one image: `(h, w, channels)`,
            `(patches, channels)` or `(channels,)`.
        stride: Pixels from one position of its output to the next; None where the
            output has no positions, or a number of them that the image's size does
            not change.
        num_channels: The last number of `shape`.
        takes_any_size: Whether it can be had for images of another size.
    """

    name: str
    shape: tuple[int, ...]
    stride: int | None
    num_channels: int
    takes_any_size: bool


def feature_info(
    name_or_model: "str | os.PathLike[str] | Autoencoder",
    *,
    input_shape: Sequence[int] | None = None,
    **options: Any,
) -> tuple[FeatureInfo, ...]:
    """Every named layer of a model's encoder, from the image to the code.

    Reads the manifest's or folder's entry; neither fetches nor loads weights.

    Args:
        name_or_model: A name, folder or address, as in `aezoo.load`; or a model.
        input_shape: Image shape `(height, width, channels)` for which to state the
            shapes; None for the model's own. Layers that take no other size are left
            out.
        **options: `revision`, `cache_dir`, `local_files_only` and `token` of
            `aezoo.load`.

    Returns:
        Records with `name`, `shape`, `stride`, `num_channels` and `takes_any_size`:
        `stage1` and so on for convolutions, `tokens` and `block1` and so on for
        transformers, `pool` for the mean over positions of the last of those,
        `hidden1` and so on for dense layers, `encoded` for vectors before they are
        quantised, and `latent` for the code.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        ManifestError: If the entry describes no valid model.

    Example:
        >>> [layer.name for layer in aezoo.feature_info("conv_vae_mnist_z16")]
        ['stage1', 'stage2', 'pool', 'hidden1', 'latent']
    """
    if isinstance(name_or_model, Autoencoder):
        model = name_or_model
    else:
        model = unbuilt_model(name_or_model, **options)
    if input_shape is None or tuple(input_shape[:2]) == model.input_shape[:2]:
        return infos_of(model)
    resized = new_model(model.family, **resized_config(model, input_shape))
    return tuple(info for info in infos_of(resized) if info.takes_any_size)


def infos_of(model: Autoencoder) -> tuple[FeatureInfo, ...]:
    """Every named layer of a model's encoder, which need not be built."""
    encoder: Any = model.encoder
    infos: list[FeatureInfo] = []
    shape: tuple[Any, ...] = (None, *model.modality.tensor_shape)
    stride: int | None = 1
    takes_any_size = True
    for stage in encoder.stages():
        shape = stage.output_shape(shape)
        if stage.stride is None or stride is None:
            stride, takes_any_size = None, False
        else:
            stride *= stage.stride
        infos.append(_info(stage.name, shape[1:], stride, takes_any_size))
        if stage.is_pooled:
            infos.append(_info(POOL, shape[-1:], None, takes_any_size))
    keeps_positions = encoder.keeps_positions
    latent_stride = stride if keeps_positions else None
    infos.append(_info(LATENT, model.latent_shape, latent_stride, keeps_positions))
    return tuple(infos)


def _info(
    name: str, shape: tuple[int, ...], stride: int | None, takes_any_size: bool
) -> FeatureInfo:
    return FeatureInfo(name, tuple(shape), stride, shape[-1], takes_any_size)


def resized_config(model: Autoencoder, input_shape: Sequence[int]) -> dict[str, Any]:
    """The configuration of a model for images of another size, of its own channels."""
    height, width = input_shape[:2]
    return {**model.config, "input_shape": [height, width, model.input_shape[-1]]}


def check_layers(names: Iterable[str], offered: Iterable[str], owner: str) -> None:
    """Refuse names of layers that there are not.

    Raises:
        UnknownLayerError: Names the layers that there are, and the closest.
    """
    for name in names:
        if name not in offered:
            raise UnknownLayerError(
                f"Unknown layer {name!r} of {owner!r}.{did_you_mean(name, offered)} "
                f"Layers: {', '.join(offered)}."
            )
