"""A Hub on the loopback interface, spoken to by the real `huggingface_hub` client.

    with HubServer() as hub:
        revision = hub.add_repo("org/name", {"model.weights.h5": data}, private=True)
        hub.fault("resolve/.*model.weights.h5", method="GET", cut=True)
        HfApi(endpoint=hub.url, token=hub.token).hf_hub_download("org/name", ...)
        assert hub.downloads("model.weights.h5") == 2

Models live in memory: commits with parents, branches, tags, pull requests, small
files in git and large ones (by suffix or size, as `.gitattributes` says) in LFS.
As with the real Hub, the bytes of LFS files come from another origin that no token
may reach: a second port here, `hub.cdn_url`.

The Xet protocol is left out. Downloads do not need it, as the server never announces
it, but the client would upload by it to any server that it meets. So the client has
to run with `HF_HUB_DISABLE_XET=1`; importing this module sees to that.
"""

import base64
import contextlib
import datetime
import hashlib
import itertools
import json
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import yaml
from huggingface_hub import close_session, constants
from jsonschema import Draft202012Validator

# The client reads the environment once, at its import, and `import keras` imports it:
# this process needs both lines, its children the first one.
os.environ["HF_HUB_DISABLE_XET"] = "1"
constants.HF_HUB_DISABLE_XET = True

LFS_PATTERNS = ("*.bin", "*.h5", "*.keras", "*.npy", "*.npz", "*.safetensors", "*.zip")
LFS_SIZE = 10_000_000
GITATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS
)

# The identifiers in the Hub's documentation of licences.
LICENSES = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause
bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0
cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m ecl-2.0
epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gfdl gpl gpl-2.0 gpl-3.0 h-research isc
lgpl lgpl-2.1 lgpl-3.0 lgpl-lr lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1
openrail openrail++ osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib
""".split()  # noqa: SIM905
# Those of images and of no modality in particular.
PIPELINE_TAGS = """
depth-estimation feature-extraction image-classification image-feature-extraction
image-segmentation image-to-3d image-to-image image-to-text image-to-video
keypoint-detection mask-generation object-detection other text-to-image
unconditional-image-generation zero-shot-classification zero-shot-image-classification
""".split()  # noqa: SIM905


def _object(**required: Any) -> dict[str, Any]:
    return {"type": "object", "required": [*required], "properties": required}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"anyOf": [_TEXT, _list(_TEXT)]}
_RESULT = _object(
    task=_object(type=_TEXT),
    dataset=_object(type=_TEXT, name=_TEXT),
    metrics=_list(_object(type=_TEXT, value={"not": {"type": "null"}})),
)
CARD_SCHEMA = {
    "type": "object",
    "properties": {
        "license": {"anyOf": [{"enum": LICENSES}, _list({"enum": LICENSES})]},
        "license_name": _TEXT,
        "tags": _TEXTS,
        "datasets": _TEXTS,
        "pipeline_tag": _TEXT,
        "model-index": _list(_object(name=_TEXT, results=_list(_RESULT))),
    },
    "if": _object(license={"const": "other"}),
    "then": {"required": ["license_name"]},
}


@dataclass(frozen=True)
class File:
    """One file of a commit, with the object ids that git and LFS give it."""

    data: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git keeps of an LFS file."""
        return (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{self.sha256}\nsize {len(self.data)}\n"
        ).encode()

    @cached_property
    def oid(self) -> str:
        """Id of the git blob."""
        blob = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def info(self) -> dict[str, Any]:
        """The Hub's words for this file."""
        info: dict[str, Any] = {"oid": self.oid, "size": len(self.data)}
        if self.lfs:
            info["lfs"] = {
                "oid": self.sha256,
                "sha256": self.sha256,
                "size": len(self.data),
                "pointerSize": len(self.pointer),
            }
        return info


@dataclass(frozen=True)
class Commit:
    """A snapshot of all files."""

    oid: str
    parent: "Commit | None"
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, File]


