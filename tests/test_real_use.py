"""What people do with models that authors of models do not think of."""

import ast
import copy
import os
import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo.errors import StaleSamplerError, UnsupportedOperationError
from aezoo.models.arguments import arguments_of
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import new_model
from aezoo.nn.backend import BACKEND
from aezoo.registry import find_family, list_families
from tests import checks

SHAPE = (6, 6, 1)
TINY = {"input_shape": SHAPE, "latent_dim": 2, "hidden_units": (8,)}
CONDITIONAL = {**TINY, "filters": (4,), "strides": (2,), "num_classes": 3}
ROOT = Path(__file__).parent.parent
GOOD = np.random.default_rng(0).random((10, *SHAPE), "float32")
LABELS = np.arange(10) % 3
WRONG = {
    "0 to 255": (255 * GOOD, "Divide values of 0 to 255"),
    "-1 to 1": (2 * GOOD - 1, r"\(x \+ 1\) / 2"),
    "uint16": ((65535 * GOOD).astype("uint16"), "uint16"),
    "int8": ((100 * GOOD).astype("int8"), "int8"),
    "one NaN": (np.where(np.arange(360).reshape(GOOD.shape) == 7, np.nan, GOOD), "NaN"),
}
METHODS = ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch")
PASSES = METHODS[:3]


class Batches(keras.utils.PyDataset):
    """The simplest dataset of Keras's own."""

    def __init__(self, x: np.ndarray) -> None:
        super().__init__()
        self.x = x

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int):
        part = slice(5 * index, 5 * index + 5)
        return (self.x[part],)


def dataset(x, size: int = 5) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(x).batch(size)


WAYS = {
    "dataset": dataset,
    "PyDataset": Batches,
    "generator": lambda x: (x[i : i + 5] for i in (0, 5)),
}


def create(family: str = "dense_vae", optimizer="adam", **config) -> Autoencoder:
    keras.utils.set_random_seed(0)
    config = config if "filters" in config else {**TINY, **config}
    model = aezoo.create(family, **config)
    model.compile(optimizer)
    return model


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    return create()


@pytest.fixture(scope="module")
def conditional() -> Autoencoder:
    return create("conditional_vae", **CONDITIONAL)


@pytest.fixture
def unmoved(model):
    """Nothing that is refused may move a weight."""
    before = model.get_weights()
    yield
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def call(model, method: str, x, **kwargs):
    options = {"verbose": 0} if method in PASSES else {}
    return getattr(model, method)(x, **options, **kwargs)


# --- What `encode` refuses, nothing else takes ------------------------------------


@pytest.mark.parametrize("method", [*METHODS, "predict_on_batch"])
@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.usefixtures("unmoved")
def test_arrays_of_a_wrong_range_are_refused_before_the_first_step(
    model, method, kind
) -> None:
    x, message = WRONG[kind]
    for wrong in (x, tf.constant(x)) if BACKEND == "tensorflow" else (x,):
        with pytest.raises(ValueError, match=message):
            call(model, method, wrong)


@pytest.mark.parametrize("method", PASSES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["0 to 255", "int8", "one NaN"])
@pytest.mark.usefixtures("unmoved")
def test_datasets_are_refused_at_their_first_batch(model, method, way, kind) -> None:
    x, message = WRONG[kind]
    with pytest.raises(ValueError, match=message):
        call(model, method, WAYS[way](x))


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of the generator
@pytest.mark.parametrize(
    ("wrong", "way"),
    [(255 * GOOD, "dataset"), (np.full_like(GOOD, np.nan), "generator")],
    ids=["0 to 255-dataset", "NaN-generator"],
)
def test_later_batches_are_refused_and_teach_nothing(wrong, way) -> None:
    """The graph finds them at no cost to speak of; the error comes with the end."""
    x = np.concatenate([GOOD[:5], wrong[:5]])
    both, first = (create(optimizer=keras.optimizers.SGD(0.1)) for _ in range(2))
    with pytest.raises(ValueError, match="of the images were out of range"):
        both.fit(WAYS[way](x), verbose=0, shuffle=False)
    first.fit(GOOD[:5], verbose=0, shuffle=False)
    for a, b in zip(both.get_weights()[:-1], first.get_weights()[:-1], strict=True):
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, atol=1e-6)
    with pytest.raises(ValueError, match="of the images were out of range"):
        both.evaluate(WAYS[way](x), verbose=0)
    with pytest.raises(ValueError, match="not finite"):
        both.predict(WAYS[way](x), verbose=0)
    both.evaluate(WAYS[way](GOOD), verbose=0)  # the count starts anew
    found = both.fit(WAYS[way](GOOD), verbose=0, shuffle=False)
    assert np.isfinite(found.history["loss"]).all()


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (WRONG["0 to 255"][0], "Divide values"),
        ((WRONG["-1 to 1"][0],), r"\(x \+ 1\) / 2"),
        ((GOOD, None, np.arange(9.0)), "sample_weight"),
        (dataset(WRONG["one NaN"][0]), "NaN"),
    ],
    ids=["array", "tuple", "weights", "dataset"],
)
@pytest.mark.usefixtures("unmoved")
def test_validation_data_is_refused_before_the_first_step(
    model, held_out, message
) -> None:
    with pytest.raises(ValueError, match=message):
        model.fit(GOOD, validation_data=held_out, verbose=0)


