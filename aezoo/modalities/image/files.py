"""Image files in and out, with one stated rule of conversion. Needs Pillow only.

The rule, in this order:

1. The first frame is taken and turned upright as its EXIF orientation says.
2. Grey levels of 16 bits are scaled to 8 bits.
3. Transparency is laid on black (on white if the image is to be inverted).
4. Colours become what the model takes: luminance (ITU-R 601-2) or RGB.
5. `invert` swaps dark and bright, for dark ink on light paper.
6. Another size is resized (Lanczos), keeping the aspect ratio, until it just fits,
   and centred on black.

Nothing else happens: an image of the model's size and mode passes unchanged.

Whatever is wrong with a file is an `ImageFileError` that names it. Before anything is
decoded, its pixels are counted: JPEGs, which can be decoded at an eighth of their size
where that is still several times the model's, may be larger than others.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from aezoo.errors import ImageFileError, UnsafeFileError
from aezoo.modalities.image.tiling import tile, to_uint8
from aezoo.utils.files import atomic_path, check_output, open_regular
from aezoo.utils.validation import check_input_shape, check_positive_int

# Formats that Pillow decodes itself; others may start foreign programs.
INPUT_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
OUTPUT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
ANIMATION_SUFFIXES = (".gif",)
# Of a file, and of the pixels that are decoded of it, where a model does not take more.
MAX_FILE_BYTES, MAX_PIXELS = 1 << 28, 1 << 25
# How many times the model's size a JPEG is decoded at, at least.
_DRAFT = 4
# From how many times the size of the result on images are averaged before they are
# filtered.
_FAR_SMALLER = 1_000
# Pixels above which images are decoded one at a time: several threads read files.
_LARGE = 1 << 21
_one_at_a_time = threading.Lock()
_MAX_SCANS = 100
# Milliseconds of a frame of an animation, and of the last one, which is to be seen.
_FRAME_TIME, _LAST_FRAME_TIME = 120, 1500
# A mean grey level above this is probably dark ink on light paper.
_BRIGHT = 140
_FRAME_LEVEL = 56

_Shape = tuple[int | None, int | None, int]


def read_image(
    path: str | Path, input_shape: Sequence[int], invert: bool = False
) -> tuple[np.ndarray, str | None]:
    """Read an image file in the shape that a model takes.

    The module's docstring states the rule of conversion.

    Args:
        path: A PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file.
        input_shape: `(height, width, channels)` with 1 or 3 channels.
        invert: Swap dark and bright.

    Returns:
        The image, uint8 of shape `input_shape`, and a line that says what was
        converted or looks odd, or None.

    Raises:
        ImageFileError: If the file is missing, a pipe or a device, no image,
            truncated, of more than `MAX_FILE_BYTES` or `MAX_PIXELS`, of 32-bit pixels
            or of colours that are not converted.
        ValueError: If `input_shape` is not the shape of a grey or RGB image.

    Example:
        >>> image, note = read_image("seven.png", (28, 28, 1), invert=True)
    """
    height, width, channels = check_input_shape(input_shape)
    if channels not in (1, 3):
        raise ValueError(
            "`input_shape` must have 1 (grey) or 3 (RGB) channels. "
            f"Received: input_shape={tuple(input_shape)}."
        )
    with _named_errors(path), open_regular(path) as file:
        return _read(file, path, (height, width, channels), invert)


def read_whole_image(path: str | Path, channels: int) -> tuple[np.ndarray, str | None]:
    """Read an image file at its own size; the rule's last two steps are left out.

    Args:
        path: As in `read_image`.
        channels: 1 for grey, 3 for RGB.

    Returns:
        The image, uint8 `(height, width, channels)`, and a line as `read_image` has it.

    Raises:
        ImageFileError: As `read_image`.
    """
    with _named_errors(path), open_regular(path) as file:
        return _read(file, path, (None, None, channels), invert=False)


@contextlib.contextmanager
def _named_errors(path: str | Path) -> Iterator[None]:
    """Whatever goes wrong with a file, as one kind of error that names it."""
    try:
        yield
    except ImageFileError:
        raise
    except FileNotFoundError as error:
        raise ImageFileError(f"The image {path} does not exist.") from error
    except IsADirectoryError as error:
        raise ImageFileError(
            f"{path} is a folder, not an image. Name its files, e.g. {path}/*.png."
        ) from error
    except UnsafeFileError as error:
        raise ImageFileError(f"{error} An image is read from a file only.") from error
    except UnidentifiedImageError as error:
        raise ImageFileError(
            f"{path} is not an image that can be read. Convert it to PNG; known "
            f"formats: {', '.join(INPUT_FORMATS)}."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(
            path, f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
        ) from error
    except MemoryError as error:
        raise _too_large(path, "more pixels than there is memory for") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageFileError(
                f"The image {path} cannot be read: {error.strerror}."
            ) from error
        # What Pillow raises for broken data depends on the format.
        reason = str(error)[:200].rstrip(".") or type(error).__name__
        raise ImageFileError(
            f"The image {path} is truncated or damaged: {reason}. Save it anew."
        ) from error


def _too_large(path: str | Path, what: str) -> ImageFileError:
    return ImageFileError(
        f"The image {path} has {what}, too many to be opened safely. Scale it down "
        "first."
    )


def _read(
    file: BinaryIO, path: str | Path, shape: _Shape, invert: bool
) -> tuple[np.ndarray, str | None]:
    """What `read_image` returns, of an open file; sizes of None are its own."""
    height, width = shape[:2]
    if file.seek(0, os.SEEK_END) > MAX_FILE_BYTES:
        raise _too_large(path, f"more than {MAX_FILE_BYTES:,} bytes")
    file.seek(0)
    with Image.open(file, formats=INPUT_FORMATS) as image:
        source = f"{image.width}x{image.height} {image.mode}"
        _check_pixels(image, file, path, 4 * (height or 0) * (width or 0))
        if height and width:
            box = _DRAFT * max(height, width)
            image.draft(None, (box, box))
        is_large = image.width * image.height > _LARGE
        with _one_at_a_time if is_large else contextlib.nullcontext():
            image.load()
            steps = _turn_upright(image)
            return _convert(image, source, steps, shape, invert)


def _check_pixels(
    image: ImageFile.ImageFile, file: BinaryIO, path: str | Path, least: int
) -> None:
    """Refuse, before anything is decoded, what would take much memory or time."""
    pixels, limit = image.width * image.height, max(MAX_PIXELS, least)
    decoder = image.tile[0][0] if image.tile else ""
    if image.format == "JPEG":
        if not image.info.get("progressive"):
            limit = max(limit, Image.MAX_IMAGE_PIXELS or 0)  # decoded at reduced scale
        elif _num_scans(file) > _MAX_SCANS:
            raise _too_large(path, f"more than {_MAX_SCANS} scans")
    elif decoder == "ppm_plain":
        limit = max(MAX_PIXELS // 16, least)  # numbers as text
    if pixels > limit:
        raise _too_large(path, f"{pixels:,} pixels, more than {limit:,}")
    if image.mode == "LAB":
        raise ImageFileError(
            f"{path} has the colours of CIE L*a*b*, which are not converted. Save it "
            "as RGB."
        )
    is_16_bit = image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in ("PNG", "PPM")
    )
    if image.mode == "F" or (image.mode.startswith("I") and not is_16_bit):
        raise ImageFileError(
            f"{path} has 32-bit pixels, whose range is not stated in the file. Save it "
            "with 8 or 16 bits per channel, e.g. as PNG."
        )


def _num_scans(file: BinaryIO) -> int:
    """How often a progressive JPEG goes over the image; 10 times is usual."""
    position = file.tell()
    file.seek(0)
    count = file.read().count(b"\xff\xda")
    file.seek(position)
    return count


def _turn_upright(image: Image.Image) -> list[str]:
    """Turn a decoded image as its EXIF orientation says; what was done."""
    steps = ["first of several frames"] if getattr(image, "is_animated", False) else []
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        ImageOps.exif_transpose(image, in_place=True)
        steps.append("turned as EXIF says")
    return steps


def _convert(
    image: Image.Image,
    source: str,
    steps: list[str],
    shape: _Shape,
    invert: bool,
) -> tuple[np.ndarray, str | None]:
    """A decoded image as the rule says, and what was done."""
    height, width, channels = (
        shape[0] or image.height,
        shape[1] or image.width,
        shape[2],
    )
    if image.mode.startswith("I"):  # 16 bits
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
        steps.append("16-bit levels scaled to 8")
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white" if invert else "black")
        image = Image.alpha_composite(ground, image.convert("RGBA"))
        steps.append(f"transparency laid on {'white' if invert else 'black'}")
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        is_grey = image.mode in ("L", "1") or mode == "RGB"
        steps.append(
            f"converted to {'RGB' if mode == 'RGB' else 'grey'}"
            + ("" if is_grey else " (luminance)")
        )
        image = image.convert(mode)
    if invert:
        image = ImageOps.invert(image)
        steps.append("inverted")
    if image.size != (width, height):
        image, resized = _fit(image, width, height)
        steps += resized

    pixels = np.asarray(image).reshape(height, width, channels)
    notes = []
    if steps:
        notes.append(f"{source} -> {width}x{height} {mode}: {', '.join(steps)}")
    if channels == 1 and not invert and shape[0] and pixels.mean() > _BRIGHT:
        notes.append(
            "mostly bright: if it is dark ink on light paper, invert it "
            "(`--invert`, `invert=True`)"
        )
    return pixels, "; ".join(notes) or None


def _to_8_bits(levels: np.ndarray) -> np.ndarray:
    """Grey levels of 16 bits as uint8, a part at a time: an index takes 8 bytes."""
    table = np.round(np.arange(1 << 16) / 257.0).astype("uint8")
    flat = levels.reshape(-1)
    result = np.empty(flat.shape, "uint8")
    for start in range(0, flat.size, _LARGE):
        part = slice(start, start + _LARGE)
        result[part] = table[flat[part]]
    return result.reshape(levels.shape)


def _fit(image: Image.Image, width: int, height: int) -> tuple[Image.Image, list[str]]:
    """Resize to fit into the size, keep the aspect ratio, centre on black."""
    scale = min(width / image.width, height / image.height)
    size = (
        max(1, min(width, round(image.width * scale))),
        max(1, min(height, round(image.height * scale))),
    )
    steps = ["resized (Lanczos)"] if size != image.size else []
    # The filter's weights would take more memory than the image.
    is_extreme = max(image.width // size[0], image.height // size[1]) > _FAR_SMALLER
    gap = 3.0 if is_extreme else None
    image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=gap)
    if size != (width, height):
        sheet = Image.new(image.mode, (width, height))
        sheet.paste(image, ((width - size[0]) // 2, (height - size[1]) // 2))
        return sheet, [*steps, "padded with black"]
    return image, steps


def grid_image(
    images: Any,
    columns: int | None = None,
    padding: int = 2,
    scale: int | None = None,
) -> np.ndarray:
    """Images side by side on one sheet, enlarged so that pixels can be seen.

    Args:
        images: `(n, height, width, channels)`, uint8 or floats in [0, 1].
        columns: Images per row; None makes the sheet about square.
        padding: Width of the frames between them, in pixels before enlargement.
        scale: Every pixel becomes `scale` x `scale`; None chooses from 1 to 8 so that
            the sheet stays below about 1,200 pixels.

    Returns:
        The sheet, uint8 of shape `(height, width, channels)`.

    Raises:
        ValueError: If the shape, the range or an argument is wrong.
    """
    sheet = tile(images, columns, padding, background=_FRAME_LEVEL)
    if scale is None:
        scale = max(1, min(8, 1200 // max(sheet.shape[:2])))
    scale = check_positive_int("scale", scale)
    return sheet.repeat(scale, 0).repeat(scale, 1)


def write_image(path: str | Path, image: Any) -> None:
    """Write one image; the file is whole or absent.

    Args:
        path: Ends in one of `OUTPUT_SUFFIXES`, which chooses the format.
        image: `(height, width)`, `(height, width, 1)` or `(height, width, 3)`,
            uint8 or floats in [0, 1].

    Raises:
        ValueError: If the suffix is unknown or the array no image.
        FileNotFoundError: If the folder does not exist.
        OSError: If the folder cannot be written, or the disk is full.
    """
    path = check_output(path, OUTPUT_SUFFIXES)
    pixels = to_uint8(image, "image")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if (
        pixels.ndim not in (2, 3)
        or pixels.shape[2:] not in ((), (3,))
        or not pixels.size
    ):
        raise ValueError(
            "`image` must have shape (height, width), (height, width, 1) or (height, "
            f"width, 3). Received: image.shape={np.shape(image)}."
        )
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary)


def write_animation(path: str | Path, frames: Any) -> None:
    """Write images one after another as a GIF that repeats; whole or absent.

    Args:
        path: Ends in `.gif`.
        frames: `(n, height, width, channels)` with 1 or 3 channels, uint8 or floats
            in [0, 1]; the last one is shown for longer.

    Raises:
        ValueError: If the suffix is another or the array no images.
        FileNotFoundError: If the folder does not exist.
        OSError: If the folder cannot be written, or the disk is full.
    """
    path = check_output(path, ANIMATION_SUFFIXES)
    pixels = to_uint8(frames, "frames")
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3) or not pixels.size:
        raise ValueError(
            "`frames` must have shape (n, height, width, 1) or (n, height, width, 3) "
            f"with n >= 1. Received: frames.shape={np.shape(frames)}."
        )
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    first, *others = [Image.fromarray(frame) for frame in pixels]
    times = [_FRAME_TIME] * len(others) + [_LAST_FRAME_TIME]
    with atomic_path(path) as temporary:
        first.save(
            temporary, save_all=True, append_images=others, duration=times, loop=0
        )
