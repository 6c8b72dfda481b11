"""Everything that differs between Keras's backends: a file each, with the same names.

Models, losses and distributions are written with `keras.ops` alone. What Keras leaves
to the backend is here: compiled inference functions, derivatives, the `train_step` and
`test_step` that Keras calls, and training on several devices.
"""

import importlib
from typing import TYPE_CHECKING, Any

import keras

from aezoo.utils.keras_hook import BACKENDS

BACKEND = keras.backend.backend()

if BACKEND not in BACKENDS:
    raise ImportError(
        f"aezoo runs on the Keras backends {', '.join(map(repr, BACKENDS))}. "
        f"Received: KERAS_BACKEND={BACKEND!r}. Set KERAS_BACKEND before importing."
    )
_implementation = importlib.import_module(f"{__name__}.{BACKEND}")
# The base class of models that has them; of another type on each backend.
Steps: type = _implementation.Steps

if TYPE_CHECKING:  # what every backend's file has
    from aezoo.nn.backend.tensorflow import (  # noqa: F401
        OWN_NAMES,
        SeedGenerator,
        any_worker,
        apply_if,
        compile_inference,
        compile_passes,
        data_parallel,
        first_position,
        fits_device,
        fused_adam_update,
        fused_group_norm,
        gradient,
        in_cluster,
        is_chief,
        is_concrete,
        is_distributed,
        jacobian_product,
        map_rows_where,
        mean_pool,
        num_accelerators,
        num_replicas,
        replica_sum,
        to_device,
        trimmed,
        wants_jit,
        wrapped,
    )
else:

    def __getattr__(name: str) -> Any:
        return getattr(_implementation, name)