ODD = {
    "unbatched": (tf.data.Dataset.from_tensor_slices(GOOD), r"\.batch\(128\)"),
    "without channels": (dataset(GOOD[..., 0]), r"x\[\.\.\., None\]"),
    "dictionaries": (
        dataset({"image": GOOD, "label": LABELS}),
        r"Received: keys 'image', 'label'.*lambda row: row\['image'\]",
    ),
    "a dictionary": ({"image": GOOD}, r"x\['image'\]"),
    "labels": (dataset((GOOD, LABELS)), "drop them"),
    "weights of pixels": (dataset((GOOD, GOOD, GOOD)), "one number for each"),
    "weights of NaN": (dataset((GOOD, GOOD, np.full(10, np.nan))), "finite numbers"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.usefixtures("unmoved")
def test_odd_datasets_have_an_error_with_the_next_step(model, method, kind) -> None:
    data, message = ODD[kind]
    with pytest.raises(ValueError, match=message):
        call(model, method, data)


def test_dictionaries_for_a_model_that_is_told_labels(conditional) -> None:
    with pytest.raises(ValueError, match=r"\(row\['image'\], row\['labels'\]\)"):
        conditional.fit(dataset({"image": GOOD, "label": LABELS}), verbose=0)


def test_lists_of_images_are_arrays_of_them(model) -> None:
    expected = model.evaluate(GOOD, verbose=0)
    np.testing.assert_allclose(model.evaluate(list(GOOD), verbose=0), expected)


def test_a_model_whose_weights_are_lost_says_so() -> None:
    broken = create()
    broken.set_weights([np.full_like(w, np.nan) for w in broken.get_weights()])
    for method in ("encode", "reconstruct", "predict"):
        with pytest.raises(ValueError, match="not finite"):
            getattr(broken, method)(np.uint8(255 * GOOD))


# --- Inside graphs nothing can be refused: the answer is NaN -----------------------


@pytest.mark.parametrize("kind", ["0 to 255", "one NaN"])
@pytest.mark.parametrize(
    "family", ["conv_vae", "vq_vae", "categorical_vae", "patch_ae"]
)
def test_a_graph_answers_nan_to_an_image_of_a_wrong_range(family, kind) -> None:
    config = dict(find_family(family).tiny)
    tiny = aezoo.create(family, **config)
    good = np.random.default_rng(0).random((2, *tiny.input_shape), "float32")
    wrong = {
        "0 to 255": 255 * good[:1],
        "-1 to 1": 2 * good[:1] - 1,
        "one NaN": np.where(good[:1] == good[0].flat[0], np.nan, good[:1]),
    }[kind]
    outputs = tiny(np.concatenate([good, wrong]))
    for name in ("x_hat", "z"):
        found = np.asarray(outputs[name])
        np.testing.assert_allclose(found[:2], np.asarray(tiny(good)[name]), atol=1e-5)
        assert np.isnan(found[2]).all(), name


def test_a_graph_refuses_integers_that_are_not_uint8(model) -> None:
    with pytest.raises(ValueError, match=r"must be uint8.*int32"):
        model(GOOD.astype("int32"))


def test_labels_out_of_range_are_nan_in_a_graph(conditional) -> None:
    outputs = conditional(GOOD, labels=np.int32([0, 1, 2, -1, 3, 0, 0, 0, -2, 0]))
    is_nan = np.isnan(np.asarray(outputs["z"])).all(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(is_nan), [4, 8])


def test_labels_out_of_range_do_not_pass_for_unknown_ones() -> None:
    family = find_family("semi_supervised_vae")
    tiny = aezoo.create("semi_supervised_vae", **family.tiny)
    x = np.zeros((3, *tiny.input_shape), "uint8")
    z = np.asarray(tiny(x, labels=np.int32([0, 3, -1]))["z"])
    np.testing.assert_array_equal(np.isnan(z).any(axis=1), [False, True, False])


@pytest.mark.parametrize("layer", ["latent", "stage1"])
def test_extractors_check_what_they_see(layer) -> None:
    extractor = aezoo.feature_extractor(
        aezoo.create("conv_ae", **find_family("conv_ae").tiny), layer=layer
    )
    x = np.random.default_rng(0).random((4, *extractor.modality.shape), "float32")
    assert np.isfinite(extractor.predict(x, verbose=0)).all()
    for wrong, message in (
        (255 * x, "Divide"),
        (2 * x - 1, "/ 2"),
        (x * np.nan, "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            extractor.predict(wrong, verbose=0)
        with pytest.raises(ValueError, match="not finite"):
            extractor.predict(dataset(wrong), verbose=0)
    classifier = keras.Sequential([extractor, keras.layers.Flatten()])
    assert np.isnan(classifier.predict(255 * x, verbose=0)).all()
    assert np.isfinite(classifier.predict(x, verbose=0)).all()


# --- Weights of examples, labels ------------------------------------------------------


def test_weights_without_targets_count() -> None:
    model = create()
    weights = np.arange(10.0)
    expected = model.evaluate(GOOD, GOOD, sample_weight=weights, verbose=0)
    found = model.evaluate(GOOD, sample_weight=weights, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert abs(found[0] - model.evaluate(GOOD, verbose=0)[0]) > 1e-4
    history = model.fit(
        GOOD,
        sample_weight=np.zeros(10),
        validation_data=(GOOD, None, weights),
        verbose=0,
    ).history
    assert history["val_loss"][0] == pytest.approx(expected[0], rel=1e-5)
    with pytest.raises(ValueError, match="sample_weight"):
        model.train_on_batch(GOOD, sample_weight=np.full(10, np.inf))


@pytest.mark.parametrize(
    "weights", [np.arange(9.0), np.full(10, np.nan), -np.ones(10), GOOD, "a" * 10]
)
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
@pytest.mark.usefixtures("unmoved")
def test_weights_that_are_none_are_refused(model, method, weights) -> None:
    with pytest.raises(ValueError, match="sample_weight"):
        call(model, method, GOOD, sample_weight=weights)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
@pytest.mark.parametrize("kind", ["array", "list", "tensor", "series"])
def test_labels_out_of_range_are_refused(conditional, method, kind) -> None:
    labels = np.where(np.arange(10) == 9, 3, LABELS)
    if kind == "series":
        labels = pytest.importorskip("pandas").Series(labels)
    else:
        labels = {"array": np.asarray, "list": list, "tensor": tf.constant}[kind](
            labels
        )
    with pytest.raises(ValueError, match=r"from 0 to 2, or -1.*Received: 0 to 3"):
        call(conditional, method, GOOD, y=labels)


def test_labels_out_of_range_in_datasets(conditional) -> None:
    for last in (3, -2):
        labels = np.where(np.arange(10) == 9, last, LABELS)
        with pytest.raises(ValueError, match="from 0 to 2"):
            conditional.fit(dataset((GOOD, labels), 10), verbose=0, shuffle=False)
        with pytest.raises(ValueError, match="images, or labels, were out of range"):
            conditional.fit(dataset((GOOD, labels)), verbose=0, shuffle=False)
        with pytest.raises(ValueError, match="images, or labels, were out of range"):
            conditional.evaluate(dataset((GOOD, labels)), verbose=0)
    assert np.isfinite(conditional.get_weights()[0]).all()


# --- Optimisers ------------------------------------------------------------------


def steps_of(family: str, optimizer) -> list[np.ndarray]:
    model = create(family, optimizer)
    before = model.get_weights()
    model.train_on_batch(GOOD)
    return [b - a for a, b in zip(before, model.get_weights(), strict=True)]


def scaled(kind: str) -> keras.optimizers.Optimizer:
    if kind == "factor":
        return keras.optimizers.SGD(1e-2, loss_scale_factor=1024.0)
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-2), 1024.0)


@pytest.mark.parametrize("kind", ["factor", "dynamic"])
def test_a_scaled_loss_moves_model_and_adversary_as_without(kind) -> None:
    expected = steps_of("adversarial_ae", keras.optimizers.SGD(1e-2))
    found = steps_of("adversarial_ae", scaled(kind))
    assert max(np.abs(step).max() for step in expected) > 1e-3
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["factor", "dynamic"])
def test_a_scaled_loss_moves_layers_as_without(kind) -> None:
    steps = []
    for optimizer in (keras.optimizers.SGD(1e-2), scaled(kind)):
        keras.utils.set_random_seed(0)
        extractor = aezoo.feature_extractor(
            aezoo.create("dense_ae", **TINY), trainable=True
        )
        classifier = keras.Sequential([extractor, keras.layers.Dense(3)])
        classifier.build((None, *SHAPE))
        before = classifier.get_weights()
        classifier.compile(
            aezoo.layerwise_learning_rates(classifier, optimizer),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        classifier.fit(GOOD, LABELS, verbose=0)
        after = classifier.get_weights()
        steps.append([b - a for a, b in zip(before, after, strict=True)])
    assert max(np.abs(step).max() for step in steps[0]) > 1e-4
    for a, b in zip(*steps, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def test_averaged_weights_are_swapped_in_with_an_adversary() -> None:
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    adam = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.5)
    model = create("adversarial_ae", adam)
    model.fit(GOOD, epochs=2, verbose=0, callbacks=[swap])
    plain = create("adversarial_ae")
    with pytest.raises(ValueError, match="use_ema=True"):
        plain.fit(GOOD, verbose=0, callbacks=[swap])


def test_wrapped_optimisers_say_what_they_cannot_wrap() -> None:
    from aezoo.nn.optimizers import LayerwiseOptimizer, OptimizerPair

    inner = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    with pytest.raises(ValueError, match="Pass its `inner_optimizer`"):
        OptimizerPair(inner, keras.optimizers.SGD())
    with pytest.raises(ValueError, match="use_ema=True"):
        LayerwiseOptimizer(keras.optimizers.SGD(use_ema=True), [1.0])


# --- Arguments that are set later ------------------------------------------------


def test_annealing_by_a_callback_counts_from_the_next_step_on() -> None:
    class Anneal(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None) -> None:  # noqa: ARG002
            self.model.beta = 1.0 + batch

        def on_train_batch_end(self, batch, logs=None) -> None:  # noqa: ARG002
            seen.append(logs)

    seen: list = []
    model = create(optimizer=keras.optimizers.SGD(0.0))
    model.fit(GOOD, batch_size=5, verbose=0, callbacks=[Anneal()], shuffle=False)
    first, mean = seen
    assert first["loss"] == pytest.approx(first["reconstruction"] + first["kl"])
    kls = np.array([first["kl"], 2 * mean["kl"] - first["kl"]])
    expected = mean["reconstruction"] + np.mean([1.0, 2.0] * kls)
    assert mean["loss"] == pytest.approx(expected, rel=1e-5)
    assert model.get_config()["beta"] == 2.0


def test_a_weight_is_set_without_compiling_anew_and_others_with() -> None:
    model = create(optimizer=keras.optimizers.SGD(0.0))
    model.train_on_batch(GOOD)
    compiled = model.train_function
    model.encode(GOOD)
    model.beta = 4.0
    found = model.train_on_batch(GOOD, return_dict=True)
    assert model.train_function is compiled
    assert model.compiled_functions
    weighted = found["reconstruction"] + 4.0 * found["kl"]
    assert found["loss"] == pytest.approx(weighted, rel=1e-5)
    model.kl_warmup_steps = 1_000_000
    found = model.train_on_batch(GOOD, return_dict=True)
    assert found["loss"] == pytest.approx(found["reconstruction"], rel=1e-4)


def test_a_term_that_comes_or_goes_needs_another_compile() -> None:
    model = create()
    model.train_on_batch(GOOD)
    model.sparsity = 0.1
    for method in METHODS[:2] + METHODS[3:]:
        with pytest.raises(RuntimeError, match=r"compile.* again"):
            call(model, method, GOOD)
    model.compile("adam")
    assert "sparsity" in model.train_on_batch(GOOD, return_dict=True)


def test_weights_of_terms_act_through_loss_weights_alone() -> None:
    """In no other function of any objective, so that no graph holds their value."""
    names, found = set(), []
    for path in (ROOT / "aezoo" / "models").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            used = {
                node.attr
                for node in ast.walk(function)
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
            }
            found += [(path.name, function.name, name) for name in used]
    for family in list_families():
        for name, argument in arguments_of(find_family(family).objective).items():
            names |= {name} if argument.is_weight else set()
    elsewhere = {
        (file, function, name)
        for file, function, name in found
        if name in names and function != "loss_weights"
    }
    assert len(names) > 15
    assert elsewhere == {
        # only whether the term is there, which `compile` fixes
        ("autoencoder.py", "compute_terms", "sparsity"),
        # what `adapt` begins with, in no graph
        ("hyperprior.py", "step", "distortion_weight"),
    }


@pytest.mark.parametrize(
    ("family", "extra"),
    [
        ("beta_vae", {"sparsity": 0.5}),
        ("beta_vae", {"capacity": 1.0}),
        ("beta_tcvae", {}),
        ("dip_vae", {}),
        ("info_vae", {}),
        ("kl_autoencoder", {"discriminator_filters": (4,)}),
        ("hierarchical_vae", {"free_bits": 0.1}),
        ("rae", {}),
        ("vae_gan", {}),
        ("vq_vae", {}),
    ],
)
def test_every_weight_that_is_set_later_counts_as_one_set_at_first(
    family, extra
) -> None:
    config = {**find_family(family).tiny, **extra}
    model = new_model(family, **config)
    model.compile("adam")
    version = model._arguments_version
    for name, argument in arguments_of(type(model)).items():
        if not argument.is_weight or (name == "sparsity" and not model.sparsity):
            continue
        value = 0.25 if getattr(model, name) != 0.25 else 0.5
        setattr(model, name, value)
        config[name] = value
        found = {k: float(v) for k, v in model.term_weights().items()}
        assert found == pytest.approx(new_model(family, **config).loss_weights)
        assert model._arguments_version == version


# --- Quantised, with adapters -----------------------------------------------------


def quantize(model) -> None:
    model.quantize("int8")


def adapt(model) -> None:
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dense):
            layer.enable_lora(2)
            layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))


