"""Coding of discrete codes: under an autoregressive prior, or by their frequencies."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from aezoo.compression.arithmetic import (
    ONE,
    Kernel,
    clip,
    counts_of,
    exp,
    normalised,
    softmax_counts,
    to_grid,
)
from aezoo.compression.coder import TOTAL_BITS, Stack
from aezoo.errors import UnsupportedOperationError
from aezoo.samplers.autoregressive import EPSILON, AutoregressiveSampler

Array = np.ndarray
# Codes that are coded together; a part of the format.
BATCH = 64
# Units of an attention head, at most: products of so many values of the grid sum up
# exactly.
MAX_HEAD = 256
# Largest attention weight, as an integer.
_WEIGHT = 1 << 16


class ExactPrior:
    """The probabilities of an autoregressive sampler, in exact arithmetic.

    Args:
        sampler: The sampler.
    """

    def __init__(self, sampler: AutoregressiveSampler) -> None:
        arrays = sampler.arrays()
        self.num_classes = sampler.num_classes
        self.positions = sampler.positions
        self._heads, self._size = sampler.bias_in.shape[2:]
        if self._size > MAX_HEAD:
            raise UnsupportedOperationError(
                f"The prior's attention heads have {self._size} units: products of "
                f"more than {MAX_HEAD} have no exact arithmetic."
            )
        self._token = to_grid(arrays["token"])
        self._position = to_grid(arrays["position"])
        self._first = to_grid(arrays["class_token"]) if sampler.num_classes else None
        width = self._token.shape[1]
        self._layers = [
            (
                Kernel(
                    arrays["kernel_in"][i].reshape(width, -1), _flat(arrays, "in", i)
                ),
                Kernel(
                    arrays["kernel_mix"][i].reshape(width, -1), _flat(arrays, "mix", i)
                ),
                Kernel(arrays["kernel_up"][i], _flat(arrays, "up", i)),
                Kernel(arrays["kernel_down"][i], _flat(arrays, "down", i)),
            )
            for i in range(len(arrays["kernel_in"]))
        ]
        self._out = Kernel(arrays["kernel_out"])
        self._bias = to_grid(
            np.broadcast_to(
                arrays["bias_out"], (self.positions, arrays["bias_out"].shape[-1])
            )
        )

    def new_cache(self, n: int) -> list[Array]:
        """Keys and values of no position yet, of each layer."""
        shape = (2, n, self._heads, self.positions, self._size)
        return [np.zeros(shape) for _ in self._layers]

    def counts(
        self,
        before: Array,
        start: int,
        cache: list[Array],
        labels: Array | None = None,
    ) -> Array:
        """Tables of the codes at the positions from `start` on.

        Args:
            before: The index before each of them, `(n, m)`; at position 0, unused.
            start: The first of them; `cache` knows those before.
            cache: As `new_cache` returns it; what is learned is added.
            labels: Classes `(n,)`, if the sampler knows any.

        Returns:
            As `arithmetic.softmax_counts`, `(n, m, codes)`.
        """
        n, m = before.shape
        hidden = self._token[before]
        if start == 0:
            hidden[:, 0] = 0.0 if labels is None else self._first[labels]  # type: ignore[index]
        stop = start + m
        hidden = clip(hidden + self._position[start:stop])
        future = np.arange(stop) > np.arange(start, stop)[:, None]  # (m, stop)
        for (read, mix, up, down), kept in zip(self._layers, cache, strict=True):
            y = read.dense(normalised(hidden, (2,), EPSILON))
            y = y.reshape(n, m, 3, self._heads, self._size).transpose(2, 0, 3, 1, 4)
            query = y[0]
            kept[:, :, :, start:stop] = y[1:]
            keys, values = kept[:, :, :, :stop]
            scores = (query @ keys.swapaxes(2, 3)) / (ONE * ONE * math.sqrt(self._size))
            scores = np.where(future, -np.inf, scores)
            below = scores - scores.max(axis=3, keepdims=True)
            powers = np.rint(exp(np.maximum(below, -40.0)) * 2.0**28)
            weights = np.rint(powers * (_WEIGHT / powers.sum(axis=3, keepdims=True)))
            found = np.rint((weights @ values) / _WEIGHT)  # (n, heads, m, size)
            found = found.swapaxes(1, 2).reshape(n, m, -1)
            hidden = clip(hidden + mix.dense(found))
            units = np.maximum(up.dense(normalised(hidden, (2,), EPSILON)), 0.0)
            hidden = clip(hidden + down.dense(units))
        logits = self._out.dense(normalised(hidden, (2,), EPSILON))
        return softmax_counts(clip(logits + self._bias[start:stop]), TOTAL_BITS)

    def best_classes(self, indices: Array) -> Array:
        """Under which class the first codes are most probable: `(n,)`.

        Args:
            indices: Integers, `(n, positions)`.
        """
        start = indices[:, : max(1, self.positions // 4)]
        scores = []
        for label in range(self.num_classes):
            labels = np.full(len(start), label)
            counts = self.counts(_before(start), 0, self.new_cache(len(start)), labels)
            chosen = np.take_along_axis(counts, start[:, :, None], axis=2)
            scores.append(np.log(chosen + 1.0).sum(axis=(1, 2)))
        return np.argmax(scores, axis=0)

    @property
    def classes(self) -> Array:
        """The table of classes, all alike: `(1, num_classes)`."""
        cdf = np.arange(1, self.num_classes) / float(self.num_classes)
        return counts_of(cdf[None], TOTAL_BITS)


def _flat(arrays: dict[str, Array], name: str, layer: int) -> Array:
    return arrays[f"bias_{name}"][layer].ravel()


def _parts(n: int) -> Iterator[slice]:
    return (slice(i, min(i + BATCH, n)) for i in range(0, n, BATCH))


def _before(indices: Array) -> Array:
    """The index before each; at first, 0."""
    return np.concatenate([np.zeros_like(indices[:, :1]), indices[:, :-1]], axis=1)


def encode_with_prior(prior: ExactPrior, indices: Array) -> Array:
    """Indices as words; where the prior knows classes, each code's best one with them.

    Args:
        prior: The prior.
        indices: Integers, `(n, positions)`.

    Returns:
        uint32.
    """
    stack = Stack(np.empty(0, "uint32"))
    for part in list(_parts(len(indices)))[::-1]:
        chosen = indices[part]
        labels = prior.best_classes(chosen) if prior.num_classes else None
        cache = prior.new_cache(len(chosen))
        counts = prior.counts(_before(chosen), 0, cache, labels)
        # the first position on top, for it is popped first
        stack.push(
            chosen.T.reshape(-1),
            counts.swapaxes(0, 1).reshape(-1, counts.shape[-1]),
        )
        if labels is not None:
            stack.push(labels, prior.classes.repeat(len(labels), axis=0))
    return stack.words()


def decode_with_prior(prior: ExactPrior, words: Array, n: int) -> Array:
    """The indices `(n, positions)` that `encode_with_prior` was given.

    Args:
        prior: As there.
        words: What it returned.
        n: Number of codes.
    """
    stack = Stack(words)
    indices = np.zeros((n, prior.positions), "int32")
    for part in _parts(n):
        chosen = indices[part]
        labels = None
        if prior.num_classes:
            labels = stack.pop(prior.classes.repeat(len(chosen), axis=0))
        cache = prior.new_cache(len(chosen))
        for i in range(prior.positions):
            before = chosen[:, max(i - 1, 0), None]
            counts = prior.counts(before, i, cache, labels)
            chosen[:, i] = stack.pop(counts[:, 0])
    return indices


def frequencies(codebooks: Any, indices: Array) -> list[Array]:
    """How often each code of each codebook was used, or no numbers where that is more.

    Args:
        codebooks: As `QuantizedAE.codebooks`.
        indices: Integers, `(n, positions)`.

    Returns:
        Of each codebook, uint32 `(num_codes,)`; or `(0,)` where numbers would take
        more bytes than they save.
    """
    found = []
    for book in codebooks:
        used = indices[:, book.positions].ravel() - book.first_index
        times = np.bincount(used, minlength=book.num_codes).astype("uint32")
        share = times[times > 0] / times.sum()
        saved = times.sum() * (
            math.log2(book.num_codes) + float(np.sum(share * np.log2(share)))
        )
        found.append(times if saved > 12 * book.num_codes else times[:0])
    return found


def _tables(codebooks: Any, times: list[Array]) -> list[tuple[Any, Array]]:
    tables = []
    for book, of_book in zip(codebooks, times, strict=True):
        used = of_book if len(of_book) else np.ones(book.num_codes)
        cdf = np.cumsum(used.astype("float64"))
        tables.append((book, counts_of(cdf[:-1] / cdf[-1], TOTAL_BITS)))
    return tables


def encode_with_tables(codebooks: Any, times: list[Array], indices: Array) -> Array:
    """Indices as words, each under the frequencies of its codebook.

    Args:
        codebooks: As in `frequencies`.
        times: What that returned.
        indices: Integers, `(n, positions)`.
    """
    stack = Stack(np.empty(0, "uint32"))
    for book, table in _tables(codebooks, times)[::-1]:
        used = indices[:, book.positions].ravel() - book.first_index
        for part in list(_parts(len(used)))[::-1]:
            stack.push(
                used[part], np.broadcast_to(table, (len(used[part]), len(table)))
            )
    return stack.words()


def decode_with_tables(
    codebooks: Any, times: list[Array], words: Array, shape: tuple[int, int]
) -> Array:
    """The indices `shape` that `encode_with_tables` was given; arguments as there."""
    stack = Stack(words)
    indices = np.zeros(shape, "int32")
    for book, table in _tables(codebooks, times):
        place = indices[:, book.positions]
        used = np.empty(place.size, "int32")
        for part in _parts(len(used)):
            rows = np.broadcast_to(table, (len(used[part]), len(table)))
            used[part] = stack.pop(rows)
        indices[:, book.positions] = used.reshape(place.shape) + book.first_index
    return indices
