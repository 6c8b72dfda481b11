"""Codes of latents that depend on each other: DRAW and the hierarchical VAE."""

import re

import keras
import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation import evaluate
from aezoo.models.draw import DRAW
from aezoo.models.families import new_model
from aezoo.networks.draw import GridAttention
from aezoo.networks.top_down import SIZES
from aezoo.nn.backend import BACKEND
from aezoo.nn.distributions import IndexedNoise, standard_normal
from aezoo.nn.losses import gaussian_kl
from aezoo.nn.structure import without_initialisation
from aezoo.registry import find_family
from tests.draws import exhaustive
from tests.test_bounds_and_priors import assert_same_gradients, gradients_of

FAMILIES = ("draw", "hierarchical_vae")


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.random((3, 8, 8, 1), dtype="float32")


@pytest.fixture(scope="module", params=FAMILIES)
def model(request) -> keras.Model:
    return make(request.param)


@pytest.fixture(scope="module")
def draw() -> DRAW:
    return make("draw", steps=3)


def make(family: str, **arguments) -> keras.Model:
    """A tiny model whose weights are all drawn, so that nothing is 0 by chance."""
    keras.utils.set_random_seed(0)
    model = aezoo.create(family, **{**find_family(family).tiny, **arguments})
    model.build()
    rng = np.random.default_rng(0)
    for weight in model.weights:
        noise = 0.2 * rng.standard_normal(weight.shape)
        weight.assign(ops.convert_to_numpy(weight) + noise)
    return model


# --- Latents that depend on each other ---------------------------------------------


def test_a_latent_depends_on_those_before_it(model, x) -> None:
    z = np.asarray(model.posterior(x).sample(0))
    base = model.walk(x, z=z)
    ends = model.level_ends
    for level, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        moved = z.copy().reshape(len(z), -1)
        moved[:, start:end] += 1.0
        walked = model.walk(x, z=moved.reshape(z.shape))
        for name in ("z_mean", "z_log_var"):
            change = np.asarray(walked[name] - base[name]).reshape(len(z), -1)
            assert np.all(change[:, :end] == 0.0)
            is_last = level == len(ends) - 1
            assert np.any(change[:, end:] != 0.0) == (not is_last)


def test_codes_decode_alike_with_and_without_the_image(model, x) -> None:
    z = np.asarray(model.posterior(x).sample(0))
    walked = model.walk(x, z=z)
    np.testing.assert_array_equal(walked["z"], z)
    decoded = model.decode_parameters(z)
    np.testing.assert_allclose(walked["decoder_output"], decoded, atol=1e-5)


def test_densities_are_those_of_the_noise(model, x) -> None:
    """A code is drawn from noise unit by unit: its density by the change of volume."""
    q = model.posterior(x)
    noise = np.asarray(standard_normal((3, *model.latent_shape), 5), "float64")
    z, log_q = q.sample_with_log_prob(5)
    log_std = 0.5 * np.asarray(model.walk(x, z=z)["z_log_var"], "float64")
    expected = -0.5 * noise**2 - 0.5 * np.log(2.0 * np.pi) - log_std
    expected = expected.reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(log_q, expected, rtol=1e-4)
    np.testing.assert_allclose(q.log_prob(z), expected, rtol=1e-4)
    np.testing.assert_array_equal(q.sample(5), z)


def test_the_kl_is_the_mean_of_the_log_ratios(model, x) -> None:
    draws = 2000
    q = model.posterior(np.repeat(x[:1], draws, axis=0))
    z, log_q = q.sample_with_log_prob(IndexedNoise(1))
    ratios = np.asarray(log_q - model.log_prior(z), "float64")
    q.draws = 1
    estimates = np.asarray(q.estimate_kl(IndexedNoise(2)), "float64")
    assert np.all(estimates > 0.0)
    assert estimates.std() < ratios.std()  # why the estimate is this one
    tolerance = 5.0 * (ratios.std() + estimates.std()) / draws**0.5
    assert abs(estimates.mean() - ratios.mean()) < tolerance


