"""Codes in groups of units: pose and the rest, learnt from batches."""

from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops
from PIL import Image

import aezoo
from aezoo.cli import main
from aezoo.errors import UnsupportedOperationError
from tests.bars import NAMES, bars, tiny, trained

POSE = {"factors": ("pose", "shape"), "factor_dims": (2,), "factor_values": (5,)}


def test_units_of_factors_that_do_not_vary_are_set_to_their_mean() -> None:
    model = tiny("dc_ign", **POSE)
    x = ops.convert_to_tensor(bars()[0].reshape(-1, 8, 8, 1))
    factors = bars()[1]
    told = dict(zip(NAMES["dc_ign"], ops.convert_to_tensor(factors.T), strict=True))
    mean = np.asarray(model.infer(x).mean)
    clamped = model.infer(x, training=True, **told)
    seen, deviation = np.asarray(clamped.mean), np.asarray(clamped.deviation)
    free = {"pose": 0, "shape": 0}
    for i, (shape, pose) in enumerate(factors):
        same = {"pose": factors[:, 0] == shape, "shape": factors[:, 1] == pose}
        for name, others in (("pose", slice(2, 4)), ("shape", slice(0, 2))):
            if (deviation[i, model.group(name)] == 0).all():
                free[name] += 1
                target = mean[same[name]][:, others].mean(axis=0)
                np.testing.assert_allclose(seen[i, others], target, atol=1e-5)
                np.testing.assert_allclose(
                    deviation[i, others], mean[i, others] - target, atol=1e-5
                )
                own = model.group(name)
                np.testing.assert_allclose(seen[i, own], mean[i, own], atol=1e-6)
    assert sum(free.values()) == len(factors)
    assert min(free.values()) > 5


def test_a_factor_is_read_and_moved_alone() -> None:
    model = trained("dc_ign", **POSE, invariance_weight=10.0)
    images, factors = bars()
    flat = images.reshape(-1, 8, 8, 1)
    assert (model.read(flat, "pose") == factors[:, 1]).mean() > 0.9
    moved = model.move(images[:, 1], "pose")
    assert moved.shape == images.shape
    errors = np.square(moved - images).mean(axis=(2, 3, 4))
    still = np.square(images[:, 1:2] - images).mean(axis=(2, 3, 4))
    assert errors[:, 2:].mean() < 0.3 * still[:, 2:].mean()
    single = model.move(images[3, 1], "pose", [4, 0])
    np.testing.assert_allclose(single, moved[3][[4, 0]], atol=1e-5)
    of_codes = model.move(model.encode(images[:, 1]), "pose")
    np.testing.assert_allclose(of_codes, moved, atol=1e-5)


def test_the_command_moves_a_factor(tmp_path: Path) -> None:
    path = str(aezoo.save(tiny("dc_ign", **POSE), tmp_path / "model"))
    picture, out = str(tmp_path / "a.png"), tmp_path / "out.png"
    keras.utils.save_img(picture, np.zeros((8, 8, 1)), scale=False)
    run = ["traverse", path, picture, "-o", str(out), "--factor"]
    result = CliRunner().invoke(main, [*run, "pose"])
    assert result.exit_code == 0, result.output
    assert "then pose at each of its 5 values" in result.output
    with Image.open(out) as shown:
        assert shown.width > 5 * shown.height
    for arguments, message in (
        (["poze"], "It has: pose, shape"),
        (["pose", "--dim", "1"], "--factor goes without --dim, --values and --given"),
    ):
        result = CliRunner().invoke(main, [*run, *arguments])
        assert result.exit_code != 0
        assert message in " ".join(result.output.split())


def test_factors_that_a_model_does_not_know_are_refused() -> None:
    model, x = tiny("dc_ign", **POSE), np.zeros((2, 8, 8, 1), "uint8")
    with pytest.raises(ValueError, match=r"no factor 'poze'.*It has: pose, shape"):
        model.move(x, "poze")
    with pytest.raises(ValueError, match=r"'shape' is what the other factors leave"):
        model.read(x, "shape")
    for values in ([5], [-1], [0.5], [], 3):
        with pytest.raises(ValueError, match=r"`values` must be integers from 0 to 4"):
            model.move(x, "pose", values)
    flat, factors = bars()[0].reshape(-1, 8, 8, 1), bars()[1]
    told = {"shape": factors[:, 0], "pose": factors[:, 1] + 1}
    with pytest.raises(ValueError, match=r"`factor_values` says that 'pose' has the v"):
        model.finish(flat, told)
    with pytest.raises(UnsupportedOperationError, match="keeps no values of factors"):
        tiny("vae").move(x, "pose")
    with pytest.raises(ValueError, match=r"one number for each of `factors` but the"):
        tiny("dc_ign", factors=("pose", "shape"), factor_dims=(1, 1))
    with pytest.raises(ValueError, match=r"must leave units of `latent_dim`"):
        tiny("dc_ign", **{**POSE, "factor_dims": (4,)})
    with pytest.raises(ValueError, match=r"`factors` must be different names"):
        tiny("dc_ign", **{**POSE, "factors": ("pose", "pose")})
