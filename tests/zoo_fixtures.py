"""A zoo of tiny untrained models in a temporary folder, under the demo's names.

`conftest.py` gives `tiny_zoo` to all tests, made once in a process; and `own_zoo`, a
copy that a test may change, or publish with `publish_zoo`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.hub_server import HubServer

NAMES = {
    "conv_ae_mnist_z32": ("conv_ae", 32, ("mse", 0.01)),
    "conv_vae_mnist_z16": ("conv_vae", 16, ("elbo", -97.0)),
    "denoising_conv_ae_mnist_z32": ("conv_ae", 32, ("mse", 0.02)),
    "dense_vae_mnist_z2": ("dense_vae", 2, ("elbo", -140.0)),
}
SMALL = {
    "conv_ae": {"filters": (4, 6), "hidden_units": (8,)},
    "conv_vae": {"filters": (4, 6), "hidden_units": (8,)},
    "dense_vae": {"hidden_units": (16,)},
}


@pytest.fixture(scope="session")
def _tiny_zoo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras
    import numpy as np

    import aezoo
    from aezoo.store.golden import golden_inputs, golden_tensors
    from aezoo.utils.files import sha256_of

    folder = tmp_path_factory.mktemp("zoo")
    weights = folder / "weights"
    weights.mkdir()
    models = {}
    for name, (family, latent_dim, (metric, value)) in NAMES.items():
        keras.utils.set_random_seed(len(models))
        model = aezoo.create(family, latent_dim=latent_dim, **SMALL[family])
        path = weights / f"{name}.weights.h5"
        model.save_weights(path)
        golden = weights / f"{name}.golden.npz"
        np.savez(golden, **golden_tensors(model, golden_inputs(model)))
        models[name] = {
            "family": family,
            "config": model.config,
            "description": "Tiny and untrained.",
            "paper": "https://arxiv.org/abs/1312.6114",
            "input_shape": [28, 28, 1],
            "value_range": [0.0, 1.0],
            "latent_shape": [latent_dim],
            "num_params": model.count_params(),
            "tasks": list(model.TASKS),
            "data": {
                "name": "mnist",
                "version": "3.0.1",
                "split": "train",
                "license": "CC BY-SA 3.0",
            },
            "license": "Apache-2.0",
            "seed": 0,
            "recipe": f"training/recipes/{name}.py",
            "training": {
                "hardware": "none",
                "seconds": 1.0,
                "backend": keras.backend.backend(),
                "versions": {"keras": keras.__version__},
            },
            "weights": {
                "file": path.name,
                "bytes": path.stat().st_size,
                "sha256": sha256_of(path),
            },
            "golden": {"file": golden.name, "sha256": sha256_of(golden)},
            "metrics": {"mnist/test": {metric: [value]}},
        }
    invented = [{"words": "invented", "unit": "none", "is_whole": True}]
    protocols = {"mse": invented, "elbo": invented}
    document = {"schema_version": 2, "protocols": protocols, "models": models}
    (folder / "weights_manifest.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def tiny_zoo(_tiny_zoo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a zoo that replaces the installed one during a test."""
    yield from installed(_tiny_zoo_folder, monkeypatch)


@pytest.fixture
def own_zoo(
    _tiny_zoo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A copy of the tiny zoo, installed as it is, that a test may change."""
    copy = shutil.copytree(_tiny_zoo_folder, tmp_path / "zoo")
    yield from installed(copy, monkeypatch)


def installed(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A zoo's folder as the package, where manifest and bundled weights are."""
    from aezoo import manifest

    monkeypatch.setattr(manifest, "PACKAGE", zoo)
    manifest.installed.cache_clear()
    yield zoo
    manifest.installed.cache_clear()


def change_entry(zoo: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a model's entry in the manifest of an own zoo."""
    from aezoo import manifest

    path = zoo / "weights_manifest.json"
    document = json.loads(path.read_text())
    change(document["models"][name])
    path.write_text(json.dumps(document))
    manifest.installed.cache_clear()


def publish_zoo(zoo: Path, hub: "HubServer", names: Iterable[str] = NAMES) -> None:
    """Commit models of an own zoo to `zoo/<name>` and pin them in its manifest."""
    from aezoo import manifest

    models = manifest.read_manifest(zoo / "weights_manifest.json").models
    for name in names:
        entry = models[name].to_dict()
        weights = (zoo / "weights" / entry["weights"]["file"]).read_bytes()
        golden = (zoo / "weights" / entry["golden"]["file"]).read_bytes()
        entry["weights"].pop("hub", None)
        entry["weights"]["file"] = "model.weights.h5"
        entry["golden"]["file"] = "golden.npz"
        document = json.dumps({"schema_version": 1, "name": name, **entry})
        files = {"aezoo.json": document.encode(), "README.md": b"A card."}
        files |= {"model.weights.h5": weights, "golden.npz": golden}
        location = {"repo_id": f"zoo/{name}"}
        location["revision"] = hub.add_repo(location["repo_id"], files)
        change_entry(zoo, name, lambda e: e["weights"].update(hub=location))  # noqa: B023


def run_python(code: str, zoo: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter whose zoo is `zoo`."""
    prefix = (
        "import sys; from pathlib import Path; from aezoo import manifest\n"
        f"manifest.PACKAGE = Path({str(zoo)!r})\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-c", prefix + code],
        cwd=Path(__file__).parent.parent,
        env=environment | env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
