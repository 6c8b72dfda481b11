"""Files from the Hugging Face Hub, by its own client: cached, pinned and checked.

The client keeps files in its cache and checks their size only. Here every file is
checked by hash as well, a damaged one is fetched once more, and whatever fails ends in
an error of aezoo within a bounded time. Tokens are handed to the client and nowhere
else. `HF_ENDPOINT`, `HF_HOME` and `HF_HUB_OFFLINE` work as the client documents them.
"""

import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aezoo.errors import ChecksumError, HubError
from aezoo.files import path_inside, sha256_of

SCHEME = "hf://"
# Attempts at a file's bytes, and seconds before the second one; later waits are longer.
ATTEMPTS, FIRST_WAIT = 4, 0.5
# Seconds without an answer after which an attempt has failed.
TIMEOUT = 10.0
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


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
    """

    repo_id: str
    revision: str | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    token: str | None = dataclasses.field(default=None, repr=False)
    endpoint: str | None = None

    @property
    def address(self) -> str:
        """`hf://organisation/name@revision`."""
        suffix = "" if self.revision is None else f"@{self.revision}"
        return f"{SCHEME}{self.repo_id}{suffix}"


def parse_address(address: str, **options: Any) -> Place:
    """The place that `hf://organisation/name` or `...@revision` names.

    Args:
        address: The address.
        **options: Other fields of `Place`; a `revision` among them must not
            contradict the address.

    Raises:
        ValueError: If it has another form, or names two revisions.
    """
    match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?", address)
    if match is None:
        raise ValueError(
            "A model on the Hub must be named as 'hf://organisation/name' or "
            f"'hf://organisation/name@revision'. Received: {address!r}."
        )
    repo_id, revision = match.groups()
    given = options.pop("revision", None)
    if None not in (given, revision) and given != revision:
        raise ValueError(
            "`revision` must agree with the address. Received: "
            f"revision={given!r}, {address!r}."
        )
    return Place(repo_id, given if revision is None else revision, **options)


def fetch(place: Place, filename: str, sha256: str | None = None) -> Path:
    """One file of a repository, from the cache or the Hub, with the right bytes.

    Args:
        place: The repository.
        filename: Path in the repository.
        sha256: Hexadecimal hash that the file must have; None takes the one that the
            Hub states for it.

    Returns:
        Its path in the cache, `.../snapshots/<commit>/<filename>`.

    Raises:
        HubError: If it is not there, may not be read, or the Hub cannot be reached;
            says what to do.
        ChecksumError: If the bytes are wrong twice.
        OSError: If the disk is full or the cache may not be written.
    """
    path = _download(place, filename)
    if _is_intact(path, sha256):
        return path
    # The client would go on taking a damaged file from its cache.
    with contextlib.suppress(OSError):
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    if not place.local_files_only:
        path = _download(place, filename)
        if _is_intact(path, sha256):
            return path
    raise ChecksumError(
        f"The file {filename} of {place.address} does not match its hash"
        + ("" if place.local_files_only else ", and neither did a second download")
        + ". The damaged file was removed from the cache; try again"
        + (" without `local_files_only`." if place.local_files_only else " later.")
    )


def fetch_model(place: Place) -> tuple[Path, Path]:
    """A folder that `aezoo.save` wrote, from the cache or the Hub.

    `aezoo.json` decides the commit and the hash of the weights, which are then taken
    from that commit alone, even if the branch moves meanwhile.

    Args:
        place: The repository.

    Returns:
        The folder in the cache, and the cache's folder of this repository: the files
        in the first are links into the second.

    Raises:
        HubError: As in `fetch`.
        ChecksumError: As in `fetch`.
        ManifestError: If its `aezoo.json` is no valid entry.
        UnsafeFileError: If the entry names a file outside the repository.
    """
    from aezoo.folder import ENTRY, read_entry

    path = fetch(place, ENTRY)
    snapshot, repository = path.parent, path.parents[2]
    entry = read_entry(snapshot, repository)
    path_inside(snapshot, entry.weights.file, repository)  # before anything is written
    pinned = dataclasses.replace(place, revision=snapshot.name)
    fetch(pinned, entry.weights.file, entry.weights.sha256)
    return snapshot, repository


def _is_intact(path: Path, sha256: str | None) -> bool:
    """Whether a cached file has the stated hash, or else the one it is filed under."""
    if sha256 is not None:
        return sha256_of(path) == sha256
    name = path.resolve().name  # the Hub's ETag: SHA-256, or Git's SHA-1 of small files
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return sha256_of(path) == name
    if re.fullmatch(r"[0-9a-f]{40}", name):
        return _git_sha1(path) == name
    return True  # a cache without links does not tell


def _git_sha1(path: Path) -> str:
    """What Git calls a file's content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


