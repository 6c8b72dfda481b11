"""The `aezoo` command.

`aezoo list`, `describe` and `--help` answer at once: heavy modules are imported by
the commands that need them, after everything that can be checked without them.
"""

import contextlib
import dataclasses
import errno
import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

import aezoo
from aezoo.errors import AezooError, UnsupportedOperationError
from aezoo.progress import with_progress

if TYPE_CHECKING:
    import numpy as np
    from click.shell_completion import CompletionItem

    from aezoo.cache import Contents, Download, Pruning
    from aezoo.evaluation import Report
    from aezoo.features.streaming import FeatureEncoder, Features
    from aezoo.folder import FolderEntry
    from aezoo.manifest import Metric, WeightsEntry
    from aezoo.models._base import Autoencoder
    from aezoo.streams import Stream
    from aezoo.verification import Verification

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Conversions of single files that are printed before the rest is counted.
_MAX_NOTES = 5
_MAX_TRAVERSED_UNITS = 12


class _FriendlyGroup(click.Group):
    """Ends every error that a user can provoke as one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `aezoo list | head`; click ends it quietly
            raise
        except MemoryError as error:
            raise click.ClickException("Not enough memory. Ask for less.") from error
        except OSError as error:
            message = str(error)
            if error.errno is not None and error.strerror:
                place = f": {error.filename}" if error.filename else ""
                message = f"{error.strerror}{place}"
            if error.errno == errno.ENOSPC:
                message += " (the disk is full; nothing was written)"
            raise click.ClickException(_one_line(message)) from error
        except (AezooError, ValueError) as error:
            raise click.ClickException(_one_line(str(error))) from error


def _one_line(text: str) -> str:
    return " ".join(text.split())


@click.group(
    cls=_FriendlyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"TensorFlow's own messages are hidden; {_LOG_LEVEL}=0 shows them.",
)
@click.version_option(aezoo.__version__, message="aezoo %(version)s")
def main() -> None:
    """Pretrained autoencoders: list, reconstruct, sample, interpolate, measure.

    Start with `aezoo demo`, which needs no images, or with `aezoo list`.
    """


# --- Parameters shared by commands -----------------------------------------------


class _Names(click.ParamType):
    """Names separated by commas."""

    name = "names"

    def convert(self, value: Any, param: Any, ctx: Any) -> list[str]:
        if isinstance(value, list):
            return value
        names = [name.strip() for name in str(value).split(",")]
        if not all(names):
            self.fail(f"{value!r} is not like mse,psnr.", param, ctx)
        return names


class _Numbers(click.ParamType):
    """Numbers separated by commas."""

    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> list[float]:
        if isinstance(value, list):
            return value
        try:
            return [float(number) for number in str(value).split(",")]
        except ValueError:
            self.fail(f"{value!r} is not like -3,-1.5,0,1.5,3.", param, ctx)


def _complete_name(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem

    if "/" in incomplete or incomplete.startswith((".", "~")):
        return [CompletionItem(incomplete, type="dir")]
    names = aezoo.list_models()
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


_Command = Callable[..., Any]
_name = click.argument("name", shell_complete=_complete_name)
_NAMES = (
    "NAME is a model that `aezoo list` shows, a folder that `aezoo.save` wrote, e.g. "
    "./my_vae, or a model on the Hub, hf://organisation/name or "
    "hf://organisation/name@revision."
)
_cache_dir = click.option(
    "--cache-dir",
    type=click.Path(path_type=Path),
    help="Cache of the Hub's client. [default: as HF_HUB_CACHE and HF_HOME say]",
)
_invert = click.option(
    "--invert", is_flag=True, help="For dark ink on light paper: swap dark and bright."
)


def _seed_of(help: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        default=0,
        show_default=True,
        help=help,
    )


_seed = _seed_of("Same seed, same picture.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


_metrics = click.option(
    "--metrics",
    type=_Names(),
    multiple=True,
    help="Metrics, separated by commas; may be repeated.",
)


def _images(name: str, nargs: int = 1) -> Callable[[_Command], _Command]:
    return click.argument(
        name, type=click.Path(path_type=Path), nargs=nargs, required=True
    )


def _output(what: str, **options: Any) -> Callable[[_Command], _Command]:
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        help=f"{what} to write.",
        **options,
    )


_picture = _output("Picture (.png, .jpg, .webp, .bmp or .tif)", required=True)
_READING = (
    "Images of another size or mode are converted, and each conversion is printed: "
    "upright as EXIF says, 16 bits to 8, transparency on black (on white with "
    "--invert), grey or RGB, Lanczos to the model's size with the aspect ratio kept, "
    "centred on black."
)


# --- Looking up --------------------------------------------------------------------


@main.command("list")
@click.argument("pattern", required=False)
@click.option("--family", help='Shell pattern for the family, e.g. "*vae*".')
@click.option("--dataset", help="Shell pattern for the training data, e.g. mnist.")
@click.option("--task", help="reconstruction, features or sampling.")
@click.option("--latent-dim", type=int, help="Number of code units.")
@click.option("--max-params", type=int, help="Largest number of weights.")
@click.option("--sort", help="Metric; best first, e.g. mse.")
@_json
def list_command(as_json: bool, sort: str | None, **filters: Any) -> None:
    """List the pretrained models.

    PATTERN is a shell pattern for the name, e.g. "conv_*".
    """
    names = aezoo.list_models(sort=sort, **filters)
    entries = [aezoo.describe(name) for name in names]
    if as_json:
        _print_json([{"name": entry.name, **entry.to_dict()} for entry in entries])
        return
    if not entries:
        click.echo("No model meets these filters. `aezoo list` shows all.", err=True)
        return
    _print_table(*_models_table(entries, sort), numeric={2, 3, 6})


def _models_table(
    entries: Sequence["WeightsEntry"], sort: str | None
) -> tuple[Sequence[str], list[Sequence[str]]]:
    header = ("name", "family", "latent", "params", "data", "metric", "value")
    rows: list[Sequence[str]] = []
    for entry in entries:
        metrics = {k: m for values in entry.metrics.values() for k, m in values.items()}
        # The recipe names the most telling metric first.
        metric = sort if sort in metrics else next(iter(metrics), "")
        rows.append(
            (
                entry.name,
                entry.family,
                "x".join(map(str, entry.latent_shape)),
                f"{entry.num_params:,}",
                entry.data.name,
                metric,
                f"{metrics[metric].value:.4g}" if metric else "",
            )
        )
    return header, rows


def _print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Collection[int]
) -> None:
    for line in _table_lines(header, rows, numeric):
        click.echo(line)


def _table_lines(
    header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Collection[int]
) -> list[str]:
    """Plain aligned columns: rich's table costs more time than everything else."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if j in numeric else cell.ljust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
    return [click.style(lines[0], bold=True), *lines[1:]]


