"""Everything that differs between Keras's backends: a file each, with the same names.

Models, losses and distributions are written with `keras.ops` alone. What Keras leaves
to the backend is here: compiled inference functions, derivatives, the `train_step` and
`test_step` that Keras calls, and training on several devices.
"""

import importlib
from typing import TYPE_CHECKING

import keras

BACKEND = keras.backend.backend()

if TYPE_CHECKING or BACKEND == "tensorflow":
    from aezoo.nn.backend.tensorflow import (
        SeedGenerator,
        any_worker,
        apply_if,
        compile_inference,
        compile_passes,
        data_parallel,
        first_position,
        fits_device,
        fused_adam_update,
        in_cluster,
        is_chief,
        is_concrete,
        is_distributed,
        jacobian_product,
        map_rows_where,
        num_replicas,
        on_accelerator,
        replica_sum,
        to_device,
        trimmed,
    )
elif BACKEND == "jax":
    from aezoo.nn.backend.jax import (
        SeedGenerator,
        any_worker,
        apply_if,
        compile_inference,
        compile_passes,
        data_parallel,
        first_position,
        fits_device,
        fused_adam_update,
        in_cluster,
        is_chief,
        is_concrete,
        is_distributed,
        jacobian_product,
        map_rows_where,
        num_replicas,
        on_accelerator,
        replica_sum,
        to_device,
        trimmed,
    )
else:
    raise ImportError(
        "aezoo runs on the Keras backends 'tensorflow' and 'jax'. "
        f"Received: KERAS_BACKEND={BACKEND!r}. Set KERAS_BACKEND before importing."
    )

# The base class of models that has them; of another type on each backend.
Steps: type = importlib.import_module(f"{__name__}.{BACKEND}").Steps

__all__ = [
    "BACKEND",
    "SeedGenerator",
    "Steps",
    "any_worker",
    "apply_if",
    "compile_inference",
    "compile_passes",
    "data_parallel",
    "first_position",
    "fits_device",
    "fused_adam_update",
    "in_cluster",
    "is_chief",
    "is_concrete",
    "is_distributed",
    "jacobian_product",
    "map_rows_where",
    "num_replicas",
    "on_accelerator",
    "replica_sum",
    "to_device",
    "trimmed",
]
