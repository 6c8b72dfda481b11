"""Models onto the Hugging Face Hub: one commit, checked before and after, repeatable.

What is published is a folder that `aezoo.save` wrote. Its files become those of the
repository; files of other names stay as they are. Tokens go to the Hub's client alone.
"""

import contextlib
import dataclasses
import functools
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aezoo import __version__
from aezoo.errors import HubError, ManifestError
from aezoo.manifest import MAX_GOLDEN_BYTES, DataInfo
from aezoo.models.autoencoder import Autoencoder
from aezoo.store import remote, tokens
from aezoo.store.entry import ENTRY, GOLDEN, REMEDY, SAMPLERS, WEIGHTS, read_entry
from aezoo.store.folder import (
    CARD,
    OPTIONAL,
    REQUIRED,
    WRITTEN,
    Metrics,
    save,
    write_card,
)
from aezoo.store.golden import golden_deviation, golden_tolerance
from aezoo.store.load import load_folder
from aezoo.utils.files import path_inside, read_verified, sha256_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Seconds of silence after which a request has failed; the client itself would wait on.
TIMEOUT = 60.0
# Seconds for which the Hub may ask to be left alone between two attempts.
LONGEST_WAIT = 30.0
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class Target:
    """Where to publish, and how.

    Attributes:
        repo_id: `"organisation/name"`.
        private: Create the repository as a private one.
        create_pr: Open a pull request instead of committing to the main branch.
        tag: Name for the commit; None for none.
        token: Access token; None for the one that `hf auth login` stored, if any.
        endpoint: Address of the Hub; None for the client's.
    """

    repo_id: str
    private: bool = False
    create_pr: bool = False
    tag: str | None = None
    token: str | None = dataclasses.field(default=None, repr=False)
    endpoint: str | None = None

    @functools.cached_property
    def api(self) -> "HfApi":
        """The Hub's client."""
        from huggingface_hub import HfApi

        token = tokens.find_token(self.token)
        return HfApi(self.endpoint, token, library_name="aezoo")

    def check(self) -> None:
        """Refuse what the Hub would, before anything is computed or sent.

        Raises:
            ValueError: If a field is invalid.
            HubError: If the token that the client has stored cannot be one.
        """
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        try:
            validate_repo_id(self.repo_id)
        except HFValidationError as error:
            raise ValueError(f"`repo_id` is not valid. {error}") from error
        if "/" not in self.repo_id:
            raise ValueError(
                "`repo_id` must be 'organisation/name' or 'user/name'. Received: "
                f"repo_id={self.repo_id!r}."
            )
        if self.tag is not None and not re.fullmatch(r"\w[\w.+-]*", self.tag):
            raise ValueError(
                "`tag` must be letters, digits and `.`, `_`, `+`, `-`. Received: "
                f"tag={self.tag!r}."
            )
        if self.tag is not None and self.create_pr:
            raise ValueError(
                "`tag` and `create_pr` exclude each other: a commit of a pull request "
                f"is not yet published. Received: tag={self.tag!r}. Publish again with "
                "the tag after the merge."
            )
        tokens.find_token(self.token)


@dataclasses.dataclass(frozen=True)
class Published:
    """Where a model was published.

    Attributes:
        repo_id: `"organisation/name"`.
        revision: The commit that holds it, 40 hexadecimal digits; with a pull request,
            the commit that it proposes.
        url: Page of the repository.
        is_new: Whether that commit was made now; False where nothing had changed.
        pull_request: Page of the pull request; None without one.
    """

    repo_id: str
    revision: str
    url: str
    is_new: bool
    pull_request: str | None = None


@dataclasses.dataclass(frozen=True)
class Repository:
    """A repository on the Hub at one commit.

    Attributes:
        repo_id: Its name, also where it was asked for by a former one.
        revision: The commit.
        is_private: Whether only its members see it.
        hashes: Hash by file: SHA-256 of large files, Git's SHA-1 of small ones.
    """

    repo_id: str
    revision: str
    is_private: bool
    hashes: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class FileState:
    """What publishing does with one file.

    Attributes:
        path: Its path in the repository.
        state: `"new"`, `"changed"`, `"unchanged"`, or `"deleted"` for a picture or
            sampler that the model no longer has.
        bytes: Its size; 0 if it is deleted.
        sha256: Its hash; empty if it is deleted.
    """

    path: str
    state: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """What publishing a folder would do.

    Attributes:
        repository: The repository now; None if there is none that the token may see.
        files: What would happen to each file.
        revision: The commit that holds all of them already; None if there is none.
    """

    repository: Repository | None
    files: tuple[FileState, ...]
    revision: str | None


