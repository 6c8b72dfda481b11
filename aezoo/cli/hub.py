"""Commands of the Hub and its cache: `download`, `cache`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import aezoo
from aezoo.cli._common import (
    cache_dir_option,
    complete_name,
    count_of,
    is_own,
    json_option,
    main,
    one_line,
    quiet_loading,
    size_of,
    table_lines,
)
from aezoo.cli._terminal import echo, print_json
from aezoo.utils.progress import with_progress

if TYPE_CHECKING:
    from aezoo.store.cache import Contents, Download, Pruning


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_name)
@click.option("--all", "everything", is_flag=True, help="All models that are there.")
@cache_dir_option
def download(names: tuple[str, ...], everything: bool, cache_dir: Path | None) -> None:
    """Fetch models from the Hub into its cache.

    NAME is a model that `aezoo list` shows, hf://organisation/name or
    hf://organisation/name@revision. The hash of every file is checked; what is fetched
    needs no network any more. Private repositories need `hf auth login` or HF_TOKEN.
    """
    from aezoo.store import cache

    if everything == bool(names):
        raise click.UsageError("Name models to download, or pass --all; not both.")
    for name in names:
        if not name.startswith("hf://") and is_own(name):
            raise click.BadParameter(f"{name} is a folder on this machine already.")
    places = cache.find_places(None if everything else names, cache_dir=cache_dir)
    if everything:
        rest = len(aezoo.list_models()) - len(places)
        echo(f"{count_of(len(places), 'model')} on the Hub; {rest:,} bundled only.")
    if len(places) > 1:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()  # one bar for all, not one for each
    if any(name.startswith("hf://") for name in places):
        with quiet_loading("TensorFlow"):
            from aezoo.store import folder  # noqa: F401  # reads `aezoo.json`
    found = list(
        with_progress(cache.fetch_each(places), "Downloading", "model", len(places))
    )
    found.sort(key=lambda each: list(places).index(each.name))
    _print_downloads(found)
    failed = [each.name for each in found if each.error is not None]
    if failed:
        raise click.ClickException(
            f"{len(failed)} of {count_of(len(found), 'model')} could not be "
            f"downloaded: {', '.join(failed)}. The same command tries these again."
        )


def _print_downloads(found: Sequence["Download"]) -> None:
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        if each.error is not None:
            echo(f"{each.name:<{width}}  FAILED")
            echo(f"  {one_line(str(each.error))}")
            continue
        state = "from the Hub" if each.is_new else "in the cache already"
        echo(f"{each.name:<{width}}  {state:<20}  {size_of(each.bytes):>8}")
    fetched = [each for each in found if each.is_new]
    cached = [each for each in found if each.path is not None and not each.is_new]
    echo(
        f"{count_of(len(fetched), 'model')} from the Hub "
        f"({size_of(sum(each.bytes for each in fetched))}), {len(cached):,} in the "
        "cache already."
    )


@main.command("cache")
@cache_dir_option
@click.option("--verify", "check", is_flag=True, help="Check the hash of every file.")
@click.option(
    "--prune",
    is_flag=True,
    help="Remove outdated commits, interrupted downloads and, with --verify, damaged "
    "files.",
)
@click.option("--yes", is_flag=True, help="Prune without asking.")
@json_option
def cache_command(
    cache_dir: Path | None, check: bool, prune: bool, yes: bool, as_json: bool
) -> None:
    """List the models on this machine: bundled, and in the Hub's cache.

    Of the cache, which other libraries share, only repositories of aezoo are listed or
    touched. A commit is pinned by the manifest, current for a branch or tag, or
    outdated.
    """
    from aezoo.store import cache

    if yes and not prune:
        raise click.UsageError("--yes belongs to --prune.")
    say = (lambda _: None) if as_json else echo
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
            say(f"{each.path}: {one_line(str(each.damage))}. {each.remedy}")
        say(f"{count_of(len(checks), 'file')} checked, {len(damaged):,} damaged.")
        report["damaged"] = [dataclasses.asdict(each) for each in damaged]
    if prune:
        unwanted = [each.path for each in damaged]
        pruned = cache.prune(cache_dir, damaged=unwanted, dry_run=True)
        say(_pruning_text(pruned))
        if pruned.is_needed:
            if not yes:
                question = f"Remove these and free {size_of(pruned.bytes)}?"
                click.confirm(question, abort=True, err=True)
            pruned = cache.prune(cache_dir, damaged=unwanted)
            say(f"Removed: {size_of(pruned.bytes)} are free again.")
        damaged = [each for each in damaged if each.path not in pruned.damaged]
        report["pruned"] = pruned.to_dict()
    if as_json:
        print_json(report, default=str)
    if damaged:
        raise click.ClickException(
            f"{count_of(len(damaged), 'file')} damaged: "
            f"{', '.join(str(each.path) for each in damaged)}. {damaged[0].remedy}"
        )


def _contents_text(found: "Contents") -> str:
    header = ("model", "commit", "state", "size", "folder")
    rows: list[Sequence[str]] = [
        (each.name, "", "bundled", size_of(each.bytes), "") for each in found.bundled
    ]
    for revision in found.revisions:
        state = "pinned" if revision.names else ", ".join(revision.refs) or "outdated"
        address, commit = f"hf://{revision.repo_id}", revision.commit[:12]
        size = size_of(revision.bytes)
        rows.append((address, commit, state, size, str(revision.path)))
    lines = [*table_lines(header, rows, numeric={3}), ""] if rows else []
    for path, reason in found.unreadable.items():
        lines.append(f"Cannot be read: {path}: {one_line(reason)}")
    for folder in sorted({str(each.path.parent) for each in found.bundled}):
        total = size_of(sum(each.bytes for each in found.bundled))
        lines.append(f"{count_of(len(found.bundled), 'model')} ({total}) in {folder}")
    models = {revision.repo_id for revision in found.revisions}
    lines.append(
        f"{count_of(len(models), 'model')} ({size_of(found.bytes)}) in the cache "
        f"{found.cache_dir}"
    )
    outdated = sum(each.is_outdated for each in found.revisions)
    useless = [count_of(outdated, "outdated commit")] if outdated else []
    if found.interrupted:
        useless.append(count_of(len(found.interrupted), "interrupted download"))
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
