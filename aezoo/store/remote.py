"""Files from the Hugging Face Hub, by its own client: cached, pinned and checked.

The client keeps files in its cache and checks their size only. Here every file is
checked by hash as well, a damaged one is fetched once more, and whatever fails ends in
an error of aezoo within a bounded time. The Hub is asked for a file's commit and size
first: the client asks too, but repeats a question in vain for minutes. `HF_ENDPOINT`,
`HF_HOME`, `HF_HUB_OFFLINE`, `HF_HUB_ETAG_TIMEOUT` and `HF_HUB_DOWNLOAD_TIMEOUT` work as
the client documents them.
"""

import contextlib
import dataclasses
import errno
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from aezoo.errors import AezooError, ChecksumError, ConversionError, HubError
from aezoo.store import tokens
from aezoo.utils.files import MAX_FILE_BYTES, path_inside, sha256_of

if TYPE_CHECKING:
    import tenacity


Shape = tuple[int, ...]
SCHEME = "hf://"
# Attempts at a file, and seconds before the second one; later waits are longer.
ATTEMPTS, FIRST_WAIT = 4, 0.5
# Seconds after which no other attempt begins.
PATIENCE = 20.0
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_OTHER_CACHE = "choose another folder by `cache_dir=` or HF_HOME"


@dataclasses.dataclass(frozen=True)
class Place:
    """A repository of models at one revision, and how to get at it.

    Attributes:
        repo_id: `"organisation/name"`.
        revision: Branch, tag or 40-digit commit; None for the main branch. A commit
            that is cached needs no request.
        cache_dir: The client's cache; None for its default.
        local_files_only: Take what is cached, without a request.
        token: Access token; None for the one that `hf auth login` stored, if any.
        endpoint: Address of the Hub; None for the client's.
        subfolder: Folder of the model in the repository; empty for its root.

    Raises:
        ValueError: If the token is none; it is not shown.
    """

    repo_id: str
    revision: str | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    token: str | None = dataclasses.field(default=None, repr=False)
    endpoint: str | None = None
    subfolder: str = ""

    def __post_init__(self) -> None:
        """Refuse a token that the client would show in an error of its own."""
        tokens.check_token(self.token)

    @property
    def address(self) -> str:
        """`hf://organisation/name/subfolder@revision`."""
        suffix = "" if self.revision is None else f"@{self.revision}"
        return f"{SCHEME}{self.path_of('').rstrip('/')}{suffix}"

    def path_of(self, filename: str) -> str:
        """`organisation/name/subfolder/filename`."""
        return "/".join((self.repo_id, self.inside(filename)))

    def inside(self, filename: str) -> str:
        """Path of a file of the model in the repository."""
        return f"{self.subfolder}/{filename}" if self.subfolder else filename

    def folders(self, path: Path, filename: str) -> tuple[Path, Path]:
        """The model's folder in the cache, and the cache itself, of one of its files.

        Args:
            path: The file, as `fetch` returned it.
            filename: Its name.
        """
        depth = len(PurePosixPath(self.inside(filename)).parts)
        return path.parent, path.parents[depth + 2]

    def pinned(self, path: Path, filename: str) -> "Place":
        """The same at the commit of a file that `fetch` returned."""
        return dataclasses.replace(self, revision=_commit(path, self.inside(filename)))


class NoSuchFileError(HubError):
    """A repository has no file of that name."""


def parse_address(address: str, **options: Any) -> Place:
    """The place that `hf://organisation/name`, `.../subfolder` or `...@revision` names.

    Args:
        address: The address.
        **options: Other fields of `Place`; a `revision` among them must not
            contradict the address.

    Raises:
        ValueError: If it has another form, or names two revisions.
    """
    match = re.fullmatch(
        r"hf://([\w.-]+/[\w.-]+)((?:/[\w.-]*[\w-][\w.-]*)*)(?:@([\w./-]+))?", address
    )
    if match is None:
        raise ValueError(
            "A model on the Hub must be named as 'hf://organisation/name' or "
            "'hf://organisation/name@revision', or with a subfolder as "
            f"'hf://organisation/name/vae'. Received: {address!r}."
        )
    repo_id, subfolder, revision = match.groups()
    given = options.pop("revision", None)
    if None not in (given, revision) and given != revision:
        raise ValueError(
            "`revision` must agree with the address. Received: "
            f"revision={given!r}, {address!r}."
        )
    revision = given if revision is None else revision
    return Place(repo_id, revision, subfolder=subfolder.strip("/"), **options)


