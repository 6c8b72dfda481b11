"""Figures from arrays and logs. matplotlib is optional: `pip install "aezoo[plots]"`.

Every function draws into `ax` if one is given and else makes a figure of fitting
size; each returns the figure. pyplot and its global state are never touched, so
figures are freed like any object, and no display is needed.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo.errors import MissingDependencyError, UnsupportedOperationError
from aezoo.modalities.image.tiling import tile, to_uint8
from aezoo.utils.files import atomic_path
from aezoo.utils.validation import check_choice, check_number, check_positive_int

if TYPE_CHECKING:
    from aezoo.evaluation.image.rates import Rates
    from aezoo.models.autoencoder import Autoencoder

Axes = Any
Figure = Any
# Pixels of an image become whole squares of dots where a figure is saved at this.
_DPI = 150
_DOTS_PER_IMAGE = 90
_MAX_DOTS = 1200
_PADDING = 2
# Of what is read and what is written.
_WINDOW_COLOURS = {"read": "tab:red", "write": "tab:green"}
# Classes that a legend can tell apart; more get a colour bar.
_MAX_CLASSES = 20
# Columns of a training log that are no losses.
_NOT_LOSSES = ("epoch", "learning_rate", "lr", "seconds")
# What `keras.callbacks.CSVLogger` writes for a metric that an epoch lacks.
_ABSENT = (None, "", "NA")


def require_matplotlib() -> None:
    """Check that matplotlib is installed.

    Raises:
        MissingDependencyError: If not; says how to install it.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            'Figures need matplotlib. Install it with `pip install "aezoo[plots]"`.'
        ) from error


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, without pyplot.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure as MatplotlibFigure

    return MatplotlibFigure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | Path, dpi: int = _DPI) -> None:
    """Write a figure to a PNG, PDF or SVG file, which is whole or absent.

    Args:
        figure: What a function of this module returned.
        path: Its suffix chooses the format.
        dpi: Pixels per inch.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If matplotlib does not know the suffix.
    """
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi)


# --- Images --------------------------------------------------------------------


