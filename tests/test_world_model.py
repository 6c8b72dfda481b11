"""The world model: densities of what follows, dreams, and what a controller reads."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo.data.datasets import Dataset, load_dataset
from aezoo.modalities import Numbers
from aezoo.models.world_model import stretches
from aezoo.nn.layers.dynamics import MixtureDynamics
from aezoo.training.loop import training_examples
from benchmarks import world_model as readouts
from tests.checks import shaken
from tests.draws import exhaustive
from training.data import carracing
from training.recipes import load_recipe

DRIVER = Numbers((-1.0, 0.0), (1.0, 1.0))
TINY = {
    "input_shape": (8, 8, 1), "filters": (4, 6), "hidden_units": (8,), "latent_dim": 3,
    "actions": DRIVER, "dynamics_units": 6, "dynamics_components": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(1)
    return shaken("world_model", **TINY)


def dynamics(latent_dim: int = 2) -> MixtureDynamics:
    layer = MixtureDynamics(latent_dim, units=5, components=3)
    layer.build((None, None, latent_dim + 1))
    return layer


# --- Densities ------------------------------------------------------------------------


def test_densities_integrate_to_one() -> None:
    layer = dynamics(latent_dim=1)
    parameters = np.random.default_rng(0).standard_normal((1, 9)).astype("float32")
    grid = np.linspace(-60.0, 60.0, 24001, dtype="float32")[:, None]
    tiled = np.tile(parameters, (len(grid), 1))
    log_prob = layer.log_prob(*map(ops.convert_to_tensor, (tiled, grid)))
    mass = np.exp(ops.convert_to_numpy(log_prob)).sum() * (120.0 / 24000)
    assert mass == pytest.approx(1.0, abs=1e-3)


def test_draws_have_the_densities_moments() -> None:
    layer = dynamics(latent_dim=2)
    rng = np.random.default_rng(0)
    parameters = 0.5 * rng.standard_normal((1, 18)).astype("float32")
    n = 40_000
    tiled = ops.convert_to_tensor(np.tile(parameters, (n, 1)))
    share, noise = rng.random((n, 2)), rng.standard_normal((n, 2))
    heat = ops.ones((n, 1))
    drawn = ops.convert_to_numpy(
        layer.draw(
            tiled,
            ops.convert_to_tensor(share, "float32"),
            ops.convert_to_tensor(noise, "float32"),
            heat,
        )
    )
    log_weights, means, log_stds = map(ops.convert_to_numpy, layer.mixtures(tiled[:1]))
    weights, means, stds = np.exp(log_weights[0]), means[0], np.exp(log_stds[0])
    mean = (weights * means).sum(axis=-1)
    variance = (weights * (stds**2 + means**2)).sum(axis=-1) - mean**2
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.05)


def test_a_cold_dream_takes_the_likeliest_component() -> None:
    layer = dynamics(latent_dim=1)
    logits, means, log_stds = [0.0, 1.0, 0.5], [-9.0, 4.0, 9.0], [0.0, 0.0, 0.0]
    parameters = ops.convert_to_tensor([[*logits, *means, *log_stds]], "float32")
    one = ops.ones((1, 1))
    drawn = layer.draw(parameters, 0.99 * one, one, 1e-4 * one)
    assert float(ops.convert_to_numpy(drawn)[0, 0]) == pytest.approx(4.01, abs=1e-3)


def test_one_step_after_another_is_the_sequence() -> None:
    layer = dynamics()
    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype("float32")
    at_once = ops.convert_to_numpy(layer(ops.convert_to_tensor(x)))
    states = [ops.zeros((2, 5)), ops.zeros((2, 5))]
    for i in range(4):
        found, states = layer.step(ops.convert_to_tensor(x[:, i]), states)
        np.testing.assert_allclose(
            ops.convert_to_numpy(found), at_once[:, i], atol=1e-5
        )


# --- What follows what ----------------------------------------------------------------


def test_stretches_end_where_episodes_do() -> None:
    episodes = np.array([0, 0, 0, 0, 1, 2, 2, 2])
    assert list(stretches(episodes, 2)) == [(0, 2), (2, 3), (5, 7)]
    assert list(stretches(episodes, 99)) == [(0, 3), (5, 7)]
    assert not list(stretches(np.arange(4), 2))


def world(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bar that moves to where one steers, in episodes of 20 frames."""
    rng = np.random.default_rng(seed)
    actions = rng.choice([-1.0, 1.0], size=n)
    frames, place = np.zeros((n, 8, 8, 1), "uint8"), 3
    for i in range(n):
        place = 3 if i % 20 == 0 else place
        frames[i, :, max(place - 1, 0) : place + 2] = 255
        place = int(np.clip(place + actions[i], 0, 7))
    told = np.stack([actions, np.zeros(n)], axis=1).astype("float32")
    return frames, told, np.arange(n) // 20


