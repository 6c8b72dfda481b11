"""Recurrent networks over sequences of symbols."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.modalities.base import Modality, marked_unless
from aezoo.networks.base import Latent, Network
from aezoo.networks.dense import dense_heads
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.backend import SeedGenerator, map_rows_where, trimmed
from aezoo.nn.distributions.autoregressive import (
    IMPOSSIBLE,
    Autoregressive,
    State,
    counted,
)
from aezoo.utils.validation import check_number, check_positive_int

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Recurrent(Network):
    """Gated recurrent units over a sequence to a flat latent, and a decoder of them.

    As in Bowman et al. (2016, https://arxiv.org/abs/1511.06349), with the gated
    recurrent units of Cho et al. (2014, https://arxiv.org/abs/1406.1078) in place of
    LSTMs. The encoder's last state becomes the latent. The decoder writes the sequence
    from left to right: it starts from a state that the latent determines, and at each
    step reads the symbol before and the latent. Its symbols are the same vectors as
    those it compares its output with (Press & Wolf, 2017,
    https://arxiv.org/abs/1608.05859).

    Args:
        embedding_dim: Size of the vector of a symbol.
        units: Units of the recurrent layers of encoder and decoder.
        word_dropout: Probability, in training, with which the decoder reads the symbol
            1 in place of the one before, so that it needs the latent (section 3.1).
    """

    embedding_dim: int = 64
    units: int = 192
    word_dropout: float = 0.0

    kind: ClassVar[str] = "recurrent"
    is_autoregressive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        for name in ("embedding_dim", "units"):
            value = check_positive_int(name, getattr(self, name))
            object.__setattr__(self, name, value)
        share = check_number("word_dropout", self.word_dropout, low=0.0, high=1.0)
        object.__setattr__(self, "word_dropout", share)

    def check(self, modality: Modality, latent: Latent) -> None:
        """Sequences of symbols, and flat latents."""
        if not modality.num_symbols or len(modality.shape) != 1:
            raise self.cannot_carry(modality)
        if latent.is_map or latent.is_hierarchical or latent.is_masked:
            raise self.cannot_carry(modality, latent)

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> "RecurrentEncoder":
        """A `RecurrentEncoder`."""
        self.check(modality, latent)
        return RecurrentEncoder(self, modality.num_symbols, heads, latent.activation)

    def decoder(
        self,
        modality: Modality,
        width: int,  # noqa: ARG002
        latent: Latent,
    ) -> "RecurrentDecoder":
        """A `RecurrentDecoder`, which has the parameters of the likelihood itself."""
        self.check(modality, latent)
        return RecurrentDecoder(self, modality.num_symbols, modality.shape[0])

    def output_shape(
        self,
        modality: Modality,
        width: int,  # noqa: ARG002
        input_shape: Sequence[int],
    ) -> tuple[int, ...]:
        """The latent, and for each position whether the symbol before is read."""
        return (input_shape[-1] + modality.shape[0],)


class Symbols(keras.layers.Layer):
    """Vectors of symbols; of what is no symbol, NaN. Masks what follows the end.

    Args:
        num_symbols: How many there are.
        size: Size of a vector.
    """

    def __init__(self, num_symbols: int, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_symbols = num_symbols
        self.size = size
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:  # noqa: ARG002
        """Create the table."""
        self.table = self.add_weight(
            shape=(self.num_symbols, self.size),
            initializer=keras.initializers.RandomNormal(stddev=self.size**-0.5),
            name="table",
        )

    def call(self, inputs: Tensor) -> Tensor:
        """`(batch, length)` to `(batch, length, size)`."""
        table = ops.cast(self.table, self.compute_dtype)
        vectors = ops.take(table, ops.maximum(inputs, 0), axis=0)
        return marked_unless(ops.all(inputs >= 0, axis=1), vectors)

    def compute_mask(self, inputs: Tensor, mask: Any = None) -> Tensor:  # noqa: ARG002
        """Symbols before the end."""
        return inputs != 0

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple:
        """`(batch, length, size)`."""
        return (*input_shape, self.size)


class RecurrentEncoder(Encoder):
    """Vectors of symbols, a recurrent layer, then one linear head per output.

    Layers by name: `embedding`, `recurrent` and `latent`.

    Args:
        network: Sizes.
        num_symbols: Number of symbols.
        heads: Width of each output, by its name.
        head_activation: Activation of the heads.
    """

    def __init__(
        self,
        network: Recurrent,
        num_symbols: int,
        heads: Mapping[str, int],
        head_activation: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.symbols = Symbols(num_symbols, network.embedding_dim, name="symbols")
        self.recurrent = keras.layers.GRU(network.units, name="gru")
        self.heads = dense_heads(heads, head_activation)

    def stages(self) -> list[Stage]:
        """The vectors, then the last state."""
        return [
            Stage("embedding", (self.symbols,), before=trimmed),
            Stage("recurrent", (self.recurrent,), stride=None),
        ]


class RecurrentDecoder(keras.layers.Layer):
    """A recurrent layer that reads what was written, and the latent at each step.

    Args:
        network: Sizes and word dropout.
        num_symbols: Number of symbols.
        length: Most symbols of a sequence.
    """

    def __init__(
        self, network: Recurrent, num_symbols: int, length: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.length, self.shape = length, (length,)
        self.word_dropout = network.word_dropout
        self.symbols = Symbols(num_symbols, network.embedding_dim, name="symbols")
        self.to_state = keras.layers.Dense(
            network.units, activation="tanh", name="to_state"
        )
        self.recurrent = keras.layers.GRU(
            network.units, return_sequences=True, name="gru"
        )
        self.to_vector = keras.layers.Dense(network.embedding_dim, name="to_vector")
        self.seed_generator = SeedGenerator()

    def build(self, input_shape: Sequence[Any]) -> None:
        """Build all layers for latents `(batch, units)`."""
        latent, size = input_shape[-1], self.symbols.size
        self.symbols.build((None, self.length))
        self.to_state.build((None, latent))
        self.recurrent.build((None, self.length, size + latent))
        self.to_vector.build((None, self.recurrent.units))
        self.bias = self.add_weight(
            shape=(self.symbols.num_symbols,), initializer="zeros", name="bias"
        )

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The latent, and which symbols are read: `(batch, units + length)`."""
        shape = (ops.shape(inputs)[0], self.length)
        is_read = ops.ones(shape, inputs.dtype)
        if training and self.word_dropout:
            noise = keras.random.uniform(shape, seed=self.seed_generator)
            is_read = ops.cast(noise >= self.word_dropout, inputs.dtype)
        return ops.concatenate([inputs, is_read], axis=-1)

    def likelihood(self, parameters: Tensor) -> Autoregressive:
        """The distribution p(x|z) over sequences of what `call` returned."""
        return Autoregressive(parameters, self)

    # --- What the likelihood asks -------------------------------------------------

    def log_probs(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log p(x_t | x_<t, z) of each symbol, 0 after the end; `(batch, length)`."""
        z, state = self.start(parameters)
        x = trimmed(x)  # (batch, t), the rest being over
        batch, t = ops.shape(x)
        before = ops.pad(x[:, :-1], ((0, 0), (1, 0)))  # the end is before the first
        is_read = parameters[:, -self.length :][:, :t]
        is_hidden = ops.logical_and(is_read == 0.0, before != 0)
        before = ops.where(is_hidden, 1, before)
        told = ops.broadcast_to(z[:, None], (batch, t, z.shape[-1]))
        inputs = ops.concatenate([self.symbols(before), told], axis=-1)
        outputs = self.recurrent(inputs, initial_state=state, mask=None)
        places = ops.broadcast_to(ops.arange(t), (batch, t))

        def log_p(outputs: Tensor, symbols: Tensor, t: Tensor) -> Tensor:
            logits = self.logits(outputs, t == 0)
            return -ops.sparse_categorical_crossentropy(symbols, logits, True)

        found = map_rows_where(counted(x), log_p, outputs, x, places)
        return ops.pad(found, ((0, 0), (0, self.length - t)))

    def logits(self, outputs: Tensor, is_first: Tensor) -> Tensor:
        """Logits of all symbols for outputs of the recurrent layer; float32.

        The bias, and that no sequence begins with its end, are columns of one product:
        logits are by far the largest tensor, and each pass over them takes its time.

        Args:
            outputs: `(batch, units)`.
            is_first: Bools `(batch,)`: whether nothing was written yet.
        """
        dtype = self.compute_dtype
        is_end = np.arange(self.symbols.num_symbols)[:, None] == 0
        columns = (self.symbols.table, self.bias[:, None], IMPOSSIBLE * is_end)
        table = ops.concatenate([ops.cast(c, dtype) for c in columns], axis=1)
        first = ops.cast(is_first, dtype)[:, None]
        vectors = ops.concatenate(
            [self.to_vector(outputs), ops.ones_like(first), first], axis=1
        )
        return ops.cast(ops.matmul(vectors, ops.transpose(table)), "float32")

    def start(self, parameters: Tensor) -> State:
        """The latent, and the state that it determines."""
        z = ops.cast(parameters[:, : -self.length], self.compute_dtype)
        return [z, self.to_state(z)]

    def step(self, symbols: Tensor, t: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits of what follows, and the state after the symbols."""
        z, before = state
        vectors = self.symbols(symbols[:, None])[:, 0]
        inputs = ops.concatenate([vectors, z], axis=-1)
        output, _ = self.recurrent.cell(inputs, [before])
        is_first = ops.broadcast_to(ops.equal(t, 0), ops.shape(symbols))
        return self.logits(output, is_first), [z, output]
