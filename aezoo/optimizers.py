"""Optimisers: Adam in one fused kernel per variable where the backend has one."""

from typing import Any

import keras

from aezoo.backend import fused_adam_update

Tensor = Any


@keras.saving.register_keras_serializable("aezoo")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with TensorFlow's fused kernel: same steps, less time.

    Kingma & Ba (2015), https://arxiv.org/abs/1412.6980. Keras writes one step as some
    fifteen operations per variable; TensorFlow has a kernel that reads and writes
    each array once. The arguments, the state and the results (to rounding) are those
    of `keras.optimizers.Adam`, so checkpoints move between the two. Where there is no
    such kernel (JAX, `amsgrad`, sparse gradients) this *is* Keras's Adam.

    Example:
        >>> model.compile(aezoo.optimizers.Adam(1e-3, clipnorm=1.0))
    """

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Any) -> None:
        """Move one variable and its two moments by one step."""
        index = self._get_variable_index(variable)
        if self.amsgrad or not fused_adam_update(
            variable,
            self._momentums[index],
            self._velocities[index],
            gradient,
            self.iterations,
            learning_rate=learning_rate,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
        ):
            super().update_step(gradient, variable, learning_rate)
