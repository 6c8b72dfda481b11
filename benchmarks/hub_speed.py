"""The Hub: a cached load beside a load by path, hashing, and parallel downloads.

Everything runs against the tests' Hub on the loopback interface, offline. What is timed
runs in fresh processes that find the server by `HF_ENDPOINT`; the server's log tells
which requests they made. Prints Markdown.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.common import (
    machine,
    markdown_table,
    median_ratio,
    round_robin,
    run_fresh,
    verdict,
)

WORKERS = 8  # the default of `aezoo.download`
FILES = ("aezoo.json", "model.weights.h5")
RATE = 2e6  # bytes per second and connection, where the server is the limit
OURS, BARE = "`aezoo.download`", "the bare client, unchecked"


# --- What is timed, in processes of its own ------------------------------------------


def time_loads(address: str, folder: str, cache: str, rounds: int) -> Any:
    """Seconds of loads from the cache and by path, one of each in turn."""
    import keras

    import aezoo

    loads: dict[str, Callable[[], Any]] = {
        "hub": lambda: aezoo.load(address, cache_dir=cache),
        "path": lambda: aezoo.load(folder),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loads}
    for i in range(rounds + 3):  # the first ones warm up
        for name in sorted(loads, reverse=bool(i % 2)):
            keras.utils.clear_session()
            start = time.perf_counter()
            loads[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: values[3:] for name, values in seconds.items()}


def time_hashing(size: int, rounds: int) -> Any:
    """Seconds for the hash of a file that the operating system has in memory."""
    from aezoo.utils.files import sha256_of

    seconds = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "file"
        path.write_bytes(os.urandom(size))
        for _ in range(rounds):
            start = time.perf_counter()
            sha256_of(path)
            seconds.append(time.perf_counter() - start)
    return seconds


def time_downloads(who: str, repo_ids: list[str]) -> Any:
    """Seconds for all models, into an empty cache."""
    from huggingface_hub import hf_hub_download

    import aezoo
    import aezoo.store.cache
    import aezoo.store.folder  # imports Keras, before the clock starts

    def bare(repo_id: str) -> None:
        for filename in FILES:
            hf_hub_download(repo_id, filename, cache_dir=cache)

    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        if who == OURS:
            addresses = [f"hf://{repo_id}" for repo_id in repo_ids]
            aezoo.download(addresses, cache_dir=cache, max_workers=WORKERS)
        else:
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(bare, repo_ids))
        return time.perf_counter() - start


MEASURES = {f.__name__: f for f in (time_loads, time_hashing, time_downloads)}


def command(measure: Callable[..., Any], *arguments: Any) -> list[str]:
    """The command of a process that runs one of the functions above."""
    call = json.dumps([measure.__name__, *arguments])
    return [sys.executable, "-m", "benchmarks.hub_speed", "--measure", call]


# --- Reports -------------------------------------------------------------------------


def report_loads(hub: Any, folders: dict[str, Path], rounds: int) -> list[str]:
    """Cached and pinned loads beside loads by path; returns verdicts."""
    rows, verdicts = [], []
    size = {name: folder_bytes(folder) for name, folder in folders.items()}
    env = {"HF_ENDPOINT": hub.url}
    with tempfile.TemporaryDirectory() as cache:
        for name in (min(size, key=size.__getitem__), max(size, key=size.__getitem__)):
            address = f"hf://org/{name}@{hub.revision(f'org/{name}')}"
            arguments = address, str(folders[name]), cache
            run_fresh(command(time_loads, *arguments, 1), env)
            requests = len(hub.requests)
            seconds = run_fresh(command(time_loads, *arguments, rounds), env)
            requests = len(hub.requests) - requests
            by_path, by_hub = (statistics.median(seconds[k]) for k in ("path", "hub"))
            ratio = median_ratio(seconds["hub"], seconds["path"])
            rows.append(
                [
                    name,
                    f"{size[name] / 1e6:.2f}",
                    f"{by_path * 1e3:.2f}",
                    f"{by_hub * 1e3:.2f}",
                    f"{ratio:.3f}",
                    requests,
                ]
            )
            label = f"cached load of {name}, requests"
            verdicts.append(verdict(label, requests, 0, at_least=False))
            label = f"cached load of {name}, times a load by path"
            verdicts.append(verdict(label, ratio, 1.05, at_least=False))
    header = ["model", "MB", "by path, ms", "from the cache, ms", "ratio", "requests"]
    print(f"### A cached, pinned load\n\n{rounds} of each in turn, medians.\n")
    print(markdown_table(header, rows) + "\n", flush=True)
    return verdicts


def report_downloads(hub: Any, folders: dict[str, Path], rounds: int) -> list[str]:
    """All models from an unlimited and from a slow server; returns verdicts."""
    repo_ids = [f"org/{name}" for name in folders]
    size = {name: folder_bytes(folder) for name, folder in folders.items()}
    slowest, total = max(size.values()) / RATE, sum(size.values()) / RATE
    runners = {
        who: (command(time_downloads, who, repo_ids), {"HF_ENDPOINT": hub.url})
        for who in (OURS, BARE)
    }
    fast = round_robin(runners, rounds)
    for name, count in size.items():
        pattern = f"/org/{name}/resolve/.*{FILES[1]}"
        delay = count / RATE / 10  # the server sends ten pieces
        hub.fault(pattern, method="GET", chunk_delay=delay, times=None)
    slow = round_robin(runners, rounds)
    hub.clear_faults()
    rows = [
        [who, *(f"{statistics.median(r[who]):.2f}" for r in (fast, slow))]
        for who in runners
    ]
    rows.append(
        ["slowest file alone, all files in turn", "", f"{slowest:.2f}, {total:.2f}"]
    )
    header = ["seconds", "unlimited server", f"{RATE / 1e6:g} MB/s and connection"]
    megabytes = sum(size.values()) / 1e6
    print(f"### {len(size)} models, {megabytes:.0f} MB, {WORKERS} threads\n")
    print(markdown_table(header, rows) + "\n", flush=True)
    return [
        verdict(
            "all models from a slow server, times its slowest file",
            statistics.median(slow[OURS]) / slowest,
            1.5,
            at_least=False,
        ),
        verdict(
            "all models from a slow server, times the bare client",
            median_ratio(slow[OURS], slow[BARE]),
            1.1,
            at_least=False,
        ),
    ]


def folder_bytes(folder: Path) -> int:
    """Size of the weights of a saved model."""
    return (folder / FILES[1]).stat().st_size


def main() -> None:
    """Publish all bundled models to a loopback server and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load-rounds", type=int, default=100)
    parser.add_argument("--download-rounds", type=int, default=5)
    parser.add_argument("--measure", type=json.loads, help="used by itself")
    args = parser.parse_args()
    if args.measure:
        name, *arguments = args.measure
        print(json.dumps(MEASURES[name](*arguments)))
        return

    os.environ["HF_HUB_DISABLE_XET"] = "1"
    import aezoo
    from tests.hub_server import HubServer

    print(f"## The Hub\n\n{machine()}.\n")
    with tempfile.TemporaryDirectory() as scratch, HubServer() as hub:
        folders = {}
        for name in aezoo.list_models():
            model = aezoo.load(name, source="bundled")
            folders[name] = aezoo.save(model, Path(scratch) / name)
            files = {path.name: path.read_bytes() for path in folders[name].iterdir()}
            hub.add_repo(f"org/{name}", files)
        verdicts = report_loads(hub, folders, args.load_rounds)
        verdicts += report_downloads(hub, folders, args.download_rounds)
    seconds = statistics.median(run_fresh(command(time_hashing, 8_000_000, 50)))
    verdicts.append(verdict("SHA-256 of 8 MB, ms", seconds * 1e3, 20, at_least=False))
    print("\n".join(verdicts))


if __name__ == "__main__":
    main()
