"""What every family promises, as one function per promise.

Each check takes a family and a configuration and raises `AssertionError`
where the promise is broken. `tests/test_common.py` runs them over all families,
`tests/test_checks_can_fail.py` shows that each can fail.

One model per family and configuration is built, and one trained, for all checks: they
read it, or restore it (`restored`).
"""

import contextlib
import dataclasses
import functools
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from aezoo.errors import ChecksumError, ManifestError, UnsupportedOperationError
from aezoo.manifest import (
    DataInfo,
    TrainingInfo,
    WeightsEntry,
    WeightsFile,
    ZooGolden,
)
from aezoo.models import arguments
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import compose, create
from aezoo.nn.backend import BACKEND
from aezoo.registry import Family
from aezoo.store.load import load_entry
from aezoo.utils.files import sha256_of

Config = dict[str, Any]
# Outputs of `call` that are integers.
INTEGERS = {"indices"}
# Losses of rounded codes, which of small models are all rounded to 0.
OF_ROUNDED = {"rate"}
# Arguments that set the size of the code, in families that have them; else of layers.
CODE_SIZES = (
    *("code_dim", "levels", "num_variables", "latent_dim", "num_filters"),
    "filters",
)

# --- Models and data that the checks share -------------------------------------


def examples(
    family: Family, config: Config, n: int = 10, dtype: str = "float32", seed: int = 0
) -> np.ndarray:
    """Examples of the family's modality; both dtypes hold the same values."""
    modality = compose(family, **config).modality
    x = modality.examples(n, seed)
    return x if dtype == "uint8" else modality.unrounded(x)


@dataclasses.dataclass
class Trained:
    """A model after one epoch of two batches, and what happened to it."""

    model: Autoencoder
    before: dict[str, np.ndarray]
    history: dict[str, list[float]]


def shaken(family: str, **config: Any) -> Any:
    """A small model whose every weight does something."""
    model = create(family, **config)
    generator = np.random.default_rng(3)
    for weight in model.weights:
        noise = 0.2 * generator.standard_normal(weight.shape)
        if "variance" in weight.path:
            noise = np.abs(noise)
        weight.assign(ops.convert_to_numpy(weight) + noise)
    return model


def built(family: Family, config: Config) -> Autoencoder:
    """A compiled model with random weights, shared: do not change it."""
    return _built(family, json.dumps(config, sort_keys=True))


def trained(family: Family, config: Config) -> Trained:
    """A trained model, shared: do not change it outside `restored`."""
    return _trained(family, json.dumps(config, sort_keys=True))


@functools.cache
def _built(family: Family, config: str) -> Autoencoder:
    return new_model(family, json.loads(config))


@functools.cache
def _trained(family: Family, config: str) -> Trained:
    model = new_model(family, json.loads(config))
    before = weights_of(model)
    with warnings.catch_warnings():  # `check_every_weight_learns` reports it
        warnings.filterwarnings("ignore", message="Gradients do not exist")
        history = fit(model, examples(family, json.loads(config)))
    return Trained(model, before, history)


def new_model(
    family: Family, config: Config, seed: int = 0, **kwargs: Any
) -> Autoencoder:
    """A compiled model with random weights."""
    keras.utils.set_random_seed(seed)
    model = compose(family, **config, **kwargs)
    model.compile(keras.optimizers.Adam(0.01))
    return model


def initial_weights(family: Family, config: Config, seed: int) -> list[np.ndarray]:
    """The random weights that a model starts from."""
    keras.utils.set_random_seed(seed)
    model = compose(family, **config)
    model.build()
    return model.get_weights()


def fit(model: Autoencoder, data: Any, **kwargs: Any) -> dict[str, list[float]]:
    """One epoch in order, by default in batches of five; the history."""
    if not hasattr(data, "element_spec"):  # a tf.data.Dataset has batches of its own
        kwargs = {"batch_size": 5, **labels_for(model, data), **kwargs}
    return model.fit(data, shuffle=False, verbose=0, **kwargs).history


def evaluate(model: Autoencoder, data: Any, **kwargs: Any) -> dict[str, float]:
    """All losses, by name."""
    if not hasattr(data, "element_spec"):
        kwargs = {**labels_for(model, data), **kwargs}
    return model.evaluate(data, verbose=0, return_dict=True, **kwargs)