def fetch(
    place: Place,
    filename: str,
    sha256: str | None = None,
    max_bytes: int | None = None,
) -> Path:
    """One file of a repository, from the cache or the Hub, with the right bytes.

    Args:
        place: The repository.
        filename: Path in the model's folder.
        sha256: Hexadecimal hash that the file must have; None takes the one that the
            Hub states for it.
        max_bytes: Size above which nothing is downloaded; None for any size.

    Returns:
        Its path in the cache, `.../snapshots/<commit>/<filename>`.

    Raises:
        HubError: If it is not there or may not be read, the Hub cannot be reached, the
            disk is full or the cache may not be written; says what to do.
        ChecksumError: If it is larger, or the bytes are wrong twice.
    """
    filename, offline = place.inside(filename), is_offline(place)
    for _ in range(1 if offline else 2):
        path = _download(place, filename, max_bytes)
        if _is_intact(path, sha256):
            return path
        try:  # the client would go on taking a damaged file from its cache
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ChecksumError(
                f"The file {path} does not match its hash and cannot be removed: "
                f"{error.strerror}. Remove it, or {_OTHER_CACHE}."
            ) from error
    if offline:
        raise ChecksumError(
            f"The file {filename} of {place.address} did not match its hash and was "
            "removed from the cache. Load it again without `local_files_only` and "
            "HF_HUB_OFFLINE."
        )
    raise ChecksumError(
        f"The file {filename} of {place.address} does not match its hash, and neither "
        "did a second download. Nothing was kept; try again later, or tell its owner."
    )


def fetch_model(place: Place) -> tuple[Path, Path]:
    """A folder that `aezoo.save` wrote, from the cache or the Hub.

    `aezoo.json` decides the commit, and the size and the hash of weights and samplers,
    which are then taken from that commit alone, even if the branch moves meanwhile.
    Whoever reads the files checks them once more, as those of any folder.

    Args:
        place: The repository.

    Returns:
        The folder in the cache, without the golden tensors; and the cache itself: the
        files in the first are links into the second, to the repository's own or to
        those that all share.

    Raises:
        HubError: As in `fetch`.
        ChecksumError: As in `fetch`.
        ManifestError: If its `aezoo.json` is no valid entry.
        UnsafeFileError: If the entry names a file outside the repository.
    """
    from aezoo.store.entry import ENTRY, MAX_ENTRY_BYTES, read_entry

    path = fetch(place, ENTRY, max_bytes=MAX_ENTRY_BYTES)
    snapshot, cache = place.folders(path, ENTRY)
    entry = read_entry(snapshot, cache)
    files = [entry.weights, *entry.samplers.values()]
    for file in files:
        path_inside(snapshot, file.file, cache)  # before anything is written
    pinned = place.pinned(path, ENTRY)
    for file in files:
        fetch(pinned, file.file, file.sha256, min(file.bytes, MAX_FILE_BYTES))
    return snapshot, cache


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """What the Hub says of a file: its size and, of a large one, its SHA-256."""

    bytes: int | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a model's folder in a repository, by name, and their commit."""

    commit: str
    files: Mapping[str, RemoteFile]


def list_files(place: Place) -> Listing:
    """The files of a model's folder, as the Hub lists them.

    Where no request is allowed, those that are in the cache.

    Args:
        place: The repository.

    Raises:
        HubError: As in `fetch`; also if nothing of it is in the cache.
    """
    from huggingface_hub import HfApi, constants

    if is_offline(place):
        return _cached_files(place)
    repeat = repeating(_may_pass, ATTEMPTS, patience=PATIENCE)
    with tokens.hidden(), _named_errors(place, "the list of files"):
        info = repeat(
            HfApi(endpoint=place.endpoint, library_name="aezoo").model_info,
            place.repo_id,
            revision=place.revision,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
            files_metadata=True,
            token=tokens.find_token(place.token),
        )
    files = {
        sibling.rfilename: RemoteFile(
            sibling.size, sibling.lfs.sha256 if sibling.lfs else None
        )
        for sibling in info.siblings or ()
    }
    return Listing(str(info.sha), _within(place, files))


