"""Figures: what they show and name, without pyplot, and without matplotlib."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aezoo import plots
from aezoo.errors import MissingDependencyError
from aezoo.tiling import tile


class PlaneModel:
    """Decodes a two-unit code to one pixel per unit, so that codes can be read."""

    input_shape = (1, 2, 1)
    latent_shape: tuple[int, ...] = (2,)

    def decode(self, z: np.ndarray) -> np.ndarray:
        return (np.clip(z, -4, 4) / 8 + 0.5).reshape(-1, 1, 2, 1).astype("float32")


def shown(figure: Any) -> np.ndarray:
    (axes,) = figure.axes
    (image,) = axes.images
    return np.asarray(image.get_array())


def names(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.fixture
def digits(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (6, 4, 4, 1), "uint8")


def test_sample_grid_shows_every_image(digits: np.ndarray) -> None:
    figure = plots.sample_grid(digits, columns=3, title="six")
    np.testing.assert_array_equal(shown(figure), tile(digits, 3)[..., 0])
    assert figure.axes[0].get_title() == "six"


def test_levels_are_not_stretched() -> None:
    figure = plots.sample_grid(np.full((1, 4, 4, 1), 0.5, "float32"))
    assert figure.axes[0].images[0].get_clim() == (0, 255)
    assert shown(figure).max() == 128


def test_colours_are_shown(rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (2, 4, 4, 3), "uint8")
    assert shown(plots.sample_grid(images)).shape[-1] == 3


def test_reconstruction_pairs_stand_above_each_other(digits: np.ndarray) -> None:
    figure = plots.reconstruction_pairs(digits, 255 - digits)
    both = np.concatenate([digits, 255 - digits])
    np.testing.assert_array_equal(shown(figure), tile(both, 6)[..., 0])
    assert names(figure.axes[0].yaxis) == ["input", "output"]


def test_row_names_stand_at_the_middle_of_their_rows(digits: np.ndarray) -> None:
    figure = plots.image_rows({"a": digits, "b": digits, "c": digits})
    # Frames of 2 around images of 4: rows begin at 2, 8 and 14.
    assert figure.axes[0].get_yticks().tolist() == [3.5, 9.5, 15.5]


@pytest.mark.parametrize("n", [1, 2])
def test_interpolation_strip_has_a_row_per_path(digits: np.ndarray, n: int) -> None:
    paths = np.stack([digits] * n) if n > 1 else digits
    figure = plots.interpolation_strip(paths)
    np.testing.assert_array_equal(
        shown(figure), tile(np.concatenate([digits] * n), 6)[..., 0]
    )
    assert names(figure.axes[0].xaxis) == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


def test_traversal_grid_names_units_and_values(digits: np.ndarray) -> None:
    grid = digits.reshape(2, 3, 4, 4, 1)
    figure = plots.traversal_grid(grid, dims=[4, 11], values=[-3, 0, 1.5])
    np.testing.assert_array_equal(shown(figure), tile(digits, 3)[..., 0])
    assert names(figure.axes[0].yaxis) == ["$z_{4}$", "$z_{11}$"]
    assert names(figure.axes[0].xaxis) == ["-3", "0", "1.5"]


def test_the_manifolds_codes_are_even_in_probability() -> None:
    from statistics import NormalDist

    images, ticks = plots.decode_plane(PlaneModel(), n=5, coverage=1.0)  # type: ignore[arg-type]
    probabilities = [NormalDist().cdf(t) for t in ticks]
    np.testing.assert_allclose(probabilities, [0.1, 0.3, 0.5, 0.7, 0.9])
    z = 8 * (images[:, :, 0, :, 0] - 0.5)  # (row, column, unit)
    np.testing.assert_allclose(z[0, :, 0], ticks, atol=1e-6)  # grows to the right
    np.testing.assert_allclose(z[:, 0, 1], ticks[::-1], atol=1e-6)  # grows upwards


def test_latent_manifold_shows_them_with_their_coordinates() -> None:
    figure = plots.latent_manifold(PlaneModel(), n=5, coverage=1.0)  # type: ignore[arg-type]
    assert shown(figure).shape == (5, 10)
    assert names(figure.axes[0].xaxis) == names(figure.axes[0].yaxis) == ["0.0"]
    assert figure.axes[0].get_xlabel() == "$z_0$"


def test_a_given_ax_is_drawn_into(digits: np.ndarray) -> None:
    figure = plots.new_figure(4, 4)
    left, right = figure.subplots(1, 2)
    assert plots.sample_grid(digits, ax=right) is figure
    plots.latent_manifold(PlaneModel(), n=2, ax=left)  # type: ignore[arg-type]
    assert [len(ax.images) for ax in figure.axes] == [1, 1]
    assert left.get_xlabel() == "$z_0$"
    assert right.get_xlabel() == ""


def test_figures_do_not_enter_pyplot(digits: np.ndarray) -> None:
    figure = plots.sample_grid(digits)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
    assert figure.canvas.manager is None


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_figures_are_saved(tmp_path: Path, digits: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    plots.save_figure(plots.sample_grid(digits), path)
    head = path.read_bytes()[:200]
    assert head.startswith((b"\x89PNG", b"%PDF")) or b"<?xml" in head
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_saving_into_a_missing_folder(tmp_path: Path, digits: np.ndarray) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        plots.save_figure(plots.sample_grid(digits), tmp_path / "no" / "a.png")


def test_visible_units_are_those_that_change_the_picture() -> None:
    class Model(PlaneModel):
        latent_shape = (4,)

        def traverse(self, _z: np.ndarray, dim: int, values: Any) -> np.ndarray:
            strength = [0.0, 3.0, 1.0, 2.0][dim]
            return strength * np.reshape(values, (1, -1, 1, 1, 1))

    model: Any = Model()
    z = np.zeros((1, 4), "float32")
    assert plots.most_visible_units(model, z, [-1, 1], 2) == [1, 3]
    assert plots.most_visible_units(model, z, [-1, 1], 4) == [0, 1, 2, 3]


def test_bad_arrays(digits: np.ndarray) -> None:
    with pytest.raises(ValueError, match="`rows` must hold at least one row"):
        plots.image_rows({})
    with pytest.raises(ValueError, match="all of the same shape"):
        plots.reconstruction_pairs(digits, digits[:2])
    with pytest.raises(ValueError, match=r"`rows\['input'\]` must be uint8, or float"):
        plots.reconstruction_pairs(digits.astype("int64"), digits)
    with pytest.raises(ValueError, match="`paths` must have shape"):
        plots.interpolation_strip(digits[0])
    with pytest.raises(ValueError, match=r"`grid` must have shape \(len\(dims\)=1"):
        plots.traversal_grid(digits[None], [0], [1.0])
    with pytest.raises(ValueError, match="`images` must have shape"):
        plots.sample_grid(digits[0])


def test_bad_manifolds() -> None:
    wide: Any = PlaneModel()
    wide.latent_shape = (16,)
    with pytest.raises(ValueError, match=r"two units.*latent_shape=\(16,\)"):
        plots.latent_manifold(wide)
    plane: Any = PlaneModel()
    with pytest.raises(ValueError, match="`n` must be an integer of at least 1"):
        plots.latent_manifold(plane, n=0)
    with pytest.raises(ValueError, match="`coverage` must be a finite number"):
        plots.latent_manifold(plane, coverage=1.5)


def test_without_matplotlib_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, digits: np.ndarray
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "aezoo\[plots\]"'):
        plots.sample_grid(digits)
