"""A recurrent network that looks at an image and draws it step by step."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, NetworkError
from aezoo.networks.hierarchical import Hierarchical, HierarchicalEncoder
from aezoo.networks.stages import Stage
from aezoo.utils.validation import check_positive_int

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Draw(Hierarchical):
    """Two LSTMs that read an image and write to a canvas, with attention.

    Gregor et al. (2015), https://arxiv.org/abs/1502.04623, equations 3 to 8.

    Args:
        steps: Number of steps, the glimpses.
        encoder_units: Width of the LSTM that reads.
        decoder_units: Width of the LSTM that writes.
        read_size: Filters per side of the grid through which the image is read; None
            reads the whole image, without attention. Filters start one pixel wide and
            spread over the image: of 2 per side, as in the paper, the first see only
            its corners, and in short trainings find nothing there.
        write_size: The same for writing.
    """

    steps: int = 16
    encoder_units: int = 256
    decoder_units: int = 256
    read_size: int | None = 5
    write_size: int | None = 5

    kind: ClassVar[str] = "draw"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        for name in self.argument_names():
            value = getattr(self, name)
            if value is not None or not name.endswith("size"):
                object.__setattr__(self, name, check_positive_int(name, value))

    def check(self, modality: Modality, latent: Latent) -> None:
        """Images and other continuous values on two axes, for latents of its own."""
        if len(modality.positions) != 2 or not modality.is_continuous:
            raise self.cannot_carry(modality)
        if not latent.is_hierarchical:
            raise self.cannot_carry(modality, latent)
        if latent.units < 1:
            raise NetworkError(
                "The network 'draw' needs the width of a step's latent, which the "
                "objective 'draw' has as `latent_dim`."
            )

    def level_shapes(
        self, modality: Modality, latent: Latent
    ) -> tuple[tuple[int, ...], ...]:
        """Shape of the latent of each step."""
        self.check(modality, latent)
        return ((latent.units,),) * self.steps

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """`(steps, units)`."""
        self.check(modality, latent)
        return (self.steps, latent.units)

    def pair(
        self, modality: Modality, width: int, latent: Latent
    ) -> "tuple[Reader, Writer]":
        """A `Reader` and its `Writer`."""
        self.check(modality, latent)
        decoder = Writer(
            (*modality.positions, width),
            latent.units,
            self.decoder_units,
            self.write_size,
            name="decoder",
        )
        encoder = Reader(
            decoder, self.encoder_units, self.read_size, self.steps, name="encoder"
        )
        return encoder, decoder


class Reader(HierarchicalEncoder):
    """What reads: an LSTM that sees image, what the canvas lacks, and the writer.

    Args:
        decoder: The writer, whose state says where to read.
        units: Width of the LSTM.
        size: Filters per side of the attention's grid; None reads all.
        num_steps: Number of steps.
    """

    def __init__(
        self,
        decoder: "Writer",
        units: int,
        size: int | None,
        num_steps: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(decoder, **kwargs)
        self.num_steps = num_steps
        self.cell = keras.layers.LSTMCell(units, name="lstm")
        self.attention = None
        self.glimpse_size = decoder.image_shape[:2]
        if size is not None:
            self.attention = GridAttention(size, self.glimpse_size, name="attention")
            self.glimpse_size = (size, size)
        self.heads = {
            name: keras.layers.Dense(decoder.latent_dim, name=name)
            for name in ("z_mean", "z_log_var")
        }

    def stages(self) -> list[Stage]:
        """None: every layer sees the image once per step."""
        return []

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:  # noqa: ARG002
        """All that reads and writes; modes do not depend on the variance."""
        attention = [] if self.attention is None else [self.attention]
        return (self.cell, *attention, self.heads["z_mean"], self.decoder)

    def build_outputs(self, shape: tuple) -> None:
        """Build all layers, for images `(batch, height, width, channels)`."""
        decoder = self.decoder
        if not decoder.built:
            decoder.build((None, None, decoder.latent_dim))
        if self.attention is not None:
            self.attention.build((None, decoder.cell.units))
        glimpse = 2 * math.prod(self.glimpse_size) * shape[-1]
        self.cell.build((None, glimpse + decoder.cell.units))
        for head in self.heads.values():
            head.build((None, self.cell.units))

    def walk(
        self,
        x: Tensor,
        noise: Tensor | None,
        z: Tensor | None,
        point: Callable[[Tensor], Tensor],
        is_recomputed: bool,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Read and write, step by step; as in `HierarchicalEncoder`."""
        batch, decoder = ops.shape(x)[0], self.decoder
        read, written = self.start(batch), decoder.start(batch)
        given: Tensor = noise if z is None else z
        path: dict[str, list[Tensor]] = {"z": [], "z_mean": [], "z_log_var": []}
        for t in range(given.shape[1]):
            canvas, (hidden, _) = written
            missing = x - point(canvas)  # equation 3
            mean, log_var, read = self.step(x, missing, hidden, read)
            code = given[:, t]
            if z is None:
                code = mean + ops.exp(0.5 * log_var) * code
            written = decoder.step(code, written)
            for name, value in zip(path, (code, mean, log_var), strict=True):
                path[name].append(value)
        stacked = {name: ops.stack(values, axis=1) for name, values in path.items()}
        return {**stacked, "decoder_output": written[0]}

    def windows(
        self, x: Tensor, point: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """Where is read and where is written at each step, with the modes of latents.

        Args:
            x: Images, `(batch, height, width, channels)`.
            point: As in `walk`.

        Returns:
            `read` and `write`, `(batch, steps, 4)`, as `GridAttention.window` has them;
            one that is done without attention is missing.
        """
        batch, decoder = ops.shape(x)[0], self.decoder
        read, written = self.start(batch), decoder.start(batch)
        found: dict[str, list[Tensor]] = {"read": [], "write": []}
        for _ in range(self.num_steps):
            canvas, (hidden, _) = written
            if self.attention is not None:
                found["read"].append(self.attention.window(hidden))
            code, _, read = self.step(x, x - point(canvas), hidden, read)
            written = decoder.step(code, written)
            if decoder.attention is not None:
                found["write"].append(decoder.attention.window(written[1][0]))
        return {name: ops.stack(rows, axis=1) for name, rows in found.items() if rows}

    def start(self, batch: Any) -> list[Tensor]:
        """The state before the first step."""
        return _zero_state(batch, self.cell)

    def step(
        self, x: Tensor, missing: Tensor, hidden: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """One step: what is known of the next latent.

        Args:
            x: Images, `(batch, height, width, channels)`.
            missing: Images less the canvas, of that shape.
            hidden: The writer's state, `(batch, decoder_units)`.
            state: The reader's own.

        Returns:
            Mean and log variance of the latent, float32, `(batch, latent_dim)`, and
            the reader's next state.
        """
        both = ops.concatenate([x, missing], axis=-1)
        if self.attention is not None:
            both = self.attention.read(both, hidden)
        glimpse = ops.reshape(both, (ops.shape(both)[0], -1))
        inputs = ops.concatenate([ops.cast(glimpse, hidden.dtype), hidden], axis=-1)
        output, state = self.cell(inputs, state)
        mean, log_var = (
            ops.cast(self.heads[name](output), "float32")
            for name in ("z_mean", "z_log_var")
        )
        return mean, log_var, state


class Writer(keras.layers.Layer):
    """What writes: an LSTM of the latents, which adds to a canvas.

    Args:
        image_shape: Shape `(height, width, channels)` of one image.
        latent_dim: Units of the latent of one step.
        units: Width of the LSTM.
        size: Filters per side of the attention's grid; None writes all.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        units: int,
        size: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        self.cell = keras.layers.LSTMCell(units, name="lstm")
        self.attention = None
        self.patch_shape = self.image_shape
        if size is not None:
            self.attention = GridAttention(size, image_shape[:2], name="attention")
            self.patch_shape = (size, size, image_shape[-1])
        self.patch = keras.layers.Dense(math.prod(self.patch_shape), name="patch")

    def build(self, input_shape: Sequence[int | None]) -> None:  # noqa: ARG002
        """Build all layers."""
        self.cell.build((None, self.latent_dim))
        self.patch.build((None, self.cell.units))
        if self.attention is not None:
            self.attention.build((None, self.cell.units))
        self.blank = self.add_weight(
            shape=self.image_shape,
            initializer="zeros",
            dtype="float32",
            autocast=False,
            name="blank",
        )

    def start(self, batch: Any) -> tuple[Tensor, list[Tensor]]:
        """The canvas before the first step, which is learned, and the LSTM's state."""
        blank = ops.convert_to_tensor(self.blank)[None]
        canvas = ops.broadcast_to(blank, (batch, *self.image_shape))
        return canvas, _zero_state(batch, self.cell)

    def step(
        self, z: Tensor, written: tuple[Tensor, list[Tensor]]
    ) -> tuple[Tensor, list[Tensor]]:
        """Canvas and state after one more latent, `(batch, latent_dim)`."""
        canvas, state = written
        output, state = self.cell(ops.cast(z, self.compute_dtype), state)
        patch = ops.reshape(self.patch(output), (-1, *self.patch_shape))
        patch = ops.cast(patch, "float32")
        if self.attention is not None:
            patch = self.attention.write(patch, output)
        return canvas + patch, state

    def canvases(self, z: Tensor) -> list[Tensor]:
        """The canvas after each step of codes `(batch, steps, latent_dim)`; float32."""
        written, found = self.start(ops.shape(z)[0]), []
        for t in range(z.shape[1]):
            written = self.step(z[:, t], written)
            found.append(written[0])
        return found

    def call(self, inputs: Tensor) -> Tensor:
        """Map codes to parameters of a likelihood."""
        return self.canvases(inputs)[-1]


class GridAttention(keras.layers.Layer):
    """Reads and writes a patch of an image through a grid of Gaussian filters.

    Gregor et al. (2015), equations 19 to 29. A linear layer of the decoder's state
    says where the grid is, how wide it and its filters are, and how much they count.
    In float32, also in mixed precision.

    Args:
        size: Filters per side of the grid, N.
        image_size: Height and width of the images.
    """

    def __init__(self, size: int, image_size: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.image_size = image_size
        self.place = keras.layers.Dense(5, name="place")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the linear layer for states `(batch, units)`."""
        self.place.build(tuple(input_shape))

    def _grid(self, hidden: Tensor) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
        """Centre of rows and of columns, stride, log variance, log gain: `(batch, 1)`.

        Pixels count from 0.
        """
        place = ops.cast(self.place(hidden), "float32")  # equation 21
        y, x, log_var, log_stride, log_gain = ops.split(place, 5, axis=-1)
        longest = max(self.image_size) - 1.0
        stride = longest / max(self.size - 1, 1) * ops.exp(log_stride)  # equation 24
        # equations 22 and 23, less 1 since pixels count from 0 here
        centres = [
            0.5 * (length + 1) * (centre + 1.0) - 1.0
            for centre, length in zip((y, x), self.image_size, strict=True)
        ]
        return centres, stride, log_var, log_gain

    def window(self, hidden: Tensor) -> Tensor:
        """Where the grid is: top, left, bottom and right, in pixels, `(batch, 4)`.

        From the first filter to the last, and a standard deviation of them beyond.
        """
        centres, stride, log_var, _ = self._grid(hidden)
        half = 0.5 * (self.size - 1) * stride + ops.exp(0.5 * log_var)
        low, high = ([centre + sign * half for centre in centres] for sign in (-1, 1))
        return ops.concatenate([*low, *high], axis=-1)

    def _filters(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Filters of rows and columns, `(batch, N, height or width)`, and their gain.

        The gain is `(batch, 1, 1, 1)`.
        """
        centres, stride, log_var, log_gain = self._grid(hidden)
        offsets = np.arange(self.size) - 0.5 * (self.size - 1)
        offsets = ops.convert_to_tensor(offsets.astype("float32"))
        filters = []
        for centre, length in zip(centres, self.image_size, strict=True):
            means = centre + offsets * stride  # (batch, N), equations 19 and 20
            places = ops.convert_to_tensor(np.arange(length, dtype="float32"))
            distances = ops.square(places - means[:, :, None])  # (batch, N, length)
            # equations 25 and 26; a softmax, so that far from the image none is 0 / 0
            exponents = -0.5 * distances * ops.exp(-log_var)[:, :, None]
            filters.append(ops.softmax(exponents, axis=-1))
        return filters[0], filters[1], ops.exp(log_gain)[:, :, None, None]

    def read(self, images: Tensor, hidden: Tensor) -> Tensor:
        """A patch of images, `(batch, N, N, channels)`: equation 27."""
        rows, columns, gain = self._filters(hidden)
        patch = ops.einsum("bnh,bhwc->bnwc", rows, ops.cast(images, "float32"))
        return gain * ops.einsum("bmw,bnwc->bnmc", columns, patch)

    def write(self, patch: Tensor, hidden: Tensor) -> Tensor:
        """Images with a patch `(batch, N, N, channels)` written: equation 29."""
        rows, columns, gain = self._filters(hidden)
        wide = ops.einsum("bmw,bnmc->bnwc", columns, patch)
        return ops.einsum("bnh,bnwc->bhwc", rows, wide) / gain


def _zero_state(batch: Any, cell: keras.layers.LSTMCell) -> list[Tensor]:
    return [ops.zeros((batch, cell.units), cell.compute_dtype) for _ in range(2)]