def sample_grid(
    images: Any,
    columns: int | None = None,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Images in a grid, e.g. what `model.sample` returned.

    Args:
        images: `(n, height, width, channels)`, uint8 or floats in [0, 1].
        columns: Images per row; None makes the grid about square.
        title: Above the grid.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If the images have a wrong shape or range.
        MissingDependencyError: If matplotlib is not installed.
    """
    sheet = tile(images, columns, _PADDING)
    cell = np.shape(images)[1:3]
    return _show(sheet, cell, ax=ax, title=title)


def image_rows(
    rows: Mapping[str, Any], *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Rows of images, each named at its left.

    Args:
        rows: Images `(n, height, width, channels)` by name, all of one shape.
        title: Above the rows.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If there are no rows, or they differ in shape.
        MissingDependencyError: If matplotlib is not installed.
    """
    images = {name: to_uint8(row, f"rows[{name!r}]") for name, row in rows.items()}
    shapes = {name: row.shape for name, row in images.items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(
            "`rows` must hold at least one row, all of the same shape. "
            f"Received: shapes={shapes}."
        )
    grid = np.stack(list(images.values()))  # (rows, n, height, width, channels)
    return _show_grid(grid, row_names=list(rows), title=title, ax=ax)


def reconstruction_pairs(
    x: Any, x_hat: Any, *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Images above their reconstructions.

    Args:
        x: Images `(n, height, width, channels)`, uint8 or floats in [0, 1].
        x_hat: What `model.reconstruct(x)` returned.
        title: Above the rows.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If the two differ in shape.
        MissingDependencyError: If matplotlib is not installed.
    """
    return image_rows({"input": x, "output": x_hat}, title=title, ax=ax)


def interpolation_strip(
    paths: Any, *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Paths between images, one row each.

    Args:
        paths: What `model.interpolate` returned: `(steps, height, width, channels)`,
            or `(n, steps, height, width, channels)` for `n` paths.
        title: Above the rows.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If `paths` has another shape.
        MissingDependencyError: If matplotlib is not installed.
    """
    grid = np.asarray(paths)
    if grid.ndim not in (4, 5):
        raise ValueError(
            "`paths` must have shape (steps, height, width, channels) or (n, steps, "
            f"height, width, channels). Received: paths.shape={grid.shape}."
        )
    grid = grid[None] if grid.ndim == 4 else grid
    steps = grid.shape[1]
    names = [f"{i / max(1, steps - 1):.2g}" for i in range(steps)]
    return _show_grid(grid, column_names=names, title=title, ax=ax)


def step_strip(
    steps: Any, *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Images as they come to be, one row each, one column per step or level.

    Args:
        steps: What `generate_steps` or `reconstruct_by_level` of a model returned:
            `(n, steps, height, width, channels)`.
        title: Above the rows.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure; its columns are numbered from 1.

    Raises:
        ValueError: If `steps` has another shape.
        MissingDependencyError: If matplotlib is not installed.
    """
    grid = np.asarray(steps)
    if grid.ndim != 5:
        raise ValueError(
            "`steps` must have shape (n, steps, height, width, channels). "
            f"Received: steps.shape={grid.shape}."
        )
    names = [str(i + 1) for i in range(grid.shape[1])]
    return _show_grid(grid, column_names=names, title=title, ax=ax)


def attention_strip(
    model: "Autoencoder", x: Any, *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Where a model that draws looks at images, and where it draws them.

    For each image two rows, as in figures 1 and 5 of DRAW (Gregor et al., 2015,
    https://arxiv.org/abs/1502.04623): the image with the window that is read at each
    step, and the canvas after it with the window that was written into. A way that the
    model does without attention has no row.

    Args:
        model: A model of the family `draw`.
        x: Images `(n, height, width, channels)`.
        title: Above the rows.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure; its columns are numbered from 1.

    Raises:
        UnsupportedOperationError: If the model has no windows; another family, or one
            that reads and writes the whole image.
        MissingDependencyError: If matplotlib is not installed.

    Example:
        >>> images, _ = aezoo.digits.draw_digits(3, seed=0)
        >>> figure = attention_strip(aezoo.load("draw_mnist"), images)
    """
    if not hasattr(model, "windows"):
        raise UnsupportedOperationError(
            f"{model.name!r} sees and shows all of an image at once, so it has no "
            "windows. Pass a model of the family 'draw'."
        )
    windows = model.windows(x)
    images = to_uint8(x, "x")
    canvases = to_uint8(model.decode_steps(model.encode(x)), "canvases")
    steps = canvases.shape[1]
    shown = {"read": np.stack([images] * steps, axis=1), "write": canvases}
    ways = [way for way in shown if way in windows]
    # (n, ways, steps, height, width, channels)
    rows = np.stack([shown[way] for way in ways], axis=1)
    figure = _show_grid(
        rows.reshape(-1, *rows.shape[2:]),
        row_names=ways * len(images),
        column_names=[str(i + 1) for i in range(steps)],
        title=title,
        ax=ax,
    )
    boxes = np.stack([windows[way] for way in ways], axis=1).reshape(-1, steps, 4)
    axes = figure.axes[-1] if ax is None else ax
    for row, column in np.ndindex(*boxes.shape[:2]):
        colour = _WINDOW_COLOURS[ways[row % len(ways)]]
        _add_window(axes, boxes[row, column], rows.shape[3:5], (row, column), colour)
    return figure


def _add_window(
    ax: Axes,
    window: np.ndarray,
    cell: Sequence[int],
    place: tuple[int, int],
    colour: str,
) -> None:
    """Outline the part of a window (top, left, bottom, right) that is in its image."""
    from matplotlib.patches import Rectangle

    limit = np.array([*cell, *cell]) - 0.5
    top, left, bottom, right = np.clip(window, -0.5, limit)
    origin = [_PADDING + i * (n + _PADDING) for i, n in zip(place, cell, strict=True)]
    corner = (left + origin[1], top + origin[0])
    ax.add_patch(
        Rectangle(corner, right - left, bottom - top, fill=False, color=colour, lw=1)
    )


def traversal_grid(
    grid: Any,
    dims: Sequence[int],
    values: Sequence[float],
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One row per code unit, one column per value that the unit is set to.

    Args:
        grid: `(len(dims), len(values), height, width, channels)`: a row is what
            `model.traverse(x, dim, values)` returned for one image.
        dims: The code units; name the rows.
        values: What the units were set to; name the columns.
        title: Above the grid.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If `grid` does not fit `dims` and `values`.
        MissingDependencyError: If matplotlib is not installed.
    """
    array = np.asarray(grid)
    if array.ndim != 5 or array.shape[:2] != (len(dims), len(values)):
        raise ValueError(
            f"`grid` must have shape (len(dims)={len(dims)}, len(values)="
            f"{len(values)}, height, width, channels). "
            f"Received: grid.shape={array.shape}."
        )
    return _show_grid(
        array,
        row_names=[f"$z_{{{dim}}}$" for dim in dims],
        column_names=[_signed(f"{value:g}") for value in values],
        title=title,
        ax=ax,
    )


def latent_manifold(
    model: "Autoencoder",
    n: int = 20,
    *,
    coverage: float = 0.98,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """What a model with two code units decodes over the plane of its codes.

    Codes lie on a grid that is even in the prior's probability, as in figure 4 of
    Kingma & Welling (2014, https://arxiv.org/abs/1312.6114): a coordinate is the
    inverse Gaussian distribution function at evenly spaced probabilities.

    Args:
        model: A model whose codes have two units and a standard-normal prior.
        n: Images per side.
        coverage: Share of the prior's probability that the grid spans per axis.
        title: Above the grid.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure. The first unit grows to the right, the second upwards.

    Raises:
        ValueError: If the model's codes have another shape.
        MissingDependencyError: If matplotlib is not installed.

    Example:
        >>> figure = latent_manifold(aezoo.load("dense_vae_mnist_z2"))
    """
    images, ticks = decode_plane(model, n, coverage)
    # Every fifth coordinate, the same ones on both sides of 0.
    names = [
        _signed(f"{tick:.1f}") if (2 * i + 1 - n) % 5 == 0 else ""
        for i, tick in enumerate(ticks)
    ]
    return _show_grid(
        images,
        padding=0,
        row_names=names[::-1],
        column_names=names,
        labels=("$z_0$", "$z_1$"),
        title=title,
        ax=ax,
    )


def decode_plane(
    model: "Autoencoder", n: int = 20, coverage: float = 0.98
) -> tuple[np.ndarray, list[float]]:
    """Images of a grid of two-unit codes, even in the prior's probability.

    Args:
        model: A model whose codes have two units and a standard-normal prior.
        n: Images per side.
        coverage: Share of the prior's probability that the grid spans per axis.

    Returns:
        Images, float32 of shape `(n, n, height, width, channels)` with the second
        unit falling from row to row, and the `n` coordinates, rising.

    Raises:
        ValueError: If the model's codes have another shape.
    """
    if tuple(model.latent_shape) != (2,):
        raise ValueError(
            "`model` must have a code of two units, latent_shape (2,). Received: "
            f"latent_shape={tuple(model.latent_shape)}. "
            "`aezoo.list_models(latent_dim=2)` lists those."
        )
    check_positive_int("n", n)
    check_number("coverage", coverage, above=0.0, high=1.0)
    quantile = NormalDist().inv_cdf
    ticks = [quantile(0.5 + coverage * ((i + 0.5) / n - 0.5)) for i in range(n)]
    z = np.array([(x, y) for y in reversed(ticks) for x in ticks], "float32")
    return model.decode(z).reshape(n, n, *model.input_shape), ticks


def most_visible_units(
    model: "Autoencoder",
    x: Any,
    values: Sequence[float],
    count: int,
    given: Mapping[str, Any] | None = None,
) -> list[int]:
    """The code units whose movement changes a picture most.

    Args:
        model: Any model of the zoo.
        x: One image or code, as a batch of one.
        values: What a unit is set to.
        count: How many units; all of them if there are no more.
        given: What the model is told of the image.

    Returns:
        Indices, rising.
    """
    is_example = np.shape(x)[1:] == model.input_shape
    z = model.encode(x, given=given) if is_example else np.asarray(x)
    units = z[0].size
    if units <= count:
        return list(range(units))

    def change_of(dim: int) -> float:
        moved = model.traverse(z, dim, values, given=given)
        if model.modality.is_continuous:
            return float(np.var(moved, axis=1).mean())
        (row,) = map(model.modality.check, moved)
        return float(np.mean(row != row[:1]))

    change = [change_of(dim) for dim in range(units)]
    return sorted(np.argsort(change)[::-1][:count].tolist())


# --- Charts --------------------------------------------------------------------


def latent_scatter(
    codes: Any,
    labels: Any = None,
    *,
    dims: Sequence[int] = (0, 1),
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Two code units of many images, coloured by class.

    Points are drawn in a mixed order, so that no class lies over another. Both axes
    have the same scale.

    Args:
        codes: What `model.encode` returned: `(n, units)` with at least two units.
        labels: Class of each code, `n` integers; None draws all in one colour.
        dims: The two units to show; negative ones count from the end.
        class_names: Name of class 0, 1, ... for the legend; None shows the integers.
            More than 20 classes get a colour bar, without names.
        title: Above the axes.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If the codes have a wrong shape or are not finite, or labels,
            units or names do not fit them.
        MissingDependencyError: If matplotlib is not installed.

    Example:
        >>> model = aezoo.load("dense_vae_mnist_z2")
        >>> figure = latent_scatter(model.encode(images), labels)
    """
    z = _check_codes(codes)
    x_dim, y_dim = _check_dims(dims, z.shape[1])
    classes = None if labels is None else _check_labels(labels, len(z))
    names = _class_names(classes, class_names)
    if ax is None:
        ax = new_figure(6.0, 5.4).add_subplot()
    order = np.random.default_rng(0).permutation(len(z))
    style: dict[str, Any] = {
        "s": float(np.clip(500 / np.sqrt(len(z)), 5, 30)),
        "alpha": float(np.clip(50 / np.sqrt(len(z)), 0.3, 0.9)),
        "linewidths": 0,
        "rasterized": True,  # in PDF and SVG, where each point would be an object
    }
    if classes is not None and names:
        found, ranks = np.unique(classes, return_inverse=True)
        palette = _palette(len(found))
        style["color"] = palette[ranks[order]]
        for name, colour in zip(names, palette, strict=True):
            ax.scatter([], [], color=colour, label=name)
        ax.legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
            handletextpad=0.1,
        )
    elif classes is not None:
        style["c"] = classes[order]
    points = ax.scatter(z[order, x_dim], z[order, y_dim], **style)
    if classes is not None and not names:
        ax.figure.colorbar(points, ax=ax, label="class").solids.set_alpha(1)
    ax.set_aspect("equal", adjustable="datalim")
    _label(ax, f"$z_{{{x_dim}}}$", f"$z_{{{y_dim}}}$", title)
    return ax.figure


def kl_per_dimension(
    kl: Any,
    *,
    threshold: float = 0.01,
    sort: bool = True,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """How much each code unit knows of an image, and which units know nothing.

    Args:
        kl: Mean over images of the KL divergence of each unit from its prior, in
            nats, shape `(units,)`: `report["kl_per_dim"].values` of an evaluation.
        threshold: A unit with no more nats than this is called inactive, and paler.
        sort: Show the largest first, rather than unit 0.
        title: Above the axes.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If `kl` is not a vector of finite, non-negative numbers, or the
            threshold is negative.
        MissingDependencyError: If matplotlib is not installed.

    Example:
        >>> report = aezoo.evaluate("conv_vae_mnist_z16", "mnist")
        >>> figure = kl_per_dimension(report["kl_per_dim"].values)
    """
    nats = np.asarray(kl)
    if nats.ndim != 1 or not nats.size or nats.dtype.kind not in "fiu":
        raise ValueError(
            "`kl` must hold one number per code unit, shape (units,). Received: "
            f"kl.shape={nats.shape}, dtype={nats.dtype}. "
            'Pass `report["kl_per_dim"].values`, or the mean over images.'
        )
    if not (np.isfinite(nats).all() and nats.min() >= 0):
        raise ValueError(
            "`kl` must be finite and not negative. "
            f"Received: min={nats.min():.3g}, max={nats.max():.3g}."
        )
    check_number("threshold", threshold, low=0.0)
    units = len(nats)
    if ax is None:
        ax = new_figure(min(9.0, max(4.0, 1.0 + 0.28 * units)), 3.0).add_subplot()
    order = np.argsort(-nats, kind="stable") if sort else np.arange(units)
    places = np.arange(units)
    is_active = nats[order] > threshold
    for shown, colour, name in ((is_active, "C0", ""), (~is_active, "0.75", "in")):
        if shown.any():
            ax.bar(
                places[shown],
                nats[order][shown],
                color=colour,
                label=f"{shown.sum()} {name}active",
            )
    ax.legend(
        title=f"{nats.sum():.3g} nats in {units} unit{'s' * (units > 1)}",
        loc="upper right",
        frameon=False,
    )
    # Room for the legend, which lies over the last bars, above the tallest of them.
    ax.set_ylim(0, max(nats.max(), threshold) * (1.1 if sort and units > 8 else 1.5))
    ax.set_xlim(-0.7, units - 0.3)
    every = math.ceil(units / 32)
    if sort and every > 1:  # names of units would be too many, and are in no order
        ax.set_xticks([])
        what = "code units, largest first"
    else:
        ax.set_xticks(places[::every], [str(unit) for unit in order[::every]])
        what = "code unit"
    _label(ax, what, "KL (nats per image)", title)
    return ax.figure


def training_curves(
    log: str | Path | Mapping[str, Sequence[Any]],
    *,
    metrics: str | Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """The losses of a training over its epochs, each in a panel of its own.

    Training is solid, validation dashed in the same colour. Where a resumed run has
    logged an epoch again, the last row counts. An axis is logarithmic where a panel
    spans more than a factor of 10.

    Args:
        log: CSV file that `keras.callbacks.CSVLogger` wrote, such as
            `runs/<name>/log.csv` of `python -m training.train`; or its columns by
            name, such as `model.fit(...).history`.
        metrics: Columns to show, without `val_`; None shows all losses.
        title: Above the panels.
        ax: matplotlib axes that take all curves; None makes a figure with a panel
            per metric.

    Returns:
        The matplotlib figure. Its first epoch is 1.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the log is empty or of another kind, or lacks a metric.
        MissingDependencyError: If matplotlib is not installed.
    """
    columns = _check_columns(_read_csv(log) if isinstance(log, str | Path) else log)
    names = _check_metrics(columns, metrics)
    if ax is None:
        across = min(len(names), 3)
        down = math.ceil(len(names) / across)
        figure = new_figure(max(4.0, 3.2 * across), 3.0 * down)
        panels = list(figure.subplots(down, across, squeeze=False).flat)
        for spare in panels[len(names) :]:
            spare.remove()
        for panel, name in zip(panels, names, strict=False):
            panel.set_title(name, size="medium")
        if title:
            figure.suptitle(title, size="large")
    else:
        panels = [ax] * len(names)
        if title:
            ax.set_title(title)
    for i, (name, panel) in enumerate(zip(names, panels, strict=False)):
        prefix = "" if ax is None else f"{name}, "
        for column, label, line in (
            (name, f"{prefix}training", "-"),
            (f"val_{name}", f"{prefix}validation", "--"),
        ):
            if column not in columns:
                continue
            epochs, values = _curve(columns, column)
            if epochs:  # not a column of NA alone, of a run without validation
                marker = "o" if len(epochs) == 1 else ""
                panel.plot(
                    epochs, values, line, color=f"C{i}", label=label, marker=marker
                )
    for panel in dict.fromkeys(panels[: len(names)]):
        _scale_curves(panel)
        panel.legend(frameon=False)
        _label(panel, "epoch", "")
    return panels[0].figure


def trade_off(
    points: Mapping[str, tuple[float, float]],
    *,
    labels: tuple[str, str],
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Two figures of several models against each other, joined in their order.

    With the KL divergence as `x` and -log p(x|z) as `y` it is the rate-distortion curve
    of Alemi et al. (2018, https://arxiv.org/abs/1711.00464). An axis whose values are
    positive and span more than a factor of 10 is logarithmic.

    Args:
        points: `(x, y)` by the name that stands beside the point.
        labels: Names of the two axes.
        title: Above the axes.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If there are no points, or a figure is not finite.
        MissingDependencyError: If matplotlib is not installed.
    """
    values = np.asarray(list(points.values()), "float64")
    if values.ndim != 2 or values.shape[1] != 2 or not np.isfinite(values).all():
        raise ValueError(
            "`points` must hold at least one name with two finite numbers. "
            f"Received: points={dict(points)}."
        )
    axes = new_figure(4.5, 3.5).add_subplot() if ax is None else ax
    axes.plot(*values.T, "-o")
    for name, point in zip(points, values, strict=True):
        axes.annotate(
            name, point, xytext=(5, 5), textcoords="offset points", size="small"
        )
    for axis, column in (("x", values[:, 0]), ("y", values[:, 1])):
        if column.min() > 0 and column.max() > 10 * column.min():
            axes.set(**{f"{axis}scale": "log"})
    axes.margins(0.15)
    _label(axes, *labels, title)
    return axes.figure


# --- Checks --------------------------------------------------------------------


def rate_curves(rates: "Rates", *, ax: Axes | None = None) -> Figure:
    """Error over bits: a model's point beside the curves of codecs.

    Args:
        rates: What `aezoo.evaluation.image.rates.measure_rates` returned, with loss.
        ax: Axes to draw into; None makes a figure.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no curve.
        MissingDependencyError: If matplotlib is not installed.
    """
    if not rates.curves:
        raise ValueError("`rates` must be of lossy codecs. Received: no curves.")
    if ax is None:
        ax = new_figure(6.0, 4.0).add_subplot()
    for codec, points in rates.curves.items():
        ax.plot([p.bits for p in points], [p.psnr for p in points], ".-", label=codec)
    own = rates.rates[0]
    ax.plot([own.bits], [own.psnr], "k*", markersize=12, label=own.method)
    ax.set_xscale("log")
    ax.legend(fontsize="small")
    _label(ax, "bits per pixel and channel", "PSNR (dB)")
    return ax.figure


def _check_codes(codes: Any) -> np.ndarray:
    z = np.asarray(codes)
    if z.ndim != 2 or not len(z) or z.shape[1] < 2 or z.dtype.kind not in "fiu":
        raise ValueError(
            "`codes` must be numbers of shape (n, units), with n >= 1 and at least two "
            f"units. Received: codes.shape={z.shape}, dtype={z.dtype}. "
            "Flatten other codes with `codes.reshape(len(codes), -1)`."
        )
    finite = np.isfinite(z).all(axis=1)
    if not finite.all():
        raise ValueError(
            "`codes` must be finite. Received: NaN or infinity in "
            f"{(~finite).sum()} of {len(z)} rows, first in codes[{finite.argmin()}]."
        )
    return z


def _check_dims(dims: Sequence[int], units: int) -> tuple[int, int]:
    is_pair = not isinstance(dims, str) and np.shape(dims) == (2,)
    if (
        not is_pair
        or not all(isinstance(dim, int | np.integer) for dim in dims)
        or not all(-units <= dim < units for dim in dims)
        or dims[0] % units == dims[1] % units
    ):
        raise ValueError(
            f"`dims` must be two different integers in [{-units}, {units - 1}], the "
            f"code units to show. Received: dims={dims!r}."
        )
    return dims[0] % units, dims[1] % units


def _check_labels(labels: Any, n: int) -> np.ndarray:
    array = np.asarray(labels)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"`labels` must be integers of shape ({n},), one per code. Received: "
            f"labels.shape={array.shape}, dtype={array.dtype}."
        )
    return array


def _class_names(
    classes: np.ndarray | None, class_names: Sequence[str] | None
) -> list[str]:
    """Names of the classes found, rising; empty if a legend cannot hold them."""
    found = [] if classes is None else np.unique(classes).tolist()
    if class_names is None:
        names = [str(label) for label in found]
    elif found and min(found) >= 0 and max(found) < len(class_names):
        names = [str(class_names[label]) for label in found]
    else:
        raise ValueError(
            "`class_names` must name every label: class_names[label]. Received: "
            f"{len(class_names)} names, "
            + (f"labels from {found[0]} to {found[-1]}." if found else "labels=None.")
        )
    return names if len(names) <= _MAX_CLASSES else []


def _read_csv(path: str | Path) -> dict[str, list[str]]:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no training log {path}. `python -m training.train NAME` writes "
            "runs/NAME/log.csv; `keras.callbacks.CSVLogger` writes one in any `fit`."
        )
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if len(rows) < 2 or "epoch" not in rows[0]:
        begin = f"first line {','.join(rows[0])[:60]!r}" if rows else "an empty file"
        raise ValueError(
            "`log` must be a CSV file with a column 'epoch' and a row per epoch, as "
            f"`keras.callbacks.CSVLogger` writes it. Received: {path}, {begin}."
        )
    for row in rows:
        if len(row) != len(rows[0]):
            raise ValueError(
                f"`log` must have as many values in each row as columns, "
                f"{len(rows[0])}. Received: {path}, the row {','.join(row)[:60]!r} "
                f"with {len(row)}. Delete that row."
            )
    return {
        name: list(values)
        for name, values in zip(rows[0], zip(*rows[1:], strict=True), strict=True)
    }


def _check_columns(columns: Any) -> dict[str, Sequence[Any]]:
    if not isinstance(columns, Mapping):
        raise ValueError(
            "`log` must be the path of a CSV file, or columns by name. Received: "
            f"{type(columns).__name__}. Pass `history.history` of a Keras history."
        )
    lengths = {name: np.size(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            "`log` must hold columns of the same length, with a value per epoch. "
            f"Received: lengths={lengths}."
        )
    return dict(columns)


def _check_metrics(
    columns: Mapping[str, Sequence[Any]], metrics: str | Sequence[str] | None
) -> list[str]:
    known = [
        name
        for name in columns
        if name not in _NOT_LOSSES and not name.startswith("val_")
    ]
    if metrics is None:
        names = known
    else:
        names = [metrics] if isinstance(metrics, str) else list(metrics)
        known = [name for name in columns if not name.startswith("val_")]
    if not names:
        raise ValueError(
            "`log` must hold, and `metrics` name, at least one loss. Received: columns "
            f"{', '.join(columns)}; {metrics=}."
        )
    return [check_choice("metrics", name, known) for name in names]


def _curve(
    columns: Mapping[str, Sequence[Any]], name: str
) -> tuple[list[int], list[float]]:
    """Epochs from 1, rising, and the values; the last row of an epoch counts."""
    values = columns[name]
    rows = zip(columns.get("epoch", range(len(values))), values, strict=True)
    try:
        curve = {
            int(epoch) + 1: float(value)
            for epoch, value in rows
            if value not in _ABSENT
        }
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`log` must hold numbers in its columns 'epoch' and {name!r}: {error}."
        ) from error
    return sorted(curve), [curve[epoch] for epoch in sorted(curve)]


# --- Drawing -------------------------------------------------------------------


def _show_grid(grid: np.ndarray, *, padding: int = _PADDING, **options: Any) -> Figure:
    """Show `(rows, columns, height, width, channels)`."""
    columns, *image_shape = grid.shape[1:]
    sheet = tile(grid.reshape(-1, *image_shape), columns, padding)
    return _show(sheet, image_shape[:2], padding=padding, **options)


def _show(
    sheet: np.ndarray,
    cell: Sequence[int],
    *,
    padding: int = _PADDING,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    labels: tuple[str, str] = ("", ""),
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Show a sheet of images, with names at the middles of its rows and columns."""
    pitch = [size + padding for size in cell]
    size = _sharp_size(sheet.shape, max(pitch))
    axes = new_figure(*size).add_subplot() if ax is None else ax
    picture = sheet[..., 0] if sheet.shape[-1] == 1 else sheet
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for axis, names, step in (
        (axes.yaxis, row_names, 0),
        (axes.xaxis, column_names, 1),
    ):
        middles = [
            padding + i * pitch[step] + cell[step] / 2 - 0.5 for i in range(len(names))
        ]
        shown = [(m, name) for m, name in zip(middles, names, strict=True) if name]
        axis.set_ticks([m for m, _ in shown], [name for _, name in shown])
    axes.tick_params(length=0, labelsize="small")
    axes.spines[:].set_visible(False)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.set_anchor("W")  # else the layout takes the names for narrower than they are
    if ax is None:
        _fit(axes, *size, title)
    else:
        axes.set_title(title or "")
    return axes.figure


def _sharp_size(shape: Sequence[int], pitch: int) -> tuple[float, float]:
    """Width and height in inches at which a pixel is a whole square of dots."""
    scale = max(1.0, round(_DOTS_PER_IMAGE / pitch))
    longest = max(shape[:2])
    scale = min(scale, _MAX_DOTS // longest or _MAX_DOTS / longest)
    return shape[1] * scale / _DPI, shape[0] * scale / _DPI


def _fit(ax: Axes, width: float, height: float, title: str | None) -> None:
    """Size a figure so that names, labels and title fit around `width` x `height`."""
    figure = ax.figure
    pad = figure.get_layout_engine().get()
    # A title stands over the axes, so only its height is a margin; one that is wider
    # begins where they do, and needs room there.
    names, inner = ax.get_tightbbox(), ax.get_window_extent()
    beside = (names.width - inner.width) / figure.dpi
    heading = ax.set_title(title or "")
    height += (ax.get_tightbbox().height - inner.height) / figure.dpi
    # a little more, as letters differ in width by the resolution
    needed = 1.02 * heading.get_window_extent().width / figure.dpi
    if needed > width:
        heading.set_text("")
        ax.set_title(title or "", loc="left")
    figure_width = beside + max(width, needed)
    figure.set_size_inches(figure_width + 2 * pad["w_pad"], height + 2 * pad["h_pad"])


def _label(ax: Axes, x: str, y: str, title: str | None = None) -> None:
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if title:
        ax.set_title(title)
    ax.spines[["top", "right"]].set_visible(False)


def _palette(classes: int) -> np.ndarray:
    """Colours that are far apart, shape `(classes, 4)`."""
    from matplotlib import colormaps

    colours = colormaps["tab10" if classes <= 10 else "tab20"]
    return colours(np.arange(classes))


def _scale_curves(ax: Axes) -> None:
    """Whole epochs, and a logarithmic axis where the curves span a factor of 10."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    values = np.concatenate([line.get_ydata() for line in ax.lines])
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")


def _signed(number: str) -> str:
    """A number with a minus sign in place of a hyphen, as matplotlib writes it."""
    return number.replace("-", "\N{MINUS SIGN}")
