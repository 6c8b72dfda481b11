"""Blocks of transformers, and positions for them."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any


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
