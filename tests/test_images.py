"""Image files: the stated conversion, helpful refusals, whole or absent output."""

import errno
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aezoo import modalities
from aezoo.data.streams import open_stream
from aezoo.errors import ImageFileError
from aezoo.modalities.image import files as images
from aezoo.modalities.image.digits import draw_digits
from aezoo.modalities.image.files import (
    OUTPUT_SUFFIXES,
    check_output,
    grid_image,
    read_image,
    write_animation,
    write_image,
)
from aezoo.modalities.image.tiling import tile
from tests import hostile

GREY = (28, 28, 1)
RGB = (28, 28, 3)


def save(path: Path, pixels: Any, **options: Any) -> Path:
    Image.fromarray(np.asarray(pixels)).save(path, **options)
    return path


@pytest.fixture
def digit() -> np.ndarray:
    return draw_digits(1, seed=0, labels=[7])[0][0, ..., 0]


# --- Reading: the rule ----------------------------------------------------------


def test_an_image_of_the_models_size_and_mode_passes_unchanged(
    tmp_path: Path, digit: np.ndarray
) -> None:
    pixels, note = read_image(save(tmp_path / "a.png", digit), GREY)
    np.testing.assert_array_equal(pixels[..., 0], digit)
    assert pixels.dtype == np.uint8
    assert note is None


def test_aspect_ratio_is_kept_and_the_rest_is_black(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((50, 100), 200, "uint8"))
    pixels, note = read_image(path, GREY)
    assert (pixels[7:21] == 200).all(), "14 of 28 rows, centred"
    assert (pixels[:7] == 0).all()
    assert (pixels[21:] == 0).all()
    assert note == "100x50 L -> 28x28 L: resized (Lanczos), padded with black"


def test_small_images_are_enlarged(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((7, 7), 99, "uint8"))
    pixels, note = read_image(path, GREY)
    assert (pixels == 99).all()
    assert note == "7x7 L -> 28x28 L: resized (Lanczos)"


def test_colours_become_luminance(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((28, 28, 3), (255, 0, 0), "uint8"))
    pixels, note = read_image(path, GREY)
    assert set(pixels.ravel().tolist()) == {76}  # 0.299 * 255
    assert note == "28x28 RGB -> 28x28 L: converted to grey (luminance)"


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LA", "RGBA"])
@pytest.mark.parametrize("shape", [GREY, RGB])
def test_every_mode_gives_the_models_shape(
    tmp_path: Path, digit: np.ndarray, mode: str, shape: tuple[int, int, int]
) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    image = Image.fromarray(digit)
    if mode in ("CMYK", "YCbCr"):
        image = image.convert("RGB")
    # Some versions of Pillow cannot read the raw YCbCr that they write.
    options = {"compression": "tiff_lzw"} if mode == "YCbCr" else {}
    image.convert(mode).save(path, **options)
    pixels, _ = read_image(path, shape)
    assert pixels.shape == shape
    difference = np.abs(pixels.mean(-1) - digit)
    # "1" dithers; the others round.
    assert np.median(difference) <= 3
    assert mode == "1" or difference.max() <= 6


def test_16_bit_levels_are_scaled_not_clipped(
    tmp_path: Path, digit: np.ndarray
) -> None:
    path = save(tmp_path / "a.png", digit.astype("uint16") * 257)
    pixels, note = read_image(path, GREY)
    np.testing.assert_array_equal(pixels[..., 0], digit)
    assert note is not None
    assert "16-bit levels scaled to 8" in note


def test_transparency_is_laid_on_black(tmp_path: Path, digit: np.ndarray) -> None:
    white_ink = np.dstack([np.full((28, 28, 3), 255, "uint8"), digit])
    pixels, note = read_image(save(tmp_path / "a.png", white_ink), GREY)
    assert np.abs(pixels[..., 0].astype(int) - digit).max() <= 1
    assert note is not None
    assert "transparency laid on black" in note


