"""The eager entry points: bad input, each with its message, and no retracing."""

import keras
import numpy as np
import pytest

import aezoo
from aezoo.errors import AezooError, UnknownModelError, UnsupportedOperationError
from aezoo.modalities import Image
from aezoo.models.vae import VAE
from aezoo.networks import Dense
from aezoo.nn.backend import BACKEND

SHAPE = (6, 8, 1)
X = np.random.default_rng(0).random((4, *SHAPE), "float32")
ENTRY_POINTS = ("encode", "posterior", "reconstruct")


@pytest.fixture(scope="module")
def vae():
    keras.utils.set_random_seed(0)
    return aezoo.create("dense_vae", input_shape=SHAPE, latent_dim=3, hidden_units=(8,))


@pytest.fixture(scope="module")
def ae():
    return aezoo.create("dense_ae", input_shape=SHAPE, latent_dim=3, hidden_units=(8,))


def with_value(value: float) -> np.ndarray:
    x = X.copy()
    x[1, 2, 3] = value
    return x


BAD_IMAGES = {
    "one image without batch": (X[0], r"must have shape \(n, 6, 8, 1\).*`x\[None\]`"),
    "no channel axis": (X[..., 0], r"Add the channel axis with `x\[\.\.\., None\]`"),
    "channels first": (
        np.moveaxis(X, -1, 1),
        r"Move the channels last with `np\.moveaxis\(x, 1, -1\)`",
    ),
    "another size": (np.zeros((2, 8, 6, 1)), r"Received: x\.shape=\(2, 8, 6, 1\)"),
    "colour": (np.zeros((2, 6, 8, 3)), r"Received: x\.shape=\(2, 6, 8, 3\)"),
    "rank 5": (X[None], r"Received: x\.shape=\(1, 4, 6, 8, 1\)"),
    "a number": (0.5, r"Received: x\.shape=\(\)"),
    "floats of 0 to 255": (255 * X, r"Divide values of 0 to 255 by 255"),
    "a negative value": (with_value(-0.1), r"values in \[0, 1\].*min=-0\.1"),
    "slightly above one": (with_value(1.01), r"values in \[0, 1\].*max=1\.01"),
    "NaN": (with_value(np.nan), r"`x` holds NaN or infinity"),
    "infinity": (with_value(np.inf), r"`x` holds NaN or infinity"),
    "int64": ((255 * X).astype("int64"), r"dtype=int64.*astype\('uint8'\)"),
    "strings": (X.astype(str), r"must be uint8, or float"),
    "nothing": (X[:0], r"`x` is empty"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_bad_images_are_refused(vae, entry_point, case) -> None:
    images, message = BAD_IMAGES[case]
    with pytest.raises(ValueError, match=message):
        getattr(vae, entry_point)(images)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bool"])
def test_all_float_dtypes_are_images(vae, dtype) -> None:
    x_hat = vae.reconstruct(X.round().astype(dtype))
    assert x_hat.dtype == np.float32
    np.testing.assert_allclose(x_hat, vae.reconstruct(X.round()), atol=1e-5)


def test_images_may_be_lists_or_views(vae) -> None:
    expected = vae.encode(X)
    np.testing.assert_allclose(vae.encode(X.tolist()), expected, atol=1e-6)
    np.testing.assert_allclose(vae.encode(X[::-1])[::-1], expected, atol=1e-6)


def test_images_are_never_changed(vae) -> None:
    x = X.copy()
    vae.reconstruct(x)
    vae.interpolate(x[0], x[1])
    vae.traverse(x, dim=0)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_symbols_are_refused(vae, entry_point) -> None:
    with pytest.raises(ValueError, match=r"`x` is symbolic.*feature_extractor"):
        getattr(vae, entry_point)(keras.Input(SHAPE))


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, None, True])
def test_bad_batch_sizes_are_refused(vae, batch_size) -> None:
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least"):
        vae.encode(X, batch_size=batch_size)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((2, 4)), r"must have shape \(n, 3\), one row per code.*\(2, 4\)"),
        (np.zeros(3), r"one row per code\. Received: z\.shape=\(3,\)"),
        (np.zeros((2, 3, 1)), r"Received: z\.shape=\(2, 3, 1\)"),
        (np.zeros((0, 3)), r"`z` is empty"),
        (np.full((2, 3), np.nan), r"`z` holds NaN or infinity"),
        (np.full((2, 3), np.inf), r"`z` holds NaN or infinity"),
        (np.array([["a", "b", "c"]]), r"`z` must be numeric"),
    ],
)
def test_bad_codes_are_refused(vae, codes, message) -> None:
    with pytest.raises(ValueError, match=message):
        vae.decode(codes)