def labels_for(model: Autoencoder, images: Any) -> dict[str, Any]:
    """What `fit` takes beside the images, in families that are told something."""
    told = given_for(model, images).get("given")
    if told is not None:
        return {"y": told}
    if "labels" not in model.given:
        return {}
    return {"y": np.arange(len(images)) % model.num_label_classes}


def given_for(model: Autoencoder, images: Any) -> dict[str, dict[str, np.ndarray]]:
    """`given` of entry points, in families that must be told something."""
    n = images if isinstance(images, int) else len(images)
    told = {name: model.given[name].examples(n) for name in model.required_conditions}
    return {"given": told} if told else {}


def one_for(model: Autoencoder) -> dict[str, dict[str, np.ndarray]]:
    """As `given_for`, one condition for all examples."""
    told = given_for(model, 1).get("given", {})
    return {"given": {name: v[0] for name, v in told.items()}} if told else {}


def tensors_for(model: Autoencoder, images: Any) -> dict[str, Any]:
    """What `call` takes beside the images, in families that must be told something."""
    told = given_for(model, images).get("given", {})
    return {name: ops.convert_to_tensor(v) for name, v in told.items()}


def tensors(model: Autoencoder, x: np.ndarray) -> Any:
    """Examples as tensors of the model's modality."""
    return model.modality.to_model(ops.convert_to_tensor(x))


def arrays(model: Autoencoder, x: Any) -> np.ndarray:
    """What users get, one example or several, in any lists, as the model's arrays."""
    modality = model.modality
    if modality.is_single(x):
        return modality.check([x])[0]
    if isinstance(x, list) and not modality.is_single(x[0]):
        return np.stack([modality.check(row) for row in x])
    return x if isinstance(x, np.ndarray) else modality.check(x)


def codes_of(model: Autoencoder, x: np.ndarray) -> np.ndarray:
    """Codes of examples; of the prior, as many, where nothing encodes these."""
    if model.has_encoder:
        return model.encode(x, **given_for(model, x))
    return model.sample_prior(len(x), np.random.default_rng(0))