def test_it_learns_what_actions_do() -> None:
    """The next code is more probable than without knowing what was done."""
    keras.utils.set_random_seed(0)
    x, actions, episodes = world(600, seed=0)
    later, then, when = world(200, seed=1)
    scores = {}
    base = aezoo.create(
        "world_model", **{**TINY, "dynamics_units": 24, "likelihood": "bernoulli"}
    )
    base.compile(keras.optimizers.Adam(3e-3))
    base.fit(x, epochs=25, batch_size=50, verbose=0)
    frozen = [ops.convert_to_numpy(w) for w in base.encoder.weights]
    start = base.get_weights()
    for name, known in (("told", 1.0), ("not told", 0.0)):
        base.set_weights(start)
        history = base.fit_dynamics(
            x, known * actions, episodes, epochs=40, steps=19, batch_size=10,
            learning_rate=1e-2,
        )  # fmt: skip
        assert history[-1] < history[0]
        z = base.encode(later)
        scores[name] = base.next_log_prob(z, known * then, when)
    assert len(scores["told"]) == 200 - 10  # an episode's first follows nothing
    assert scores["told"].mean() > scores["not told"].mean() + 0.5
    for before, now in zip(frozen, base.encoder.weights, strict=True):
        np.testing.assert_array_equal(before, ops.convert_to_numpy(now))
    assert not base.dynamics.trainable_weights


@exhaustive
def test_fitting_twice_gives_the_same(model) -> None:
    x, actions, episodes = world(60, seed=0)
    start = model.get_weights()
    found = []
    for _ in range(2):
        model.set_weights(start)
        model.fit_dynamics(x, actions, episodes, epochs=2, steps=8)
        found.append(model.get_weights())
    model.set_weights(start)
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_its_dynamics_are_saved_with_it(model, tmp_path) -> None:
    z = model.encode(world(3, seed=0)[0])
    actions = DRIVER.examples(5)
    aezoo.save(model, tmp_path / "model")
    again = aezoo.load(tmp_path / "model")
    assert again.actions == DRIVER
    np.testing.assert_array_equal(
        again.dream(z, actions, seed=0), model.dream(z, actions, seed=0)
    )


# --- Dreams ---------------------------------------------------------------------------


def test_dreams_are_repeated_by_their_seed(model) -> None:
    z = model.encode(world(4, seed=0)[0])
    actions = DRIVER.examples(4 * 6).reshape(4, 6, 2)
    frames = model.dream(z, actions, seed=3)
    assert frames.shape == (4, 6, 8, 8, 1)
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(frames, model.dream(z, actions, seed=3))
    assert np.any(frames != model.dream(z, actions, seed=4))
    codes = model.dream_codes(z, actions, seed=3)
    decoded = model.decode(codes.reshape(-1, 3)).reshape(frames.shape)
    np.testing.assert_allclose(frames, decoded, atol=1e-6)
    # the start of a longer one
    np.testing.assert_allclose(
        model.dream_codes(z, actions[:, :2], seed=3), codes[:, :2], atol=1e-6
    )


def test_one_code_is_dreamt_on_alone(model) -> None:
    z = model.encode(world(1, seed=0)[0])
    actions = DRIVER.examples(5)
    alone = model.dream(z[0], actions, seed=0)
    assert alone.shape == (5, 8, 8, 1)
    np.testing.assert_allclose(alone, model.dream(z, actions, seed=0)[0], atol=1e-6)


