"""Saves and exports that are killed at every moment.

`python -m tests.kill_saves SCRATCH` forks one process after the other. The i-th dies by
SIGKILL at the i-th thing that it does to a file. What is then there must be whole: the
old or the new; and the next save must succeed and leave nothing else. Prints JSON: how
many were killed, by case. Keras is not involved, so that a fork is safe and cheap; nor
is the disk waited for, whose caches outlive a process.
"""

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from aezoo import manifest
from aezoo.manifest import WeightsFile, ZooGolden
from aezoo.utils import folders
from aezoo.utils.files import read_verified
from training.files import edited_manifest, put_files, remove_unused

STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod"}
STEPS |= {"aezoo.exchange"}
OURS = {"a", "b", "c"}
OLD = {"a": b"old", "b": b"old b"}
NEW = {"a": b"new", "c": b"new c"}


def killed_at(step: int | None, action: Callable[[], Any], scratch: Path) -> bool:
    """Run an action in a fork that dies at a step; whether it did."""
    process = os.fork()
    if process == 0:
        seen = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in STEPS and str(scratch) in str(arguments[0]):
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                seen += 1

        sys.addaudithook(hook)
        try:
            action()
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"The action failed at step {step}.")
    return os.WIFSIGNALED(status)


def content(folder: Path) -> dict[str, bytes] | None:
    """What is in a folder, which `aezoo.load` brings back where it was set aside."""
    folders.restore(folder)
    if not folder.is_dir():
        return None
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_save(scratch: Path, old: dict[str, bytes] | None) -> int:
    """Kill a save at every step; returns how many were killed."""
    for step in range(1000):
        scratch.mkdir()
        target = scratch / "model"

        def save(files: dict[str, bytes], target: Path = target) -> None:
            folders.write_folder(target, files, OURS, lambda: None)

        if old is not None:
            save(old)
            target.chmod(0o750)
        was_killed = killed_at(step, lambda s=save: s(NEW), scratch)
        found = content(target)
        if found not in ([old, NEW] if was_killed else [NEW]):
            raise RuntimeError(f"Killed at step {step}, this is there: {found}.")
        save({"b": b"last"})
        if content(target) != {"b": b"last"}:
            raise RuntimeError(f"After step {step}, saving again fails.")
        if old is not None and target.stat().st_mode & 0o777 != 0o750:
            raise RuntimeError(f"After step {step}, the mode is another.")
        if [path.name for path in scratch.iterdir()] != ["model"]:
            raise RuntimeError(f"After step {step}, stays {list(scratch.iterdir())}.")
        shutil.rmtree(scratch)
        if not was_killed:
            return step
    raise RuntimeError("It never ends.")


def check_export(scratch: Path) -> int:
    """Kill an export over an older one at every step."""
    entry = next(iter(manifest.entries().values()))
    versions = [
        {"weights.h5": b"weights %d" % i, "golden.npz": b"golden %d" % i}
        for i in range(3)
    ]

    def export(contents: dict[str, bytes]) -> None:
        with edited_manifest(scratch / "manifest.json") as document:
            files = put_files(entry.name, contents, scratch, document)
            weights, golden = files.values()
            document.models[entry.name] = replace(
                entry,
                weights=WeightsFile(weights.file, weights.bytes, weights.sha256),
                golden=ZooGolden(golden.file, golden.sha256),
                samplers={},
            )
        remove_unused(entry.name, scratch, document)

    for step in range(1000):
        scratch.mkdir()
        export(versions[0])
        was_killed = killed_at(step, lambda: export(versions[1]), scratch)
        found = exported(scratch, entry.name)
        if found not in (versions[:2] if was_killed else versions[1:2]):
            raise RuntimeError(f"Killed at step {step}, this is stated: {found}.")
        export(versions[2])
        left = [path.name for path in scratch.iterdir()]
        if exported(scratch, entry.name) != versions[2] or len(left) != 3:
            raise RuntimeError(f"After step {step}, stays {left}.")
        shutil.rmtree(scratch)
        if not was_killed:
            return step
    raise RuntimeError("It never ends.")


def exported(folder: Path, name: str) -> dict[str, bytes]:
    """What a manifest states, once every hash is right."""
    entry = manifest.read_manifest(folder / "manifest.json").models[name]
    files = {"weights.h5": entry.weights, "golden.npz": entry.golden}
    return {
        suffix: read_verified(folder / file.file, file.sha256, "")
        for suffix, file in files.items()
    }


def main(scratch: str) -> None:
    """Kill at step 0, 1, ... until an action has fewer steps."""
    os.fsync = lambda _: None
    place = Path(scratch)
    killed = {
        "new": check_save(place, None),
        "into an empty folder": check_save(place, {}),
        "exchanged": check_save(place, OLD),
        "export": check_export(place),
    }

    def unknown(*_: Any) -> None:
        raise OSError(errno.EINVAL, "")

    folders._exchange = unknown
    killed["set aside"] = check_save(place, OLD)
    sys.stdout.write(json.dumps(killed))


if __name__ == "__main__":
    main(*sys.argv[1:])
