"""Blocks of transformers, and positions for them."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
# Of normalisations.
EPSILON = 1e-6


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


def split_position_encoding(grid: tuple[int, int], dim: int) -> np.ndarray:
    """As `position_encoding`, with all waves of an axis one after the other.

    Sines and cosines of the column, then those of the row: the order in which He et
    al. (2021), https://arxiv.org/abs/2111.06377, published theirs.

    Args:
        grid: As there.
        dim: As there.
    """
    num = -(-dim // 4)
    frequencies = 10_000.0 ** (-np.arange(num) / num)
    rows, columns = np.indices(grid).reshape(2, -1, 1) * frequencies
    waves = [np.sin(columns), np.cos(columns), np.sin(rows), np.cos(rows)]
    return np.concatenate(waves, axis=-1)[:, :dim].astype("float32")


def transformer(
    dim: int, num_layers: int, num_heads: int, *, first: int = 1, **block: Any
) -> tuple[list["TransformerBlock"], keras.layers.LayerNormalization]:
    """Blocks one after the other, and the normalisation after the last one.

    Args:
        dim: Width of the tokens.
        num_layers: Blocks, named `block_1` and so on.
        num_heads: Attention heads of each.
        first: Number of the first block, for its name.
        **block: Other arguments of `TransformerBlock`.
    """
    blocks = [
        TransformerBlock(dim, num_heads, **block, name=f"block_{i}")
        for i in range(first, first + num_layers)
    ]
    epsilon = block.get("epsilon", EPSILON)
    return blocks, keras.layers.LayerNormalization(epsilon=epsilon, name="norm")


class TransformerBlock(keras.layers.Layer):
    """Self-attention and a wider dense layer, each a residual.

    Normalised before, as in Dosovitskiy et al. (2021),
    https://arxiv.org/abs/2010.11929, equations 2 and 3.

    Args:
        dim: Width of the tokens.
        num_heads: Attention heads; each of `dim / num_heads` units, rounded up.
        mlp_dim: Width of the dense layer; None for four times that of the tokens.
        activation: Keras activation of the dense layer.
        epsilon: Of the normalisations.
        key_bias: Whether keys have a bias. It makes no difference: it shifts all
            scores of a query alike; published weights have one.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_dim: int | None = None,
        *,
        activation: str = "gelu",
        epsilon: float = EPSILON,
        key_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.head_dim = num_heads, -(-dim // num_heads)
        width = num_heads * self.head_dim
        self.norms = [
            keras.layers.LayerNormalization(epsilon=epsilon, name=f"norm_{i}")
            for i in (1, 2)
        ]
        self.query = keras.layers.Dense(width, name="query")
        self.key = keras.layers.Dense(width, use_bias=key_bias, name="key")
        self.value = keras.layers.Dense(width, name="value")
        self.merge = keras.layers.Dense(dim, name="merge")
        self.widen = keras.layers.Dense(
            mlp_dim or 4 * dim, activation=activation, name="widen"
        )
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
