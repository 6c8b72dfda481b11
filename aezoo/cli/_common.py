"""What all commands share: the group, parameters, models, output."""

import contextlib
import dataclasses
import errno
import importlib
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import aezoo
from aezoo.cli._terminal import echo, printable, printable_errors
from aezoo.errors import AezooError
from aezoo.utils.progress import with_progress
from aezoo.utils.text import plural

if TYPE_CHECKING:
    import numpy as np
    from click.shell_completion import CompletionItem

    from aezoo.modalities import Modality
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.store.entry import OwnEntry

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Conversions of single files that are printed before the rest is counted.
MAX_NOTES = 5


# The modules of the commands, each imported when one of its commands is named.
MODULES = {
    "compression": ("compress", "decompress", "rate"),
    "exploring": ("explore",),
    "exporting": ("export",),
    "features": ("cluster", "encode", "nearest", "outliers"),
    "hub": ("cache", "download"),
    "lookup": ("describe", "leaderboard", "list"),
    "measuring": ("evaluate", "metrics", "verify"),
    "pictures": (
        *("demo", "edit", "inpaint", "interpolate", "mesh"),
        *("reconstruct", "restore", "sample", "traverse"),
    ),
    "training": ("train",),
}
_MODULE_OF = {name: module for module, names in MODULES.items() for name in names}