@pytest.mark.parametrize("n", [0, -3, 1.5, "4", None, True])
def test_bad_counts_are_refused(vae, n) -> None:
    with pytest.raises(ValueError, match=r"`n` must be an integer of at least 1"):
        vae.sample(n)


@pytest.mark.parametrize("seed", [-1, 2**31, 1.5, "0"])
def test_bad_seeds_are_refused(vae, seed) -> None:
    with pytest.raises(ValueError, match="`seed` must be"):
        vae.sample(1, seed=seed)


def test_without_a_prior_nothing_is_sampled(ae) -> None:
    with pytest.raises(UnsupportedOperationError, match=r"list_models\(task='sampling"):
        ae.sample(1)
    with pytest.raises(UnsupportedOperationError, match="no distribution over pixels"):
        ae.make_likelihood(X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": X[0], "b": X[1], "steps": 1}, "`steps` must be at least 2"),
        ({"a": X[0], "b": X[1], "steps": 0}, "`steps` must be an integer of at least"),
        ({"a": X[0], "b": X[1], "steps": 2.5}, "`steps` must be an integer"),
        ({"a": X[0], "b": X[1], "method": "spheric"}, "Did you mean 'spherical'"),
        ({"a": X[0], "b": X[:2]}, "`a` and `b` must have the same shape"),
        ({"a": X[:3], "b": X[:2]}, "`a` and `b` must have the same shape"),
        ({"a": 255 * X[0], "b": X[1]}, r"`a` must be uint8, or.*Divide values"),
        ({"a": X[0], "b": with_value(np.nan)[1]}, "`b` holds NaN"),
        ({"a": np.zeros(4), "b": X[1]}, r"`a` must have shape"),
    ],
)
def test_bad_paths_are_refused(vae, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        vae.interpolate(**arguments)


@pytest.mark.parametrize("dim", [3, -4, 1.0, "0", None])
def test_bad_units_are_refused(vae, dim) -> None:
    with pytest.raises(ValueError, match=r"`dim` must be an integer in \[-3, 2\]"):
        vae.traverse(X, dim=dim)


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf], [[1.0]], 1.0])
def test_bad_values_are_refused(vae, values) -> None:
    with pytest.raises(ValueError, match="`values` must be a non-empty sequence"):
        vae.traverse(X, dim=0, values=values)


def test_images_and_codes_of_one_shape_cannot_be_mixed_up(vae) -> None:
    """One image, a batch of images, one code and a batch of codes all work."""
    z = vae.encode(X)
    for a, b in ((X[0], X[1]), (z[0], z[1]), (X[0], z[1])):
        assert vae.interpolate(a, b, steps=3).shape == (3, *SHAPE)
    for a, b in ((X[:2], X[2:]), (z[:2], z[2:])):
        assert vae.interpolate(a, b, steps=3).shape == (2, 3, *SHAPE)