def paths_from(model: Autoencoder, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `interpolate` starts from, examples or codes, and what it shows of it."""
    one = one_for(model)
    if model.has_encoder:
        return x, arrays(model, model.reconstruct(x, **one))
    codes = codes_of(model, x)
    return codes, arrays(model, model.decode(codes, **one))


def refuses_examples(model: Autoencoder, x: np.ndarray) -> bool:
    """Whether a model has no encoder; if so, that it says what to do instead."""
    if model.has_encoder:
        return False
    for method in (model.encode, model.posterior, model.reconstruct):
        with pytest.raises(UnsupportedOperationError, match=r"`model.project\(x\)`"):
            method(x)
    return True


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """All weights by path, as copies."""
    return {w.path: np.array(ops.convert_to_numpy(w)) for w in model.weights}


def losses_of(
    model: Autoencoder, x: np.ndarray, told: Any = None
) -> dict[str, np.ndarray]:
    """`compute_losses` of a batch at the mode of the posterior."""
    if told is None:
        given = tensors_for(model, x)
    else:
        told = told if isinstance(told, dict) else {"labels": told}
        given = {name: ops.convert_to_tensor(v) for name, v in told.items()}
    outputs = model(x, training=False, **given)
    losses = model.compute_losses(model.modality.to_model(x), outputs)
    return {name: ops.convert_to_numpy(values) for name, values in losses.items()}


def batch_losses(model: Autoencoder) -> set[str]:
    """Losses that are a property of a batch, not of an example alone."""
    weighted = {name for name in model.BATCH_TERMS if model.loss_weights.get(name)}
    return model.BATCH_TERMS | ({"loss"} if weighted else set())


@contextlib.contextmanager
def restored(model: Autoencoder) -> Iterator[None]:
    """Give the model back its weights, optimiser and random state on exit."""
    variables = [*model.variables, *model.optimizer.variables]
    values = [np.array(ops.convert_to_numpy(v)) for v in variables]
    yield
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


# --- Call and losses -----------------------------------------------------------


def check_call(family: Family, config: Config) -> None:
    """`call` gives an image, a code and their parameters: finite, float32.

    All but what is an integer by its nature.
    """
    model, x = built(family, config), examples(family, config, n=5)
    for training in (False, True):
        outputs = model(x, training=training, **tensors_for(model, x))
        assert {"x_hat", "decoder_output", "z"} <= set(outputs)
        assert tuple(outputs["x_hat"].shape) == (5, *model.modality.tensor_shape)
        assert tuple(outputs["z"].shape) == (5, *model.latent_shape)
        for name, value in outputs.items():
            dtype = "int32" if name in INTEGERS else "float32"
            if name == "x_hat":
                dtype = model.modality.target_dtype
            assert keras.backend.standardize_dtype(value.dtype) == dtype, name
            assert value.shape[0] == 5, name
            assert np.isfinite(ops.convert_to_numpy(value)).all(), name


def check_losses(family: Family, config: Config) -> None:
    """`compute_losses` gives every reported loss per example: finite, float32."""
    model, x = built(family, config), examples(family, config, n=5)
    for training in (False, True):
        outputs = model(x, training=training, **tensors_for(model, x))
        losses = model.compute_losses(model.modality.to_model(x), outputs)
        assert set(losses) == set(model.loss_names)
        for name, value in losses.items():
            assert keras.backend.standardize_dtype(value.dtype) == "float32", name
            assert tuple(value.shape) == (5,), name
            assert np.isfinite(ops.convert_to_numpy(value)).all(), name


def check_loss_is_weighted_sum(family: Family, config: Config) -> None:
    """`loss` is the sum of weight times term, for every example."""
    model = built(family, config)
    losses = losses_of(model, examples(family, config, n=5))
    assert set(model.loss_weights) == set(losses) - {"loss"}
    expected = sum(w * losses[name] for name, w in model.loss_weights.items())
    np.testing.assert_allclose(losses["loss"], expected, rtol=1e-5)


def check_losses_are_per_example(family: Family, config: Config) -> None:
    """An example's losses do not depend on its neighbours in the batch."""
    model, x = built(family, config), examples(family, config, n=5)
    labels = labels_for(model, x).get("y")
    reversed_labels = None
    if labels is not None:
        reversed_labels = keras.tree.map_structure(lambda v: v[::-1], labels)
    in_batch = losses_of(model, x, labels)
    reverse = losses_of(model, x[::-1], reversed_labels)
    for name in set(in_batch) - batch_losses(model):
        values = in_batch[name]
        np.testing.assert_allclose(
            reverse[name][::-1], values, rtol=1e-4, atol=1e-5, err_msg=name
        )
        if name not in OF_ROUNDED:
            assert len(np.unique(values)) > 1, f"{name} is the same for all examples"


# --- Randomness ----------------------------------------------------------------


def check_deterministic_when_not_training(family: Family, config: Config) -> None:
    """Without training, a second call repeats the first."""
    model, x = trained(family, config).model, examples(family, config)
    told = tensors_for(model, 5)
    first, second = (
        {
            k: ops.convert_to_numpy(v)
            for k, v in model(x[:5], training=False, **told).items()
        }
        for _ in range(2)
    )
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert_same_answers(model, model, x)
    first, second = (evaluate(model, x, batch_size=10) for _ in range(2))
    assert first == second


def check_training_repeats_with_its_seed(family: Family, config: Config) -> None:
    """From the same weights and random state, training gives the same weights."""
    state = trained(family, config)
    twins = [initial_weights(family, config, seed=0) for _ in range(2)]
    assert twins[0]
    for a, b in zip(*twins, strict=True):
        np.testing.assert_array_equal(a, b)
    results = []
    for _ in range(2):
        with restored(state.model):
            fit(state.model, examples(family, config))
            results.append(weights_of(state.model))
    for name in results[0]:
        np.testing.assert_allclose(
            results[0][name], results[1][name], rtol=1e-5, atol=1e-7, err_msg=name
        )


def check_sampling_seeds(family: Family, config: Config) -> None:
    """One seed, one set of images; another seed, others; or no sampling at all."""
    model = trained(family, config).model
    one = one_for(model)
    if "sampling" not in model.TASKS:
        with pytest.raises(UnsupportedOperationError, match="no prior over its codes"):
            model.sample(2, seed=0)
        return
    if not model.has_likelihood:
        with pytest.raises(UnsupportedOperationError, match="no distribution over"):
            model.sample(2, seed=0, noise=True, **one)
    for noise in (False, True) if model.has_likelihood else (False,):
        drawn = model.sample(3, seed=0, noise=noise, **one)
        images = arrays(model, drawn)
        assert images.shape == (3, *model.input_shape)
        model.modality.check(drawn)  # raises if they are none of its own
        again, others = (model.sample(3, seed=s, noise=noise, **one) for s in (0, 1))
        np.testing.assert_array_equal(images, arrays(model, again))
        assert np.any(images != arrays(model, others))
        assert np.any(images[0] != images[1])
    # the first images of a seed do not depend on how many are drawn
    five, three = (arrays(model, model.sample(n, seed=0, **one)) for n in (5, 3))
    np.testing.assert_allclose(five[:3], three, atol=1e-6)


# --- Training ------------------------------------------------------------------


def check_every_weight_learns(family: Family, config: Config) -> None:
    """Every trainable weight moves in one epoch; the others stay."""
    state = trained(family, config)
    after = weights_of(state.model)
    assert set(after) == set(state.before)
    assert len(after) > 0
    trainable = {w.path for w in state.model.trainable_weights}
    for name, value in after.items():
        assert np.isfinite(value).all(), name
        moved = np.any(value != state.before[name])
        assert moved == (name in trainable), name


def check_evaluate_reports_what_fit_reports(family: Family, config: Config) -> None:
    """`fit`, `validation_data`, `evaluate` and `loss_names` agree."""
    state = trained(family, config)
    names = set(state.model.loss_names)
    assert set(state.history) == names
    reported = evaluate(state.model, examples(family, config), batch_size=10)
    assert set(reported) == names
    assert all(np.isfinite(v) for v in reported.values())
    expected = sum(reported[k] * w for k, w in state.model.loss_weights.items())
    np.testing.assert_allclose(reported["loss"], expected, rtol=1e-5)


def check_metrics_ignore_the_batch_split(family: Family, config: Config) -> None:
    """Batches of 10, 7 + 3, 3 + 3 + 3 + 1 and 1 give the same means."""
    model, x = trained(family, config).model, examples(family, config)
    whole = evaluate(model, x, batch_size=10)
    for batch_size in (7, 3, 1):
        split = evaluate(model, x, batch_size=batch_size)
        for name in set(whole) - batch_losses(model):
            value = split[name]
            np.testing.assert_allclose(
                value, whole[name], rtol=1e-5, atol=1e-6, err_msg=name
            )


def check_mixed_precision(family: Family, config: Config, policy: str) -> None:
    """Computes in the lower precision, keeps float32 weights, and stays finite."""
    model = new_model(family, config, dtype=policy)
    x = examples(family, config)
    assert model.decoder.compute_dtype == policy.removeprefix("mixed_")
    history = fit(model, x)
    assert all(np.isfinite(v).all() for v in history.values()), history
    for weight in model.weights:
        assert weight.dtype == "float32", weight.path
        assert np.isfinite(weight).all(), weight.path
    codes, told = codes_of(model, x), given_for(model, x)
    shown = model.decode(codes, **told)
    if model.has_encoder:
        shown = model.reconstruct(x, **told)
    for result, dtype in (
        (codes, "float32"),
        (arrays(model, shown), x.dtype),
    ):
        assert result.dtype == dtype
        assert np.isfinite(result).all()


def check_kinds_of_input(family: Family, config: Config) -> None:
    """NumPy arrays, tensors and `tf.data` train and evaluate alike; so does uint8."""
    model, x = trained(family, config).model, examples(family, config)
    batches = {
        "numpy": x,
        "tensor": ops.convert_to_tensor(x),
        "uint8": examples(family, config, dtype="uint8"),
    }
    if BACKEND == "tensorflow":
        import tensorflow as tf

        labels = labels_for(model, x)
        pairs = (x, labels["y"]) if labels else x
        batches["tf.data"] = tf.data.Dataset.from_tensor_slices(pairs).batch(5)
    results = {}
    for kind, data in batches.items():
        with restored(model):
            fit(model, data)
            size = {} if kind == "tf.data" else {"batch_size": 5}
            results[kind] = weights_of(model), evaluate(model, data, **size)
    weights, losses = results.pop("numpy")
    for kind, (other_weights, other_losses) in results.items():
        for name, value in weights.items():
            np.testing.assert_allclose(
                other_weights[name], value, rtol=1e-3, atol=1e-4, err_msg=kind
            )
        for name, value in losses.items():
            np.testing.assert_allclose(
                other_losses[name], value, rtol=1e-3, atol=1e-4, err_msg=kind
            )


def check_labels_are_refused(family: Family, config: Config) -> None:
    """A dataset of (image, label) pairs gets an error that says what to drop.

    Or, from a family that learns from labels, one of images that says what to add.
    """
    x = examples(family, config)
    labels, message = np.zeros(10), "learn without labels: drop them"
    model = built(family, config)
    if model.required_conditions:
        labels, message = None, r"is told .* beside each \w+: pass batches"
    elif "labels" in model.given:
        labels, message = None, r"is told labels beside each image: pass batches"
    elif model.told_in_training:
        message = r"is told \w+ and .* beside each image: pass batches"
    for method in (fit, evaluate):
        model = new_model(family, config)  # on JAX, Keras drops the state on an error
        with pytest.raises(ValueError, match=message):
            method(model, x, y=labels)


def check_overfits_four_images(family: Family, config: Config) -> None:
    """Trained on four images, each with another quarter lit, it reconstructs them.

    From one of three random starts: so small a network can start with dead units.
    """
    model = new_model(family, config)
    x = model.modality.examples(4)
    if "input_shape" in config:
        x = np.zeros((4, *config["input_shape"]), "float32")
        height, width = x.shape[1] // 2, x.shape[2] // 2
        x[0, :height, :width] = x[1, :height, width:] = 1.0
        x[2, height:, :width] = x[3, height:, width:] = 1.0
    errors = []
    model.compile(keras.optimizers.Adam(0.003), steps_per_execution=50)
    rows = np.arange(150 * len(x)) % len(x)
    images = x[rows]
    labels = keras.tree.map_structure(lambda v: v[rows], labels_for(model, x))
    model.build()
    model.optimizer.build(model.trainable_variables)
    for seed in range(3):
        with restored(model):  # it stays compiled
            model.set_weights(initial_weights(family, config, seed))
            model.fit(images, **labels, batch_size=4, epochs=5, verbose=0)
            x_hat = arrays(model, model.reconstruct(x, **given_for(model, x)))
            errors.append(np.mean((x_hat - x) ** 2))
        if errors[-1] < 0.1 * x.var():
            return
    raise AssertionError(errors)


# --- Round trips ---------------------------------------------------------------


def check_config_round_trip(family: Family, config: Config) -> None:
    """`get_config` survives JSON, holds every argument, and rebuilds the model."""
    model = built(family, config)
    saved = json.loads(json.dumps(model.get_config()))
    assert arguments_of(family) <= set(saved), arguments_of(family) - set(saved)
    given = json.loads(json.dumps(config))
    assert {name: saved[name] for name in given} == given
    assert saved["name"] == model.name
    rebuilt = type(model).from_config(saved)
    assert json.loads(json.dumps(rebuilt.get_config())) == saved
    rebuilt.build()
    assert [w.shape for w in rebuilt.weights] == [w.shape for w in model.weights]
    assert compose(family, **model.config).config == model.config


@functools.cache
def arguments_of(family: Family) -> set[str]:
    """Names of all arguments of a family that make a difference."""
    model = compose(family, **family.tiny)
    network = {*model.network.argument_names()} - {*model.network.unused(model.latent)}
    return {*arguments.arguments_of(family.objective), *network}


def check_weights_round_trip(family: Family, config: Config, folder: Path) -> None:
    """Weights saved and loaded into another model give the same outputs."""
    model, x = trained(family, config).model, examples(family, config)
    model.save_weights(folder / "model.weights.h5")
    other = compose(family, **config)
    other.build()
    codes, told = codes_of(model, x), given_for(model, x)
    before, wanted = (arrays(m, m.decode(codes, **told)) for m in (other, model))
    assert np.any(before != wanted)
    other.load_weights(folder / "model.weights.h5")
    assert_same_answers(other, model, x)


def assert_same_answers(one: Autoencoder, other: Autoencoder, x: np.ndarray) -> None:
    """Two models give the same codes and reconstructions.

    Without an encoder, the same examples of the codes of the prior.
    """
    told = given_for(one, x)
    for name in ("encode", "reconstruct") if one.has_encoder else ("decode",):
        inputs = x if one.has_encoder else codes_of(one, x)
        answers = (getattr(model, name)(inputs, **told) for model in (one, other))
        np.testing.assert_array_equal(*answers, err_msg=name)


def check_keras_round_trip(family: Family, config: Config, folder: Path) -> None:
    """A `.keras` file restores configuration, weights, optimiser and objective."""
    model, x = trained(family, config).model, examples(family, config)
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    assert type(loaded) is family.objective
    assert loaded.get_config() == model.get_config()
    assert_same_answers(loaded, model, x)
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    losses = evaluate(model, x, batch_size=10)
    for name, value in evaluate(loaded, x, batch_size=10).items():
        np.testing.assert_allclose(value, losses[name], rtol=1e-6)


def check_mismatched_loads(family: Family, config: Config, folder: Path) -> None:
    """A file and a manifest entry that do not fit give our message, not Keras's."""
    model, x = (
        compose(family, **config),
        examples(family, config),
    )  # uncompiled: saves no optimiser
    model.build()
    path = folder / "model.weights.h5"
    model.save_weights(path)
    loaded = load_entry(entry_of(model, path), path)
    assert_same_answers(loaded, model, x)

    size = next(name for name in CODE_SIZES if name in model.config)
    value = model.config[size]
    larger = [*value, value[-1]] if isinstance(value, list) else value + 1
    wider = {**model.config, size: larger}
    for changes, message in (
        ({"num_params": model.count_params() + 1}, "does not fit its entry"),
        ({"config": wider}, "does not fit its configuration"),
        ({"latent_shape": (99,)}, "does not fit its configuration"),
        ({"config": {f"{size}_": 3}}, f"Did you mean '{size}'"),
        ({"config": {size: 0}}, "does not describe a valid"),
    ):
        with pytest.raises(ManifestError, match=message):
            load_entry(entry_of(model, path, **changes), path)

    truncated = folder / "truncated.weights.h5"
    truncated.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ChecksumError, match="does not match what is stated"):
        load_entry(entry_of(model, path), truncated)
    with pytest.raises(ManifestError, match="not a readable HDF5 file"):
        load_entry(entry_of(model, truncated), truncated)

    flattened = folder / "flattened.weights.h5"  # right count, wrong shapes
    with h5py.File(path) as source, h5py.File(flattened, "w") as target:
        for key in source:
            source.copy(key, target)
        _flatten_arrays(target)
    with pytest.raises(ManifestError, match="does not fit the manifest entry"):
        load_entry(entry_of(model, flattened), flattened)


