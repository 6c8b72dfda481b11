"""What families that learn from labels share: labels in every entry point."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.models.autoencoder import VariationalAutoencoder
from aezoo.nn.distributions import Posterior, check_seed
from aezoo.nn.layers import Encoder, Stage
from aezoo.utils.validation import check_positive_int

Tensor = Any
# Stands for an unknown label, in batches and inside graphs.
UNLABELLED = -1


class LabelledEncoder(Encoder):
    """An encoder that sees the class as further channels, constant over the image.

    Its features are those of images of unknown class.

    Args:
        encoder: Maps images with `num_classes` channels more.
        num_classes: Number of classes.
    """

    def __init__(self, encoder: Encoder, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.num_classes = num_classes

    @property
    def heads(self) -> dict[str, keras.layers.Layer]:  # type: ignore[override]
        """The encoder's heads."""
        return self.encoder.heads

    def stages(self) -> list[Stage]:
        """Those of the encoder; the first adds channels of zeros: no class."""
        first, *rest = self.encoder.stages()
        zeros = ((0, 0), (0, 0), (0, 0), (0, self.num_classes))
        first = dataclasses.replace(
            first,
            before=lambda images: ops.pad(images, zeros),
            shape_before=lambda shape: (*shape[:-1], shape[-1] + self.num_classes),
        )
        return [first, *rest]

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Parameters of the posterior, from the output of the last stage."""
        return self.encoder.outputs(x)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the encoder for images `(batch, height, width, channels)`."""
        *shape, channels = input_shape
        self.encoder.build((*shape, channels + self.num_classes))  # type: ignore[operator]

    def call(  # type: ignore[override]
        self, inputs: Tensor, classes: Tensor
    ) -> dict[str, Tensor]:
        """Parameters of the posterior, given classes `(batch, num_classes)`."""
        height, width = inputs.shape[1:3]
        planes = ops.cast(classes, inputs.dtype)[:, None, None, :]
        planes = ops.tile(planes, (1, height, width, 1))
        parameters: dict[str, Tensor] = self.encoder(
            ops.concatenate([inputs, planes], axis=-1)
        )
        return parameters


