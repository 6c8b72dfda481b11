"""The demo: four models, one poster, a line about each thing done."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from aezoo.cli import demo
from aezoo.errors import ChecksumError
from tests.zoo_fixtures import NAMES


@pytest.mark.usefixtures("tiny_zoo")
def test_it_writes_one_poster_and_says_what_it_did(tmp_path: Path) -> None:
    lines: list[str] = []
    demo.run(tmp_path / "demo.png", seed=0, report=lines.append)
    assert [p.name for p in tmp_path.iterdir()] == ["demo.png"]
    with Image.open(tmp_path / "demo.png") as image:
        width, height = image.size
        assert width > height > 1200
        assert len(image.convert("RGB").getcolors(2**24) or []) > 500
    told = "\n".join(lines)
    for name in NAMES:
        assert f"Loaded {name}" in told
    assert f"Sampled {demo.SAMPLE_ROWS * demo.SAMPLE_COLUMNS} digits" in told
    assert "mean squared error" in told
    assert lines[-1].startswith("Done in ")


@pytest.mark.usefixtures("tiny_zoo")
def test_the_posters_panels_lie_within_it_and_apart() -> None:
    figure = demo.make_poster(0, lambda _: None)
    boxes = [ax.get_position() for ax in figure.axes]
    assert len(boxes) == 5
    assert all(len(ax.images) == 1 for ax in figure.axes)
    for i, box in enumerate(boxes):
        assert 0 < box.x0 < box.x1 < 1
        assert 0 < box.y0 < box.y1 < 1
        assert not any(box.overlaps(other) for other in boxes[:i])


@pytest.mark.usefixtures("tiny_zoo")
def test_the_seed_decides_every_panel_but_the_map() -> None:
    def panels(seed: int) -> list[bytes]:
        figure = demo.make_poster(seed, lambda _: None)
        return [bytes(ax.images[0].get_array().data) for ax in figure.axes]

    first, again, other = panels(0), panels(0), panels(1)
    assert first == again
    # Panels in the order of drawing; the map of codes has no randomness.
    assert [a == b for a, b in zip(first, other, strict=True)] == [True, *[False] * 4]


def test_damaged_weights_stop_it_before_anything_is_written(
    tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_zoo / "weights", folder)
    damaged = folder / f"{demo.DENOISER}.weights.h5"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    monkeypatch.setattr("aezoo.manifest.weights_folder", lambda: folder)
    with pytest.raises(ChecksumError, match=f"{demo.DENOISER}.*does not match"):
        demo.run(tmp_path / "demo.png", seed=0, report=lambda _: None)
    assert not (tmp_path / "demo.png").exists()


def test_the_models_it_needs_are_those_of_the_tiny_zoo(tiny_zoo: Path) -> None:
    models = json.loads((tiny_zoo / "weights_manifest.json").read_text())["models"]
    needed = {demo.MANIFOLD, demo.GENERATOR, demo.PLAIN, demo.DENOISER}
    assert needed == set(models)