def _flatten_arrays(group: h5py.Group) -> None:
    for key in list(group):
        if isinstance(group[key], h5py.Group):
            _flatten_arrays(group[key])
        elif group[key].ndim > 1:
            values = group[key][()].ravel()
            del group[key]
            group[key] = values


def entry_of(model: Autoencoder, path: Path, **changes: Any) -> WeightsEntry:
    """A manifest entry for a weights file; `changes` make it wrong."""
    fields = {
        "config": model.config,
        "latent_shape": model.latent_shape,
        "num_params": model.count_params(),
    }
    return WeightsEntry(
        name="test_model",
        family=model.family,
        description="A test.",
        paper="https://example.org",
        input_shape=model.input_shape,
        value_range=(0.0, 1.0),
        tasks=model.TASKS,
        data=DataInfo("t", "1", "train", "CC0"),
        license="Apache-2.0",
        seed=0,
        recipe="none",
        training=TrainingInfo("", 0.0, BACKEND, {}),
        weights=WeightsFile(path.name, path.stat().st_size, sha256_of(path)),
        golden=ZooGolden("none", "0"),
        metrics={},
        **{**fields, **changes},
    )


# --- The public API ------------------------------------------------------------


def check_docstring_cites_a_paper(family: Family, config: Config) -> None:  # noqa: ARG001
    """The objective's own docstring links to its paper."""
    assert "https://" in (vars(family.objective).get("__doc__") or "")


