"""The encoder as a class for Ray Data, which runs copies of it on many machines."""

import numpy as np

from aezoo.errors import UnsupportedOperationError
from aezoo.features.streaming import FeatureEncoder
from aezoo.modalities import Image


class Encoder:
    """Adds a column of features to batches of examples, for `Dataset.map_batches`.

    Ray makes one in each worker process (`concurrency`), where it loads its model. Ray
    runs the batches of a worker that dies again, in a new one; rows are neither lost
    nor doubled. Needs `pip install "aezoo[ray]"` on every machine.

    Args:
        name: As in `aezoo.load`; a folder must be there on every machine.
        layer: As in `aezoo.feature_extractor`; None for the code.
        pooling: As in `aezoo.feature_extractor`.
        column: Column of examples, as in `model.encode`. Images are `(height, width)`
            or `(height, width, channels)`, all in the model's size.
        feature_column: Column to add: float32, one row of fixed length per example.
        keep_column: Whether the column of examples stays.

    Example:
        >>> images = ray.data.read_images(
        ...     "my_digits", size=(28, 28), mode="L", include_paths=True
        ... )
        >>> features = images.map_batches(
        ...     aezoo.features.ray.Encoder,
        ...     fn_constructor_kwargs={"name": "conv_ae_mnist_z32"},
        ...     batch_size=256,
        ...     compute=ray.data.ActorPoolStrategy(size=2),
        ... )
        >>> features.write_parquet("features")
    """

    def __init__(
        self,
        name: str,
        layer: str | None = None,
        pooling: str | None = None,
        *,
        column: str = "image",
        feature_column: str = "feature",
        keep_column: bool = False,
    ) -> None:
        self._encode = FeatureEncoder(name, layer, pooling)
        self._column, self._feature_column = column, feature_column
        self._keep_column = keep_column

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The batch with its features.

        Raises:
            KeyError: If there is no such column.
            ValueError: If its rows are not what the model takes.
        """
        modality = self._encode.modality
        if self._column not in batch:
            raise KeyError(
                f"There is no column {self._column!r} of {modality.nouns}. Received: "
                f"{', '.join(batch)}. Name it with `column`."
            )
        kept = {
            column: values
            for column, values in batch.items()
            if self._keep_column or column != self._column
        }
        if self._feature_column in kept:
            raise UnsupportedOperationError(
                f"The column {self._feature_column!r} is there already. Name another "
                "with `feature_column`."
            )
        *positions, channels = modality.shape
        rows = [
            row[..., None] if (*np.shape(row), 1) == modality.shape else row
            for row in batch[self._column]
        ]
        try:
            features = self._encode(rows)
        except ValueError as error:
            if not isinstance(modality, Image):
                raise
            raise ValueError(
                f"{error} Read files with `read_images(..., size={tuple(positions)}, "
                f"mode={'L' if channels == 1 else 'RGB'!r})`."
            ) from error
        return {**kept, self._feature_column: features}
