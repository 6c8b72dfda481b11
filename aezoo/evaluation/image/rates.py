"""Bits per element and error of compressed examples, beside the codecs of pictures."""

import dataclasses
import io
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, features

from aezoo.compression import compress, decompress
from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation.context import Evaluation
from aezoo.modalities.image.tiling import tile
from aezoo.utils.arrays import to_numpy

# Qualities of Pillow that are tried, by codec.
QUALITIES: Mapping[str, tuple[int, ...]] = {
    "JPEG": (1, 2, 3, 5, 8, 12, 18, 25, 35, 50, 65, 75, 85, 92, 96),
    "WebP": (0, 1, 2, 4, 8, 15, 25, 40, 55, 70, 80, 90, 96),
    "AVIF": (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90),
}
# Below the error of one level in one pixel of a million.
_LEAST = 1e-12
_SPEED = {"WebP": {"method": 6}, "AVIF": {"speed": 6}}


@dataclasses.dataclass(frozen=True)
class Rate:
    """What a method made of the examples.

    Attributes:
        method: The model's name, or a codec, and at what it equals the model.
        num_bytes: Of all examples.
        bits: Per element, of a picture per pixel and channel.
        mse: Mean squared error per element, values in [0, 1].
        settings: Of a codec, e.g. `"quality 25"`.
    """

    method: str
    num_bytes: int
    bits: float
    mse: float
    settings: str = ""

    @property
    def psnr(self) -> float:
        """In dB, of the mean squared error of all examples; infinite without loss."""
        return math.inf if self.mse == 0.0 else -10.0 * math.log10(self.mse)


@dataclasses.dataclass(frozen=True)
class Rates:
    """Rates of a model and of codecs on the same examples.

    Attributes:
        num_examples: How many.
        num_elements: Elements of one.
        rates: The model first.
        curves: Of each lossy codec, all qualities that were tried.
        bound: Without loss, bits per element of the model's own bound; else None.
    """

    num_examples: int
    num_elements: int
    rates: tuple[Rate, ...]
    curves: Mapping[str, tuple[Rate, ...]]
    bound: float | None = None


def measure_rates(evaluation: Evaluation, name: str, lossless: bool = False) -> Rates:
    """Compress the examples of an evaluation with its model and with Pillow's codecs.

    The codecs get all examples as one picture, side by side: alone, each small picture
    would pay for a header of its own. Without loss, images of a Bernoulli likelihood
    are drawn as 0 or 1 with their grey value as probability, as `elbo/binarised` does.

    Args:
        evaluation: The model and the images.
        name: What to call the model.
        lossless: As in `aezoo.compress`.

    Raises:
        UnsupportedOperationError: If the examples are no images, or the model does not
            compress them.
    """
    modality, model = evaluation.modality, evaluation.model
    if modality.kind != "image":
        raise UnsupportedOperationError(
            f"Codecs are for images, and {model.name!r} has {modality.nouns}."
        )
    is_binary = lossless and model.likelihood_name == "bernoulli"
    x, bound = _observed(evaluation, is_binary) if lossless else (None, None)
    if x is None:
        x = modality.to_dtype(to_numpy(modality.to_model(evaluation.examples)), "uint8")
    blob = compress(model, x, lossless=lossless)
    decoded = decompress(blob, model)
    own = _rate(name, len(blob), x, decoded)
    if lossless:
        rates = [own, *_without_loss(x, is_binary)]
        return Rates(len(x), x[0].size, tuple(rates), {}, bound)
    curves = {codec: tuple(codec_rates(codec, x)) for codec in codecs()}
    rates = [own]
    for codec, points in curves.items():
        for what, distance in _ALIKE.items():
            best = min(points, key=lambda point: distance(point, own))
            rates.append(dataclasses.replace(best, method=f"{codec}, {what}"))
    return Rates(len(x), x[0].size, tuple(rates), curves)


_ALIKE: Mapping[str, Callable[[Rate, Rate], float]] = {
    "same rate": lambda one, two: abs(math.log(one.bits / two.bits)),
    "same error": lambda one, two: abs(
        math.log(max(one.mse, _LEAST) / max(two.mse, _LEAST))
    ),
}


