"""`preprocessor_config.json` of transformers: what images become before the network."""

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

from aezoo.errors import ConversionError
from aezoo.store.foreign.files import PREPROCESSOR
from aezoo.store.foreign.sources import (
    Conversion,
    ForeignRecord,
    read_config,
    read_fields,
    unsupported,
)

# Of a standard deviation: less would leave nothing of float32.
LEAST = 1e-6


class Preprocessor(ForeignRecord, frozen=True):
    """The fields of a `ViTImageProcessor`; names and defaults are its own.

    Users pass images of the model's size, with values in [0, 1]: mean and standard
    deviation are what the network takes over. What makes images of that size is theirs.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {
            "data_format",
            "default_to_square",
            "device",
            "disable_grouping",
            "do_convert_rgb",
            "feature_extractor_type",
            "image_processor_type",
            "input_data_format",
            "processor_class",
            "resample",
            "return_tensors",
        }
    )

    do_resize: bool = True
    size: int | dict[str, int] | None = None
    do_center_crop: bool = False
    crop_size: int | dict[str, int] | None = None
    do_rescale: bool = True
    rescale_factor: float = 1.0 / 255.0
    do_normalize: bool = True
    image_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def apply(self, conversion: Conversion) -> Conversion:
        """A conversion whose network normalises images in this way.

        Args:
            conversion: One whose network has `channel_mean` and `channel_std`.

        Raises:
            ConversionError: If images would have another size or another range, or
                mean and deviation are not three finite numbers, the latter at least
                `LEAST`.
        """
        if not self.do_rescale or not math.isclose(self.rescale_factor * 255.0, 1.0):
            raise ConversionError(
                "`do_rescale` must be true and `rescale_factor` 1/255, so that values "
                f"are in [0, 1]. Received: do_rescale={self.do_rescale}, "
                f"rescale_factor={self.rescale_factor!r}."
            )
        self._check_size(conversion.input_shape)
        channels = conversion.input_shape[-1]
        mean, std = self.image_mean, self.image_std
        if not self.do_normalize:
            mean, std = (0.0,) * channels, (1.0,) * channels
        for name, values in (("image_mean", mean), ("image_std", std)):
            if len(values) != channels or not all(map(math.isfinite, values)):
                raise unsupported(name, values, f"{channels} finite numbers")
        if min(std) < LEAST:
            raise unsupported("image_std", std, f"at least {LEAST:g}")
        here = {"channel_mean": list(mean), "channel_std": list(std)}
        config = {**conversion.config, **here}
        return dataclasses.replace(
            conversion, config=config, normalization=PREPROCESSOR
        )

    def _check_size(self, shape: tuple[int, ...]) -> None:
        name, size = "size", self.size if self.do_resize else None
        if self.do_center_crop:
            name, size = "crop_size", self.crop_size
        if size is None:
            return
        sides = set(size.values()) if isinstance(size, Mapping) else {size}
        if sides != set(shape[:2]):
            raise unsupported(name, size, f"that of the model, {shape[0]}")


def with_preprocessor(
    conversion: Conversion, content: bytes, name: str, where: str
) -> Conversion:
    """A conversion whose network does what a `preprocessor_config.json` says.

    Args:
        conversion: As the `config.json` beside it says.
        content: The file.
        name: The class of the other library.
        where: In what folder it is; begins messages.

    Raises:
        ConversionError: If it is damaged, a field is unknown, or it asks for what there
            is not here.
    """
    what = f"{where}: {PREPROCESSOR}"
    values = read_config(content)
    if values is None:
        raise ConversionError(f"{what} is damaged: it holds no JSON object.")
    try:
        return read_fields(values, Preprocessor, name, what).apply(conversion)
    except ConversionError as error:
        raise ConversionError(f"{what}: {error}") from error
