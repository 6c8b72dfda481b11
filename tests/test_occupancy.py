"""Shapes as functions of a point: what is learnt from, and surfaces of any fineness."""

import re
import sys

import numpy as np
import pytest
import scipy.ndimage
import trimesh
from click.testing import CliRunner
from keras import ops

import aezoo
from aezoo.cli import main
from aezoo.errors import MissingDependencyError
from aezoo.modalities import Voxels
from aezoo.modalities.meshes import surface_mesh
from aezoo.models._surfaces import coarse_to_fine, refined
from aezoo.models.occupancy_vae import choose, interpolated, near_surface
from aezoo.networks import NetworkError
from aezoo.networks.occupancy import centres
from aezoo.registry import find_family


@pytest.fixture(scope="module")
def model():
    return aezoo.create("occupancy_vae", **find_family("occupancy_vae").tiny)


def numpy_of(tensor) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


# --- Points to learn from ---------------------------------------------------------


def test_near_is_what_has_both_kinds_around_it() -> None:
    x = Voxels(6, 5, 7).examples(3)
    cube = np.ones((3, 3, 3), bool)
    expected = [
        scipy.ndimage.binary_dilation(s, cube)
        & scipy.ndimage.binary_dilation(1 - s, cube)
        for s in x
    ]
    found = numpy_of(near_surface(ops.cast(x, "float32")[..., None]))[..., 0]
    np.testing.assert_array_equal(found, expected)


def test_grids_are_interpolated_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((2, 4, 3, 5), "float32")
    place = rng.uniform(-0.5, 2.5, (2, 50, 3)).astype("float32")
    expected = [
        scipy.ndimage.map_coordinates(g, p.T, order=1, mode="nearest")
        for g, p in zip(x, place, strict=True)
    ]
    found = numpy_of(interpolated(ops.convert_to_tensor(x), place))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_all_that_is_wanted_is_chosen_alike() -> None:
    wanted = np.array([[0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]], bool)
    draws = np.tile((np.arange(12, dtype="float32") + 0.5) / 12, (3, 1))
    cells, total = (numpy_of(v) for v in choose(ops.convert_to_tensor(wanted), draws))
    np.testing.assert_array_equal(total[:, 0], [3, 0, 2])
    np.testing.assert_array_equal(np.bincount(cells[0], minlength=5), [0, 4, 0, 4, 4])
    np.testing.assert_array_equal(np.bincount(cells[2], minlength=5), [6, 0, 0, 0, 6])
    assert cells.min() >= 0
    assert cells.max() < 5


def test_points_estimate_the_whole_grid() -> None:
    """Each cell drawn once, at its centre: the estimate is the sum itself."""
    tiny = {**find_family("occupancy_vae").tiny, "num_points": 216, "jitter": 0.0}
    x = Voxels(6, 6, 6).examples(4)[3:]
    near = numpy_of(near_surface(ops.cast(x, "float32")[..., None])).sum()
    assert 0 < near < 216
    model = aezoo.create("occupancy_vae", **{**tiny, "near_share": near / 216})
    draws = np.full((1, 216, 4), 0.5, "float32")
    draws[0, :near, 0] = (np.arange(near) + 0.5) / near
    draws[0, near:, 0] = (np.arange(216 - near) + 0.5) / (216 - near)
    outputs, target = model(x), model.modality.to_model(x)
    exact = numpy_of(model.reconstruction_term(target, outputs))
    told = {**outputs, "draws": ops.convert_to_tensor(draws)}
    np.testing.assert_allclose(
        numpy_of(model.reconstruction_term(target, told)), exact, rtol=1e-5
    )
    fewer = {**outputs, "draws": ops.convert_to_tensor(draws[:, ::5])}
    assert model.draw_points(target, fewer["draws"])[2].shape == (1, 44)


def test_a_point_is_occupied_as_its_cell_is(model) -> None:
    x = model.modality.examples(5)
    draws = np.random.default_rng(0).random((5, 32, 4), "float32")
    draws[..., 1:] = 0.5
    points, values, _ = (
        numpy_of(v) for v in model.draw_points(model.modality.to_model(x), draws)
    )
    cells = (points * 6).astype(int)
    for shape, at, occupied in zip(x, cells, values, strict=True):
        np.testing.assert_array_equal(shape[tuple(at.T)], occupied)
    assert 0 < values.mean() < 1


def test_it_learns_on_its_network_alone() -> None:
    with pytest.raises(NetworkError, match="must be 'occupancy'"):
        aezoo.create("occupancy_vae", network="grid3d")
    on_points = aezoo.create("iwae", network="occupancy", modality=Voxels(4, 4, 4))
    assert on_points.sample(2, seed=0).shape == (2, 4, 4, 4)


# --- Any resolution ---------------------------------------------------------------


