"""Fit a sampler to the codes of a model of the zoo, and keep it beside the weights.

    python -m training.samplers conv_ae_mnist_z32 --kind gmm
    python -m training.samplers conv_ae_mnist_z32 --kind gmm --bundle

Fits on the whole training split of the model's dataset. The first form extends the
export of a run in `runs/<name>/export`; `--bundle` extends what the package ships.
Writes the file `<name>.<kind>.npz`, and its size and hash into the manifest. The same
command gives the same bytes.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
from msgspec.structs import replace

from aezoo import manifest
from aezoo.data import datasets
from aezoo.errors import AezooError
from aezoo.manifest import weights_folder
from aezoo.samplers import KINDS, Sampler, fit_sampler, read_sampler, sampler_bytes
from aezoo.store.load import load_entry
from aezoo.utils.files import path_inside
from training.export import ROOT, check_writable, read_entry
from training.files import edited_manifest, put_files, remove_unused


def fit(
    name: str,
    kind: str,
    weights_folder: Path,
    manifest_file: Path,
    *,
    seed: int = 0,
    data_dir: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Sampler:
    """Fit a sampler of a model in a manifest, and write its file and entry.

    Args:
        name: The model's name.
        kind: As in `aezoo.samplers.fit_sampler`.
        weights_folder: Where its weights are, and the sampler goes.
        manifest_file: The manifest to extend.
        seed: Seed of the fit.
        data_dir: As in `aezoo.datasets.load_dataset`.
        options: Of the kind.

    Returns:
        The sampler, as it is read from its file.

    Raises:
        UnknownModelError: If the manifest has no such model.
        ChecksumError: If the weights are not the manifest's.
    """
    entry = read_entry(name, manifest_file)
    check_writable(weights_folder)
    weights = path_inside(weights_folder, entry.weights.file)
    remedy = f"Train it again: `python -m training.train {name}`."
    model = load_entry(entry, weights, remedy)
    data = datasets.load_dataset(entry.data.name, entry.data.split, data_dir)
    sampler = fit_sampler(
        model, data.examples, kind, seed, data.labels, **(options or {})
    )
    contents = {f"{kind}.npz": sampler_bytes(sampler)}
    with edited_manifest(manifest_file) as document:
        (file,) = put_files(name, contents, weights_folder, document).values()
        known = document.models[name]
        samplers = {**known.samplers, kind: file}
        document.models[name] = replace(known, samplers=samplers)
    remove_unused(name, weights_folder, document)
    path = weights_folder / file.file
    return read_sampler(path, kind, entry.latent_shape, file, "Fit it again.")


@click.command(help=__doc__)
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default="gmm", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--num-components", type=click.IntRange(1), help="Of gmm.")
@click.option("--num-pseudo-inputs", type=click.IntRange(1), help="Of vamp.")
@click.option("--num-steps", type=click.IntRange(1), help="Of flow.")
@click.option("--layers", type=click.IntRange(1), help="Of autoregressive.")
@click.option("--heads", type=click.IntRange(1), help="Of autoregressive.")
@click.option("--width", type=click.IntRange(1), help="Of flow, autoregressive.")
@click.option("--epochs", type=click.IntRange(1), help="Of flow, autoregressive.")
@click.option(
    "--class-conditional", is_flag=True, default=None, help="Of autoregressive."
)
@click.option("--bundle", is_flag=True, help="Extend what the package ships.")
@click.option("--out", type=click.Path(path_type=Path), help="Run; default runs/NAME.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Of TFDS.")
def main(
    name: str,
    kind: str,
    seed: int,
    bundle: bool,
    out: Path | None,
    data_dir: Path | None,
    **options: Any,
) -> None:
    """Command line of `fit`."""
    export = (out or Path("runs") / name) / "export"
    folder = weights_folder() if bundle else export
    manifest_file = (ROOT if bundle else export) / manifest.MANIFEST_NAME
    given = {key: value for key, value in options.items() if value is not None}
    try:
        sampler = fit(
            name,
            kind,
            folder,
            manifest_file,
            seed=seed,
            data_dir=data_dir,
            options=given,
        )
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    path = folder / f"{name}.{kind}.npz"
    click.echo(f"{path}: {sampler.describe()}, {path.stat().st_size:,} bytes.")


if __name__ == "__main__":
    main()
