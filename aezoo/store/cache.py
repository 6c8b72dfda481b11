"""What of the zoo is on this machine: fetched in advance, listed, checked, pruned.

The weights that the package bundles, and models of aezoo in the cache of the Hub's
client, which other libraries share: theirs is never touched. Imports no Keras.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aezoo import manifest
from aezoo.errors import AezooError, HubError, ManifestError
from aezoo.manifest import (
    BundledFile,
    GoldenFile,
    HubLocation,
    WeightsEntry,
    WeightsFile,
)
from aezoo.store import reference, remote
from aezoo.store.entry import (
    ENTRY,
    MAX_ENTRY_BYTES,
    SAMPLERS,
    WEIGHTS,
    parse_entry,
    weights_path,
)
from aezoo.store.remote import Place
from aezoo.utils.files import read_file, sha256_of
from aezoo.utils.progress import with_progress

if TYPE_CHECKING:
    from huggingface_hub import (
        CachedRepoInfo,
        CachedRevisionInfo,
        DeleteCacheStrategy,
        HFCacheInfo,
    )

# --- Fetching in advance -------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Download:
    """One model that `fetch_each` tried to bring into the cache.

    Attributes:
        name: Name or address of the model.
        path: Its weights file in the cache; None if that failed.
        bytes: Size of the weights.
        is_new: Whether it came from the Hub; False if it was in the cache.
        error: Why it failed; None if it did not.
    """

    name: str
    path: Path | None = None
    bytes: int = 0
    is_new: bool = False
    error: Exception | None = None


def download(
    names: str | Iterable[str] | None = None,
    *,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    max_workers: int = 8,
) -> dict[str, Path]:
    """Fetch models into the Hub's cache, for use without network.

    The hash of every file is checked, as `aezoo.load` does. Models that the package
    bundles are fetched as well; to load them from the cache, pass `source="hub"`.

    Args:
        names: A name or several from `aezoo.list_models()`, or addresses
            `"hf://organisation/name"`; None for every model of the zoo that is on the
            Hub.
        cache_dir: Cache of the Hub's client; None for its default.
        token: Access token for private repositories; None for the one that
            `hf auth login` stored.
        max_workers: How many models are fetched at the same time.

    Returns:
        The weights file of each model in the cache.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        ValueError: If an address has another form, or `max_workers` is less than 1.
        HubError: If a model is not on the Hub, which is told before anything is
            fetched; or could not be had, after all others were.

    Example:
        >>> aezoo.download("hf://organisation/name")
    """
    options = {"cache_dir": cache_dir, "token": token}
    found = list(fetch_each(find_places(names, **options), max_workers))
    failed = {each.name: each.error for each in found if each.error is not None}
    if failed:
        reasons = " ".join(f"{name}: {error}" for name, error in failed.items())
        raise HubError(
            f"{len(failed)} of {len(found)} models could not be downloaded. {reasons}"
        )
    return {each.name: each.path for each in found if each.path is not None}


def find_places(
    names: str | Iterable[str] | None = None, **options: Any
) -> dict[str, Place]:
    """Where on the Hub models are, by name.

    Args:
        names: As in `download`.
        **options: Other fields of `Place`.

    Raises:
        UnknownModelError: If there is no such model.
        ValueError: If an address has another form.
        HubError: If a model is not on the Hub.
    """
    if names is None:
        entries = manifest.entries().values()
        names = [entry.name for entry in entries if entry.weights.hub is not None]
    elif isinstance(names, str):
        names = [names]
    return {
        name: remote.parse_address(name, **options)
        if reference.is_address(name)
        else reference.place_of(manifest.describe(name), **options)
        for name in names
    }


def fetch_each(places: Mapping[str, Place], max_workers: int = 8) -> Iterator[Download]:
    """Fetch models in parallel; each as soon as it is there, or has failed.

    Args:
        places: Places by name, as `find_places` returns them.
        max_workers: How many models are fetched at the same time.

    Raises:
        ValueError: If `max_workers` is less than 1.
    """
    if max_workers < 1:
        raise ValueError(
            f"`max_workers` must be at least 1. Received: max_workers={max_workers}."
        )
    if not all(name in manifest.entries() for name in places):
        import aezoo.store.folder  # noqa: F401  # Keras, which threads must not import
    pool = ThreadPoolExecutor(max_workers)
    try:
        tasks = [pool.submit(_fetch_one, *item) for item in places.items()]
        for task in as_completed(tasks):
            yield task.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _fetch_one(name: str, place: Place) -> Download:
    try:
        before = _stamps(place)
        if name in manifest.entries():
            entry = manifest.entries()[name]
            path = reference.weights_file(entry, place)
            for kind in entry.samplers:
                reference.fetch_sampler(entry, kind, place)
        else:
            path = _fetch_model(place)
    except (AezooError, OSError) as error:
        return Download(name, error=error)
    size, is_new = path.stat().st_size, _stamp(path) not in before
    return Download(name, path, size, is_new)


def _fetch_model(place: Place) -> Path:
    snapshot, cache = reference.fetch_folder(place)
    entry = reference.read_own_entry(snapshot, cache)
    return weights_path(snapshot, entry, cache)


def _stamps(place: Place) -> set[tuple[Path, int]]:
    """Which files of a repository are cached; a file that is fetched is another."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cache = Path(place.cache_dir or constants.HF_HUB_CACHE).expanduser()
    folder = cache / repo_folder_name(repo_id=place.repo_id, repo_type="model")
    return {_stamp(p) for p in folder.glob("snapshots/*/**/*") if p.is_file()}


