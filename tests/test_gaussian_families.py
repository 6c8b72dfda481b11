"""Objectives on the code or the elements of Gaussian posteriors: what is special."""

import dataclasses

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

import aezoo
from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation import list_metrics
from aezoo.models.families import compose
from aezoo.nn import losses
from aezoo.nn.backend import jacobian_product
from aezoo.nn.distributions import IndexedNoise
from aezoo.registry import find_family
from tests import checks
from tests.reference import multi_scale_ssim

TINY = {
    "input_shape": (8, 8, 1),
    "latent_dim": 3,
    "filters": (4, 6),
    "hidden_units": (8,),
}


def build(family: str, **config) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = aezoo.create(family, **{**TINY, **config})
    model.compile("adam")
    return model


def images(n: int = 10, shape: tuple = (8, 8, 1)) -> np.ndarray:
    return np.random.default_rng(0).random((n, *shape), dtype="float32")


def codes(z, z_mean, z_log_var, shape: tuple = (8, 8, 1)) -> dict:
    """What `call` returns, with these codes and posteriors."""
    arrays = {"z": z, "z_mean": z_mean, "z_log_var": z_log_var}
    outputs = {name: ops.convert_to_tensor(v, "float32") for name, v in arrays.items()}
    return {**outputs, "decoder_output": ops.zeros((len(z), *shape))}


def terms(model: keras.Model, outputs: dict) -> dict[str, np.ndarray]:
    x = ops.zeros((outputs["z"].shape[0], *model.input_shape))
    return {k: np.asarray(v) for k, v in model.compute_losses(x, outputs).items()}


# --- Beta-TCVAE ------------------------------------------------------------------


def test_the_parts_of_the_kl_sum_to_it_in_expectation(rng) -> None:
    """For every code they sum to log q(z|x) - log p(z), whose mean is the KL."""
    model = build("beta_tcvae", dataset_size=6)
    mean = np.tile(rng.normal(size=(6, 3)), (400, 1))
    log_var = np.tile(rng.uniform(-2, 0, size=(6, 3)), (400, 1))
    z = mean + np.exp(0.5 * log_var) * rng.normal(size=mean.shape)
    found = terms(model, codes(z, mean, log_var))
    total = sum(found[name] for name in model.PARTS)
    log_ratio = 0.5 * np.sum(z**2 - (z - mean) ** 2 / np.exp(log_var) - log_var, axis=1)
    np.testing.assert_allclose(total, log_ratio, rtol=1e-3, atol=1e-3)
    error = total.std() / np.sqrt(len(total))
    assert abs(total.mean() - found["kl"].mean()) < 5 * error
    assert found["mutual_information"].mean() <= np.log(6) + 1e-3
    for name in model.PARTS:
        assert found[name].mean() > 0.0, name


def test_a_posterior_with_independent_units_has_no_total_correlation(rng) -> None:
    """Means on a grid: the aggregate posterior is a product. On a line it is none."""
    model = build("beta_tcvae", latent_dim=2, dataset_size=9)
    axis = np.array([-2.0, 0.5, 1.0])
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(9, 2)
    line = np.repeat(axis, 3)[:, None] * np.ones(2)
    for mean, expected in ((grid, 0.0), (line, np.log(3.0))):
        log_var = np.full_like(mean, -9.0)
        z = mean + np.exp(0.5 * log_var) * rng.normal(size=mean.shape)
        correlation = terms(model, codes(z, mean, log_var))["total_correlation"]
        np.testing.assert_allclose(correlation, expected, atol=1e-4)


def test_beta_tcvae_with_unit_weights_is_the_vae_with_a_sampled_kl(rng) -> None:
    model = build("beta_tcvae", beta=1.0, dataset_size=100)
    z, mean, log_var = rng.normal(size=(3, 5, 3))
    found = terms(model, codes(z, mean, log_var))
    q = model.make_posterior(codes(z, mean, log_var))
    log_ratio = q.log_prob(ops.convert_to_tensor(z, "float32")) + 0.5 * np.sum(
        z**2 + np.log(2 * np.pi), axis=1
    )
    np.testing.assert_allclose(
        found["loss"], found["reconstruction"] + log_ratio, rtol=1e-4
    )