@dataclass
class Repo:
    """A model repository: commits by id, and full ref names that point to them."""

    id: str
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def ref(self, revision: str) -> str | None:
        """Full name of a branch, tag or pull request; None if there is none."""
        names = (f"refs/heads/{revision}", f"refs/tags/{revision}", revision)
        return next((name for name in names if name in self.refs), None)

    def resolve(self, revision: str) -> Commit:
        """The commit of a branch, tag, pull request, or of 7 to 40 hex digits."""
        if ref := self.ref(revision):
            return self.commits[self.refs[ref]]
        if len(revision) >= 7:
            for oid, commit in self.commits.items():
                if oid.startswith(revision):
                    return commit
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")


@dataclass(frozen=True)
class Token:
    """Who asks: a user, the repos that they may see (None: all), and may they write."""

    user: str
    repos: frozenset[str] | None
    write: bool


@dataclass
class Request:
    """One line of the request log."""

    method: str
    path: str
    range: str | None
    authorized: bool  # it carried a token, be it a valid one or not
    status: int = 0  # of the answer; 0 when there was none
    bytes: int = 0  # of the answer's body, as sent: less when it was cut


@dataclass
class Fault:
    """What goes wrong with the requests for a path; see `HubServer.fault`."""

    pattern: re.Pattern[str]
    times: int | None
    method: str | None
    status: int | None
    headers: dict[str, str]
    content: bytes | None
    drop: bool
    cut: bool
    flip: bool
    delay: float
    chunk_delay: float

    def hits(self, method: str, path: str) -> bool:
        return (
            self.times != 0
            and self.method in (None, method)
            and self.pattern.search(path) is not None
            # only a file's body can be cut or flipped
            and not ((self.cut or self.flip or self.chunk_delay) and method != "GET")
        )


class HubError(Exception):
    """An error in the Hub's own shape, from which the client picks its exception."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message} | headers
        if code:
            self.headers["X-Error-Code"] = code


@dataclass
class Reply:
    """An answer: bytes as they are, anything else as JSON."""

    content: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        return json.dumps(self.content).encode()


@dataclass
class Call:
    """A request as the endpoints see it."""

    url: str
    query: dict[str, str]
    range: str | None
    token: Token | None
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Endpoint = Callable[..., Reply]
ROUTES: list[tuple[str, re.Pattern[str], Endpoint]] = []
REPO = "(?P<repo_id>[^/]+/[^/]+)"
API = f"/api/models/{REPO}"


def route(method: str, path: str) -> Callable[[Endpoint], Endpoint]:
    """Register an endpoint; the path's named groups become its arguments."""

    def register(endpoint: Endpoint) -> Endpoint:
        ROUTES.append((method, re.compile(path), endpoint))
        return endpoint

    return register


