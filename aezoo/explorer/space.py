"""The page as a Hugging Face Space: a folder to push."""

import json
from collections.abc import Sequence
from pathlib import Path

import aezoo
from aezoo.utils.files import write_file

_APP = """\
\"\"\"The explorer of aezoo, on Hugging Face.\"\"\"

from aezoo.explorer.app import Page, launch
from aezoo.explorer.shelf import Shelf

page = Page(Shelf({names}), {first})
launch(page, server_name="0.0.0.0", server_port=7860)
"""
_CARD = """\
---
title: aezoo explorer
sdk: gradio
sdk_version: {gradio}
app_file: app.py
license: apache-2.0
short_description: Move through the latent spaces of pretrained autoencoders
---

# aezoo explorer

Move through what the autoencoders of aezoo have learnt. Made by
`aezoo explore --export-space`.
"""


def export_space(folder: Path, names: Sequence[str], first: str) -> Path:
    """Write a Space that shows models of the zoo.

    Args:
        folder: Where; it is created, and may exist if it is empty.
        names: Names from `aezoo.list_models()`.
        first: The model that it begins with.

    Returns:
        The folder, with `app.py`, `requirements.txt` and `README.md`.

    Raises:
        FileExistsError: If the folder holds files.
        MissingDependencyError: If Gradio, whose version the Space names, is missing.
    """
    from aezoo.explorer.components import gr

    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"The folder {folder} is not empty. Choose another.")
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "app.py": _APP.format(names=json.dumps(list(names)), first=json.dumps(first)),
        "requirements.txt": f"aezoo[explore,evaluation]=={aezoo.__version__}\n",
        "README.md": _CARD.format(gradio=gr.__version__),
    }
    for name, text in files.items():
        write_file(folder / name, text.encode())
    return folder