def test_all_parts_of_the_kl_warm_up() -> None:
    model = build("beta_tcvae", dataset_size=10, kl_warmup_steps=10)
    x = ops.convert_to_tensor(images())
    outputs = model(x, training=False)
    at = {
        step: model.compute_losses(x, outputs, ops.convert_to_tensor(step))
        for step in (0, 5, 10)
    }
    np.testing.assert_allclose(at[0]["loss"], at[0]["reconstruction"], rtol=1e-5)
    half = 0.5 * (np.asarray(at[0]["loss"]) + np.asarray(at[10]["loss"]))
    np.testing.assert_allclose(at[5]["loss"], half, rtol=1e-4)
    assert np.all(np.asarray(at[10]["loss"]) != np.asarray(at[0]["loss"]))


# --- DIP-VAE ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["i", "ii"])
def test_dip_vae_terms_are_numpys(rng, kind) -> None:
    model = build("dip_vae", kind=kind, lambda_od=2.0, lambda_d=5.0)
    z, mean, log_var = rng.normal(size=(3, 7, 3))
    found = terms(model, codes(z, mean, log_var))
    covariance = np.cov(mean.T, bias=True)
    if kind == "ii":
        covariance = covariance + np.diag(np.exp(log_var).mean(axis=0))
    off = np.sum((covariance - np.diag(np.diag(covariance))) ** 2)
    diagonal = np.sum((np.diag(covariance) - 1.0) ** 2)
    np.testing.assert_allclose(found["covariance_off_diagonal"], off, rtol=1e-4)
    np.testing.assert_allclose(found["covariance_diagonal"], diagonal, rtol=1e-4)
    np.testing.assert_allclose(
        found["loss"],
        found["reconstruction"] + found["kl"] + 2.0 * off + 5.0 * diagonal,
        rtol=1e-4,
    )


def test_dip_vae_ii_is_the_covariance_of_sampled_codes(rng) -> None:
    """Its covariance is that of codes, by the law of total covariance."""
    model = build("dip_vae", kind="ii")
    mean = rng.normal(size=(4, 3)) @ rng.normal(size=(3, 3))
    log_var = rng.uniform(-1, 1, size=(4, 3))
    z = mean + np.exp(0.5 * log_var) * rng.normal(size=(100_000, 4, 3))
    covariance = np.cov(z.reshape(-1, 3).T, bias=True)
    found = terms(model, codes(z[0], mean, log_var))
    diagonal = np.sum((np.diag(covariance) - 1.0) ** 2)
    total = found["covariance_off_diagonal"] + found["covariance_diagonal"]
    np.testing.assert_allclose(found["covariance_diagonal"], diagonal, rtol=0.02)
    np.testing.assert_allclose(total, np.sum((covariance - np.eye(3)) ** 2), rtol=0.02)


# --- InfoVAE ----------------------------------------------------------------------


def test_info_vae_is_the_vae_with_less_kl_and_the_discrepancy() -> None:
    model = build("info_vae", alpha=0.25, beta=2.0, mmd_weight=30.0, kernel="imq")
    x = ops.convert_to_tensor(images())
    outputs = model(x, training=True)
    found = {k: np.asarray(v) for k, v in model.compute_losses(x, outputs).items()}
    mmd = losses.maximum_mean_discrepancy(outputs["z"], outputs["prior_z"], "imq")
    np.testing.assert_allclose(found["mmd"], np.full(10, float(mmd)), rtol=1e-5)
    expected = found["reconstruction"] + 1.5 * found["kl"] + 30.0 * found["mmd"]
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)


def test_info_vaes_prior_codes_are_independent_of_its_codes() -> None:
    """At a posterior equal to the prior, both are noise: not the same noise."""
    model = build("info_vae")
    for layer in model.encoder.heads.values():
        layer.kernel.assign(np.zeros(layer.kernel.shape))
    x = images(400)
    for arguments in ({"training": True}, {"sample_seed": IndexedNoise(0)}):
        outputs = model(x, **arguments)
        z, prior_z = np.asarray(outputs["z"]), np.asarray(outputs["prior_z"])
        both = np.corrcoef(np.concatenate([z, prior_z], axis=1).T)
        assert np.abs(both - np.eye(6)).max() < 0.25
        assert np.abs(prior_z.mean(axis=0)).max() < 0.25
        np.testing.assert_allclose(prior_z.std(axis=0), 1.0, atol=0.15)


# --- Optimal scale: the sigma-VAE -------------------------------------------------

SCIPY = {"gaussian": scipy.stats.norm, "laplace": scipy.stats.laplace}


def optimal(likelihood: str) -> keras.Model:
    return build("conv_vae", likelihood=likelihood, likelihood_scale="optimal")