@main.command(epilog=_NAMES)
@_name
@_json
def describe(name: str, as_json: bool) -> None:
    """Show all that is known about one model."""
    if _is_own(name):
        _describe_own(name, as_json)
        return
    found = aezoo.describe(name)
    if as_json:
        _print_json({"name": found.name, **found.to_dict()})
    else:
        click.echo(repr(found))


def _describe_own(name: str, as_json: bool) -> None:
    """Print what a folder or repository says; of the latter, fetch no weights."""
    with _quiet_loading("TensorFlow"):
        from aezoo import folder, remote, sources
    path, root = Path(name), None
    if sources.is_address(name):
        place = remote.parse_address(name)
        file = remote.fetch(place, folder.ENTRY, max_bytes=folder.MAX_ENTRY_BYTES)
        path, root = file.parent, file.parents[2]
    entry = folder.read_entry(path, root)
    fields = json.loads((path / folder.ENTRY).read_text(encoding="utf-8"))
    if as_json:
        click.echo(json.dumps(fields, indent=2))  # in ASCII: others wrote the texts
        return
    rows = {
        "family": entry.family,
        "tasks": fields.get("tasks"),
        "input": " x ".join(map(str, entry.input_shape)),
        "latent": " x ".join(map(str, entry.latent_shape)),
        "parameters": f"{entry.num_params:,}",
        "license": fields.get("license"),
        "weights": f"{entry.weights.file}, {_size(entry.weights.bytes)}, "
        f"sha256 {entry.weights.sha256[:12]}…",
        "folder": path,
    }
    lines = [entry.name, f"  {fields.get('description') or 'No description.'}"]
    for key, value in rows.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        lines.append(f"  {key:<11} {text or 'not stated'}")
    for key, metrics in _as_mapping(fields.get("metrics")).items():
        lines.append(f"  metrics on {key}")
        for metric, record in _as_mapping(metrics).items():
            stated = _as_mapping(record)
            value, unit = stated.get("value"), stated.get("unit")
            lines.append(f"    {metric:<22} {value} {unit}  ({stated.get('protocol')})")
    for line in lines:
        click.echo("".join(c if c.isprintable() else "\ufffd" for c in line))


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


@main.command()
@click.option(
    "--dataset",
    default="mnist",
    show_default=True,
    help="Measured on; all for one table each.",
)
@click.option("--split", default="test", show_default=True, help="Its split.")
@click.option("--sort", help="Metric to sort by, best first, e.g. mse. [default: name]")
@click.option(
    "--models", multiple=True, help="Names or patterns, e.g. '*_vae_*'; repeatable."
)
@click.option("--baselines/--no-baselines", default=True, help="With PCA and the like?")
@_metrics
@_json
def leaderboard(
    dataset: str,
    split: str,
    sort: str | None,
    models: tuple[str, ...],
    baselines: bool,
    metrics: tuple[list[str], ...],
    as_json: bool,
) -> None:
    """Show the published figures of models as Markdown tables.

    They come from the manifest, as those of the README. The best model's figure in
    each column is **bold**; those with a dagger are in another unit and cannot be
    compared. `aezoo describe` says how each was measured.
    """
    from aezoo import ranking

    chosen, is_all = models or None, dataset == "all"
    datasets = ranking.measured_datasets(split, chosen) if is_all else [dataset]
    tables = [
        ranking.leaderboard(name, split, sort, _joined(metrics), baselines, chosen)
        for name in datasets
    ]
    if as_json:
        found = [table.to_dict() for table in tables]
        _print_json(found if is_all else found[0])
    elif is_all:
        texts = [
            f"{table.dataset}/{split}\n\n{table.to_markdown()}" for table in tables
        ]
        click.echo("\n\n".join(texts))
    else:
        click.echo(tables[0].to_markdown())


def _joined(lists: tuple[list[str], ...]) -> list[str] | None:
    """The names of a repeated option; None if it was not given."""
    return [name for names in lists for name in names] or None


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


# --- Running models ------------------------------------------------------------------


@main.command(epilog=f"{_NAMES} {_READING}")
@_name
@_images("images", nargs=-1)
@_picture
@_invert
def reconstruct(
    name: str, images: tuple[Path, ...], output: Path, invert: bool
) -> None:
    """Draw IMAGES beside what model NAME makes of them."""
    from aezoo.images import check_output

    known = _find(name)
    check_output(output)
    x = _read(images, known, invert)
    x_hat = _load(known).reconstruct(x)

    import numpy as np

    error = np.mean(np.square((x.astype("float32") - x_hat) / 255.0))
    pairs = np.concatenate([x, x_hat], axis=2)  # (n, height, 2 * width, channels)
    _write_grid(output, pairs)
    click.echo(
        f"{_count(len(x), 'image')}, each beside its reconstruction; "
        f"mean squared error per pixel {error:.4f} (levels from 0 to 1)."
    )


@main.command(epilog=_NAMES)
@_name
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    help="How many images.",
)
@click.option(
    "--sampler",
    default="prior",
    show_default=True,
    help="Where codes come from: prior, or a fitted sampler, e.g. gmm.",
)
@_seed
@_picture
def sample(name: str, number: int, sampler: str, seed: int, output: Path) -> None:
    """Draw new images from model NAME."""
    from aezoo.images import check_output

    known = _find(name)
    if sampler == "prior" and "sampling" not in known.tasks:
        fitted = "".join(f" Pass `--sampler {kind}`." for kind in known.samplers)
        raise UnsupportedOperationError(
            f"{name!r} ({known.family}) has no prior over its codes, so it cannot "
            f"sample.{fitted} `aezoo list --task sampling` lists the models that can."
        )
    if sampler not in ("prior", *known.samplers):
        has = ", ".join(["prior"] * ("sampling" in known.tasks) + [*known.samplers])
        raise UnsupportedOperationError(
            f"{name!r} has no sampler {sampler!r}. It has: {has or 'none'}."
        )
    check_output(output)
    _write_grid(output, _load(known).sample(number, seed, sampler=sampler))
    source = "prior" if sampler == "prior" else f"sampler {sampler}"
    click.echo(f"{_count(number, 'sample')} from the {source}, seed {seed}.")


