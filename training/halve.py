"""Store bundled weights in half precision, as new ones are: half the bytes.

    python -m training.halve dense_ae_mnist_z2
    python -m training.evaluate dense_ae_mnist_z2 --write

Rounds the weights, and writes their file, hash and golden tensors anew. The figures in
the manifest are those of the unrounded weights until the second command.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
from msgspec.structs import replace

from aezoo import manifest
from aezoo.errors import AezooError
from aezoo.manifest import weights_folder
from aezoo.store.load import load_entry
from aezoo.utils.files import path_inside
from training.export import (
    ROOT,
    model_files,
    read_entry,
    refuse_published,
    stated,
)
from training.files import edited_manifest, put_files, remove_unused
from training.half import round_weights


def halve(name: str, folder: Path, manifest_file: Path) -> tuple[int, int]:
    """Round the weights of a model of a zoo, and store them as float16.

    Args:
        name: The model's name.
        folder: Where its weights are.
        manifest_file: The manifest that holds it.

    Returns:
        Bytes of the file before and after; the same, if it was stored so already.

    Raises:
        UnknownModelError: If the manifest has no such model.
        ManifestError: If the weights are published, and so immutable.
        ChecksumError: If the weights are not the manifest's.
        ValueError: If a weight is too large for float16.
    """
    entry = read_entry(name, manifest_file)
    if entry.weights.dtype == "float16":
        return entry.weights.bytes, entry.weights.bytes
    refuse_published(name, manifest_file)
    path = path_inside(folder, entry.weights.file)
    remedy = f"Train it again: `python -m training.train {name}`."
    model = load_entry(entry, path, remedy)
    round_weights(model)
    with edited_manifest(manifest_file) as document:
        files = put_files(name, model_files(model), folder, document)
        weights, golden = stated(files, model)
        document.models[name] = replace(
            document.models[name], weights=weights, golden=golden
        )
    remove_unused(name, folder, document)
    return entry.weights.bytes, weights.bytes


@click.command(help=__doc__)
@click.argument("names", nargs=-1, required=True)
def main(names: tuple[str, ...]) -> None:
    """Command line."""
    try:
        for name in names:
            sizes = halve(name, weights_folder(), ROOT / manifest.MANIFEST_NAME)
            click.echo(f"{name}: {sizes[0]:,} -> {sizes[1]:,} bytes")
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