def check_posterior(family: Family, config: Config) -> None:
    """The posterior has the one interface of all families that have an encoder."""
    model, x = trained(family, config).model, examples(family, config)
    if refuses_examples(model, x):
        return
    q = model.posterior(x, **given_for(model, x))
    mean, mode, draw = map(ops.convert_to_numpy, (q.mean, q.mode(), q.sample(0)))
    for codes in (mean, mode, draw):
        assert codes.shape == (10, *model.latent_shape)
        assert codes.dtype == np.float32
        assert np.isfinite(codes).all()
    np.testing.assert_array_equal(mode, ops.convert_to_numpy(q.mode()))
    np.testing.assert_array_equal(draw, ops.convert_to_numpy(q.sample(0)))
    kl = ops.convert_to_numpy(q.kl())
    assert kl.shape == (10,)
    assert np.all(kl >= 0.0)  # also false for NaN
    assert np.isfinite(kl).all() or np.isposinf(kl).all()
    at_mode, at_draw, near = (
        ops.convert_to_numpy(q.log_prob(z)) for z in (mode, draw, mode + 0.5)
    )
    assert at_mode.shape == at_draw.shape == (10,)
    assert np.isfinite(at_mode).all()
    assert np.isfinite(at_draw).all()
    assert np.all(at_mode >= at_draw)
    assert np.all(at_mode > near)
    # a point mass, with all of its probability at the mode, has no spread; its KL is
    # infinite unless it is one of finitely many codes
    is_point = np.all(at_mode == 0.0)
    other = ops.convert_to_numpy(q.sample(1))
    assert np.any(draw != other) == (not is_point)
    assert np.isfinite(kl).all() == (not is_point or hasattr(q, "indices"))


