"""Fitting a causal transformer to discrete codes, by Keras."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from aezoo.errors import UnsupportedOperationError
from aezoo.nn.distributions import QuantizedCode
from aezoo.samplers.autoregressive import (
    EPSILON,
    IMPOSSIBLE,
    AutoregressiveSampler,
    causal_mask,
)
from aezoo.samplers.base import COUNT
from aezoo.samplers.training import LikelihoodNetwork
from aezoo.utils.validation import check_positive_int

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.nn.distributions import Posterior

Tensor = Any
MAX_CODES = 2**14
_BATCH_SIZE = 64
_LEARNING_RATE = 3e-3
_WARM_UP = 0.1


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
        self.mask = causal_mask(positions)

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
    return (hidden - mean) * ops.rsqrt(variance + EPSILON)


def fit_autoregressive(
    model: "Autoencoder",
    posterior: "Posterior",
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
            COUNT: len(indices),
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
    model: "Autoencoder", posterior: "Posterior", seed: int
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
        indices = ops.convert_to_numpy(posterior.indices)
        codes = ops.convert_to_numpy(model.quantizer.lookup(np.arange(num_codes)))
        low, stop = model.index_bounds
        if np.ndim(low):
            everything = np.arange(num_codes)
            is_possible = (everything >= low[:, None]) & (everything < stop[:, None])
            bias_out = np.where(is_possible, 0.0, IMPOSSIBLE)
    else:
        indices = ops.convert_to_numpy(posterior.sample(seed)).argmax(axis=-1)
        codes = np.eye(num_codes, dtype="float32")
    rows = indices.reshape(len(indices), -1).astype("int32")
    return rows, codes, bias_out