def _stamp(path: Path) -> tuple[Path, int]:
    return path.resolve(), path.stat().st_mtime_ns


# --- What is there -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Bundled:
    """A model whose weights are in the package: name, size in bytes, file."""

    name: str
    bytes: int
    path: Path


@dataclasses.dataclass(frozen=True)
class Revision:
    """One commit of a repository of aezoo in the cache.

    Attributes:
        repo_id: `"organisation/name"`.
        commit: 40 hexadecimal digits.
        names: Models of the zoo that the manifest pins to this commit.
        refs: Branches and tags that pointed to it when they were last fetched.
        bytes: Size of its files, of which other commits may have some as well.
        path: Its folder.
    """

    repo_id: str
    commit: str
    names: tuple[str, ...]
    refs: tuple[str, ...]
    bytes: int
    path: Path

    @property
    def is_outdated(self) -> bool:
        """Whether neither the manifest nor a branch or tag leads here."""
        return not self.names and not self.refs


@dataclasses.dataclass(frozen=True)
class Interrupted:
    """What is left of a download that did not end: size in bytes, file."""

    repo_id: str
    bytes: int
    path: Path


@dataclasses.dataclass(frozen=True)
class Contents:
    """What of the zoo is on this machine.

    Attributes:
        cache_dir: The cache of the Hub's client.
        bundled: Weights in the package.
        revisions: Commits of aezoo's repositories in the cache.
        interrupted: Downloads to such repositories that did not end.
        unreadable: Reasons by folder, of such repositories whose folder is broken.
        bytes: Size of what is cached; files that several commits have count once.
    """

    cache_dir: Path
    bundled: tuple[Bundled, ...]
    revisions: tuple[Revision, ...]
    interrupted: tuple[Interrupted, ...]
    unreadable: Mapping[str, str]
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return _json_values(self)


