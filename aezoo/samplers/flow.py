"""A masked autoregressive flow over codes."""

import dataclasses
import functools
from typing import ClassVar

import numpy as np

from aezoo.samplers.base import Sampler, log_normal
from aezoo.utils.validation import check_positive_int

_HUGE = 1e30  # a float32 can be it


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FlowSampler(Sampler):
    """A masked autoregressive flow from codes to the standard normal.

    Papamakarios et al. (2017, https://arxiv.org/abs/1705.07057), equations 3 to 5:
    each step takes from a unit a shift and divides it by a scale that depend on the
    units before it, `u_i = (z_i - m_i) exp(-a_i)`; the order of the units is reversed
    between steps. Both come from a MADE (Germain et al., 2015,
    https://arxiv.org/abs/1502.03509) with two hidden layers of rectified units, and
    `a` stays within `LOG_SCALE`. The density takes one pass, a draw one per unit.

    Attributes:
        centre: Mean of the codes that it was fitted to, `(units,)`.
        scale: Their standard deviation, `(units,)`.
        kernel_0: `(steps, units, width)`; the mask is applied on use, as to the others.
        bias_0: `(steps, width)`.
        kernel_1: `(steps, width, width)`.
        bias_1: `(steps, width)`.
        kernel_2: `(steps, width, 2 units)`, for `m` and then `a`.
        bias_2: `(steps, 2 units)`.
    """

    kind: ClassVar[str] = "flow"
    LOG_SCALE: ClassVar[float] = 5.0

    centre: np.ndarray
    scale: np.ndarray
    kernel_0: np.ndarray
    bias_0: np.ndarray
    kernel_1: np.ndarray
    bias_1: np.ndarray
    kernel_2: np.ndarray
    bias_2: np.ndarray

    def check_shapes(self) -> None:
        """Also that the scales are positive."""
        steps, width = self.bias_0.shape if self.bias_0.ndim == 2 else (0, 0)
        units = self.units
        self._expect(
            centre=(units,),
            scale=(units,),
            kernel_0=(steps, units, width),
            bias_0=(steps, width),
            kernel_1=(steps, width, width),
            bias_1=(steps, width),
            kernel_2=(steps, width, 2 * units),
            bias_2=(steps, 2 * units),
        )
        if not np.all(self.scale > 0):
            raise ValueError("`scale` must be positive.")

    def describe(self, nouns: str = "examples") -> str:
        """What it is and what it was fitted to."""
        return (
            f"masked autoregressive flow of {len(self.bias_0)} steps on codes of "
            f"{self.num_fitted:,} {nouns}"
        )

    @functools.cached_property
    def _layers(self) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        """Masked kernel and bias of each layer of each step, float64."""
        masks = made_masks(self.units, self.bias_0.shape[1])
        kernels = (self.kernel_0, self.kernel_1, self.kernel_2)
        biases = (self.bias_0, self.bias_1, self.bias_2)
        return [
            [
                (mask * kernel[step].astype("float64"), bias[step].astype("float64"))
                for mask, kernel, bias in zip(masks, kernels, biases, strict=True)
            ]
            for step in range(len(self.bias_0))
        ]

    def _shift_and_log_scale(
        self, step: int, z: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        (k0, b0), (k1, b1), (k2, b2) = self._layers[step]
        hidden = np.maximum(z @ k0 + b0, 0.0)
        hidden = np.maximum(hidden @ k1 + b1, 0.0)
        shift, log_scale = np.split(hidden @ k2 + b2, 2, axis=1)
        return shift, self.LOG_SCALE * np.tanh(log_scale / self.LOG_SCALE)

    def sample_codes(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Sampler`: noise through the inverted steps, unit by unit."""
        u = generator.standard_normal((check_positive_int("n", n), self.units))
        for step in reversed(range(len(self._layers))):
            z = np.zeros_like(u)
            for unit in range(self.units):
                shift, log_scale = self._shift_and_log_scale(step, z)
                z[:, unit] = u[:, unit] * np.exp(log_scale[:, unit]) + shift[:, unit]
            u = z[:, ::-1] if step else z
        return self._as_codes(np.clip(self.centre + self.scale * u, -_HUGE, _HUGE))

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Density of the noise, times the volume by which the steps change it."""
        u, log_det = self.to_noise(z)
        return log_normal(u) + log_det

    def to_noise(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The noise that flat codes come from, and the map's log determinant."""
        u = (z - self.centre) / self.scale
        log_det = np.full(len(z), -np.log(self.scale.astype("float64")).sum())
        for step in range(len(self._layers)):
            u = u[:, ::-1] if step else u
            shift, log_scale = self._shift_and_log_scale(step, u)
            u = (u - shift) * np.exp(-log_scale)
            log_det = log_det - log_scale.sum(axis=1)
        return u, log_det


def made_masks(units: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks of a MADE with two hidden layers, whose outputs are two per unit.

    An output of a unit depends on the units before it alone (Germain et al., 2015,
    section 3).

    Returns:
        Zeros and ones: `(units, width)`, `(width, width)`, `(width, 2 * units)`.
    """
    inputs = np.arange(1, units + 1)
    hidden = np.arange(width) % max(units - 1, 1) + 1
    outputs = np.tile(inputs, 2)
    return (
        (hidden[None] >= inputs[:, None]).astype("float32"),
        (hidden[None] >= hidden[:, None]).astype("float32"),
        (outputs[None] > hidden[:, None]).astype("float32"),
    )
