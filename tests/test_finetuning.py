"""What fine-tuning a feature extractor changes, and how fast."""

import re

import keras
import numpy as np
import pytest

import aezoo
from aezoo.errors import UnknownLayerError, UnsupportedOperationError
from aezoo.features import FeatureExtractor
from aezoo.nn.optimizers import LayerwiseOptimizer
from aezoo.registry import find_family

SHAPE = (8, 8, 3)


def network(normalization: str | None = "batch") -> keras.Model:
    """With drawn kernels: residual blocks start at 0, which blocks the gradient."""
    model = aezoo.create(
        "resnet_ae",
        input_shape=SHAPE,
        filters=(4, 6),
        strides=(2, 2),
        hidden_units=(5,),
        latent_dim=3,
        normalization=normalization,
    )
    rng = np.random.default_rng(0)
    for weight in model.encoder.trainable_weights:
        if weight.name == "kernel":
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.random((6, *SHAPE), "float32")


def classifier(extractor: FeatureExtractor, optimizer="sgd") -> keras.Model:
    model = keras.Sequential(
        [keras.Input(SHAPE), extractor, keras.layers.Dense(2, name="new")]
    )
    compile_(model, optimizer)
    return model


def compile_(model: keras.Model, optimizer) -> None:
    model.compile(optimizer, "mse", run_eagerly=keras.backend.backend() != "jax")


def moves(model: keras.Model, images: np.ndarray) -> dict[str, float]:
    """How far each weight goes in one step, by its path inside encoder or model."""
    before = [np.array(w) for w in model.weights]
    model.fit(images, np.ones((len(images), 2)), verbose=0)
    return {
        without_models(w.path): float(np.abs(np.asarray(w) - old).max())
        for w, old in zip(model.weights, before, strict=True)
    }


def moved(model: keras.Model, images: np.ndarray) -> set[str]:
    return {path for path, move in moves(model, images).items() if move > 0.0}


def without_models(path: str) -> str:
    """A weight's path without the names of models and encoders, which count up."""
    return re.sub(r"\b(sequential|\w+_encoder|\w+_features)(_\d+)?/", "", path)


def stage_of(path: str) -> str:
    """The layer that a weight is of: `block_1_2/conv_1/kernel` is of `stage1`."""
    layer = path.split("/")[0]
    found = re.match(r"(?:conv|block)_(\d)", layer)
    if found:
        return f"stage{found[1]}"
    return {"dense_1": "hidden1", "z": "latent", "new": "new"}[layer]


# --- Batch normalisation ----------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "is_updated"),
    [
        ({"trainable": True}, True),
        ({"trainable": True, "freeze_batch_norm": True}, False),
        ({"trainable": False}, False),
    ],
)
def test_batch_norm_statistics(images, arguments, is_updated) -> None:
    extractor = aezoo.feature_extractor(network(), **arguments)
    model = classifier(extractor)
    paths = moved(model, images)
    assert any("moving_mean" in path for path in paths) == is_updated
    assert any("gamma" in path for path in paths) == is_updated
    assert any("conv_1/kernel" in path for path in paths) == extractor.trainable
    extractor.trainable = True  # Keras's recursion does not thaw them
    norms = [w for w in extractor.trainable_weights if "norm" in w.path]
    assert bool(norms) == (not extractor.freeze_batch_norm)


def test_frozen_extractors_stay_frozen_when_read_again(images) -> None:
    extractor = aezoo.feature_extractor(network(), layer="pool")
    again = FeatureExtractor.from_config(extractor.get_config())
    np.testing.assert_array_equal(
        again(images, training=True), again(images, training=False)
    )


# --- freeze_until -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "frozen"),
    [
        (None, set()),
        ("stage1", {"stage1"}),
        ("stage2", {"stage1", "stage2"}),
        ("pool", {"stage1", "stage2"}),
        ("hidden1", {"stage1", "stage2", "hidden1"}),
    ],
)
def test_layers_up_to_one_are_frozen(images, layer, frozen) -> None:
    extractor = aezoo.feature_extractor(network(None))
    model = classifier(extractor)
    aezoo.freeze_until(model, layer)
    compile_(model, "sgd")
    stages = {stage_of(path) for path in moved(model, images)}
    assert stages == {"stage1", "stage2", "hidden1", "latent", "new"} - frozen


