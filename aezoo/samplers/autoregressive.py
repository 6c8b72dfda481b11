"""A causal transformer over discrete codes."""

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from keras import ops

from aezoo.errors import UnsupportedOperationError
from aezoo.nn.distributions import Posterior, QuantizedCode
from aezoo.samplers.base import Sampler, log_sum_exp
from aezoo.samplers.training import LikelihoodNetwork
from aezoo.utils.validation import check_positive_int

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

Tensor = Any
Cache = list[
    tuple[np.ndarray, np.ndarray]
]  # of each layer, (n, heads, positions, size)
MAX_CODES = 2**14
# As a bias, of what cannot be; finite, so that files of samplers can hold it.
IMPOSSIBLE = -1e9
_EPSILON = 1e-5
_BATCH_SIZE = 64
_LEARNING_RATE = 3e-3
_WARM_UP = 0.1


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

    @property
    def description(self) -> str:
        """What it is and what it was fitted to."""
        known = f", given one of {self.num_classes} classes" if self.num_classes else ""
        return (
            f"causal transformer of {len(self.bias_in)} layers on the code indices of "
            f"{self.fit.get('num_images', 0):,} images{known}"
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
        mask = _causal_mask(stop)[start:]
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
    return np.asarray(hidden / np.sqrt(variance + _EPSILON))


def _causal_mask(positions: int) -> np.ndarray:
    """To be added to scores: 0 for a position and those before it, else -1e9."""
    return np.triu(np.full((positions, positions), -1e9, "float32"), 1)


class TransformerNetwork(LikelihoodNetwork):
    """The transformer in Keras, for rows of indices, `(batch, positions)`.

    If it knows classes, a row starts with its class: `(batch, 1 + positions)`.

    Args:
        num_codes: Possible indices.
        positions: Indices of one code.
        width: Of the layers.
        layers: How many.
        heads: Of attention; a divisor of `width`.
        seed: Of the initial weights.
        num_classes: Classes that it knows; 0 for none.
        bias_out: What the bias of that name starts from; None for zeros.
    """

    def __init__(
        self,
        num_codes: int,
        positions: int,
        width: int,
        layers: int,
        heads: int,
        seed: int,
        num_classes: int = 0,
        bias_out: np.ndarray | None = None,
    ) -> None:
        generator = np.random.default_rng(seed)
        size, hidden = width // heads, 4 * width

        def draw(*shape: int, inputs: int = width) -> np.ndarray:
            return generator.normal(0.0, inputs**-0.5, shape)

        # At first all codes are equally probable, and layers change little.
        depth = 2 * layers
        initial = {
            "token": draw(num_codes, width),
            "position": draw(positions, width),
            "kernel_in": draw(layers, width, 3, heads, size),
            "bias_in": np.zeros((layers, 3, heads, size)),
            "kernel_mix": draw(layers, heads, size, width, inputs=depth * width),
            "bias_mix": np.zeros((layers, width)),
            "kernel_up": draw(layers, width, hidden),
            "bias_up": np.zeros((layers, hidden)),
            "kernel_down": draw(layers, hidden, width, inputs=depth * hidden),
            "bias_down": np.zeros((layers, width)),
            "kernel_out": np.zeros((width, num_codes)),
            "bias_out": np.zeros(num_codes) if bias_out is None else bias_out,
        }
        if num_classes:
            initial["class_token"] = draw(num_classes, width)
        super().__init__(initial)
        self.heads = heads
        self.mask = _causal_mask(positions)

    def call(self, rows: Tensor) -> Tensor:
        """Negative log-likelihood of the indices of rows, `(batch,)`."""
        w = self.tensors()
        layers, width, _ = w["kernel_up"].shape
        positions, size = len(self.mask), width // self.heads
        indices = rows[:, -positions:]
        before = ops.take(w["token"], indices[:, :-1], axis=0)
        if "class_token" in w:
            first = ops.take(w["class_token"], rows[:, :1], axis=0)
            before = ops.concatenate([first, before], axis=1)
        else:
            before = ops.pad(before, [[0, 0], [1, 0], [0, 0]])
        hidden = before + w["position"]
        for i in range(layers):
            kernel = ops.reshape(w["kernel_in"][i], (width, 3 * width))
            read = _layer_norm(hidden) @ kernel + ops.reshape(w["bias_in"][i], (-1,))
            read = ops.reshape(read, (-1, positions, 3, self.heads, size))
            query, key, value = ops.unstack(ops.transpose(read, (2, 0, 3, 1, 4)), 3)
            scores = query @ ops.transpose(key, (0, 1, 3, 2)) / math.sqrt(size)
            found = ops.softmax(scores + self.mask, axis=-1) @ value
            found = ops.reshape(
                ops.transpose(found, (0, 2, 1, 3)), (-1, positions, width)
            )
            kernel = ops.reshape(w["kernel_mix"][i], (width, width))
            hidden = hidden + found @ kernel + w["bias_mix"][i]
            units = ops.relu(_layer_norm(hidden) @ w["kernel_up"][i] + w["bias_up"][i])
            hidden = hidden + units @ w["kernel_down"][i] + w["bias_down"][i]
        logits = _layer_norm(hidden) @ w["kernel_out"] + w["bias_out"]
        nll = ops.sparse_categorical_crossentropy(indices, logits, from_logits=True)
        return ops.sum(nll, axis=1)


def _layer_norm(hidden: Tensor) -> Tensor:
    mean, variance = ops.moments(hidden, axes=-1, keepdims=True)
    return (hidden - mean) * ops.rsqrt(variance + _EPSILON)


def fit_autoregressive(
    model: "Autoencoder",
    posterior: Posterior,
    seed: int,
    width: int = 64,
    layers: int = 3,
    heads: int = 4,
    epochs: int = 5,
    class_conditional: bool = False,
    labels: Any = None,
) -> AutoregressiveSampler:
    """Maximum likelihood by Adam, on one code per example from its posterior.

    Raises:
        ValueError: If an option is invalid, or it shall be class-conditional and the
            labels are no integers from 0, one per example.
    """
    fit = {"width": width, "layers": layers, "heads": heads, "epochs": epochs}
    for name, value in fit.items():
        check_positive_int(name, value)
    if width % heads:
        raise ValueError(
            "`width` must be a multiple of `heads`. "
            f"Received: width={width}, heads={heads}."
        )
    indices, codes, bias_out = _indices_and_codes(model, posterior, seed)
    rows, num_classes = indices, 0
    if class_conditional:
        classes = _classes(labels, len(indices))
        rows, num_classes = np.column_stack([classes, indices]), int(classes.max()) + 1
    network = TransformerNetwork(
        len(codes), indices.shape[1], width, layers, heads, seed, num_classes, bias_out
    )
    arrays = network.minimize(
        rows,
        epochs=epochs,
        batch_size=_BATCH_SIZE,
        learning_rate=_LEARNING_RATE,
        warm_up=_WARM_UP,
        clipnorm=1.0,
        seed=seed,
    )
    return AutoregressiveSampler(
        model.latent_shape,
        {
            "num_images": len(indices),
            "seed": seed,
            **fit,
            **({"class_conditional": True} if class_conditional else {}),
        },
        codes,
        **arrays,
    )


def _classes(labels: Any, n: int) -> np.ndarray:
    """Labels as int32 `(n,)`.

    Raises:
        ValueError: If they are something else.
    """
    values = np.asarray(labels)
    if values.shape != (n,) or values.dtype.kind not in "iu" or values.min() < 0:
        raise ValueError(
            f"`class_conditional=True` needs `labels`: {n:,} integers from 0. "
            f"Received: labels={labels!r:.80}."
        )
    return values.astype("int32")


def _indices_and_codes(
    model: "Autoencoder", posterior: Posterior, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What there is to learn, of one code per example.

    Returns:
        Indices, int32 `(n, positions)`; what they stand for, `(num_codes, code_dim)`;
        and the `bias_out` that makes all impossible that the model never uses.

    Raises:
        UnsupportedOperationError: If there are too many codes to list.
    """
    is_quantized = isinstance(posterior, QuantizedCode)
    num_codes = model.quantizer.num_codes if is_quantized else model.latent_shape[-1]
    if num_codes > MAX_CODES:
        raise UnsupportedOperationError(
            f"The sampler 'autoregressive' takes at most {MAX_CODES:,} codes. "
            f"Received: {num_codes:,}, of {model.family!r}. Train it with fewer."
        )
    bias_out = np.zeros(num_codes)
    if isinstance(posterior, QuantizedCode):
        indices = np.asarray(posterior.indices)
        codes = np.asarray(model.quantizer.lookup(np.arange(num_codes)), "float32")
        low, stop = model.index_bounds
        if np.ndim(low):
            everything = np.arange(num_codes)
            is_possible = (everything >= low[:, None]) & (everything < stop[:, None])
            bias_out = np.where(is_possible, 0.0, IMPOSSIBLE)
    else:
        indices = np.asarray(posterior.sample(seed)).argmax(axis=-1)
        codes = np.eye(num_codes, dtype="float32")
    rows = indices.reshape(len(indices), -1).astype("int32")
    return rows, codes, bias_out
