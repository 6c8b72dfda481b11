"""The command `explore`: models in the browser."""

from pathlib import Path

import click

import aezoo
from aezoo.cli._common import (
    NAMES,
    complete_name,
    engine_option,
    find_model,
    main,
    quiet_loading,
    report_file,
)
from aezoo.cli._terminal import echo
from aezoo.utils.extras import check_installed

FIRST = "conv_vae_mnist_z16"


@main.command(epilog=NAMES)
@click.argument("name", required=False, shell_complete=complete_name)
@click.option(
    "--port",
    type=click.IntRange(1024, 65535),
    help="Of this machine. [default: the first free one from 7860 on]",
)
@click.option(
    "--share",
    is_flag=True,
    help="Also at a public address of Gradio's, through whose servers the data goes.",
)
@click.option(
    "--export-space",
    "space",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the page as a Hugging Face Space into DIR, and serve nothing.",
)
@engine_option
def explore(
    name: str | None, port: int | None, share: bool, space: Path | None, engine: str
) -> None:
    """Open a page on which to move through the codes of models.

    It begins with model NAME, and is served to this machine alone.
    """
    check_installed("gradio", "explore", "`aezoo explore`")
    names, first = list(aezoo.list_models()), name or FIRST
    if first not in names:
        find_model(first, engine)  # fails before anything is served
        names.insert(0, first)
    with quiet_loading("Gradio"):
        from aezoo.explorer import app
        from aezoo.explorer.space import export_space
    if space is not None:
        if first not in aezoo.list_models():
            raise click.UsageError("A Space shows models of the zoo. Push NAME first.")
        export_space(space, names, first)
        report_file(space, "Space")
        return
    echo("The page stops with Ctrl+C.")
    app.run(names, first, engine=engine, port=port, share=share, report=echo)
