"""Figures from arrays. matplotlib is optional: `pip install "aezoo[plots]"`.

Every function draws into `ax` if one is given and else makes a figure of fitting
size; each returns the figure. pyplot and its global state are never touched, so
figures are freed like any object, and no display is needed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo.errors import MissingDependencyError
from aezoo.files import atomic_path
from aezoo.tiling import tile, to_uint8
from aezoo.validation import check_number, check_positive_int

if TYPE_CHECKING:
    from aezoo.models._base import Autoencoder

Axes = Any
Figure = Any
_INCHES_PER_IMAGE = 0.55
_PADDING = 2


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


def save_figure(figure: Figure, path: str | Path, dpi: int = 150) -> None:
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


# --- Figures -------------------------------------------------------------------


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
        column_names=[f"{value:g}" for value in values],
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
    names = [f"{tick:.1f}" if i % 5 == 2 else "" for i, tick in enumerate(ticks)]
    figure = _show_grid(
        images,
        padding=0,
        row_names=names[::-1],
        column_names=names,
        title=title,
        ax=ax,
    )
    axes = figure.axes[-1] if ax is None else ax
    axes.set_xlabel("$z_0$")
    axes.set_ylabel("$z_1$")
    return figure


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
    model: "Autoencoder", x: Any, values: Sequence[float], count: int
) -> list[int]:
    """The code units whose movement changes a picture most.

    Args:
        model: Any model of the zoo.
        x: One image or code, as a batch of one.
        values: What a unit is set to.
        count: How many units; all of them if there are no more.

    Returns:
        Indices, rising.
    """
    z = model.encode(x) if np.shape(x)[1:] == model.input_shape else np.asarray(x)
    units = z[0].size
    if units <= count:
        return list(range(units))
    change = [
        float(np.var(model.traverse(z, dim, values), axis=1).mean())
        for dim in range(units)
    ]
    return sorted(np.argsort(change)[::-1][:count].tolist())


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
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Show a sheet of images, with names at the middles of its rows and columns."""
    pitch = [size + padding for size in cell]
    if ax is None:
        inches = [
            s / p * _INCHES_PER_IMAGE for s, p in zip(sheet.shape, pitch, strict=False)
        ]
        shrink = min(1.0, 12.0 / max(inches))
        height = inches[0] * shrink + 0.25 * bool(column_names) + 0.35 * bool(title)
        ax = new_figure(
            inches[1] * shrink + 0.5 * bool(row_names), height
        ).add_subplot()
    picture = sheet[..., 0] if sheet.shape[-1] == 1 else sheet
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for axis, names, step in ((ax.yaxis, row_names, 0), (ax.xaxis, column_names, 1)):
        middles = [
            padding + i * pitch[step] + cell[step] / 2 - 0.5 for i in range(len(names))
        ]
        shown = [(m, name) for m, name in zip(middles, names, strict=True) if name]
        axis.set_ticks([m for m, _ in shown], [name for _, name in shown])
    ax.tick_params(length=0, labelsize="small")
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title:
        ax.set_title(title)
    return ax.figure