def test_black_ink_on_transparency_can_be_inverted(
    tmp_path: Path, digit: np.ndarray
) -> None:
    black_ink = np.dstack([np.zeros((28, 28, 3), "uint8"), digit])
    pixels, note = read_image(save(tmp_path / "a.png", black_ink), GREY, invert=True)
    assert np.abs(pixels[..., 0].astype(int) - digit).max() <= 1
    assert note is not None
    assert "transparency laid on white" in note
    assert "inverted" in note


def test_invert_pads_with_black(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((14, 28), 255, "uint8"))
    pixels, note = read_image(path, GREY, invert=True)
    assert (pixels == 0).all()
    assert note == "28x14 L -> 28x28 L: inverted, padded with black"


def test_exif_orientation_is_applied(tmp_path: Path, digit: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    path = save(tmp_path / "a.png", np.rot90(digit), exif=exif)
    pixels, note = read_image(path, GREY)
    np.testing.assert_array_equal(pixels[..., 0], digit)
    assert note is not None
    assert "turned as EXIF says" in note


def test_the_first_of_many_frames_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    frames = [Image.new("L", (28, 28), level) for level in (10, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    pixels, note = read_image(path, GREY)
    assert (pixels == 10).all()
    assert note is not None
    assert "first of several frames" in note


def test_dark_ink_on_light_paper_is_pointed_out(
    tmp_path: Path, digit: np.ndarray
) -> None:
    path = save(tmp_path / "a.png", 255 - digit)
    _, note = read_image(path, GREY)
    assert note is not None
    assert "--invert" in note
    inverted, note = read_image(path, GREY, invert=True)
    assert note == "28x28 L -> 28x28 L: inverted"
    np.testing.assert_array_equal(inverted[..., 0], digit)


# --- Reading: refusals ----------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"seven\.png does not exist"):
        read_image(tmp_path / "seven.png", GREY)


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"is a folder, not an image.*\*\.png"):
        read_image(tmp_path, GREY)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"%!PS\n"])
def test_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match=r"a\.png (is not an image|is truncated)"):
        read_image(path, GREY)


