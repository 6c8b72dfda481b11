"""What a configuration of others may make is bounded before it is made."""

import contextvars
import threading

import keras
import pytest

from aezoo.manifest import entries
from aezoo.store.bounds import MAX_LAYERS, bounded, check_bounds

PARAMS = 10_000


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"num_blocks": 10**9},
            r"`num_blocks` must be at most 10,000 for a model of",
        ),
        ({"num_blocks": -(10**400)}, r"`num_blocks` must be at most 10,000.*-1000"),
        ({"network": {"widths": [8, 10**5]}}, r"`widths` must be at most 10,000"),
        ({"anneal_steps": 10**13}, r"`anneal_steps` must be at most 1,099,511,627,776"),
        ({"filters": [1] * 1_001}, r"must hold at most 1,000 values"),
        (
            {"activation": "a" * (PARAMS + 1)},
            r"`activation` must have at most 10,000 letters",
        ),
        ({"beta": float("nan")}, r"`beta` must be finite. Received: beta=nan"),
        ({"input_shape": [10**4, 10**4, 1]}, r"at most 67,108,864 elements"),
    ],
)
def test_numbers_that_are_too_large_are_refused(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_bounds(config, PARAMS)


def test_what_models_need_is_allowed() -> None:
    check_bounds({"latent_dim": 4_096, "anneal_steps": 10**6, "name": None}, 1)
    for entry in entries().values():
        check_bounds(entry.config, entry.num_params)


def test_layers_are_counted_before_there_are_too_many() -> None:
    made = []
    layers = (keras.layers.Layer() for _ in range(MAX_LAYERS + 10))
    with pytest.raises(ValueError, match=r"at most 4,096 layers"), bounded({}, PARAMS):
        made.extend(layers)
    assert len(made) == MAX_LAYERS


def test_weights_are_counted_before_memory_is_taken() -> None:
    with bounded({}, PARAMS):
        keras.layers.Dense(99).build((None, 100))
    message = r"needs 100,000,000,000 weights or more. Received: num_params=10000"
    with pytest.raises(ValueError, match=message), bounded({}, PARAMS):
        keras.layers.Dense(10**5, use_bias=False).build((None, 10**6))


def test_others_are_not_counted_and_nothing_stays() -> None:
    methods = [vars(keras.layers.Layer)[n] for n in ("__new__", "add_weight")]

    def build() -> None:
        keras.layers.Dense(PARAMS).build((None, 2))

    with bounded({}, PARAMS), bounded({}, 2 * PARAMS):
        threading.Thread(target=build).start()
        contextvars.Context().run(build)
        with pytest.raises(ValueError, match=r"needs 30,000 weights"):
            build()
    assert [vars(keras.layers.Layer)[n] for n in ("__new__", "add_weight")] == methods
    build()
