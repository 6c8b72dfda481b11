"""Publish a model of the zoo on the Hugging Face Hub, and pin it in the manifest.

    python -m training.publish conv_vae_mnist_z16 --repo-id organisation/name --dry-run
    python -m training.publish conv_vae_mnist_z16 --repo-id organisation/name

Creates the repository, uploads what differs in one commit, tags the version, and writes
the commit into the manifest, from which `aezoo.load(name, source="hub")` takes it.
Given again, the command does only what is still missing. The token is the one that
`hf auth login` stored, or HF_TOKEN.
"""

import dataclasses
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
from msgspec.structs import replace
from tabulate import tabulate

from aezoo import __version__, manifest
from aezoo.errors import AezooError, ManifestError
from aezoo.manifest import GoldenFile, HubLocation, WeightsEntry
from aezoo.manifest import weights_folder as bundled_folder
from aezoo.nn.weights import keras_files, read_weights_file
from aezoo.store.entry import ENTRY, GOLDEN, SAMPLERS, WEIGHTS, published_entry
from aezoo.store.folder import (
    CONFIG,
    METADATA,
    card_files,
    entry_bytes,
    file_record,
    json_bytes,
)
from aezoo.store.load import build_entry
from aezoo.store.publish import (
    Plan,
    Published,
    Target,
    find_repository,
    holds,
    plan_push,
    push_folder,
)
from aezoo.store.remote import SCHEME
from aezoo.store.verify import verify
from aezoo.utils.files import path_inside, read_verified, write_file
from training.export import ROOT, read_entry
from training.files import edited_manifest

MANIFEST = ROOT / manifest.MANIFEST_NAME
REMEDY = "Export the model again with `python -m training.train`."
REFIT = "Fit the sampler again with `python -m training.samplers`."


def publish(
    name: str,
    target: Target,
    *,
    dry_run: bool = False,
    manifest_file: Path = MANIFEST,
    weights_folder: Path | None = None,
) -> Published | None:
    """Publish a model of a manifest, and pin it there last.

    Args:
        name: Its name.
        target: Where and how.
        dry_run: Say what would be done, and write nothing.
        manifest_file: The manifest.
        weights_folder: Folder of weights and golden tensors; None for the package's.

    Returns:
        Where it is; None for a dry run.

    Raises:
        UnknownModelError: If the manifest has no such model.
        ChecksumError: If a file is not the manifest's.
        ManifestError: If the published folder would fail `aezoo.verify`, the model is
            pinned in another repository, or the repository holds other weights.
        HubError: As in `aezoo.push_to_hub`.
        ValueError: As in `aezoo.push_to_hub`.
    """
    target.check()
    entry = read_entry(name, manifest_file)
    with tempfile.TemporaryDirectory(prefix="aezoo-") as scratch:
        folder = Path(scratch)
        address = f"{SCHEME}{target.repo_id}"
        build_folder(entry, weights_folder or bundled_folder(), folder, address)
        verification = verify(folder)
        if not verification.ok:
            raise ManifestError(
                f"The model {name!r} is not what the manifest promises, so it is not "
                f"published.\n{verification!r}\n{REMEDY}"
            )
        check_immutable(entry, target)
        if dry_run:
            show(plan_push(folder, target), target)
            return None
        done = push_folder(folder, target, f"Publish {name} with aezoo {__version__}")
        report(done, target)
        if done.pull_request is None:
            pinned = entry.weights.hub
            if pinned is None or not holds(target, pinned.revision, folder):
                pinned = HubLocation(done.repo_id, done.revision)
            pinned = replace(pinned, repo_id=done.repo_id)
            pin(name, pinned, manifest_file)
            address = f"{SCHEME}{pinned.repo_id}@{pinned.revision}"
            click.echo(f"Pinned: aezoo.load({address!r})")
        return done


def build_folder(
    entry: WeightsEntry, weights_folder: Path, folder: Path, address: str
) -> None:
    """The published form of a model: its files byte by byte, the rest from the entry.

    Args:
        entry: The model's entry.
        weights_folder: Where its weights and golden tensors are.
        folder: An empty folder to fill.
        address: What `aezoo.load` will take.

    Raises:
        ChecksumError: If a file is not the manifest's.
    """
    weights = path_inside(weights_folder, entry.weights.file)
    golden = path_inside(weights_folder, entry.golden.file)
    content = read_weights_file(entry, weights, REMEDY)
    config, _ = keras_files(build_entry(entry, content, weights))
    versions = {"keras_version": entry.training.versions["keras"]}
    files = {
        CONFIG: config,
        METADATA: json_bytes(versions),
        WEIGHTS: content,
        GOLDEN: read_verified(golden, entry.golden.sha256, REMEDY),
    }
    for kind, file in entry.samplers.items():
        sampler = path_inside(weights_folder, file.file)
        files[SAMPLERS[kind]] = read_verified(sampler, file.sha256, REFIT, file.bytes)
    stated = published_entry(
        entry,
        weights=file_record(WEIGHTS, files[WEIGHTS]),
        golden=GoldenFile(GOLDEN, entry.golden.sha256),
        samplers={
            kind: file_record(SAMPLERS[kind], files[SAMPLERS[kind]])
            for kind in entry.samplers
        },
    )
    files[ENTRY] = entry_bytes(stated)
    files |= card_files(stated, files[GOLDEN], address)
    for name, data in files.items():
        write_file(folder / name, data)


