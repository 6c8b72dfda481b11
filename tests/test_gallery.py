"""The README's gallery: which pictures it writes, how large, and without a dataset."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

import aezoo
from aezoo.data.datasets import DatasetError
from tests.draws import exhaustive
from training import gallery

TINY_HIERARCHY = {
    "blocks": ((1, 1), (7, 2)),
    "width": 8,
    "bottleneck": 6,
    "code_dim": 2,
}


def draw(out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(gallery.main, ["--out", str(out), *arguments])


@pytest.fixture(scope="module")
def _chains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    models = {
        "WRITER": aezoo.create("draw", steps=16, encoder_units=8, decoder_units=8),
        "DEEP": aezoo.create("hierarchical_vae", **TINY_HIERARCHY),
    }
    folders = {}
    for constant, model in models.items():
        folders[constant] = str(tmp_path_factory.mktemp(constant) / "model")
        aezoo.save(model, folders[constant])
    return folders


@pytest.fixture
def _no_dataset(
    tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch, _chains: dict[str, str]
) -> None:
    def load_dataset(*_: Any) -> None:
        raise DatasetError("MNIST is not prepared.")

    monkeypatch.chdir(tiny_zoo)  # no runs/ here
    for constant, folder in _chains.items():
        monkeypatch.setattr(gallery, constant, folder)
    monkeypatch.setattr(gallery, "load_dataset", load_dataset)


@exhaustive
@pytest.mark.usefixtures("_no_dataset")
def test_what_needs_no_dataset_is_drawn_and_the_same_at_every_run(
    tmp_path: Path,
) -> None:
    log = tmp_path / "some_run" / "log.csv"
    log.parent.mkdir()
    log.write_text("epoch,reconstruction,kl\n0,9,1\n1,8,2\n", encoding="utf-8")
    first = draw(tmp_path / "a", "--log", str(log))
    again = draw(tmp_path / "b")
    assert first.exit_code == again.exit_code == 0, first.output
    assert "No pictures of codes. MNIST is not prepared." in first.output
    assert "No curves: pass `--log" in again.output
    pictures = {path.name: path.read_bytes() for path in tmp_path.glob("a/*")}
    assert sorted(pictures) == [
        "curves.png",
        "deep_samples.png",
        "drawing.gif",
        "drawing.png",
        "interpolation.png",
        "levels.png",
        "manifold.png",
        "reconstruction.png",
        "resampled.png",
        "samples.png",
        "traversal.png",
    ]
    for path in tmp_path.glob("b/*"):
        assert path.read_bytes() == pictures.pop(path.name), path.name
    assert list(pictures) == ["curves.png"]
    for name in gallery.TITLES.keys() - {"scatter", "kl"}:
        with Image.open(tmp_path / "a" / f"{name}.png") as image:
            assert 700 < image.width < 1200, name
    with Image.open(tmp_path / "a" / "drawing.gif") as image:
        assert image.n_frames == 16


@pytest.mark.usefixtures("_no_dataset")
def test_a_missing_log_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    result = draw(tmp_path, "--log", str(tmp_path / "log.csv"))
    assert result.exit_code == 1
    assert "There is no training log" in result.output
    assert not list(tmp_path.iterdir())


def test_the_committed_pictures_are_small() -> None:
    pictures = list(gallery.FOLDER.iterdir())
    expected = {f"{name}.png" for name in gallery.TITLES} | {"drawing.gif"}
    assert expected <= {path.name for path in pictures}
    for path in pictures:
        limit = 200_000 if path.suffix == ".gif" else 120_000
        assert path.stat().st_size < limit, path.name
