"""A tour of the zoo on one poster: no download, no dataset, digits of its own."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import aezoo
from aezoo.evaluation import plots
from aezoo.modalities.image.digits import draw_digits
from aezoo.models.autoencoder import Autoencoder

MANIFOLD = "dense_vae_mnist_z2"
GENERATOR = "conv_vae_mnist_z16"
PLAIN = "conv_ae_mnist_z32"
DENOISER = "denoising_conv_ae_mnist_z32"

NOISE = 0.5
# Ends of the interpolations: pairs that share strokes and pairs that share none.
PATHS = ((0, 6), (3, 8), (7, 2), (5, 4))
COLUMNS = 13
TRAVERSED_UNITS = 4
SAMPLE_ROWS, SAMPLE_COLUMNS = 5, 16
MANIFOLD_SIDE = 20

_DPI = 150
_INK, _GROUND, _FAINT = "#f2efe6", "#0d1017", "#8d94a3"
# What networks made up is tinted; what they were given, or gave back, is grey.
_TINTS = {"manifold": "#3fa7b5", "samples": "#e0913f", "paths": "#b4689c"}
_TINTS["traversal"] = "#7aa556"
_STYLE = {
    "axes.facecolor": _GROUND,
    "axes.labelcolor": _FAINT,
    "axes.titlecolor": _INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titlepad": 7.0,
    "figure.facecolor": _GROUND,
    "savefig.facecolor": _GROUND,
    "text.color": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
}

Report = Callable[[str], object]


def run(output: str | Path, seed: int, report: Report) -> None:
    """Draw digits, run four pretrained models on them, and write one poster.

    Args:
        output: The picture; `.png`, `.pdf` or `.svg`.
        seed: Same seed, same poster.
        report: Called with one line about each thing done, e.g. `print`.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        FileNotFoundError: If the output's folder does not exist.
        ChecksumError: If a bundled weights file is damaged.
    """
    plots.require_matplotlib()
    start = time.perf_counter()
    figure = make_poster(seed, report)
    plots.save_figure(figure, output, dpi=_DPI)
    report(f"Done in {time.perf_counter() - start:.1f} s.")


def make_poster(seed: int, report: Report) -> Any:
    """The poster as a matplotlib figure.

    Args:
        seed: Same seed, same poster.
        report: Called with one line about each thing done.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        ChecksumError: If a bundled weights file is damaged.
    """
    import matplotlib as mpl
    from matplotlib.colors import LinearSegmentedColormap

    digits, _ = draw_digits(COLUMNS, seed)
    report(
        f"Drew {COLUMNS} digits as if by hand (seed {seed}); no dataset, no download."
    )
    with mpl.rc_context(_STYLE):
        figure, axes = _sheet()
        _draw_manifold(_load(MANIFOLD, report), axes["manifold"], report)
        generator = _load(GENERATOR, report)
        _draw_samples(generator, seed, axes["samples"], report)
        _draw_paths(generator, seed, axes["paths"], report)
        _draw_traversal(generator, seed, axes["traversal"], report)
        plain, denoiser = _load(PLAIN, report), _load(DENOISER, report)
        _draw_outputs(plain, denoiser, digits, seed, axes["outputs"], report)
        for panel, colour in _TINTS.items():
            ramp = LinearSegmentedColormap.from_list(panel, ["black", colour, "white"])
            axes[panel].images[0].set_cmap(ramp)
    return figure


def _load(name: str, report: Report) -> Autoencoder:
    model = aezoo.load(name)
    report(f"Loaded {name}: {model.count_params():,} weights, sha256 verified.")
    return model


def _sheet() -> tuple[Any, dict[str, Any]]:
    """An empty poster with a heading, and its axes by name."""
    shapes = {
        "samples": (SAMPLE_ROWS, SAMPLE_COLUMNS),
        "paths": (len(PATHS), COLUMNS),
        "traversal": (TRAVERSED_UNITS, COLUMNS),
        "outputs": (4, COLUMNS),
    }
    # In inches. The column on the right is as high as the square on the left.
    edge, heading, side, gap, gutter = 0.5, 1.6, 8.4, 0.47, 1.05
    share = sum(rows / columns for rows, columns in shapes.values())
    room = (side - gap * (len(shapes) - 1)) / share
    left = edge + 0.45
    right = left + side + gutter
    width, height = right + room + edge, heading + side + 0.55 + edge / 2
    figure = plots.new_figure(width, height)
    figure.set_layout_engine("none")

    def axes(left: float, top: float, box_width: float, box_height: float) -> Any:
        box = (left, height - top - box_height, box_width, box_height)
        unit = (width, height, width, height)
        return figure.add_axes([b / u for b, u in zip(box, unit, strict=True)])

    def text(left: float, top: float, words: str, **style: Any) -> None:
        figure.text(left / width, 1 - top / height, words, va="baseline", **style)

    text(edge, 0.86, "aezoo", size=32, weight="bold")
    text(
        edge + 1.95,
        0.86,
        "What autoencoders learn from MNIST. Every digit here was drawn by a program "
        "or dreamt by a network.",
        size=12.5,
        color=_FAINT,
    )
    boxes, top = {"manifold": axes(left, heading, side, side)}, heading
    for name, (rows, columns) in shapes.items():
        box_height = room * rows / columns
        boxes[name] = axes(right, top, room, box_height)
        top += box_height + gap
    return figure, boxes


def _draw_manifold(model: Autoencoder, ax: Any, report: Report) -> None:
    n = MANIFOLD_SIDE
    plots.latent_manifold(
        model, n, title="Two numbers describe a digit: the map of all codes", ax=ax
    )
    report(f"  Decoded {n} x {n} codes: the map of its two-number code space.")


def _draw_samples(model: Autoencoder, seed: int, ax: Any, report: Report) -> None:
    n = SAMPLE_ROWS * SAMPLE_COLUMNS
    plots.sample_grid(
        model.sample(n, seed),
        SAMPLE_COLUMNS,
        title="New digits, sampled from a VAE",
        ax=ax,
    )
    report(f"  Sampled {n} digits that nobody ever wrote.")


def _draw_paths(model: Autoencoder, seed: int, ax: Any, report: Report) -> None:
    labels = [label for pair in PATHS for label in pair]
    ends, _ = draw_digits(len(labels), seed, labels)
    paths = model.interpolate(ends[::2], ends[1::2], steps=COLUMNS)
    plots.interpolation_strip(paths, title="From one digit to another", ax=ax)
    ax.set_xticks([])
    walks = ", ".join(f"{a} to {b}" for a, b in PATHS)
    report(f"  Walked through code space from {walks}.")


def _draw_traversal(model: Autoencoder, seed: int, ax: Any, report: Report) -> None:
    x, _ = draw_digits(1, seed, [3])
    values = np.linspace(-3.0, 3.0, COLUMNS).tolist()
    units = plots.most_visible_units(model, x, values, TRAVERSED_UNITS)
    grid = np.stack([model.traverse(x[0], dim, values) for dim in units])
    plots.traversal_grid(
        grid, units, values, title="One code unit moves, the others rest", ax=ax
    )
    ax.set_xticks([])
    report(f"  Moved code units {', '.join(map(str, units))} of a 3 from -3 to 3.")


def _draw_outputs(
    plain: Autoencoder,
    denoiser: Autoencoder,
    digits: np.ndarray,
    seed: int,
    ax: Any,
    report: Report,
) -> None:
    x = digits.astype("float32") / 255.0
    noise = np.random.default_rng(seed).normal(0.0, NOISE, x.shape)
    noisy = np.clip(x + noise, 0.0, 1.0).astype("float32")
    x_hat, denoised = plain.reconstruct(x), denoiser.reconstruct(noisy)
    plots.image_rows(
        {"drawn": x, "rebuilt": x_hat, "noisy": noisy, "denoised": denoised},
        title="Through 32 numbers and back; noise goes in, a digit comes out",
        ax=ax,
    )
    numbers = int(np.prod(plain.latent_shape))
    report(
        f"  Rebuilt the drawn digits from {numbers} numbers each: mean squared error "
        f"per pixel {_mse(x, x_hat):.4f}."
    )
    report(
        f"  Removed noise of sigma {NOISE:g}: error {_mse(x, noisy):.4f} before, "
        f"{_mse(x, denoised):.4f} after."
    )


def _mse(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(np.square(x - y)))