def push_to_hub(
    model: Autoencoder,
    repo_id: str,
    *,
    private: bool = False,
    create_pr: bool = False,
    tag: str | None = None,
    commit_message: str | None = None,
    description: str | None = None,
    license: str | None = None,
    metrics: Metrics = None,
    data: DataInfo | Mapping[str, str] | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> Published:
    """Publish a trained model on the Hugging Face Hub, with a model card.

    `aezoo.load("hf://organisation/name")` then loads it, and so does plain Keras after
    `import aezoo`. The repository is created if there is none. Publishing a model
    again without a change makes no commit. Of an existing repository, the files that
    `aezoo.save` writes are replaced; all others stay.

    Args:
        model: A model of a registered family.
        repo_id: `"organisation/name"`, or `"user/name"`.
        private: Create the repository as a private one.
        create_pr: Open a pull request instead of committing to the main branch.
        tag: Name for the commit, e.g. `"v1"`.
        commit_message: One line; None names the model.
        description: As in `aezoo.save`.
        license: As in `aezoo.save`.
        metrics: As in `aezoo.save`.
        data: As in `aezoo.save`.
        token: Access token with the right to write; None for the one that
            `hf auth login` stored.
        endpoint: Address of the Hub; None for the client's.

    Returns:
        Where the model now is; `revision` is what to pin.

    Raises:
        TypeError: As in `aezoo.save`.
        ValueError: As in `aezoo.save`; or if an argument for the Hub is invalid.
        HubError: If the Hub refuses, cannot be reached, or holds something else; says
            what to do.

    Example:
        >>> aezoo.push_to_hub(model, "organisation/my-vae", license="MIT")
    """
    target = Target(repo_id, private, create_pr, tag, token, endpoint)
    target.check()
    with tempfile.TemporaryDirectory(prefix="aezoo-") as scratch:
        folder = save(
            model,
            Path(scratch) / "model",
            description=description,
            license=license,
            metrics=metrics,
            data=data,
        )
        write_card(folder, f"{remote.SCHEME}{repo_id}")
        return push_folder(folder, target, commit_message)


def push_folder(
    folder: str | Path, target: Target, commit_message: str | None = None
) -> Published:
    """Publish a folder that `aezoo.save` wrote; see `push_to_hub`.

    Only files that `aezoo.save` writes are sent. An interrupted call may be repeated:
    what is complete is not done again.

    Args:
        folder: The folder.
        target: Where and how.
        commit_message: One line; None names the model.

    Returns:
        Where the model now is.

    Raises:
        ValueError: If a field of `target` is invalid.
        ManifestError: If the folder lacks a file or does not compute what its golden
            tensors say; and whatever else `aezoo.load(folder)` raises.
        HubError: As in `push_to_hub`.
    """
    target.check()
    name = _check_folder(Path(folder))
    plan = plan_push(folder, target)
    if plan.repository is None:
        _create(target)
        plan = plan_push(folder, target)
    if plan.repository is None:
        raise HubError(
            f"The name {target.repo_id} is taken by a repository that this token "
            "may not see. Choose another name, or pass a token with access to it."
        )
    target = dataclasses.replace(target, repo_id=plan.repository.repo_id)
    revision, pull_request = plan.revision, None
    if revision is None:
        parent = plan.repository.revision
        message = commit_message or f"Publish {name} with aezoo {__version__}"
        revision, pull_request = _commit(target, folder, parent, message)
    if target.tag is not None:
        _create_tag(target, target.tag, revision)
    return Published(
        repo_id=target.repo_id,
        revision=revision,
        url=tokens.without_tokens(f"{target.api.endpoint}/{target.repo_id}"),
        is_new=plan.revision is None,
        pull_request=pull_request,
    )


def plan_push(folder: str | Path, target: Target) -> Plan:
    """What `push_folder` would do; asks the Hub and writes nothing.

    Raises:
        ValueError: If a field of `target` is invalid.
        HubError: If the Hub refuses or cannot be reached; or the repository holds
            something else, or is public where a private one is asked for, or the tag
            names other files.
    """
    target.check()
    folder = Path(folder)
    repository = find_repository(target)
    files = tuple(_compare(folder, repository))
    if repository is None:
        return Plan(None, files, None)
    _check_repository(repository, target)
    is_same = _is_same(files)
    tagged = None if target.tag is None else _tags(target).get(target.tag)
    if tagged is not None and tagged != repository.revision and is_same:
        is_same = holds(target, tagged, folder)
    if tagged is not None and not is_same:
        raise HubError(
            f"The tag {target.tag!r} of {target.repo_id} names the commit "
            f"{tagged[:12]}…, which holds other files. A tag stays where it is: choose "
            "another, e.g. that of a new version, or none."
        )
    revision = (tagged or repository.revision) if is_same else None
    return Plan(repository, files, revision)


def find_repository(target: Target, revision: str | None = None) -> Repository | None:
    """The repository at a commit, or None if there is none that the token may see.

    Args:
        target: The repository.
        revision: A commit; None for the head of the main branch.

    Raises:
        HubError: If the Hub cannot be reached, or refuses the token.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def ask() -> Repository | None:
        try:
            info = target.api.model_info(
                target.repo_id, revision=revision, files_metadata=True, timeout=TIMEOUT
            )
        except GatedRepoError:
            raise
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return None
        hashes = {
            file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id or ""
            for file in info.siblings or ()
        }
        return Repository(info.id, info.sha or "", bool(info.private), hashes)

    return _ask(target, ask)


# --- Checks --------------------------------------------------------------------------


def _check_folder(folder: Path) -> str:
    """The name of a folder's model, once it loads and computes what it should."""
    missing = sorted(name for name in REQUIRED if not (folder / name).is_file())
    if folder.is_dir() and missing:
        raise ManifestError(
            f"The folder {folder} has no {missing[0]}, so it cannot be published. "
            f"{REMEDY}"
        )
    model = load_folder(folder)
    entry = read_entry(folder)
    if (entry.weights.file, entry.golden.file) != (WEIGHTS, GOLDEN):
        raise ManifestError(
            f"The files of {folder} must be named {WEIGHTS} and {GOLDEN}. Received: "
            f"{entry.weights.file}, {entry.golden.file}. {REMEDY}"
        )
    content = read_verified(
        folder / GOLDEN, entry.golden.sha256, REMEDY, max_bytes=MAX_GOLDEN_BYTES
    )
    for kind, file in entry.samplers.items():
        if file.file != SAMPLERS[kind]:
            raise ManifestError(
                f"The sampler {kind!r} of {folder} must be named {SAMPLERS[kind]}. "
                f"Received: {file.file}. {REMEDY}"
            )
        model.samplers.find(kind)  # reads it, and raises what is wrong with it
    tolerance = golden_tolerance(model)
    for tensor, deviation in golden_deviation(model, content, folder / GOLDEN).items():
        if not deviation <= tolerance:
            raise ManifestError(
                f"The model in {folder} deviates from its golden {tensor} by "
                f"{deviation:.2g}, tolerance {tolerance:g}, so it is not published. "
                f"{REMEDY}"
            )
    return model.name


def _check_repository(repository: Repository, target: Target) -> None:
    if target.private and not repository.is_private:
        raise HubError(
            f"The repository {repository.repo_id} is public, and `private=True` does "
            "not change that: nothing was sent. Make it private in its settings, or "
            "leave `private` out."
        )
    ours = sorted((WRITTEN - {CARD}) & set(repository.hashes))
    if ours and ENTRY not in repository.hashes:
        raise HubError(
            f"The repository {repository.repo_id} holds {', '.join(ours)} and no "
            f"{ENTRY}: a model that aezoo did not publish, and would overwrite. Choose "
            "another name."
        )


def _compare(folder: Path, repository: Repository | None) -> Iterator[FileState]:
    """The state of every file that `aezoo.save` writes; links out are refused."""
    hashes = {} if repository is None else repository.hashes
    for name in sorted(WRITTEN):
        path = path_inside(folder, name)
        if path.is_file():
            sha256 = sha256_of(path)
            state = "new" if name not in hashes else "changed"
            if hashes.get(name) in (sha256, remote.git_sha1(path)):
                state = "unchanged"
            yield FileState(name, state, path.stat().st_size, sha256)
        elif name in hashes and name in OPTIONAL:
            yield FileState(name, "deleted", 0, "")


def holds(target: Target, revision: str, folder: Path) -> bool:
    """Whether a commit holds the files of a folder.

    Raises:
        HubError: As in `find_repository`.
    """
    return _is_same(_compare(folder, find_repository(target, revision)))


def _is_same(files: Iterable[FileState]) -> bool:
    return all(file.state == "unchanged" for file in files)


# --- Requests ------------------------------------------------------------------------


def _create(target: Target) -> None:
    def ask() -> None:
        target.api.create_repo(target.repo_id, private=target.private, exist_ok=True)

    _ask(target, ask)


def _commit(
    target: Target, folder: str | Path, parent: str, message: str
) -> tuple[str, str | None]:
    """The commit with a folder's files, and the page of its pull request."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    def ask() -> tuple[str, str | None]:
        now = plan_push(folder, target)
        if now.revision is not None:  # made already; the answer got lost
            return now.revision, None
        if now.repository is None or now.repository.revision != parent:
            raise HubError(_moved(target))
        info = target.api.create_commit(
            target.repo_id,
            [
                CommitOperationDelete(file.path)
                if file.state == "deleted"
                else CommitOperationAdd(file.path, Path(folder) / file.path)
                for file in now.files
                if file.state != "unchanged"
            ],
            commit_message=message,
            create_pr=target.create_pr,
            parent_commit=parent or None,
        )
        return info.oid, info.pr_url

    # A second request for a pull request would open a second one.
    revision, pull_request = _ask(target, ask, 1 if target.create_pr else None)
    if not holds(target, revision, Path(folder)):
        raise HubError(
            f"The commit {revision[:12]}… of {target.repo_id} does not hold what was "
            "sent. Look at it on the Hub, and publish again."
        )
    return revision, pull_request


def _tags(target: Target) -> dict[str, str]:
    refs = _ask(target, lambda: target.api.list_repo_refs(target.repo_id))
    return {ref.name: ref.target_commit for ref in refs.tags}


def _create_tag(target: Target, tag: str, revision: str) -> None:
    def ask() -> None:
        target.api.create_tag(target.repo_id, tag=tag, revision=revision, exist_ok=True)

    tagged = _tags(target).get(tag)
    if tagged is None:
        _ask(target, ask)
        tagged = _tags(target).get(tag)
    if tagged != revision:
        raise HubError(
            f"The model is published as the commit {revision} of {target.repo_id}, but "
            f"someone else used the tag {tag!r} meanwhile. Publish again with "
            "another tag."
        )


@contextlib.contextmanager
def _bounded_waits() -> Iterator[None]:
    """Requests fail after `TIMEOUT` seconds of silence; the client's own never do."""
    from huggingface_hub import get_session

    session = get_session()
    before, session.timeout = session.timeout, TIMEOUT
    try:
        yield
    finally:
        session.timeout = before


def _ask(
    target: Target, request: Callable[[], _Result], attempts: int | None = None
) -> _Result:
    """What the Hub answers; repeats what may pass, names what may not."""
    import httpx2

    def attempt() -> _Result:
        try:
            return request()
        except RuntimeError as error:  # a failed upload, which the client has repeated
            if not isinstance(error.__cause__, httpx2.HTTPError):
                raise
            cause = error.__cause__
        with tokens.hidden(), _named_errors(target):
            raise cause

    retrying = remote.repeating(
        _may_pass, attempts or remote.ATTEMPTS, longest_wait=LONGEST_WAIT
    )
    with tokens.hidden(), _named_errors(target), _bounded_waits():
        return retrying(attempt)


def _may_pass(error: BaseException) -> bool:
    """Whether another attempt may succeed: the server is busy, or a line broke."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return remote.status_of(error) in remote.TRANSIENT
    # The client reads some answers before it looks at their status.
    return isinstance(error, httpx2.TransportError | json.JSONDecodeError)


@contextlib.contextmanager
def _named_errors(target: Target) -> Iterator[None]:
    """Turn the client's errors into `HubError`s that say what to do."""
    import httpx2
    from huggingface_hub import errors

    again = "Publish again later: what is complete is not done twice."
    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise HubError(
            "No request was allowed, so nothing was published. Unset HF_HUB_OFFLINE."
        ) from error
    except errors.HfHubHTTPError as error:
        status = remote.status_of(error)
        if status == 412:
            raise HubError(_moved(target)) from error
        if status in (401, 403, 404):
            raise HubError(
                f"The Hub does not let this token publish to {target.repo_id} (status "
                f"{status}). Pass one with the right to write there as `token=`, or "
                "run `hf auth login`."
            ) from error
        raise HubError(
            f"The Hub answered {status} for {target.repo_id}. {again}"
        ) from error
    except json.JSONDecodeError as error:
        raise HubError(
            f"The Hub's answer for {target.repo_id} is not JSON. {again}"
        ) from error
    except httpx2.TransportError as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise HubError(
            f"The Hub could not be reached for {target.repo_id}: {reason}. Check the "
            f"connection. {again}"
        ) from error


def _moved(target: Target) -> str:
    return (
        f"Someone else committed to {target.repo_id} meanwhile, so nothing was "
        "published over it. Look at it on the Hub, and publish again."
    )
