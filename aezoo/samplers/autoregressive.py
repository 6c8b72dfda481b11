"""A causal transformer over discrete codes."""

import dataclasses
import functools
import math
from typing import ClassVar

import numpy as np

from aezoo.samplers.base import Sampler, log_sum_exp
from aezoo.utils.validation import check_positive_int

Cache = list[
    tuple[np.ndarray, np.ndarray]
]  # of each layer, (n, heads, positions, size)
# As a bias, of what cannot be; finite, so that files of samplers can hold it.
IMPOSSIBLE = -1e9
# Of variances, where layers normalise.
EPSILON = 1e-5


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class AutoregressiveSampler(Sampler):
    """A causal transformer over the indices of discrete codes, in raster order.

    The prior that van den Oord et al. (2017, https://arxiv.org/abs/1711.00937),
    section 3.3, fit to the codes of a trained model, `p(i_1) p(i_2 | i_1) ...`; by the
    decoder of Vaswani et al. (2017, https://arxiv.org/abs/1706.03762), without an
    encoder, in place of their PixelCNN. Positions are learned, and layers normalise
    what they read (Xiong et al., 2020, https://arxiv.org/abs/2002.04745), without
    gains and shifts, which the next kernel can do.

    Where positions have codebooks of their own, as the two levels of VQ-VAE-2 (Razavi
    et al., 2019, https://arxiv.org/abs/1906.00446, section 3.2), `bias_out` makes the
    others' codes impossible. Where it knows classes, the class is what precedes the
    first index.

    Attributes:
        codes: Vector of each index, `(num_codes, code_dim)`.
        token: What an index says to the next position, `(num_codes, width)`.
        position: What each position starts from, `(positions, width)`.
        kernel_in: To queries, keys and values, `(layers, width, 3, heads, size)`.
        bias_in: `(layers, 3, heads, size)`.
        kernel_mix: From what the heads found, `(layers, heads, size, width)`.
        bias_mix: `(layers, width)`.
        kernel_up: To rectified units, `(layers, width, hidden)`.
        bias_up: `(layers, hidden)`.
        kernel_down: And back, `(layers, hidden, width)`.
        bias_down: `(layers, width)`.
        kernel_out: To logits, `(width, num_codes)`.
        bias_out: `(num_codes,)`; or `(positions, num_codes)`, `IMPOSSIBLE` where a
            position cannot have a code.
        class_token: What a class says to the first position, `(num_classes, width)`;
            None if it knows no classes.
    """

    kind: ClassVar[str] = "autoregressive"
    CODES: ClassVar[str] = "discrete"

    codes: np.ndarray
    token: np.ndarray
    position: np.ndarray
    kernel_in: np.ndarray
    bias_in: np.ndarray
    kernel_mix: np.ndarray
    bias_mix: np.ndarray
    kernel_up: np.ndarray
    bias_up: np.ndarray
    kernel_down: np.ndarray
    bias_down: np.ndarray
    kernel_out: np.ndarray
    bias_out: np.ndarray
    class_token: np.ndarray | None = None

    def check_shapes(self) -> None:
        """As in `Sampler`."""
        num_codes = self.bias_out.shape[-1] if self.bias_out.ndim else 0
        by_position = self.bias_out.ndim == 2
        layers, _, heads, size = (
            self.bias_in.shape if self.bias_in.ndim == 4 else [0] * 4
        )
        hidden = self.bias_up.shape[-1] if self.bias_up.ndim == 2 else 0
        width = heads * size
        self._expect(
            codes=(num_codes, self.latent_shape[-1]),
            token=(num_codes, width),
            position=(self.positions, width),
            kernel_in=(layers, width, 3, heads, size),
            bias_in=(layers, 3, heads, size),
            kernel_mix=(layers, heads, size, width),
            bias_mix=(layers, width),
            kernel_up=(layers, width, hidden),
            bias_up=(layers, hidden),
            kernel_down=(layers, hidden, width),
            bias_down=(layers, width),
            kernel_out=(width, num_codes),
            bias_out=(self.positions, num_codes)[0 if by_position else 1 :],
        )
        if self.class_token is not None:
            self._expect(class_token=(len(self.class_token), width))

    def describe(self, nouns: str = "examples") -> str:
        """What it is and what it was fitted to."""
        known = f", given one of {self.num_classes} classes" if self.num_classes else ""
        return (
            f"causal transformer of {len(self.bias_in)} layers on the code indices of "
            f"{self.num_fitted:,} {nouns}{known}"
        )

    @property
    def num_classes(self) -> int:
        """As in `Sampler`."""
        return 0 if self.class_token is None else len(self.class_token)

    @property
    def positions(self) -> int:
        """Indices of one code."""
        return math.prod(self.latent_shape[:-1])

    @property
    def chunk(self) -> int:
        """As in `Sampler`: logits of a few million."""
        heads = self.bias_in.shape[2]
        largest = self.positions * max(len(self.codes), heads * self.positions)
        return max(1, 2**22 // largest)

    def sample_codes(
        self,
        n: int,
        generator: np.random.Generator,
        labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """As in `Sampler`: index by index, each from its conditional distribution.

        Args:
            n: As there.
            generator: As there.
            labels: Classes, `(n,)`, as `check_labels` returns them; None draws them,
                all equally probable, if it knows any.
        """
        check_positive_int("n", n)
        if labels is None and self.num_classes:
            # from a stream of their own, whatever n
            drawn = np.random.default_rng(int(generator.integers(2**31)))
            labels = drawn.integers(self.num_classes, size=n)
        first = self._first(n, labels)
        noise = generator.random((n, self.positions))
        parts = [
            self._sample_indices(noise[i : i + self.chunk], first[i : i + self.chunk])
            for i in range(0, n, self.chunk)
        ]
        return self._as_codes(self.codes[np.concatenate(parts)])

    def _first(self, n: int, labels: np.ndarray | None) -> np.ndarray:
        """What precedes the first index: `(n, width)`."""
        if labels is None:
            return np.zeros((n, self.token.shape[1]))
        return np.asarray(self._float64["class_token"][labels])

    def _sample_indices(self, noise: np.ndarray, first: np.ndarray) -> np.ndarray:
        indices = np.zeros(noise.shape, "int64")
        cache = self._empty_cache(len(noise))
        for i in range(self.positions):
            before = first if i == 0 else self._float64["token"][indices[:, i - 1]]
            logits = self._logits(before[:, None], i, cache)[:, 0]
            bounds = np.cumsum(
                np.exp(logits - logits.max(axis=1, keepdims=True)), axis=1
            )
            drawn = np.sum(bounds <= noise[:, i, None] * bounds[:, -1:], axis=1)
            indices[:, i] = np.minimum(drawn, len(self.codes) - 1)
        return indices

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Sum of the indices' log probabilities, each given those before it.

        The mean probability over the classes, if it knows any.
        """
        indices = self._nearest(z)
        classes = range(self.num_classes) if self.num_classes else [None]
        by_class = []
        for label in classes:
            labels = None if label is None else np.full(len(z), label)
            chosen = np.take_along_axis(
                self.log_conditionals(indices, labels), indices[:, :, None], axis=2
            )
            by_class.append(chosen.sum(axis=(1, 2)))
        return log_sum_exp(np.stack(by_class, axis=1)) - math.log(len(by_class))

    def log_conditionals(
        self, indices: np.ndarray, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Log probability of each code at each position, given the indices before it.

        Args:
            indices: Integers, `(n, positions)`; the last ones change nothing.
            labels: Classes, integers `(n,)`, if it knows any.

        Returns:
            Nats, float64, `(n, positions, num_codes)`.
        """
        first = self._first(len(indices), labels)[:, None]
        before = np.concatenate(
            [first, self._float64["token"][indices[:, :-1]]], axis=1
        )
        logits = self._logits(before, 0, self._empty_cache(len(indices)))
        logits -= logits.max(axis=2, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))

    def _nearest(self, z: np.ndarray) -> np.ndarray:
        """Indices `(n, positions)` of flat codes."""
        vectors = z.reshape(-1, self.codes.shape[1])
        codes = self._float64["codes"]
        distances = np.sum(codes**2, axis=1) - 2.0 * vectors @ codes.T
        distances = distances.reshape(len(z), -1, len(codes))
        distances = np.where(self.bias_out > IMPOSSIBLE / 2, distances, np.inf)
        nearest = np.argmin(distances, axis=2).ravel()
        distance = np.abs(vectors - codes[nearest]).max(axis=1)
        if not np.all(distance <= 1e-4 * np.abs(codes).max()):
            raise ValueError(
                f"`z` must hold vectors out of the sampler's {len(codes):,} codes, as "
                "`model.encode` gives them. Received: a unit that is "
                f"{distance.max():.3g} away from the nearest one's."
            )
        return nearest.reshape(len(z), self.positions)

    @functools.cached_property
    def _float64(self) -> dict[str, np.ndarray]:
        return {name: array.astype("float64") for name, array in self.arrays().items()}

    def _empty_cache(self, n: int) -> Cache:
        layers, _, heads, size = self.bias_in.shape
        shape = (n, heads, self.positions, size)
        return [(np.empty(shape), np.empty(shape)) for _ in range(layers)]

    def _logits(self, before: np.ndarray, start: int, cache: Cache) -> np.ndarray:
        """Logits of the positions from `start` on.

        Args:
            before: What the index before each of them says to it, `(n, m, width)`.
            start: Position to start from; `cache` holds those before it.
            cache: Keys and values; those of these positions are added.

        Returns:
            `(n, m, num_codes)`.
        """
        w = self._float64
        heads, size = self.bias_in.shape[2:]
        n, m = before.shape[:2]
        stop = start + m
        hidden = before + w["position"][start:stop]
        # One large product for each kernel: small ones wait for their threads. Single
        # rows have none.
        if m > 1:
            hidden = hidden.reshape(n * m, -1)
        mask = causal_mask(stop)[start:]
        for i, (keys, values) in enumerate(cache):
            kernel = w["kernel_in"][i].reshape(heads * size, -1)
            read = _normalize(hidden) @ kernel + w["bias_in"][i].ravel()
            read = read.reshape(n, m, 3, heads, size).transpose(2, 0, 3, 1, 4)
            query, keys[:, :, start:stop], values[:, :, start:stop] = read
            scores = query @ keys[:, :, :stop].swapaxes(2, 3) / math.sqrt(size) + mask
            weights = np.exp(scores - scores.max(axis=3, keepdims=True))
            weights /= weights.sum(axis=3, keepdims=True)
            found = (weights @ values[:, :, :stop]).swapaxes(
                1, 2
            )  # (n, m, heads, size)
            kernel = w["kernel_mix"][i].reshape(heads * size, -1)
            hidden += found.reshape(hidden.shape) @ kernel + w["bias_mix"][i]
            units = _normalize(hidden) @ w["kernel_up"][i] + w["bias_up"][i]
            hidden += np.maximum(units, 0.0) @ w["kernel_down"][i] + w["bias_down"][i]
        logits = (_normalize(hidden) @ w["kernel_out"]).reshape(n, m, -1)
        bias = w["bias_out"]
        return np.asarray(logits + (bias[start:stop] if bias.ndim == 2 else bias))


def _normalize(hidden: np.ndarray) -> np.ndarray:
    hidden = hidden - hidden.mean(axis=-1, keepdims=True)
    variance = np.square(hidden).mean(axis=-1, keepdims=True)
    return np.asarray(hidden / np.sqrt(variance + EPSILON))


def causal_mask(positions: int) -> np.ndarray:
    """To be added to scores: 0 for a position and those before it, else -1e9."""
    return np.triu(np.full((positions, positions), -1e9, "float32"), 1)
