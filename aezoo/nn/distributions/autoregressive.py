"""Sequences of symbols, each drawn given those before it."""

from collections.abc import Callable
from typing import Any, Protocol

import keras
from keras import ops

from aezoo.nn.distributions.noise import uniform
from aezoo.utils.validation import check_number, check_positive_int

Tensor = Any
State = list[Tensor]
# The symbol that ends a sequence and fills what is left of its row.
END = 0
# As a logit, of what cannot be; finite in half precision, so that 0 times it is 0.
IMPOSSIBLE = -1e4


class SymbolDecoder(Protocol):
    """What an `Autoregressive` needs of the network that reads what came before."""

    # Symbols of an example, and their shape, `(length,)` or that of a grid.
    length: int
    shape: tuple[int, ...]
    variables: list[keras.Variable]

    def log_probs(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log p(x_t | x_<t) for all t at once, `(batch, length)`: teacher forcing."""

    def start(self, parameters: Tensor) -> State:
        """State before the first symbol: tensors whose first axis is the batch."""

    def step(self, symbols: Tensor, t: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits of the symbol `t`, which follows `symbols` `(batch,)`; next state.

        The end is impossible at first.
        """


class Autoregressive:
    """Sequences of at most `length` symbols: prod_t p(x_t | x_<t).

    A sequence has at least one symbol, and ends with the symbol 0, or by being as
    long as it can be; rows are filled with 0. So the probabilities of all rows that
    `Modality.check` would take sum to 1.

    Unlike the other likelihoods it is no function of its parameters alone: a network
    reads what came before, all at once where a sequence is known (`log_prob`), and
    step by step in one loop where it is written (`point`, `search`, `sample`).

    Args:
        parameters: What the network is told of each sequence, `(batch, ...)`.
        decoder: The network.
    """

    def __init__(self, parameters: Tensor, decoder: SymbolDecoder) -> None:
        self.parameters = ops.convert_to_tensor(parameters)
        self.decoder = decoder

    @classmethod
    def width(cls, channels: int) -> int:
        """As many as elements: the network has the parameters."""
        return channels

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of sequences `(batch, *shape)`. Nats, `(batch,)`."""
        x = ops.cast(x, "int32")
        return ops.sum(self.decoder.log_probs(self.parameters, x), axis=1)

    def point(self) -> Tensor:
        """The greedy sequence: at each step the most probable symbol.

        Returns:
            Symbols, `(batch, *shape)`.
        """
        return self._write(lambda logits, _: ops.argmax(logits, axis=-1))

    def sample(self, seed: Any = None, temperature: Any = 1.0) -> Tensor:
        """Sequences drawn symbol by symbol, `(batch, *shape)`.

        Args:
            seed: As in `aezoo.nn.distributions.uniform`; or numbers in [0, 1),
                `(batch, *shape)`, one for each symbol.
            temperature: Above 0; p(x_t | x_<t) to the power of its inverse. Below 1
                favours what is probable. A number, or `(batch,)`.
        """
        shape = (ops.shape(self.parameters)[0], self.decoder.length)
        is_noise = len(getattr(seed, "shape", ())) == 1 + len(self.decoder.shape)
        noise = ops.reshape(seed, shape) if is_noise else uniform(shape, seed)
        if isinstance(temperature, int | float):
            check_number("temperature", temperature, above=0.0)
        else:
            temperature = ops.reshape(temperature, (-1, 1))

        def draw(logits: Tensor, t: Tensor) -> Tensor:
            p = ops.softmax(logits / temperature, axis=-1)
            bounds = ops.cumsum(p, axis=-1)
            level = ops.take(noise, t, axis=1)[:, None] * bounds[:, -1:]
            return ops.sum(ops.cast(bounds <= level, "int32"), axis=-1)

        return self._write(draw)

    def _write(self, choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Sequences whose next symbol is what `choose` makes of logits and step."""
        state = self.decoder.start(self.parameters)
        length, batch = self.decoder.length, ops.shape(self.parameters)[0]
        columns = ops.arange(length)

        def body(
            t: Tensor, last: Tensor, rows: Tensor, *state: Tensor
        ) -> tuple[Tensor, ...]:
            logits, after = self.decoder.step(last, t, list(state))
            chosen = ops.cast(choose(logits, t), "int32")
            is_over = ops.logical_and(t > 0, last == END)
            chosen = ops.where(is_over, END, chosen)
            rows = ops.where(columns[None] == t, chosen[:, None], rows)
            return (t + 1, chosen, rows, *after)

        first = ops.full((batch,), END, "int32")
        rows = ops.full((batch, length), END, "int32")
        start = (ops.convert_to_tensor(0, "int32"), first, rows, *state)
        return self._shaped(self._loop(body, start)[2])

    def _shaped(self, rows: Tensor) -> Tensor:
        return ops.reshape(rows, (-1, *self.decoder.shape))

    def search(self, beams: int) -> Tensor:
        """The most probable sequences that a beam search finds, `(batch, *shape)`.

        Args:
            beams: Sequences that are followed at once; 1 is greedy.
        """
        if check_positive_int("beams", beams) == 1:
            return self.point()
        length, batch = self.decoder.length, ops.shape(self.parameters)[0]
        columns = ops.arange(length)

        def per_beam(s: Tensor) -> Tensor:
            return ops.reshape(s, (batch, beams, *s.shape[1:]))

        def flat(s: Tensor) -> Tensor:
            return ops.reshape(s, (batch * beams, *s.shape[2:]))

        def follow(s: Tensor, parent: Tensor) -> Tensor:
            """The beams of `s`, `(batch, beams, ...)`, that `parent` chooses."""
            index = ops.reshape(parent, (batch, beams, *[1] * (len(s.shape) - 2)))
            return ops.take_along_axis(s, index, axis=1)

        def body(
            t: Tensor, last: Tensor, rows: Tensor, total: Tensor, *state: Tensor
        ) -> tuple[Tensor, ...]:
            logits, after = self.decoder.step(flat(last), t, list(state))
            log_p = per_beam(ops.log_softmax(logits, axis=-1))
            size = log_p.shape[-1]
            # what is over goes on with nothing but its end
            rest = ops.where(ops.arange(size) == END, 0.0, IMPOSSIBLE)
            is_over = ops.logical_and(t > 0, last == END)[..., None]
            log_p = ops.where(is_over, rest, log_p)
            every = ops.reshape(total[..., None] + log_p, (batch, beams * size))
            total, best = ops.top_k(every, beams)
            best = ops.cast(best, "int32")
            parent, chosen = best // size, best % size
            rows = follow(rows, parent)
            rows = ops.where(columns == t, chosen[..., None], rows)
            after = [flat(follow(per_beam(s), parent)) for s in after]
            return (t + 1, chosen, rows, total, *after)

        start = self.decoder.start(self.parameters)
        state = [ops.repeat(s, beams, axis=0) for s in start]
        # at first all beams are the same, so one alone counts
        one = ops.where(ops.arange(beams) == 0, 0.0, IMPOSSIBLE)
        total = ops.broadcast_to(ops.cast(one, "float32"), (batch, beams))
        last = ops.full((batch, beams), END, "int32")
        rows = ops.full((batch, beams, length), END, "int32")
        t = ops.convert_to_tensor(0, "int32")
        return self._shaped(self._loop(body, (t, last, rows, total, *state))[2][:, 0])

    def _loop(
        self, body: Callable[..., Any], start: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """A loop over steps until all sequences are over.

        It reads the weights before it starts, and passes no gradient: so a graph in
        which nobody looks at what is written, as in training, leaves it out.

        Args:
            body: Maps the number of symbols, the last ones, and what else there is, to
                what they are after one more symbol.
            start: What they are at first.
        """
        weights = [
            (v, ops.stop_gradient(ops.convert_to_tensor(v)))
            for v in self.decoder.variables
        ]
        start = tuple(map(ops.stop_gradient, start))

        def goes_on(t: Tensor, last: Tensor, *_: Tensor) -> Tensor:
            is_open = ops.logical_or(ops.equal(t, 0), ops.any(last != END))
            return ops.logical_and(t < self.decoder.length, is_open)

        with keras.StatelessScope(state_mapping=weights):
            found: tuple[Tensor, ...] = ops.while_loop(goes_on, body, start)
        return found


def counted(x: Tensor) -> Tensor:
    """Positions of a row that have a probability: up to its first end, `(batch, t)`."""
    before = ops.pad(x[:, :-1], ((0, 0), (1, 0)), constant_values=END + 1)
    return before != END