def check_immutable(entry: WeightsEntry, target: Target) -> None:
    """Published weights stay what and where they are.

    Raises:
        ManifestError: If the model is pinned in another repository, or the repository
            holds other weights.
        HubError: As in `find_repository`.
    """
    place = entry.weights.hub
    if place is not None and place.repo_id != target.repo_id:
        raise ManifestError(
            f"The model {entry.name!r} is published as {place.repo_id}@"
            f"{place.revision}. Received: repo_id={target.repo_id!r}. Pass that name, "
            "or take the old place out of the manifest first."
        )
    repository = find_repository(target)
    if repository is None:
        return
    found = repository.hashes.get(WEIGHTS, entry.weights.sha256)
    if found != entry.weights.sha256:
        raise ManifestError(
            f"The repository {target.repo_id} holds other weights: expected sha256 "
            f"{entry.weights.sha256[:12]}…, received {found[:12]}…. Published weights "
            f"are immutable: choose a new name, e.g. {target.repo_id + '-v2'!r}."
        )


def pin(name: str, place: HubLocation, manifest_file: Path) -> None:
    """Write a model's place on the Hub into a manifest."""
    if read_entry(name, manifest_file).weights.hub == place:
        return
    with edited_manifest(manifest_file) as document:
        entry = document.models[name]
        document.models[name] = replace(
            entry, weights=replace(entry.weights, hub=place)
        )


# --- What is said --------------------------------------------------------------------


def show(plan: Plan, target: Target) -> None:
    """Print what publishing would do."""
    rows = [dataclasses.astuple(file) for file in plan.files]
    headers = ("file", "state", "bytes", "sha256")
    click.echo(tabulate(rows, headers, tablefmt="plain", intfmt=","))
    if plan.repository is None:
        kind = "private" if target.private else "public"
        click.echo(
            f"{target.repo_id} does not exist, or is private and this token may not "
            f"see it; it would be created as a {kind} repository."
        )
    if plan.revision is not None:
        click.echo(f"{target.repo_id} holds all of it: {plan.revision}.")
    else:
        what = "pull request" if target.create_pr else "commit"
        click.echo(f"One {what} would be made.")
    if target.tag is not None:
        click.echo(f"It would be tagged {target.tag}.")
    click.echo("Nothing was written.")


def report(done: Published, target: Target) -> None:
    """Print what publishing did."""
    if done.pull_request is not None:
        click.echo(f"Pull request: {done.pull_request}")
        click.echo(
            "After its merge, publish again without --create-pr, to tag and pin."
        )
    elif done.is_new:
        click.echo(f"Published: {done.url}, commit {done.revision}")
    else:
        click.echo(f"Unchanged: {done.url}, commit {done.revision}")
    if target.tag is not None:
        click.echo(f"Tag: {target.tag}")


@click.command(help=__doc__)
@click.argument("name")
@click.option("--repo-id", required=True, help="organisation/name.")
@click.option("--private", is_flag=True, help="Create the repository as private.")
@click.option("--create-pr", is_flag=True, help="A pull request, without tag and pin.")
@click.option("--tag", default=f"v{__version__}", show_default=True)
@click.option("--no-tag", is_flag=True, help="Do not tag the commit.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    help="A run's export, e.g. runs/NAME/export; default: what the package ships.",
)
def main(
    name: str,
    repo_id: str,
    private: bool,
    create_pr: bool,
    tag: str,
    no_tag: bool,
    dry_run: bool,
    export: Path | None,
) -> None:
    """Command line of `publish`."""
    is_tagged = not (no_tag or create_pr)
    target = Target(repo_id, private, create_pr, tag if is_tagged else None)
    manifest_file = export / manifest.MANIFEST_NAME if export else MANIFEST
    try:
        publish(
            name,
            target,
            dry_run=dry_run,
            manifest_file=manifest_file,
            weights_folder=export,
        )
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
