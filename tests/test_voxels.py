"""Solid shapes: files in and out, what is refused, metrics, their data."""

import sys

import numpy as np
import pytest
import scipy.spatial
from click.testing import CliRunner

import aezoo
from aezoo.cli import main
from aezoo.data.datasets import load_dataset
from aezoo.errors import MissingDependencyError
from aezoo.evaluation.metrics import shapes as metrics
from aezoo.modalities import Voxels
from aezoo.modalities.voxel_files import ShapeFileError, resampled
from training.data import modelnet10

trimesh = pytest.importorskip("trimesh", reason="needs aezoo[shapes]")
GRID = Voxels(8, 8, 8)


def box(low, high, grid=(8, 8, 8)) -> np.ndarray:
    x = np.zeros(grid, "uint8")
    x[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return x


# --- Files ------------------------------------------------------------------------


def binvox(x: np.ndarray) -> bytes:
    """A file as binvox writes it: x, then z, then y, in runs."""
    cells, runs = x.transpose(0, 2, 1).reshape(-1), []
    for value in cells:
        if runs and runs[-1][0] == value and runs[-1][1] < 255:
            runs[-1][1] += 1
        else:
            runs.append([int(value), 1])
    dim = " ".join(map(str, (x.shape[0], x.shape[2], x.shape[1])))
    head = f"#binvox 1\ndim {dim}\ntranslate 0 0 0\nscale 1\ndata\n"
    return head.encode() + bytes(np.array(runs, "uint8").reshape(-1))


def test_grids_are_read_as_they_were_written(tmp_path) -> None:
    x = GRID.examples(3)
    GRID.write_many(x, tmp_path / "a.npz")
    found, note = GRID.read_many(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(found, x)
    assert note is None
    (tmp_path / "a.binvox").write_bytes(binvox(x[0]))
    found, note = GRID.read(tmp_path / "a.binvox")
    np.testing.assert_array_equal(found, x[0])
    assert note is None
    assert GRID.read(tmp_path / "a.npz")[1] == "the first of 3 shapes"


def test_a_grid_of_another_size_is_resampled_by_the_stated_rule(tmp_path) -> None:
    x = box((1, 0, 4), (3, 8, 5))
    fine = x.repeat(3, axis=0).repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_array_equal(resampled(fine[None], (8, 8, 8))[0], x)
    lonely = np.zeros((1, 24, 24, 24), "uint8")
    lonely[0, 5, 6, 23] = 1  # one cell of the file is enough
    assert np.argwhere(resampled(lonely, (8, 8, 8))[0]).tolist() == [[1, 2, 7]]
    coarse = resampled(x[None], (16, 16, 16))[0]
    np.testing.assert_array_equal(coarse[::2, ::2, ::2], x)
    assert coarse.sum() == 8 * x.sum()
    np.savez(tmp_path / "a.npz", voxels=fine)
    found, note = GRID.read(tmp_path / "a.npz")
    np.testing.assert_array_equal(found, x)
    assert note == "resampled from 24 x 24 x 24 to 8 x 8 x 8"


def test_a_mesh_fills_the_grid_with_what_it_encloses(tmp_path) -> None:
    trimesh.creation.box((2.0, 2.0, 1.0)).export(tmp_path / "box.obj")
    found, note = GRID.read(tmp_path / "box.obj")
    np.testing.assert_array_equal(found, box((0, 0, 2), (8, 8, 6)) | found)
    assert found.sum() <= 8 * 8 * 5  # centred: its faces lie between cells
    assert "12 faces" in note
    grid = Voxels(40, 40, 40)
    trimesh.creation.icosphere(4).export(tmp_path / "ball.stl")
    ball, _ = grid.read(tmp_path / "ball.stl")
    # every cell of the surface is a part of it: half a cell more all around
    assert ball.mean() == pytest.approx(4 / 3 * np.pi * (20.5 / 40) ** 3, rel=0.03)


def test_a_written_mesh_comes_back(tmp_path) -> None:
    x = np.stack([box((0, 2, 1), (8, 6, 4)), box((0, 0, 0), (8, 8, 8))])
    for suffix in GRID.outputs[1:]:
        GRID.write_many(x, tmp_path / f"two{suffix}")
        two = trimesh.load(tmp_path / f"two{suffix}", force="mesh")
        np.testing.assert_allclose(two.extents, [2.1, 1.0, 1.0], atol=1e-6)
        GRID.write(x[0], tmp_path / f"one{suffix}")
        assert GRID.read(tmp_path / f"one{suffix}")[0].sum() >= x[0].sum()
    with pytest.raises(ValueError, match="nothing is occupied"):
        GRID.write(np.zeros((8, 8, 8)), tmp_path / "none.obj")


def open_box(path) -> None:
    whole = trimesh.creation.box()
    trimesh.Trimesh(whole.vertices, whole.faces[1:]).export(path)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.obj", open_box, "is not watertight, so that it has no inside: 11 faces"),
        ("a.obj", lambda p: p.write_text("hello"), "no mesh|holds no faces"),
        ("a.stl", lambda p: p.write_bytes(b"\0" * 90), "no mesh|holds no faces"),
        ("a.vox", lambda p: p.touch(), "must end in one of .npz"),
        ("a.npz", lambda p: p.write_text("hello"), "is not a readable .npz archive"),
        ("a.npz", lambda p: np.savez(p, faces=np.ones(3)), "may be called image"),
        ("a.npz", lambda p: np.savez(p, voxels=np.ones(3)), r"Received: voxels.shape"),
        ("a.npz", lambda p: np.savez(p, voxels=np.full((2, 2, 2), np.nan)), "min=nan"),
        ("a.npz", lambda p: np.savez(p, voxels=np.ones((4, 8, 8))), "proportions"),
        ("a.binvox", lambda p: p.write_bytes(b"dim 1 1 1\ndata\n\1\1"), "no header"),
        (
            "a.binvox",
            lambda p: p.write_bytes(binvox(box((0, 0, 0), (8, 8, 4)))[:-2]),
            "is damaged: .* cells of 512",
        ),
        (
            "a.binvox",
            lambda p: p.write_bytes(b"#binvox 1\ndim 9999 9999 9999\ndata\n\1\1"),
            "more than 1024 cells",
        ),
    ],
)
def test_what_is_no_shape_is_refused(tmp_path, name, write, message) -> None:
    write(tmp_path / name)
    with pytest.raises(ShapeFileError, match=message):
        GRID.read(tmp_path / name)