def log_scale(model: keras.Model) -> float:
    return float(ops.convert_to_numpy(model.log_scale))


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_the_optimal_scale_is_the_most_probable_one(likelihood) -> None:
    """In training: SciPy's maximum-likelihood fit, and its mean log-density."""
    model, x = optimal(likelihood), images()
    outputs = model(x, training=True)
    step = ops.convert_to_tensor(0)
    found = model.compute_losses(ops.convert_to_tensor(x), outputs, step)
    residuals = (x - np.asarray(outputs["x_hat"])).astype("float64").ravel()
    loc, scale = SCIPY[likelihood].fit(residuals, floc=0.0)
    np.testing.assert_allclose(log_scale(model), np.log(scale), rtol=1e-4)
    best = -SCIPY[likelihood].logpdf(residuals, loc, scale).reshape(10, -1).sum(axis=1)
    np.testing.assert_allclose(found["reconstruction"], best, rtol=1e-4)
    for worse in (0.9 * scale, 1.1 * scale):
        nll = -SCIPY[likelihood].logpdf(residuals, loc, worse).sum()
        assert np.sum(np.asarray(found["reconstruction"])) < nll


def test_the_optimal_scale_gives_the_gradient_of_the_log_error(rng) -> None:
    """Rybkin et al. (2021): the objective is `pixels / 2 * log(MSE)` in disguise."""
    model, x = optimal("gaussian"), ops.convert_to_tensor(images())
    outputs = model(x, training=True)
    shift = ops.convert_to_tensor(rng.normal(size=x.shape).astype("float32"))

    def objective(decoder_output):
        moved = {**outputs, "decoder_output": decoder_output}
        with keras.StatelessScope():  # where the running scale may go
            found = model.compute_terms(x, moved, ops.convert_to_tensor(0))
        return ops.sum(found["reconstruction"])

    def log_error(decoder_output):
        error = x - model.point(decoder_output)
        return 10 * 64 / 2 * ops.log(ops.mean(ops.square(error)))

    slopes = [
        float(jacobian_product(function, outputs["decoder_output"], shift))
        for function in (objective, log_error)
    ]
    np.testing.assert_allclose(*slopes, rtol=1e-4)


def test_the_scale_that_training_found_is_kept(tmp_path) -> None:
    """For evaluation, sampling and files; then no batch changes it."""
    model, x = optimal("gaussian"), images(20)
    model.fit(x, batch_size=5, epochs=15, verbose=0)
    error = np.mean((x - model.reconstruct(x)) ** 2)
    kept = log_scale(model)
    assert abs(kept - 0.5 * np.log(error)) < 0.1
    whole, split = (model.evaluate(x, batch_size=b, verbose=0) for b in (20, 3))
    np.testing.assert_allclose(whole, split, rtol=1e-5)
    assert log_scale(model) == kept
    noise = model.sample(200, seed=0, noise=True) - model.sample(200, seed=0)
    np.testing.assert_allclose(noise.std(), np.exp(kept), rtol=0.15)  # clipped
    model.save_weights(tmp_path / "model.weights.h5")
    other = aezoo.create("conv_vae", **model.config)
    other.load_weights(tmp_path / "model.weights.h5")
    assert log_scale(other) == kept
    assert not any("log_scale" in v.path for v in model.trainable_variables)


def test_the_running_scale_starts_at_the_first_batchs() -> None:
    model = optimal("laplace")
    x = ops.convert_to_tensor(images())
    outputs = model(x, training=False)
    best = float(losses.laplace_log_scale(x, outputs["x_hat"]))
    for step, expected in ((0, best), (1, best), (1000, best)):
        model.compute_terms(x, outputs, ops.convert_to_tensor(step))
        np.testing.assert_allclose(log_scale(model), expected, rtol=1e-5)
    model.log_scale.assign(0.0)
    model.compute_terms(x, outputs, ops.convert_to_tensor(1000))
    np.testing.assert_allclose(log_scale(model), 0.01 * best, rtol=1e-3)


def test_the_optimal_scale_of_perfect_images_is_finite() -> None:
    x = ops.convert_to_tensor(images())
    for fit in (losses.gaussian_log_scale, losses.laplace_log_scale):
        np.testing.assert_allclose(fit(x, x), -6.0, rtol=1e-5)


# --- Multi-scale structural similarity --------------------------------------------

LARGE = (23, 22, 1)  # two scales


