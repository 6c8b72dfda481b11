"""PyTorch as the backend: models are its modules, and compute what the others do."""

import keras
import numpy as np
import pytest

import aezoo
from aezoo.nn.backend import BACKEND
from aezoo.nn.distributions import IndexedNoise
from aezoo.registry import find_family
from tests import test_imports, test_layers

if BACKEND != "torch":
    pytest.skip("needs KERAS_BACKEND=torch: `make test-torch`", allow_module_level=True)

import torch
from torch import nn

NAME = "conv_vae_mnist_z16"
# What TensorFlow measures, of 20 drawn digits.
MEASURED = {
    "mse": 0.003958312939,
    "elbo": -91.585719347,
    "kl": 22.705582285,
    "kl_per_dim": 1.4190988957,
}
TINY = {"input_shape": (8, 8, 1), "latent_dim": 2, "hidden_units": (6,)}
ADVERSARIAL = {**TINY, "filters": (4, 6), "discriminator_filters": (4, 4)}


@pytest.fixture
def x(rng) -> np.ndarray:
    return rng.random((12, 8, 8, 1), "float32")


def new_model(family: str = "dense_vae", optimizer=None, **config):
    keras.utils.set_random_seed(0)
    model = aezoo.create(family, **{**TINY, **config})
    model.compile(optimizer or keras.optimizers.SGD(0.01))
    return model


def assert_same(model, other, atol: float = 0.0) -> None:
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# --- The same numbers ----------------------------------------------------------------


def test_noise_by_seed_is_that_of_the_other_backends() -> None:
    """PyTorch has no integers of 32 bits without a sign; these are TensorFlow's."""
    noise = IndexedNoise(3, start=5).uniform((2, 3))
    wanted = [
        [0.189914763, 0.228774846, 0.512458503],
        [0.12598449, 0.607663691, 0.155178726],
    ]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(noise), np.float32(wanted))


@pytest.mark.parametrize("name", [NAME, "ppca_mnist_z32", "vq_vae_mnist"])
def test_weights_reproduce_their_golden_tensors(name: str) -> None:
    """Its samples for a seed, too; `ppca` has a file with a name that modules have."""
    found = aezoo.verify(name)
    assert found.ok, str(found)
    assert found.backend == "torch"


def test_a_weights_file_is_that_of_the_other_backends(tmp_path) -> None:
    import h5py

    model = aezoo.create("ppca", input_shape=(4, 4, 1), latent_dim=2)
    folder = aezoo.save(model, tmp_path / "ppca")
    with h5py.File(folder / "model.weights.h5") as file:
        assert "decoder/parameters" in file
    assert_same(aezoo.load(folder), model)


def test_means_of_cells_count_what_is_there() -> None:
    from aezoo.nn.backend import mean_pool

    x = torch.arange(25.0).reshape(1, 5, 5, 1)
    means = mean_pool(x, 3)[0, :, :, 0].numpy()
    # two cells an axis: one line is missing, at the end
    image = np.arange(25.0).reshape(5, 5)
    rows = (slice(0, 3), slice(3, 5))
    wanted = [[image[r, c].mean() for c in rows] for r in rows]
    np.testing.assert_allclose(means, wanted, rtol=1e-6)


def test_it_is_measured_as_on_the_other_backends() -> None:
    """By numbers of TensorFlow; noise of each example is that of its place."""
    x = aezoo.load(NAME).modality.examples(20, seed=3)
    report = aezoo.evaluate(NAME, x, metrics=[*MEASURED])
    values = {name: report[name].value for name in MEASURED}
    assert values == pytest.approx(MEASURED, rel=1e-4)


@pytest.mark.parametrize("family", ["hierarchical_vae", "flow_vae", "fsq"])
def test_posteriors_are_computed_where_tensors_are(family: str) -> None:
    """Arrays of constants meet no tensor: see `tests/torch_tensors.py`."""
    model = aezoo.create(family, **find_family(family).tiny)
    x = model.modality.examples(3)
    posterior = model.posterior(x)
    mode, kl = map(keras.ops.convert_to_numpy, (posterior.mode(), posterior.kl()))
    np.testing.assert_allclose(model.encode(x), mode, rtol=0, atol=1e-5)
    assert kl.shape == (3,)
    assert np.isfinite(kl).all()


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_groups_are_normalised_by_its_own_operation(rng, dtype: str) -> None:
    test_layers.test_groups_are_normalised_as_defined(rng, dtype)


def test_a_model_of_diffusers_computes_the_same() -> None:
    test_imports.test_an_autoencoder_kl_computes_what_diffusers_does("kl_sd")


def test_tensors_are_taken_with_their_gradients_and_from_their_device() -> None:
    model = aezoo.load(NAME)
    x = model.modality.examples(4) / np.float32(255)
    codes = model.encode(x)
    tensor = torch.tensor(x, requires_grad=True)
    np.testing.assert_array_equal(model.encode(tensor), codes)
    np.testing.assert_array_equal(
        model.decode(torch.tensor(codes, requires_grad=True)), model.decode(codes)
    )