def test_without_trimesh_the_extra_is_named(tmp_path, monkeypatch) -> None:
    (tmp_path / "a.obj").touch()
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(MissingDependencyError, match=r"aezoo\[shapes\]"):
        GRID.read(tmp_path / "a.obj")


def test_commands_take_and_write_shapes(tmp_path) -> None:
    model = aezoo.create(
        "vae",
        modality=GRID,
        network="grid3d",
        filters=(2,),
        strides=(2,),
        hidden_units=(4,),
        latent_dim=2,
    )
    folder = str(aezoo.save(model, tmp_path / "model"))
    a, b = tmp_path / "a.npz", tmp_path / "b.obj"
    GRID.write_many(GRID.examples(1), a)
    trimesh.creation.box((1.0, 2.0, 2.0)).export(b)
    out = {name: str(tmp_path / f"out.{name}") for name in ("png", "npz", "ply")}
    for command in (
        ["reconstruct", folder, str(a), str(b), "-o", out["png"]],
        ["sample", folder, "-n", "2", "-o", out["npz"]],
        ["interpolate", folder, str(a), str(b), "--steps", "3", "-o", out["ply"]],
    ):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
    assert "scaled to fill the grid" in result.output
    assert GRID.read_many(out["npz"])[0].shape == (2, 8, 8, 8)
    assert len(trimesh.load(out["ply"], force="mesh").faces)


# --- Metrics ----------------------------------------------------------------------


def test_volumes_in_common_in_closed_form() -> None:
    a = np.stack([box((0, 0, 0), (4, 8, 8)), box((0, 0, 0), (0, 0, 0))])
    b = np.stack([box((2, 0, 0), (6, 8, 8)), box((0, 0, 0), (0, 0, 0))])
    np.testing.assert_allclose(metrics.iou_of(a, 0.6 * b), [1 / 3, 1.0])
    assert metrics.iou_of(a[:1], b[1:]).tolist() == [0.0]


