"""A modality that the tests alone know: the proof that the trunk is free of images."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from aezoo.modalities import Modality, Preview
from aezoo.modalities.base import lines_of
from aezoo.models.vae import VAE
from aezoo.networks import Dense
from aezoo.registry import register_family

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Bits(Modality):
    """Rows of zeros and ones.

    Args:
        length: Bits of an example.
    """

    length: int = 8

    kind: ClassVar[str] = "bits"
    noun: ClassVar[str] = "word"
    element: ClassVar[str] = "bit"
    is_text: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = (".txt",)
    likelihoods: ClassVar[tuple[str, ...]] = ("bernoulli",)
    errors: ClassVar[tuple[str, ...]] = ("bce", "mse")
    activations: ClassVar[tuple[str, ...]] = ("sigmoid", "linear")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)

    def check(self, x: Any, name: str = "x") -> np.ndarray:
        words = np.asarray(x)
        if words.ndim != 2 or words.shape[1:] != self.shape or not len(words):
            raise ValueError(
                f"`{name}` must have shape (n, {self.length}). "
                f"Received: {name}.shape={words.shape}."
            )
        if not np.isin(words, (0, 1)).all() and words.dtype.kind != "f":
            raise ValueError(f"`{name}` must hold bits, 0 and 1.")
        if words.dtype.kind == "f":
            words = words.astype("float32")
            if not (words.min() >= 0.0 and words.max() <= 1.0):
                raise ValueError(f"`{name}` must hold values in [0, 1].")
            return words
        return words.astype("uint8")

    def convert(self, x: Tensor, dtype: str = "float32") -> Tensor:
        from keras import ops

        return ops.cast(x, dtype)

    def from_model(self, x: Tensor, like: str = "float32") -> Tensor:
        from keras import ops

        x = ops.clip(x, 0.0, 1.0)
        return ops.cast(x >= 0.5, like) if like == "uint8" else x

    def read(self, path: Path, **_: Any) -> tuple[np.ndarray, str | None]:
        return np.array([int(bit) for bit in path.read_text().strip()], "uint8"), None

    def write(self, x: np.ndarray, path: Path) -> None:
        path.write_text("".join(str(int(bit >= 0.5)) for bit in x) + "\n")

    def preview(self, x: np.ndarray, columns: int | None = None) -> Preview:
        texts = ("".join(str(int(bit >= 0.5)) for bit in word) for word in x)
        return Preview(lines=lines_of(texts, columns))

    def examples(self, n: int, seed: int = 0) -> np.ndarray:
        generator = np.random.default_rng(seed)
        return generator.integers(0, 2, (n, self.length)).astype("uint8")

    def unrounded(self, x: np.ndarray) -> np.ndarray:
        return x.astype("float32")


@register_family(
    "bits_vae",
    network=Dense((16,)),
    modality=Bits(8),
    tiny={"latent_dim": 3, "hidden_units": (16,)},
)
class BitsVAE(VAE):
    """A VAE of words of bits (https://arxiv.org/abs/1312.6114)."""


@register_family(
    "told_bits_vae",
    network=Dense((16,)),
    modality=Bits(8),
    tiny={"latent_dim": 3, "hidden_units": (16,)},
)
class ToldBitsVAE(VAE):
    """A VAE of words that is told their first half (https://arxiv.org/abs/1312.6114).

    Encoder and decoder see the half as something that is added to what they take.
    """

    given = {"half": Bits(4)}  # noqa: RUF012

    def create_layers(self) -> None:
        super().create_layers()
        self.beside_word = keras.layers.Dense(8, name="beside_word")
        self.beside_code = keras.layers.Dense(self.latent_dim, name="beside_code")

    def build_layers(self) -> None:
        super().build_layers()
        for layer in (self.beside_word, self.beside_code):
            layer.build((None, 4))

    def encode_parameters(
        self, x: Tensor, training: bool = False, **given: Tensor
    ) -> dict[str, Tensor]:
        told = self.given["half"].to_model(given["half"], self.compute_dtype)
        return super().encode_parameters(x + self.beside_word(told), training)

    def decode_parameters(
        self, z: Tensor, training: bool = False, **given: Tensor
    ) -> Tensor:
        told = self.given["half"].to_model(given["half"], self.compute_dtype)
        z = z + keras.ops.cast(self.beside_code(told), z.dtype)
        return super().decode_parameters(z, training)