def _json_values(record: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(
        json.dumps(dataclasses.asdict(record), default=str)
    )
    for revision in values["revisions"]:
        revision["is_outdated"] = not revision["names"] and not revision["refs"]
    return values


def contents(cache_dir: str | Path | None = None) -> Contents:
    """What of the zoo is on this machine.

    A repository in the cache is one of aezoo if the manifest pins it, or one of its
    commits holds `aezoo.json`.

    Args:
        cache_dir: Cache of the Hub's client; None for its default.

    Raises:
        ValueError: If `cache_dir` is a file.
    """
    folder = _cache_folder(cache_dir)
    scan, unreadable = _scan(folder)
    revisions = [
        Revision(
            repo.repo_id,
            revision.commit_hash,
            tuple(entry.name for entry in _pinning(repo, revision)),
            tuple(sorted(revision.refs)),
            revision.size_on_disk,
            revision.snapshot_path,
        )
        for repo in scan.repos
        for revision in repo.revisions
    ]
    interrupted = [
        Interrupted(_repo_id(path.parents[1]), size, path)
        for path, size in ((f.file_path, f.size_on_disk) for f in scan.incomplete_files)
    ]
    bundled = [
        Bundled(entry.name, path.stat().st_size, path)
        for entry in manifest.entries().values()
        if (path := manifest.bundled_file(entry.weights.file)).is_file()
    ]
    return Contents(
        folder,
        tuple(bundled),
        tuple(sorted(revisions, key=lambda r: (r.repo_id, r.is_outdated, r.commit))),
        tuple(sorted(interrupted, key=lambda file: file.path)),
        {str(path): reason for path, reason in unreadable.items()},
        sum(repo.size_on_disk for repo in scan.repos)
        + sum(file.bytes for file in interrupted),
    )


def _cache_folder(cache_dir: str | Path | None) -> Path:
    from huggingface_hub import constants

    return Path(cache_dir or constants.HF_HUB_CACHE).expanduser().resolve()


def _published() -> list[WeightsEntry]:
    return [e for e in manifest.entries().values() if e.weights.hub is not None]


def _pinning(
    repo: "CachedRepoInfo", revision: "CachedRevisionInfo"
) -> list[WeightsEntry]:
    """The models of the zoo that the manifest pins to a commit."""
    here = HubLocation(repo.repo_id, revision.commit_hash)
    return [entry for entry in _published() if entry.weights.hub == here]


def _repo_id(folder: Path) -> str:
    return folder.name.removeprefix("models--").replace("--", "/")


def _scan(folder: Path) -> "tuple[HFCacheInfo, dict[Path, str]]":
    """What the client finds in its cache, of aezoo's repositories alone.

    Returns:
        The client's findings, and the repositories that it could not read.
    """
    from huggingface_hub import CacheNotFound, HFCacheInfo, scan_cache_dir
    from huggingface_hub.file_download import repo_folder_name

    try:
        scan = scan_cache_dir(folder)
    except CacheNotFound:
        return HFCacheInfo(0, frozenset(), frozenset(), [], folder), {}
    ours = {path.parents[2] for path in folder.glob(f"models--*/snapshots/*/{ENTRY}")}
    for entry in manifest.entries().values():
        if (hub := entry.weights.hub) is not None:
            ours.add(folder / repo_folder_name(repo_id=hub.repo_id, repo_type="model"))
    repos = {repo.repo_path: repo for repo in scan.repos if repo.repo_path in ours}
    reasons = [str(warning) for warning in scan.warnings]
    unreadable = {
        path: next((r for r in reasons if f"{path}" in r), "Its folder is broken.")
        for path in sorted(ours - set(repos))
        if path.is_dir()
    }
    incomplete = [f for f in scan.incomplete_files if f.file_path.parents[1] in ours]
    found = dataclasses.replace(
        scan, repos=frozenset(repos.values()), incomplete_files=frozenset(incomplete)
    )
    return found, unreadable


# --- Whether it is intact ------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class FileCheck:
    """One file whose hash was checked.

    Attributes:
        path: The file.
        damage: What is wrong with it; None if nothing is.
        remedy: What to do then.
    """

    path: Path
    damage: str | None
    remedy: str


def check_files(cache_dir: str | Path | None = None) -> list[FileCheck]:
    """Check the hash of every file of the zoo on this machine.

    Bundled weights and golden tensors and pinned weights against the manifest; those
    of other models against their `aezoo.json`; and every file in the cache against the
    hash by which the Hub's client has named it.

    Args:
        cache_dir: Cache of the Hub's client; None for its default.

    Returns:
        One check per file, and one per folder of the cache that is broken.

    Raises:
        ValueError: If `cache_dir` is a file.
    """
    scan, unreadable = _scan(_cache_folder(cache_dir))
    files: list[tuple[Path, Path, str | None, str]] = [
        (path, path, file.sha256, "Reinstall aezoo.")
        for entry in manifest.entries().values()
        for file in _files(entry)
        if (path := manifest.bundled_file(file.file)).is_file()
    ]
    remedy = "`aezoo cache --verify --prune` removes it; it is fetched when needed."
    for repo in scan.repos:
        for revision in repo.revisions:
            promised = _promised(revision.snapshot_path, _pinning(repo, revision))
            for file in revision.files:
                name = file.file_path.relative_to(revision.snapshot_path).as_posix()
                files.append(
                    (file.file_path, file.blob_path, promised.get(name), remedy)
                )
    files.sort(key=lambda file: file[0])
    return [
        *(
            FileCheck(path, reason, "Load it again with network, or delete the folder.")
            for path, reason in unreadable.items()
        ),
        *(
            FileCheck(path, _damage(blob, sha256), remedy)
            for path, blob, sha256, remedy in with_progress(files, "Hashing", "file")
        ),
    ]


def _files(entry: WeightsEntry) -> list[WeightsFile | GoldenFile | BundledFile]:
    return [entry.weights, entry.golden, *entry.samplers.values()]


def _promised(snapshot: Path, entries: Sequence[WeightsEntry]) -> Mapping[str, str]:
    """SHA-256 by file, of the manifest or else of a repository's own entry."""
    if entries:
        return {
            WEIGHTS: entries[0].weights.sha256,
            **{
                SAMPLERS[kind]: file.sha256
                for kind, file in entries[0].samplers.items()
            },
        }
    try:
        content = read_file(snapshot / ENTRY, MAX_ENTRY_BYTES) or b""
        entry = parse_entry(content, ENTRY)
    except (OSError, ManifestError):
        return {}  # no model; `aezoo.load` says why
    files: list[BundledFile | GoldenFile] = [entry.weights, entry.golden]
    files += entry.samplers.values()
    return {file.file: file.sha256 for file in files}


def _damage(path: Path, sha256: str | None) -> str | None:
    """What is wrong with a file of a known hash, or of the cache's own name for it."""
    if sha256 is None and re.fullmatch("[0-9a-f]{40}", path.name):
        expected, received = path.name, remote.git_sha1(path)
    else:
        received = sha256_of(path)
        is_hash = re.fullmatch("[0-9a-f]{64}", path.name)
        expected = sha256 or (path.name if is_hash else received)
    if expected == received:
        return None
    return f"expected hash {expected[:12]}…, received {received[:12]}…"


# --- Making room ---------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Pruning:
    """What `prune` removes.

    Attributes:
        revisions: Outdated commits.
        interrupted: Downloads that did not end.
        damaged: Files that are not what they should be.
        bytes: Room that this frees.
    """

    revisions: tuple[Revision, ...]
    interrupted: tuple[Interrupted, ...]
    damaged: tuple[Path, ...]
    bytes: int

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to remove."""
        return bool(self.revisions or self.interrupted or self.damaged)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return _json_values(self)


def prune(
    cache_dir: str | Path | None = None,
    *,
    damaged: Iterable[Path] = (),
    dry_run: bool = False,
) -> Pruning:
    """Remove what is of no use from aezoo's repositories in the cache.

    Outdated commits, to which neither the manifest nor a branch or tag leads, and
    what is left of interrupted downloads. Bundled files, and repositories of other
    libraries, are never touched; nor is a repository that is just being downloaded.

    Args:
        cache_dir: Cache of the Hub's client; None for its default.
        damaged: Files in the cache that are removed as well, as `check_files` names
            them.
        dry_run: Only say what would be removed.

    Returns:
        What was removed.

    Raises:
        ValueError: If `cache_dir` is a file.
        PermissionError: If something cannot be removed.
    """
    folder = _cache_folder(cache_dir)
    scan, _ = _scan(folder)
    found = contents(folder)
    busy = {i.repo_id for i in found.interrupted if _is_in_use(folder, i.path)}
    outdated = [r for r in found.revisions if r.is_outdated and r.repo_id not in busy]
    interrupted = [i for i in found.interrupted if i.repo_id not in busy]
    commits = {(r.repo_id, r.commit) for r in outdated}
    unwanted = set(damaged)
    strategies, files = [], []
    for repo in scan.repos:
        # One repository at a time: a copy of another one has the same commits.
        alone = dataclasses.replace(scan, repos=frozenset({repo}))
        hashes = [r for i, r in commits if i == repo.repo_id]
        if hashes:
            strategies.append(alone.delete_revisions(*hashes))
        bad = [
            file
            for revision in repo.revisions
            if revision.commit_hash not in hashes
            for file in revision.files
            if file.file_path in unwanted
        ]
        if bad and repo.repo_id not in busy:
            files += [file.file_path for file in bad]
            strategies.append(alone.delete_files(*bad))
    freed = sum(strategy.expected_freed_size for strategy in strategies)
    freed += sum(each.bytes for each in interrupted)
    if not dry_run:
        for strategy in strategies:
            strategy.execute()
            _check_gone(strategy)
        for each in interrupted:
            each.path.unlink(missing_ok=True)
    return Pruning(tuple(outdated), tuple(interrupted), tuple(sorted(files)), freed)


def _is_in_use(folder: Path, incomplete: Path) -> bool:
    """Whether a process holds the client's lock of a download."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    etag = incomplete.name.partition(".")[0]
    lock = folder / ".locks" / incomplete.parents[1].name / f"{etag}.lock"
    if not lock.is_file():
        return False
    try:
        with WeakFileLock(lock, timeout=0.1):
            return False
    except TimeoutError:
        return True


def _check_gone(strategy: "DeleteCacheStrategy") -> None:
    """The client only logs what it could not delete."""
    paths = strategy.repos | strategy.snapshots | strategy.blobs | strategy.files
    left = sorted(path for path in paths if path.exists())
    if left:
        raise PermissionError(
            f"{left[0]} and {len(left) - 1} more could not be removed from the cache. "
            "Check their permissions."
        )
