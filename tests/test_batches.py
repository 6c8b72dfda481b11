"""`batched`: the same as one call, whatever the size of a batch."""

import numpy as np
import pytest

from aezoo.utils.batches import batched


@pytest.mark.parametrize("batch_size", [1, 2, 5, 6, 100])
def test_batches_are_joined(batch_size: int) -> None:
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    seen: list[int] = []

    def function(a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(len(a))
        return {"sum": a.sum(axis=1) + b, "first": a}

    found = batched(function, x, y, batch_size=batch_size)
    np.testing.assert_array_equal(found["sum"], x.sum(axis=1) + y)
    np.testing.assert_array_equal(found["first"], x)
    assert sum(seen) == 6
    assert max(seen) == min(6, batch_size)
    np.testing.assert_array_equal(batched(np.square, y, batch_size=batch_size), y**2)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((np.zeros(3),), {"batch_size": 0}, r"`batch_size` must be an integer"),
        ((np.zeros(3), np.zeros(4)), {}, r"as many rows\. Received: 3, 4"),
        ((), {}, r"Received: no array"),
    ],
)
def test_what_cannot_be_batched_is_refused(arrays, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batched(np.square, *arrays, **options)