def test_what_is_remembered_depends_on_what_was(model) -> None:
    z = np.random.default_rng(0).standard_normal((2, 5, 3)).astype("float32")
    actions = DRIVER.examples(10).reshape(2, 5, 2)
    known = model.remember(z, actions)
    assert known.shape == (2, 5, 6)
    np.testing.assert_allclose(model.remember(z[0], actions[:1]), known[0], atol=1e-6)
    changed = z.copy()
    changed[:, 0] += 1.0
    assert np.abs(model.remember(changed, actions)[:, 4] - known[:, 4]).max() > 1e-4
    changed = z.copy()
    changed[:, 4] += 1.0
    np.testing.assert_allclose(
        model.remember(changed, actions)[:, :4], known[:, :4], atol=1e-6
    )


def test_step_by_step_it_knows_what_a_sequence_does(model) -> None:
    z = np.random.default_rng(0).standard_normal((2, 4, 3)).astype("float32")
    actions = DRIVER.examples(8).reshape(2, 4, 2)
    state = None
    for i in range(4):
        state = model.advance(z[:, i], actions[:, i], state)
    np.testing.assert_allclose(
        state["hidden"], model.remember(z, actions)[:, -1], atol=1e-5
    )


# --- What is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros((4, 3)), r"shape \(n, steps, 2\)"),
        (np.zeros(4), r"shape \(n, steps, 2\)"),
        (np.zeros((2, 4, 2)), "as many sequences"),
        (np.full((4, 2), 1.5), r"in the ranges \[-1, 1\], \[0, 1\]"),
        (np.full((4, 2), np.nan), "finite numbers in the ranges"),
    ],
)
def test_wrong_actions_are_refused(model, actions, message) -> None:
    with pytest.raises(ValueError, match=message):
        model.dream(np.zeros((1, 3), "float32"), actions)


def test_other_wrong_arguments(model) -> None:
    x, actions, episodes = world(6, seed=0)
    with pytest.raises(ValueError, match="no two examples of the same episode"):
        model.fit_dynamics(x, actions, np.arange(6))
    with pytest.raises(ValueError, match=r"`action` must have shape \(6, 2\)"):
        model.fit_dynamics(x, actions[:5], episodes)
    with pytest.raises(ValueError, match="`temperature` must be"):
        model.dream(np.zeros(3, "float32"), actions, temperature=0.0)
    with pytest.raises(ValueError, match=r"`actions` must be an `aezoo\.modalities"):
        aezoo.create("world_model", actions=3)
    with pytest.raises(ValueError, match="as many numbers"):
        Numbers((0.0, 0.0), (1.0,))
    with pytest.raises(ValueError, match="finite numbers, at least one"):
        Numbers((), ())


# --- Data -----------------------------------------------------------------------------


def test_the_builder_keeps_time_actions_and_states(tmp_path) -> None:
    rng = np.random.default_rng(0)
    source = tmp_path / "source"
    source.mkdir()
    images = rng.integers(0, 256, (80, *carracing.SHAPE), dtype="uint8")
    from PIL import Image

    sheet = images.reshape(2, 40, 64, 64, 3).transpose(0, 2, 1, 3, 4)
    Image.fromarray(sheet.reshape(128, 2560, 3)).save(
        source / "test-00.webp", lossless=True
    )
    meta = {
        "action": rng.random((70, 3)).astype("float32"),
        "state": rng.random((70, 7)).astype("float32"),
        "episode": np.repeat([0, 1], 35).astype("int16"),
    }
    np.savez(source / "test-meta.npz", **meta)
    folder = tmp_path / "carracing"
    carracing.write(carracing.read(source, "test"), folder, "test")
    data = load_dataset("carracing", "test", tmp_path)
    np.testing.assert_array_equal(data.examples, images[:70])
    np.testing.assert_array_equal(data.given["action"], meta["action"])
    np.testing.assert_array_equal(data.given["episode"], meta["episode"])
    with np.load(folder / "states.npz") as states:
        np.testing.assert_array_equal(states["test"], meta["state"])
    with pytest.raises(FileNotFoundError):
        carracing.read(source, "train")


