"""Restoration: what was lost of an example by a known process is put back."""

import itertools
import math
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.inference.finite import EXAMPLES, IS_FINITE
from aezoo.modalities import Image
from aezoo.modalities.image.check import check_any_size
from aezoo.modalities.image.tiling import apply_in_windows
from aezoo.models.ae import AE
from aezoo.models.arguments import Argument, keep, number
from aezoo.models.autoencoder import TEST_SEED
from aezoo.networks import Latent, NetworkError, UNet
from aezoo.nn.distributions import IndexedNoise, uniform
from aezoo.registry import register_family
from aezoo.utils.validation import check_number, check_positive_int

Tensor = Any


@register_family(
    "restoration",
    network=UNet(),
    modality=Image(64, 64, 3),
    tiny={"input_shape": (8, 8, 3), "filters": (4, 6), "blocks": 1},
)
class Restoration(AE):
    """Network that restores degraded examples; what it was degraded by is its encoder.

    The denoising autoencoder of Vincent et al. (2010,
    https://www.jmlr.org/papers/v11/vincent10a.html) with the corruption in the place
    of the encoder: `encode` degrades an example by rule, which is its code, and the
    decoder alone is learnt. `reconstruct` degrades and restores, as evaluation needs
    it; `restore` takes what is degraded already, of any size. By the corruption it is
    super-resolution (`"downsample"`, Dong et al., 2014,
    https://arxiv.org/abs/1501.00092), denoising (`"gaussian"`, Zhang et al., 2017,
    https://arxiv.org/abs/1608.03981), completion (`"blocks"`, `"masking"`), colour
    from grey (`"grayscale"`), or takes away the traces of `"jpeg"` or `"blur"`.

    Args:
        corruption: What examples are degraded by: one of the corruptions of
            `Autoencoder`.
        corruption_level: How much, as there.
        lowest_level: In training the level of each example is drawn evenly from here
            up to `corruption_level`, for noise or blocks of unknown strength; None for
            `corruption_level` alone, with which `encode` degrades in any case.
        output_activation: `"linear"`, as the network adds to its input.
        **kwargs: As in `AE`, without `latent_dim`, `code_activation` and `sparsity`.
    """

    corruption: str = Argument("downsample", keep, is_fixed=True)  # type: ignore[assignment]
    corruption_level: float = Argument(
        2,
        lambda name, value: check_number(name, value, low=0.0),
        is_fixed=True,
    )  # type: ignore[assignment]
    lowest_level: float | None = number(None, low=0.0)
    output_activation: str = Argument("linear", keep, is_fixed=True)  # type: ignore[assignment]
    code_activation = "linear"
    sparsity = 0.0

    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "restoration")

    def check_arguments(self) -> None:
        """Refuse other networks, and levels of what has none."""
        modality, kind = self.modality, self.corruption
        if not isinstance(self.network, UNet):
            raise NetworkError(
                f"{self.family!r} restores what it degrades: it needs the network "
                f"'unet'. Received: network={self.network!r}."
            )
        if kind not in modality.degradations:
            raise ValueError(
                f"`corruption` must be one of {', '.join(modality.degradations)} for "
                f"{modality.nouns} that are to be restored. Received: "
                f"corruption={kind!r}."
            )
        super().check_arguments()
        if self.output_activation != "linear":
            raise ValueError(
                f"{self.family!r} adds to its input, and needs "
                "`output_activation='linear'`. Received: "
                f"output_activation={self.output_activation!r}."
            )
        lowest = self.lowest_level
        if lowest is None:
            return
        if kind not in modality.noises:
            raise ValueError(
                "`lowest_level` is of a corruption that is drawn: "
                f"{', '.join(modality.noises)}. Received: corruption={kind!r}, "
                f"lowest_level={lowest!r}."
            )
        if lowest > self.corruption_level:
            raise ValueError(
                "`lowest_level` must be at most `corruption_level`. Received: "
                f"lowest_level={lowest!r}, corruption_level={self.corruption_level!r}."
            )

    # --- Codes ----------------------------------------------------------------------

    @property
    def unet(self) -> UNet:
        """The network."""
        return self.network  # type: ignore[return-value]

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        """Number of values of a degraded example."""
        return math.prod(self.latent_shape)

    @property
    def latent(self) -> Latent:
        """A degraded example."""
        return Latent(self.latent_shape[-1], is_map=True, is_degraded=True)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of a degraded example."""
        return self.modality.degraded_shape(self.corruption, self.corruption_level)

    @property
    def heads(self) -> dict[str, int]:
        """`z`, the degraded example."""
        return {"z": self.latent_shape[-1]}

    def to_input(self, inputs: Tensor, training: bool = False) -> Tensor:  # noqa: ARG002
        """Examples as tensors: `encode_parameters` degrades them."""
        return self.to_tensors(inputs, self.compute_dtype)

    def encode_parameters(
        self, x: Tensor, training: bool = False, **given: Tensor
    ) -> dict[str, Tensor]:
        """`z`, degraded examples: all by the same noise, but in training."""
        del given
        noise = IndexedNoise(TEST_SEED, is_shared=True)
        seed = self.seed_generator if training else noise
        level: Any = self.corruption_level
        if training and self.lowest_level is not None:
            share = uniform((ops.shape(x)[0], *[1] * len(self.latent_shape)), seed)
            level = self.lowest_level + share * (level - self.lowest_level)
            level = ops.cast(level, x.dtype)
        z = self.modality.degraded(x, self.corruption, level, seed)
        return {"z": ops.cast(z, "float32")}

    # --- What it is for ---------------------------------------------------------------

    def restore(
        self, x: Any, tile: int = 256, batch_size: int = 1, ensemble: bool = False
    ) -> np.ndarray:
        """Degraded images restored, of any size.

        Large ones by tiles, each with as much of its surroundings as the network sees,
        so that there are no seams.

        Args:
            x: Degraded images, `(n, height, width, channels)` or one of them: uint8, or
                floats in [0, 1]. As many channels as a code has.
            tile: Height and width of a tile without its surroundings. Smaller ones
                need less memory and more time.
            batch_size: Tiles per compiled call; does not change the result.
            ensemble: Restore all eight ways to turn and mirror an image, and take the
                mean (Timofte et al., 2016, https://arxiv.org/abs/1511.02228): a little
                better, and eight times slower.

        Returns:
            Restored images, `(n, height, width, channels)` or one of them, of the dtype
            that came in; of low resolution as much larger as the model was trained for.

        Raises:
            ValueError: If shape, dtype or range is wrong.
        """
        images, is_single = self.check_degraded(x)
        found = self.restored(images, tile, batch_size, ensemble)
        return found[0] if is_single else found

    def check_degraded(self, x: Any) -> tuple[np.ndarray, bool]:
        """Degraded images of any size as a batch, and whether it was a single one.

        Raises:
            ValueError: If shape, dtype or range is wrong.
        """
        return check_any_size(x, self.latent_shape[-1])

    def restored(
        self,
        images: np.ndarray,
        tile: int,
        batch_size: int,
        ensemble: bool,
        **given: np.ndarray,
    ) -> np.ndarray:
        """A batch restored by tiles.

        Args:
            images: Degraded images, checked, `(n, height, width, channels)`.
            tile: As in `restore`.
            batch_size: As in `restore`.
            ensemble: As in `restore`.
            **given: What else `decode_parameters` is told, `(n, ...)` each.
        """
        if not ensemble:
            return self._by_tiles(images, tile, batch_size, **given)
        values = self.modality.unrounded(images)
        views = []
        for turns, is_mirrored in itertools.product(range(4), (False, True)):
            view = np.rot90(values, turns, axes=(1, 2))
            view = view[:, :, ::-1] if is_mirrored else view
            view = np.ascontiguousarray(view)
            found = self._by_tiles(view, tile, batch_size, **given)
            found = found[:, :, ::-1] if is_mirrored else found
            views.append(np.rot90(found, -turns, axes=(1, 2)))
        mean = np.mean(views, axis=0, dtype="float32")
        return self.modality.to_dtype(mean, images.dtype.name)

    def _by_tiles(
        self, images: np.ndarray, tile: int, batch_size: int, **given: np.ndarray
    ) -> np.ndarray:
        network = self.unet
        tile = check_positive_int("tile", tile)
        return apply_in_windows(
            lambda windows: self.run("restore", windows, batch_size, **given),
            images,
            tile=-(-tile // network.grain) * network.grain,
            margin=-(-network.reach // network.grain) * network.grain,
            grain=network.grain,
            grow=self.input_shape[0] // self.latent_shape[0],
        )

    def _graph_restore(self, x: Tensor, **given: Tensor) -> dict[str, Tensor]:
        point = self.point(self.decode_parameters(self.modality.convert(x), **given))
        like = keras.backend.standardize_dtype(x.dtype)
        examples = self.modality.from_model(point, like)
        axes = tuple(range(1, len(point.shape)))
        return {EXAMPLES: examples, IS_FINITE: ops.all(ops.isfinite(point), axes)}
