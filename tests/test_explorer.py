"""What the explorer shows, without its page: the views, the shelf, the Space."""

import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import aezoo
from aezoo.cli import main
from aezoo.data.datasets import Dataset, DatasetError, load_dataset
from aezoo.errors import (
    ImageFileError,
    UnknownModelError,
    UnsupportedOperationError,
)
from aezoo.explorer import neighbours, views
from aezoo.explorer.neighbours import Neighbours
from aezoo.explorer.shelf import CAPACITY, Opened, Shelf, open_model
from tests.draws import chosen
from tests.zoo_fixtures import NAMES


@pytest.fixture(scope="module")
def digits() -> Opened:
    return open_model("conv_vae_mnist_z16")


def ran(answer: views.Answer, **known: Any) -> Any:
    """What the last line of an answer's Python computes."""
    *lines, last = ast.parse(answer.code).body
    scope = dict(known)
    exec(compile(ast.Module(lines, []), "code", "exec"), scope)
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), "code", "eval"), scope)


def test_a_shelf_keeps_few_models_and_shows_no_others(tiny_zoo: Path) -> None:
    del tiny_zoo
    names = tuple(NAMES)
    shelf = Shelf(names)
    opened = []
    for name in names:
        with shelf.use(name) as found:
            opened.append(found)
            assert found.model.name == name
    assert len(shelf._opened) == min(CAPACITY, len(names))
    with shelf.use(names[-1]) as again:
        assert again is opened[-1]
    for name in ("conv_vae_mnist_z17", "../secrets", "hf://a/b", "."):
        with pytest.raises(UnknownModelError, match="does not show"), shelf.use(name):
            pass


def test_units_are_sorted_as_they_were_measured(digits: Opened) -> None:
    entry = aezoo.describe(digits.name)
    kl = entry.metric("kl_per_dim")
    assert kl is not None
    assert kl.values is not None
    order = np.argsort(-np.array(kl.values), kind="stable")
    assert [unit.index for unit in digits.units] == order.tolist()
    assert digits.units[0].measure == "KL"
    assert all(unit.reach >= 3 for unit in digits.units)


def test_units_of_unknown_models_are_sorted_by_variance(tmp_path: Path) -> None:
    model = aezoo.create("dense_ae", latent_dim=3, input_shape=(8, 8, 1))
    opened = open_model(str(aezoo.save(model, tmp_path / "mine")))
    z = model.encode(opened.examples(64, 0))
    order = np.argsort(-z.var(axis=0), kind="stable")
    assert [unit.index for unit in opened.units] == order.tolist()
    assert opened.sources == ()
    with pytest.raises(UnsupportedOperationError, match="no prior"):
        views.random_code(opened, 0)
    with pytest.raises(UnsupportedOperationError, match="Nobody says"):
        Neighbours().of(opened, opened.examples(1, 0))


@pytest.mark.parametrize(
    "name", chosen(["kl_flux", "tiny", "vq", "mae"], ["kl_flux", "mae"])
)
def test_models_of_diffusers_and_transformers(name: str) -> None:
    folder = Path(__file__).parent / "fixtures" / "imports" / name
    opened = open_model(str(folder))
    x = opened.examples(2, 0)
    answer, _ = views.reconstruction(opened, x[:1])
    expected = opened.model.reconstruct(x[:1])
    np.testing.assert_array_equal(ran(answer, x=x[:1]), expected)
    assert answer.picture is not None
    with pytest.raises(UnsupportedOperationError, match="no prior"):
        views.random_code(opened, 0)


def test_a_code_and_the_lines_that_decode_it(digits: Opened) -> None:
    z = views.random_code(digits, seed=3)
    answer = views.decoded(digits, z)
    assert answer.picture is not None
    assert answer.picture.dtype == np.uint8
    assert min(answer.picture.shape) >= views.HEIGHT
    expected = digits.model.decode(z)
    np.testing.assert_allclose(ran(answer), expected, atol=0.02)
    again = views.random_code(digits, seed=3)
    np.testing.assert_array_equal(z, again)