def test_statistics_of_frozen_layers_are_frozen(images) -> None:
    extractor = aezoo.feature_extractor(network(), trainable=True)
    aezoo.freeze_until(extractor, "stage1")
    paths = moved(classifier(extractor), images)
    means = {path.split("/")[0] for path in paths if "moving_mean" in path}
    assert means == {"block_2_1"}


def test_freezing_is_of_layers_that_the_features_depend_on() -> None:
    extractor = aezoo.feature_extractor(network(), layer="stage2")
    with pytest.raises(
        UnknownLayerError, match=r"Unknown layer 'hidden1'.*: stage1, stage2, pool"
    ):
        aezoo.freeze_until(extractor, "hidden1")
    assert extractor.frozen_until is None


def test_one_extractor_is_wanted() -> None:
    with pytest.raises(
        ValueError, match=r"must have one feature extractor.* with none"
    ):
        aezoo.freeze_until(keras.Sequential([keras.layers.Dense(2)]), None)
    inputs = keras.Input(SHAPE)
    model = network()
    two = [aezoo.feature_extractor(model, layer="pool") for _ in range(2)]
    two[1].name = "second"
    both = keras.Model(inputs, [extractor(inputs) for extractor in two])
    with pytest.raises(ValueError, match=r"Received: .* with '.*_features', 'second'"):
        aezoo.enable_lora(both, 2)


# --- LoRA -------------------------------------------------------------------------


def test_lora_trains_its_weights_alone(images, tmp_path) -> None:
    extractor = aezoo.feature_extractor(network(), layer="hidden1")
    expected = np.asarray(extractor(images))
    aezoo.enable_lora(extractor, 2)
    np.testing.assert_array_equal(extractor(images), expected)
    names = {w.name for w in extractor.trainable_weights}
    assert names == {"lora_kernel_a", "lora_kernel_b"}
    assert len(extractor.trainable_weights) == 2 * 7  # 2 + 4 convolutions, 1 dense
    model = classifier(extractor, keras.optimizers.SGD(1.0))
    paths = moved(model, images)
    assert any("lora_kernel_b" in path for path in paths)
    assert {stage_of(path) for path in paths if "lora" not in path} == {"new"}
    assert np.abs(np.asarray(extractor(images)) - expected).max() > 0
    model.save(tmp_path / "lora.keras")
    loaded = keras.saving.load_model(tmp_path / "lora.keras")
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-5)
    again = loaded.layers[0]
    assert again.lora_rank == 2
    assert {w.name for w in again.trainable_weights} == names


def test_lora_spares_frozen_layers() -> None:
    extractor = aezoo.feature_extractor(network(), layer="hidden1")
    aezoo.freeze_until(extractor, "stage2")
    aezoo.enable_lora(extractor, 2)
    assert len(extractor.trainable_weights) == 2
    assert all("dense_1" in w.path for w in extractor.trainable_weights)


def test_lora_needs_layers_that_support_it() -> None:
    ppca = aezoo.create("ppca", **find_family("ppca").tiny)
    with pytest.raises(
        UnsupportedOperationError,
        match=r"No layer of .* supports LoRA.*_LinearGaussian",
    ):
        aezoo.enable_lora(aezoo.feature_extractor(ppca), 2)
    extractor = aezoo.feature_extractor(network(), layer="stage1")
    aezoo.freeze_until(extractor, "stage1")
    with pytest.raises(UnsupportedOperationError, match="frozen until: 'stage1'"):
        aezoo.enable_lora(extractor, 2)


def test_lora_is_enabled_once_and_of_a_rank() -> None:
    extractor = aezoo.feature_extractor(network(), layer="stage1")
    with pytest.raises(ValueError, match="`rank` must be an integer of at least 1"):
        aezoo.enable_lora(extractor, 0)
    aezoo.enable_lora(extractor, 1)
    with pytest.raises(
        UnsupportedOperationError, match="has LoRA weights of rank 1 alr"
    ):
        aezoo.enable_lora(extractor, 1)


