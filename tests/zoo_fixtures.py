"""A zoo of tiny untrained models in a temporary folder, under the demo's names.

Import `tiny_zoo` and `_tiny_zoo_folder` into a test module to use it.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    from aezoo.files import sha256_of
    from aezoo.golden import golden_inputs, golden_tensors

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
                "seconds": 0.0,
                "backend": keras.backend.backend(),
                "versions": {"keras": keras.__version__},
            },
            "weights": {
                "file": path.name,
                "bytes": path.stat().st_size,
                "sha256": sha256_of(path),
                "hub": {"repo_id": None, "revision": None},
            },
            "golden": {"file": golden.name, "sha256": sha256_of(golden)},
            "metrics": {
                "mnist/test": {
                    metric: {"value": value, "unit": "none", "protocol": "invented"}
                }
            },
        }
    document = {"schema_version": 1, "models": models}
    (folder / "weights_manifest.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def tiny_zoo(_tiny_zoo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a zoo that replaces the installed one during a test."""
    from aezoo import hub, manifest

    path = _tiny_zoo_folder / "weights_manifest.json"
    monkeypatch.setattr(manifest, "manifest_path", lambda: path)
    monkeypatch.setattr(hub, "WEIGHTS_FOLDER", _tiny_zoo_folder / "weights")
    manifest.entries.cache_clear()
    yield _tiny_zoo_folder
    manifest.entries.cache_clear()
