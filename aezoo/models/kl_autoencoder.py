"""Autoencoder with a spatial latent and a small KL term, for latent diffusion."""

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo import manifest
from aezoo.modalities.image.tiling import apply_in_tiles
from aezoo.models._networks import ConvMapNetwork
from aezoo.models.autoencoder import VariationalAutoencoder
from aezoo.nn import losses
from aezoo.registry import register_family
from aezoo.utils.validation import (
    check_choice,
    check_number,
    check_positive_int,
    check_positive_ints,
)

Tensor = Any


@register_family("kl_autoencoder")
class KLAutoencoder(ConvMapNetwork, VariationalAutoencoder):
    """Autoencoder of latent diffusion models, of Rombach et al. (2022).

    "High-resolution image synthesis with latent diffusion models"
    (https://arxiv.org/abs/2112.10752), section 3.1 and appendix G: a diagonal Gaussian
    over a map of codes, held near the standard normal by a KL term of very small
    weight. Beside the likelihood, reconstructions may be compared by the features of
    one of the zoo's classifiers (`perceptual`, the LPIPS of Zhang et al., 2018,
    https://arxiv.org/abs/1801.03924, times the number of pixels and channels), and
    judged patch by patch by a discriminator (Isola et al., 2017,
    https://arxiv.org/abs/1611.07004) with the hinge loss: it minimises `discriminator`,
    and the model `generator`, its mean logit with the sign turned, with a fixed weight.

    The KL term is too weak for codes to be like draws from the prior, so it cannot
    sample by itself. For what is trained on its codes, such as a diffusion model,
    `scale_codes` gives each channel mean 0 and variance 1 over the training images,
    and `unscale_codes` takes that back.

    Images of other sizes than `input_shape` go through it in overlapping tiles:
    `encode_tiled`, `decode_tiled`. Many images never need more memory than
    `batch_size` of them, the argument of every method (what others call slicing).

    Args:
        input_shape: Image shape `(height, width, channels)`.
        code_dim: Channels of the code; it has shape `(h, w, code_dim)`.
        likelihood: As in `VariationalAutoencoder`: `"laplace"` is the absolute error,
            `"gaussian"` the squared one.
        beta: Weight of the KL term in nats.
        perceptual: Name of the classifier, e.g. `"lenet_mnist_v1"`: one of the
            manifest's extractors, for images of as many channels. None for no such
            term.
        perceptual_weight: Weight of the term `perceptual`.
        discriminator_filters: Channels of each convolution of the discriminator,
            which halve the image; empty for no discriminator.
        adversarial_weight: Weight of the term `generator`.
        discriminator_start: Optimiser step from which `generator` counts; the
            discriminator learns from the first.
        **kwargs: As in `ConvMapNetwork` and `VariationalAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "filters": (4, 6),
        "code_dim": 3,
        "beta": 0.01,
        "discriminator_filters": (4, 4),
    }
    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features")

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        *,
        code_dim: int = 4,
        likelihood: str = "laplace",
        beta: float = 1e-6,
        perceptual: str | None = None,
        perceptual_weight: float = 1.0,
        discriminator_filters: Sequence[int] = (),
        adversarial_weight: float = 1.0,
        discriminator_start: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, likelihood=likelihood, beta=beta, **kwargs)
        self.code_dim = check_positive_int("code_dim", code_dim)
        self.add_networks(self.code_dim)
        classifiers = manifest.extractors()
        self.perceptual = check_choice("perceptual", perceptual, (None, *classifiers))
        if perceptual is not None:
            channels = classifiers[perceptual].input_shape[-1]
            if channels != self.input_shape[-1]:
                raise ValueError(
                    f"`perceptual={perceptual!r}` takes images of {channels} channels. "
                    f"Received: input_shape={self.input_shape}."
                )
        self.perceptual_weight = check_number(
            "perceptual_weight", perceptual_weight, low=0.0
        )
        self.discriminator_filters = check_positive_ints(
            "discriminator_filters", discriminator_filters
        )
        self.adversarial_weight = check_number(
            "adversarial_weight", adversarial_weight, low=0.0
        )
        self.discriminator_start = int(
            check_number("discriminator_start", discriminator_start, low=0)
        )
        if self.discriminator_filters:
            self.ADVERSARY_TERM = "discriminator"
            self.adversary = PatchDiscriminator(self.discriminator_filters)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Create all weights, those of the discriminator and of the codes' moments."""
        is_rebuilt = self.built
        super().build(input_shape)
        if is_rebuilt:
            return
        if self.ADVERSARY_TERM:
            self.adversary.build((None, *self.input_shape))
        self.code_mean, self.code_std = (
            self.add_weight(
                shape=(self.code_dim,),
                initializer=initializer,
                dtype="float32",
                trainable=False,
                name=name,
            )
            for name, initializer in (("code_mean", "zeros"), ("code_std", "ones"))
        )

    # --- Objective ------------------------------------------------------------

    @functools.cached_property
    def _classifier(self) -> Any:
        from aezoo.features.classifiers import load_extractor

        return load_extractor(str(self.perceptual)).network  # no part of the model

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As in `Autoencoder`; reads the classifier, where there is one."""
        if self.perceptual:
            _ = self._classifier  # cannot be read inside a compiled step
        super().compile(*args, **kwargs)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`; the discriminator's own loss has none."""
        weights = super().loss_weights
        if self.perceptual:
            weights["perceptual"] = self.perceptual_weight
        if self.ADVERSARY_TERM:
            weights |= {"generator": self.adversarial_weight, "discriminator": 0.0}
        return weights

    def loss_schedule(self, step: Tensor) -> dict[str, Tensor]:
        """That of the KL term, and 0 for `generator` before its start."""
        started = ops.cast(step >= self.discriminator_start, "float32")
        return {**super().loss_schedule(step), "generator": started}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        x_hat = outputs["x_hat"]
        if self.perceptual:
            maps = self._classifier.maps
            error = losses.perceptual_error(maps(x), maps(x_hat))
            terms["perceptual"] = math.prod(self.input_shape) * error
        if self.ADVERSARY_TERM:
            # One pass serves both players: each moves its own weights only.
            seen = ops.reshape(ops.stack([x, x_hat], axis=1), (-1, *self.input_shape))
            logits = self.adversary(seen)  # (2 * batch, patches)
            logits = ops.reshape(logits, (-1, 2, logits.shape[-1]))
            real, fake = logits[:, 0], logits[:, 1]
            errors = ops.relu(1.0 - real) + ops.relu(1.0 + fake)
            terms["generator"] = -ops.mean(fake, axis=-1)
            terms["discriminator"] = 0.5 * ops.mean(errors, axis=-1)
        return terms

    # --- Codes for what comes after -------------------------------------------

    def finish_on_images(self, images: np.ndarray) -> None:
        """Set the mean and standard deviation of each channel of the codes.

        Weights of the model, which `scale_codes` uses; `training.train` sets them on
        the training images.

        Args:
            images: `(n, *input_shape)`: uint8, or floats in [0, 1].
        """
        codes = self.encode(images).reshape(-1, self.code_dim)
        self.code_mean.assign(codes.mean(axis=0, dtype="float64"))
        self.code_std.assign(codes.std(axis=0, dtype="float64"))

    def scale_codes(self, z: Any) -> np.ndarray:
        """Codes with mean 0 and variance 1 in each channel over the training images.

        As they are, until `finish_on_images` was called.

        Args:
            z: Codes, `(..., code_dim)`.

        Returns:
            Float32, of the same shape.

        Raises:
            ValueError: If there are more or fewer channels.
        """
        codes, mean, std = self._codes_and_moments(z)
        return (codes - mean) / std

    def unscale_codes(self, z: Any) -> np.ndarray:
        """The inverse of `scale_codes`: what `decode` takes."""
        codes, mean, std = self._codes_and_moments(z)
        return codes * std + mean

    def _codes_and_moments(self, z: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        codes = np.asarray(z, "float32")
        if codes.shape[-1:] != (self.code_dim,):
            raise ValueError(
                f"`z` must have shape (..., {self.code_dim}), one value per channel. "
                f"Received: z.shape={codes.shape}."
            )
        self._ensure_built()
        mean, std = map(ops.convert_to_numpy, (self.code_mean, self.code_std))
        return codes, mean, std

    def encode_tiled(
        self, x: Any, overlap: float = 0.25, batch_size: int = 256
    ) -> np.ndarray:
        """Codes of images larger than `input_shape`, tile by tile of that size.

        Where tiles overlap, one turns linearly into the next.

        Args:
            x: Images `(n, height, width, channels)`: uint8, or floats in [0, 1]. Both
                sides are multiples of the strides, and at least those of a tile.
            overlap: Share of a tile that the next one covers too, from 0 to 0.5.
            batch_size: Tiles per compiled call; does not change the result.

        Returns:
            Float32, `(n, h, w, code_dim)`.

        Raises:
            ValueError: If the shape, dtype or range is wrong, or the strides do not
                divide `input_shape`.
        """
        images = np.asarray(x)
        tile, stride = self._check_tiles("x", images.shape, self.input_shape, overlap)
        return apply_in_tiles(
            lambda tiles: self.encode(tiles, batch_size),
            images,
            tile,
            overlap,
            shrink=stride,
        )

    def decode_tiled(
        self, z: Any, overlap: float = 0.25, batch_size: int = 256
    ) -> np.ndarray:
        """Images of codes larger than `latent_shape`, tile by tile of that size.

        Args:
            z: Codes `(n, h, w, code_dim)`, float; at least as large as a tile.
            overlap: As in `encode_tiled`.
            batch_size: As in `encode_tiled`.

        Returns:
            Float32 in [0, 1], `(n, height, width, channels)`.

        Raises:
            ValueError: As in `encode_tiled`.
        """
        codes = np.asarray(z)
        tile, stride = self._check_tiles("z", codes.shape, self.latent_shape, overlap)
        return apply_in_tiles(
            lambda tiles: self.decode(tiles, batch_size),
            codes,
            tile,
            overlap,
            grow=stride,
        )

    def _check_tiles(
        self, name: str, shape: tuple[int, ...], part: tuple[int, ...], overlap: float
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Positions of a tile, and pixels of a position: `(height, width)` each.

        Args:
            name: Of the argument.
            shape: Its shape.
            part: Shape of what it is cut into.
            overlap: As in `encode_tiled`.

        Raises:
            ValueError: If tiles cannot cover it.
        """
        check_number("overlap", overlap, low=0.0, high=0.5)
        (height, width), (h, w) = self.input_shape[:2], self.latent_shape[:2]
        stride = height // h, width // w
        if (h * stride[0], w * stride[1]) != (height, width):
            raise ValueError(
                "Tiles need an `input_shape` of multiples of the strides. Received: "
                f"input_shape={self.input_shape}, latent_shape={self.latent_shape}."
            )
        unit = part[0] // h, part[1] // w
        if (
            len(shape) != 4
            or shape[3] != part[2]
            or shape[1] < part[0]
            or shape[2] < part[1]
            or shape[1] % unit[0]
            or shape[2] % unit[1]
        ):
            raise ValueError(
                f"`{name}` must have shape (n, height, width, {part[2]}), at least "
                f"{part[0]} x {part[1]}, in multiples of {unit[0]} x {unit[1]}. "
                f"Received: {name}.shape={shape}."
            )
        return (h, w), stride

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "code_dim": self.code_dim,
            "perceptual": self.perceptual,
            "perceptual_weight": self.perceptual_weight,
            "discriminator_filters": list(self.discriminator_filters),
            "adversarial_weight": self.adversarial_weight,
            "discriminator_start": self.discriminator_start,
        }


class PatchDiscriminator(keras.layers.Layer):
    """Strided convolutions from images to a logit for each patch.

    The PatchGAN of Isola et al. (2017), https://arxiv.org/abs/1611.07004, section 3.2.
    Normalised over the image, where the paper does so over the batch: no image sees
    another.

    Args:
        filters: Channels of each convolution, which halves the image.
    """

    def __init__(self, filters: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.convs = [
            keras.layers.Conv2D(n, 4, strides=2, padding="same", name=f"conv_{i}")
            for i, n in enumerate(filters, start=1)
        ]
        self.norms = [
            keras.layers.GroupNormalization(1, name=f"norm_{i}")
            for i in range(2, len(filters) + 1)  # as in the paper, not after the first
        ]
        # While no error of the hinge loss is 0, those of both kinds of image cancel in
        # a bias.
        self.logit = keras.layers.Conv2D(
            1, 4, padding="same", use_bias=False, name="logit"
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for images `(batch, height, width, channels)`."""
        shape = tuple(input_shape)
        for i, conv in enumerate(self.convs):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            if i > 0:
                self.norms[i - 1].build(shape)
        self.logit.build(shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Logits `(images, patches)`, float32; positive for what it takes as real."""
        x = inputs
        for i, conv in enumerate(self.convs):
            x = conv(x)
            x = ops.leaky_relu(self.norms[i - 1](x) if i > 0 else x)
        logits = self.logit(x)
        patches = math.prod(logits.shape[1:])
        return ops.cast(ops.reshape(logits, (-1, patches)), "float32")
