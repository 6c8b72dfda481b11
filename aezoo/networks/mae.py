"""The transformer of masked autoencoders, as transformers lays it out."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.errors import UnsupportedOperationError
from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, check_activation
from aezoo.networks.stages import Stage, mean_over_positions
from aezoo.networks.vit import PatchEncoder, PatchNetwork, from_patches
from aezoo.nn.layers.transformer import split_position_encoding, transformer
from aezoo.utils.validation import check_number, check_positive_int

Tensor = Any
# Added to the variance of a patch that is normalised.
VARIANCE_FLOOR = 1e-6
_SIZES = (
    "patch_size",
    "num_layers",
    "num_heads",
    "mlp_dim",
    "decoder_dim",
    "decoder_layers",
    "decoder_heads",
    "decoder_mlp_dim",
)


@dataclasses.dataclass(frozen=True)
class MAE(PatchNetwork):
    """A transformer of patches and a class token, and a smaller one back.

    He et al. (2021), "Masked autoencoders are scalable vision learners"
    (https://arxiv.org/abs/2111.06377), section 3 and appendix A; the network of
    `ViTMAEForPreTraining` in transformers, whose weights fit. Beside the network
    `"vit"` it has a class token, the first vector of a code; the decoder has the token
    of hidden patches, at its own width; and positions are weights, sines at first,
    which training does not change.

    Values in [0, 1] are shifted and scaled channel by channel before the first layer,
    and back after the last one.

    Args:
        patch_size: Height and width of a patch; both sides are multiples.
        num_layers: Transformer blocks of the encoder.
        num_heads: Attention heads of each block.
        mlp_dim: Width of the dense layer in each block.
        decoder_dim: Width of the decoder; None for no decoder: codes and features are
            all that such a model has.
        decoder_layers: Transformer blocks of the decoder.
        decoder_heads: Attention heads of each of them.
        decoder_mlp_dim: Width of the dense layer in each of them.
        activation: Keras activation of the dense layers.
        epsilon: Of the normalisations.
        normalize_targets: Whether the decoder predicts patches with mean 0 and
            variance 1 over their pixels. It then knows neither brightness nor
            contrast of a patch, and `decode` shows it with those of `channel_mean`
            and `channel_std`.
        channel_mean: What is subtracted from values in [0, 1]: one number, or one for
            each channel.
        channel_std: What they are divided by then.
    """

    num_layers: int = 4
    num_heads: int = 4
    mlp_dim: int = 256
    decoder_dim: int | None = 32
    decoder_layers: int = 1
    decoder_heads: int = 4
    decoder_mlp_dim: int = 128
    activation: str = "gelu"
    epsilon: float = 1e-6
    normalize_targets: bool = False
    channel_mean: tuple[float, ...] = (0.5,)
    channel_std: tuple[float, ...] = (0.5,)

    kind: ClassVar[str] = "mae"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        for name in _SIZES:
            value = getattr(self, name)
            if name != "decoder_dim" or value is not None:
                object.__setattr__(self, name, check_positive_int(name, value))
        for name, above in (("channel_mean", None), ("channel_std", 0.0)):
            values = [check_number(name, v, above=above) for v in getattr(self, name)]
            object.__setattr__(self, name, tuple(values))
        check_activation("activation", self.activation)
        check_number("epsilon", self.epsilon, above=0.0)

    @property
    def hides_patches(self) -> bool:
        """Always."""
        return True

    def check(self, modality: Modality, latent: Latent) -> None:
        """Images of whole patches, for objectives that hide some of them."""
        self.check_grid(modality)
        if not latent.is_masked:
            raise self.cannot_carry(modality, latent)
        if any(side % self.patch_size for side in modality.positions):
            raise ValueError(
                "`patch_size` must divide both sides of the image. Received: "
                f"patch_size={self.patch_size}, input_shape={modality.shape}."
            )
        for name in ("channel_mean", "channel_std"):
            if len(getattr(self, name)) not in (1, modality.channels):
                raise ValueError(
                    f"`{name}` must be one number, or one for each of "
                    f"{modality.channels} channels. Received: {getattr(self, name)}."
                )

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """`(1 + patches, units)`: the class token, then the patches row by row."""
        self.check(modality, latent)
        return (1 + math.prod(self.grid(modality)), latent.units)

    def encoder(
        self,
        modality: Modality,
        heads: Mapping[str, int],  # noqa: ARG002
        latent: Latent,
    ) -> "MAEEncoder":
        """An `MAEEncoder`, whose tokens are the code."""
        self.check(modality, latent)
        return MAEEncoder(self, self.grid(modality), latent.units, name="encoder")

    def decoder(
        self, modality: Modality, width: int, latent: Latent
    ) -> keras.layers.Layer:
        """An `MAEDecoder`; or a layer that refuses, where there is none."""
        self.check(modality, latent)
        if self.decoder_dim is None:
            return NoDecoder(name="decoder")
        return MAEDecoder(self, self.grid(modality), width, name="decoder")

    # --- Values in [0, 1], and those of the network -----------------------------------

    def block(self, mlp_dim: int) -> dict[str, Any]:
        """Arguments of `transformer`, which counts blocks as the weights' files do."""
        return {
            "mlp_dim": mlp_dim,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "key_bias": True,
            "first": 0,
        }

    def normalized(self, x: Tensor) -> Tensor:
        """Values `(..., channels)` in [0, 1] as the network has them."""
        mean, std = (ops.cast(v, x.dtype) for v in self._moments)
        return (x - mean) / std

    def denormalized(self, x: Tensor) -> Tensor:
        """The inverse of `normalized`."""
        mean, std = (ops.cast(v, x.dtype) for v in self._moments)
        return x * std + mean

    @property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        mean, std = self.channel_mean, self.channel_std
        return np.array(mean, "float32"), np.array(std, "float32")

    def predictions(self, patches: Tensor) -> Tensor:
        """What the decoder predicts."""
        channels = max(len(self.channel_mean), len(self.channel_std))
        _, count, width = patches.shape
        by_channel = ops.reshape(patches, (-1, count, width // channels, channels))
        return ops.reshape(self.normalized(by_channel), (-1, count, width))

    def targets(self, patches: Tensor) -> Tensor:
        """What the decoder is to predict; as transformers computes it."""
        x = self.predictions(patches)
        if not self.normalize_targets:
            return x
        mean = ops.mean(x, axis=-1, keepdims=True)
        # Bessel's correction, as PyTorch's variance has it
        variance = ops.sum(ops.square(x - mean), axis=-1, keepdims=True)
        variance = variance / max(x.shape[-1] - 1, 1)
        return (x - mean) / ops.sqrt(variance + VARIANCE_FLOOR)


class SinePositions(keras.initializers.Initializer):
    """Nothing for the class token, then sines of each patch's column and row.

    Args:
        grid: Rows and columns of patches.
    """

    def __init__(self, grid: tuple[int, int]) -> None:
        self.grid = grid

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """The array `(1, 1 + patches, dim)`."""
        positions = split_position_encoding(self.grid, shape[-1])
        return ops.convert_to_tensor(
            np.pad(positions, ((1, 0), (0, 0)))[None], dtype or "float32"
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"grid": self.grid}


class PatchTokens(keras.layers.Layer):
    """Images to tokens: that of the class, then one for each patch.

    Args:
        network: Its arguments.
        grid: Rows and columns of patches.
        dim: Width of the tokens.
    """

    def __init__(
        self, network: MAE, grid: tuple[int, int], dim: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_tokens, self.dim = 1 + math.prod(grid), dim
        self.projection = keras.layers.Conv2D(
            dim,
            network.patch_size,
            strides=network.patch_size,
            data_format="channels_last",
            name="projection",
        )
        self.class_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.position_initializer = SinePositions(grid)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights for images `(batch, height, width, channels)`."""
        self.projection.build(tuple(input_shape))
        self.class_token = self.add_weight(
            shape=(1, 1, self.dim),
            initializer=self.class_initializer,
            name="class_token",
        )
        self.positions = self.add_weight(
            shape=(1, self.num_tokens, self.dim),
            initializer=self.position_initializer,
            trainable=False,
            name="positions",
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Tokens `(batch, 1 + patches, dim)`."""
        x = self.projection(inputs)
        patches = ops.reshape(x, (-1, self.num_tokens - 1, self.dim))
        token = ops.broadcast_to(
            ops.cast(self.class_token, x.dtype), (ops.shape(x)[0], 1, self.dim)
        )
        tokens = ops.concatenate([token, patches], axis=1)
        return tokens + ops.cast(self.positions, x.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """`(batch, 1 + patches, dim)`."""
        return (input_shape[0], self.num_tokens, self.dim)


class MAEEncoder(PatchEncoder):
    """Patches of an image, and a class token, to one vector each.

    Layers by name: `tokens`, `block1` and so on (the last one normalised, as it is the
    code), all with the class token first; `pool`, the mean over patches without it; and
    `latent`.

    Args:
        network: Its arguments.
        grid: Rows and columns of patches.
        dim: Width of the tokens.
    """

    # Codes fit one size of image, as positions do.
    keeps_positions: bool = False
    num_prefix: ClassVar[int] = 1

    def __init__(
        self, network: MAE, grid: tuple[int, int], dim: int, **kwargs: Any
    ) -> None:
        self.network = network
        super().__init__(
            grid,
            network.patch_size,
            dim,
            network.num_layers,
            network.num_heads,
            block=network.block(network.mlp_dim),
            **kwargs,
        )

    def make_embedding(self) -> keras.layers.Layer:
        """The layer of the stage `tokens`."""
        return PatchTokens(self.network, self.grid, self.dim, name="tokens")

    def embedding(self) -> Stage:
        """The stage `tokens`; its positions are weights of one size of image."""
        return Stage(
            "tokens", (self.embed,), stride=None, before=self.network.normalized
        )

    def pool(self, x: Tensor) -> Tensor:
        """The mean over patches."""
        return mean_over_positions(x[:, self.num_prefix :])


class MAEDecoder(keras.layers.Layer):
    """One vector for the class token and each patch, to an image.

    Args:
        network: Its arguments.
        grid: Rows and columns of patches.
        width: Parameters of the likelihood per position.
    """

    def __init__(
        self, network: MAE, grid: tuple[int, int], width: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.network, self.grid = network, grid
        self.dim = dim = check_positive_int("decoder_dim", network.decoder_dim)
        self.embed = keras.layers.Dense(dim, name="embed")
        self.blocks, self.norm = transformer(
            dim,
            network.decoder_layers,
            network.decoder_heads,
            **network.block(network.decoder_mlp_dim),
        )
        self.pixels = keras.layers.Dense(network.patch_size**2 * width, name="pixels")
        self.mask_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.position_initializer = SinePositions(grid)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights for codes `(batch, 1 + patches, units)`."""
        shape = tuple(input_shape)
        self.embed.build(shape)
        self.mask_token = self.add_weight(
            shape=(1, 1, self.dim), initializer=self.mask_initializer, name="mask_token"
        )
        self.positions = self.add_weight(
            shape=(1, shape[1], self.dim),
            initializer=self.position_initializer,
            trainable=False,
            name="positions",
        )
        for layer in (*self.blocks, self.norm, self.pixels):
            layer.build((None, shape[1], self.dim))

    def call(self, inputs: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Codes to parameters of a likelihood, `(batch, height, width, width)`.

        Args:
            inputs: The codes.
            hidden: Which patches were hidden, bools `(batch, patches)`: the decoder's
                token takes the place of their codes.
        """
        tokens = self.embed(inputs)
        if hidden is not None:
            seen = ops.zeros_like(hidden[:, :1])  # the class token
            is_hidden = ops.concatenate([seen, hidden], axis=1)[:, :, None]
            token = ops.cast(self.mask_token, tokens.dtype)
            tokens = ops.where(is_hidden, token, tokens)
        tokens = tokens + ops.cast(self.positions, tokens.dtype)
        for block in self.blocks:
            tokens = block(tokens)
        patches = self.pixels(self.norm(tokens))[:, 1:]
        images = from_patches(patches, self.grid, self.network.patch_size)
        return self.network.denormalized(images)


class NoDecoder(keras.layers.Layer):
    """In the place of a decoder that there is not."""

    def call(self, inputs: Tensor, hidden: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Refuse.

        Raises:
            UnsupportedOperationError: Always.
        """
        raise UnsupportedOperationError(
            "This model has an encoder alone (`decoder_dim=None`): it gives codes and "
            "features, and cannot decode. Of transformers, `ViTMAEForPreTraining` has "
            "a decoder, `ViTMAEModel` has none."
        )