def check_encode_is_the_mode(family: Family, config: Config) -> None:
    """`encode` is the posterior's mode, for any batch size and either dtype."""
    model, x = trained(family, config).model, examples(family, config)
    if refuses_examples(model, x):
        return
    told = given_for(model, x)
    codes = model.encode(x, **told)
    assert codes.dtype == np.float32
    mode = ops.convert_to_numpy(model.posterior(x, **told).mode())
    np.testing.assert_allclose(codes, mode, rtol=1e-5, atol=1e-6)
    called = ops.convert_to_numpy(
        model(x, training=False, **tensors_for(model, x))["z"]
    )
    np.testing.assert_allclose(called, codes, atol=1e-5)
    np.testing.assert_allclose(model.encode(x, batch_size=3, **told), codes, atol=1e-5)
    np.testing.assert_allclose(
        model.encode(examples(family, config, dtype="uint8"), **told), codes, atol=1e-5
    )


def check_reconstruct(family: Family, config: Config) -> None:
    """Floats to floats in [0, 1], uint8 to the same picture in uint8."""
    model, x = trained(family, config).model, examples(family, config)
    if refuses_examples(model, x):
        return
    told = given_for(model, x)
    x_hat = arrays(model, model.reconstruct(x, **told))
    assert x_hat.shape == x.shape
    assert x_hat.dtype == x.dtype
    decoded = arrays(model, model.decode(model.encode(x, **told), **told))
    np.testing.assert_allclose(x_hat, decoded, atol=1e-5)
    rounded = examples(family, config, dtype="uint8")
    as_bytes = arrays(model, model.reconstruct(rounded, **told))
    assert as_bytes.dtype == rounded.dtype
    # the same but where rounding could go either way
    like = rounded.dtype.name
    expected = ops.convert_to_numpy(
        model.modality.from_model(tensors(model, x_hat), like)
    )
    difference = np.abs(as_bytes.astype("float64") - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def check_decode_stays_in_range(family: Family, config: Config) -> None:
    """Any finite code decodes to an image in [0, 1]."""
    model = trained(family, config).model
    z = 50.0 * np.random.default_rng(0).standard_normal((6, *model.latent_shape))
    decoded = model.decode(z, **given_for(model, z))
    images = arrays(model, decoded)
    assert images.shape == (6, *model.input_shape)
    model.modality.check(decoded)  # raises if they are none of its own
    assert len(np.unique(images, axis=0)) > 1


def check_interpolate(family: Family, config: Config) -> None:
    """Paths start and end at the reconstructions of their ends.

    Without an encoder, at what the codes of their ends are decoded to.
    """
    model, x = trained(family, config).model, examples(family, config)

    one = one_for(model)

    def interpolate(*args: Any, **kwargs: Any) -> np.ndarray:
        return arrays(model, model.interpolate(*args, **kwargs, **one))

    x, ends = paths_from(model, x)
    for method in ("spherical", "linear"):
        path = interpolate(x[0], x[1], steps=5, method=method)
        assert path.shape == (5, *model.input_shape)
        np.testing.assert_allclose(path[0], ends[0], atol=1e-5)
        np.testing.assert_allclose(path[-1], ends[1], atol=1e-5)
    paths = interpolate(x[:3], x[3:6], steps=4)
    assert paths.shape == (3, 4, *model.input_shape)
    np.testing.assert_allclose(paths[:, 0], ends[:3], atol=1e-5)
    np.testing.assert_allclose(paths[:, -1], ends[3:6], atol=1e-5)
    if not model.has_encoder:
        return
    codes = model.encode(x[:2], **one)
    np.testing.assert_allclose(
        interpolate(codes[0], codes[1], steps=4, method="linear"),
        interpolate(x[0], x[1], steps=4, method="linear"),
        atol=1e-5,
    )
    as_bytes = examples(family, config, dtype="uint8")
    assert interpolate(as_bytes[0], as_bytes[1]).dtype == as_bytes.dtype


def check_traverse(family: Family, config: Config) -> None:
    """Exactly one unit takes the given values; the others keep theirs."""
    model, x = trained(family, config).model, examples(family, config)
    one = one_for(model)
    x, ends = paths_from(model, x)
    codes = x[:2]
    if model.has_encoder:
        codes = model.encode(x[:2], **one)
    units = codes[0].size
    for dim in (0, units - 1, -1):
        grid = arrays(model, model.traverse(x[:2], dim, [-2.0, 0.5], **one))
        assert grid.shape == (2, 2, *model.input_shape)
        for i, value in enumerate((-2.0, 0.5)):
            moved = codes.copy().reshape(2, units)
            moved[:, dim] = value
            expected = arrays(model, model.decode(moved.reshape(codes.shape), **one))
            np.testing.assert_allclose(grid[:, i], expected, atol=1e-5)
    # at its own value the unit stands still
    own = float(codes[0].ravel()[0])
    still = arrays(model, model.traverse(x[0], 0, [own], **one))[0]
    np.testing.assert_allclose(still, ends[0], atol=1e-5)
    if not model.has_encoder:
        return
    as_bytes = examples(family, config, dtype="uint8")[0]
    assert arrays(model, model.traverse(as_bytes, 0, **one)).dtype == as_bytes.dtype


# --- The lists that tests run ----------------------------------------------------

# Cheap: no training, hence run over all variants of all families as well.
UNTRAINED_CHECKS = (
    check_call,
    check_losses,
    check_loss_is_weighted_sum,
    check_losses_are_per_example,
    check_config_round_trip,
)
CHECKS = (
    *UNTRAINED_CHECKS,
    check_deterministic_when_not_training,
    check_training_repeats_with_its_seed,
    check_sampling_seeds,
    check_every_weight_learns,
    check_evaluate_reports_what_fit_reports,
    check_metrics_ignore_the_batch_split,
    check_kinds_of_input,
    check_labels_are_refused,
    check_docstring_cites_a_paper,
    check_posterior,
    check_encode_is_the_mode,
    check_reconstruct,
    check_decode_stays_in_range,
    check_interpolate,
    check_traverse,
)
# What base classes, networks and distributions do for every family alike.
SHARED_CHECKS = (
    check_deterministic_when_not_training,
    check_training_repeats_with_its_seed,
    check_metrics_ignore_the_batch_split,
    check_kinds_of_input,
    check_labels_are_refused,
    check_reconstruct,
    check_decode_stays_in_range,
    check_interpolate,
    check_traverse,
    check_sampling_seeds,
    check_weights_round_trip,
    check_keras_round_trip,
    check_mismatched_loads,
)
# What a family's own code decides and a backend can break.
CORE_CHECKS = (
    check_call,
    check_losses,
    check_every_weight_learns,
    check_evaluate_reports_what_fit_reports,
    check_posterior,
)
# These take a folder for files as well.
FILE_CHECKS = (
    check_weights_round_trip,
    check_keras_round_trip,
    check_mismatched_loads,
)