# Keras's words on layers that it leaves as they are.
SILENCE = "ignore:Layer Flatten does not have a `quantize` method"


@pytest.mark.filterwarnings(SILENCE)
@pytest.mark.parametrize("change", [quantize, adapt])
def test_compiled_methods_follow_a_change_of_layers(change) -> None:
    model = create("dense_ae")
    before = model.encode(GOOD), model.reconstruct(GOOD), model.decode(np.ones((2, 2)))
    change(model)
    z = model.encode(GOOD)
    outputs = model(GOOD)
    np.testing.assert_allclose(z, outputs["z"], atol=1e-6)
    np.testing.assert_allclose(model.reconstruct(GOOD), outputs["x_hat"], atol=1e-6)
    for a, b in zip(
        before, (z, model.reconstruct(GOOD), model.decode(np.ones((2, 2)))), strict=True
    ):
        assert np.abs(a - b).max() > 1e-4


@pytest.mark.filterwarnings(SILENCE)
def test_a_quantised_model_says_that_it_cannot_be_saved(tmp_path) -> None:
    model = create()
    model.quantize("int8")
    for save in (
        lambda: model.save(tmp_path / "model.keras"),
        lambda: model.save_weights(tmp_path / "model.weights.h5"),
        lambda: copy.deepcopy(model),
        lambda: pickle.dumps(model),
        lambda: aezoo.save(model, tmp_path / "model"),
    ):
        with pytest.raises(UnsupportedOperationError, match="Save it before"):
            save()
    assert not (tmp_path / "model").exists()