def _observed(evaluation: Evaluation, is_binary: bool) -> tuple[np.ndarray, float]:
    """The images as uint8, and the model's bound in bits per element."""
    parts, nats = [], 0.0
    for chunk in evaluation.chunks("Bound"):
        seen = chunk.view("binarised") if is_binary else chunk
        nats += float(np.sum(seen.reconstruction_nll + seen.kl))
        parts.append(np.round(255.0 * to_numpy(seen.x)).astype("uint8"))
    x = np.concatenate(parts)
    bound = nats / math.log(2.0) / x.size
    return x, bound if is_binary else bound + math.log2(255.0)


def _rate(
    method: str, num_bytes: int, x: np.ndarray, decoded: np.ndarray, settings: str = ""
) -> Rate:
    errors = (x.astype("float32") - decoded) / 255.0
    mse = float(np.mean(np.square(errors), dtype="float64"))
    return Rate(method, num_bytes, 8.0 * num_bytes / x.size, mse, settings)


def _sheet(x: np.ndarray) -> np.ndarray:
    """All examples in one picture, `(height, width, channels)`."""
    return np.asarray(tile(x, columns=math.ceil(math.sqrt(len(x))), padding=0))


def _written(picture: Image.Image, codec: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, codec, **options)
    return file.getvalue()


def _picture(sheet: np.ndarray) -> Image.Image:
    return Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)


def codecs() -> list[str]:
    """The lossy codecs that Pillow has here."""
    return [
        codec for codec in QUALITIES if codec == "JPEG" or features.check(codec.lower())
    ]


def codec_rates(codec: str, x: np.ndarray) -> Iterator[Rate]:
    """What a codec makes of images side by side, at each of its qualities.

    Args:
        codec: One of `codecs()`.
        x: uint8, `(n, height, width, channels)`.
    """
    sheet = _sheet(x)
    picture = _picture(sheet)
    for quality in QUALITIES[codec]:
        content = _written(picture, codec, quality=quality, **_SPEED.get(codec, {}))
        read = np.asarray(Image.open(io.BytesIO(content)).convert(picture.mode))
        found = read.reshape(sheet.shape)
        # the blank at the end of the sheet adds no error, but few bytes
        errors = (sheet.astype("float32") - found) / 255.0
        mse = float(np.sum(np.square(errors), dtype="float64")) / x.size
        bits = 8.0 * len(content) / x.size
        yield Rate(codec, len(content), bits, mse, f"quality {quality}")


def _without_loss(x: np.ndarray, is_binary: bool) -> Iterator[Rate]:
    raw = np.packbits(x > 127) if is_binary else x
    size = len(zlib.compress(raw.tobytes(), 9))
    yield Rate("zlib", size, 8.0 * size / x.size, 0.0, "level 9")
    picture = _picture(_sheet(x))
    small = picture.convert("1") if is_binary else picture
    formats: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "PNG": (small, {"optimize": True})
    }
    if features.check("webp"):
        options = {"lossless": True, "quality": 100, "method": 6}
        formats["WebP"] = (picture, options)
    for codec, (shown, options) in formats.items():
        size = len(_written(shown, codec, **options))
        yield Rate(codec, size, 8.0 * size / x.size, 0.0, "lossless")


def bd_rate(
    own: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]
) -> float:
    """How many more bits one curve takes than another, on average over what both reach.

    Bjontegaard (2001), "Calculation of average PSNR differences between RD-curves",
    VCEG-M33, with straight lines between the points of a curve in place of a polynomial
    through four: the mean difference of log rates at the same error.

    Args:
        own: Points of a curve, `(rate, psnr)` each, at least two.
        other: Those of the curve that it is held against.

    Returns:
        Relative: -0.2 for a fifth fewer bits.

    Raises:
        ValueError: If the curves have no range of errors in common.
    """
    curves = [sorted((psnr, math.log(rate)) for rate, psnr in c) for c in (own, other)]
    low = max(curve[0][0] for curve in curves)
    high = min(curve[-1][0] for curve in curves)
    if low >= high:
        raise ValueError("The curves have no range of errors in common.")
    at = np.linspace(low, high, 1001)
    rates = [np.interp(at, *np.transpose(curve)) for curve in curves]
    return float(np.exp(np.mean(rates[0] - rates[1])) - 1.0)