def structural(family: str, **config) -> keras.Model:
    name = "likelihood" if family == "conv_vae" else "reconstruction_loss"
    return build(family, input_shape=LARGE, **{name: "ms_ssim"}, **config)


@pytest.mark.parametrize("family", ["conv_ae", "conv_vae"])
def test_the_structural_term_is_the_metric(family) -> None:
    """`reconstruction` of `evaluate` is 1 - the metric `ms_ssim`, times the pixels."""
    model, x = structural(family), images(6, LARGE)
    model.fit(x, epochs=3, verbose=0)
    outputs = model(x, training=False)
    found = model.compute_losses(ops.convert_to_tensor(x), outputs)
    x_hat = model.reconstruct(x)
    expected = 23 * 22 * (1.0 - multi_scale_ssim(x, x_hat))
    np.testing.assert_allclose(found["reconstruction"], expected, rtol=1e-4)


def test_the_structural_likelihood_offers_no_bound() -> None:
    model, x = structural("conv_vae", likelihood_scale=2.0), images(4, LARGE)
    found = list_metrics(model)
    assert "ms_ssim" in found
    for name in ("elbo", "iwae_nll", "bits_per_dim", "reconstruction_nll", "kl"):
        assert name not in found
        assert name in list_metrics(build("conv_vae"))
    assert model.sample(2, seed=0).shape == (2, *LARGE)
    with pytest.raises(UnsupportedOperationError, match="without a distribution over"):
        model.sample(2, seed=0, noise=True)
    outputs = model(x, training=False)
    found = model.compute_losses(ops.convert_to_tensor(x), outputs)
    error = losses.ms_ssim_error(ops.convert_to_tensor(x), outputs["x_hat"])
    np.testing.assert_allclose(found["reconstruction"], 0.5 * np.asarray(error))


@pytest.mark.parametrize("check", checks.UNTRAINED_CHECKS)
def test_the_structural_likelihood_keeps_the_promises(check) -> None:
    family = find_family("conv_vae")
    config = {**family.tiny, "input_shape": [12, 11, 3], "likelihood": "ms_ssim"}
    check(family, config)


# --- VAE-GAN ------------------------------------------------------------------------

VAE_GAN = find_family("vae_gan")


def vae_gan(**config) -> keras.Model:
    return build("vae_gan", discriminator_filters=(4, 4), **config)


def test_vae_gan_terms_are_the_papers(rng) -> None:
    model, x = vae_gan(gamma=0.25, feature_layer=1), images(5)
    outputs = model(x, training=True)
    for layer in model.adversary.convs:
        layer.bias.assign(rng.normal(size=layer.bias.shape))
    found = model.compute_losses(ops.convert_to_tensor(x), outputs)
    found = {name: np.asarray(values) for name, values in found.items()}

    def seen(images) -> tuple[np.ndarray, np.ndarray]:
        """Features of the first layer, and probabilities of being real."""
        first, second = model.adversary.convs

        def activate(maps) -> np.ndarray:
            maps = np.asarray(maps)
            axes = {"axis": (1, 2, 3), "keepdims": True}
            maps = (maps - maps.mean(**axes)) / np.sqrt(maps.var(**axes) + 1e-3)
            return np.maximum(maps, 0.2 * maps)

        features = activate(first(images))
        flat = activate(second(features)).reshape(5, -1)
        logits = model.adversary.logit(flat)
        return np.asarray(features).reshape(5, -1), np.asarray(ops.sigmoid(logits))[
            :, 0
        ]

    (f, real), (f_hat, _) = seen(x), seen(outputs["x_hat"])
    fakes = [seen(outputs["x_fake"][:, i])[1] for i in (0, 1)]
    np.testing.assert_allclose(
        found["feature_error"], 0.5 * np.sum((f - f_hat) ** 2, axis=1), rtol=1e-3
    )
    np.testing.assert_allclose(
        found["discriminator"],
        -np.log(real) - 0.5 * sum(np.log(1.0 - p) for p in fakes),
        rtol=1e-4,
    )
    np.testing.assert_allclose(
        found["generator"], -0.5 * sum(np.log(p) for p in fakes), rtol=1e-4
    )
    np.testing.assert_allclose(
        found["loss"],
        found["kl"] + 0.25 * found["feature_error"] + found["generator"],
        rtol=1e-4,
    )
    np.testing.assert_allclose(outputs["x_fake"][:, 0], outputs["x_hat"], atol=1e-6)
    assert np.any(np.asarray(outputs["x_fake"][:, 1] != outputs["x_hat"]))