class _FriendlyGroup(click.Group):
    """Imports a command when it is named, and ends errors as one line and exit code 1.

    Errors are those that a user can provoke.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_MODULE_OF)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _MODULE_OF:
            importlib.import_module(f"aezoo.cli.{_MODULE_OF[cmd_name]}")
        return super().get_command(ctx, cmd_name)

    def all_commands(self) -> dict[str, click.Command]:
        """All commands by name, imported."""
        with click.Context(self) as context:
            found = {
                n: self.get_command(context, n) for n in self.list_commands(context)
            }
        return {name: command for name, command in found.items() if command}

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with printable_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with printable_errors():
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
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
            raise click.ClickException(one_line(message)) from error
        except (AezooError, ValueError) as error:
            raise click.ClickException(one_line(str(error))) from error


def one_line(text: str) -> str:
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


class Names(click.ParamType):
    """Names separated by commas."""

    name = "names"

    def convert(self, value: Any, param: Any, ctx: Any) -> list[str]:
        if isinstance(value, list):
            return value
        names = [name.strip() for name in str(value).split(",")]
        if not all(names):
            self.fail(f"{value!r} is not like mse,psnr.", param, ctx)
        return names


class Numbers(click.ParamType):
    """Numbers separated by commas."""

    name = "numbers"

    def __init__(
        self, kind: Callable[[str], float] = float, example: str = "-3,-1.5,0,1.5,3"
    ) -> None:
        self.kind, self.example = kind, example

    def convert(self, value: Any, param: Any, ctx: Any) -> list[float]:
        if isinstance(value, list):
            return value
        try:
            return [self.kind(number) for number in str(value).split(",")]
        except ValueError:
            self.fail(f"{value!r} is not like {self.example}.", param, ctx)


def complete_name(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem

    if "/" in incomplete or incomplete.startswith((".", "~")):
        return [CompletionItem(incomplete, type="dir")]
    names = aezoo.list_models()
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


Command = Callable[..., Any]
name_argument = click.argument("name", shell_complete=complete_name)
NAMES = (
    "NAME is a model that `aezoo list` shows, a folder that `aezoo.save` wrote, e.g. "
    "./my_vae, or a model on the Hub, hf://organisation/name or "
    "hf://organisation/name@revision."
)
cache_dir_option = click.option(
    "--cache-dir",
    type=click.Path(path_type=Path),
    help="Cache of the Hub's client. [default: as HF_HUB_CACHE and HF_HOME say]",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="TFDS data directory, or folder of <name>/<split>.npz. [default: TFDS's own]",
)
invert_option = click.option(
    "--invert", is_flag=True, help="For dark ink on light paper: swap dark and bright."
)


strict_option = click.option(
    "--strict", is_flag=True, help="Of text: refuse words outside the vocabulary."
)


def seed_option(help: str) -> Callable[[Command], Command]:
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        default=0,
        show_default=True,
        help=help,
    )


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def examples_argument(
    name: str, nargs: int = 1, required: bool = True
) -> Callable[[Command], Command]:
    """What `read_examples` takes: files, or of text sentences."""
    return click.argument(name, type=click.Path(), nargs=nargs, required=required)


def output_option(what: str, **options: Any) -> Callable[[Command], Command]:
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        help=f"{what} to write.",
        **options,
    )


READING = (
    "Images of another size or mode are converted, and each conversion is printed: "
    "upright as EXIF says, 16 bits to 8, transparency on black (on white with "
    "--invert), grey or RGB, Lanczos to the model's size with the aspect ratio kept, "
    "centred on black."
)


@dataclasses.dataclass(frozen=True)
class Model:
    """What is known of a model before it is loaded, and how to load it."""

    name: str
    family: str
    modality: "Modality"
    latent_dim: int
    tasks: Collection[str]
    dataset: str | None
    samplers: Collection[str]
    load: Callable[[], "Autoencoder"]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.modality.shape


def engine_option(command: Command) -> Command:
    return click.option(
        "--engine",
        type=click.Choice(["keras", "onnx"]),
        default="keras",
        show_default=True,
        help="What computes. onnx: ONNX Runtime, without TensorFlow once the model has "
        "been exported; NAME may also be a folder that `aezoo export` wrote.",
    )(command)


def find_model(name: str, engine: str = "keras") -> Model:
    """A model by its name, folder or address; of another engine, loaded already."""
    if engine != "keras":
        with quiet_loading(name):
            exported: Any = aezoo.load(name, engine="onnx")
        return Model(
            name,
            exported.family,
            exported.modality,
            exported.latent_dim,
            exported.TASKS,
            None,
            tuple(exported.samplers),
            lambda: exported,
        )
    from aezoo.engines.entry import is_only_exported
    from aezoo.store.entry import modality_of
    from aezoo.store.reference import as_folder

    folder = as_folder(name)
    if folder is not None and is_only_exported(folder):
        raise click.UsageError(
            f"The folder {folder} holds exported graphs, which Keras does not read. "
            "Add `--engine onnx`."
        )
    if not is_own(name):
        entry = aezoo.describe(name)
        return Model(
            name,
            entry.family,
            modality_of(entry),
            entry.latent_dim,
            entry.tasks,
            entry.data.name,
            tuple(entry.samplers),
            lambda: aezoo.load(name),
        )
    own, path, root = open_own(name)
    from aezoo.registry import find_family
    from aezoo.store.load import check_entry, load_folder

    check_entry(own)
    return Model(
        name,
        own.family,
        modality_of(own),
        math.prod(own.latent_shape),
        find_family(own.family).objective.TASKS,
        None,
        tuple(own.samplers),
        lambda: load_folder(path, root),
    )


def is_own(name: str) -> bool:
    """Whether a name means a folder or a repository, not a model of the zoo."""
    from aezoo.store import reference

    return reference.is_own(name)


def open_own(name: str) -> "tuple[OwnEntry, Path, Path | None]":
    """The entry of a folder or repository; the folder, and what links may lead into."""
    with quiet_loading("TensorFlow"):
        import aezoo.store.load  # noqa: F401  # Keras, behind the spinner
    from aezoo.store.reference import read_own_entry, resolve

    path, root = resolve(name).model_folder()
    return read_own_entry(path, root), path, root


def read_examples(
    sources: Sequence[str], model: Model, **options: bool
) -> "np.ndarray":
    """Examples from files, as the model has them; prints what was converted.

    Args:
        sources: What a command was given: paths, or sentences.
        model: The model.
        **options: Of reading, such as `invert`; False leaves one out.
    """
    import numpy as np

    modality = model.modality
    options = {name: value for name, value in options.items() if value}
    for option in options:
        if option not in modality.read_options:
            raise click.UsageError(
                f"--{option} is not for {modality.nouns}, which {model.name} takes."
            )
    examples, notes = [], {}
    for source in with_progress(sources, "Reading", unit=modality.noun):
        found, note = modality.read_many(source, **options)
        examples.append(found)
        if note:
            notes[source] = note
    if len(notes) <= MAX_NOTES:
        for path, note in notes.items():
            echo(f"{path}: {note}")
    else:
        print_notes(Counter(notes.values()))
    return np.concatenate(examples)


def given_option(command: Command) -> Command:
    return click.option(
        "--given",
        "told",
        type=Told(),
        multiple=True,
        metavar="NAME=FILE",
        help="What the model must be told beside each example; may be repeated, once "
        "for all examples or once for each.",
    )(command)


class Told(click.ParamType):
    """A condition and what it is read from: `NAME=FILE`."""

    name = "condition"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, separator, source = str(value).partition("=")
        if not (name and separator and source):
            self.fail(f"{value!r} is not like name=file.", param, ctx)
        return name, source


def read_given(
    told: Sequence[tuple[str, str]], model: Any, n: int
) -> "dict[str, np.ndarray]":
    """What a model is told of `n` examples, from files; prints what was converted.

    Args:
        told: Names, and paths or what else the modality reads.
        model: The model, loaded.
        n: How many examples.

    Raises:
        ValueError: If something is missing, superfluous, or of another number.
    """
    import numpy as np

    read: dict[str, list[np.ndarray]] = {}
    for name, source in told:
        if name not in model.given:
            raise model.not_told(name, model.given)
        rows, note = model.given[name].read_many(source)
        read.setdefault(name, []).append(rows)
        if note:
            echo(f"{source}: {note}")
    found = {name: np.concatenate(rows) for name, rows in read.items()}
    for name, rows in found.items():
        if len(rows) not in (1, n):
            raise click.UsageError(
                f"Pass --given {name}=... once, or for each of the "
                f"{count_of(n, model.modality.noun)}. Received: {len(rows)}."
            )
    return model.check_all(
        n, {name: v[0] if len(v) == 1 else v for name, v in found.items()}
    )


def files_of(sources: Sequence[str], suffixes: Collection[str]) -> list[str]:
    """What a command was given, with the files of each folder in its place, by name.

    Args:
        sources: Paths, or what else stands for examples.
        suffixes: Of the files that count.

    Raises:
        UsageError: If a folder has no such file.
    """
    from aezoo.data.files import example_files

    found: list[str] = []
    for source in sources:
        if not Path(source).is_dir():
            found.append(source)
            continue
        names = [
            str(Path(source) / name)
            for name in example_files(Path(source), tuple(suffixes))
        ]
        if not names:
            raise click.UsageError(
                f"The folder {source} holds no file that ends in {', '.join(suffixes)}."
            )
        found += names
    return found


def check_shown(model: Model, output: Path | None) -> None:
    """Refuse an output that examples of a model cannot be written to.

    Raises:
        UsageError: If there is none, and the examples cannot be printed.
        ValueError: If its suffix is unknown, or its folder does not exist.
    """
    if model.modality.is_text:
        return
    from aezoo.modalities.image.files import OUTPUT_SUFFIXES
    from aezoo.utils.files import check_output

    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    check_output(output, (*OUTPUT_SUFFIXES, *model.modality.outputs))


def show(
    model: Model,
    x: Any,
    output: Path | None,
    columns: int | None = None,
    quiet: bool = False,
    given: "Mapping[str, np.ndarray] | None" = None,
) -> None:
    """Write examples as a picture, or in a form of their own; or print them.

    Args:
        model: The model that they are of.
        x: Examples, `(n, *shape)`.
        output: The file; None prints them.
        columns: Examples per row of a picture; None chooses.
        quiet: Do not say what was written.
        given: What the model was told of each, by name.
    """
    from aezoo.modalities.image.files import write_image
    from aezoo.utils.files import atomic_path

    modality = model.modality
    if output is not None and output.suffix.lower() in modality.outputs:
        with atomic_path(output) as temporary:
            modality.write_many(x, temporary)
        if not quiet:
            report_file(output, count_of(len(x), modality.noun))
        return
    preview = modality.preview_given(x, given or {}, columns)
    if preview.picture is not None and output is not None:
        write_image(output, preview.picture)
        height, width = preview.picture.shape[:2]
        if not quiet:
            report_file(output, f"{width} x {height} pixels")
        return
    for line in preview.lines:
        echo(line)
    if output is not None:
        with atomic_path(output) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in preview.lines))
    if output is not None and not quiet:
        report_file(output, count_of(len(preview.lines), "line"))


def print_notes(notes: Mapping[str, int]) -> None:
    """The most frequent conversions, and how many others there were."""
    named = Counter({note: times for note, times in notes.items() if note})
    common = named.most_common(MAX_NOTES)
    for note, times in common:
        echo(f"{count_of(times, 'file')}: {note}")
    rest = sum(notes.values()) - sum(times for _, times in common)
    if rest:
        echo(f"{count_of(rest, 'more file')} converted by the same rule.")


def load_model(model: Model) -> "Autoencoder":
    with quiet_loading(model.name):
        return model.load()


@contextlib.contextmanager
def quiet_loading(what: str) -> Iterator[None]:
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
            from rich.markup import escape

            status = f"Loading {escape(printable(what))} …"
            stack.enter_context(Console(file=terminal).status(status))
        sink = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        os.dup2(sink.fileno(), 2)
        stack.callback(os.dup2, terminal.fileno(), 2)
        yield


def report_file(path: Path, detail: str) -> None:
    echo(f"Wrote {path} ({detail}, {size_of(path.stat().st_size)}).")


def size_of(n: int) -> str:
    """Bytes, readably."""
    if n >= 1e6:
        return f"{n / 1e6:.1f} MB"
    return f"{max(1, n // 1000)} kB" if n else "0 kB"


def count_of(n: int, noun: str) -> str:
    return f"{n:,} {noun if n == 1 else plural(noun)}"


def joined(lists: tuple[list[str], ...]) -> list[str] | None:
    """The names of a repeated option; None if it was not given."""
    return [name for names in lists for name in names] or None


def table_lines(
    header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Collection[int]
) -> list[str]:
    """Plain aligned columns: rich's table costs more time than everything else."""
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if j in numeric else cell.ljust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Collection[int]
) -> None:
    head, *lines = table_lines(header, rows, numeric)
    echo(head, bold=True)
    for line in lines:
        echo(line)