@main.command(epilog=f"{_NAMES} {_READING}")
@_name
@_images("a")
@_images("b")
@_picture
@click.option(
    "--steps",
    type=click.IntRange(2, 1000),
    default=9,
    show_default=True,
    help="Images on the path, both ends included.",
)
@click.option(
    "--method",
    type=click.Choice(["spherical", "linear"]),
    default="spherical",
    show_default=True,
    help="Path in code space.",
)
@_invert
def interpolate(
    name: str,
    a: Path,
    b: Path,
    output: Path,
    steps: int,
    method: str,
    invert: bool,
) -> None:
    """Draw the path from image A to image B in model NAME's code space."""
    from aezoo.images import check_output

    known = _find(name)
    check_output(output)
    x = _read((a, b), known, invert)
    path = _load(known).interpolate(x[0], x[1], steps=steps, method=method)

    import numpy as np

    strip = np.concatenate([x[:1], path, x[1:]])
    _write_grid(output, strip, columns=len(strip) if len(strip) <= 24 else None)
    click.echo(
        f"{a}, {_count(steps, 'image')} on the {method} path, {b}; the path begins "
        "and ends with the reconstructions."
    )


@main.command(epilog=f"{_NAMES} {_READING}")
@_name
@_images("image")
@_picture
@click.option(
    "--dim",
    "dims",
    type=int,
    multiple=True,
    help="Code unit to move, from 0; may be repeated. [default: all, or the "
    f"{_MAX_TRAVERSED_UNITS} that change the picture most]",
)
@click.option(
    "--values",
    type=_Numbers(),
    help="What the unit is set to. [default: -3,-1.5,0,1.5,3; as far as the code "
    "itself reaches where there is no prior]",
)
@_invert
def traverse(
    name: str,
    image: Path,
    output: Path,
    dims: tuple[int, ...],
    values: list[float] | None,
    invert: bool,
) -> None:
    """Draw what happens to IMAGE as single code units of model NAME move."""
    from aezoo.images import check_output

    known = _find(name)
    units = known.latent_dim
    for dim in dims:
        if not -units <= dim < units:
            raise click.BadParameter(
                f"{name} has {units} code units: {-units} to {units - 1}. "
                f"Received: {dim}.",
                param_hint="--dim",
            )
    check_output(output)
    x = _read((image,), known, invert)
    model = _load(known)

    import numpy as np

    from aezoo.plots import most_visible_units

    if values is None and "sampling" in known.tasks:
        values = [-3.0, -1.5, 0.0, 1.5, 3.0]
    elif values is None:
        reach = max(float(np.abs(model.encode(x)).max()), 1e-6)
        values = [float(f"{share * reach:.3g}") for share in (-1, -0.5, 0, 0.5, 1)]
    chosen = list(dims) or most_visible_units(model, x, values, _MAX_TRAVERSED_UNITS)
    rows = [np.concatenate([x, model.traverse(x[0], dim, values)]) for dim in chosen]
    _write_grid(output, np.concatenate(rows), columns=1 + len(values))
    click.echo(
        f"One row per code unit, from above: {', '.join(map(str, chosen))}. "
        f"Columns: the input, then the unit at {', '.join(f'{v:g}' for v in values)}."
    )


@main.command()
@_output("Picture (.png, .pdf or .svg)", default="demo.png", show_default=True)
@_seed
def demo(output: Path, seed: int) -> None:
    """Draw a tour of the zoo. Needs no download and no dataset."""
    from aezoo.images import check_output
    from aezoo.plots import require_matplotlib

    check_output(output, (".png", ".pdf", ".svg"))
    require_matplotlib()
    with _quiet_loading("TensorFlow"):
        from aezoo.demo import run
    run(output, seed, report=click.echo)
    _report_file(output, "poster")


# --- Features -----------------------------------------------------------------------

_SOURCE = (
    "A folder of images (its subfolders are classes), a dataset and its split, e.g. "
    "mnist/test, or an .npz file with `images` and, if any, `labels`."
)
_layer = click.option(
    "--layer",
    help="Layer whose output the features are, e.g. pool; `aezoo.feature_info(NAME)` "
    "lists them. [default: the code]",
)
_pooling = click.option(
    "--pooling",
    type=click.Choice(["avg", "max"]),
    help="Mean or maximum over positions. [default: all positions, in one row]",
)
_batch_size = click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Images per step.",
)
_on_error = click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do with files that are no readable images.",
)
_data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="TFDS data directory, or folder of <name>/<split>.npz. [default: TFDS's own]",
)


def _encoding_options(command: _Command) -> _Command:
    """Options of all commands that encode many images."""
    options = (_layer, _pooling, _batch_size, _on_error, _data_dir, _invert)
    for option in reversed(options):
        command = option(command)
    return command


@main.command(epilog=f"{_NAMES} {_READING}")
@_name
@_images("images", nargs=-1)
@_output(
    "NumPy archive (.npz), or Parquet file (.parquet) for any number of images",
    required=True,
)
@_encoding_options
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with what an interrupted run has encoded, or discard it.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing .parquet file.")
def encode(
    name: str,
    images: tuple[Path, ...],
    output: Path,
    invert: bool,
    **options: Any,
) -> None:
    """Write the codes of IMAGES from model NAME.

    An .npz archive holds `z` (one row per image: the posterior's mode), the parameters
    of the posterior where the family has them (`z_mean`, `z_log_var`), and `paths`.

    A .parquet file holds `path`, `label` and `feature` of all images of one source,
    which may have any size: a folder, a dataset and its split, e.g. mnist/test, or an
    .npz file. A run that was interrupted goes on where it stopped when it is started
    again. The other options belong to .parquet.
    """
    from aezoo.images import check_output

    known = _find(name)
    if check_output(output, (".npz", ".parquet")).suffix.lower() == ".parquet":
        if len(images) != 1:
            raise click.UsageError(
                "A .parquet file takes one folder or dataset in place of IMAGES."
            )
        _encode_source(name, str(images[0]), output, invert=invert, **options)
        return
    context = click.get_current_context()
    for option in options:
        source = context.get_parameter_source(option)
        if source is not None and source.name != "DEFAULT":
            flag = option.replace("_", "-")
            raise click.UsageError(f"--{flag} belongs to .parquet files.")
    _encode_images(known, images, output, invert)


