"""Figures: what they show and name, without pyplot, and without matplotlib."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import aezoo
from aezoo.errors import MissingDependencyError, UnsupportedOperationError
from aezoo.evaluation import plots
from aezoo.modalities import Image
from aezoo.modalities.image.tiling import tile


class PlaneModel:
    """Decodes a two-unit code to one pixel per unit, so that codes can be read."""

    modality = Image(1, 2, 1)
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


def test_a_step_strip_numbers_its_columns(digits: np.ndarray) -> None:
    steps = digits.reshape(2, 3, 4, 4, 1)
    figure = plots.step_strip(steps)
    np.testing.assert_array_equal(shown(figure), tile(digits, 3)[..., 0])
    assert names(figure.axes[0].xaxis) == ["1", "2", "3"]
    with pytest.raises(ValueError, match=r"`steps` must have shape \(n, steps, height"):
        plots.step_strip(digits)


def test_an_attention_strip_outlines_what_is_read_and_written() -> None:
    model = aezoo.create(
        "draw", input_shape=(8, 8, 1), steps=3, latent_dim=2, read_size=2, write_size=3
    )
    x = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype="uint8")
    figure = plots.attention_strip(model, x)
    (ax,) = figure.axes
    assert names(ax.yaxis) == ["read", "write"] * 2
    assert names(ax.xaxis) == ["1", "2", "3"]
    assert len(ax.patches) == 12
    sheet = shown(figure)
    np.testing.assert_array_equal(sheet[22:30, 2:10], x[1, ..., 0])
    np.testing.assert_array_equal(sheet[32:40, 22:30], model.reconstruct(x)[1, ..., 0])
    # the window of the second image's last step, cut to the image
    top, left, bottom, right = model.windows(x)["write"][1, 2].clip(-0.5, 7.5)
    box = ax.patches[-1]
    assert (box.get_x(), box.get_y()) == pytest.approx((left + 22, top + 32))
    assert (box.get_width(), box.get_height()) == pytest.approx(
        (right - left, bottom - top)
    )
    assert plots.attention_strip(model, x, ax=ax) is figure
    with pytest.raises(UnsupportedOperationError, match="all of an image at once"):
        plots.attention_strip(aezoo.create("conv_ae", input_shape=(8, 8, 1)), x)


def test_traversal_grid_names_units_and_values(digits: np.ndarray) -> None:
    grid = digits.reshape(2, 3, 4, 4, 1)
    figure = plots.traversal_grid(grid, dims=[4, 11], values=[-3, 0, 1.5])
    np.testing.assert_array_equal(shown(figure), tile(digits, 3)[..., 0])
    assert names(figure.axes[0].yaxis) == ["$z_{4}$", "$z_{11}$"]
    assert names(figure.axes[0].xaxis) == ["\N{MINUS SIGN}3", "0", "1.5"]


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

        def traverse(
            self, _z: np.ndarray, dim: int, values: Any, given: Any = None
        ) -> np.ndarray:
            del given
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


# --- Charts --------------------------------------------------------------------


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.fixture
def codes(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(60, 4)).astype("float32")


def colour_by_point(figure: Any) -> dict[tuple[float, float], tuple[float, ...]]:
    points = max(figure.axes[0].collections, key=lambda c: len(c.get_offsets()))
    offsets = np.asarray(points.get_offsets()).tolist()
    colours = points.get_facecolors()[:, :3].tolist()
    assert len(offsets) == len(colours)
    return {
        (x, y): tuple(colour) for (x, y), colour in zip(offsets, colours, strict=True)
    }


def test_the_scatter_gives_each_class_one_colour_and_a_name(codes: np.ndarray) -> None:
    labels = np.repeat([7, 3, 0], 20)
    figure = plots.latent_scatter(codes, labels, dims=(2, -4), title="codes")
    axes = figure.axes[0]
    assert legend(axes) == ["0", "3", "7"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_{2}$", "$z_{0}$")
    assert axes.get_title() == "codes"
    assert axes.get_aspect() == 1
    drawn = colour_by_point(figure)
    assert len(drawn) == 60
    for (x, y), label in zip(codes[:, [2, 0]].tolist(), labels, strict=True):
        handle = axes.get_legend().legend_handles[[0, 3, 7].index(label)]
        assert drawn[x, y] == tuple(handle.get_facecolor()[0, :3])


def test_no_class_lies_over_another(codes: np.ndarray) -> None:
    figure = plots.latent_scatter(codes, np.repeat([0, 1], 30))
    colours = list(colour_by_point(figure).values())
    assert len(set(colours)) == 2
    assert len(set(colours[:10])) == len(set(colours[-10:])) == 2
    assert colour_by_point(figure) == colour_by_point(
        plots.latent_scatter(codes, np.repeat([0, 1], 30))
    )


def test_a_legend_holds_class_names_of_the_classes_found(codes: np.ndarray) -> None:
    names = ["cat", "dog", "owl"]
    figure = plots.latent_scatter(codes, np.repeat([0, 2], 30), class_names=names)
    assert legend(figure.axes[0]) == ["cat", "owl"]


@pytest.mark.parametrize(("classes", "axes"), [(10, 1), (20, 1), (21, 2)])
def test_many_classes_get_a_colour_bar(
    codes: np.ndarray, classes: int, axes: int
) -> None:
    figure = plots.latent_scatter(codes, np.arange(60) % classes)
    assert len(figure.axes) == axes
    if axes == 1:
        assert len(set(colour_by_point(figure).values())) == classes
    else:
        assert figure.axes[0].get_legend() is None
        assert figure.axes[1].get_ylabel() == "class"
    figure.draw_without_rendering()


def test_without_labels_codes_have_one_colour(codes: np.ndarray) -> None:
    (axes,) = plots.latent_scatter(codes).axes
    (points,) = axes.collections
    assert axes.get_legend() is None
    assert len(points.get_offsets()) == 60
    assert len(points.get_facecolors()) == 1


def test_more_codes_make_smaller_and_paler_points(rng: np.random.Generator) -> None:
    few, many = (
        plots.latent_scatter(rng.normal(size=(n, 2))).axes[0].collections[0]
        for n in (50, 10_000)
    )
    assert many.get_sizes()[0] < few.get_sizes()[0]
    assert many.get_alpha() < few.get_alpha()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codes": np.zeros((5, 1))}, r"at least two units.*shape=\(5, 1\)"),
        ({"codes": np.zeros((5, 2, 2))}, r"`codes` must.*reshape\(len\(codes\), -1\)"),
        ({"codes": np.zeros((0, 2))}, "n >= 1"),
        ({"codes": [["a", "b"]]}, "`codes` must be numbers"),
        (
            {"codes": [[0.0, 1.0], [np.nan, 0.0]]},
            r"finite.*1 of 2 rows, first in codes\[1\]",
        ),
        ({"labels": [0, 1]}, r"integers of shape \(3,\).*labels.shape=\(2,\)"),
        ({"labels": [0.0, 1.0, 2.0]}, r"`labels` must be integers.*dtype=float64"),
        ({"dims": (0, 2)}, r"two different integers in \[-2, 1\].*dims=\(0, 2\)"),
        ({"dims": (1, -1)}, "two different integers"),
        ({"dims": (0,)}, "two different integers"),
        ({"dims": (0, 1.0)}, "two different integers"),
        ({"dims": "01"}, "two different integers"),
        (
            {"labels": [0, 1, 2], "class_names": ["a", "b"]},
            r"`class_names` must name every label.*2 names, labels from 0 to 2",
        ),
        (
            {"labels": [-1, 0, 1], "class_names": ["a", "b"]},
            "2 names, labels from -1 to 1",
        ),
        ({"class_names": ["a"]}, "1 names, labels=None"),
    ],
)
def test_bad_codes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plots.latent_scatter(**{"codes": np.zeros((3, 2)), **arguments})


def bars(figure: Any) -> list[tuple[float, float]]:
    """Place and height of each bar."""
    patches = [
        (round(p.get_x() + p.get_width() / 2), p.get_height())
        for p in figure.axes[0].patches
    ]
    return sorted(patches)


def test_kl_falls_and_inactive_units_are_paler() -> None:
    figure = plots.kl_per_dimension([0.5, 0.004, 2.0, 0.01], title="KL")
    axes = figure.axes[0]
    assert bars(figure) == [(0, 2.0), (1, 0.5), (2, 0.01), (3, 0.004)]
    assert names(axes.xaxis) == ["2", "0", "3", "1"]
    assert legend(axes) == ["2 active", "2 inactive"]
    assert axes.get_legend().get_title().get_text() == "2.51 nats in 4 units"
    assert axes.get_title() == "KL"
    active, inactive = axes.containers
    assert active[0].get_facecolor() != inactive[0].get_facecolor()
    assert [bar.get_height() for bar in inactive] == [0.01, 0.004]


def test_kl_can_keep_the_order_of_units_and_the_threshold_moves() -> None:
    figure = plots.kl_per_dimension((0.5, 0.1, 2.0), sort=False, threshold=0.5)
    assert bars(figure) == [(0, 0.5), (1, 0.1), (2, 2.0)]
    assert names(figure.axes[0].xaxis) == ["0", "1", "2"]
    assert legend(figure.axes[0]) == ["1 active", "2 inactive"]


@pytest.mark.parametrize("sort", [True, False])
def test_many_units_stay_readable(rng: np.random.Generator, sort: bool) -> None:
    figure = plots.kl_per_dimension(rng.random(256), sort=sort)
    assert figure.get_size_inches()[0] < 10
    assert len(bars(figure)) == 256
    assert len(names(figure.axes[0].xaxis)) == (0 if sort else 32)


def test_a_collapsed_code_has_no_active_unit() -> None:
    figure = plots.kl_per_dimension(np.zeros(3))
    assert legend(figure.axes[0]) == ["3 inactive"]
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("kl", "message"),
    [
        ([], r"shape \(units,\)"),
        (np.zeros((2, 3)), r"one number per code unit.*kl.shape=\(2, 3\)"),
        (None, "`kl` must hold one number per code unit"),
        ([0.1, -0.2], r"finite and not negative.*min=-0.2"),
        ([0.1, np.inf], "finite and not negative"),
        ([0.1, np.nan], "finite and not negative"),
    ],
)
def test_bad_kl(kl: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plots.kl_per_dimension(kl)


def test_bad_kl_threshold() -> None:
    with pytest.raises(ValueError, match="`threshold` must be a finite number"):
        plots.kl_per_dimension([0.1], threshold=-1)


LOG = """epoch,kl,learning_rate,loss,seconds,val_kl,val_loss
0,1.0,0.001,200,3.5,1.5,210
1,2.0,0.001,190,3.5,NA,NA
2,9.0,0.001,999,3.5,9.5,999
1,2.5,0.001,180,3.5,2.6,185
2,3.0,0.001,170,3.5,3.1,175
"""


def curves(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {
        line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in axes.lines
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG, encoding="utf-8")
    return path


def test_a_panel_per_loss_where_the_last_row_of_an_epoch_counts(log: Path) -> None:
    figure = plots.training_curves(log, title="run")
    assert [axes.get_title() for axes in figure.axes] == ["kl", "loss"]
    kl, loss = figure.axes
    assert curves(kl) == {
        "training": ([1, 2, 3], [1.0, 2.5, 3.0]),
        "validation": ([1, 2, 3], [1.5, 2.6, 3.1]),
    }
    assert curves(loss)["training"][1] == [200, 180, 170]
    assert legend(loss) == ["training", "validation"]
    assert loss.get_xlabel() == "epoch"
    assert figure.get_suptitle() == "run"
    solid, dashed = loss.lines
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert solid.get_color() == dashed.get_color() != kl.lines[0].get_color()


def test_metrics_are_chosen_in_order(log: Path) -> None:
    figure = plots.training_curves(log, metrics=["loss", "kl"])
    assert [axes.get_title() for axes in figure.axes] == ["loss", "kl"]
    figure = plots.training_curves(log, metrics="learning_rate")
    assert legend(figure.axes[0]) == ["training"]


def test_one_ax_takes_all_curves_by_name(log: Path) -> None:
    figure = plots.new_figure(4, 4)
    ax = figure.add_subplot()
    assert plots.training_curves(log, ax=ax, title="run") is figure
    assert list(curves(ax)) == legend(ax)
    assert legend(ax)[1:3] == ["kl, validation", "loss, training"]
    assert ax.get_title() == "run"
    assert ax.get_yscale() == "log"  # from 1 to 210


def test_a_keras_history_is_a_log_too() -> None:
    history = {"loss": [3.0, 2.0], "val_loss": [np.float32(4.0), np.float32(3.0)]}
    (axes,) = plots.training_curves(history).axes
    assert curves(axes)["validation"] == ([1, 2], [4.0, 3.0])
    assert axes.get_yscale() == "linear"


def test_epochs_without_a_value_are_bridged_and_nan_is_a_gap() -> None:
    columns = {"loss": [3.0, "NA", float("nan"), 1.0]}
    (axes,) = plots.training_curves(columns).axes
    epochs, values = curves(axes)["training"]
    assert epochs == [1, 3, 4]
    np.testing.assert_equal(values, [3.0, np.nan, 1.0])


def test_a_wide_span_asks_for_a_logarithmic_axis() -> None:
    (axes,) = plots.training_curves({"loss": [500.0, 60.0, 9.0]}).axes
    assert axes.get_yscale() == "log"
    (axes,) = plots.training_curves({"loss": [500.0, 0.0, -9.0]}).axes
    assert axes.get_yscale() == "linear"


def test_a_single_epoch_can_be_seen() -> None:
    (axes,) = plots.training_curves({"loss": [5.0]}).axes
    assert axes.lines[0].get_marker() == "o"


def test_surplus_panels_are_removed() -> None:
    losses = {name: [2.0, 1.0] for name in "abcd"}
    assert len(plots.training_curves(losses).axes) == 4


def test_a_missing_log(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no training log .*log\.csv.*NAME"):
        plots.training_curves(tmp_path / "log.csv")
    with pytest.raises(FileNotFoundError, match="no training log"):
        plots.training_curves(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"column 'epoch' and a row per epoch.*an empty file"),
        ("epoch,loss\n", "first line 'epoch,loss'"),
        ("name,age\nx,3\n", "first line 'name,age'"),
        ("\x89PNG\r\n\x00\x01", "`log` must be a CSV file"),
        (
            "epoch,loss\n0,1\n1\n",
            r"as many values in each row as columns, 2.*'1' with 1",
        ),
        ("epoch,loss\n0,1,2\n", "'0,1,2' with 3. Delete that row"),
        ("epoch,loss\n0,high\n", r"numbers in its columns 'epoch' and 'loss'.*high"),
        ("epoch,loss\nfirst,1\n", r"numbers in its columns 'epoch'.*first"),
        ("epoch,seconds\n0,1\n", "at least one loss. Received: columns epoch, sec"),
    ],
)
def test_foreign_logs(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        plots.training_curves(path)


def test_bad_columns_and_metrics(log: Path) -> None:
    history: Any = object()
    with pytest.raises(ValueError, match=r"object\. Pass `history.history`"):
        plots.training_curves(history)
    with pytest.raises(ValueError, match="columns of the same length"):
        plots.training_curves({"loss": [1.0], "kl": [1.0, 2.0]})
    with pytest.raises(ValueError, match="columns of the same length"):
        plots.training_curves({})
    with pytest.raises(ValueError, match=r"`metrics` must be one of.*Did you mean"):
        plots.training_curves(log, metrics=["los"])
    with pytest.raises(ValueError, match="`metrics` name, at least one loss"):
        plots.training_curves(log, metrics=[])


def test_charts_draw_into_a_given_ax_and_not_into_pyplot(
    codes: np.ndarray, log: Path
) -> None:
    figure = plots.new_figure(9, 3)
    panels = figure.subplots(1, 3)
    assert plots.latent_scatter(codes, np.arange(60) % 3, ax=panels[0]) is figure
    assert plots.kl_per_dimension([1.0, 2.0], ax=panels[1]) is figure
    assert plots.training_curves(log, ax=panels[2]) is figure
    assert len(figure.axes) == 3
    figure.draw_without_rendering()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


@pytest.mark.parametrize("title", [None, "A title that is wider than three pictures"])
@pytest.mark.parametrize("place", ["left", "center"])
def test_a_figure_is_as_large_as_what_it_shows(
    rng: np.random.Generator, title: str | None, place: str
) -> None:
    import matplotlib as mpl

    images = rng.integers(0, 256, (6, 28, 28, 1), "uint8")
    with mpl.rc_context({"axes.titlelocation": place}):
        figures = [
            plots.sample_grid(images, 3, title=title),
            plots.reconstruction_pairs(images, images, title=title),
            plots.interpolation_strip(images, title=title),
        ]
    for figure in figures:
        figure.draw_without_rendering()
        (axes,) = figure.axes
        box, sheet = axes.get_window_extent(), shown(figure)
        # Whole dots per pixel at the resolution that figures are saved at.
        dots = box.width / figure.dpi * 150 / sheet.shape[1]
        assert dots == pytest.approx(3, rel=0.01)
        whole = axes.get_tightbbox()
        spare = figure.bbox.size - whole.size
        assert (spare >= 0).all()
        assert (spare <= 0.2 * figure.dpi).all()


def test_a_log_without_validation_shows_none() -> None:
    """Keras writes NA there when a run has no validation data."""
    columns = {"loss": [3.0, 2.0], "val_loss": ["NA", "NA"]}
    panel = plots.training_curves(columns).axes[0]
    assert [line.get_label() for line in panel.get_lines()] == ["training"]


def test_a_trade_off_joins_named_points_in_order() -> None:
    points = {"0": (200.0, 60.0), "1": (25.0, 64.0), "16": (2.0, 150.0)}
    figure = plots.trade_off(points, labels=("KL", "NLL"), title="both")
    (axes,) = figure.axes
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(line.get_xydata(), list(points.values()))
    assert [text.get_text() for text in axes.texts] == list(points)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("KL", "NLL")
    assert axes.get_title() == "both"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert plots.trade_off(points, labels=("", ""), ax=axes) is figure


@pytest.mark.parametrize("points", [{}, {"a": (1.0,)}, {"a": (1.0, float("nan"))}])
def test_a_trade_off_needs_finite_points(points: dict) -> None:
    with pytest.raises(ValueError, match=r"`points` must hold at least one name with"):
        plots.trade_off(points, labels=("x", "y"))


@pytest.mark.parametrize("title", ["Short", "A title that is wider than all pictures"])
@pytest.mark.parametrize("rows", [2, 10])
def test_names_and_titles_are_inside_of_the_figure(tmp_path, rows, title) -> None:
    images = np.zeros((3, 32, 32, 3), "uint8")
    names = ["a long name", *"bcdefghij"][:rows]
    figure = plots.image_rows(dict.fromkeys(names, images), title=title)
    plots.save_figure(figure, tmp_path / "rows.png")
    with PIL.Image.open(tmp_path / "rows.png") as picture:
        ink = np.asarray(picture.convert("L")) < 255
    assert ink.any()
    assert not ink[[0, -1]].any()
    assert not ink[:, [0, -1]].any()
