"""Files of examples in a folder and its subfolders, in a fixed order."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def example_files(folder: Path, suffixes: Sequence[str]) -> Iterator[str]:
    """Names of the files of some kinds in a folder and its subfolders.

    Hidden files and folders are left out, such as the `._name` that macOS writes beside
    a file, and links to folders. What only looks like a file, such as a pipe or a
    broken link, is named: reading it says what is wrong.

    Args:
        folder: The folder.
        suffixes: What the names end in; with the dot, lower case.

    Yields:
        Relative paths with `/`, sorted part by part. The names of one folder at a time
        are in memory, and of those above it.

    Raises:
        OSError: If a folder cannot be read.
    """
    waiting = [("", True)]
    while waiting:
        name, is_folder = waiting.pop()
        if not is_folder:
            yield name
            continue
        prefix = f"{name}/" if name else ""
        with os.scandir(folder / name) as entries:
            found = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink())
                for entry in entries
                if not entry.name.startswith(".")
            )
        for name, is_folder, is_link in reversed(found):
            is_wanted = name.lower().endswith(tuple(suffixes))
            if is_folder or (
                is_wanted and not (is_link and (folder / prefix / name).is_dir())
            ):
                waiting.append((prefix + name, is_folder))