# --- Creating ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"latent_dims": 3}, r"Unknown argument `latent_dims`.*Did you mean 'latent_"),
        ({"kwargs": 3}, r"Unknown argument `kwargs`"),
        ({"latent_dim": 0}, r"`latent_dim` must be an integer of at least 1"),
        ({"latent_dim": 2.0}, r"`latent_dim` must be an integer of at least 1"),
        ({"input_shape": (28, 28)}, r"`input_shape` must be \(height, width, channels"),
        ({"input_shape": 28}, r"`input_shape` must be a sequence of integers"),
        ({"input_shape": (28, 28, 0)}, r"`input_shape\[2\]` must be an integer"),
        ({"likelihood": "bernouli"}, r"Did you mean 'bernoulli'"),
        ({"likelihood_scale": -1.0}, r"`likelihood_scale` must be a finite number"),
        ({"likelihood_scale": "learnt"}, r"`likelihood_scale` must be a finite number"),
        ({"beta": -1}, r"`beta` must be a finite number at least 0"),
        ({"beta": float("nan")}, r"`beta` must be a finite number"),
        (
            {"kl_warmup_steps": -1},
            r"`kl_warmup_steps` must be an integer",
        ),
        ({"sparsity": -0.1}, r"`sparsity` must be a finite number at least 0"),
        ({"output_activation": "tanh"}, r"`output_activation` must be one of"),
        ({"output_activation": "linear"}, r"'bernoulli'` needs `output_activation="),
        ({"filters": ()}, r"`filters` must hold at least 1"),
        ({"filters": "32"}, r"`filters` must be a sequence"),
        ({"filters": (8, -1)}, r"`filters\[1\]` must be an integer"),
        ({"strides": (2, 3)}, r"`strides` must hold one 1 or 2 for each of the 2"),
        ({"strides": (2,)}, r"`strides` must hold one 1 or 2 for each of the 2"),
        ({"upsampling": "resize"}, r"`upsampling` must be one of.*'resize_conv'"),
    ],
)
def test_bad_arguments_are_refused(config, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("conv_vae", **config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"reconstruction_loss": "msa"}, "Did you mean 'mse'"),
        ({"smooth_l1_beta": 0.0}, "`smooth_l1_beta` must be a finite number above 0"),
        (
            {"reconstruction_loss": "bce", "output_activation": "linear"},
            "'bce'` needs `output_activation='sigmoid'`",
        ),
        ({"beta": 1.0}, "Unknown argument `beta` for family 'conv_ae'"),
    ],
)
def test_bad_arguments_of_plain_autoencoders_are_refused(config, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("conv_ae", **config)


@pytest.mark.usefixtures("tiny_zoo")
def test_unknown_families_get_the_closest_match() -> None:
    with pytest.raises(UnknownModelError, match="Did you mean 'conv_vae'"):
        aezoo.create("conv_vea")
    with pytest.raises(AezooError, match="Unknown family or model 'nothing'"):
        aezoo.create("nothing")


def test_another_input_shape_is_refused_in_build(vae) -> None:
    with pytest.raises(ValueError, match=r"takes images of shape \(batch, 6, 8, 1\)"):
        vae.build((None, 28, 28, 1))


# --- Speed ---------------------------------------------------------------------


def test_batch_sizes_never_compile_again() -> None:
    """One compiled function per entry point and dtype; one graph for all sizes."""
    traces = []

    class Traced(VAE):
        def encode_parameters(self, x, training=False, **given):
            traces.append(tuple(x.shape))
            return super().encode_parameters(x, training, **given)

    model = Traced(
        modality=Image(*SHAPE), network=Dense((8,)), family="dense_vae", latent_dim=3
    )
    x = np.tile(X, (3, 1, 1, 1))
    for n in range(1, 10):
        assert model.encode(x[:n]).shape == (n, 3)
    assert len(model.compiled_functions) == 1
    # JAX compiles for 1, 2, 4, 8 and 16 images
    assert len(traces) <= (1 if BACKEND == "tensorflow" else 5)
    before = len(traces)
    for n in range(9, 0, -1):
        model.encode(x[:n], batch_size=4)
    assert len(traces) == before
    model.encode((255 * x).astype("uint8"))
    assert len(model.compiled_functions) == 2


def test_new_weights_show_in_compiled_functions(vae) -> None:
    """A compiled function reads the weights; it does not copy them."""
    before, weights = vae.encode(X), vae.get_weights()
    vae.set_weights([w + 0.1 for w in weights])
    assert np.any(vae.encode(X) != before)
    vae.set_weights(weights)
    np.testing.assert_array_equal(vae.encode(X), before)


def test_a_model_is_named_after_its_family_whatever_ran_before() -> None:
    config = {"input_shape": (8, 8, 1), "hidden_units": (4,), "latent_dim": 2}
    names = [aezoo.create("dense_vae", **config).name for _ in range(2)]
    assert names == ["dense_vae", "dense_vae"]
    assert aezoo.create("dense_vae", name="mine", **config).name == "mine"