def _encode_images(
    known: "_Model", images: tuple[Path, ...], output: Path, invert: bool
) -> None:
    from aezoo.files import atomic_path

    x = _read(images, known, invert)
    model = _load(known)

    import numpy as np

    posterior = model.posterior(x)
    arrays: dict[str, Any] = {
        **posterior.parameters(),
        "z": posterior.mode(),
        "paths": [str(path) for path in images],
    }
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    with atomic_path(output) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    shapes = ", ".join(f"{key} {value.shape}" for key, value in arrays.items())
    _report_file(output, shapes)


def _encode_source(name: str, source: str, output: Path, **options: Any) -> None:
    from aezoo.features.streaming import EncodingRun

    with _quiet_datasets(source):
        run = EncodingRun(name, source, output, **options)

    def load() -> "FeatureEncoder":
        with _quiet_loading(name):
            return run.load()

    done = run.write(load)
    _print_notes(done.notes)
    _print_skipped(done.skipped)
    if done.num_resumed:
        click.echo(f"{_count(done.num_resumed, 'image')} had been encoded before.")
    width = math.prod(done.metadata["feature_shape"])
    _report_file(output, f"{_count(done.num_rows, 'row')} of {width} numbers")


def _quiet_datasets(source: str) -> contextlib.AbstractContextManager[None]:
    """Named datasets import TensorFlow; files do not."""
    if Path(source).exists():
        return contextlib.nullcontext()
    return _quiet_loading("the dataset")


def _print_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    for _, reason in skipped[:_MAX_NOTES]:
        click.echo(f"Skipped: {_one_line(reason)}", err=True)
    if skipped:
        total = _count(len(skipped), "file")
        click.echo(f"{total} skipped: no readable images.", err=True)


def _open_stream(
    known: "_Model", source: Path, invert: bool, data_dir: Path | None
) -> "Stream":
    from aezoo.streams import open_stream

    with _quiet_datasets(str(source)):
        return open_stream(
            str(source), known.input_shape, invert=invert, data_dir=data_dir
        )


def _is_features(source: Path) -> bool:
    return source.suffix.lower() == ".parquet"


@dataclasses.dataclass
class _Encoder:
    """An encoder that is loaded when it is first needed, and what it has encoded."""

    known: "_Model"
    layer: str | None
    pooling: str | None
    batch_size: int
    on_error: str
    data_dir: Path | None
    invert: bool
    loaded: "FeatureEncoder | None" = None

    def encoder(self) -> "FeatureEncoder":
        from aezoo.features.streaming import FeatureEncoder

        if self.loaded is None:
            with _quiet_loading(self.known.name):
                self.loaded = FeatureEncoder(self.known.name, self.layer, self.pooling)
        return self.loaded

    def open(self, source: Path) -> "Features | Stream":
        """What is checked before a model is loaded."""
        if not _is_features(source):
            return _open_stream(self.known, source, self.invert, self.data_dir)
        from aezoo.features.streaming import LATENT, find_entry, read_features

        found = read_features(source)
        sha256 = find_entry(self.known.name).weights.sha256
        expected = {
            "weights_sha256": sha256,
            "layer": self.layer or LATENT,
            "pooling": self.pooling,
        }
        for key, value in expected.items():
            if found.metadata.get(key) != value:
                raise click.ClickException(
                    f"{source} holds features of model {found.metadata['model']}, "
                    f"layer {found.metadata['layer']}, pooling "
                    f"{found.metadata['pooling']}; {key} is not that of "
                    f"{self.known.name} here. Encode the images again, or pass the "
                    "model and options that it was made with."
                )
        return found

    def features(self, opened: "Features | Stream") -> "Features":
        from aezoo.features.streaming import Features, encode_to_memory

        if isinstance(opened, Features):
            return opened
        found = encode_to_memory(
            self.encoder(), opened, batch_size=self.batch_size, on_error=self.on_error
        )
        _print_skipped(found.metadata["skipped"])
        return found

    def draw(self, features: "Features", rows: Sequence[int]) -> "np.ndarray":
        """The images of rows of features."""
        from aezoo.features.search import read_pictures

        return read_pictures(
            [str(features.paths[row]) for row in rows],
            features.metadata,
            self.known.input_shape,
            invert=self.invert,
            data_dir=self.data_dir,
        )


def _require_sklearn(purpose: str) -> None:
    from aezoo.extras import check_installed

    check_installed("sklearn", "features", purpose)


def _check_enough(wanted: int, available: int, what: str) -> None:
    if wanted > available:
        raise click.ClickException(
            f"{_count(wanted, what)} need at least as many images. Received: "
            f"{available}."
        )


