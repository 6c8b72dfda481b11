"""The lectures' pictures: drawn with small settings, and the page that has them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aezoo
from training import lectures

SMALL = lectures.Settings(digits=60, epochs=1, columns=4)
ROWS = {row.name: row for row in lectures.ROWS}


def test_the_page_is_what_the_command_writes_and_its_pictures_are_there() -> None:
    text = (lectures.DOCS / "lectures.md").read_text(encoding="utf-8")
    assert text == lectures.page()
    for row in lectures.ROWS:
        assert (lectures.DOCS / row.path).is_file(), row.name
        assert f"](#{lectures.anchor(row)})" in text
    assert sum(p.stat().st_size for p in (lectures.DOCS / "lectures").iterdir()) < 1e6


def test_the_weights_of_the_page_are_in_the_zoo() -> None:
    known = set(aezoo.list_models())
    for row in lectures.ROWS:
        assert set(row.weights) <= known, row.name


@pytest.mark.parametrize(
    "name",
    ["components", "balance", "eigenfaces", "frey", "completed", "checkerboards"],
)
def test_pictures_without_data_are_drawn(name: str, tmp_path: Path) -> None:
    assert lectures.draw((ROWS[name],), SMALL, tmp_path) == [name]
    with Image.open(tmp_path / f"{name}.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_pictures_of_data_wait_for_it(tmp_path: Path) -> None:
    rows = tuple(row for row in lectures.ROWS if row.dataset)
    assert rows
    assert lectures.draw(rows, SMALL, tmp_path) == []
