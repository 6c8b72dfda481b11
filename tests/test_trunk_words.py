"""The trunk knows no images: what all modalities share does not name one of them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "aezoo"
TRUNK = (
    *("data/batches.py", "data/files.py", "data/streams.py", "engines/*.py"),
    *("evaluation/context.py", "evaluation/definition.py", "evaluation/leaderboard.py"),
    *("evaluation/report.py", "inference/*.py", "models/autoencoder.py"),
    *("models/batches.py", "models/entry_points.py", "models/inpainting.py"),
    *("models/passes.py", "models/training.py", "nn/backend/*.py"),
    *("nn/distributions/*.py", "registry.py", "samplers/*.py", "store/*.py"),
    "utils/*.py",
)
# The name of a stored figure, and what an entry without a modality is of.
NAMED = {"samplers/base.py": ["num_images"], "store/entry.py": ["Image"]}
WORDS = re.compile(r"image|pixel", re.IGNORECASE)


def words(source: str) -> Iterator[str]:
    """Names and texts of code that speak of images; documentation and imports may."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                node.names = []
            case ast.Expr(value=ast.Constant()):
                node.value = ast.Constant(None)
    for node in ast.walk(tree):
        match node:
            case (
                ast.Name(id=str(word))
                | ast.Attribute(attr=str(word))
                | ast.arg(arg=str(word))
                | ast.keyword(arg=str(word))
                | ast.Constant(value=str(word))
                | ast.FunctionDef(name=str(word))
                | ast.ClassDef(name=str(word))
            ):
                if WORDS.search(word):
                    yield word
            case ast.BinOp(op=ast.Div(), right=ast.Constant(value=255 | 255.0)):
                yield ast.unparse(node)


def test_what_is_found() -> None:
    source = '''"""Of images."""
from aezoo.modalities import image
def images(pixel): "Of a pixel."
x, y = f"{n} images", x / 255.0
'''
    assert sorted(words(source)) == [" images", "images", "pixel", "x / 255.0"]


@pytest.mark.parametrize("pattern", TRUNK)
def test_the_trunk_knows_no_images(pattern: str) -> None:
    files = sorted(PACKAGE.glob(pattern))
    assert files
    for file in files:
        name = file.relative_to(PACKAGE).as_posix()
        assert list(words(file.read_text("utf-8"))) == NAMED.get(name, []), name
