"""Transformers of patches."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network
from aezoo.networks.dense import dense_heads
from aezoo.networks.stages import Encoder, Stage, mean_over_positions
from aezoo.nn.layers.transformer import position_encoding, transformer
from aezoo.utils.validation import check_positive_int

Tensor = Any


@dataclasses.dataclass(frozen=True)
class PatchNetwork(Network):
    """A transformer of an image's patches; the base of networks that may hide some.

    A subclass has `patch_size`, the height and width of a patch.
    """

    patch_size: int = 4

    @property
    def hides_patches(self) -> bool:
        """Whether its encoder can be told which patches to see."""
        return False

    def grid(self, modality: Modality) -> tuple[int, int]:
        """Rows and columns of patches."""
        height, width = modality.positions
        return (-(-height // self.patch_size), -(-width // self.patch_size))

    def check_grid(self, modality: Modality) -> None:
        """Refuse anything but continuous values on two axes, of at least two patches.

        Raises:
            NetworkError: If they are no such values.
            ValueError: If there is one patch.
        """
        if len(modality.positions) != 2 or not modality.is_continuous:
            raise self.cannot_carry(modality)
        if math.prod(self.grid(modality)) < 2:
            raise ValueError(
                "`patch_size` must divide the image into at least 2 patches. Received: "
                f"patch_size={self.patch_size}, input_shape={modality.shape}."
            )

    def targets(self, patches: Tensor) -> Tensor:
        """What the error of patches is measured against: here the patches.

        Args:
            patches: Values in [0, 1], `(batch, patches, size * size * channels)`.
        """
        return patches

    def predictions(self, patches: Tensor) -> Tensor:
        """What the decoder shows, in the units of `targets`; as there."""
        return patches


@dataclasses.dataclass(frozen=True)
class ViT(PatchNetwork):
    """A transformer of an image's patches, and a smaller one back.

    Dosovitskiy et al. (2021), https://arxiv.org/abs/2010.11929, with positions by
    sines. A latent that is a map has one vector per patch, `(patches, units)`, row by
    row; a flat one follows from the mean over patches. Sizes that patches do not
    divide are filled up with zeros, which are cut off again.

    Args:
        patch_size: Height and width of a patch.
        num_layers: Transformer blocks of the encoder.
        num_heads: Attention heads of each block.
        dim: Width of the encoder; None for that of the latent.
        decoder_dim: Width of the decoder.
        decoder_layers: Transformer blocks of the decoder.
    """

    num_layers: int = 4
    num_heads: int = 4
    dim: int | None = None
    decoder_dim: int = 32
    decoder_layers: int = 1

    kind: ClassVar[str] = "vit"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        for name in self.argument_names():
            value = getattr(self, name)
            if name != "dim" or value is not None:
                object.__setattr__(self, name, check_positive_int(name, value))

    @property
    def hides_patches(self) -> bool:
        """Where the tokens are the code."""
        return self.dim is None

    def check(self, modality: Modality, latent: Latent) -> None:
        """Images and other continuous values on two axes, of at least two patches."""
        self.check_grid(modality)
        if latent.quantizer is not None or latent.is_hierarchical:
            raise self.cannot_carry(modality, latent)

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """`(units,)`, or of a map `(patches, units)`."""
        self.check(modality, latent)
        if not latent.is_map:
            return (latent.units,)
        return (math.prod(self.grid(modality)), latent.units)

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> "PatchEncoder":
        """A `PatchEncoder`, whose tokens are the code; or one with heads."""
        self.check(modality, latent)
        size = (self.grid(modality), self.patch_size)
        depth = (self.num_layers, self.num_heads)
        is_code = latent.is_map and tuple(heads) == ("z",) and self.dim is None
        if is_code:
            return PatchEncoder(
                *size, latent.units, *depth, has_mask_token=latent.is_masked
            )
        dim = self.dim or latent.units
        return PatchHeadsEncoder(*size, dim, *depth, heads=heads, latent=latent)

    def decoder(self, modality: Modality, width: int, latent: Latent) -> "PatchDecoder":
        """A `PatchDecoder`."""
        self.check(modality, latent)
        return PatchDecoder(
            self.grid(modality),
            self.patch_size,
            (*modality.positions, width),
            self.decoder_dim,
            self.decoder_layers,
            self.num_heads,
            is_flat=not latent.is_map,
        )


def to_patches(images: Tensor, size: int, fill: float = 0.0) -> Tensor:
    """Images cut into patches, row by row; filled up at the bottom and the right.

    Args:
        images: Shape `(batch, height, width, channels)`.
        size: Height and width of a patch.
        fill: What fills up sizes that patches do not divide.

    Returns:
        Shape `(batch, patches, size * size * channels)`.
    """
    _, height, width, channels = images.shape
    rows, columns = -(-height // size), -(-width // size)
    bottom, right = rows * size - height, columns * size - width
    if bottom or right:
        padding = ((0, 0), (0, bottom), (0, right), (0, 0))
        images = ops.pad(images, padding, constant_values=fill)
    x = ops.reshape(images, (-1, rows, size, columns, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (b, rows, columns, size, size, c)
    return ops.reshape(x, (-1, rows * columns, size * size * channels))


def from_patches(patches: Tensor, grid: tuple[int, int], size: int) -> Tensor:
    """The images that `to_patches` cut, with what fills them up.

    Args:
        patches: Shape `(batch, rows * columns, size * size * channels)`.
        grid: Rows and columns of patches.
        size: Height and width of a patch.

    Returns:
        Shape `(batch, rows * size, columns * size, channels)`.
    """
    rows, columns = grid
    channels = patches.shape[-1] // size**2
    x = ops.reshape(patches, (-1, rows, columns, size, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (b, rows, size, columns, size, c)
    return ops.reshape(x, (-1, rows * size, columns * size, channels))


class PatchEncoder(Encoder):
    """Patches of an image to one vector each, through a transformer.

    Layers by name: `tokens` (embedded patches with their positions), `block1` and so
    on (the last one normalised, as it is the code), `pool` and `latent`.

    Args:
        grid: Rows and columns of patches.
        patch_size: Height and width of a patch.
        dim: Width of the tokens.
        num_layers: Transformer blocks.
        num_heads: Attention heads of each block.
        has_mask_token: Whether a learned token stands for patches that are hidden;
            else zeros do.
        block: More arguments of `transformer`.
    """

    keeps_positions: bool = True
    # Tokens before those of patches.
    num_prefix: ClassVar[int] = 0

    def __init__(
        self,
        grid: tuple[int, int],
        patch_size: int,
        dim: int,
        num_layers: int,
        num_heads: int,
        *,
        has_mask_token: bool = False,
        block: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.grid, self.patch_size, self.dim = grid, patch_size, dim
        self.has_mask_token = has_mask_token
        self.embed = self.make_embedding()
        self.blocks, self.norm = transformer(dim, num_layers, num_heads, **block or {})
        self.mask_initializer = keras.initializers.RandomNormal(stddev=0.02)

    def make_embedding(self) -> keras.layers.Layer:
        """The layer of the stage `tokens`."""
        self.positions = position_encoding(self.grid, self.dim)
        return keras.layers.Dense(self.dim, name="embed")

    def embedding(self) -> Stage:
        """The stage `tokens`."""
        return Stage(
            "tokens",
            (self.embed,),
            stride=self.patch_size,
            before=lambda images: to_patches(images, self.patch_size),
            shape_before=self._shape_of_patches,
            after=lambda x: x + ops.cast(self.positions, x.dtype),
        )

    def stages(self) -> list[Stage]:
        """The embedding of patches, then the blocks."""
        blocks = [
            Stage(f"block{i}", (block,)) for i, block in enumerate(self.blocks, start=1)
        ]
        blocks[-1] = dataclasses.replace(
            blocks[-1], layers=(self.blocks[-1], self.norm), is_pooled=True
        )
        return [self.embedding(), *blocks]

    def _shape_of_patches(self, shape: tuple) -> tuple:
        batch, height, width, channels = shape
        size = self.patch_size
        grid = -(-height // size), -(-width // size)
        return batch, math.prod(grid), size**2 * channels

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """`z`, `(batch, patches, dim)`."""
        return {"z": x}

    def build_outputs(self, shape: tuple) -> None:  # noqa: ARG002
        """Create the mask token, where there is one."""
        if not self.has_mask_token:
            return
        self.mask_token = self.add_weight(
            shape=(self.dim,), initializer=self.mask_initializer, name="mask_token"
        )

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:  # noqa: ARG002
        """None: the last stage is the code."""
        return ()

    def call(
        self, inputs: Tensor, rank: Tensor | None = None, num_visible: int = 0
    ) -> dict[str, Tensor]:
        """Images to `z`, `(batch, patches, dim)`.

        Args:
            inputs: Images `(batch, height, width, channels)`.
            rank: A random order of the patches, `(batch, patches)`; only the first
                `num_visible` are seen, and the mask token, or zeros, stand for the
                others.
            num_visible: Number of patches to see.
        """
        embedding, *blocks = self.stages()
        tokens = embedding(inputs)
        num_patches = tokens.shape[1] - self.num_prefix
        if rank is not None:
            order = ops.argsort(rank, axis=1)[:, :num_visible]
            tokens = self._take(tokens, order)
        for block in blocks:
            tokens = block(tokens)
        if rank is not None:
            shape = (ops.shape(tokens)[0], num_patches - num_visible, self.dim)
            fill = self.mask_token if self.has_mask_token else ops.zeros((self.dim,))
            mask = ops.broadcast_to(ops.cast(fill, tokens.dtype), shape)
            tokens = ops.concatenate([tokens, mask], axis=1)
            tokens = self._take(tokens, rank)
        return self.outputs(tokens)

    def _take(self, tokens: Tensor, order: Tensor) -> Tensor:
        """Tokens of patches in an order, `(batch, taken)`, behind those before them."""
        if self.num_prefix:
            first = ops.broadcast_to(
                ops.arange(self.num_prefix, dtype=order.dtype),
                (ops.shape(order)[0], self.num_prefix),
            )
            order = ops.concatenate([first, order + self.num_prefix], axis=1)
        return ops.take_along_axis(tokens, order[:, :, None], axis=1)


class PatchHeadsEncoder(PatchEncoder):
    """A `PatchEncoder` with a linear head per output, of each patch or of their mean.

    Args:
        *args: As in `PatchEncoder`.
        heads: Width of each output, by its name.
        latent: What the objective needs: a map, or a flat latent.
        **kwargs: As in `PatchEncoder`.
    """

    def __init__(
        self, *args: Any, heads: Mapping[str, int], latent: Latent, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.is_flat = not latent.is_map
        self.heads = dense_heads(heads, latent.activation)

    @property
    def keeps_positions(self) -> bool:  # type: ignore[override]
        """Whether a code has a vector for each patch."""
        return not self.is_flat

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """One tensor per head."""
        if self.is_flat:
            x = ops.cast(mean_over_positions(x), x.dtype)
        return {name: head(x) for name, head in self.heads.items()}

    def build_outputs(self, shape: tuple) -> None:
        """Build the heads."""
        for head in self.heads.values():
            head.build((None, shape[-1]) if self.is_flat else shape)

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:
        """The head."""
        return (self.heads[head],)


class PatchDecoder(keras.layers.Layer):
    """One vector per patch, or one for all, to an image, through a transformer.

    Args:
        grid: Rows and columns of patches.
        patch_size: Height and width of a patch.
        output_shape: Shape `(height, width, channels)` of one output.
        dim: Width of the tokens.
        num_layers: Transformer blocks.
        num_heads: Attention heads of each block.
        is_flat: Whether there is one vector for all patches.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        patch_size: int,
        output_shape: Sequence[int],
        dim: int,
        num_layers: int,
        num_heads: int,
        *,
        is_flat: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        *self.size, channels = output_shape
        self.spread = None
        if is_flat:
            self.spread = keras.layers.Dense(math.prod(grid) * dim, name="spread")
        self.grid, self.patch_size, self.dim = grid, patch_size, dim
        self.positions = position_encoding(grid, dim)
        self.embed = keras.layers.Dense(dim, name="embed")
        self.blocks, self.norm = transformer(dim, num_layers, num_heads)
        self.pixels = keras.layers.Dense(patch_size**2 * channels, name="pixels")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, patches, units)` or `(batch, units)`."""
        shape = tuple(input_shape)
        if self.spread is not None:
            self.spread.build(shape)
            shape = (None, None, self.dim)
        self.embed.build(shape)
        for layer in (*self.blocks, self.norm, self.pixels):
            layer.build((None, None, self.dim))

    def call(self, inputs: Tensor, hidden: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Codes to parameters of a likelihood, `(batch, *output_shape)`.

        Args:
            inputs: The codes.
            hidden: Which patches were hidden, bools `(batch, patches)`; here their
                codes say so, too.
        """
        tokens = inputs
        if self.spread is not None:
            tokens = ops.reshape(
                self.spread(inputs), (-1, math.prod(self.grid), self.dim)
            )
        tokens = self.embed(tokens)
        tokens = tokens + ops.cast(self.positions, tokens.dtype)
        for block in self.blocks:
            tokens = block(tokens)
        patches = self.pixels(self.norm(tokens))
        height, width = self.size
        return from_patches(patches, self.grid, self.patch_size)[:, :height, :width]
