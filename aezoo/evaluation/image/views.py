"""Images binarised and dequantised, and how protocols say so."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

_SCALE = "[0, 1]"
_LEVELS = 256
_VIEWS = {
    None: "grey values as they are",
    "binarised": "pixels drawn as 0 or 1 with their grey value as probability, seed "
    "{seed}",
}
# What bits are of, by the likelihood of a pixel.
_CODE_LENGTHS = {"discretized_logistic": ". Discretised pixels: no dequantisation"}
_CODE_LENGTH = (
    ". Gaussian and Laplace pixels: uniform dequantisation, x = (level + u) / 256 with "
    "one u ~ U[0, 1) per pixel, plus log2(256): an upper bound on the bits of the "
    "8-bit image. Bernoulli pixels: no dequantisation, cross-entropy of grey values, "
    "which is no code length"
)


class ImageViews:
    """As `aezoo.evaluation.views.Views`, of images in [0, 1]."""

    def view(self, name: str, x: np.ndarray, noise: Any) -> np.ndarray:
        """Images binarised, or dequantised to `(256 levels + uniform noise) / 256`.

        Args:
            name: One of `views`.
            x: Images, float32 in [0, 1].
            noise: Source of the draws, with a method `uniform`.

        Returns:
            Float32, as `x`.
        """
        draws = ops.convert_to_numpy(noise.uniform(x.shape))
        if name == "binarised":
            return (draws < x).astype("float32")
        levels = np.round(x * (_LEVELS - 1.0))
        return ((levels + draws) / _LEVELS).astype("float32")

    def bits(self, name: str) -> float:
        """Bits per number that a density of that view lacks to a code of the levels."""
        return math.log2(_LEVELS) if name == "dequantised" else 0.0

    def words(self, name: str | None) -> str:
        """A view in the words of protocols, where `{seed}` may stand."""
        return _VIEWS[name]

    def protocol_words(self, likelihood: str | None) -> Mapping[str, str]:
        """Fields of protocols: the scale, and how bits are counted."""
        return {
            "scale": f", pixels in {_SCALE}",
            "clipped": f", reconstruction clipped to {_SCALE}",
            "dimension": "pixel and channel",
            "dequantisation": _CODE_LENGTHS.get(str(likelihood), _CODE_LENGTH),
        }