# --- Samplers belong to weights -----------------------------------------------------


@pytest.fixture(scope="module")
def sampled() -> Autoencoder:
    model = aezoo.create("dense_vae", **TINY)
    x = np.random.default_rng(0).random((40, *SHAPE), "float32")
    aezoo.samplers.fit_sampler(model, x, "gmm", num_components=2)
    aezoo.samplers.fit_sampler(model, x, "vamp", num_pseudo_inputs=4)
    return model


CHANGES = {
    "fit": lambda model, path: model.fit(GOOD, verbose=0),  # noqa: ARG005
    "train_on_batch": lambda model, path: model.train_on_batch(GOOD),  # noqa: ARG005
    "set_weights": lambda model, path: model.set_weights(  # noqa: ARG005
        [w + 1e-3 for w in model.get_weights()]
    ),
    "load_weights": lambda model, path: model.load_weights(path),
    "assign": lambda model, path: model.weights[0].assign_add(  # noqa: ARG005
        np.ones(model.weights[0].shape)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_samplers_do_not_outlive_their_weights(sampled, tmp_path, change) -> None:
    other = tmp_path / "other.weights.h5"
    keras.utils.set_random_seed(1)  # whatever `sampled` was made from
    aezoo.create("dense_vae", **TINY).save_weights(other)
    model = copy.deepcopy(sampled)
    if change in ("fit", "train_on_batch"):
        model.compile("adam")
    x = model.sample(3, seed=0, sampler="gmm")
    before = model.get_weights()
    CHANGES[change](model, other)
    for use in (
        lambda: model.sample(3, seed=0, sampler="gmm"),
        lambda: model.samplers["vamp"],
        lambda: aezoo.save(model, tmp_path / "model"),
    ):
        with pytest.raises(StaleSamplerError, match=r"Fit it again.*del model"):
            use()
    assert not (tmp_path / "model").exists()
    model.sample(3)  # the prior is as good as ever
    model.set_weights(before)
    np.testing.assert_array_equal(model.sample(3, seed=0, sampler="gmm"), x)
    del model.samplers["gmm"], model.samplers["vamp"]
    CHANGES[change](model, other)
    aezoo.save(model, tmp_path / "model")


def keras_file(model, folder: Path):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def own_folder(model, folder: Path):
    return aezoo.load(aezoo.save(model, folder / "model"))


@pytest.mark.parametrize(
    "carry",
    [
        keras_file,
        own_folder,
        lambda model, _: copy.deepcopy(model),
        lambda model, _: pickle.loads(pickle.dumps(model)),
    ],
    ids=["keras", "aezoo", "deepcopy", "pickle"],
)
def test_copies_carry_samplers_and_what_they_belong_to(
    sampled, tmp_path, carry
) -> None:
    other = carry(sampled, tmp_path)
    assert list(other.samplers) == ["gmm", "vamp"]
    for kind in other.samplers:
        np.testing.assert_allclose(
            other.sample(3, seed=0, sampler=kind),
            sampled.sample(3, seed=0, sampler=kind),
            atol=1e-6,
        )
    other.set_weights([w + 1e-3 for w in other.get_weights()])
    with pytest.raises(StaleSamplerError):
        other.sample(3, sampler="gmm")
    if carry is not own_folder:  # stale ones are carried as such, and neither lost
        again = copy.deepcopy(other)
        assert list(again.samplers) == ["gmm", "vamp"]
        with pytest.raises(StaleSamplerError):
            again.sample(3, sampler="gmm")


# --- Settings of Keras, exports, graphs of others ------------------------------------


def run(code: str, **env: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


# Of layers and functions whose axes depend on Keras's setting.
ORDERED = re.compile(
    r"keras\.layers\.(\w*Conv\dD\w*|\w*Pooling\dD|Flatten|UpSampling\dD|ZeroPadding\dD)"
    r"|(keras\.)?ops\.(\w*conv|conv_transpose|\w+_pool|image\.(resize|extract_patches))"
)


def test_every_layer_says_where_channels_are() -> None:
    """Keras's setting `image_data_format` must not reach a layer of ours."""
    seen = 0
    for path in (ROOT / "aezoo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            if ORDERED.fullmatch(ast.unparse(node.func)):
                given = {keyword.arg for keyword in node.keywords}
                assert given & {"data_format", None}, f"{path}:{node.lineno}"
                seen += 1
    assert seen > 25


def test_channels_come_last_whatever_keras_is_told() -> None:
    run(
        """
        import keras, numpy as np, aezoo
        from aezoo.registry import find_family

        for name, extra in (
            ("conv_vae", {"upsampling": "resize_conv"}),
            ("vae_gan", {}),
        ):
            config = {**find_family(name).tiny, **extra}
            found = []
            for order in ("channels_last", "channels_first"):
                keras.config.set_image_data_format(order)
                keras.utils.set_random_seed(0)
                model = aezoo.create(name, **config)
                x = np.random.default_rng(0).random((3, *model.input_shape), "float32")
                losses = model.compute_losses(model.modality.to_model(x), model(x))
                shapes = [tuple(w.shape) for w in model.weights]
                found.append((shapes, float(np.sum(losses["loss"]))))
            (shapes, loss), (others, other) = found
            assert shapes == others, name
            assert abs(loss - other) < 1e-3 * abs(loss), name
        """
    )


@pytest.mark.skipif(BACKEND != "tensorflow", reason="exports a SavedModel")
@pytest.mark.parametrize("use", ["all", "nothing"])
def test_a_model_is_exported_whatever_was_called_before(use, tmp_path) -> None:
    model = create()
    if use == "all":
        model.encode(GOOD)
        model.reconstruct(GOOD)
        model.sample(2)
    model.export(tmp_path / "model", verbose=False)
    artifact = tf.saved_model.load(tmp_path / "model")
    served = artifact.serve
    np.testing.assert_allclose(served(GOOD)["z"], model.encode(GOOD), atol=1e-5)
    assert np.isnan(served(np.floor(255 * GOOD))["x_hat"]).all()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="exports a SavedModel")
def test_an_extractor_is_exported(tmp_path) -> None:
    extractor = aezoo.feature_extractor(create())
    extractor.export(tmp_path / "model", verbose=False)
    artifact = tf.saved_model.load(tmp_path / "model")
    served = artifact.serve
    found = extractor.predict(GOOD, verbose=0)
    np.testing.assert_allclose(served(GOOD), found, atol=1e-5)
    assert np.isnan(served(np.floor(255 * GOOD))).all()


def test_methods_are_traced_inside_the_graphs_of_others(model) -> None:
    if BACKEND == "jax":
        import jax

        traced = jax.jit(model.encode)
    else:
        traced = tf.function(model.encode)
        mapped = dataset(GOOD).map(model.encode)
        found = np.concatenate(list(mapped.as_numpy_iterator()))
        np.testing.assert_allclose(found, model.encode(GOOD), atol=1e-5)
    np.testing.assert_allclose(traced(GOOD), model.encode(GOOD), atol=1e-5)
    assert np.isnan(np.asarray(traced(255 * GOOD))).all()


def test_double_precision_as_keras_setting() -> None:
    """Also of objectives that make constants of their own."""
    run(
        """
        import keras, numpy as np, aezoo
        from aezoo.registry import find_family
        from tests import checks

        keras.config.set_floatx("float64")
        for name in ("dip_vae", "conditional_vae", "adversarial_ae"):
            config = find_family(name).tiny
            model = aezoo.create(name, **config)
            model.compile("adam")
            x = checks.examples(find_family(name), config)[:4]
            for images in (x, x / 255.0):
                y = np.zeros(4, "int32") if model.given else None
                losses = model.train_on_batch(images, y, return_dict=True)
                assert np.isfinite(list(losses.values())).all(), (name, losses)
                assert model.encode(images).dtype == "float32", name
        """
    )


# --- Arguments ------------------------------------------------------------------


def test_numbers_of_numpy_are_numbers(tmp_path) -> None:
    model = aezoo.create(
        "dense_vae",
        **{**TINY, "latent_dim": np.int64(3), "hidden_units": (np.int32(8),)},
        beta=np.int64(4),
        sparsity=np.float32(0.5),
        binarize=np.bool_(False),
    )
    assert (model.latent_dim, model.beta) == (3, 4.0)
    assert aezoo.load(aezoo.save(model, tmp_path / "model")).config == model.config


@pytest.mark.parametrize(
    ("family", "argument"),
    [
        ("dense_vae", {"binarize": "no"}),
        ("dense_vae", {"binarize": 1}),
        ("categorical_vae", {"hard": float("nan")}),
        ("dense_vae", {"kl_warmup_steps": 1.5}),
        ("dense_vae", {"kl_warmup_steps": True}),
        ("dense_vae", {"latent_dim": 2.0}),
        ("dense_vae", {"beta": True}),
        ("dense_vae", {"beta": "4"}),
        ("dense_vae", {"beta": 10**400}),
    ],
)
def test_what_is_no_such_value_is_refused(family, argument) -> None:
    (name,) = argument
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        aezoo.create(family, **argument)
    model = aezoo.create(family, **find_family(family).tiny)
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        setattr(model, name, argument[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": True}, "`dim` must be an integer"),
        ({"dim": np.True_}, "`dim` must be an integer"),
        ({"dim": 1.0}, "`dim` must be an integer"),
        ({"dim": 0, "values": ["1", "2"]}, "`values` must be"),
        ({"dim": 0, "values": [True, False]}, "`values` must be"),
        ({"dim": 0, "values": [0.0, np.nan]}, "`values` must be"),
    ],
)
def test_traverse_takes_numbers_only(model, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        model.traverse(GOOD, **options)


def test_huge_codes_are_an_error_where_they_decode_to_nothing() -> None:
    model = create("dense_ae", output_activation="linear")
    model.set_weights([2.0 * np.ones_like(w) for w in model.get_weights()])
    with pytest.raises(ValueError, match="not finite"):
        model.decode(np.float32([[3e38, -3e38]]))
    with pytest.raises(ValueError, match="NaN or infinity"):
        model.decode(np.full((1, 2), 1e39))


@pytest.mark.parametrize("how", ["all", "layers", "before compile"])
def test_nothing_to_train_is_an_error(how) -> None:
    model = create()
    if how == "layers":
        model.encoder.trainable = model.decoder.trainable = False
    else:
        model.trainable = False
    if how == "before compile":
        model.compile("adam")
    for method in ("fit", "train_on_batch"):
        with pytest.raises(ValueError, match="all are frozen"):
            call(model, method, GOOD)


def test_examples_and_codes_of_one_shape_are_never_guessed() -> None:
    model = aezoo.create(
        "kl_autoencoder", input_shape=(8, 8, 1), filters=(4,), strides=(1,), code_dim=1
    )
    assert model.latent_shape == model.input_shape
    x = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype="uint8")
    images = model.interpolate(x[:1], x[1:], 3)  # uint8 is of images
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[:, 0], model.reconstruct(x[:1]))
    floats = x.astype("float32") / 255.0
    for method, arguments in (("interpolate", (floats[:1],)), ("traverse", (0,))):
        with pytest.raises(ValueError, match="`of='examples'` or `of='codes'`"):
            getattr(model, method)(floats[1:], *arguments)
    as_images = model.interpolate(floats[:1], floats[1:], 3, of="examples")
    np.testing.assert_allclose(255 * as_images, images, atol=0.51)
    codes = model.encode(x)
    as_codes = model.interpolate(codes[:1], codes[1:], 3, of="codes")
    np.testing.assert_allclose(as_codes, as_images, atol=1e-5)
    assert model.traverse(codes, 0, of="codes").shape == (2, 5, 8, 8, 1)


# --- Densities ------------------------------------------------------------------

POSTERIORS = {
    "dense_ae": "point",
    "dense_vae": "Gaussian",
    "ppca": "full",
    "flow_vae": "flow",
    "vamp_vae": "Gaussian under a prior",
    "hyperspherical_vae": "von Mises-Fisher",
    "hierarchical_vae": "chain",
    "categorical_vae": "classes",
    "semi_supervised_vae": "class and Gaussian",
    "vq_vae": "quantised",
}


@pytest.mark.parametrize("family", POSTERIORS)
def test_densities_check_codes_as_decode_does(family) -> None:
    config = find_family(family).tiny
    model = aezoo.create(family, **config)
    x = checks.examples(find_family(family), config)[:3]
    posterior = model.posterior(x)
    z = np.asarray(posterior.sample(0))
    expected = np.asarray(posterior.log_prob(z))
    assert expected.shape == (3,)
    for same in (z.astype("float64"), z.tolist(), keras.ops.convert_to_tensor(z)):
        np.testing.assert_allclose(posterior.log_prob(same), expected, rtol=1e-4)
    for wrong, message in (
        (z[:1], "must have shape.*one code per example"),
        (z[0], "must have shape"),
        (np.concatenate([z, z]), "must have shape"),
        (z[..., :-1], "must have shape"),
        (np.full_like(z, np.nan), "NaN or infinity"),
        (np.full_like(z, np.inf), "NaN or infinity"),
        (z.astype(str), "must be numeric"),
    ):
        with pytest.raises(ValueError, match=message):
            posterior.log_prob(wrong)