def test_the_recipe_learns_from_what_is_done(monkeypatch) -> None:
    """`training.train` hands actions and episodes to the dynamics."""
    recipe = load_recipe("world_model_carracing")
    model = aezoo.create(recipe.family, **recipe.config)
    assert set(model.told_in_training) == {"action", "episode"}
    assert model.latent_dim == 32
    seen = {}
    monkeypatch.setattr(
        type(model), "fit_dynamics", lambda _, *told: seen.update(told=told)
    )
    x = np.zeros((2, 64, 64, 3), "uint8")
    model.finish(x, {"action": 1, "episode": 2})
    assert seen["told"][1:] == (1, 2)
    given = {"action": np.ones((2, 3), "float32"), "episode": np.array([4, 4])}
    data = Dataset("carracing", "npz", "train", x, given=given)
    learnt, _ = training_examples(model, data, recipe)
    np.testing.assert_array_equal(learnt[1]["action"], given["action"])
    np.testing.assert_array_equal(learnt[1]["episode"], given["episode"])


# --- What a linear map reads ----------------------------------------------------------


def test_ridge_is_the_same_with_few_examples_and_with_many() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    for n, width in ((8, 20), (40, 5)):
        x, y = rng.standard_normal((n, width)), rng.standard_normal((n, 2)) + 3.0
        theirs = Ridge(alpha=0.7).fit(x, y)
        found = readouts.ridge(x, y, 0.7)
        np.testing.assert_allclose(found[:-1].T, theirs.coef_, atol=1e-8)
        np.testing.assert_allclose(found[-1], theirs.intercept_, atol=1e-8)


def test_what_is_linear_is_read_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    x, test = rng.standard_normal((500, 6)), rng.standard_normal((300, 6))
    weights = rng.standard_normal((6, 1))
    y, y_test = (
        np.c_[part @ weights, rng.standard_normal(len(part))] for part in (x, test)
    )
    found = readouts.read_out(x, y, test, y_test, count=200, seed=0)
    assert found[0] == pytest.approx(1.0, abs=1e-3)
    assert abs(found[1]) < 0.1


def test_readings_end_with_episodes() -> None:
    states = np.arange(28.0).reshape(4, 7)
    found = readouts.readings(states, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(found[[0, 2]], [[6.0, 7.0], [20.0, 7.0]])
    assert np.isnan(found[[1, 3]]).all()


# --- Driving --------------------------------------------------------------------------


def test_the_simulator_repeats_what_was_recorded() -> None:
    """Frames, actions and states of the same seed, of the real simulator."""
    pytest.importorskip("gymnasium", reason="needs aezoo[driving]")
    from training.data.racing import Race

    race = Race()
    one, two = (carracing.episode(race, seed=5, frames=8) for _ in range(2))
    for name, values in one.items():
        assert len(values) == 8
        np.testing.assert_array_equal(values, two[name])
    assert one["images"].shape == (8, *carracing.SHAPE)
    assert np.ptp(one["images"]) > 100
    assert np.all(np.abs(one["action"][:, 0]) <= 1.0)
    assert np.any(one["state"][0, :2] != one["state"][-1, :2])
    found = carracing.simulate(12, 5, race)
    np.testing.assert_array_equal(found["images"][:8], one["images"])


def test_a_linear_controller_drives(tmp_path) -> None:
    """A small run of the example, of a model that knows nothing."""
    pytest.importorskip("gymnasium", reason="needs aezoo[driving]")
    from training.data.racing import Race

    config = {"filters": (4, 6), "hidden_units": (8,), "latent_dim": 4}
    car = Numbers((-1.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    model = aezoo.create(
        "world_model", **config, actions=car, dynamics_units=5, dynamics_components=2
    )
    aezoo.save(model, tmp_path / "model")
    found = carracing.simulate(60, 0, Race())
    carracing.write(found, tmp_path / "carracing", "train")
    result = subprocess.run(
        [
            *(sys.executable, "examples/drive.py", tmp_path / "model"),
            *("--data-dir", tmp_path, "--counts", "40", "--tracks", "2"),
            *("--frames", "6"),
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    rows = [line for line in result.stdout.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 1 + 4
    assert "the driver" in rows[2]
    assert "codes and memory" in rows[4]
    assert all("%" in row for row in rows[2:])