class HubServer:
    """A Hub for tests; a context manager that leaves no thread and no socket behind.

    Attributes:
        url: What `HfApi(endpoint=...)` or `HF_ENDPOINT` takes.
        cdn_url: The other origin, which serves the bytes of LFS files.
        token: A token that may read and write everything.
        requests: The log, in order of arrival. `requests.clear()` starts anew.
        page_size: Entries per page of a tree or of a list of commits.
    """

    def __init__(self) -> None:
        self.token = "hf_owner"
        self.page_size = 1000
        self.requests: list[Request] = []
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self._repos: dict[str, Repo] = {}
        self._moved: dict[str, str] = {}
        self._lfs: dict[str, bytes] = {}
        self._tokens = {self.token: Token("owner", None, write=True)}
        self._faults: list[Fault] = []
        self._count = itertools.count()
        self._errors: list[BaseException] = []
        self._servers: list[_Server] = []
        self._ports = (0, 0)  # any free ones

    def __enter__(self) -> "HubServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        close_session()  # the client's, with its connections to the ports above
        if self._errors:
            raise self._errors[0]

    # -- life --

    def start(self) -> None:
        """Serve; after `stop()` on the same ports and with the same repos."""
        self.stopping.clear()
        self._servers = [_Server(self, port) for port in self._ports]
        hub, cdn = self._ports = tuple(s.server_port for s in self._servers)
        self.url, self.cdn_url = f"http://127.0.0.1:{hub}", f"http://127.0.0.1:{cdn}"

    def stop(self) -> None:
        """Refuse connections from now on, and cut those that are open."""
        self.stopping.set()
        for server in self._servers:
            server.stop()
            self._errors += server.errors
        self._servers = []

    # -- content --

    def add_token(
        self, token: str, *, repos: Iterable[str] | None = None, write: bool = False
    ) -> str:
        """A token which sees these private or gated repos only; None: all of them."""
        allowed = None if repos is None else frozenset(repos)
        self._tokens[token] = Token(token.removeprefix("hf_"), allowed, write)
        return token

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, bytes] | None = None,
        *,
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """Create a repo and, with files, their commit; returns its revision."""
        with self.lock:
            if repo_id in self._repos:
                raise HubError(409, "", "You already created this model repo")
            self._moved.pop(repo_id, None)
            repo = self._repos[repo_id] = Repo(repo_id, private, gated)
            attributes = File(GITATTRIBUTES.encode(), lfs=False)
            first = self._commit(
                repo, "refs/heads/main", {".gitattributes": attributes}, "initial"
            )
            return self.commit(repo_id, files) if files else first.oid

    def commit(
        self,
        repo_id: str,
        files: Mapping[str, bytes | None],
        *,
        branch: str = "main",
        message: str = "Upload",
    ) -> str:
        """Commit without the client (None deletes a file); returns the revision."""
        with self.lock:
            repo = self._repos[repo_id]
            ref = f"refs/heads/{branch}"
            new = dict(repo.resolve(ref).files)
            for path, data in files.items():
                if data is None:
                    del new[path]
                else:
                    new[path] = File(data, lfs=is_lfs(path, len(data)))
            return self._commit(repo, ref, new, message).oid

    def revision(self, repo_id: str, revision: str = "main") -> str:
        """The commit that a branch or tag points to."""
        return self._repos[repo_id].resolve(revision).oid

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """All files of a revision, byte by byte."""
        files = self._repos[repo_id].resolve(revision).files
        return {path: file.data for path, file in files.items()}

    def rename(self, repo_id: str, new_id: str) -> None:
        """Move a repo; its old name redirects to the new one."""
        with self.lock:
            repo = self._repos[new_id] = self._repos.pop(repo_id)
            repo.id = self._moved[repo_id] = new_id

    # -- faults and log --

    def fault(
        self,
        pattern: str,
        *,
        times: int | None = 1,
        method: str | None = None,
        status: int | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        drop: bool = False,
        cut: bool = False,
        flip: bool = False,
        delay: float = 0,
        chunk_delay: float = 0,
    ) -> None:
        """Let the next requests go wrong.

        Args:
            pattern: Regular expression, searched in the path (unquoted, with query).
            times: How many of the requests that fit; None for all of them.
            method: Only these, say `GET`; None for all.
            status: Answer this error, with a `Retry-After` of `retry_after` seconds.
            headers: Send these headers in place of the right ones.
            content: Answer 200 with these bytes of HTML, as a proxy does.
            drop: Close the connection without an answer (status 0 in the log).
            cut: Send the first half of the body and close the connection.
            flip: Change one bit in the middle of the body.
            delay: Seconds before the headers.
            chunk_delay: Seconds before each of the ten pieces of the body.
        """
        headers = dict(headers or {})
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        fault = Fault(
            re.compile(pattern),
            times,
            method,
            status,
            headers,
            content,
            drop,
            cut,
            flip,
            delay,
            chunk_delay,
        )
        with self.lock:
            self._faults.append(fault)

    def clear_faults(self) -> None:
        """Let everything go right again."""
        with self.lock:
            self._faults.clear()

    def count(self, pattern: str = "", method: str | None = None) -> int:
        """Number of requests in the log whose path fits."""
        return len(self._logged(pattern, method))

    def downloads(self, pattern: str = "") -> int:
        """Number of answers which carried a file's bytes, in whole or in part."""
        logged = self._logged("/resolve/.*" + pattern, "GET")
        return sum(request.status in (200, 206) for request in logged)

    def _logged(self, pattern: str, method: str | None) -> list[Request]:
        return [
            request
            for request in list(self.requests)
            if re.search(pattern, request.path) and method in (None, request.method)
        ]

    def _take_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            fault = next((f for f in self._faults if f.hits(method, path)), None)
            if fault and fault.times is not None:
                fault.times -= 1
            return fault

    # -- access --

    def _caller(self, authorization: str | None) -> Token | None:
        if authorization is None:
            return None
        token = self._tokens.get(authorization.removeprefix("Bearer "))
        if token is None:
            raise HubError(401, "", "Invalid credentials in Authorization header")
        return token

    def _repo(
        self, call: Call, repo_id: str, *, write: bool = False, content: bool = False
    ) -> Repo:
        """The repo, if the caller may see it, write to it, or read its content."""
        if repo_id in self._moved:
            new = call.url.replace(repo_id, self._moved[repo_id], 1)
            raise HubError(307, "", "Temporary Redirect", Location=new)
        repo, token = self._repos.get(repo_id), call.token
        member = token is not None and (token.repos is None or repo_id in token.repos)
        if repo is None or (repo.private and not member):
            status = 401 if token is None else 404
            raise HubError(status, "RepoNotFound", "Repository not found")
        if content and repo.gated and not member:
            status = 401 if token is None else 403
            raise HubError(
                status, "GatedRepo", f"Access to model {repo_id} is restricted."
            )
        if write and not (member and token and token.write):
            raise HubError(403 if token else 401, "", "You don't have write access")
        return repo

    def _commit(
        self,
        repo: Repo,
        ref: str,
        files: Mapping[str, File],
        title: str,
        message: str = "",
        author: str = "owner",
        parent: Commit | None = None,
    ) -> Commit:
        """Append a commit to a ref, or to another parent."""
        if parent is None and ref in repo.refs:
            parent = repo.commits[repo.refs[ref]]
        listing = sorted((path, file.oid) for path, file in files.items())
        identity = (next(self._count), parent and parent.oid, title, listing)
        oid = hashlib.sha1(repr(identity).encode()).hexdigest()
        date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        commit = Commit(oid, parent, title, message, author, date, dict(files))
        repo.commits[oid] = commit
        repo.refs[ref] = oid
        for file in files.values():
            if file.lfs:
                self._lfs[file.sha256] = file.data
        return commit

    def _page(self, call: Call, entries: list[Any]) -> Reply:
        """One page of a list, with a link to the next one."""
        start = int(call.query.get("cursor", 0))
        end = start + self.page_size
        headers = {}
        if end < len(entries):
            query = "".join(
                f"&{key}={value}"
                for key, value in call.query.items()
                if key != "cursor"
            )
            path = call.url.split("?")[0]
            headers["Link"] = f'<{self.url}{path}?cursor={end}{query}>; rel="next"'
        return Reply(entries[start:end], headers=headers)

    # -- endpoints: accounts and repos --

    @route("GET", "/api/whoami-v2")
    def _whoami(self, call: Call) -> Reply:
        if call.token is None:
            raise HubError(401, "", "Invalid username or password.")
        role = "write" if call.token.write else "read"
        access = {"displayName": "test", "role": role}
        return Reply(
            {
                "type": "user",
                "name": call.token.user,
                "orgs": [],
                "auth": {"type": "access_token", "accessToken": access},
            }
        )

    @route("POST", "/api/validate-yaml")
    def _validate_card(self, call: Call) -> Reply:
        found = card_problems(call.json["content"])
        answer = {
            kind: [{"message": message} for message in messages]
            for kind, messages in found.items()
        }
        return Reply(answer, 400 if found["errors"] else 200)

    @route("POST", "/api/repos/create")
    def _create_repo(self, call: Call) -> Reply:
        if call.token is None or not call.token.write:
            status = 401 if call.token is None else 403
            raise HubError(status, "", "You don't have the rights to create a model")
        namespace = call.json["organization"] or call.token.user
        repo_id = f"{namespace}/{call.json['name']}"
        url = f"{self.url}/{repo_id}"
        try:
            self.add_repo(repo_id, private=call.json.get("visibility") == "private")
        except HubError as error:
            # the client's `exist_ok` reads the URL of the error, too
            return Reply({"error": str(error), "url": url}, error.status)
        return Reply({"url": url, "name": repo_id})

    @route("DELETE", "/api/repos/delete")
    def _delete_repo(self, call: Call) -> Reply:
        repo_id = f"{call.json['organization']}/{call.json['name']}"
        self._repo(call, repo_id, write=True)
        del self._repos[repo_id]
        return Reply()

    @route("GET", API + "(?:/revision/(?P<revision>[^/]+))?")
    def _info(self, call: Call, repo_id: str, revision: str = "main") -> Reply:
        repo = self._repo(call, repo_id)
        commit = repo.resolve(revision)
        siblings = []
        for path, file in commit.files.items():
            info = file.info()
            info["blobId"] = info.pop("oid")
            details = info if "blobs" in call.query else {}
            siblings.append({"rfilename": path, **details})
        return Reply(
            {
                "id": repo_id,
                "modelId": repo_id,
                "author": repo_id.split("/")[0],
                "sha": commit.oid,
                "lastModified": commit.date,
                "private": repo.private,
                "gated": "auto" if repo.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": siblings,
            }
        )

    # -- endpoints: refs, trees, history --

    @route("GET", API + "/refs")
    def _refs(self, call: Call, repo_id: str) -> Reply:
        repo = self._repo(call, repo_id)
        kinds = {"branches": "refs/heads/", "tags": "refs/tags/", "converts": "!"}
        if "include_prs" in call.query:
            kinds["pullRequests"] = "refs/pr/"
        return Reply(
            {
                kind: [
                    {"name": ref.removeprefix(start), "ref": ref, "targetCommit": oid}
                    for ref, oid in repo.refs.items()
                    if ref.startswith(start)
                ]
                for kind, start in kinds.items()
            }
        )

    @route("POST", API + "/tag/(?P<revision>[^/]+)")
    def _create_tag(self, call: Call, repo_id: str, revision: str) -> Reply:
        return self._create_ref(
            call, repo_id, f"refs/tags/{call.json['tag']}", revision
        )

    @route("POST", API + "/branch/(?P<name>[^/]+)")
    def _create_branch(self, call: Call, repo_id: str, name: str) -> Reply:
        start = call.json.get("startingPoint", "main")
        return self._create_ref(call, repo_id, f"refs/heads/{name}", start)

    def _create_ref(self, call: Call, repo_id: str, ref: str, revision: str) -> Reply:
        repo = self._repo(call, repo_id, write=True)
        if ref in repo.refs:
            raise HubError(409, "", f"Reference already exists: {ref}")
        repo.refs[ref] = repo.resolve(revision).oid
        return Reply()

    @route("DELETE", API + "/(?P<kind>tag|branch)/(?P<name>[^/]+)")
    def _delete_ref(self, call: Call, repo_id: str, kind: str, name: str) -> Reply:
        repo = self._repo(call, repo_id, write=True)
        ref = f"refs/{'tags' if kind == 'tag' else 'heads'}/{name}"
        if ref == "refs/heads/main":
            raise HubError(403, "", "The default branch can't be deleted")
        if repo.refs.pop(ref, None) is None:
            raise HubError(404, "RevisionNotFound", f"Reference not found: {ref}")
        return Reply()

    @route("GET", API + "/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?")
    def _tree(self, call: Call, repo_id: str, revision: str, folder: str = "") -> Reply:
        commit = self._repo(call, repo_id).resolve(revision)
        entries = tree_entries(commit)
        if folder:
            if entries.get(folder, {}).get("type") != "directory":
                raise HubError(404, "EntryNotFound", f"{folder} does not exist")
            folder += "/"
        inside = [
            entry for entry in entries.values() if entry["path"].startswith(folder)
        ]
        if call.query.get("recursive", "false").lower() != "true":
            inside = [e for e in inside if "/" not in e["path"].removeprefix(folder)]
        return self._page(call, inside)

    @route("POST", API + "/paths-info/(?P<revision>[^/]+)")
    def _paths_info(self, call: Call, repo_id: str, revision: str) -> Reply:
        entries = tree_entries(self._repo(call, repo_id).resolve(revision))
        paths = parse_qs(call.body.decode())["paths"]
        return Reply([entries[path] for path in paths if path in entries])

    @route("GET", API + "/commits/(?P<revision>[^/]+)")
    def _commits(self, call: Call, repo_id: str, revision: str) -> Reply:
        commit: Commit | None = self._repo(call, repo_id).resolve(revision)
        history = []
        while commit:
            history.append(
                {
                    "id": commit.oid,
                    "title": commit.title,
                    "message": commit.message,
                    "authors": [{"user": commit.author}],
                    "date": commit.date,
                }
            )
            commit = commit.parent
        return self._page(call, history)

    # -- endpoints: uploads --

    @route("POST", API + "/preupload/(?P<revision>[^/]+)")
    def _preupload(self, call: Call, repo_id: str, revision: str) -> Reply:
        commit = self._repo(call, repo_id, write=True).resolve(revision)
        files = []
        for file in call.json["files"]:
            path = file["path"]
            mode = "lfs" if is_lfs(path, file["size"]) else "regular"
            answer = {"path": path, "uploadMode": mode, "shouldIgnore": False}
            if path in commit.files:
                answer["oid"] = commit.files[path].etag
            files.append(answer)
        return Reply({"files": files, "commitOid": commit.oid})

    @route("POST", f"/{REPO}[.]git/info/lfs/objects/batch")
    def _lfs_batch(self, call: Call, repo_id: str) -> Reply:
        self._repo(call, repo_id, write=True)
        objects = []
        for item in call.json["objects"]:
            answer = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self._lfs:
                upload = {"href": f"{self.cdn_url}/lfs/{item['oid']}?signature=0"}
                verify = {"href": f"{self.url}/{repo_id}.git/info/lfs/verify"}
                answer["actions"] = {"upload": upload, "verify": verify}
            objects.append(answer)
        return Reply({"transfer": "basic", "objects": objects})

    @route("PUT", "/lfs/(?P<oid>[0-9a-f]{64})")
    def _lfs_upload(self, call: Call, oid: str) -> Reply:
        if hashlib.sha256(call.body).hexdigest() != oid:
            raise HubError(400, "", "The content does not match its sha256")
        self._lfs[oid] = call.body
        return Reply()

    @route("POST", f"/{REPO}[.]git/info/lfs/verify")
    def _lfs_verify(self, call: Call, repo_id: str) -> Reply:
        self._repo(call, repo_id, write=True)
        data = self._lfs.get(call.json["oid"])
        if data is None or len(data) != call.json["size"]:
            raise HubError(404, "", "The object was not uploaded")
        return Reply()

    @route("POST", API + "/commit/(?P<revision>[^/]+)")
    def _create_commit(self, call: Call, repo_id: str, revision: str) -> Reply:
        repo = self._repo(call, repo_id, write=True)
        lines = [json.loads(line) for line in call.body.splitlines()]
        header = lines[0]["value"]
        ref, head = repo.ref(revision), repo.resolve(revision)
        if ref is None or ref.startswith("refs/tags/"):
            raise HubError(404, "RevisionNotFound", f"Not a branch: {revision}")
        expected = header.get("parentCommit")
        is_pr = call.query.get("create_pr") == "1"
        if is_pr:
            number = 1 + sum(name.startswith("refs/pr/") for name in repo.refs)
            ref = f"refs/pr/{number}"
            head = repo.resolve(expected) if expected else head
        elif expected and not head.oid.startswith(expected):
            raise HubError(
                412, "", "A commit has happened since. Please refresh and try again."
            )
        files = dict(head.files)
        for line in lines[1:]:
            self._apply(line["key"], line["value"], files)
        user = call.token.user if call.token else ""
        commit = self._commit(
            repo, ref, files, header["summary"], header["description"], user, head
        )
        answer = {
            "success": True,
            "commitOid": commit.oid,
            "commitUrl": f"{self.url}/{repo_id}/commit/{commit.oid}",
        }
        if is_pr:
            answer["pullRequestUrl"] = f"{self.url}/{repo_id}/discussions/{number}"
        return Reply(answer)

    def _apply(self, key: str, value: dict[str, Any], files: dict[str, File]) -> None:
        """One line of a commit's NDJSON."""
        path = value["path"]
        if key == "file":
            files[path] = File(base64.b64decode(value["content"]), lfs=False)
        elif key == "lfsFile":
            if value["oid"] not in self._lfs:
                raise HubError(400, "", f"LFS file of {path} was not uploaded")
            files[path] = File(self._lfs[value["oid"]], lfs=True)
        else:
            folder = path.rstrip("/") + "/"
            gone = [
                name
                for name in files
                if (name.startswith(folder) if key == "deletedFolder" else name == path)
            ]
            if not gone:
                raise HubError(
                    404, "EntryNotFound", f"A file with this name doesn't exist: {path}"
                )
            for name in gone:
                del files[name]

    # -- endpoints: downloads --

    @route("GET", f"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
    def _resolve(self, call: Call, repo_id: str, revision: str, path: str) -> Reply:
        commit = self._repo(call, repo_id, content=True).resolve(revision)
        headers = {"X-Repo-Commit": commit.oid}
        if path not in commit.files:
            raise HubError(404, "EntryNotFound", "Entry not found", **headers)
        file = commit.files[path]
        headers["ETag"] = f'"{file.etag}"'
        if not file.lfs:
            return ranged(file.data, call.range, headers)
        # what the signature of a real link stands for is who may read, and what
        where = f"/lfs/{file.sha256}/{repo_id}/resolve/{commit.oid}/{quote(path)}"
        headers |= {
            "X-Linked-Etag": headers["ETag"],
            "X-Linked-Size": str(len(file.data)),
            "Location": f"{self.cdn_url}{where}?signature=0",
        }
        return Reply(status=302, headers=headers)

    @route("GET", "/lfs/(?P<oid>[0-9a-f]{64})/.*")
    def _lfs_download(self, call: Call, oid: str) -> Reply:
        return ranged(self._lfs[oid], call.range, {"ETag": f'"{oid}"'})


def card_problems(card: str) -> dict[str, list[str]]:
    """What the Hub says about a model card's metadata, as far as that is known."""
    errors, warnings = [], []
    match = re.match(r"---[ \t]*\r?\n(.*?)^---[ \t]*$", card, re.DOTALL | re.MULTILINE)
    try:
        data = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError as error:
        return {"errors": [f"YAML: {error}"], "warnings": []}
    if data is None:
        warnings.append("empty or missing yaml metadata in repo card")
        data = {}
    for error in Draft202012Validator(CARD_SCHEMA).iter_errors(data):
        errors.append(f"{error.json_path.removeprefix('$.')}: {error.message}")
    if not errors and data.get("pipeline_tag", "other") not in PIPELINE_TAGS:
        warnings.append(f"pipeline_tag: {data['pipeline_tag']!r} is unknown")
    return {"errors": errors, "warnings": warnings}


def is_lfs(path: str, size: int) -> bool:
    """Whether a file belongs to LFS, by its suffix or by its size."""
    name = path.rsplit("/", 1)[-1]
    matches = any(fnmatch(name, pattern) for pattern in LFS_PATTERNS)
    return size > 0 and (matches or size >= LFS_SIZE)


def tree_entries(commit: Commit) -> dict[str, dict[str, Any]]:
    """Files and folders of a commit by path."""
    entries: dict[str, dict[str, Any]] = {}
    last = {"id": commit.oid, "title": commit.title, "date": commit.date}
    for path, file in sorted(commit.files.items()):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            oid = hashlib.sha1(f"{commit.oid}/{folder}".encode()).hexdigest()
            entry = {"type": "directory", "oid": oid, "size": 0, "path": folder}
            entries[folder] = entry | {"lastCommit": last}
        entries[path] = {"type": "file", "path": path, "lastCommit": last}
        entries[path] |= file.info()
    return entries


def ranged(data: bytes, range_: str | None, headers: dict[str, str]) -> Reply:
    """The bytes that were asked for: all of them, one range (206), or none (416)."""
    headers = headers | {
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", range_ or "")
    if match is None or match.group() == "bytes=-":
        return Reply(data, headers=headers)
    first, last = match.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start > end:
        headers["Content-Range"] = f"bytes */{len(data)}"
        return Reply(status=416, headers=headers)
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Reply(data[start : end + 1], 206, headers)


class _Handler(BaseHTTPRequestHandler):
    """HTTP on one side, the endpoints on the other."""

    protocol_version = "HTTP/1.1"  # connections stay open between requests
    disable_nagle_algorithm = True
    server: "_Server"

    def _handle(self) -> None:
        hub, url = self.server.hub, urlsplit(self.path)
        body = self._read_body()
        authorization = self.headers["Authorization"]
        logged = Request(
            self.command, unquote(self.path), self.headers["Range"], bool(authorization)
        )
        fault = hub._take_fault(logged.method, logged.path)
        if fault and fault.delay:
            hub.stopping.wait(fault.delay)
        if fault and fault.drop:
            hub.requests.append(logged)
            self.close_connection = True
            return
        try:
            if fault and fault.status:
                raise HubError(fault.status, "", "Injected fault")
            query = {key: values[-1] for key, values in parse_qs(url.query).items()}
            call = Call(
                self.path, query, logged.range, hub._caller(authorization), body
            )
            reply = self._dispatch(hub, url.path, call)
            if fault and fault.content is not None:
                reply = Reply(fault.content, headers={"Content-Type": "text/html"})
        except HubError as error:
            reply = Reply({"error": str(error)}, error.status, error.headers)
        self._send(reply, fault, logged)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815

    def _dispatch(self, hub: HubServer, path: str, call: Call) -> Reply:
        method = "GET" if self.command == "HEAD" else self.command
        for verb, pattern, endpoint in ROUTES:
            if verb == method and (match := pattern.fullmatch(path)):
                groups = match.groupdict()
                with hub.lock:
                    return endpoint(
                        hub, call, **{k: unquote(v) for k, v in groups.items() if v}
                    )
        raise HubError(404, "", f"No such endpoint here: {method} {path}")

    def _read_body(self) -> bytes:
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"] or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, reply: Reply, fault: Fault | None, logged: Request) -> None:
        body = bytearray(reply.body)
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", **reply.headers}
        headers |= {"Content-Length": str(len(body)), "X-Request-Id": "test"}
        headers |= fault.headers if fault else {}
        for name, value in headers.items():
            self.send_header(name, value)
        if fault and fault.flip and body:
            body[len(body) // 2] ^= 1
        if fault and fault.cut:
            del body[len(body) // 2 :]
            self.close_connection = True
        if self.command == "HEAD":
            body.clear()
        # before the first byte leaves: who has the answer finds it in the log
        logged.status, logged.bytes = reply.status, len(body)
        self.server.hub.requests.append(logged)
        self.end_headers()
        step = max(1, len(body) // 10) if fault and fault.chunk_delay else len(body)
        for start in range(0, len(body), step or 1):
            if fault and fault.chunk_delay:
                self.server.hub.stopping.wait(fault.chunk_delay)
            self.wfile.write(body[start : start + step])

    def log_message(self, *_: object) -> None:
        """Keep quiet: the log is `HubServer.requests`."""


class _Server(ThreadingHTTPServer):
    """One listening port; `stop` waits for all its threads."""

    daemon_threads = False  # `server_close` joins them

    def __init__(self, hub: HubServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.hub = hub
        self.errors: list[BaseException] = []
        self._open: set[Any] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Clients may leave early; anything else is a bug of this server."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.errors.append(error)

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        for request in self._open.copy():  # they wait for the client's next request
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
        self.server_close()