# --- The client ----------------------------------------------------------------------


def _download(place: Place, filename: str) -> Path:
    """Let the client fetch a file; repeat what may pass, name what may not."""
    import tenacity
    from huggingface_hub import hf_hub_download

    def attempt() -> str:
        return hf_hub_download(
            place.repo_id,
            filename,
            revision=place.revision,
            cache_dir=place.cache_dir,
            local_files_only=place.local_files_only,
            token=place.token,
            endpoint=place.endpoint,
            etag_timeout=TIMEOUT,
            library_name="aezoo",
        )

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_attempt(1 if place.local_files_only else ATTEMPTS),
        wait=tenacity.wait_exponential(FIRST_WAIT, max=8.0)
        + tenacity.wait_random(0.0, FIRST_WAIT),
        reraise=True,
    )
    with _named_errors(place, filename):
        return Path(retrying(attempt))


def _may_pass(error: BaseException) -> bool:
    """Whether another attempt may succeed: the server is busy, or a line broke.

    The client itself repeats its questions for a file's size and hash, and ends in
    `LocalEntryNotFoundError`; what it gives up at once is the transfer of the bytes.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError):
        return False
    if isinstance(error, HfHubHTTPError):
        return _status(error) in _TRANSIENT
    return isinstance(error, httpx2.TransportError)


def _status(error: Any) -> int | None:
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


@contextlib.contextmanager
def _named_errors(place: Place, filename: str) -> Iterator[None]:
    """Turn the client's errors into `HubError`s that say what to do."""
    import httpx2
    from huggingface_hub import errors

    where = place.address
    try:
        yield
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
        raise HubError(
            f"{where} has no file {filename}, so it is not a model that aezoo "
            "published. `keras.saving.load_model` may read it."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise HubError(_unreachable(place, filename, error)) from error
    except errors.HfHubHTTPError as error:
        if _status(error) in (401, 403):
            remedy = "Check the token: pass another as `token=`, or run `hf auth login`"
        else:
            remedy = "Try again later"
        raise HubError(
            f"The Hub answered {_status(error)} for {filename} of {where}. {remedy}."
        ) from error
    except errors.HFValidationError as error:
        raise HubError(f"{where} is not a valid address: {error}") from error
    except httpx2.TransportError as error:
        raise HubError(_unreachable(place, filename, error)) from error


def _unreachable(place: Place, filename: str, error: Exception) -> str:
    from huggingface_hub import constants

    if place.local_files_only or constants.HF_HUB_OFFLINE:
        return (
            f"The file {filename} of {place.address} is not in the cache, and no "
            "request was allowed. Load it once without `local_files_only` and "
            "HF_HUB_OFFLINE."
        )
    cause: BaseException = error
    while cause.__cause__ is not None:  # the client wraps what happened
        cause = cause.__cause__
    reason = " ".join(str(cause).split()) or type(cause).__name__
    return (
        f"The Hub could not be reached for {filename} of {place.address}: {reason}. "
        "Check the connection, or set HF_ENDPOINT to a mirror."
    )