@main.command(epilog=f"FOLDER: {_SOURCE} {_NAMES} {_READING}")
@_name
@_images("query")
@_images("folder")
@click.option(
    "-k", type=click.IntRange(1), default=8, show_default=True, help="How many."
)
@click.option(
    "--metric",
    type=click.Choice(["cosine", "euclidean"]),
    default="cosine",
    show_default=True,
    help="Distance between features.",
)
@_output("Picture (.png, .jpg, .webp, .bmp or .tif)")
@_encoding_options
@_json
def nearest(
    name: str,
    query: Path,
    folder: Path,
    k: int,
    metric: str,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the images of FOLDER that are most like the image QUERY to model NAME.

    FOLDER may be a .parquet file that `aezoo encode` wrote; then nothing but QUERY is
    encoded.
    """
    from aezoo.images import check_output, read_image

    known = _find(name)
    if output is not None:
        check_output(output)
    _require_sklearn("`aezoo nearest`")
    encoder = _Encoder(known, **options)
    x, _ = read_image(query, known.input_shape, encoder.invert)
    opened = encoder.open(folder)
    _check_enough(k, len(opened), "neighbour")
    features = encoder.features(opened)
    queries = encoder.encoder()(x[None])

    from aezoo.features import search

    found = search.nearest(queries, features.features, k, metric)
    indices = found.indices[0].tolist()
    rows = [
        {
            "rank": rank,
            "path": str(features.paths[i]),
            "label": _label(features, i),
            "distance": float(distance),
        }
        for rank, (i, distance) in enumerate(
            zip(indices, found.distances[0], strict=True), 1
        )
    ]
    _print_records(rows, as_json, {"rank", "distance"})
    if output is not None:
        import numpy as np

        images = np.concatenate([x[None], _as_uint8(encoder.draw(features, indices))])
        _write_grid(output, images, columns=None if k > 12 else k + 1, quiet=as_json)


def _label(features: "Features", row: int) -> Any:
    if features.labels is None:
        return None
    label = features.labels[row]
    return label.item() if hasattr(label, "item") else label


def _as_uint8(images: "np.ndarray") -> "np.ndarray":
    from aezoo.tiling import to_uint8

    return to_uint8(images)


def _print_records(
    rows: Sequence[Mapping[str, Any]], as_json: bool, numeric: Collection[str]
) -> None:
    """Rows of a table, or JSON; columns without a value are left out of the table."""
    if as_json:
        _print_json(list(rows))
        return
    columns = [c for c in rows[0] if any(row[c] is not None for row in rows)]
    cells = [
        [f"{row[c]:.4g}" if isinstance(row[c], float) else str(row[c]) for c in columns]
        for row in rows
    ]
    places = {i for i, column in enumerate(columns) if column in numeric}
    _print_table(columns, cells, numeric=places)


_picture_option = click.option(
    "--picture",
    type=click.Path(path_type=Path),
    help="Picture (.png, .jpg, .webp, .bmp or .tif) to write.",
)
_table = _output("Table (.csv or .parquet)")


def _check_outputs(output: Path | None, picture: Path | None) -> None:
    from aezoo.features.search import TABLE_SUFFIXES
    from aezoo.images import check_output

    if output is not None:
        check_output(output, TABLE_SUFFIXES)
    if picture is not None:
        check_output(picture)


@main.command(epilog=f"FOLDER: {_SOURCE} {_NAMES} {_READING}")
@_name
@_images("folder")
@click.option(
    "-k", type=click.IntRange(2), default=10, show_default=True, help="Clusters."
)
@_table
@_picture_option
@click.option(
    "--members",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Images of each cluster in the picture, the most typical first.",
)
@_seed_of("Of the starts; same seed, same clusters.")
@_encoding_options
@_json
def cluster(
    name: str,
    folder: Path,
    k: int,
    output: Path | None,
    picture: Path | None,
    members: int,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Partition the images of FOLDER by k-means on the features of model NAME.

    The table has path, cluster and distance to its centre; cluster 0 is the largest.
    Where images have labels, their agreement with the clusters is printed: the adjusted
    Rand index (1: the same, 0: chance) and the normalised mutual information. FOLDER
    may be a .parquet file that `aezoo encode` wrote.
    """
    known = _find(name)
    _check_outputs(output, picture)
    _require_sklearn("`aezoo cluster`")
    encoder = _Encoder(known, **options)
    opened = encoder.open(folder)
    _check_enough(k, len(opened), "cluster")
    features = encoder.features(opened)

    import numpy as np

    from aezoo.features import search

    found = search.cluster(features.features, k, labels=features.labels, seed=seed)
    typical = [
        sorted(
            np.flatnonzero(found.clusters == c).tolist(),
            key=lambda i: found.distances[i],
        )
        for c in range(k)
    ]
    rows = [
        {
            "cluster": c,
            "images": len(rows),
            "mean_distance": float(found.distances[rows].mean()),
            "common_label": _common_label(features, rows),
            "most_typical": str(features.paths[rows[0]]),
        }
        for c, rows in enumerate(typical)
        if rows  # k-means can leave a cluster empty where images are the same
    ]
    if as_json:
        _print_json({"clusters": rows, "ari": found.ari, "nmi": found.nmi})
    else:
        _print_records(rows, False, {"cluster", "images", "mean_distance"})
    if found.ari is not None and not as_json:
        click.echo(f"Agreement with labels: ARI {found.ari:.3f}, NMI {found.nmi:.3f}.")
    if output is not None:
        columns = {
            "path": features.paths,
            "cluster": found.clusters,
            "distance": found.distances,
        }
        _write_table(output, columns, as_json)
    if picture is not None:
        shown = [rows[:members] for rows in typical if rows]
        width = max(map(len, shown))
        images = _as_uint8(encoder.draw(features, [i for rows in shown for i in rows]))
        sheet = np.zeros((len(shown), width, *images.shape[1:]), "uint8")
        places = [(r, c) for r, rows in enumerate(shown) for c in range(len(rows))]
        for image, place in zip(images, places, strict=True):
            sheet[place] = image
        grid = sheet.reshape(-1, *images.shape[1:])
        _write_grid(picture, grid, columns=width, quiet=as_json)


def _common_label(features: "Features", rows: Sequence[int]) -> str | None:
    if features.labels is None:
        return None
    label, times = Counter(features.labels[i] for i in rows).most_common(1)[0]
    return f"{label} ({times / len(rows):.0%})"


def _write_table(path: Path, columns: Mapping[str, Any], quiet: bool) -> None:
    from aezoo.features.search import write_table

    write_table(path, columns)
    if not quiet:
        rows = len(next(iter(columns.values())))
        _report_file(path, _count(rows, "row"))


@main.command(epilog=f"FOLDER: {_SOURCE} {_NAMES} {_READING}")
@_name
@_images("folder")
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    help="Images that are usual, given as FOLDER is. [default: FOLDER itself]",
)
@click.option(
    "--method",
    type=click.Choice(["mahalanobis", "knn", "reconstruction"]),
    default="mahalanobis",
    show_default=True,
    help="Score: distance to the mean, distance to the k-th neighbour, or error of the "
    "reconstruction.",
)
@click.option(
    "-k", type=click.IntRange(1), default=10, show_default=True, help="Of knn."
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Images to print and draw, the strangest first.",
)
@_table
@_picture_option
@_encoding_options
@_json
def outliers(
    name: str,
    folder: Path,
    reference: Path | None,
    method: str,
    k: int,
    number: int,
    output: Path | None,
    picture: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Rank the images of FOLDER by how strange they are to model NAME.

    The table has path and score of all images, the strangest first. FOLDER and the
    reference may be .parquet files that `aezoo encode` wrote.
    """
    known = _find(name)
    _check_outputs(output, picture)
    encoder = _Encoder(known, **options)
    if method == "reconstruction":
        if reference is not None:
            raise click.UsageError(
                "--reference belongs to mahalanobis and knn: the reconstruction needs "
                "no other images."
            )
        if _is_features(folder):
            raise click.UsageError(
                "--method reconstruction needs the images: name their folder."
            )
        paths, scores, metadata = _reconstruction_scores(encoder, folder)
    else:
        paths, scores, metadata = _feature_scores(encoder, folder, reference, method, k)

    import numpy as np

    order = np.argsort(-scores, kind="stable")
    rows = [
        {"rank": rank, "path": str(paths[i]), "score": float(scores[i])}
        for rank, i in enumerate(order[:number], 1)
    ]
    _print_records(rows, as_json, {"rank", "score"})
    if output is not None:
        _write_table(output, {"path": paths[order], "score": scores[order]}, as_json)
    if picture is not None:
        from aezoo.features.search import read_pictures

        images = read_pictures(
            [str(row["path"]) for row in rows],
            metadata,
            known.input_shape,
            invert=encoder.invert,
            data_dir=encoder.data_dir,
        )
        _write_grid(picture, images, quiet=as_json)


def _feature_scores(
    encoder: _Encoder, folder: Path, reference: Path | None, method: str, k: int
) -> tuple["np.ndarray", "np.ndarray", Mapping[str, Any]]:
    _require_sklearn("`aezoo outliers`")
    opened = encoder.open(folder)
    usual = opened if reference is None else encoder.open(reference)
    if method == "knn":
        _check_enough(k + (reference is None), len(usual), "neighbour")
    features = encoder.features(opened)
    known = None if reference is None else encoder.features(usual).features

    from aezoo.features import search

    scores = search.outlier_scores(features.features, known, method, k=k)
    return features.paths, scores, features.metadata


def _reconstruction_scores(
    encoder: _Encoder, folder: Path
) -> tuple["np.ndarray", "np.ndarray", Mapping[str, Any]]:
    from aezoo.features.search import reconstruction_errors

    stream = _open_stream(encoder.known, folder, encoder.invert, encoder.data_dir)
    model = _load(encoder.known)
    found = reconstruction_errors(
        model, stream, encoder.batch_size, on_error=encoder.on_error
    )
    _print_skipped(found.skipped)
    return found.paths, found.errors, {"kind": stream.kind, "source": stream.name}


# --- Measuring and verifying ---------------------------------------------------------


@main.command(epilog=_NAMES)
@_name
@click.option(
    "--dataset",
    help="TFDS name, folder of images (subfolders are classes), or .npz file with "
    "`images` and, if any, `labels`. [default: what NAME was trained on]",
)
@click.option("--split", default="test", show_default=True, help="Of the dataset.")
@click.option(
    "--metrics",
    type=_Names(),
    multiple=True,
    help="Metrics, separated by commas; may be repeated. `all`: every one that model "
    "and dataset can have. `aezoo metrics` lists them. [default: the quick ones]",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first N images.")
@_seed_of("Of all that is drawn; same seed, same figures.")
@click.option("--train", help="Training data of probes. [default: the split train]")
@click.option(
    "--importance-samples",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Codes per image in iwae_nll and bits_per_dim.",
)
@click.option(
    "--num-samples",
    type=click.IntRange(2),
    help="Generated images in metrics of samples. [default: as many as images]",
)
@_data_dir
@click.option("--baselines", is_flag=True, help="Measure PCA and raw pixels as well.")
@_output("Report (.json)")
@_json
def evaluate(
    name: str,
    dataset: str | None,
    metrics: tuple[list[str], ...],
    train: str | None,
    output: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure model NAME on a dataset, and say how each figure was made."""
    from aezoo.datasets import open_dataset
    from aezoo.images import check_output

    known = _find(name)
    if output is not None:
        check_output(output, (".json",))
    dataset = dataset or known.dataset
    if dataset is None:
        raise click.UsageError(f"Say with --dataset on what to measure {name}.")
    for source in (dataset, train):
        if source is not None and _is_file(source):
            open_dataset(source)  # what is missing or broken is told at once
    model = _load(known)
    names: Any = _joined(metrics)
    if names is not None and "all" in names:
        names = "all"
    report = aezoo.evaluate(model, dataset, metrics=names, train=train, **settings)
    _print_left_out(report)
    if output is not None:
        from aezoo.files import atomic_path

        with atomic_path(output) as temporary:
            temporary.write_text(report.to_json() + "\n", encoding="utf-8")
    if as_json:
        click.echo(report.to_json())
        return
    _print_report(report)
    if output is not None:
        _report_file(output, _count(len(report), "metric"))


def _is_file(source: str) -> bool:
    """Whether a dataset is meant as a path, and is no folder."""
    return (source.endswith(".npz") or "/" in source) and not Path(source).is_dir()


def _print_left_out(report: "Report") -> None:
    metrics_by_reason: dict[str, list[str]] = {}
    for metric, reason in report.left_out.items():
        metrics_by_reason.setdefault(_one_line(reason), []).append(metric)
    for reason, those in metrics_by_reason.items():
        click.echo(f"Left out {', '.join(those)}: {reason}", err=True)


def _print_report(report: "Report") -> None:
    reports = [report, *report.baselines.values()]
    rows = [
        [
            metric,
            *(
                _figure(r.metrics[metric]) if metric in r.metrics else ""
                for r in reports
            ),
            record.unit,
        ]
        for metric, record in report.metrics.items()
    ]
    header = ["metric", report.model, *report.baselines, "unit"]
    _print_table(header, rows, numeric=range(1, len(reports) + 1))
    # Every protocol begins with the images, which are the same for all.
    images = next(iter(report.metrics.values())).protocol.partition("; ")[0]
    click.echo(f"\nMeasured on {images}:")
    for metric, record in report.metrics.items():
        click.echo(f"  {metric}: {record.protocol.removeprefix(f'{images}; ')}.")


def _figure(record: "Metric") -> str:
    """A value with as many digits as its standard error tells, and that error."""
    error = record.standard_error
    if not error:
        return f"{record.value:.6g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{record.value:.{digits}f} ± {error:.{digits}f}"


@main.command()
@click.argument("name", required=False, shell_complete=_complete_name)
@_json
def metrics(name: str | None, as_json: bool) -> None:
    """List the metrics of `aezoo evaluate`, or those that model NAME can have."""
    known = None if name is None else _find(name)
    with _quiet_loading("TensorFlow"):
        from aezoo.evaluation import METRICS, list_metrics
    model = None if known is None else _load(known)
    rows: list[dict[str, Any]] = []
    for metric in list_metrics(model):
        definition = METRICS[metric]
        better = {True: "higher", False: "lower", None: ""}[definition.higher_is_better]
        rows.append(
            {
                "name": metric,
                "unit": definition.unit,
                "better": better,
                "needs": ", ".join(definition.needs),
                "protocol": re.sub(r"{(\w+)}", r"<\1>", definition.protocol),
                "reference": definition.reference,
            }
        )
    if as_json:
        _print_json(rows)
        return
    columns = ("name", "better", "needs", "unit")
    _print_table(columns, [[row[c] for c in columns] for row in rows], numeric=())
    click.echo("\n`--json` says how each is measured.")


@main.command(epilog=_NAMES)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete_name)
@click.option("--all", "everything", is_flag=True, help="All models and extractors.")
@_json
def verify(names: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Check the files of models NAME, and that they compute what was published.

    The SHA-256 of weights and golden tensors, the manifest's entry (of a folder: its
    aezoo.json), and how far what is computed here - codes, posterior, reconstruction,
    seeded samples - is from the golden tensors.
    """
    from aezoo import manifest

    if everything == bool(names):
        raise click.UsageError("Name models to verify, or pass --all; not both.")
    extractors = manifest.extractors()
    if everything:
        names = (*aezoo.list_models(), *extractors)
    for name in names:
        if name not in extractors and not _is_own(name):
            aezoo.describe(name)
    with _quiet_loading("TensorFlow"):
        from aezoo.verification import verify as check
    width = max(map(len, names))
    verifications = []
    for name in with_progress(names, "Verifying", "model") if as_json else names:
        verifications.append(check(name))
        if not as_json:
            _print_verification(verifications[-1], width)
    if as_json:
        _print_json([verification.to_dict() for verification in verifications])
    failed = [v.name for v in verifications if not v.ok]
    if not failed:
        return
    remedy = ""
    if not all(map(_is_own, failed)):
        remedy = "`pip install --force-reinstall --no-deps aezoo` restores damaged "
        remedy += "files. "
    raise click.ClickException(
        f"{len(failed)} of {_count(len(names), 'model')} failed: {', '.join(failed)}. "
        f"{remedy}If golden tensors still deviate, report what "
        f"`aezoo verify {failed[0]} --json` prints."
    )


def _print_verification(verification: "Verification", width: int) -> None:
    total, failures = len(verification.checks), verification.failures
    line = f"{verification.name:<{width}}  {total - len(failures)}/{total} checks"
    if verification.worst is not None:
        deviation, tolerance = (
            verification.worst.deviation,
            verification.worst.tolerance,
        )
        line += f", largest deviation {deviation:7.1e}, tolerance {tolerance:g}"
    if failures:
        line = click.style(f"{line}  FAILED", fg="red", bold=True)
    click.echo(line)
    for failure in failures:
        click.echo(f"  {failure.what}: {failure.detail}")


# --- The Hub -------------------------------------------------------------------------


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete_name)
@click.option("--all", "everything", is_flag=True, help="All models that are there.")
@_cache_dir
def download(names: tuple[str, ...], everything: bool, cache_dir: Path | None) -> None:
    """Fetch models from the Hub into its cache.

    NAME is a model that `aezoo list` shows, hf://organisation/name or
    hf://organisation/name@revision. The hash of every file is checked; what is fetched
    needs no network any more. Private repositories need `hf auth login` or HF_TOKEN.
    """
    from aezoo import cache

    if everything == bool(names):
        raise click.UsageError("Name models to download, or pass --all; not both.")
    for name in names:
        if not name.startswith("hf://") and _is_own(name):
            raise click.BadParameter(f"{name} is a folder on this machine already.")
    places = cache.find_places(None if everything else names, cache_dir=cache_dir)
    if everything:
        rest = len(aezoo.list_models()) - len(places)
        click.echo(f"{_count(len(places), 'model')} on the Hub; {rest:,} bundled only.")
    if len(places) > 1:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()  # one bar for all, not one for each
    if any(name.startswith("hf://") for name in places):
        with _quiet_loading("TensorFlow"):
            from aezoo import folder  # noqa: F401  # reads `aezoo.json`
    found = list(
        with_progress(cache.fetch_each(places), "Downloading", "model", len(places))
    )
    found.sort(key=lambda each: list(places).index(each.name))
    _print_downloads(found)
    failed = [each.name for each in found if each.error is not None]
    if failed:
        raise click.ClickException(
            f"{len(failed)} of {_count(len(found), 'model')} could not be downloaded: "
            f"{', '.join(failed)}. The same command tries these again."
        )


def _print_downloads(found: Sequence["Download"]) -> None:
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        if each.error is not None:
            click.echo(f"{each.name:<{width}}  FAILED")
            click.echo(f"  {_one_line(str(each.error))}")
            continue
        state = "from the Hub" if each.is_new else "in the cache already"
        click.echo(f"{each.name:<{width}}  {state:<20}  {_size(each.bytes):>8}")
    fetched = [each for each in found if each.is_new]
    cached = [each for each in found if each.path is not None and not each.is_new]
    click.echo(
        f"{_count(len(fetched), 'model')} from the Hub "
        f"({_size(sum(each.bytes for each in fetched))}), {len(cached):,} in the cache "
        "already."
    )


@main.command("cache")
@_cache_dir
@click.option("--verify", "check", is_flag=True, help="Check the hash of every file.")
@click.option(
    "--prune",
    is_flag=True,
    help="Remove outdated commits, interrupted downloads and, with --verify, damaged "
    "files.",
)
@click.option("--yes", is_flag=True, help="Prune without asking.")
@_json
def cache_command(
    cache_dir: Path | None, check: bool, prune: bool, yes: bool, as_json: bool
) -> None:
    """List the models on this machine: bundled, and in the Hub's cache.

    Of the cache, which other libraries share, only repositories of aezoo are listed or
    touched. A commit is pinned by the manifest, current for a branch or tag, or
    outdated.
    """
    from aezoo import cache

    if yes and not prune:
        raise click.UsageError("--yes belongs to --prune.")
    say = (lambda _: None) if as_json else click.echo
    report: dict[str, Any] = {}
    if as_json or not (check or prune):
        found = cache.contents(cache_dir)
        report = found.to_dict()
        say(_contents_text(found))
    damaged = []
    if check:
        checks = cache.check_files(cache_dir)
        damaged = [each for each in checks if each.damage is not None]
        for each in damaged:
            say(f"{each.path}: {_one_line(str(each.damage))}. {each.remedy}")
        say(f"{_count(len(checks), 'file')} checked, {len(damaged):,} damaged.")
        report["damaged"] = [dataclasses.asdict(each) for each in damaged]
    if prune:
        unwanted = [each.path for each in damaged]
        pruned = cache.prune(cache_dir, damaged=unwanted, dry_run=True)
        say(_pruning_text(pruned))
        if pruned.is_needed:
            if not yes:
                question = f"Remove these and free {_size(pruned.bytes)}?"
                click.confirm(question, abort=True, err=True)
            pruned = cache.prune(cache_dir, damaged=unwanted)
            say(f"Removed: {_size(pruned.bytes)} are free again.")
        damaged = [each for each in damaged if each.path not in pruned.damaged]
        report["pruned"] = pruned.to_dict()
    if as_json:
        click.echo(json.dumps(report, indent=2, default=str))
    if damaged:
        raise click.ClickException(
            f"{_count(len(damaged), 'file')} damaged: "
            f"{', '.join(str(each.path) for each in damaged)}. {damaged[0].remedy}"
        )


def _contents_text(found: "Contents") -> str:
    header = ("model", "commit", "state", "size", "folder")
    rows: list[Sequence[str]] = [
        (each.name, "", "bundled", _size(each.bytes), "") for each in found.bundled
    ]
    for revision in found.revisions:
        state = "pinned" if revision.names else ", ".join(revision.refs) or "outdated"
        address, commit = f"hf://{revision.repo_id}", revision.commit[:12]
        size = _size(revision.bytes)
        rows.append((address, commit, state, size, str(revision.path)))
    lines = [*_table_lines(header, rows, numeric={3}), ""] if rows else []
    for path, reason in found.unreadable.items():
        lines.append(f"Cannot be read: {path}: {_one_line(reason)}")
    for folder in sorted({str(each.path.parent) for each in found.bundled}):
        total = _size(sum(each.bytes for each in found.bundled))
        lines.append(f"{_count(len(found.bundled), 'model')} ({total}) in {folder}")
    models = {revision.repo_id for revision in found.revisions}
    lines.append(
        f"{_count(len(models), 'model')} ({_size(found.bytes)}) in the cache "
        f"{found.cache_dir}"
    )
    outdated = sum(each.is_outdated for each in found.revisions)
    useless = [_count(outdated, "outdated commit")] if outdated else []
    if found.interrupted:
        useless.append(_count(len(found.interrupted), "interrupted download"))
    if useless:
        lines.append(f"`aezoo cache --prune` removes {' and '.join(useless)}.")
    return "\n".join(lines)


def _pruning_text(plan: "Pruning") -> str:
    if not plan.is_needed:
        return "There is nothing to prune."
    removed = [("outdated", revision.path) for revision in plan.revisions]
    removed += [("interrupted", download.path) for download in plan.interrupted]
    removed += [("damaged", path) for path in plan.damaged]
    return "\n".join(f"{why:<11}  {path}" for why, path in removed)


# --- What commands share -------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Model:
    """What is known of a model before it is loaded, and how to load it."""

    name: str
    family: str
    input_shape: tuple[int, ...]
    latent_dim: int
    tasks: Collection[str]
    dataset: str | None
    samplers: Collection[str]
    load: Callable[[], "Autoencoder"]


def _find(name: str) -> _Model:
    """A model by its name, folder or address."""
    if not _is_own(name):
        entry = aezoo.describe(name)
        return _Model(
            name,
            entry.family,
            entry.input_shape,
            entry.latent_dim,
            entry.tasks,
            entry.data.name,
            tuple(entry.samplers),
            lambda: aezoo.load(name),
        )
    own, path, root = _open_own(name)
    from aezoo import hub

    return _Model(
        name,
        own.family,
        own.input_shape,
        math.prod(own.latent_shape),
        hub.entry_class(own).TASKS,
        None,
        tuple(own.samplers),
        lambda: hub.load_folder(path, root),
    )


def _is_own(name: str) -> bool:
    """Whether a name means a folder or a repository, not a model of the zoo."""
    from aezoo import sources

    return sources.is_address(name) or sources.as_folder(name) is not None


def _open_own(name: str) -> "tuple[FolderEntry, Path, Path | None]":
    """The entry of a folder or repository; the folder, and what links may lead into."""
    with _quiet_loading("TensorFlow"):
        from aezoo import folder, hub
    found = hub.find_folder(name)
    path, root, entry = cast("tuple[Path, Path | None, Any]", found)  # see `_is_own`
    return entry or folder.read_entry(path, root), path, root


def _read(paths: Sequence[Path], model: _Model, invert: bool) -> "np.ndarray":
    """Images in the model's shape, uint8; prints what was converted."""
    import numpy as np

    from aezoo.images import read_image

    images, notes = [], {}
    for path in with_progress(paths, "Reading", unit="image"):
        pixels, note = read_image(path, model.input_shape, invert)
        images.append(pixels)
        if note:
            notes[path] = note
    if len(notes) <= _MAX_NOTES:
        for path, note in notes.items():
            click.echo(f"{path}: {note}")
    else:
        _print_notes(Counter(notes.values()))
    return np.stack(images)