def test_formats_that_start_foreign_programs_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (28, 28)).save(path, format="EPS")  # needs Ghostscript to be read
    with pytest.raises(ImageFileError, match="is not an image that can be read"):
        read_image(path, GREY)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_truncated(tmp_path: Path, rng: np.random.Generator, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    save(path, rng.integers(0, 256, (90, 90, 3), "uint8"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageFileError, match=r"truncated or damaged|is not an image"):
        read_image(path, GREY)


@pytest.mark.parametrize("limit", [3000, 1000])  # Pillow warns, Pillow raises
def test_decompression_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    path = save(tmp_path / "a.png", np.zeros((60, 60), "uint8"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageFileError, match=f"has more than {limit:,} pixels"):
        read_image(path, GREY)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_32_bit_pixels(tmp_path: Path, dtype: str) -> None:
    path = save(tmp_path / "a.tif", np.ones((28, 28), dtype))
    with pytest.raises(ImageFileError, match=r"32-bit pixels.*8 or 16 bits"):
        read_image(path, GREY)


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(images, "open_regular", refuse)
    with pytest.raises(ImageFileError, match="cannot be read: Permission denied"):
        read_image(tmp_path / "a.png", GREY)


@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "a.png")
    with pytest.raises(
        ImageFileError, match=r"a\.png (is a pipe or a dev|cannot be re)"
    ):
        read_image(path, GREY)


def test_large_jpegs_are_decoded_at_a_reduced_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ramp = np.linspace(0, 255, 2400).astype("uint8")
    for name in ("a.jpg", "a.png"):
        save(tmp_path / name, np.broadcast_to(ramp, (2000, 2400)))
    sizes = []
    load = images.ImageFile.ImageFile.load
    monkeypatch.setattr(
        images.ImageFile.ImageFile, "load", lambda x: sizes.append(x.size) or load(x)
    )
    reduced, note = read_image(tmp_path / "a.jpg", GREY)
    assert sizes[0] == (300, 250)
    assert note is not None
    assert note.startswith("2400x2000 L -> 28x28 L: resized (Lanczos)")
    exact, _ = read_image(tmp_path / "a.png", GREY)
    assert np.abs(reduced.astype(int) - exact).max() <= 2


def test_colours_that_are_not_converted_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.frombytes("LAB", (28, 28), bytes(3 * 28 * 28)).save(path)
    with pytest.raises(ImageFileError, match=r"a\.tif has the colours.*Save it as RGB"):
        read_image(path, GREY)


def test_sixteen_bits_become_the_nearest_eight(tmp_path: Path) -> None:
    levels = np.arange(1 << 16, dtype="uint16").reshape(256, 256)
    pixels, _ = read_image(save(tmp_path / "a.png", levels), (256, 256, 1))
    np.testing.assert_array_equal(
        pixels[..., 0], np.round(levels / 257.0).astype("uint8")
    )


def test_a_mostly_damaged_folder_is_read_around_the_damage(tmp_path: Path) -> None:
    dice = random.Random(3)
    for i in range(40):
        hostile.damaged_image(tmp_path / f"damaged_{i:02}.png", dice)
    for i, mode in enumerate(("L", "RGB", "LAB", "F")):
        hostile.picture(dice, mode, (28, 28)).save(tmp_path / f"whole_{i}.tif")
    os.mkfifo(tmp_path / "pipe.png")
    hidden = ["._whole_0.tif", ".hidden.png", ".folder/a.png"]
    for name in hidden:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"Mac OS X")
    batches = list(open_stream(tmp_path, modalities.Image(*GREY)).batches(7))
    read = [path for batch in batches for path in batch.paths]
    refused = {path: why for batch in batches for path, why in batch.unreadable}
    assert len(read) + len(refused) == 45
    assert {f"{tmp_path}/whole_0.tif", f"{tmp_path}/whole_1.tif"} <= set(read)
    assert "CIE" in refused[f"{tmp_path}/whole_2.tif"]
    assert "32-bit" in refused[f"{tmp_path}/whole_3.tif"]
    assert "is a pipe" in refused[f"{tmp_path}/pipe.png"]
    assert all(path in why for path, why in refused.items())


@pytest.mark.parametrize("shape", [(28, 28, 2), (28, 28), (0, 28, 1)])
def test_bad_input_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`input_shape"):
        read_image(tmp_path / "a.png", shape)


# --- Sheets ---------------------------------------------------------------------


def test_tiles_lie_in_rows_with_frames_around_them() -> None:
    levels = np.array([10, 20, 30], "uint8")
    cells = np.broadcast_to(levels[:, None, None, None], (3, 2, 4, 1))
    sheet = tile(cells, columns=2, padding=1, background=7)[..., 0]
    assert sheet.tolist() == [
        [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
        [7, 10, 10, 10, 10, 7, 20, 20, 20, 20, 7],
        [7, 10, 10, 10, 10, 7, 20, 20, 20, 20, 7],
        [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
        [7, 30, 30, 30, 30, 7, 7, 7, 7, 7, 7],
        [7, 30, 30, 30, 30, 7, 7, 7, 7, 7, 7],
        [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
    ]


def test_tile_keeps_pixels_and_channels(rng: np.random.Generator) -> None:
    cells = rng.integers(0, 256, (6, 3, 5, 3), "uint8")
    sheet = tile(cells, columns=3, padding=0)
    assert sheet.shape == (6, 15, 3)
    np.testing.assert_array_equal(sheet[3:6, 5:10], cells[4])


def test_tile_is_about_square_by_default() -> None:
    assert tile(np.zeros((64, 28, 28, 1), "uint8"), padding=0).shape == (224, 224, 1)
    wide = tile(np.zeros((8, 28, 56, 1), "uint8"), padding=0)
    assert wide.shape == (112, 112, 1)


def test_floats_become_levels() -> None:
    cells = np.array([0.0, 0.5, 1.0], "float32").reshape(3, 1, 1, 1)
    assert tile(cells, 3, 0).ravel().tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("cells", "options", "message"),
    [
        (np.zeros((2, 2, 1), "uint8"), {}, r"must have shape \(n, height"),
        (np.zeros((0, 2, 2, 1), "uint8"), {}, "n >= 1"),
        (np.zeros((1, 2, 2, 1), "int64"), {}, "must be uint8, or float.*dtype=int64"),
        (np.full((1, 2, 2, 1), 3.0), {}, "values in .0, 1.*max=3"),
        (np.full((1, 2, 2, 1), np.nan), {}, "NaN or infinity"),
        (np.zeros((1, 2, 2, 1), "uint8"), {"columns": 0}, "`columns` must be"),
        (np.zeros((1, 2, 2, 1), "uint8"), {"padding": -1}, "`padding` must be"),
        (np.zeros((1, 2, 2, 1), "uint8"), {"scale": 0}, "`scale` must be"),
    ],
)
def test_bad_grids(cells: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid_image(cells, **options)


def test_grid_image_enlarges_pixels_and_stays_moderate() -> None:
    small = grid_image(np.full((1, 2, 2, 1), 9, "uint8"), padding=0, scale=3)
    assert small.shape == (6, 6, 1)
    for n in (1, 64, 10_000):
        sheet = grid_image(np.zeros((n, 28, 28, 1), "uint8"))
        assert max(sheet.shape) <= max(1200, 30 * n**0.5 + 2)


# --- Writing --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 1), (30, 40, 3)])
def test_written_images_can_be_read(
    tmp_path: Path, suffix: str, shape: tuple[int, ...]
) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, np.full(shape, 100, "uint8"))
    with Image.open(path) as image:
        assert image.size == (40, 30)
        assert abs(np.asarray(image).astype(int) - 100).max() <= 2
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")

    def fill_disk(_: Any, target: Path) -> None:
        Path(target).write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_disk)
    with pytest.raises(OSError, match="No space left"):
        write_image(path, np.zeros((2, 2), "uint8"))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 2, 4), (2,), (1, 2, 2, 1), (0, 2)])
def test_bad_images_are_not_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"`image` must have shape \(height, width"):
        write_image(tmp_path / "a.png", np.zeros(shape, "uint8"))
    assert not list(tmp_path.iterdir())


def test_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"end in \.png, .*Did you mean '\.png'"):
        write_image(tmp_path / "a.pngg", np.zeros((2, 2), "uint8"))
    with pytest.raises(ValueError, match="must end in"):
        write_image(tmp_path / "a", np.zeros((2, 2), "uint8"))


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not exist.*mkdir -p"):
        write_image(tmp_path / "no" / "a.png", np.zeros((2, 2), "uint8"))


def test_output_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        check_output(tmp_path / "a.png", OUTPUT_SUFFIXES)


def test_folder_that_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="may not be written"):
        check_output(tmp_path / "a.png", OUTPUT_SUFFIXES)


# --- Animations -------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_an_animation_shows_its_frames(tmp_path: Path, channels: int) -> None:
    levels = np.array([0, 100, 255], "uint8").reshape(3, 1, 1, 1)
    frames = np.broadcast_to(levels, (3, 4, 5, channels))
    path = tmp_path / "a.gif"
    write_animation(path, frames)
    with Image.open(path) as image:
        assert image.n_frames == 3
        assert image.info["loop"] == 0
        times = []
        for i, level in enumerate((0, 100, 255)):
            image.seek(i)
            times.append(image.info["duration"])
            assert image.size == (5, 4)
            assert (np.asarray(image.convert("L")) == level).all()
    assert times[0] == times[1] < times[2]


def test_only_a_gif_is_an_animation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.gif"):
        write_animation(tmp_path / "a.png", np.zeros((2, 4, 4, 1)))
    with pytest.raises(ValueError, match=r"`frames` must have shape \(n, height"):
        write_animation(tmp_path / "a.gif", np.zeros((4, 4, 1)))
    assert not list(tmp_path.iterdir())