# --- Training ------------------------------------------------------------------------


def test_the_step_is_a_plain_gradient_step(x) -> None:
    """`fit` moves the weights as a hand-written loop does."""
    model, by_hand = new_model(), new_model()
    by_hand.seed_generator.state.assign(model.seed_generator.state)
    model.fit(x, batch_size=4, epochs=2, shuffle=False, verbose=0)
    weights = [v.value for v in by_hand.trainable_variables]
    for batch in [*torch.from_numpy(x).split(4)] * 2:
        outputs = by_hand(batch, training=True)
        loss = by_hand.compute_losses(batch, outputs)["loss"].mean()
        for weight, gradient in zip(
            weights, torch.autograd.grad(loss, weights), strict=True
        ):
            with torch.no_grad():
                weight -= 0.01 * gradient
    assert_same(model, by_hand, atol=1e-6)


def test_an_adversary_moves_by_its_own_objective(x) -> None:
    model, by_hand = (new_model("vae_gan", **ADVERSARIAL) for _ in range(2))
    by_hand.seed_generator.state.assign(model.seed_generator.state)
    model.fit(x, batch_size=12, shuffle=False, verbose=0)
    batch = torch.from_numpy(x)
    losses = by_hand.compute_losses(
        batch, by_hand(batch, training=True), by_hand.optimizer.iterations
    )
    objectives = losses["loss"].mean(), losses[by_hand.adversary_term].mean()
    moves = []
    for objective, player in zip(objectives, by_hand.players, strict=True):
        assert player
        weights = [v.value for v in player]
        gradients = torch.autograd.grad(objective, weights, retain_graph=True)
        moves += zip(weights, gradients, strict=True)
    with torch.no_grad():
        for weight, gradient in moves:
            weight -= 0.01 * gradient
    assert_same(model, by_hand, atol=1e-6)


def test_the_loop_over_arrays_is_that_of_keras(x) -> None:
    models = []
    for in_memory in (True, False):
        model = new_model(optimizer=aezoo.optimizers.Adam(0.01, clipnorm=0.5))
        history = model.fit(
            x,
            validation_data=(x[:5],),
            batch_size=5,
            epochs=2,
            shuffle=False,
            verbose=0,
            in_memory=in_memory,
        ).history
        models.append((model, history))
    (one, in_memory), (other, by_batch) = models
    assert_same(one, other, atol=1e-6)
    assert in_memory.keys() == by_batch.keys()
    for name, values in in_memory.items():
        np.testing.assert_allclose(values, by_batch[name], rtol=1e-5)


def test_adam_in_place_is_adam(x) -> None:
    models = [
        new_model(optimizer=optimizer(0.01))
        for optimizer in (aezoo.optimizers.Adam, keras.optimizers.Adam)
    ]
    for model in models:
        model.fit(x, batch_size=4, epochs=3, shuffle=False, verbose=0)
    assert_same(*models, atol=2e-6)


def test_training_goes_on_where_it_was_saved(x, tmp_path) -> None:
    """With the optimiser's state: the same weights as without a stop."""
    arguments = {"batch_size": 4, "shuffle": False, "verbose": 0}
    whole = new_model(optimizer=aezoo.optimizers.Adam(0.01))
    whole.fit(x, epochs=2, **arguments)
    stopped = new_model(optimizer=aezoo.optimizers.Adam(0.01))
    stopped.fit(x, epochs=1, **arguments)
    stopped.save(tmp_path / "stopped.keras")
    resumed = keras.saving.load_model(tmp_path / "stopped.keras")
    assert int(resumed.optimizer.iterations) == 3
    resumed.seed_generator.state.assign(stopped.seed_generator.state)
    resumed.fit(x, initial_epoch=1, epochs=2, **arguments)
    assert_same(resumed, whole)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(x, policy: str) -> None:
    model = new_model(optimizer="adam", dtype=policy)
    before = model.get_weights()
    history = model.fit(x, batch_size=4, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


# --- PyTorch's own tools -------------------------------------------------------------


def test_a_model_is_a_module() -> None:
    model = aezoo.create("conv_vae", input_shape=(8, 8, 1), filters=(3, 4))
    assert isinstance(model, nn.Module)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == model.count_params()
    assert isinstance(model.encoder, nn.Module)


def test_its_feature_extractor_trains_in_a_plain_loop(rng) -> None:
    images = rng.random((32, 28, 28, 1), "float32")
    x, y = torch.from_numpy(images), torch.from_numpy(images[:, :14].mean((1, 2, 3)))
    features = aezoo.feature_extractor(NAME, trainable=True, layer="pool")
    before = features.get_weights()
    classifier = nn.Sequential(features, nn.Linear(features(x).shape[-1], 1))
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(classifier(x)[:, 0], y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    changed = [
        (a != b).any() for a, b in zip(before, features.get_weights(), strict=True)
    ]
    assert all(changed)


def test_a_frozen_extractor_does_not_train() -> None:
    features = aezoo.feature_extractor(NAME)
    assert list(features.parameters())
    assert not any(p.requires_grad for p in features.parameters())