# --- Learning rates by layer ------------------------------------------------------


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_lower_layers_learn_slower(images, name) -> None:
    """Each step is the optimiser's, times the factor of its layer."""
    source = network(None)
    steps = {}
    for decay in (None, 0.5):
        keras.utils.set_random_seed(0)
        model = classifier(aezoo.feature_extractor(source, trainable=True))
        optimizer = keras.optimizers.get(name)
        optimizer.learning_rate = 0.01
        if decay is not None:
            optimizer = aezoo.layerwise_learning_rates(model, optimizer, decay)
        compile_(model, optimizer)
        steps[decay] = moves(model, images)
    factors = {"stage1": 1 / 16, "stage2": 1 / 8, "hidden1": 1 / 4, "latent": 1 / 2}
    assert {stage_of(path) for path in steps[None]} == {*factors, "new"}
    for path, step in steps[None].items():
        factor = factors.get(stage_of(path), 1.0)
        assert step > 0
        np.testing.assert_allclose(steps[0.5][path], factor * step, rtol=2e-2)


@pytest.mark.parametrize("is_eager", [True, False])
def test_factors_by_layer(images, is_eager) -> None:
    if is_eager and keras.backend.backend() == "jax":
        pytest.skip("JAX trains compiled")
    model = classifier(aezoo.feature_extractor(network(None), trainable=True))
    optimizer = aezoo.layerwise_learning_rates(model, "sgd", {"latent": 0.0})
    model.compile(optimizer, "mse", run_eagerly=is_eager)
    stages = {stage_of(path) for path in moved(model, images)}
    assert "latent" not in stages
    assert {"stage1", "hidden1", "new"} <= stages


def test_learning_rates_are_saved_and_resumed(images, tmp_path) -> None:
    source = aezoo.create("dense_ae", input_shape=SHAPE, hidden_units=(4,))
    model = classifier(aezoo.feature_extractor(source, trainable=True))
    adam = keras.optimizers.Adam(0.01)
    model.compile(aezoo.layerwise_learning_rates(model, adam, 0.5), "mse")  # a graph
    y = np.ones((len(images), 2))
    model.fit(images, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, LayerwiseOptimizer)
    assert loaded.optimizer.factors == model.optimizer.factors
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.01)
    loaded.optimizer.learning_rate = 0.01
    model.fit(images, y, verbose=0)
    loaded.fit(images, y, verbose=0)
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_changes_of_what_is_trained_are_noticed(images) -> None:
    extractor = aezoo.feature_extractor(network(None), trainable=True)
    model = classifier(extractor)
    optimizer = aezoo.layerwise_learning_rates(model)
    aezoo.freeze_until(model, "stage1")
    compile_(model, optimizer)
    with pytest.raises(ValueError, match="After a change of what it trains"):
        model.fit(images, np.ones((6, 2)), verbose=0)


def test_wrong_learning_rates_are_refused() -> None:
    model = classifier(aezoo.feature_extractor(network(), layer="pool"))
    for decay in (1.5, {"stage1": 1.5}):
        with pytest.raises(
            ValueError, match=r"decay.* must be a finite number at least 0"
        ):
            aezoo.layerwise_learning_rates(model, decay=decay)
    with pytest.raises(UnknownLayerError, match="Did you mean 'stage1'"):
        aezoo.layerwise_learning_rates(model, decay={"stage_1": 0.5})
    with pytest.raises(ValueError, match=r"`factors\[0\]` must be a finite number"):
        LayerwiseOptimizer(keras.optimizers.SGD(), [-1.0])
    extractor = aezoo.feature_extractor(network(), layer="pool")
    unbuilt = keras.Sequential([extractor, keras.layers.Dense(2)])
    unbuilt.built = False
    with pytest.raises(ValueError, match="has no weights yet"):
        aezoo.layerwise_learning_rates(unbuilt)