def _cached_files(place: Place) -> Listing:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = _cache_dir(place) / repo_folder_name(
        repo_id=place.repo_id, repo_type="model"
    )
    revision = place.revision or constants.DEFAULT_REVISION
    with contextlib.suppress(OSError):
        revision = (folder / "refs" / revision).read_text().strip()
    snapshot = folder / "snapshots" / revision
    if not re.fullmatch("[0-9a-f]{40}", revision) or not snapshot.is_dir():
        raise HubError(
            f"Nothing of {place.address} is in the cache, and no request was allowed. "
            "Load it once without `local_files_only` and HF_HUB_OFFLINE."
        )
    names = (p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*"))
    return Listing(revision, _within(place, {name: RemoteFile() for name in names}))


def _within(place: Place, files: Mapping[str, RemoteFile]) -> dict[str, RemoteFile]:
    start = place.inside("")
    return {
        name.removeprefix(start): file
        for name, file in files.items()
        if name.startswith(start)
    }


def read_tensor_facts(place: Place, filename: str) -> dict[str, tuple[str, Shape]]:
    """Dtype and shape of each tensor of a safetensors file, which is not downloaded.

    Args:
        place: The repository.
        filename: Path in the model's folder.

    Raises:
        HubError: As in `fetch`.
        ConversionError: If it is no such file.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import SafetensorsParsingError

    repeat = repeating(_may_pass, ATTEMPTS, patience=PATIENCE)
    try:
        with tokens.hidden(), _named_errors(place, filename):
            api = HfApi(endpoint=place.endpoint, library_name="aezoo")
            found = repeat(
                api.parse_safetensors_file_metadata,
                place.repo_id,
                place.inside(filename),
                revision=place.revision,
                token=tokens.find_token(place.token),
            )
    except SafetensorsParsingError as error:
        raise ConversionError(
            f"The file {filename} of {place.address} is no safetensors file."
        ) from error
    return {
        name: (str(info.dtype), tuple(info.shape))
        for name, info in found.tensors.items()
    }


def _is_intact(path: Path, sha256: str | None) -> bool:
    """Whether a cached file has the stated hash, or else the one it is filed under."""
    try:
        if sha256 is not None:
            return sha256_of(path) == sha256
        if not path.is_symlink():
            return True  # a cache without links does not tell
        # The Hub's ETag: SHA-256, or Git's SHA-1 of small files.
        name = path.readlink().name
        if re.fullmatch(r"[0-9a-f]{64}", name):
            return sha256_of(path) == name
        if re.fullmatch(r"[0-9a-f]{40}", name):
            return git_sha1(path) == name
    except FileNotFoundError:  # another process found it damaged, too
        return False
    return True  # an ETag of another kind


def git_sha1(path: Path) -> str:
    """What Git calls a file's content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


# --- The client ----------------------------------------------------------------------


def _download(place: Place, filename: str, max_bytes: int | None) -> Path:
    """From the cache if that is enough, else by the client; repeats what may pass."""
    retrying = repeating(_may_pass, ATTEMPTS, patience=PATIENCE)
    with tokens.hidden(), _named_errors(place, filename):
        cached = _cached(place, filename)
        if cached and re.fullmatch("[0-9a-f]{40}", place.revision or ""):
            return cached
        if not is_offline(place):
            place = dataclasses.replace(place, token=tokens.find_token(place.token))
            return retrying(_attempt, place, filename, max_bytes, cached)
    if cached is None:
        raise HubError(
            f"The file {filename} of {place.address} is not in the cache, and no "
            "request was allowed. Load it once without `local_files_only` and "
            "HF_HUB_OFFLINE."
        )
    return cached


def _attempt(
    place: Place, filename: str, max_bytes: int | None, cached: Path | None
) -> Path:
    """Ask for a file's commit and size, then take it from the cache or the Hub.

    What is cached of a branch serves as long as the Hub cannot be asked.
    """
    import httpx2
    from huggingface_hub import (
        constants,
        errors,
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
    )

    url = hf_hub_url(
        place.repo_id, filename, revision=place.revision, endpoint=place.endpoint
    )
    try:
        told = get_hf_file_metadata(
            url,
            token=place.token,
            endpoint=place.endpoint,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
            library_name="aezoo",
        )
    except (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError):
        raise
    except httpx2.HTTPError:
        if cached is None:
            raise
        return cached
    if cached and told.commit_hash in (None, _commit(cached, filename)):
        return cached
    if told.commit_hash is None or told.etag is None:
        raise HubError(
            f"What answered for {filename} of {place.address} is no Hub: a proxy, or "
            "the login page of a network. Check the connection and HF_ENDPOINT."
        )
    _check_size(place, filename, told.size, max_bytes)
    return Path(
        hf_hub_download(
            place.repo_id,
            filename,
            revision=place.revision,
            cache_dir=_cache_dir(place),
            token=place.token,
            endpoint=place.endpoint,
            library_name="aezoo",
            tqdm_class=_bounded_bar(place, filename, max_bytes),
        )
    )


def _cached(place: Place, filename: str) -> Path | None:
    """A file of a revision as it was last seen, without a request."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(
        place.repo_id, filename, cache_dir=_cache_dir(place), revision=place.revision
    )
    return Path(path) if isinstance(path, str) else None


def _commit(path: Path, filename: str) -> str:
    """The commit of a file in the cache."""
    return path.parents[len(PurePosixPath(filename).parts) - 1].name


def _cache_dir(place: Place) -> Path:
    from huggingface_hub import constants

    return Path(place.cache_dir or constants.HF_HUB_CACHE).expanduser()


def is_offline(place: Place) -> bool:
    """Whether no request is allowed."""
    from huggingface_hub import is_offline_mode

    return place.local_files_only or is_offline_mode()


def _check_size(
    place: Place, filename: str, size: int | None, max_bytes: int | None
) -> None:
    if size is not None and max_bytes is not None and size > max_bytes:
        raise ChecksumError(
            f"The file {filename} of {place.address} must have at most "
            f"{max_bytes:,} bytes. Received: {size:,} bytes, so nothing was kept. Tell "
            "its owner."
        )


def _bounded_bar(place: Place, filename: str, max_bytes: int | None) -> Any:
    """A progress bar that ends a download which exceeds the size that was told."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        received = 0

        def update(self, n: float | None = 1) -> bool | None:
            self.received += int(n or 0)
            _check_size(place, filename, self.received, max_bytes)
            return super().update(n)

    return Bar


def repeating(
    may_pass: Callable[[BaseException], bool],
    attempts: int,
    *,
    patience: float = math.inf,
    longest_wait: float = math.inf,
) -> "tenacity.Retrying":
    """What repeats a request that failed, after growing waits; raises its last error.

    Args:
        may_pass: Whether another attempt may succeed after an error.
        attempts: Attempts in all.
        patience: Seconds after which no other attempt begins.
        longest_wait: Seconds for which the Hub may ask to be left alone.
    """
    import tenacity

    backoff = tenacity.wait_exponential(FIRST_WAIT) + tenacity.wait_random(
        0.0, FIRST_WAIT
    )

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome and state.outcome.exception()
        return backoff(state) + min(retry_after(error), longest_wait)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_pass),
        stop=tenacity.stop_after_attempt(attempts)
        | tenacity.stop_before_delay(patience),
        wait=wait,
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    """Whether another attempt may succeed: the server is busy, or a line broke.

    The client itself repeats a transfer whose line broke, but no question.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError):
        return False  # the client has tried for long
    if isinstance(error, HfHubHTTPError):
        return status_of(error) in TRANSIENT
    if isinstance(error, httpx2.TransportError):
        return error.request.method == "HEAD"
    return _is_wrong_size(error)


def _is_wrong_size(error: BaseException) -> bool:
    """Whether the client counted other bytes than were announced."""
    return type(error) is OSError and error.errno is None


def status_of(error: Any) -> int | None:
    """The status of the answer that an error came from; None without one."""
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def retry_after(error: Any) -> float:
    """Seconds for which the Hub asked to be left alone."""
    value = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After")
    return float(value) if value and value.strip().isdigit() else 0.0


@contextlib.contextmanager
def _named_errors(place: Place, filename: str) -> Iterator[None]:
    """Turn the client's errors into `HubError`s that say what to do."""
    import httpx2
    from huggingface_hub import errors

    where = place.address
    try:
        yield
    except AezooError:
        raise
    except errors.GatedRepoError as error:
        raise HubError(
            f"{where} is gated. Ask for access on its page, then pass `token=` or run "
            "`hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"There is no repository {where}, or it is private. Check the name; for a "
            "private one pass `token=` or run `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(
            f"The repository of {where} has no such revision. Leave it out for the "
            "main branch."
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise NoSuchFileError(
            f"{where} has no file {filename}, so it is not a model that aezoo "
            "published. `keras.saving.load_model` may read it."
        ) from error
    except errors.HfHubHTTPError as error:
        if status_of(error) in (401, 403):
            remedy = "Check the token: pass another as `token=`, or run `hf auth login`"
        elif seconds := retry_after(error):
            remedy = f"Try again in {seconds:.0f} s"
        else:
            remedy = "Try again later"
        raise HubError(
            f"The Hub answered {status_of(error)} for {filename} of {where}. {remedy}."
        ) from error
    except errors.HFValidationError as error:
        raise HubError(f"{where} is not a valid address: {error}") from error
    except (httpx2.RequestError, errors.LocalEntryNotFoundError) as error:
        raise HubError(
            f"The Hub could not be reached for {filename} of {where}: "
            f"{_reason(error)}. Check the connection, or set HF_ENDPOINT to a mirror."
        ) from error
    except OSError as error:
        if _is_wrong_size(error):
            raise HubError(
                f"The Hub sent {filename} of {where} with another size than it had "
                "announced. Try again later."
            ) from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "Free some space" if full else "Make it writable"
        raise HubError(
            f"The cache {_cache_dir(place)} cannot take {filename} of {where}: "
            f"{error.strerror}. {remedy}, or {_OTHER_CACHE}."
        ) from error


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:  # the client wraps what happened
        error = error.__cause__
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
