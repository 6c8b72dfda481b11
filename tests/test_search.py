"""Neighbours, clusters and outliers: the functions, and the commands around them."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import aezoo
from aezoo import modalities
from aezoo.data.streams import open_stream
from aezoo.errors import (
    ExampleFileError,
    ImageFileError,
    MissingDependencyError,
    UnsupportedOperationError,
)
from aezoo.features.search import (
    cluster,
    nearest,
    outlier_scores,
    read_examples,
    reconstruction_errors,
    write_table,
)
from aezoo.features.streaming import encode_to_parquet, read_features
from aezoo.modalities.image.digits import draw_digits
from tests.test_cli import aezoo_command, fail, succeed

NAME, VAE = "conv_ae_mnist_z32", "conv_vae_mnist_z16"
pytestmark = pytest.mark.usefixtures("tiny_zoo")


@pytest.fixture
def blobs(rng) -> tuple[np.ndarray, np.ndarray]:
    """Three groups of points in five dimensions, 40, 30 and 20."""
    labels = np.repeat([7, 3, 5], [40, 30, 20])
    centers = {7: 0.0, 3: 10.0, 5: -10.0}
    points = rng.normal(size=(90, 5)) + np.array([centers[i] for i in labels])[:, None]
    return points.astype("float32"), labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """12 digits in two class folders."""
    images, _ = draw_digits(12, seed=0)
    for i, image in enumerate(images):
        place = tmp_path / "digits" / f"class{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{i:02}.png")
    return tmp_path / "digits"


@pytest.fixture
def parquet(folder: Path, tmp_path: Path) -> Path:
    return encode_to_parquet(NAME, folder, tmp_path / "features.parquet").path


# --- Functions ------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_are_the_nearest(rng, metric: str) -> None:
    x = rng.normal(size=(50, 6)).astype("float32")
    queries = rng.normal(size=(3, 6)).astype("float32")
    found = nearest(queries, x, 4, metric)
    for query, indices, distances in zip(
        queries, found.indices, found.distances, strict=True
    ):
        if metric == "cosine":
            norms = np.linalg.norm(x, axis=1) * np.linalg.norm(query)
            expected = 1 - x @ query / norms
        else:
            expected = np.linalg.norm(x - query, axis=1)
        assert indices.tolist() == np.argsort(expected)[:4].tolist()
        np.testing.assert_allclose(distances, np.sort(expected)[:4], atol=1e-5)


def test_clusters_are_found_largest_first(blobs) -> None:
    points, labels = blobs
    found = cluster(points, 3, labels=labels)
    assert np.bincount(found.clusters).tolist() == [40, 30, 20]
    assert (found.ari, found.nmi) == (1.0, pytest.approx(1.0))
    np.testing.assert_allclose(found.centers[1], points[40:70].mean(axis=0), rtol=1e-4)
    distance = np.linalg.norm(points[0] - found.centers[0])
    assert found.distances[0] == pytest.approx(distance, rel=1e-5)
    alone = cluster(points, 3)
    assert alone.ari is alone.nmi is None
    np.testing.assert_array_equal(alone.clusters, found.clusters)


@pytest.mark.parametrize("method", ["mahalanobis", "knn"])
def test_outliers_score_highest(blobs, method: str) -> None:
    usual = blobs[0][:40]
    strange = np.concatenate([usual[:5], np.full((1, 5), 8.0, "float32")])
    scores = outlier_scores(strange, usual, method, k=3)
    assert scores.argmax() == 5
    assert scores[5] > 3 * scores[:5].max()
    own = outlier_scores(np.concatenate([usual, strange[5:]]), method=method, k=3)
    assert own.argmax() == 40


def test_scores_are_as_defined(blobs) -> None:
    x = blobs[0][:40]
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
    expected = np.sort(distances, axis=1)[:, 3]  # the first is the point itself
    np.testing.assert_allclose(outlier_scores(x, None, "knn", k=3), expected, rtol=1e-4)
    many = np.random.default_rng(0).normal(size=(5000, 2)) * [1.0, 10.0]
    found = outlier_scores(np.array([[2.0, 0.0], [0.0, 20.0]]), many)
    np.testing.assert_allclose(found, [2.0, 2.0], rtol=0.05)


def test_wrong_features_are_refused(blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    points, labels = blobs
    with pytest.raises(ValueError, match="`metric` must be one of 'cosine'"):
        nearest(points, points, 3, "cosin")
    with pytest.raises(ValueError, match="`queries` must have as many columns"):
        nearest(points[:, :3], points)
    with pytest.raises(
        ValueError, match="91 neighbours need at least as many examples"
    ):
        nearest(points, points, 91)
    with pytest.raises(ValueError, match=r"`features` must be floats of shape \(n, d"):
        nearest(points, points[0])
    with pytest.raises(ValueError, match="`features` must be finite"):
        cluster(points * np.nan)
    with pytest.raises(ValueError, match="`k` must be an integer of at least 2"):
        cluster(points, 1)
    with pytest.raises(ValueError, match=r"labels.shape=\(3,\)"):
        cluster(points, 2, labels=labels[:3])
    with pytest.raises(ValueError, match="Did you mean 'knn'"):
        outlier_scores(points, method="kn")
    with pytest.raises(ValueError, match="`reference` must have as many columns"):
        outlier_scores(points, points[:, :2])
    with pytest.raises(ValueError, match="90 neighbours need"):
        outlier_scores(points[:9], points[:80], "knn", k=90)
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    with pytest.raises(MissingDependencyError, match=r'install "aezoo\[features\]"'):
        nearest(points, points)


def test_reconstruction_errors_are_those_of_the_model(folder: Path) -> None:
    broken = folder / "class0" / "broken.png"
    broken.write_bytes(b"no image")
    model = aezoo.load(NAME)
    stream = open_stream(folder, model.modality)
    found = reconstruction_errors(model, stream, 5, on_error="skip")
    assert [path for path, _ in found.skipped] == [str(broken)]
    x = np.stack([np.asarray(Image.open(path))[..., None] for path in found.paths])
    expected = np.mean((x / 255.0 - model.reconstruct(x / 255.0)) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(found.errors, expected, rtol=1e-4)
    with pytest.raises(ExampleFileError, match=r"broken\.png is not an image"):
        reconstruction_errors(model, stream)


def test_pictures_come_from_where_features_do(tmp_path: Path, folder: Path) -> None:
    modality = modalities.Image(28, 28, 1)
    images, labels = draw_digits(6, seed=0)
    (tmp_path / "drawn").mkdir()
    path = tmp_path / "drawn" / "test.npz"
    np.savez(path, images=images, labels=labels)
    for source in (str(path), "drawn/test"):
        stream = open_stream(source, modality, data_dir=tmp_path)
        metadata = {"kind": stream.kind, "source": stream.name}
        paths = [f"{stream.name}/{i}" for i in (4, 1)]
        found = read_examples(paths, metadata, modality, data_dir=tmp_path)
        np.testing.assert_array_equal(found, images[[4, 1]])
    with pytest.raises(UnsupportedOperationError, match="were arrays in memory"):
        read_examples(["examples/test/0"], {"kind": "array"}, modality)
    with pytest.raises(ImageFileError, match="does not exist"):
        read_examples([str(folder / "gone.png")], {"kind": "folder"}, modality)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_are_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    write_table(path, {"path": np.array(["a,b", "c"]), "score": np.array([0.5, 2.0])})
    if suffix == ".csv":
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows == [["path", "score"], ["a,b", "0.5"], ["c", "2.0"]]
    else:
        assert pq.read_table(path).to_pydict() == {
            "path": ["a,b", "c"],
            "score": [0.5, 2],
        }
    with pytest.raises(ValueError, match=r"must end in \.csv, \.parquet"):
        write_table(tmp_path / "table.xls", {})


# --- Commands -------------------------------------------------------------------------


def test_encode_writes_parquet_and_goes_on(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    told = succeed("encode", NAME, folder, "-o", output, "--batch-size", 5)
    assert f"Wrote {output} (12 rows of 32 numbers" in told
    told = succeed("encode", NAME, folder, "-o", output, "--batch-size", 5)
    assert "12 images had been encoded before." in told
    assert "holds other features" in fail("encode", VAE, folder, "-o", output)
    succeed("encode", VAE, folder, "-o", output, "--overwrite")
    assert read_features(output).features.shape == (12, 16)


def test_encode_lists_conversions_and_what_it_skips(
    folder: Path, tmp_path: Path
) -> None:
    Image.new("L", (56, 56)).save(folder / "class0" / "big.png")
    (folder / "class1" / "bad.png").write_bytes(b"no image")
    output = tmp_path / "out.parquet"
    assert "bad.png is not an image" in fail("encode", NAME, folder, "-o", output)
    result = aezoo_command(
        *("encode", NAME, folder, "-o", output, "--on-error", "skip")
    )
    assert result.exit_code == 0, result.output
    assert "1 file: 56x56 L -> 28x28 L: resized (Lanczos)" in result.stdout
    assert "bad.png is not an image that can be read" in result.stderr
    assert "1 file skipped" in result.stderr
    assert "(13 rows of 32 numbers" in result.stdout


def test_encode_tells_parquet_and_archives_apart(folder: Path, tmp_path: Path) -> None:
    image = next(folder.rglob("*.png"))
    out = tmp_path / "out"
    assert "takes one folder or dataset" in fail(
        *("encode", NAME, image, image, "-o", f"{out}.parquet"), code=2
    )
    assert "--layer belongs to .parquet files" in fail(
        *("encode", NAME, image, "-o", f"{out}.npz", "--layer", "stage1"), code=2
    )
    assert "There is no folder" in fail(
        *("encode", NAME, tmp_path / "no", "-o", f"{out}.parquet")
    )


def test_nearest_finds_the_image_itself(
    folder: Path, tmp_path: Path, parquet: Path
) -> None:
    query, picture = folder / "class1" / "05.png", tmp_path / "out.png"
    rows = json.loads(succeed("nearest", NAME, query, folder, "-k", 3, "--json"))
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert rows[0]["path"] == str(query)
    assert rows[0]["label"] == "class1"
    assert rows[0]["distance"] == pytest.approx(0.0, abs=1e-5)
    assert rows[1]["distance"] <= rows[2]["distance"]
    large = tmp_path / "large.png"
    Image.open(query).resize((56, 56)).save(large)  # converted, and nothing else said
    assert len(json.loads(succeed("nearest", NAME, large, folder, "--json"))) == 8
    told = succeed("nearest", NAME, query, parquet, "-k", 3, "-o", picture)
    lines = told.splitlines()
    assert lines[0].split() == ["rank", "path", "label", "distance"]
    assert [line.split()[1] for line in lines[1:4]] == [row["path"] for row in rows]
    with Image.open(picture) as image:
        scale = image.height // 32
        sheet = np.asarray(image)[::scale, ::scale]
    assert sheet.shape == (32, 4 * 30 + 2), "the query, then its neighbours"
    for place, path in enumerate([query, *(row["path"] for row in rows)]):
        left = 2 + 30 * place
        shown = sheet[2:30, left : left + 28]
        np.testing.assert_array_equal(shown, np.asarray(Image.open(path)))


def test_commands_take_features_of_a_layer(folder: Path, tmp_path: Path) -> None:
    output, layer = tmp_path / "out.parquet", ("--layer", "stage1", "--pooling", "avg")
    told = succeed("encode", NAME, folder, "-o", output, *layer)
    stage = next(info for info in aezoo.feature_info(NAME) if info.name == "stage1")
    assert f"12 rows of {stage.num_channels} numbers" in told
    query = folder / "class1" / "05.png"
    for source in (folder, output):
        rows = json.loads(succeed("nearest", NAME, query, source, *layer, "--json"))
        assert rows[0]["path"] == str(query)
    assert "Did you mean 'stage1'" in fail(
        "nearest", NAME, query, folder, "--layer", "stage11"
    )


def test_cluster_writes_a_table_and_a_picture(folder: Path, tmp_path: Path) -> None:
    table, picture = tmp_path / "out.csv", tmp_path / "out.png"
    told = succeed(
        *("cluster", NAME, folder, "-k", 3, "-o", table, "--picture", picture),
        *("--members", 2),
    )
    assert "Agreement with labels: ARI " in told
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert list(rows[0]) == ["path", "cluster", "distance"]
    sizes = np.bincount([int(row["cluster"]) for row in rows])
    assert sorted(sizes, reverse=True) == sizes.tolist()
    with Image.open(picture) as image:
        assert image.width * 92 == image.height * 62, "two columns, three rows"
    found = json.loads(succeed("cluster", NAME, folder, "-k", 3, "--json"))
    assert [each["examples"] for each in found["clusters"]] == sizes.tolist()
    assert -1.0 <= found["ari"] <= 1.0


@pytest.mark.parametrize("method", ["mahalanobis", "knn", "reconstruction"])
def test_outliers_ranks_images_by_their_scores(
    folder: Path, tmp_path: Path, parquet: Path, method: str
) -> None:
    table, picture = tmp_path / "out.csv", tmp_path / "out.png"
    told = succeed(
        *("outliers", NAME, folder, "--method", method, "-k", 2, "-n", 4),
        *("-o", table, "--picture", picture),
    )
    if method == "reconstruction":
        model = aezoo.load(NAME)
        found = reconstruction_errors(model, open_stream(folder, model.modality))
        scores = dict(zip(found.paths, found.errors, strict=True))
    else:
        encoded = read_features(parquet)
        found = outlier_scores(encoded.features, None, method, k=2)
        scores = dict(zip(encoded.paths, found, strict=True))
    ranked = sorted(scores, key=lambda path: -scores[path])
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ranked
    written = [float(row["score"]) for row in rows]
    assert written == pytest.approx([scores[path] for path in ranked], rel=1e-4)
    lines = told.splitlines()
    assert lines[0].split() == ["rank", "path", "score"]
    assert [line.split()[1] for line in lines[1:5]] == ranked[:4]
    with Image.open(picture) as image:
        assert image.width == image.height, "four images, two by two"


def test_outliers_with_a_reference(folder: Path, parquet: Path) -> None:
    rows = json.loads(
        succeed(
            *("outliers", NAME, folder, "--reference", parquet, "--json"),
            *("--method", "knn", "-k", 1, "-n", 3),
        )
    )
    assert [row["rank"] for row in rows] == [1, 2, 3]
    scores = [row["score"] for row in rows]
    assert scores == pytest.approx([0.0] * 3, abs=1e-3), "each is its own neighbour"


def test_commands_refuse_what_cannot_work(
    folder: Path, parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = folder / "class1" / "05.png"
    # All of it is told before a model is loaded.
    monkeypatch.setattr("aezoo.engines.load.load", None)
    assert f"Did you mean '{NAME}'" in fail("cluster", "conv_ae_mnist_32", folder)
    assert "13 neighbours need at least as many examples. Received: 12" in fail(
        "nearest", NAME, query, folder, "-k", 13
    )
    assert "13 clusters need" in fail("cluster", NAME, parquet, "-k", 13)
    assert "13 neighbours need" in fail(
        "outliers", NAME, folder, "--method", "knn", "-k", 12
    )
    assert "does not exist" in fail("nearest", NAME, tmp_path / "no.png", folder)
    assert "weights_sha256 is not that of conv_vae" in fail("cluster", VAE, parquet)
    assert "layer is not that" in fail("cluster", NAME, parquet, "--layer", "stage1")
    assert "There is no file" in fail("cluster", NAME, tmp_path / "no.parquet")
    assert "must end in .csv, .parquet" in fail(
        "cluster", NAME, folder, "-o", tmp_path / "out.txt"
    )
    assert "must end in .png" in fail(
        "outliers", NAME, folder, "--picture", tmp_path / "out.txt"
    )
    assert "--reference belongs to mahalanobis and knn" in fail(
        *("outliers", NAME, folder, "--method", "reconstruction"),
        *("--reference", folder),
        code=2,
    )
    assert "needs the examples: name their folder" in fail(
        "outliers", NAME, parquet, "--method", "reconstruction", code=2
    )
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for command in (["nearest", NAME, query], ["cluster", NAME], ["outliers", NAME]):
        assert 'pip install "aezoo[features]"' in fail(*command, folder)
