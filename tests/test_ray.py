"""The encoder in Ray Data's workers."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aezoo
from aezoo.errors import UnsupportedOperationError
from aezoo.features.ray import Encoder
from aezoo.modalities.image.digits import draw_digits
from tests.draws import exhaustive

ROOT = Path(__file__).parent.parent
NAME = "conv_ae_mnist_z32"


@pytest.fixture
def encoder(tiny_zoo: Path) -> Encoder:  # noqa: ARG001
    return Encoder(NAME)


def test_batches_get_a_column_of_features(encoder: Encoder) -> None:
    images, labels = draw_digits(5, seed=0)
    expected = aezoo.load(NAME).encode(images)
    for pixels in (images, images[..., 0], images / 255.0):
        found = encoder({"image": pixels, "label": labels})
        assert list(found) == ["label", "feature"]
        np.testing.assert_allclose(found["feature"], expected, atol=1e-5)
    kept = Encoder(NAME, column="x", feature_column="z", keep_column=True)
    assert list(kept({"x": images})) == ["x", "z"]


def test_what_is_no_batch_of_images_is_refused(encoder: Encoder) -> None:
    images, _ = draw_digits(2, seed=0)
    with pytest.raises(KeyError, match=r"no column 'image' of images\. Rec"):
        encoder({"picture": images})
    with pytest.raises(ValueError, match=r"size=\(28, 28\), mode='L'"):
        encoder({"image": images[:, :14]})
    with pytest.raises(UnsupportedOperationError, match="'feature' is there already"):
        encoder({"image": images, "feature": images})


@pytest.mark.slow
@exhaustive  # about a minute: two nodes and four workers start
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason='needs Ray: `pip install "aezoo[ray]"`',
)
def test_two_nodes_encode_every_row_once_though_a_worker_is_killed(
    tmp_path: Path,
) -> None:
    """A real cluster on the loopback interface, in a process of its own."""
    images, _ = draw_digits(48, seed=0)
    folder, marker = tmp_path / "digits", tmp_path / "killed"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f"{i:02}.png")
    done = subprocess.run(
        [sys.executable, "-m", "tests.ray_run", str(folder), str(marker), NAME],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # Ray writes there too, of the worker that was killed.
    lines = done.stdout.splitlines()
    found = json.loads(next(line for line in lines if line.startswith("{")))
    assert len(found["nodes"]) == 2
    assert set(found["nodes"]) == {"127.0.0.1"}
    assert found["columns"] == ["feature", "path", "pid"]
    assert sorted(found["paths"]) == [f"{i:02}.png" for i in range(48)]
    assert int(marker.read_text()) not in found["pids"], "the killed process"
    order = [int(path[:2]) for path in found["paths"]]
    expected = aezoo.load(NAME).encode(images[order])
    np.testing.assert_allclose(found["features"], expected, atol=1e-4)
