"""Normalising flows: invertible steps with known volume, given a context."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.networks.stages import Encoder, Stage

Tensor = Any
# Halvings of an interval; float32 has no more digits.
_BISECTIONS = 40


class InverseAutoregressiveStep(keras.layers.Layer):
    """One step of an inverse autoregressive flow.

    Kingma et al. (2016), https://arxiv.org/abs/1606.04934, equations 13 and 14:
    `z' = s z + (1 - s) m` with the gate `s = sigmoid(...)`, where `m` and `s` of a unit
    depend on the units before it and on the context. They come from a MADE (Germain et
    al., 2015, https://arxiv.org/abs/1502.03509), whose kernels are masked; hidden
    units of degree 0 see the context alone, so that the first unit has it too.

    Args:
        hidden_units: Width of each hidden layer of the MADE.
        activation: Keras activation of the hidden layers.
    """

    def __init__(
        self, hidden_units: Sequence[int], activation: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        """Create the kernels for codes and contexts of the two widths given."""
        dim, context_dim = input_shape
        degrees = [np.arange(1, dim + 1)]
        degrees += [np.arange(units) % dim for units in self.hidden_units]
        self.kernels, self.biases, self.masks = [], [], []
        outputs = np.tile(degrees[0] - 1, 2)  # of m and of s: less than the unit's own
        for i, (inner, outer) in enumerate(
            zip(degrees, [*degrees[1:], outputs], strict=True)
        ):
            is_last = i == len(degrees) - 1
            mask = (outer[None, :] >= inner[:, None]).astype("float32")
            self.masks.append(mask)
            scale = 0.01 if is_last else 1.0  # to start close to a plain scaling
            self.kernels.append(self._weight(f"kernel_{i}", mask.shape, scale))
            self.biases.append(self._weight(f"bias_{i}", mask.shape[1:], None))
        # into the first layer, whichever that is
        first = self.masks[0].shape[1]
        self.context_kernel = self._weight("context", (context_dim, first), 0.1)

    def _weight(self, name: str, shape: Sequence[int], scale: float | None) -> Any:
        return _weight(self, name, shape, scale)

    def _shift_and_gate(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        x = ops.matmul(context, ops.convert_to_tensor(self.context_kernel))
        hidden = z
        for i, mask in enumerate(self.masks):
            kernel = ops.multiply(self.kernels[i], mask)
            hidden = ops.matmul(hidden, kernel) + ops.convert_to_tensor(self.biases[i])
            if i == 0:
                hidden = hidden + x
            if i < len(self.masks) - 1:
                hidden = self.activation(hidden)
        shift, gate = ops.split(hidden, 2, axis=-1)
        return shift, gate + 2.0  # gates start close to 1

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Next codes, and the log determinant of the step, `(batch,)`."""
        shift, gate = self._shift_and_gate(z, context)
        s = ops.sigmoid(gate)
        log_det = ops.sum(ops.log_sigmoid(gate), axis=-1)
        return s * z + (1.0 - s) * shift, log_det

    def inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Codes before the step, unit by unit, and the step's log determinant."""
        dim = z.shape[-1]
        found = ops.zeros_like(z)
        for unit in range(dim):
            shift, gate = self._shift_and_gate(found, context)
            s = ops.sigmoid(gate)
            is_known = np.arange(dim) <= unit  # the others would be wrong, or huge
            found = ops.where(is_known, (z - (1.0 - s) * shift) / s, 0.0)
        return found, self.forward(found, context)[1]


class PlanarStep(keras.layers.Layer):
    """One step of a planar flow, with parameters that the context gives.

    Rezende & Mohamed (2015), https://arxiv.org/abs/1505.05770, equations 10 to 12 and
    appendix A: `z' = z + u tanh(w'z + b)`, with `u` changed so that `w'u > -1`.
    """

    def build(self, input_shape: Any) -> None:
        """Create the layer from a context to the step's parameters."""
        dim, context_dim = input_shape
        size = 2 * dim + 1
        self.kernel = _weight(self, "kernel", (context_dim, size), 0.1)
        self.bias = self.add_weight(
            shape=(size,),
            initializer=keras.initializers.RandomNormal(stddev=0.1),
            dtype="float32",
            autocast=False,
            name="bias",
        )

    def _read(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`u` and `w` `(batch, dim)`, `b` and `1 + w'u`, both `(batch, 1)`."""
        both = ops.matmul(context, ops.convert_to_tensor(self.kernel))
        both = both + ops.convert_to_tensor(self.bias)
        dim = (both.shape[-1] - 1) // 2
        u, w, b = both[:, :dim], both[:, dim:-1], both[:, -1:]
        product = ops.sum(w * u, axis=-1, keepdims=True)
        slope = ops.softplus(product)
        square = ops.sum(ops.square(w), axis=-1, keepdims=True) + 1e-12
        return u + (slope - 1.0 - product) * w / square, w, b, slope

    @staticmethod
    def _log_det(tanh: Tensor, slope: Tensor) -> Tensor:
        # 1 + (1 - tanh**2) w'u, as a sum of numbers that are not negative
        volume = ops.square(tanh) + (1.0 - ops.square(tanh)) * slope
        return ops.log(ops.maximum(volume, 1e-30))[:, 0]

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Next codes, and the log determinant of the step, `(batch,)`."""
        u, w, b, slope = self._read(context)
        tanh = ops.tanh(ops.sum(w * z, axis=-1, keepdims=True) + b)
        return z + u * tanh, self._log_det(tanh, slope)

    def inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Codes before the step, and the step's log determinant.

        `a = w'z + b` before the step solves `a + w'u tanh(a) = w'z' + b`, which grows
        with `a`: by bisection, and one Newton step that carries derivatives.
        """
        u, w, b, slope = self._read(context)
        target = ops.sum(w * z, axis=-1, keepdims=True) + b
        factor = slope - 1.0
        low, high = target - ops.abs(factor), target + ops.abs(factor)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            is_above = middle + factor * ops.tanh(middle) > target
            low, high = (
                ops.where(is_above, low, middle),
                ops.where(is_above, middle, high),
            )
        a = ops.stop_gradient(0.5 * (low + high))
        tanh = ops.tanh(a)
        growth = ops.square(tanh) + (1.0 - ops.square(tanh)) * slope
        error = a + factor * tanh - target
        tanh = ops.tanh(a - error / ops.stop_gradient(ops.maximum(growth, 1e-3)))
        return z - u * tanh, self._log_det(tanh, slope)


class NormalizingFlow(keras.layers.Layer):
    """Steps one after another; the order of the units is reversed in between.

    Args:
        steps: The steps.
    """

    def __init__(self, steps: Sequence[keras.layers.Layer], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = list(steps)

    def build(self, input_shape: Any) -> None:
        """Build all steps for codes and contexts of the two widths given."""
        for step in self.steps:
            step.build(input_shape)

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Codes after all steps, and the log determinant, `(batch,)`."""
        total: Tensor = 0.0
        for i, step in enumerate(self.steps):
            z, log_det = step.forward(z if i == 0 else ops.flip(z, axis=-1), context)
            total = total + log_det
        return z, total

    def inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Codes before all steps, and the log determinant of `forward` there."""
        total: Tensor = 0.0
        for i, step in reversed(list(enumerate(self.steps))):
            z, log_det = step.inverse(z, context)
            z = z if i == 0 else ops.flip(z, axis=-1)
            total = total + log_det
        return z, total


class FlowEncoder(Encoder):
    """An encoder, and the flow that its codes go through.

    Args:
        network: Maps examples to the posterior's parameters.
        flow: The flow.
        widths: Of a code and of a context.
    """

    def __init__(
        self,
        network: Encoder,
        flow: NormalizingFlow,
        widths: tuple[int, int],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.flow = flow
        self.widths = widths

    @property
    def heads(self) -> dict[str, keras.layers.Layer]:  # type: ignore[override]
        """Heads of the network, by name."""
        return self.network.heads

    def stages(self) -> list[Stage]:
        """Those of the network."""
        return self.network.stages()

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Parameters of the posterior: the flow's base and its context."""
        return self.network.outputs(x)

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:
        """The code's head and the flow of it, in the context."""
        return (self.heads[head], self.heads["context"], self.flow)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build both, for examples `(batch, *tensor_shape)`."""
        self.network.build(input_shape)
        self.flow.build(self.widths)

    def call(self, inputs: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Map examples to the parameters of the posterior."""
        outputs: dict[str, Tensor] = self.network(inputs, training=training)
        return outputs


def _weight(
    layer: keras.layers.Layer, name: str, shape: Sequence[int], scale: float | None
) -> Any:
    """A weight that stays float32: a flow's determinants need its digits."""
    return layer.add_weight(
        shape=tuple(shape),
        initializer="zeros"
        if scale is None
        else keras.initializers.VarianceScaling(scale, "fan_avg", "uniform"),
        dtype="float32",
        autocast=False,
        name=name,
    )