def test_samples_and_the_line_that_draws_them(digits: Opened) -> None:
    answer = views.samples(digits, 5, 7, "gmm")
    sheet = digits.model.modality.sheet(
        digits.model.modality.check(ran(answer)), 3, views.ROW_HEIGHT
    )
    np.testing.assert_array_equal(answer.picture, sheet[..., 0])
    with pytest.raises(ValueError, match="at most 100"):
        views.samples(digits, 101, 0, "prior")
    with pytest.raises(UnsupportedOperationError, match="no source"):
        views.samples(digits, 1, 0, "flow")


def test_a_reconstruction_its_error_and_its_code(digits: Opened) -> None:
    x = digits.examples(1, 0)
    answer, code = views.reconstruction(digits, x)
    assert "mean squared error per pixel 0.0" in answer.note
    z = digits.model.encode(x)[0]
    assert dict(code) == {f"z{i}": pytest.approx(float(z[i])) for i in range(16)}
    assert code[0][0] == f"z{digits.units[0].index}"
    np.testing.assert_array_equal(ran(answer, x=x), digits.model.reconstruct(x))


def test_a_path_begins_and_ends_with_the_reconstructions(digits: Opened) -> None:
    a, b = digits.examples(2, 0)[:1], digits.examples(2, 0)[1:]
    whole, positions = views.path(digits, a, b, "spherical")
    assert len(positions) == views.POSITIONS
    for x, answer in ((a, positions[0]), (b, positions[-1])):
        shown = views.show(digits, digits.model.reconstruct(x), "")
        difference = np.abs(shown.picture.astype(int) - answer.picture)  # type: ignore[union-attr]
        assert difference.max() <= 1
    assert ran(whole, a=a[0], b=b[0]).shape == (views.POSITIONS, 28, 28, 1)


def test_the_plane_moves_two_units_alone(digits: Opened) -> None:
    z = views.code_of(digits, digits.examples(1, 0))
    across, down = digits.units[0].index, digits.units[1].index
    answer = views.manifold(digits, z, across, down)
    assert answer.picture is not None
    codes = []
    for y in views.axis(digits, down)[::-1]:
        for x in views.axis(digits, across):
            z[0, [across, down]] = x, y
            codes.append(z.copy())
    found = digits.model.decode(np.concatenate(codes))
    expected = views.show(digits, found, "", columns=views.GRID, height=32).picture
    assert np.abs(answer.picture.astype(int) - expected).max() <= 1
    with pytest.raises(UnsupportedOperationError, match="no unit 99"):
        views.axis(digits, 99)


def test_two_models_beside_each_other(digits: Opened) -> None:
    second = open_model("dense_ae_mnist_z2")
    answers = views.compared(digits, second, seed=0, n=4)
    assert [answer is None for answer in answers] == [False, False, False, True]
    other = open_model("factor_vae_shapes")
    with pytest.raises(ValueError, match="Choose models of the same"):
        views.compared(digits, other, seed=0)


def test_what_can_be_compared_with_a_model() -> None:
    shelf = Shelf(aezoo.list_models())
    with shelf.use("dense_vae_mnist_z2") as opened:
        others = shelf.like(opened)
    assert "mnist" in others[0]
    assert others[-1] == opened.name
    assert "conv_vae_fashion_mnist" in others
    assert not {"factor_vae_shapes", "sentence_vae_tatoeba"} & set(others)


def test_levels_steps_sentences_and_classes() -> None:
    """What only some models have; of every such kind one."""
    draw = open_model("draw_mnist")
    assert not draw.units  # a code of a step is a row
    _, drawn = views.steps(draw, draw.examples(2, 0), 2, 0)
    assert drawn is not None
    assert "10 in all" in drawn.note or "16 in all" in drawn.note
    text = open_model("sentence_vae_tatoeba")
    answer, _ = views.reconstruction(text, views.read_text(text, "I am happy."))
    assert answer.picture is None
    assert answer.lines[0] == "i am happy ."
    assert len(answer.lines) == 2
    assert len(views.samples(text, 3, 0, "prior").lines) == 3
    for words in ("", "word " * 50):
        with pytest.raises(ValueError, match="sentence"):
            views.read_text(text, words)
    told = open_model("conditional_vae_mnist")
    assert told.num_classes == 10
    z = views.code_of(told, told.examples(1, 0), label=3)
    pictures = [views.decoded(told, z, label).picture for label in (3, 8)]
    assert not np.array_equal(*pictures)