def test_training_walks_once(model, x, monkeypatch) -> None:
    walks = []
    walk = type(model).walk
    monkeypatch.setattr(
        type(model), "walk", lambda *a, **k: walks.append(1) or walk(*a, **k)
    )
    outputs = model(x, training=True)
    terms = model.compute_terms(ops.convert_to_tensor(x), outputs)
    assert len(walks) == 1
    q = model.posterior(x)
    np.testing.assert_allclose(q.log_prob(np.asarray(outputs["z"])).shape, (3,))
    assert np.all(np.asarray(terms["kl"]) > 0.0)


def test_the_protocol_says_how_the_kl_is_estimated(model, x) -> None:
    report = evaluate(model, x, metrics=["kl"])
    assert "sum_l KL(q(z_l|z_<l,x)||p(z_l|z_<l)) in closed form over 4 codes" in (
        report["kl"].protocol
    )


# --- Levels ------------------------------------------------------------------------


def test_levels_are_the_parts_of_a_code(model, x) -> None:
    z = model.encode(x)
    levels = model.split_levels(z)
    assert [v.shape[1:] for v in levels] == list(model.level_shapes)
    joined = np.concatenate([v.reshape(3, -1) for v in levels], axis=1)
    np.testing.assert_array_equal(joined, z.reshape(3, -1))


def test_each_level_adds_to_the_reconstruction(model, x) -> None:
    steps = model.reconstruct_by_level(x)
    count = len(model.level_shapes)
    assert steps.shape == (3, count, 8, 8, 1)
    np.testing.assert_allclose(steps[:, -1], model.reconstruct(x), atol=1e-5)
    z = model.encode(x).reshape(3, -1).copy()
    z[:, model.level_ends[0] :] = 0.0
    first = model.decode(z.reshape(3, *model.latent_shape))
    np.testing.assert_allclose(steps[:, 0], first, atol=1e-5)
    as_bytes = model.reconstruct_by_level((255 * x).astype("uint8"))
    assert as_bytes.dtype == np.uint8


def test_resampling_keeps_the_first_levels(model, x) -> None:
    count = len(model.level_shapes)
    kept = model.resample(x, count, seed=0)
    np.testing.assert_allclose(kept, model.reconstruct(x), atol=1e-5)
    np.testing.assert_allclose(model.resample(x, 0, 3), model.sample(3, 3), atol=1e-5)
    some = model.resample(x, 1, seed=0)
    np.testing.assert_array_equal(some, model.resample(x, 1, seed=0))
    assert np.any(some != model.resample(x, 1, seed=1))
    top = model.reconstruct_by_level(x)[:, 0]
    cold = model.resample(x, 1, seed=0, temperature=0.0)
    np.testing.assert_allclose(cold, top, atol=1e-5)
    for levels in (-1, count + 1, 1.0):
        with pytest.raises(ValueError, match=rf"`levels` must be .* \[0, {count}\]"):
            model.resample(x, levels)


def test_temperature_scales_the_code(model) -> None:
    cold = model.sample(2, seed=0, temperature=0.0)
    zeros = np.zeros((2, *model.latent_shape), "float32")
    np.testing.assert_array_equal(cold, model.decode(zeros))
    assert np.any(cold != model.sample(2, seed=0, temperature=0.5))
    np.testing.assert_array_equal(
        model.sample(2, seed=0, temperature=1.0), model.sample(2, seed=0)
    )
    with pytest.raises(ValueError, match="`temperature` must be a finite number"):
        model.sample(2, temperature=-1.0)


# --- DRAW --------------------------------------------------------------------------


