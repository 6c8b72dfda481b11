"""Masked autoencoder: a transformer that completes images from some patches."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.modalities.image.corruption import apply_corruption
from aezoo.models.autoencoder import DeterministicAutoencoder
from aezoo.nn.layers import Encoder, Stage
from aezoo.registry import register_family
from aezoo.utils.validation import check_number, check_positive_int

Tensor = Any
# Added to the variance of a patch, so that flat ones have a finite weight.
VARIANCE_FLOOR = 0.01


@register_family("masked_ae")
class MaskedAE(DeterministicAutoencoder):
    """Masked autoencoder (MAE) of He et al. (2021).

    "Masked autoencoders are scalable vision learners"
    (https://arxiv.org/abs/2111.06377), section 3: in training a transformer encodes a
    random part of the image's patches, and a smaller one decodes them, with one
    learned token in place of each hidden patch. `reconstruction` is the error on the
    hidden patches, `visible` that on the others, each as the mean over such patches
    times their number in the image. Without training (`encode`, `reconstruct`)
    nothing is hidden, and both are the error of the whole image.

    The code is one vector per patch, `(patches, latent_dim)`, row by row, so that
    `decode` gives an image back. The paper trains on hidden patches alone
    (`visible_weight=0`); its decoder then never learns to draw what it sees, and
    `reconstruct` is poor. Positions are encoded by sines, as in the paper.

    Args:
        input_shape: Image shape `(height, width, channels)`; sizes that patches do not
            divide are filled up with zeros, which count in no loss.
        latent_dim: Units of the code of one patch, and width of the encoder.
        patch_size: Height and width of a patch.
        mask_ratio: Share of patches to hide in training; at least one is hidden, and
            at least one is not.
        visible_weight: Weight of the error on visible patches.
        normalize_patches: Divides each patch's error by its variance, as predicting
            normalised pixels does (with 0.01 added to the variance), while `decode`
            still answers with pixels. Needs `reconstruction_loss="mse"`.
        num_layers: Transformer blocks of the encoder.
        num_heads: Attention heads of each block.
        decoder_dim: Width of the decoder.
        decoder_layers: Transformer blocks of the decoder.
        **kwargs: As in `DeterministicAutoencoder`. `"ms_ssim"` is that of the whole
            image, whatever is hidden.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "latent_dim": 6,
        "patch_size": 4,
        "mask_ratio": 0.5,
        "visible_weight": 1.0,
        "num_layers": 1,
        "num_heads": 2,
        "decoder_dim": 8,
    }

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 64,
        *,
        patch_size: int = 4,
        mask_ratio: float = 0.75,
        visible_weight: float = 0.1,
        normalize_patches: bool = False,
        num_layers: int = 4,
        num_heads: int = 4,
        decoder_dim: int = 32,
        decoder_layers: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, latent_dim, **kwargs)
        self.patch_size = check_positive_int("patch_size", patch_size)
        self.mask_ratio = check_number("mask_ratio", mask_ratio, low=0.0, high=1.0)
        self.visible_weight = check_number("visible_weight", visible_weight, low=0.0)
        self.normalize_patches = bool(normalize_patches)
        self.num_layers = check_positive_int("num_layers", num_layers)
        self.num_heads = check_positive_int("num_heads", num_heads)
        self.decoder_dim = check_positive_int("decoder_dim", decoder_dim)
        self.decoder_layers = check_positive_int("decoder_layers", decoder_layers)
        if self.normalize_patches and self.reconstruction_loss != "mse":
            raise ValueError(
                "`normalize_patches=True` needs `reconstruction_loss='mse'`. "
                f"Received: reconstruction_loss={self.reconstruction_loss!r}."
            )
        height, width, channels = self.input_shape
        self.grid = (-(-height // patch_size), -(-width // patch_size))
        self.num_patches = math.prod(self.grid)
        if self.num_patches < 2:
            raise ValueError(
                "`patch_size` must divide the image into at least 2 patches. Received: "
                f"patch_size={patch_size}, input_shape={self.input_shape}."
            )
        visible = self.num_patches - round(self.mask_ratio * self.num_patches)
        self.num_visible = min(max(visible, 1), self.num_patches - 1)
        self.encoder = PatchEncoder(
            self.grid, self.patch_size, latent_dim, num_layers, num_heads
        )
        self.decoder = PatchDecoder(
            self.grid, patch_size, channels, decoder_dim, decoder_layers, num_heads
        )

    def decode_parameters(self, z: Tensor, training: bool = False) -> Tensor:
        """Decoder output for codes, without what fills the image up; float32."""
        height, width, _ = self.input_shape
        return super().decode_parameters(z, training)[:, :height, :width]

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one code, `(patches, latent_dim)`."""
        return (self.num_patches, self.latent_dim)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {**super().loss_weights, "visible": self.visible_weight}

    def call(
        self, inputs: Tensor, training: bool = False, sample_seed: Any = None
    ) -> dict[str, Tensor]:
        """Encode and decode a batch inside a graph, as in `Autoencoder`.

        Args:
            inputs: Images `(batch, *input_shape)`: floats in [0, 1] or uint8.
            training: Hides patches (and corrupts the input).
            sample_seed: Hides patches also when not training, by this source.

        Returns:
            As in `Autoencoder`, and `hidden`, 1 for each hidden patch and else 0,
            `(batch, patches)`. Hidden patches have the mask token as their code.
        """
        if sample_seed is None and not training:
            outputs = super().call(inputs)
            hidden = ops.zeros((ops.shape(inputs)[0], self.num_patches))
            return {**outputs, "hidden": hidden}
        x = self.to_unit_range(inputs, self.compute_dtype)
        if training and self.corruption is not None:
            x = apply_corruption(
                x, self.corruption, self.corruption_level, self.seed_generator
            )
        noise = self.noise((ops.shape(x)[0], self.num_patches), training, sample_seed)
        rank = ops.argsort(ops.argsort(noise, axis=1), axis=1)  # (batch, patches)
        z = self.encoder(x, rank=rank, num_visible=self.num_visible)["z"]
        decoder_output = self.decode_parameters(z, training=training)
        return {
            "x_hat": self.to_pixels(decoder_output),
            "decoder_output": decoder_output,
            "z": ops.cast(z, "float32"),
            "hidden": ops.cast(rank >= self.num_visible, "float32"),
        }

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        if self.reconstruction_loss == "ms_ssim":  # of the image, not of patches
            return {**terms, "visible": terms["reconstruction"]}
        errors, hidden = self.patch_errors(x, outputs), outputs["hidden"]
        for name, chosen in (("reconstruction", hidden), ("visible", 1.0 - hidden)):
            count = ops.sum(chosen, axis=1, keepdims=True)
            # of the whole image, where there are none of these
            chosen = ops.where(count > 0.0, chosen, 1.0)
            share = ops.sum(errors * chosen, axis=1) / ops.sum(chosen, axis=1)
            terms[name] = self.num_patches * share
        return terms

    def patch_errors(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """Reconstruction loss of each patch, summed over its pixels.

        Args:
            x: Target images in [0, 1], float32, shape `(batch, *input_shape)`.
            outputs: What `call` returned.

        Returns:
            Shape `(batch, patches)`.
        """
        # What fills the image up has no error: logits of 0, and pixels of 0.
        fill = {"x_hat": 0.0, "decoder_output": -100.0}
        flat = {
            name: to_patches(outputs[name], self.patch_size, value)
            for name, value in fill.items()
        }
        target = to_patches(x, self.patch_size)
        width = target.shape[-1]
        errors = self.reconstruction_term(
            ops.reshape(target, (-1, width)),
            {name: ops.reshape(v, (-1, width)) for name, v in flat.items()},
        )
        errors = ops.reshape(errors, (-1, self.num_patches))
        if self.normalize_patches:
            errors = errors / (ops.var(target, axis=-1) + VARIANCE_FLOOR)
        return errors

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "patch_size": self.patch_size,
            "mask_ratio": self.mask_ratio,
            "visible_weight": self.visible_weight,
            "normalize_patches": self.normalize_patches,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "decoder_dim": self.decoder_dim,
            "decoder_layers": self.decoder_layers,
        }


# --- Patches ----------------------------------------------------------------------


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


def position_encoding(grid: tuple[int, int], dim: int) -> np.ndarray:
    """Sines and cosines of each patch's row and column, of falling frequency.

    Args:
        grid: Rows and columns of patches.
        dim: Features.

    Returns:
        Float32, shape `(rows * columns, dim)`.
    """
    num = -(-dim // 4)
    frequencies = 10_000.0 ** (-np.arange(num) / num)
    places = np.indices(grid).reshape(2, -1, 1) * frequencies  # (2, patches, num)
    waves = np.stack([np.sin(places), np.cos(places)])  # (2, 2, patches, num)
    features = waves.transpose(2, 3, 0, 1).reshape(math.prod(grid), 4 * num)
    return features[:, :dim].astype("float32")


# --- Transformer ------------------------------------------------------------------


class TransformerBlock(keras.layers.Layer):
    """Self-attention and a dense layer of four times the width, each a residual.

    Normalised before, as in Dosovitskiy et al. (2021),
    https://arxiv.org/abs/2010.11929, equations 2 and 3.

    Args:
        dim: Width of the tokens.
        num_heads: Attention heads; each of `dim / num_heads` units, rounded up.
    """

    def __init__(self, dim: int, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.head_dim = num_heads, -(-dim // num_heads)
        width = num_heads * self.head_dim
        self.norms = [
            keras.layers.LayerNormalization(epsilon=1e-6, name=f"norm_{i}")
            for i in (1, 2)
        ]
        # keys need no bias: it shifts all scores of a query alike
        self.query = keras.layers.Dense(width, name="query")
        self.key = keras.layers.Dense(width, use_bias=False, name="key")
        self.value = keras.layers.Dense(width, name="value")
        self.merge = keras.layers.Dense(dim, name="merge")
        self.widen = keras.layers.Dense(4 * dim, activation="gelu", name="widen")
        self.narrow = keras.layers.Dense(dim, name="narrow")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the layers for tokens `(batch, tokens, dim)`."""
        shape = tuple(input_shape)
        for layer in (*self.norms, self.query, self.key, self.value, self.widen):
            layer.build(shape)
        self.merge.build((*shape[:-1], self.query.units))
        self.narrow.build((*shape[:-1], self.widen.units))

    def call(self, inputs: Tensor) -> Tensor:
        """Tokens to tokens, `(batch, tokens, dim)`."""
        x = self.norms[0](inputs)
        heads = (-1, inputs.shape[1], self.num_heads, self.head_dim)
        query, key, value = (
            ops.reshape(layer(x), heads) for layer in (self.query, self.key, self.value)
        )
        # Written out: JAX's own attention knows no float16 on a CPU.
        scores = ops.einsum("bqhd,bkhd->bhqk", query, key) / self.head_dim**0.5
        weights = ops.cast(ops.softmax(ops.cast(scores, "float32")), value.dtype)
        mixed = ops.einsum("bhqk,bkhd->bqhd", weights, value)
        width = self.num_heads * self.head_dim
        x = inputs + self.merge(ops.reshape(mixed, (-1, inputs.shape[1], width)))
        return x + self.narrow(self.widen(self.norms[1](x)))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """That of the input."""
        return tuple(input_shape)


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
    """

    KEEPS_POSITIONS: ClassVar[bool] = True

    def __init__(
        self,
        grid: tuple[int, int],
        patch_size: int,
        dim: int,
        num_layers: int,
        num_heads: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.patch_size, self.dim = patch_size, dim
        self.positions = position_encoding(grid, dim)
        self.embed = keras.layers.Dense(dim, name="embed")
        self.blocks = [
            TransformerBlock(dim, num_heads, name=f"block_{i}")
            for i in range(1, num_layers + 1)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")
        self.mask_initializer = keras.initializers.RandomNormal(stddev=0.02)

    def stages(self) -> list[Stage]:
        """The embedding of patches, then the blocks."""
        embedding = Stage(
            "tokens",
            (self.embed,),
            stride=self.patch_size,
            before=lambda images: to_patches(images, self.patch_size),
            shape_before=self._shape_of_patches,
            after=lambda x: x + ops.cast(self.positions, x.dtype),
        )
        blocks = [
            Stage(f"block{i}", (block,)) for i, block in enumerate(self.blocks, start=1)
        ]
        blocks[-1] = dataclasses.replace(
            blocks[-1], layers=(self.blocks[-1], self.norm), is_pooled=True
        )
        return [embedding, *blocks]

    def _shape_of_patches(self, shape: tuple) -> tuple:
        batch, height, width, channels = shape
        size = self.patch_size
        grid = -(-height // size), -(-width // size)
        return batch, math.prod(grid), size**2 * channels

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """`z`, `(batch, patches, dim)`."""
        return {"z": x}

    def build_outputs(self, shape: tuple) -> None:  # noqa: ARG002
        """Create the mask token."""
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
                `num_visible` are seen, and the mask token stands for the others.
            num_visible: Number of patches to see.
        """
        embedding, *blocks = self.stages()
        tokens = embedding(inputs)
        num_patches = tokens.shape[1]
        if rank is not None:
            order = ops.argsort(rank, axis=1)[:, :num_visible, None]
            tokens = ops.take_along_axis(tokens, order, axis=1)
        for block in blocks:
            tokens = block(tokens)
        if rank is not None:
            shape = (ops.shape(tokens)[0], num_patches - num_visible, self.dim)
            mask = ops.broadcast_to(ops.cast(self.mask_token, tokens.dtype), shape)
            tokens = ops.concatenate([tokens, mask], axis=1)
            tokens = ops.take_along_axis(tokens, rank[:, :, None], axis=1)
        return {"z": tokens}


class PatchDecoder(keras.layers.Layer):
    """One vector per patch to an image, through a transformer.

    Args:
        grid: Rows and columns of patches.
        patch_size: Height and width of a patch.
        channels: Channels of the image.
        dim: Width of the tokens.
        num_layers: Transformer blocks.
        num_heads: Attention heads of each block.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        patch_size: int,
        channels: int,
        dim: int,
        num_layers: int,
        num_heads: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.grid, self.patch_size, self.dim = grid, patch_size, dim
        self.positions = position_encoding(grid, dim)
        self.embed = keras.layers.Dense(dim, name="embed")
        self.blocks = [
            TransformerBlock(dim, num_heads, name=f"block_{i}")
            for i in range(1, num_layers + 1)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")
        self.pixels = keras.layers.Dense(patch_size**2 * channels, name="pixels")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, patches, latent_dim)`."""
        self.embed.build(tuple(input_shape))
        for layer in (*self.blocks, self.norm, self.pixels):
            layer.build((None, None, self.dim))

    def call(self, inputs: Tensor) -> Tensor:
        """Codes to pixels before the output activation, filled up to whole patches."""
        tokens = self.embed(inputs)
        tokens = tokens + ops.cast(self.positions, tokens.dtype)
        for block in self.blocks:
            tokens = block(tokens)
        patches = self.pixels(self.norm(tokens))
        return from_patches(patches, self.grid, self.patch_size)