def _print_notes(notes: Mapping[str, int]) -> None:
    """The most frequent conversions, and how many others there were."""
    named = Counter({note: times for note, times in notes.items() if note})
    common = named.most_common(_MAX_NOTES)
    for note, times in common:
        click.echo(f"{_count(times, 'image')}: {note}")
    rest = sum(notes.values()) - sum(times for _, times in common)
    if rest:
        click.echo(f"{_count(rest, 'more image')} converted by the same rule.")


def _load(model: _Model) -> "Autoencoder":
    with _quiet_loading(model.name):
        return model.load()


@contextlib.contextmanager
def _quiet_loading(what: str) -> Iterator[None]:
    """Hide what TensorFlow prints while it is imported; show a spinner instead.

    Some of its lines come before its logging is set up and obey no setting, so the
    process's stderr itself is put aside. A user who sets TF_CPP_MIN_LOG_LEVEL sees
    everything.
    """
    if "keras" in sys.modules or _LOG_LEVEL in os.environ:
        yield
        return
    os.environ[_LOG_LEVEL] = "3"
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        terminal = stack.enter_context(os.fdopen(os.dup(2), "w", encoding="utf-8"))
        if terminal.isatty():
            from rich.console import Console

            stack.enter_context(Console(file=terminal).status(f"Loading {what} …"))
        sink = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        os.dup2(sink.fileno(), 2)
        stack.callback(os.dup2, terminal.fileno(), 2)
        yield


def _write_grid(
    path: Path, images: Any, columns: int | None = None, quiet: bool = False
) -> None:
    from aezoo.images import grid_image, write_image

    picture = grid_image(images, columns)
    write_image(path, picture)
    if not quiet:
        _report_file(path, f"{picture.shape[1]} x {picture.shape[0]} pixels")


def _report_file(path: Path, detail: str) -> None:
    click.echo(f"Wrote {path} ({detail}, {_size(path.stat().st_size)}).")


def _size(n: int) -> str:
    """Bytes, readably."""
    if n >= 1e6:
        return f"{n / 1e6:.1f} MB"
    return f"{max(1, n // 1000)} kB" if n else "0 kB"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
