"""How much of what is drawn lies under the windows of a model that looks at parts."""

import numpy as np
import pytest

from benchmarks.windows import inks, shares, two_digits, under


def test_a_pixel_is_under_a_window_that_has_its_middle() -> None:
    found = under(np.array([[0.5, -3.0, 2.0, 1.0], [0.4, 0.4, 0.6, 0.6]]), 4, 3)
    expected = np.zeros((2, 4, 3), bool)
    expected[0, 1:3, :2] = True
    np.testing.assert_array_equal(found, expected)


def test_shares_are_of_each_digit_and_of_the_canvas() -> None:
    canvas = np.zeros((1, 60, 60, 1), "uint8")
    canvas[0, :28, :28] = 255
    canvas[0, 30:58, 30:58] = 51  # fainter: each digit counts by its own ink
    ink = inks(canvas, np.array([[[0, 0], [30, 30]]]))
    assert ink.sum(axis=(2, 3)) == pytest.approx(784 * np.array([[1.0, 0.2]]))
    # all of the first, and the upper half of the second
    windows = np.array([[[0, 0, 27, 27], [30, 30, 43, 57]]], "float32")
    found = {name: value.item() for name, value in shares(windows, ink).items()}
    assert list(found.values()) == pytest.approx(
        [0.75, 0.5, (784 + 392) / 3600, 1.0], rel=1e-6
    )
    # a window over everything sees both, and is no look at either
    everything = np.array([[[0, 0, 59, 59]]], "float32")
    wide = [value.item() for value in shares(everything, ink).values()]
    assert wide == pytest.approx([1.0, 1.0, 1.0, 0.0])


def test_canvases_of_drawn_digits() -> None:
    canvases = two_digits(2, seed=0)
    assert (canvases.shape, canvases.dtype) == ((2, 60, 60, 1), "uint8")
    np.testing.assert_array_equal(canvases, two_digits(2, seed=0))
