"""Drawn shapes: what each factor moves, the splits, and the dataset that TFDS reads."""

from pathlib import Path

import numpy as np
import pytest

from aezoo.data.shapes import (
    FACTOR_NAMES,
    FACTOR_SIZES,
    draw_shapes,
    factors,
    split_indices,
)

COUNT = 27_648
SHAPE, SCALE, ORIENTATION, X, Y = range(5)


@pytest.fixture(scope="module")
def shapes() -> tuple[np.ndarray, np.ndarray]:
    """All rows of factors and their images."""
    rows = factors()
    return rows, draw_shapes(rows)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFDS data directory where the dataset was generated once."""
    tfds = pytest.importorskip("tensorflow_datasets")
    import aezoo.data.shapes_builder  # noqa: F401

    path = tmp_path_factory.mktemp("tfds")
    tfds.load("shapes", data_dir=path)
    return path


def _centres(images: np.ndarray) -> np.ndarray:
    """Centres of mass, x and y in pixels: `(n, 2)`."""
    ink = images[..., 0] / 255.0
    pixels = np.arange(32) + 0.5
    moments = np.stack([(ink.sum(axis) * pixels).sum(1) for axis in (1, 2)], axis=1)
    return moments / ink.sum((1, 2))[:, None]


def test_factors_are_the_full_product_the_last_varying_fastest() -> None:
    rows = factors()
    assert FACTOR_NAMES == (
        "shape", "scale", "orientation", "x_position", "y_position",
    )  # fmt: skip
    assert rows.shape == (COUNT, 5)
    assert rows.dtype.kind == "i"
    np.testing.assert_array_equal(
        np.ravel_multi_index(tuple(rows.T), FACTOR_SIZES), np.arange(COUNT)
    )


def test_every_image_is_unique(shapes: tuple[np.ndarray, np.ndarray]) -> None:
    _, images = shapes
    assert images.shape == (COUNT, 32, 32, 1)
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == COUNT


def test_images_are_bright_shapes_with_soft_edges_inside_the_frame(
    shapes: tuple[np.ndarray, np.ndarray],
) -> None:
    _, images = shapes
    border = images.copy()
    border[:, 1:-1, 1:-1] = 0
    assert border.max() == 0
    assert (images.max((1, 2, 3)) == 255).all()
    grey = ((images > 0) & (images < 255)).sum((1, 2, 3))
    assert grey.min() > 4


def test_positions_move_the_centre_of_mass_and_nothing_else_does(
    shapes: tuple[np.ndarray, np.ndarray],
) -> None:
    rows, images = shapes
    expected = np.linspace(9.25, 22.75, 12)[rows[:, [X, Y]]]
    np.testing.assert_allclose(_centres(images), expected, atol=0.2)


def test_scale_sets_the_area_whatever_the_other_factors(
    shapes: tuple[np.ndarray, np.ndarray],
) -> None:
    rows, images = shapes
    side = np.sqrt(images.sum((1, 2, 3)) / 255.0)
    np.testing.assert_allclose(side, rows[:, SCALE] + 4.0, atol=0.16)


@pytest.mark.parametrize("shape", range(FACTOR_SIZES[SHAPE]))
def test_four_steps_of_orientation_are_a_quarter_turn_clockwise(shape: int) -> None:
    before = np.array([[shape, 3, k, 2, 4] for k in range(16)])
    # A quarter turn of the image moves the shape from (2, 4) to (11 - 4, 2).
    after = np.array([[shape, 3, (k + 4) % 16, 7, 2] for k in range(16)])
    turned = np.rot90(draw_shapes(before), -1, axes=(1, 2))
    np.testing.assert_allclose(turned, draw_shapes(after), atol=1.0)


def test_upright_shapes_are_symmetric_and_point_the_right_way() -> None:
    # Half way between the positions 5 and 6 of an axis lies the middle of the image.
    for shape, points_up in enumerate((False, True, True)):
        left, right = draw_shapes(np.array([[shape, 3, 0, 5, 5], [shape, 3, 0, 6, 5]]))
        np.testing.assert_allclose(left[:, ::-1], right, atol=1.0)
        (inked,) = np.nonzero(left[..., 0].max(1) > 127)
        widths = (left[inked, :, 0] > 127).sum(1)
        assert (widths[0] < widths[-1]) == points_up


def test_an_image_depends_on_its_row_only(
    shapes: tuple[np.ndarray, np.ndarray],
) -> None:
    rows, images = shapes
    some = np.array([27_647, 3, 12_345, 3])
    np.testing.assert_array_equal(draw_shapes(rows[some]), images[some])
    assert draw_shapes(rows[:0]).shape == (0, 32, 32, 1)


def test_splits_are_disjoint_and_cover_everything() -> None:
    train, test = split_indices("train"), split_indices("test")
    assert len(test) == 5530
    assert len(train) == 22_118
    np.testing.assert_array_equal(
        np.sort(np.concatenate([train, test])), np.arange(COUNT)
    )


def test_splits_never_change_and_start_with_a_fair_sample() -> None:
    assert split_indices("train")[:4].tolist() == [20554, 16026, 6037, 855]
    assert split_indices("test")[:4].tolist() == [25556, 921, 2693, 10970]
    first = factors()[split_indices("test")[:1000]]
    for column, size in zip(first.T, FACTOR_SIZES, strict=True):
        counts = np.bincount(column, minlength=size)
        assert counts.min() > 0.6 * 1000 / size


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_tfds_dataset_equals_the_arrays(data_dir: Path, split: str) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    rows = factors()[split_indices(split)]
    # `load` finds what the fixture has generated.
    dataset = tfds.load("shapes", split=split, data_dir=data_dir, batch_size=-1)
    examples = tfds.as_numpy(dataset)
    labels = [examples[f"label_{name}"] for name in FACTOR_NAMES]
    np.testing.assert_array_equal(np.stack(labels, axis=1), rows)
    np.testing.assert_array_equal(examples["image"], draw_shapes(rows))


def test_the_tfds_dataset_describes_itself(data_dir: Path) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    info = tfds.builder("shapes", data_dir=data_dir).info
    assert info.full_name == "shapes/1.0.0"
    assert info.splits["train"].num_examples == 22_118
    assert info.features["image"].shape == (32, 32, 1)
    assert info.features["label_shape"].names == ["heart", "triangle", "half_disc"]
    assert info.features["label_y_position"].num_classes == 12
    assert "dSprites" in info.description
    assert "dsprites-dataset" in info.citation


def test_tfds_has_no_dataset_of_that_name() -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    import aezoo.data.shapes_builder

    assert tfds.builder_cls("shapes") is aezoo.data.shapes_builder.Shapes
    packages = Path(tfds.__file__).parent
    assert not list(packages.glob("**/datasets/shapes"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, 0, 0, 0, 0], r"`factors` must be integers of shape \(n, 5\).*\(5,\)"),
        ([[0, 0, 0, 0]], r"`factors` must be integers.*shape=\(1, 4\).*factors\(\)"),
        ([[0.0] * 5], r"`factors` must be integers.*dtype=float64"),
        (
            [[3, 0, 0, 0, 0]],
            r"`factors` must hold shape from 0 to 2.*shape from 3 to 3",
        ),
        ([[0, 4, 0, 0, 0]], r"`factors` must hold scale from 0 to 3"),
        ([[0, 0, -1, 0, 0]], r"orientation from 0 to 15. Received: .* from -1 to -1"),
        ([[0, 0, 0, 0, 12]], r"`factors` must hold y_position from 0 to 11"),
    ],
)
def test_bad_factors(rows: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_shapes(np.array(rows))


def test_bad_split() -> None:
    with pytest.raises(ValueError, match=r"`split` must be one of 'train', 'test'"):
        split_indices("validation")
