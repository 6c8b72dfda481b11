"""Draw the README's gallery: what the bundled models make of digits and of codes.

    python -m training.gallery
    python -m training.gallery --log runs/dense_vae_mnist_z2/log.csv

Inputs are digits that aezoo draws itself; of MNIST's test split only codes and
averages are shown, never an image. A rerun gives the same pictures.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import numpy as np
from PIL import Image

import aezoo
from aezoo.data.datasets import DatasetError, load_dataset
from aezoo.errors import AezooError
from aezoo.evaluation import evaluate, plots
from aezoo.modalities.image import files as images
from aezoo.modalities.image.digits import draw_digits
from aezoo.utils.files import atomic_path

FOLDER = Path(__file__).parent.parent / "docs" / "gallery"
PLANE = "dense_vae_mnist_z2"
GENERATOR = "conv_vae_mnist_z16"
PLAIN = "conv_ae_mnist_z32"
WIDE = "dense_vae_mnist_z20"
DEEP = "hierarchical_vae_mnist"
WRITER = "draw_mnist"
LOG = Path("runs") / PLANE / "log.csv"

SEED = 0
ROWS, COLUMNS = 6, 11
ENDS = (0, 6, 3, 8)  # from 0 to 6, from 3 to 8
# The README shows two pictures abreast: letters must survive that.
STYLE = {"font.size": 12.0, "axes.titlesize": 13.0, "axes.titlelocation": "left"}
COLOURS = 96  # of the palette, for small files


TITLES = {
    "reconstruction": f"Drawn digits and their reconstructions ({PLAIN})",
    "interpolation": f"From one digit to another ({GENERATOR})",
    "samples": f"Samples from the prior ({GENERATOR})",
    "traversal": f"One code unit moves, the others rest ({GENERATOR})",
    "manifold": f"What the plane of codes decodes to ({PLANE})",
    "scatter": f"Codes of MNIST's test split ({PLANE})",
    "deep_samples": f"Samples from the prior ({DEEP})",
    "levels": f"What each level of latents adds ({DEEP})",
    "resampled": f"First levels of a 3 kept, the rest drawn ({DEEP})",
    "drawing": f"Six samples as they are drawn ({WRITER})",
    "kl": f"What each code unit knows of an image ({WIDE})",
}


def image_figures() -> Iterator[tuple[str, Any]]:
    """Names and figures of what the models decode."""
    x, _ = draw_digits(COLUMNS - 1, SEED)
    x_hat = aezoo.load(PLAIN).reconstruct(x)
    name = "reconstruction"
    yield name, plots.reconstruction_pairs(x, x_hat, title=TITLES[name])
    generator = aezoo.load(GENERATOR)
    ends, _ = draw_digits(len(ENDS), SEED, ENDS)
    paths = generator.interpolate(ends[::2], ends[1::2], steps=COLUMNS)
    name = "interpolation"
    yield name, plots.interpolation_strip(paths, title=TITLES[name])
    samples = generator.sample(ROWS * COLUMNS, SEED)
    yield "samples", plots.sample_grid(samples, COLUMNS, title=TITLES["samples"])
    x, _ = draw_digits(1, SEED, [3])
    values = np.linspace(-2.5, 2.5, COLUMNS).tolist()
    units = plots.most_visible_units(generator, x, values, ROWS)
    grid = np.stack([generator.traverse(x[0], unit, values) for unit in units])
    name = "traversal"
    yield name, plots.traversal_grid(grid, units, values, title=TITLES[name])
    plane = aezoo.load(PLANE)
    yield "manifold", plots.latent_manifold(plane, n=16, title=TITLES["manifold"])


def chain_figures() -> Iterator[tuple[str, Any]]:
    """Names and figures of what the levels and steps of chains of latents are."""
    deep = aezoo.load(DEEP)
    name = "deep_samples"
    samples = deep.sample(ROWS * COLUMNS, SEED)
    yield name, plots.sample_grid(samples, COLUMNS, title=TITLES[name])
    x, _ = draw_digits(COLUMNS - 1, SEED)
    steps = deep.reconstruct_by_level(x)  # (n, levels, *input_shape)
    rows = {"input": x}
    rows |= {counted(i + 1): steps[:, i] for i in range(steps.shape[1])}
    yield "levels", plots.image_rows(rows, title=TITLES["levels"])
    x = np.repeat(draw_digits(1, SEED, [3])[0], COLUMNS - 1, axis=0)
    count = len(deep.level_shapes)
    rows = {counted(k): deep.resample(x, k, SEED) for k in range(count + 1)}
    yield "resampled", plots.image_rows(rows, title=TITLES["resampled"])
    canvases = aezoo.load(WRITER).generate_steps(ROWS, SEED)
    yield "drawing", plots.step_strip(canvases, title=TITLES["drawing"])


def counted(levels: int) -> str:
    """How many levels, in words."""
    return f"{levels} level{'' if levels == 1 else 's'}"


def write_drawing(path: Path) -> None:
    """Write samples as they are drawn, one frame per step."""
    canvases = aezoo.load(WRITER).generate_steps(ROWS, SEED)
    frames = [
        images.grid_image(canvases[:, step], ROWS, scale=2)
        for step in range(canvases.shape[1])
    ]
    images.write_animation(path, np.stack(frames))
    click.echo(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


def code_figures(data_dir: Path | None) -> Iterator[tuple[str, Any]]:
    """Names and figures of the codes of MNIST's test split."""
    data = load_dataset("mnist", "test", data_dir)
    z = aezoo.load(PLANE).encode(data.examples)
    yield "scatter", plots.latent_scatter(z, data.labels, title=TITLES["scatter"])
    kl = evaluate(WIDE, data, metrics=["kl_per_dim"])["kl_per_dim"].values
    yield "kl", plots.kl_per_dimension(kl, title=TITLES["kl"])


def write(name: str, figure: Any, folder: Path) -> None:
    """Write a figure as a small PNG."""
    path = folder / f"{name}.png"
    plots.save_figure(figure, path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(
            COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    with atomic_path(path) as temporary:
        small.save(temporary, optimize=True)
    click.echo(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


@click.command(help=__doc__)
@click.option(
    "--log",
    "logs",
    multiple=True,
    type=click.Path(path_type=Path),
    help=f"Training log to draw; repeatable. Default: {LOG}, if there is one.",
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="TFDS or .npz folder."
)
@click.option("--out", type=click.Path(path_type=Path), default=FOLDER)
def main(logs: tuple[Path, ...], data_dir: Path | None, out: Path) -> None:
    """Command line of the gallery."""
    import matplotlib as mpl

    try:
        out.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context(STYLE):
            if not logs and LOG.is_file():
                logs = (LOG,)
            for i, log in enumerate(logs):
                figure = plots.training_curves(
                    log,
                    metrics=("reconstruction", "kl"),
                    title=f"Training ({log.resolve().parent.name})",
                )
                write(f"curves{i + 1 if i else ''}", figure, out)
            if not logs:
                click.echo("No curves: pass `--log runs/NAME/log.csv`.")
            for name, figure in (*image_figures(), *chain_figures()):
                write(name, figure, out)
            write_drawing(out / "drawing.gif")
            try:
                for name, figure in code_figures(data_dir):
                    write(name, figure, out)
            except DatasetError as error:
                click.echo(f"No pictures of codes. {error}")
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