def test_chamfer_distances_in_closed_form_and_as_trees_find_them() -> None:
    point, other = box((1, 1, 1), (2, 2, 2)), box((4, 5, 1), (5, 6, 2))
    assert metrics.chamfer_of(point[None], other[None])[0, 0] == pytest.approx(5.0)
    # a plane, and one two cells further
    planes = np.stack([box((2, 0, 0), (3, 8, 8)), box((4, 0, 0), (5, 8, 8))])
    np.testing.assert_allclose(metrics.chamfer_of(planes, planes), [[0, 2], [2, 0]])
    empty = np.zeros((1, 8, 8, 8))
    assert metrics.chamfer_of(planes[:1], empty)[0, 0] == pytest.approx(7 * 3**0.5)
    assert metrics.chamfer_of(empty, empty)[0, 0] == 0.0

    def surface(shape: np.ndarray) -> np.ndarray:
        padded = np.pad(shape, 1)
        beside = [np.roll(padded, s, a) for a in range(3) for s in (1, -1)]
        inner = np.logical_and.reduce([v[1:-1, 1:-1, 1:-1] for v in beside])
        return np.argwhere((shape == 1) & ~inner)

    x, y = GRID.examples(3), GRID.examples(5, seed=1)[3:]
    for i, j in np.ndindex(3, 2):
        a, b = surface(x[i]), surface(y[j])
        there, _ = scipy.spatial.cKDTree(b).query(a)
        back, _ = scipy.spatial.cKDTree(a).query(b)
        expected = (there.mean() + back.mean()) / 2
        assert metrics.chamfer_of(x, y)[i, j] == pytest.approx(expected, rel=1e-5)


def test_samples_cover_what_they_are_nearest_to() -> None:
    x = np.stack([box((i, 0, 0), (i + 1, 8, 8)) for i in (0, 3, 6)])

    class Drawn:
        def sample(self, n, seed, sampler):  # noqa: ARG002
            return x[[0, 0, 1]].astype("float32")

    class Measured:
        model, examples, modality, num_samples, seed = Drawn(), x, GRID, 3, 0

        def cached(self, _, compute):
            return compute()

    assert metrics.sample_coverage(Measured(), "prior") == pytest.approx(2 / 3)
    found = metrics.minimum_matching_distance(Measured(), "prior")
    assert found.value == pytest.approx(1.0)  # 0, 0, and 3 of the third


def test_a_model_of_shapes_is_measured() -> None:
    model = aezoo.create(
        "vae", modality=GRID, network="grid3d", filters=(2,), strides=(2,), latent_dim=2
    )
    wanted = ["iou", "chamfer", "minimum_matching_distance", "sample_coverage"]
    report = aezoo.evaluate(model, GRID.examples(6), metrics=wanted)
    assert 0.0 <= report["iou"].value <= 1.0
    assert report["chamfer"].unit == "voxels"
    assert "all 6 shapes" in report["sample_coverage"].protocol


# --- Data -------------------------------------------------------------------------


def test_modelnet_is_made_of_the_public_archive(tmp_path) -> None:
    rng = np.random.default_rng(0)
    splits = {}
    for split, n in (("train", 41), ("test", 4)):
        x = np.zeros((n, 14, 14, 14), "int32")
        x[:, 3:-3, 3:-3, 3:-3] = rng.random((n, 8, 8, 8)) < 0.5
        x[1] = 0  # empty
        splits |= {f"X_{split}": x, f"y_{split}": np.arange(n) % 10}
    np.savez(tmp_path / "modelnet10.npz", **splits)
    counts = modelnet10.build(tmp_path / "modelnet10.npz", tmp_path / "modelnet10")
    assert counts == {"train": 76, "valid": 2, "test": 3}
    train = load_dataset("modelnet10", "train", tmp_path)
    kept = np.delete(splits["X_train"][:, 3:-3, 3:-3, 3:-3], 1, axis=0)
    np.testing.assert_array_equal(train.examples[-2:], kept[[19, 39]])
    np.testing.assert_array_equal(train.examples[0], kept[0])
    np.testing.assert_array_equal(train.examples[38], kept[0, ::-1])
    assert train.labels[-1] == splits["y_train"][40]
    test = load_dataset("modelnet10", "test", tmp_path)
    assert test.examples.shape == (3, 8, 8, 8)
    assert test.labels.tolist() == [0, 2, 3]


def test_the_nearest_known_shape_has_most_in_common() -> None:
    from benchmarks.shapes import nearest

    known = np.stack([box((0, 0, 0), (3, 8, 8)), box((5, 0, 0), (8, 8, 8))])
    x = np.stack([box((4, 0, 0), (8, 8, 8)), box((0, 0, 0), (2, 8, 8))])
    np.testing.assert_allclose(nearest(x, known), [3 / 4, 2 / 3], rtol=1e-6)
