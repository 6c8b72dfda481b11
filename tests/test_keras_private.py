"""Names of Keras that are not public are still there."""

import keras
import pytest

from aezoo.nn import keras_private
from aezoo.nn.keras_private import NAMES


@pytest.mark.parametrize(
    ("cls", "name"), [(cls, name) for cls, names in NAMES.items() for name in names]
)
def test_a_private_name_is_there(cls, name) -> None:
    assert hasattr(cls, name), f"Keras {keras.__version__} dropped {cls}.{name}."


def test_what_is_read_of_layers() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    dense = model.layers[0]
    assert dense in keras_private.flat_layers(model)
    assert model not in keras_private.flat_layers(model, include_self=False)
    assert len(keras_private.own_trainable_variables(dense)) == 2
    assert keras_private.own_trainable_variables(model) == []
