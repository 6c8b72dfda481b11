"""Builders of datasets with known factors, on small sources."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aezoo.data.datasets import load_dataset
from training.data import (
    glyphs,
    orl_faces,
    photos,
    sheets,
    street_digits,
    turntable,
    two_digit_mnist,
)


def write_sheets(folder: Path, images: np.ndarray, columns: int, rows: int) -> None:
    """`images` `(n, h, w, c)` on sheets of so many rows."""
    folder.mkdir()
    per_sheet = columns * rows
    for i, start in enumerate(range(0, len(images), per_sheet)):
        part = images[start : start + per_sheet]
        _, height, width, channels = part.shape
        sheet = part.reshape(-1, columns, height, width, channels)
        sheet = sheet.transpose(0, 2, 1, 3, 4)
        sheet = sheet.reshape(-1, columns * width, channels)
        picture = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
        picture.save(folder / f"test-{i:02d}.webp", lossless=True)


def test_glyphs_stand_font_by_font_with_style_and_weight(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (3 * 62, *glyphs.SHAPE), dtype="uint8")
    write_sheets(tmp_path / "source", images, columns=62, rows=2)
    fonts = [{"style": s} for s in ("regular", "bold italic", "italic")]
    (tmp_path / "source" / "test-fonts.json").write_text(json.dumps(fonts))
    assert glyphs.build(tmp_path / "source", tmp_path / "glyphs", "test") == 3
    data = load_dataset("glyphs", "test", tmp_path)
    np.testing.assert_array_equal(data.examples, images)
    assert data.factor_names == ("style", "content", "bold", "slanted")
    assert data.factors[62 + 26].tolist() == [1, 26, 1, 1]  # "a" of the second font
    assert data.factors[2 * 62].tolist() == [2, 0, 0, 1]
    np.testing.assert_array_equal(data.labels, data.factors[:, 1])


def test_turned_shapes_have_all_views_the_light_fastest(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (2 * 96, *turntable.SHAPE), dtype="uint8")
    write_sheets(tmp_path / "source", images, columns=96, rows=1)
    assert turntable.build(tmp_path / "source", tmp_path / "turntable", "test") == 2
    data = load_dataset("turntable", "test", tmp_path)
    np.testing.assert_array_equal(data.examples, images)
    assert data.factor_names == ("shape", "azimuth", "elevation", "light")
    at = (1, 7, 1, 2)
    row = 96 + (7 * 2 + 1) * 3 + 2
    assert tuple(data.factors[row]) == at
    with pytest.raises(FileNotFoundError, match=r"no .*train-00.webp"):
        sheets.read_sheets(tmp_path / "source", "train", turntable.SHAPE, 96)


def test_faces_stand_take_by_take_and_small(tmp_path: Path) -> None:
    images = np.repeat(np.arange(6, dtype="uint8"), 112 * 92).reshape(6, 112, 92, 1)
    person, take = np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)
    np.savez(tmp_path / "test.npz", images=images, labels=person)
    attributes = {"glasses": take == 1, "smile": take == 2}
    attributes = {name: value.astype("int8") for name, value in attributes.items()}
    np.savez(tmp_path / "test-attributes.npz", person=person, take=take, **attributes)
    assert orl_faces.build(tmp_path, tmp_path / "orl_faces", "test") == 6
    data = load_dataset("orl_faces", "test", tmp_path)
    assert data.examples.shape == (6, 64, 56, 1)
    assert data.examples[:, 9, 9, 0].tolist() == [0, 3, 1, 4, 2, 5]
    assert data.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.factors[:, 1].tolist() == [0, 0, 1, 1, 0, 0]
    assert data.factor_names == ("person", "glasses", "smile")


def test_patches_of_photographs_do_not_overlap(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    source = tmp_path / "source" / "kodak"
    source.mkdir(parents=True)
    pictures = [
        draws.integers(0, 256, shape, dtype="uint8")
        for shape in ((130, 200, 3), (150, 129, 3))
    ]
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(source / f"{i}.webp", lossless=True)
    folder = tmp_path / "photos"
    assert photos.build(tmp_path / "source", folder, "test") == 2 * 3 + 2 * 2
    data = load_dataset("photos", "test", tmp_path)
    assert data.factor_names == ("photograph", "row", "column", "reduction")
    assert data.labels.tolist() == [0] * 6 + [1] * 4
    for patch, (photograph, row, column, reduction) in zip(
        data.examples, data.factors, strict=True
    ):
        assert reduction == 1
        whole = pictures[photograph]
        part = whole[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
        np.testing.assert_array_equal(patch, part)
    assert len(np.unique(data.factors, axis=0)) == 10
    larger = load_dataset("photos128", "test", tmp_path)
    np.testing.assert_array_equal(larger.examples[0], pictures[0][:128, :128])
    with pytest.raises(FileNotFoundError, match="no photographs"):
        photos.build(tmp_path, folder, "train")


def test_larger_patches_are_also_of_smaller_photographs(tmp_path: Path) -> None:
    source = tmp_path / "source" / "train"
    source.mkdir(parents=True)
    picture = np.random.default_rng(0).integers(0, 256, (390, 520, 3), dtype="uint8")
    Image.fromarray(picture).save(source / "a.png")
    assert photos.build(tmp_path / "source", tmp_path / "photos", "train") == 6 * 8
    larger = load_dataset("photos128", "train", tmp_path)
    counts = np.bincount(larger.factors[:, 3])
    # 195 x 260 by 2 and 130 x 173 by 3, every 64 pixels
    assert counts.tolist() == [0, 3 * 4, 2 * 3, 1 * 1]
    assert photos.cut(picture[:100], 128).shape == (0, 0, 128, 128, 3)
    half = Image.fromarray(picture).resize((260, 195), Image.Resampling.BICUBIC)
    for patch, (_, row, column, reduction) in zip(
        larger.examples, larger.factors, strict=True
    ):
        if reduction == 2:
            part = np.asarray(half)[64 * row :, 64 * column :][:128, :128]
            np.testing.assert_array_equal(patch, part)


def test_two_digits_stand_where_their_factors_say() -> None:
    digits = np.stack([np.full((28, 28, 1), level, "uint8") for level in (90, 200)])
    canvases, factors = two_digit_mnist.compose(digits, np.array([3, 7]), 20, seed=0)
    assert canvases.shape == (20, 60, 60, 1)
    levels = {3: 90, 7: 200}
    for canvas, (first, second, *corners) in zip(canvases, factors, strict=True):
        expected = np.zeros((60, 60), "uint8")
        for label, (row, column) in (
            (first, corners[:2]),
            (second, corners[2:]),
        ):
            spot = expected[row : row + 28, column : column + 28]
            np.maximum(spot, levels[label], out=spot)  # the brighter one counts
        np.testing.assert_array_equal(canvas[..., 0], expected)


def test_street_digits_keep_the_digit_in_the_middle(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (80, *street_digits.SHAPE), dtype="uint8")
    write_sheets(tmp_path / "source", images, columns=40, rows=2)
    np.save(tmp_path / "source" / "test-labels.npy", np.arange(70) % 10)
    folder = tmp_path / "street_digits"
    assert street_digits.build(tmp_path / "source", folder, "test") == 70
    data = load_dataset("street_digits", "test", tmp_path)
    np.testing.assert_array_equal(data.examples, images[:70])
    np.testing.assert_array_equal(data.labels, np.arange(70) % 10)
    assert data.factor_names == ("digit",)
