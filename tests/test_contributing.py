"""The worked examples of CONTRIBUTING: an objective, and a modality."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import aezoo
from aezoo.registry import find_family
from tests import checks

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
OBJECTIVE, MODALITY = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def names() -> dict:
    """What both examples define."""
    found: dict = {"__name__": "contributed"}
    exec(compile(OBJECTIVE, "objective", "exec"), found)
    exec(compile(MODALITY, "modality", "exec"), found)
    return found


def test_the_objective_keeps_the_promises_of_all(names) -> None:
    family = find_family("centred_ae")
    assert family.objective is names["CentredAE"]
    config = dict(family.tiny)
    for check in (
        checks.check_losses,
        checks.check_loss_is_weighted_sum,
        checks.check_every_weight_learns,
        checks.check_config_round_trip,
    ):
        check(family, config)


def test_its_argument_counts_while_it_trains(names) -> None:  # noqa: ARG001
    keras.utils.set_random_seed(0)
    model = aezoo.create("centred_ae", **find_family("centred_ae").tiny)
    x = model.modality.examples(32)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, epochs=2, verbose=0)
    model.centre_weight = 100.0
    model.fit(x, epochs=30, verbose=0)
    assert np.abs(model.encode(x).mean(axis=0)).max() < 0.2
    with pytest.raises(ValueError, match="`centre_weight` must be a finite number"):
        model.centre_weight = -1.0


def test_the_modality_is_trained_on(names, tmp_path) -> None:
    model = aezoo.create(
        "vae",
        modality=names["Ratings"](6),
        network="dense",
        likelihood="gaussian",
        latent_dim=2,
    )
    x = model.modality.examples(40)
    model.compile("adam")
    model.fit(x, verbose=0)
    loaded = aezoo.load(aezoo.save(model, tmp_path / "ratings"))
    np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x))
    assert model.sample(3, seed=0).shape == (3, 6)
    with pytest.raises(ValueError, match=r"must be \(n, 6\)"):
        model.encode(x[:, :5])
