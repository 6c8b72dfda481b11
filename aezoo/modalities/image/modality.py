"""Images as a modality."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aezoo.modalities.base import Modality, Preview, all_within
from aezoo.modalities.image.check import TOLERANCE, check_images
from aezoo.modalities.image.colours import to_luma
from aezoo.utils.validation import check_positive_int

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Image(Modality):
    """Images of one size: uint8 from 0 to 255, or floats in [0, 1].

    Inside models they are floats in [0, 1], `(batch, height, width, channels)`.

    Args:
        height: Pixels from top to bottom.
        width: Pixels from left to right.
        channels: 1 for grey, 3 for RGB, or any other number.
    """

    height: int = 28
    width: int = 28
    channels: int = 1

    kind: ClassVar[str] = "image"
    noun: ClassVar[str] = "image"
    element: ClassVar[str] = "pixel"
    read_options: ClassVar[tuple[str, ...]] = ("invert",)
    suffixes: ClassVar[tuple[str, ...]] = (
        *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
        *(".pbm", ".pgm", ".ppm", ".pnm"),
    )
    likelihoods: ClassVar[tuple[str, ...]] = (
        "bernoulli",
        "gaussian",
        "laplace",
        "ms_ssim",
        "discretized_logistic",
    )
    errors: ClassVar[tuple[str, ...]] = ("mse", "mae", "smooth_l1", "bce", "ms_ssim")
    noises: ClassVar[tuple[str, ...]] = (
        *("gaussian", "masking", "salt_and_pepper", "blocks"),
    )
    corruptions: ClassVar[tuple[str, ...]] = (
        *noises,
        *("downsample", "grayscale", "jpeg", "blur"),
    )
    degradations: ClassVar[tuple[str, ...]] = corruptions
    activations: ClassVar[tuple[str, ...]] = ("sigmoid", "linear")
    views: ClassVar[tuple[str, ...]] = ("binarised", "dequantised")

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ValueError: If one is no whole number of at least 1.
        """
        for field in ("height", "width", "channels"):
            value = check_positive_int(f"input_shape ({field})", getattr(self, field))
            object.__setattr__(self, field, value)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        return (self.height, self.width, self.channels)

    def check(self, x: Any, name: str = "x") -> np.ndarray:
        """Images that a model can take, as they are: uint8, or else as float32."""
        return check_images(x, self.shape, name)

    def convert(self, x: Tensor, dtype: str = "float32") -> Tensor:
        """Images as floats in [0, 1]: uint8 is divided by 255.

        Raises:
            ValueError: If they are of another dtype.
        """
        return to_unit_range(x, dtype)

    def from_model(self, x: Tensor, like: str = "float32") -> Tensor:
        """Floats clipped to [0, 1]; rounded to uint8 if images were uint8."""
        from keras import ops

        x = ops.clip(x, 0.0, 1.0)
        if like == "uint8":
            return ops.cast(ops.round(255.0 * x), "uint8")
        return x

    def is_valid(self, x: Tensor) -> "Tensor | bool":
        """Whether floats are in [0, 1], in a graph; bools `(batch,)`."""
        import keras

        if "float" not in keras.backend.standardize_dtype(x.dtype):
            return True
        return all_within(x, -TOLERANCE, 1.0 + TOLERANCE)

    def corrupt(self, x: Tensor, kind: str, level: float, seed: Any) -> Tensor:
        """As in `aezoo.modalities.image.corruption`."""
        from aezoo.modalities.image.corruption import apply_corruption

        return apply_corruption(x, kind, level, seed)

    def degraded(self, x: Tensor, kind: str, level: Any, seed: Any) -> Tensor:
        """As in `aezoo.modalities.image.corruption`."""
        from aezoo.modalities.image.corruption import degraded

        return degraded(x, kind, level, seed)

    def degraded_shape(self, kind: str, level: float) -> tuple[int, int, int]:
        """As in `aezoo.modalities.image.corruption`."""
        from aezoo.modalities.image.corruption import degraded_shape

        return degraded_shape(self.shape, kind, level)

    def check_corruption(self, kind: str, level: float) -> None:
        """As in `aezoo.modalities.image.corruption`."""
        from aezoo.modalities.image.corruption import check_corruption

        check_corruption(self.shape, kind, level)

    def convert_channels(self, x: Tensor) -> Tensor:
        """Tensors of images with as many channels as these have, in a graph.

        Grey becomes red, green and blue alike; those become the luma of ITU-R BT.601.

        Args:
            x: `(batch, height, width, channels)`, of 1 or 3 channels, if of others than
                these.
        """
        from keras import ops

        if x.shape[-1] == self.channels:
            return x
        if self.channels == 3:
            return ops.repeat(x, 3, axis=-1)
        return to_luma(x)

    def read(self, path: Path, **options: Any) -> tuple[np.ndarray, str | None]:
        """As in `aezoo.modalities.image.files.read_image`."""
        from aezoo.modalities.image.files import read_image

        return read_image(path, self.shape, **options)

    def write(self, x: np.ndarray, path: Path) -> None:
        """As in `aezoo.modalities.image.files.write_image`."""
        from aezoo.modalities.image.files import write_image

        write_image(path, x)

    def preview(self, x: np.ndarray, columns: int | None = None) -> Preview:
        """A sheet of images, enlarged so that pixels can be seen."""
        from aezoo.modalities.image.files import grid_image

        return Preview(picture=grid_image(x, columns))

    @property
    def is_shown(self) -> bool:
        """Whether there is a picture of it: in grey or RGB."""
        return self.channels in (1, 3)

    @property
    def has_drawn_examples(self) -> bool:
        """Whether `examples` are digits rather than noise."""
        return self.shape == (28, 28, 1)

    def sheet(self, x: np.ndarray, columns: int, height: int) -> np.ndarray:
        """Images side by side, each pixel enlarged to a square."""
        from aezoo.modalities.image.tiling import tile

        sheet = tile(x, columns=columns)
        rows = math.ceil(len(x) / columns)
        scale = max(1, math.ceil(height * rows / sheet.shape[0]))
        return sheet.repeat(scale, axis=0).repeat(scale, axis=1)

    def examples(self, n: int, seed: int = 0) -> np.ndarray:
        """Drawn digits where they fit, else noise; uint8, `(n, *shape)`."""
        if self.has_drawn_examples:
            from aezoo.modalities.image.digits import draw_digits

            return draw_digits(n, seed=seed)[0]
        generator = np.random.default_rng(seed)
        return generator.integers(0, 256, (n, *self.shape), dtype="uint8")

    def pipeline_tag(self, can_sample: bool) -> str:
        """Of images that are drawn anew, or else of their features."""
        task = "unconditional-image-generation"
        return task if can_sample else "image-feature-extraction"

    def unrounded(self, x: np.ndarray) -> np.ndarray:
        """Images as floats in [0, 1], so that answers are floats, too."""
        return x.astype("float32") / 255.0 if x.dtype == np.uint8 else x

    def to_dtype(self, x: np.ndarray, like: str) -> np.ndarray:
        """Floats in [0, 1], or rounded to uint8."""
        return np.round(255.0 * x).astype("uint8") if like == "uint8" else x

    def sizes_after(self, strides: Sequence[int]) -> list[tuple[int, int]]:
        """Height and width, and those of its feature map after each stride."""
        sizes = [(self.height, self.width)]
        for stride in strides:
            height, width = sizes[-1]
            sizes.append((math.ceil(height / stride), math.ceil(width / stride)))
        return sizes


def to_unit_range(images: Tensor, dtype: str = "float32") -> Tensor:
    """Images as floats in [0, 1], in a graph: uint8 is divided by 255.

    Args:
        images: Images of any shape.
        dtype: Of the result.

    Raises:
        ValueError: If they are neither uint8, nor bool or float.
    """
    import keras
    from keras import ops

    kind = keras.backend.standardize_dtype(images.dtype)
    if kind == "bool" or "float" in kind:
        return ops.cast(images, dtype)
    if kind != "uint8":
        raise ValueError(
            "Images must be uint8, or float with values in [0, 1]. Received: "
            f"dtype={kind}. Cast levels of 0 to 255 to uint8."
        )
    return ops.cast(ops.cast(images, "float32") / 255.0, dtype)