def test_shapes_are_seen_and_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trimesh", reason="needs aezoo[shapes]")
    shapes = open_model(str(tiny_shapes(tmp_path / "shapes")))
    x = shapes.examples(2, 0)
    answer = views.show(shapes, x, "")
    assert answer.picture is not None
    assert answer.mesh.is_watertight
    assert len(answer.mesh.split()) == 2
    np.testing.assert_allclose(answer.mesh.bounds[1, 0], 1.1 + extent(x[1]), atol=0.01)
    assert views.show(shapes, np.zeros_like(x), "").mesh is None
    monkeypatch.setitem(sys.modules, "trimesh", None)
    without = views.show(shapes, x, "", note="Two.")
    assert without.mesh is None
    assert without.note.startswith("Two.")
    assert 'pip install "aezoo[shapes]"' in without.note


def tiny_shapes(folder: Path) -> Path:
    """A saved model of shapes."""
    modality = aezoo.modalities.Voxels(8, 8, 8)
    model = aezoo.create("vae", modality=modality, network="grid3d", latent_dim=2)
    return aezoo.save(model, folder)


def extent(solid: np.ndarray) -> float:
    """How far a shape reaches along the first axis of the unit cube."""
    return float(np.max(np.nonzero(solid)[0]) + 1) / len(solid)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"0" * 99])
def test_uploads_that_are_no_images(
    digits: Opened, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "upload.png"
    path.write_bytes(content)
    with pytest.raises(ImageFileError):
        views.read_upload(digits, path)


def test_neighbours_are_the_nearest_training_codes(
    digits: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:

    training = digits.model.modality.examples(40, seed=5)
    data = Dataset("mnist", "drawn", "train", training)
    monkeypatch.setattr(neighbours, "load_dataset", lambda *_: data)
    answer = Neighbours().of(digits, training[17:18])
    assert answer.picture is not None
    z = digits.model.encode(training)
    order = np.argsort(np.linalg.norm(z - z[17], axis=1))[: neighbours.SHOWN]
    assert order[0] == 17
    expected = views.show(
        digits,
        training[order],
        "",
        columns=neighbours.SHOWN,
        height=views.ROW_HEIGHT,
    )
    np.testing.assert_array_equal(answer.picture, expected.picture)
    assert "Of the first 40 training examples, the nearest first" in answer.note


def test_neighbours_without_the_data_say_how_to_get_it(
    digits: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "aezoo.explorer.neighbours.load_dataset",
        lambda name, split: load_dataset(name, split, tmp_path),
    )
    with pytest.raises(DatasetError, match=r"'mnist', split 'train', is not prepared"):
        Neighbours().of(digits, digits.examples(1, 0))


def command(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["explore", *map(str, arguments)])


def test_a_space_is_a_folder_to_push(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="Gradio is missing: aezoo[explore]")
    folder = tmp_path / "space"
    result = command("dense_vae_mnist_z2", "--export-space", folder)
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["README.md", "app.py", "requirements.txt"]
    app = (folder / "app.py").read_text()
    ast.parse(app)
    assert 'Page(Shelf(["adversarial_ae_mnist", ' in app
    assert '"dense_vae_mnist_z2")' in app
    assert (folder / "README.md").read_text().startswith("---\ntitle: aezoo explorer\n")
    again = command("--export-space", folder)
    assert again.exit_code == 1
    assert "is not empty" in again.output


def test_what_cannot_be_served_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    result = command()
    assert result.exit_code == 1
    assert 'pip install "aezoo[explore]"' in result.output
    monkeypatch.undo()
    pytest.importorskip("gradio", reason="Gradio is missing: aezoo[explore]")
    result = command("conv_vae_mnist_z17")
    assert result.exit_code == 1
    assert "Did you mean" in result.output