def test_what_is_read_is_the_image_and_what_the_canvas_lacks_of_it(
    draw, x, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equation 3: the canvas goes through a sigmoid before it is compared."""
    seen, step = [], draw.encoder.step

    def watched(images, missing, *state):
        seen.append((np.asarray(images), np.asarray(missing)))
        return step(images, missing, *state)

    monkeypatch.setattr(draw.encoder, "step", watched)
    z = np.asarray(draw.walk(x, noise=np.zeros((3, 3, 3), "float32"))["z"])
    blank = np.broadcast_to(np.asarray(draw.decoder.blank), x.shape)
    canvases = [blank, *map(np.asarray, draw.decoder.canvases(z))]
    for (images, missing), canvas in zip(seen, canvases[:-1], strict=True):
        np.testing.assert_array_equal(images, x)
        np.testing.assert_allclose(missing, x - 1 / (1 + np.exp(-canvas)), atol=1e-5)


def test_the_last_step_is_the_image(draw, x) -> None:
    steps = draw.generate_steps(2, seed=4)
    assert steps.shape == (2, 3, 8, 8, 1)
    assert steps.min() >= 0.0
    assert steps.max() <= 1.0
    np.testing.assert_allclose(steps[:, -1], draw.sample(2, seed=4), atol=1e-6)
    np.testing.assert_array_equal(steps, draw.generate_steps(2, seed=4))
    assert np.any(steps[:, 0] != steps[:, 1])
    z = draw.encode(x).copy()
    steps = draw.decode_steps(z)
    np.testing.assert_allclose(steps[:, -1], draw.reconstruct(x), atol=1e-5)
    # what is drawn first does not depend on the later latents
    z[:, 1:] = 0.0
    np.testing.assert_allclose(draw.decode_steps(z)[:, 0], steps[:, 0], atol=1e-6)
    with pytest.raises(ValueError, match="`n` must be an integer of at least 1"):
        draw.generate_steps(0)


def place(attention: GridAttention, values: list[float]) -> np.ndarray:
    """Have the attention look at a place whatever the state; returns a state."""
    attention.build((None, 2))
    attention.place.kernel.assign(np.zeros((2, 5)))
    attention.place.bias.assign(values)
    return np.ones((1, 2), "float32")


def test_filters_are_those_of_the_paper() -> None:
    """Equations 19 to 29, with pixels counted from 1 as there."""
    height, width, size = 6, 9, 3
    gx, gy, log_var, log_stride, log_gain = values = [0.2, -0.4, -0.3, -0.7, 0.5]
    attention = GridAttention(size, (height, width))
    # the layer's outputs are in the order of the axes of an image: y before x
    state = place(attention, [gy, gx, *values[2:]])
    rng = np.random.default_rng(0)
    image = rng.random((1, height, width, 1), dtype="float32")
    centre = {"x": (width + 1) / 2 * (gx + 1), "y": (height + 1) / 2 * (gy + 1)}
    stride = (max(height, width) - 1) / (size - 1) * np.exp(log_stride)
    filters = {}
    for axis, length in (("x", width), ("y", height)):
        i = np.arange(1, size + 1)[:, None]
        mean = centre[axis] + (i - size / 2 - 0.5) * stride
        a = np.arange(1, length + 1)[None]
        f = np.exp(-((a - mean) ** 2) / (2 * np.exp(log_var)))
        filters[axis] = f / f.sum(axis=1, keepdims=True)
    fy, fx, gain = filters["y"], filters["x"], np.exp(log_gain)
    read = attention.read(ops.convert_to_tensor(image), ops.convert_to_tensor(state))
    np.testing.assert_allclose(
        np.asarray(read)[0, ..., 0], gain * fy @ image[0, ..., 0] @ fx.T, rtol=1e-4
    )
    patch = rng.random((1, size, size, 1), dtype="float32")
    written = attention.write(
        ops.convert_to_tensor(patch), ops.convert_to_tensor(state)
    )
    np.testing.assert_allclose(
        np.asarray(written)[0, ..., 0],
        fy.T @ patch[0, ..., 0] @ fx / gain,
        rtol=1e-4,
        atol=1e-6,
    )


def test_far_attention_is_finite() -> None:
    attention = GridAttention(2, (5, 5))
    state = place(attention, [40.0, -40.0, -8.0, 3.0, 0.0])
    read = attention.read(np.ones((1, 5, 5, 1), "float32"), state)
    np.testing.assert_allclose(read, 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", ["read_size", "write_size"])
def test_attention_needs_a_size(name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be an integer of at least 1"):
        new_model("draw", **{name: 0})


# --- The hierarchical VAE ----------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ((), "must hold pairs"),
        ("14x2", "must hold pairs"),
        (((4, 1), (1, 1)), "the coarsest first"),
        (((1, 1), (1, 1)), "must hold pairs"),
        (((1, 1), (29, 1)), "up to the image's height of 28"),
        (((1, 1, 1),), "must hold pairs"),
        (((1,),), r"`blocks\[0\]` must hold at least 2 integers"),
        (((1, 0),), r"`blocks\[0\]\[1\]` must be an integer of at least 1"),
        (((5, 1), (7, 1)), "a resolution of 5 next to 7, which pools to 1, 2, 3, 4, 7"),
        (((13, 1),), "a resolution of 13 next to 28, which pools to 1, 2, 3, 4, 5"),
    ],
)
def test_wrong_blocks_are_refused(blocks, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        new_model("hierarchical_vae", blocks=blocks)


def test_maps_pool_alike_on_both_sides() -> None:
    model = make("hierarchical_vae", input_shape=(7, 9, 3), blocks=((1, 1), (4, 2)))
    assert model.level_shapes == ((1, 2, 2), (4, 5, 2), (4, 5, 2))
    assert model.latent_shape == (4 + 40 + 40,)


def test_a_network_reaches_the_size_of_the_image() -> None:
    model = make("hierarchical_vae", input_shape=(5, 5, 1), blocks=((2, 1), (5, 1)))
    assert model.level_shapes == ((2, 2, 2), (5, 5, 2))
    assert model.sample(2, seed=0).shape == (2, 5, 5, 1)


def test_a_blocks_divergence_is_that_of_the_two_gaussians() -> None:
    """In units of the prior it is the same as between posterior and prior."""
    model = make("hierarchical_vae")
    block = model.decoder.levels[0][0]
    rng = np.random.default_rng(2)
    state, features = rng.standard_normal((2, 3, 1, 1, 8)).astype("float32")
    noise = np.zeros((3, 1, 1, 2), "float32")
    _, _, z_mean, z_log_var = block(state, noise, features, is_noise=True)
    found = gaussian_kl(z_mean, z_log_var)
    p = np.asarray(block.prior(state), "float64")[..., :4]
    q = np.asarray(block.posterior(np.concatenate([state, features], -1)), "float64")
    (p_mean, p_log), (q_mean, q_log) = np.split(p, 2, -1), np.split(q, 2, -1)
    p_log, q_log = 5.0 * np.tanh(p_log / 5.0), 5.0 * np.tanh(q_log / 5.0)
    ratio = (np.exp(2.0 * q_log) + (q_mean - p_mean) ** 2) / np.exp(2.0 * p_log)
    expected = (p_log - q_log + 0.5 * ratio - 0.5).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_layers_by_name_are_what_the_posterior_sees(x) -> None:
    encoder = make("hierarchical_vae").encoder
    found = encoder.features(ops.convert_to_tensor(x), ["stage1", "stage2"])
    coarse, fine = encoder.pyramid(ops.convert_to_tensor(x), False)
    np.testing.assert_allclose(found["stage1"], fine, atol=1e-6)
    np.testing.assert_allclose(found["stage2"], coarse, atol=1e-6)


def test_free_bits_cost_nothing(x) -> None:
    model = make("hierarchical_vae", free_bits=3.0, beta=0.5, kl_warmup_steps=10)
    outputs = model(x, training=True)
    by_level = np.asarray(model.kl_by_level(outputs))
    assert by_level.shape == (3, 2)
    target = ops.convert_to_tensor(x)
    terms = {k: np.asarray(v) for k, v in model.compute_losses(target, outputs).items()}
    np.testing.assert_allclose(by_level.sum(axis=1), terms["kl"], rtol=1e-5)
    means = by_level.mean(axis=0)
    assert means.min() < 3.0 < means.max()
    expected = np.maximum(means, 3.0).sum()
    np.testing.assert_allclose(
        terms["kl"].mean() + terms["free_bits"], expected, rtol=1e-5
    )
    early = model.compute_losses(target, outputs, ops.convert_to_tensor(4))
    expected = terms["reconstruction"] + 0.2 * (terms["kl"] + terms["free_bits"])
    np.testing.assert_allclose(early["loss"], expected, rtol=1e-5)


def test_what_is_recomputed_has_the_same_gradient(x) -> None:
    models = [make("hierarchical_vae", rematerialise=b) for b in (False, True)]
    found = []
    for model in models:
        model.set_weights(models[0].get_weights())
        noise = ops.convert_to_tensor(standard_normal((3, *model.latent_shape), 0))

        def loss(model=model, noise=noise):
            outputs = model.walk(x, noise=noise, training=True)
            return ops.mean(model.compute_terms(x, outputs)["kl"]) + ops.mean(
                ops.square(outputs["decoder_output"])
            )

        gradients = gradients_of(model, loss)
        found.append({re.sub(r"_vae(_\d+)?/", "/", k): g for k, g in gradients.items()})
    assert all(np.any(g != 0.0) for g in found[0].values())
    assert_same_gradients(*found, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX traces once, and recomputes that")
def test_recomputing_calls_blocks_twice(x, monkeypatch) -> None:
    """Once on the way forward, and once more for the gradient."""
    calls = {}
    for is_recomputed in (False, True):
        model = make("hierarchical_vae", rematerialise=is_recomputed)
        block = model.decoder.levels[0][0]
        count = []
        call = block.call
        monkeypatch.setattr(
            block,
            "call",
            lambda *a, call=call, n=count, **k: n.append(1) or call(*a, **k),
        )
        noise = standard_normal((3, *model.latent_shape), 0)

        def loss(model=model, noise=noise):
            walked = model.walk(x, noise=noise, training=True)
            return ops.mean(ops.square(walked["decoder_output"]))

        gradients_of(model, loss)
        calls[is_recomputed] = len(count)
    assert calls[True] == 2 * calls[False]


@pytest.mark.parametrize(
    "size", ["small", *(pytest.param(s, marks=exhaustive) for s in ("medium", "large"))]
)
def test_every_size_can_be_built(size: str) -> None:
    model = new_model("hierarchical_vae", **SIZES[size])
    with without_initialisation(model):
        model.build()
    least, most = {"small": (0, 1), "medium": (5, 12), "large": (30, 60)}[size]
    assert least * 1e6 < model.count_params() < most * 1e6


# --- Windows of attention -------------------------------------------------------------


def test_a_window_reaches_from_the_first_filter_to_the_last() -> None:
    layer = GridAttention(3, (20, 30))
    layer.build((None, 2))
    # centre at row 6 and column 21, filters 3 pixels apart, of deviation 1
    centres = [2 * (6 + 1) / 21 - 1, 2 * (21 + 1) / 31 - 1]
    bias = np.array([*centres, 0.0, np.log(3.0 / (29.0 / 2)), 0.0], "float32")
    layer.place.kernel.assign(np.zeros((2, 5), "float32"))
    layer.place.bias.assign(bias)
    window = ops.convert_to_numpy(layer.window(ops.zeros((1, 2))))
    np.testing.assert_allclose(window[0], [2.0, 17.0, 10.0, 25.0], atol=1e-4)
    image = np.zeros((1, 20, 30, 1), "float32")
    image[0, 2:11, 17:26] = 1.0  # all that the filters see
    patch = ops.convert_to_numpy(
        layer.read(ops.convert_to_tensor(image), ops.zeros((1, 2)))
    )
    assert patch.min() > 0.6
    assert patch[0, 1, 1, 0] > 0.99


def test_windows_are_told_step_by_step(draw) -> None:
    x = np.random.default_rng(0).random((5, 8, 8, 1)).astype("float32")
    found = draw.windows(x)
    assert found["read"].shape == found["write"].shape == (5, 3, 4)
    assert np.all(found["read"][..., :2] < found["read"][..., 2:])
    # nothing is known before the first look
    np.testing.assert_array_equal(found["read"][1:, 0], found["read"][:-1, 0])
    assert np.any(found["read"][1:, 2] != found["read"][:-1, 2])
    few = draw.windows(x[:2])
    np.testing.assert_allclose(few["write"], found["write"][:2], atol=1e-4)


def test_without_attention_there_is_no_window() -> None:
    whole = make("draw", steps=2, read_size=None, write_size=None)
    with pytest.raises(UnsupportedOperationError, match="without attention"):
        whole.windows(np.zeros((1, 8, 8, 1), "float32"))
    half = make("draw", steps=2, read_size=None)
    assert set(half.windows(np.zeros((1, 8, 8, 1), "float32"))) == {"write"}