class LabelledAutoencoder(VariationalAutoencoder):
    """A VAE whose encoder and decoder may be given labels. Not a family itself.

    Labels are integers from 0 to `num_classes - 1`, and -1 for an unknown one; None
    stands for all unknown. A family defines `encode_parameters` and
    `decode_parameters` with an argument `labels`.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        num_classes: Number of classes.
        **kwargs: As in `VariationalAutoencoder`.
    """

    LEARNS_FROM_LABELS: ClassVar[bool] = True

    def __init__(self, *args: Any, num_classes: int = 10, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.num_classes = check_positive_int("num_classes", num_classes)

    def one_hot(self, labels: Tensor | None, like: Tensor) -> Tensor:
        """Labels as rows of float32; zeros where unknown. `(batch, num_classes)`.

        Args:
            labels: Integers `(batch,)`, or None.
            like: Any tensor of that batch.
        """
        if labels is None:
            return ops.zeros((ops.shape(like)[0], self.num_classes))
        return ops.one_hot(ops.cast(labels, "int32"), self.num_classes, dtype="float32")

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`, with integer labels `(batch,)`."""
        posterior = self.infer(inputs, training, labels=labels)
        if training and sample_seed is None:
            sample_seed = self.seed_generator
        code = self.draw_code(posterior, sample_seed)
        decoder_output = self.decode_parameters(code["z"], training, labels)
        return {
            "x_hat": self.to_pixels(decoder_output),
            "decoder_output": decoder_output,
            **posterior.parameters(),
            **code,
        }

    def encode_parameters(
        self, x: Tensor, training: bool = False, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Parameters of the posterior for images in [0, 1] and labels; float32."""
        raise NotImplementedError

    def decode_parameters(
        self, z: Tensor, training: bool = False, labels: Tensor | None = None
    ) -> Tensor:
        """Decoder output for codes and labels; float32."""
        raise NotImplementedError

    # --- Training ---------------------------------------------------------------

    def unpack(self, data: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Images, target images and example weights of a batch `(images, labels)`.

        Raises:
            ValueError: If the labels are missing or no integers.
        """
        x, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        required = (
            f"{self.family!r} learns from labels: pass batches (images, labels), with "
            f"one integer per image, {UNLABELLED} where it is unknown"
        )
        if labels is None:
            raise ValueError(f"{required}. Received: no labels.")
        kind = keras.backend.standardize_dtype(labels.dtype)
        if "int" not in kind or labels.shape[1:] not in ((), (1,)):
            raise ValueError(
                f"{required}. Received: labels.shape={tuple(labels.shape)}, "
                f"dtype={kind}."
            )
        return super().unpack((x, None, weights))

    def conditions(self, data: Any) -> dict[str, Tensor]:
        """The labels of a batch, int32, `(batch,)`."""
        _, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        return {"labels": ops.reshape(ops.cast(labels, "int32"), (-1,))}

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """`keras.Model.fit` on images and labels, whose range is checked in arrays."""
        return super().fit(x, self._check_range(y), **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """`keras.Model.evaluate`, likewise."""
        return super().evaluate(x, self._check_range(y), **kwargs)

    def _check_range(self, labels: Any) -> Any:
        if isinstance(labels, np.ndarray | list) and np.size(labels):
            values = np.asarray(labels)
            low, high = values.min(), values.max()
            if low < UNLABELLED or high >= self.num_classes:
                raise ValueError(
                    f"Labels must be from 0 to {self.num_classes - 1}, or -1 where "
                    f"unknown. Received: {low} to {high}."
                )
        return labels

    # --- Eager entry points ---------------------------------------------------

    def encode(
        self, x: Any, batch_size: int = 256, *, labels: Any = None
    ) -> np.ndarray:
        """As in `Autoencoder`, given the images' labels: integers `(n,)`, or one."""
        x = self._check_images(x)
        labels = self._check_labels(labels, len(x))
        return self._run("encode", x, batch_size, **labels)

    def posterior(
        self, x: Any, batch_size: int = 256, *, labels: Any = None
    ) -> Posterior:
        """As in `Autoencoder`, given the images' labels: integers `(n,)`, or one."""
        x = self._check_images(x)
        labels = self._check_labels(labels, len(x))
        return self.make_posterior(
            self._run("encode_parameters", x, batch_size, **labels)
        )

    def decode(
        self, z: Any, batch_size: int = 256, *, labels: Any = None
    ) -> np.ndarray:
        """As in `Autoencoder`, given labels: integers `(n,)`, or one for all."""
        z = self._check_codes(z)
        labels = self._check_labels(labels, len(z))
        return self._run("decode", z, batch_size, **labels)

    def reconstruct(
        self, x: Any, batch_size: int = 256, *, labels: Any = None
    ) -> np.ndarray:
        """As in `Autoencoder`, given the images' labels: integers `(n,)`, or one."""
        x = self._check_images(x)
        labels = self._check_labels(labels, len(x))
        return self._run("reconstruct", x, batch_size, **labels)

    def sample(
        self,
        n: int,
        seed: int | None = None,
        *,
        sampler: str = "prior",
        pixel_noise: bool = False,
        labels: Any = None,
    ) -> np.ndarray:
        """As in `Autoencoder`, of given classes.

        Args:
            n: As there.
            seed: As there.
            sampler: As there.
            pixel_noise: As there.
            labels: Classes, integers `(n,)`, or one for all; None draws them, all
                equally probable.

        Returns:
            Float32 in [0, 1], shape `(n, *input_shape)`.
        """
        check_positive_int("n", n)
        generator = np.random.default_rng(check_seed(seed))
        if labels is None:
            labels = self.sample_labels(n, generator)
        z = self._sample_codes(n, generator, sampler)
        given = self._check_labels(labels, n)
        return self._sample_images(z, generator, pixel_noise, **given)

    def sample_labels(self, n: int, generator: np.random.Generator) -> Any:
        """Classes for `sample`, all equally probable, `(n,)`; None withholds them."""
        # from a stream of their own, whatever n
        drawn = np.random.default_rng(int(generator.integers(2**31)))
        return drawn.integers(self.num_classes, size=n)

    def _check_labels(self, labels: Any, n: int) -> dict[str, np.ndarray]:
        """`{"labels"}`, int32, `(n,)`; nothing for None."""
        if labels is None:
            return {}
        values = np.asarray(labels)
        if values.dtype.kind not in "iu" or values.shape not in ((), (n,)):
            raise ValueError(
                f"`labels` must be {n} integers, or one for all. Received: "
                f"labels.shape={values.shape}, dtype={values.dtype}."
            )
        self._check_range(values)
        return {"labels": np.array(np.broadcast_to(values, (n,)), "int32")}

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {**super().config, "num_classes": self.num_classes}