def test_decode_asks_at_the_centres_of_cells(model) -> None:
    z = np.random.default_rng(0).normal(size=(3, 3)).astype("float32")
    points = centres((6, 6, 6)).reshape(-1, 3)
    found = model.occupancy(z, points).reshape(3, 6, 6, 6)
    np.testing.assert_allclose(found, model.decode(z), atol=1e-6)
    many = np.tile(points, (6, 1))  # beyond one block
    assert len(many) > 1024
    found = model.occupancy(z, np.stack([many] * 3), batch_size=2)
    np.testing.assert_allclose(
        found[:, -216:].reshape(3, 6, 6, 6), model.decode(z), atol=1e-6
    )


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0.5, 0.5, 1.2]], "in the unit cube"),
        ([[0.5, np.nan, 0.5]], "finite"),
        ([[0.5, 0.5]], r"must be numbers \(m, 3\)"),
        (np.zeros((2, 4, 3)), "for n=1 codes"),
    ],
)
def test_points_are_refused(model, points, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.occupancy(np.zeros((1, 3)), points)


def ball(points: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(points - np.array([0.5, 0.4, 0.5]), axis=1)
    return 1.0 / (1.0 + np.exp(40.0 * (distance - 0.3)))


def test_from_coarse_to_fine_finds_the_same_surface() -> None:
    assert coarse_to_fine(96) == [24, 48, 96]
    assert coarse_to_fine(50) == [25, 50]
    assert coarse_to_fine(47) == [47]
    seen = []

    def counted(points: np.ndarray) -> np.ndarray:
        seen.append(len(points))
        return ball(points)

    fine = surface_mesh(refined(counted, coarse_to_fine(64), 0.5))
    dense = surface_mesh(refined(ball, [64], 0.5))
    assert sum(seen) < 0.5 * 64**3
    np.testing.assert_allclose(fine.vertices, dense.vertices, atol=1e-6)
    assert fine.is_watertight
    assert fine.volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.01)
    np.testing.assert_allclose(fine.center_mass, [0.5, 0.4, 0.5], atol=1e-3)


def test_a_surface_at_the_rim_is_closed() -> None:
    full = surface_mesh(np.ones((4, 5, 6), "float32"))
    assert full.is_watertight
    assert full.volume == pytest.approx(1.0, abs=0.07)  # edges are cut
    assert not len(surface_mesh(np.zeros((4, 4, 4))).faces)


def test_models_have_meshes_of_any_resolution(model, tmp_path) -> None:
    z = model.encode(model.modality.examples(2))
    level = float(np.median(model.decode(z[:1])))
    for resolution in (6, 11):
        mesh = model.mesh(z[0], resolution=resolution, level=level)
        assert mesh.vertices.shape[1] == mesh.faces.shape[1] == 3
        assert len(mesh.faces)
        assert 0.0 <= mesh.vertices.min() <= mesh.vertices.max() <= 1.0
    assert mesh.is_watertight
    for suffix in ("obj", "ply", "stl"):
        path = tmp_path / f"shape.{suffix}"
        mesh.export(path)
        assert path.stat().st_size > 100
    with pytest.raises(ValueError, match="must be one code"):
        model.mesh(z)
    with pytest.raises(ValueError, match="`level` must be"):
        model.mesh(z[0], level=1.0)
    with pytest.raises(ValueError, match="`resolution` must be"):
        model.mesh(z[0], resolution=1)


def test_meshes_name_their_extra(model, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(MissingDependencyError, match=r"aezoo\[shapes\]"):
        model.mesh(np.zeros(3))


def test_the_command_writes_surfaces(tmp_path) -> None:
    model = aezoo.create("occupancy_vae", **find_family("occupancy_vae").tiny)
    # all of the cube is occupied
    next(w for w in model.decoder.weights[::-1] if w.path.endswith("bias")).assign(
        [9.0]
    )
    folder = str(aezoo.save(model, tmp_path / "model"))
    shapes = tmp_path / "shapes.npz"
    model.modality.write_many(model.modality.examples(2), shapes)
    output = tmp_path / "out.ply"
    faces = []
    for args in (
        [str(shapes), "--resolution", "4"],
        [str(shapes), "--resolution", "8"],
        ["-n", "3", "--resolution", "8"],
    ):
        result = CliRunner().invoke(main, ["mesh", folder, *args, "-o", str(output)])
        assert result.exit_code == 0, result.output
        mesh = trimesh.load(output, force="mesh")
        assert mesh.volume == pytest.approx(2 + ("-n" in args), abs=0.3)
        assert mesh.bounds[1][0] > 2 + ("-n" in args)  # side by side
        faces.append(len(mesh.faces))
    assert faces[0] < faces[1] < faces[2]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "a.obj"], "Give SHAPES, or -n"),
        (["b.npz", "-n", "2", "-o", "a.obj"], "Give SHAPES, or -n"),
        (["-n", "2", "-o", "a.png"], r"\.png"),
        (["-n", "2", "-o", "a.obj", "--sampler", "gmm"], "has no sampler 'gmm'"),
        (["-n", "2", "-o", "a.obj", "--resolution", "1"], "resolution"),
    ],
)
def test_the_command_refuses(model, tmp_path, monkeypatch, args, message) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(aezoo.save(model, tmp_path / "model"))
    result = CliRunner().invoke(main, ["mesh", folder, *args])
    assert result.exit_code != 0
    assert re.search(message, result.output)


def test_the_command_is_for_functions_of_a_point() -> None:
    result = CliRunner().invoke(
        main, ["mesh", "conv_vae_mnist_z16", "-n", "1", "-o", "a.obj"]
    )
    assert result.exit_code == 1
    assert "aezoo list --task surfaces" in result.output
