"""The encoder as a class for Ray Data, which runs copies of it on many machines."""

import numpy as np

from aezoo.errors import UnsupportedOperationError
from aezoo.features.streaming import FeatureEncoder


class Encoder:
    """Adds a column of features to batches of images, for `Dataset.map_batches`.

    Ray makes one in each worker process (`concurrency`), where it loads its model. Ray
    runs the batches of a worker that dies again, in a new one; rows are neither lost
    nor doubled. Needs `pip install "aezoo[ray]"` on every machine.

    Args:
        name: As in `aezoo.load`; a folder must be there on every machine.
        layer: As in `aezoo.feature_extractor`; None for the code.
        pooling: As in `aezoo.feature_extractor`.
        image_column: Column of images, `(height, width)` or `(height, width,
            channels)`, all in the model's size: uint8, or floats in [0, 1].
        feature_column: Column to add: float32, one row of fixed length per image.
        keep_images: Whether the column of images stays.

    Example:
        >>> images = ray.data.read_images(
        ...     "my_digits", size=(28, 28), mode="L", include_paths=True
        ... )
        >>> features = images.map_batches(
        ...     aezoo.features.ray.Encoder,
        ...     fn_constructor_kwargs={"name": "conv_ae_mnist_z32"},
        ...     batch_size=256,
        ...     concurrency=2,
        ... )
        >>> features.write_parquet("features")
    """

    def __init__(
        self,
        name: str,
        layer: str | None = None,
        pooling: str | None = None,
        *,
        image_column: str = "image",
        feature_column: str = "feature",
        keep_images: bool = False,
    ) -> None:
        self._encode = FeatureEncoder(name, layer, pooling)
        self._image_column, self._feature_column = image_column, feature_column
        self._keep_images = keep_images

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The batch with its features.

        Raises:
            KeyError: If there is no column of images.
            ValueError: If images differ in shape, or have not the model's.
        """
        if self._image_column not in batch:
            raise KeyError(
                f"There is no column {self._image_column!r} of images. Received: "
                f"{', '.join(batch)}. Name it with `image_column`."
            )
        images = batch[self._image_column]
        height, width, channels = self._encode.input_shape
        shapes = {np.shape(image) for image in images}
        if not shapes <= {(height, width, channels), (height, width) * (channels == 1)}:
            raise ValueError(
                f"Images must have the model's shape, ({height}, {width}, {channels}). "
                f"Received: {', '.join(map(str, sorted(shapes)[:3]))}. Read them with "
                f"`read_images(..., size=({height}, {width}), "
                f"mode={'L' if channels == 1 else 'RGB'!r})`."
            )
        pixels = np.array(list(images)).reshape(-1, height, width, channels)
        kept = {
            column: values
            for column, values in batch.items()
            if self._keep_images or column != self._image_column
        }
        if self._feature_column in kept:
            raise UnsupportedOperationError(
                f"The column {self._feature_column!r} is there already. Name another "
                "with `feature_column`."
            )
        return {**kept, self._feature_column: self._encode(pixels)}
