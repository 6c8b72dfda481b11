"""Recurrent networks over voices that sound together."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network, NetworkError
from aezoo.networks.dense import dense_heads
from aezoo.networks.recurrent import Symbols
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.distributions.autoregressive import IMPOSSIBLE, Autoregressive, State
from aezoo.utils.validation import check_positive_int

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Voices(Network):
    """A bidirectional encoder of music, and a decoder that a conductor leads, or not.

    As in Roberts et al. (2018, https://arxiv.org/abs/1803.05428), with the gated
    recurrent units of Cho et al. (2014, https://arxiv.org/abs/1406.1078) in place of
    LSTMs, for several voices. A step's pitches and the states of the encoder's two
    directions are brought down to a few numbers, and those of all steps become the
    latent; in the paper the last states alone do, which takes far longer to learn. The
    decoder writes from step to step, and in each from the highest voice down: a
    recurrent layer reads the step before, and the voice's pitch follows from its state
    and the pitches above.

    With a conductor (section 3.2) another recurrent layer first makes of the latent one
    vector per segment. Each segment starts from a state that its vector alone
    determines, and reads it at every step: what must hold over a longer time has to
    pass through the latent. Without one the decoder starts from a state that the latent
    determines, and reads the latent at every step.

    Args:
        embedding_dim: Size of the vector of a pitch.
        encoder_units: Units of each direction of the encoder.
        summary_units: Numbers that a step's pitches and states are brought down to.
        decoder_units: Units of the recurrent layer that writes.
        head_units: Units, of each voice, between its state and its pitch.
        segment: Steps that the conductor gives one vector; None is a decoder without
            a conductor.
        conductor_units: Units of the conductor, and size of its vectors; unused
            without one.
    """

    embedding_dim: int = 24
    encoder_units: int = 128
    summary_units: int = 32
    decoder_units: int = 192
    head_units: int = 64
    segment: int | None = 4
    conductor_units: int = 128

    kind: ClassVar[str] = "voices"
    is_autoregressive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        for name in self.argument_names():
            value = getattr(self, name)
            if value is not None or name != "segment":
                object.__setattr__(self, name, check_positive_int(name, value))

    def check(self, modality: Modality, latent: Latent) -> None:
        """Symbols of several voices, whole segments of them, and flat latents."""
        if not modality.num_symbols or len(modality.shape) != 2:
            raise self.cannot_carry(modality)
        if latent.is_map or latent.is_hierarchical or latent.is_masked:
            raise self.cannot_carry(modality, latent)
        steps = modality.shape[0]
        if self.segment is not None and steps % self.segment:
            raise NetworkError(
                f"`segment` must divide the {steps} steps of a {modality.noun}. "
                f"Received: segment={self.segment}."
            )

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> "VoicesEncoder":
        """A `VoicesEncoder`."""
        self.check(modality, latent)
        return VoicesEncoder(self, modality.num_symbols, heads, latent.activation)

    def decoder(
        self,
        modality: Modality,
        width: int,  # noqa: ARG002
        latent: Latent,
    ) -> "VoicesDecoder":
        """A `VoicesDecoder`, which has the parameters of the likelihood itself."""
        self.check(modality, latent)
        steps, voices = modality.shape
        return VoicesDecoder(self, modality.num_symbols, steps, voices)

    def output_shape(
        self,
        modality: Modality,  # noqa: ARG002
        width: int,  # noqa: ARG002
        input_shape: Sequence[int],
    ) -> tuple[int, ...]:
        """The latent."""
        return (input_shape[-1],)


class Chords(Symbols):
    """Vectors of the symbols of a step, one after the other; of what is none, NaN."""

    def __init__(self, num_symbols: int, size: int, **kwargs: Any) -> None:
        super().__init__(num_symbols, size, **kwargs)
        self.supports_masking = False

    def call(self, inputs: Tensor) -> Tensor:
        """`(batch, steps, voices)` to `(batch, steps, voices * size)`."""
        _, steps, voices = inputs.shape
        flat = ops.reshape(inputs, (-1, steps * voices))
        return ops.reshape(super().call(flat), (-1, steps, voices * self.size))

    def compute_mask(self, inputs: Tensor, mask: Any = None) -> None:
        """None: all steps count."""

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple:
        """`(batch, steps, voices * size)`."""
        *batch, steps, voices = input_shape
        return (*batch, steps, voices * self.size)


class BesideInput(keras.layers.Layer):
    """What a layer makes of a sequence, beside the sequence itself.

    Args:
        layer: From `(batch, steps, size)` to `(batch, steps, units)`.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Sequence[Any]) -> None:
        """Build the layer."""
        self.layer.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """`(batch, steps, size)` to `(batch, steps, size + units)`."""
        return ops.concatenate([inputs, self.layer(inputs)], axis=-1)

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple:
        """`(batch, steps, size + units)`."""
        *rest, units = self.layer.compute_output_shape(input_shape)
        return (*rest, input_shape[-1] + units)


class VoicesEncoder(Encoder):
    """Vectors of pitches, a recurrent layer both ways, one linear head per output.

    Layers by name: `embedding`, `recurrent`, `summary` and `latent`.

    Args:
        network: Sizes.
        num_symbols: Number of symbols.
        heads: Width of each output, by its name.
        head_activation: Activation of the heads.
    """

    def __init__(
        self,
        network: Voices,
        num_symbols: int,
        heads: Mapping[str, int],
        head_activation: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.chords = Chords(num_symbols, network.embedding_dim, name="chords")
        both_ways = keras.layers.Bidirectional(
            keras.layers.GRU(network.encoder_units, return_sequences=True, name="gru"),
            name="both_ways",
        )
        self.recurrent = BesideInput(both_ways, name="recurrent")
        self.summary = keras.layers.Dense(network.summary_units, name="summary")
        self.flatten = keras.layers.Flatten(data_format="channels_last")
        self.heads = dense_heads(heads, head_activation)

    def stages(self) -> list[Stage]:
        """The vectors, states of both directions beside them, and what is kept."""
        return [
            Stage("embedding", (self.chords,)),
            Stage("recurrent", (self.recurrent,)),
            Stage("summary", (self.summary, self.flatten), stride=None),
        ]


class ChordHead(keras.layers.Layer):
    """Logits of each voice's symbol, from a state and the voices above it.

    Args:
        voices: How many there are.
        units: Units of each.
        size: Size of the vector of a symbol.
    """

    def __init__(self, voices: int, units: int, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.voices, self.units, self.size = voices, units, size
        self.from_state = keras.layers.Dense(voices * units, name="from_state")
        self.to_vector = keras.layers.Dense(size, name="to_vector")
        # weights from the voices above, who come first, to those below
        above = np.triu(np.ones((voices, voices), "float32"), k=1)
        self.is_above = np.kron(above, np.ones((size, units), "float32"))

    def build(self, input_shape: Sequence[Any]) -> None:
        """Build all layers for states `(..., units)`."""
        self.from_state.build(input_shape)
        self.to_vector.build((None, self.units))
        self.from_above = self.add_weight(
            shape=self.is_above.shape, initializer="glorot_uniform", name="from_above"
        )

    def call(self, states: Tensor, chords: Tensor) -> Tensor:
        """Vectors to compare with those of symbols, `(n, voices, size)`.

        Args:
            states: `(n, units)`.
            chords: Vectors of each voice's symbol, `(n, voices * size)`; those of a
                voice and below it make no difference to it.
        """
        kernel = ops.cast(self.from_above * self.is_above, self.compute_dtype)
        hidden = self.from_state(states) + ops.matmul(chords, kernel)
        hidden = ops.reshape(ops.relu(hidden), (-1, self.voices, self.units))
        return self.to_vector(hidden)


class VoicesDecoder(keras.layers.Layer):
    """A recurrent layer that reads the step before, and what leads it.

    Args:
        network: Sizes.
        num_symbols: Number of symbols.
        steps: Steps of a piece.
        voices: Voices of a step.
    """

    def __init__(
        self,
        network: Voices,
        num_symbols: int,
        steps: int,
        voices: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.steps, self.voices = steps, voices
        self.length, self.shape = steps * voices, (steps, voices)
        self.segment = network.segment or steps
        size, units = network.embedding_dim, network.decoder_units
        self.chords = Chords(num_symbols, size, name="chords")
        self.conductor = None
        if network.segment is not None:
            self.to_conductor = keras.layers.Dense(
                network.conductor_units, activation="tanh", name="to_conductor"
            )
            self.conductor = keras.layers.GRU(
                network.conductor_units, return_sequences=True, name="conductor"
            )
        self.to_state = keras.layers.Dense(units, activation="tanh", name="to_state")
        self.recurrent = keras.layers.GRU(units, return_sequences=True, name="gru")
        self.head = ChordHead(voices, network.head_units, size, name="head")

    def build(self, input_shape: Sequence[Any]) -> None:
        """Build all layers for latents `(batch, units)`."""
        latent, size = input_shape[-1], self.chords.size
        self.chords.build((None, self.steps, self.voices))
        told = latent
        if self.conductor is not None:
            self.to_conductor.build((None, latent))
            self.conductor.build((None, self.num_segments, latent))
            told = self.conductor.units
        self.to_state.build((None, told))
        self.recurrent.build((None, self.segment, self.voices * size + told))
        self.head.build((None, self.recurrent.units))
        self.bias = self.add_weight(
            shape=(self.voices, self.chords.num_symbols),
            initializer="zeros",
            name="bias",
        )

    @property
    def num_segments(self) -> int:
        """How many times the recurrent layer starts anew."""
        return self.steps // self.segment

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:  # noqa: ARG002
        """The latent."""
        return inputs

    def likelihood(self, parameters: Tensor) -> Autoregressive:
        """The distribution p(x|z) over pieces of what `call` returned."""
        return Autoregressive(parameters, self)

    # --- What the likelihood asks -------------------------------------------------

    def log_probs(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log p of each symbol given those before and z; `(batch, steps * voices)`."""
        told, states = self.led(parameters)  # (batch, segments, ...)
        x = ops.reshape(x, (-1, self.steps, self.voices))
        # what stands before the beginning is the symbol 0
        chords = self.chords(ops.pad(x, ((0, 0), (1, 0), (0, 0))))
        grid = (-1, self.num_segments, self.segment)
        before = ops.reshape(chords[:, :-1], (*grid, chords.shape[-1]))
        told = ops.broadcast_to(
            told[:, :, None], (*ops.shape(before)[:3], told.shape[-1])
        )
        inputs = ops.concatenate([before, told], axis=-1)
        inputs = ops.reshape(inputs, (-1, self.segment, inputs.shape[-1]))
        states = ops.reshape(states, (-1, states.shape[-1]))
        outputs = self.recurrent(inputs, initial_state=states)
        logits = self.logits(
            ops.reshape(outputs, (-1, outputs.shape[-1])),
            ops.reshape(chords[:, 1:], (-1, chords.shape[-1])),
        )
        symbols = ops.reshape(ops.maximum(x, 0), (-1, self.voices))
        found = -ops.sparse_categorical_crossentropy(symbols, logits, True)
        return ops.reshape(found, (-1, self.length))

    def logits(self, outputs: Tensor, chords: Tensor) -> Tensor:
        """Logits of all symbols of each voice; float32, `(n, voices, num_symbols)`.

        Args:
            outputs: Of the recurrent layer, `(n, units)`.
            chords: Vectors of the step's own symbols, `(n, voices * size)`.
        """
        vectors = self.head(outputs, chords)
        table = ops.cast(self.chords.table, self.compute_dtype)
        logits = ops.cast(ops.matmul(vectors, ops.transpose(table)), "float32")
        is_nothing = np.arange(self.chords.num_symbols) == 0
        return logits + ops.cast(self.bias + IMPOSSIBLE * is_nothing, "float32")

    def led(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """What each segment is told, and starts from; `(batch, segments, size)`."""
        z = ops.cast(parameters, self.compute_dtype)
        told = z[:, None]
        if self.conductor is not None:
            shape = (ops.shape(z)[0], self.num_segments, z.shape[-1])
            told = self.conductor(
                ops.broadcast_to(told, shape), initial_state=self.to_conductor(z)
            )
        return told, self.to_state(told)

    def start(self, parameters: Tensor) -> State:
        """What leads, the state, and the symbols of the last step and this one."""
        told, states = self.led(parameters)
        chord = ops.zeros((ops.shape(told)[0], self.voices), "int32")
        return [told, states, states[:, 0], chord]

    def step(self, symbols: Tensor, t: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits of what follows, and the state after the symbols."""
        told, states, hidden, chord = state
        step, voice = t // self.voices, t % self.voices
        # the last symbol takes its place; at first it is that before the beginning
        is_last = ops.arange(self.voices) == (t - 1) % self.voices
        chord = ops.where(is_last, symbols[:, None], chord)
        vectors = self.chords(chord[:, None])[:, 0]
        segment = step // self.segment
        inputs = ops.concatenate([vectors, ops.take(told, segment, axis=1)], axis=-1)
        is_start = ops.equal(step % self.segment, 0)
        first = ops.take(states, segment, axis=1)
        output, _ = self.recurrent.cell(inputs, [ops.where(is_start, first, hidden)])
        hidden = ops.where(ops.equal(voice, 0), output, hidden)
        logits = ops.take(self.logits(hidden, vectors), voice, axis=1)
        return logits, [told, states, hidden, chord]