def steps(term: str, gamma: float, weight: float = 1.0) -> list:
    """Path and move of each weight of the model in one step down one term."""

    class OneTerm(VAE_GAN.objective):
        def compute_losses(self, x, outputs, step=None):
            found = super().compute_losses(x, outputs, step)
            return {**found, "loss": weight * found[term]}

    keras.utils.set_random_seed(0)
    family = dataclasses.replace(VAE_GAN, objective=OneTerm)
    config = {**TINY, "gamma": gamma, "discriminator_filters": (4, 4)}
    model = compose(family, **config, name="one_term")
    model.compile(keras.optimizers.SGD(1.0))
    variables = model.players[0]
    before = [np.array(v) for v in variables]
    model.fit(images(), shuffle=False, verbose=0)
    return [
        (v.path, np.array(v) - old) for v, old in zip(variables, before, strict=True)
    ]


def test_the_generator_term_reaches_the_decoder_alone() -> None:
    moves = steps("generator", 0.5)
    for path, move in moves:
        assert np.any(move != 0.0) == ("decoder" in path), path
    assert any("encoder" in path for path, _ in moves)


def test_gamma_weighs_the_feature_error_of_the_decoder_alone() -> None:
    """With `gamma` as its weight, the encoder's gradient does not depend on it."""
    one, fifth = steps("feature_error", 1.0, 1.0), steps("feature_error", 0.2, 0.2)
    for (path, move), (_, weighted) in zip(one, fifth, strict=True):
        assert np.any(move != 0.0), path
        scale = 0.2 if "decoder" in path else 1.0
        np.testing.assert_allclose(
            weighted, scale * move, rtol=1e-3, atol=1e-6, err_msg=path
        )


def test_the_discriminator_learns_against_the_model() -> None:
    """Held still, the model is told from white squares at once."""
    model, x = vae_gan(), np.ones((20, 8, 8, 1), "float32")
    model.compile(
        keras.optimizers.SGD(0.0), adversary_optimizer=keras.optimizers.Adam(0.01)
    )
    history = model.fit(x, epochs=15, batch_size=5, verbose=0).history
    assert history["discriminator"][-1] < 0.5 < 1.2 < history["discriminator"][0]
    assert history["generator"][-1] > history["generator"][0]


# --- Arguments --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        ("beta_tcvae", {"alpha": -1.0}, r"`alpha` must be a finite number at least 0"),
        ("beta_tcvae", {"gamma": -1.0}, r"`gamma` must be a finite number at least 0"),
        ("beta_tcvae", {"dataset_size": 0}, r"`dataset_size` must be an integer of at"),
        (
            "dip_vae",
            {"kind": "iii"},
            r"`kind` must be one of 'i', 'ii'\. Received: kin",
        ),
        ("dip_vae", {"lambda_od": -1}, r"`lambda_od` must be a finite number at least"),
        (
            "dip_vae",
            {"lambda_d": "1"},
            r"`lambda_d` must be a finite number at least 0",
        ),
        (
            "info_vae",
            {"alpha": 2.0},
            r"`alpha` must be a finite number at most 1\. Rec",
        ),
        ("info_vae", {"mmd_weight": -1.0}, r"`mmd_weight` must be a finite number at"),
        ("conv_vae", {"likelihood_scale": "best"}, r"`likelihood_scale` must be a fin"),
        ("conv_vae", {"likelihood": "ms_ssim"}, r"SSIM needs images of at least 11 x"),
        ("conv_ae", {"reconstruction_loss": "ms_ssim"}, r"SSIM needs images of at lea"),
        (
            "conv_vae",
            {"likelihood": "ms_ssim", "likelihood_scale": "optimal"},
            r"`likelihood_scale` must be a finite number above 0\. Received: likelihoo",
        ),
        ("vae_gan", {"gamma": 0.0}, r"`gamma` must be a finite number above 0\. Recei"),
        ("vae_gan", {"feature_layer": 4}, r"`feature_layer` must be a finite number a"),
        ("vae_gan", {"feature_layer": 0}, r"`feature_layer` must be an integer of at"),
        ("vae_gan", {"discriminator_filters": ()}, r"`discriminator_filters` must hol"),
        ("info_vae", {"kernel": "cubic"}, r"`kernel` must be one of 'rbf', 'imq'\. Re"),
    ],
)
def test_arguments_are_checked(family, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create(family, **{**TINY, **arguments})
