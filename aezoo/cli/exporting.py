"""The command `export`."""

from pathlib import Path

import click

from aezoo.cli._common import (
    NAMES,
    Names,
    count_of,
    main,
    name_argument,
    one_line,
    output_option,
    quiet_loading,
    size_of,
)
from aezoo.cli._terminal import echo


@main.command("export", epilog=NAMES)
@name_argument
@click.option(
    "--format",
    "format_",
    type=click.Choice(["onnx", "litert", "saved_model"]),
    default="onnx",
    show_default=True,
    help="ONNX files, or one SavedModel of TensorFlow.",
)
@click.option(
    "--parts",
    type=Names(),
    help="Of encode,decode,reconstruct,sample. [default: all]",
)
@click.option("--overwrite", is_flag=True, help="Replace a folder of this command.")
@output_option("Folder", required=True)
def export_command(
    name: str,
    format_: str,
    parts: list[str] | None,
    overwrite: bool,
    output: Path,
) -> None:
    """Write model NAME as graphs for other runtimes.

    The format's own runtime must reproduce the model's golden tensors before anything
    is written. `--engine onnx` of other commands takes the folder.
    """
    with quiet_loading(name):
        from aezoo.engines.export import export
    from aezoo.engines.entry import PARTS, read_entry

    folder = export(name, output, format_, parts or tuple(PARTS), overwrite=overwrite)
    entry = read_entry(folder)
    width = max(map(len, entry.graphs))
    for graph in entry.graphs:
        echo(f"{graph:<{width}}  {entry.graphs[graph].description}")
    for graph, reason in entry.left_out.items():
        echo(f"{graph:<{width}}  left out: {one_line(reason)}")
    total = sum(file.bytes for file in entry.files)
    echo(
        f"Wrote {folder} ({count_of(len(entry.graphs), 'graph')}, {size_of(total)}); "
        f"largest deviation from the golden tensors {entry.deviation:.1g}."
    )
