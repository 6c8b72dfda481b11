"""Names of Keras that are not public, and that aezoo needs all the same.

`tests/test_keras_private.py` says which one vanished when a new version drops it.
"""

import keras

# Methods and attributes that subclasses in aezoo override or read, by class.
NAMES: dict[type, tuple[str, ...]] = {
    keras.layers.Layer: ("_flatten_layers",),
    # Keras builds all layers by a batch of data otherwise: see `aezoo.nn.backend`.
    keras.Model: ("_symbolic_build",),
    # Averaged weights and fused kernels: see `aezoo.nn.optimizers`.
    keras.optimizers.Optimizer: (
        "_backend_apply_gradients",
        "_get_variable_index",
        "_overwrite_model_variables_with_average_value",
        "_update_model_variables_moving_average",
    ),
}


def flat_layers(
    layer: keras.layers.Layer, include_self: bool = True
) -> list[keras.layers.Layer]:
    """A layer and all layers within it.

    Args:
        layer: The layer.
        include_self: Whether it is one of them.
    """
    return list(layer._flatten_layers(include_self=include_self))


def own_trainable_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Trainable variables of a layer itself, not of the layers within it."""
    return list(layer._trainable_variables)
