"""Samplers: their densities, what they draw, and what becomes of their files."""

import dataclasses
import inspect
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats

import aezoo
from aezoo import cli, manifest, samplers
from aezoo.errors import (
    ChecksumError,
    ManifestError,
    UnsafeFileError,
    UnsupportedOperationError,
)
from aezoo.evaluation import evaluate, list_metrics
from aezoo.evaluation.image import samples as metrics_of_samples
from aezoo.manifest import BundledFile
from aezoo.models.autoencoder import Autoencoder
from aezoo.registry import find_family
from aezoo.samplers import (
    FlowSampler,
    GaussianMixtureSampler,
    PosteriorMixtureSampler,
    Sampler,
    fit_sampler,
    read_sampler,
    write_sampler,
)
from aezoo.samplers.fitting import FITTERS
from aezoo.store import remote
from aezoo.store.cache import check_files
from aezoo.store.load import load_folder, zoo_sampler
from aezoo.store.publish import Target, push_folder
from aezoo.store.remote import Place
from aezoo.utils.files import sha256_of
from tests.hub_server import HubServer
from tests.test_autoregressive import transformer
from tests.zoo_fixtures import (
    _tiny_zoo_folder,  # noqa: F401
    change_entry,
    own_zoo,  # noqa: F401
)
from training import publish
from training import samplers as script

FIT = {"num_images": 100, "seed": 0}


def tiny(family: str = "dense_vae", **config: Any) -> Autoencoder:
    found = find_family(family)
    return aezoo.create(family, **{**found.tiny, **config})


def pixels(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 1), dtype="uint8")


def mixture() -> GaussianMixtureSampler:
    """Two narrow components in two dimensions, far from the origin."""
    return GaussianMixtureSampler(
        (2,),
        FIT,
        np.array([0.25, 0.75], "float32"),
        np.array([[-3.0, 0.0], [4.0, 2.0]], "float32"),
        np.array([[[0.5, 0.0], [0.2, 0.3]], [[1.0, 0.0], [-0.7, 0.4]]], "float32"),
    )


def posteriors() -> PosteriorMixtureSampler:
    generator = np.random.default_rng(1)
    z_mean, z_log_var = generator.normal(size=(2, 5, 3)).astype("float32")
    return PosteriorMixtureSampler((3,), FIT, z_mean, z_log_var - 1.0)


def flow(units: int = 3, steps: int = 3, width: int = 7) -> FlowSampler:
    """One of random weights, far from the identity."""
    generator = np.random.default_rng(2)

    def draw(*shape: int) -> np.ndarray:
        return generator.normal(0.0, 0.6, shape).astype("float32")

    return FlowSampler(
        (units,),
        FIT,
        draw(units),
        np.exp(draw(units)),
        *(draw(steps, units, width), draw(steps, width)),
        *(draw(steps, width, width), draw(steps, width)),
        *(draw(steps, width, 2 * units), draw(steps, 2 * units)),
    )


EXAMPLES = [mixture, posteriors, flow, transformer]


# --- Distributions -------------------------------------------------------------------


def test_the_density_of_a_mixture_is_scikit_learns() -> None:
    from sklearn.mixture import GaussianMixture

    ours = mixture()
    theirs = GaussianMixture(2)
    theirs.weights_, theirs.means_ = ours.weights, ours.means
    theirs.precisions_cholesky_ = np.linalg.inv(ours.scale_tril).transpose(0, 2, 1)
    z = np.random.default_rng(0).normal(size=(1500, 2)) * 4.0
    np.testing.assert_allclose(ours.log_prob(z), theirs.score_samples(z), rtol=1e-5)


def test_the_density_of_a_mixture_of_posteriors_is_that_of_its_parts() -> None:
    ours = posteriors()
    z = np.random.default_rng(0).normal(size=(20, 3))
    densities = [
        stats.multivariate_normal(mean, np.diag(np.exp(log_var))).pdf(z)
        for mean, log_var in zip(ours.z_mean, ours.z_log_var, strict=True)
    ]
    np.testing.assert_allclose(ours.log_prob(z), np.log(np.mean(densities, axis=0)))


def test_densities_are_finite_far_away_and_where_a_component_has_no_weight() -> None:
    far = np.full((1, 2), 1e4)
    assert np.isfinite(mixture().log_prob(far)).all()
    alone = dataclasses.replace(mixture(), weights=np.array([0.0, 1.0], "float32"))
    normal = stats.multivariate_normal(
        alone.means[1], alone.scale_tril[1] @ alone.scale_tril[1].T
    )
    np.testing.assert_allclose(
        alone.log_prob(np.zeros((1, 2))), normal.logpdf([0.0, 0.0]), rtol=1e-5
    )
    drawn = alone.sample_codes(500, np.random.default_rng(0))
    assert drawn[:, 0].mean() > 3.5


def test_samples_have_the_mixtures_moments() -> None:
    ours = mixture()
    z = ours.sample_codes(200_000, np.random.default_rng(0)).astype("float64")
    mean = ours.weights @ ours.means
    covariances = ours.scale_tril @ ours.scale_tril.transpose(0, 2, 1)
    second = np.einsum("k,ki,kj->ij", ours.weights, ours.means, ours.means)
    covariance = np.tensordot(ours.weights, covariances, 1) + second
    covariance -= np.outer(mean, mean)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.1)
    near = z[z[:, 0] < 0]
    assert len(near) / len(z) == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(np.cov(near.T), covariances[0], atol=0.02)


def test_samples_of_posteriors_have_their_moments() -> None:
    ours = posteriors()
    z = ours.sample_codes(200_000, np.random.default_rng(0)).astype("float64")
    variance = np.exp(ours.z_log_var).mean(axis=0) + ours.z_mean.var(axis=0)
    np.testing.assert_allclose(z.mean(axis=0), ours.z_mean.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=0.02)


def test_the_volume_of_a_flow_is_its_jacobians() -> None:
    """Finite differences of the map, which is triangular neither way around."""
    ours = flow()
    z = np.random.default_rng(0).normal(size=(5, 3))
    u, log_det = ours.to_noise(z)
    step = 1e-6
    for row in range(5):
        columns = [
            (ours.to_noise(z[[row]] + e)[0] - ours.to_noise(z[[row]] - e)[0])[0]
            / (2.0 * step)
            for e in step * np.eye(3)
        ]
        sign, expected = np.linalg.slogdet(np.stack(columns, axis=1))
        assert sign != 0.0
        assert log_det[row] == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(
        ours.log_prob(z), stats.norm.logpdf(u).sum(axis=1) + log_det
    )


def test_the_density_of_a_flow_has_mass_one() -> None:
    ours = flow(units=2, steps=2)
    drawn = ours.sample_codes(2000, np.random.default_rng(0))
    low, high = drawn.min(axis=0) - 3.0, drawn.max(axis=0) + 3.0
    axes = [np.linspace(a, b, 800) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    assert np.exp(ours.log_prob(grid)).sum() * cell == pytest.approx(1.0, abs=0.02)


def test_samples_of_a_flow_are_where_its_noise_was() -> None:
    ours = flow()
    drawn = ours.sample_codes(50, np.random.default_rng(4))
    noise = np.random.default_rng(4).standard_normal((50, 3))
    np.testing.assert_allclose(ours.to_noise(drawn)[0], noise, atol=1e-4)


def test_units_of_a_flow_depend_on_those_before_them_alone() -> None:
    ours = flow(units=4, steps=1, width=30)
    z = np.random.default_rng(0).normal(size=(1, 4))
    before = ours.to_noise(z)[0]
    for unit in range(4):
        moved = z.copy()
        moved[0, unit] += 1.0
        changed = np.flatnonzero(ours.to_noise(moved)[0] != before)
        assert changed[0] == unit
        assert unit == 3 or len(changed) > 1, "and on those they do"


@pytest.mark.exhaustive
def test_training_a_flow_brings_it_near_the_density_of_the_codes() -> None:
    """Better than one Gaussian, near the truth, and the same for the same seed."""
    codes = mixture().sample_codes(3000, np.random.default_rng(0))
    fresh = mixture().sample_codes(3000, np.random.default_rng(1))
    options = {"num_steps": 3, "width": 32}

    def mean(sampler: Sampler) -> float:
        return float(sampler.log_prob(fresh).mean())

    one, first, again = (
        fit_sampler(FakeModel(codes), None, "flow", epochs=epochs, **options)
        for epochs in (1, 60, 60)
    )
    gaussian = fit_sampler(FakeModel(codes), None, "gmm", num_components=1)
    truth = mean(mixture())
    assert mean(one) < mean(gaussian) < mean(first) < truth
    assert mean(first) > truth - 0.4
    for name, array in first.arrays().items():
        np.testing.assert_allclose(array, again.arrays()[name], rtol=1e-4, atol=1e-5)
    drawn = first.sample_codes(3000, np.random.default_rng(1))
    np.testing.assert_allclose(drawn.std(axis=0), codes.std(axis=0), rtol=0.1)


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_seed_fixes_the_codes_and_the_first_do_not_depend_on_how_many(
    example: Callable[[], Sampler],
) -> None:
    ours = example()

    def draw(n: int, seed: int = 0) -> np.ndarray:
        return ours.sample_codes(n, np.random.default_rng(seed))

    assert draw(7).dtype == "float32"
    assert draw(7).shape == (7, *ours.latent_shape)
    np.testing.assert_array_equal(draw(7), draw(7))
    np.testing.assert_allclose(draw(100)[:7], draw(7), rtol=1e-6, atol=1e-6)
    assert not np.allclose(draw(7), draw(7, seed=1))
    generator = np.random.default_rng(0)
    first, second = (ours.sample_codes(7, generator) for _ in range(2))
    assert not np.allclose(first, second)


@pytest.mark.parametrize("example", EXAMPLES)
def test_codes_of_another_shape_have_no_density(
    example: Callable[[], Sampler],
) -> None:
    ours = example()
    with pytest.raises(
        ValueError, match=r"`z` must have shape \(n, [\d, ]+\)\. Received"
    ):
        ours.log_prob(np.zeros((3, 7)))
    assert ours.log_prob(np.zeros((0, *ours.latent_shape))).shape == (0,)


# --- Fitting -------------------------------------------------------------------------


def test_a_fitted_mixture_recovers_the_mixture_that_codes_came_from() -> None:
    """Also where code units differ in scale by ten thousand, and one is constant."""
    truth = mixture()
    codes = truth.sample_codes(4000, np.random.default_rng(0))
    scale = np.array([100.0, 0.01], "float32")
    codes = np.concatenate([codes * scale, np.full((4000, 1), 5.0)], axis=1)
    model = FakeModel(codes.astype("float32"))
    fitted = fit_sampler(model, None, "gmm", num_components=2)
    order = np.argsort(fitted.weights)
    np.testing.assert_allclose(fitted.weights[order], truth.weights, atol=0.02)
    means = fitted.means[order]
    np.testing.assert_allclose(means[:, :2] / scale, truth.means, atol=0.1)
    np.testing.assert_allclose(means[:, 2], 5.0, atol=1e-3)
    drawn = fitted.sample_codes(4000, np.random.default_rng(1))
    np.testing.assert_allclose(drawn.std(axis=0)[:2], codes.std(axis=0)[:2], rtol=0.05)


class FakeModel:
    """A model whose codes are given."""

    name = family = "fake"
    TASKS = ("reconstruction",)
    CODES = "continuous"
    given: ClassVar[dict[str, Any]] = {}

    def __init__(self, codes: np.ndarray) -> None:
        self.codes = codes
        self.latent_shape = codes.shape[1:]
        self.samplers = samplers.Samplers(self)  # type: ignore[arg-type]

    def posterior(self, x: Any, **conditions: Any) -> Any:  # noqa: ARG002
        from aezoo.nn.distributions import PointMass

        return PointMass(self.codes)

    def get_weights(self) -> list[np.ndarray]:
        return []


def shifted_model() -> Autoencoder:
    """A linear autoencoder whose codes are far from the standard normal."""
    model = tiny("linear_ae", latent_dim=2)
    generator = np.random.default_rng(0)
    x = bright_images(generator)
    model.fit_closed_form(x)
    return model


def bright_images(generator: np.random.Generator, n: int = 400) -> np.ndarray:
    """Two kinds of images in equal shares: bright above, or bright below."""
    x = generator.uniform(0.0, 0.2, (n, 8, 8, 1))
    x[: n // 2, :4] += 0.7
    x[n // 2 :, 4:] += 0.7
    return x.astype("float32")


def test_samples_of_a_deterministic_model_look_like_its_data() -> None:
    x = bright_images(np.random.default_rng(0))
    model = shifted_model()
    fit_sampler(model, x, "gmm", num_components=2)
    drawn = model.sample(400, seed=0, sampler="gmm")
    assert drawn.shape == x.shape
    top, bottom = drawn[:, :4].mean((1, 2, 3)), drawn[:, 4:].mean((1, 2, 3))
    is_top = top > bottom
    assert is_top.mean() == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(top[is_top].mean(), 0.8, atol=0.03)
    np.testing.assert_allclose(bottom[is_top].mean(), 0.1, atol=0.03)
    np.testing.assert_allclose(drawn.mean(axis=0), x.mean(axis=0), atol=0.05)


@pytest.mark.parametrize("kind", ["gmm", "vamp"])
def test_a_fitted_sampler_is_nearer_to_the_codes_than_the_prior(kind: str) -> None:
    """An encoder whose codes are at 5, which the standard normal prior never gives."""
    model = tiny(latent_dim=2)
    head = model.encoder.heads["z_mean"]
    head.bias.assign(np.array([5.0, -5.0]))
    x = pixels(300)
    options = {"num_components": 2} if kind == "gmm" else {"num_pseudo_inputs": 50}
    sampler = fit_sampler(model, x, kind, **options)
    wanted = model.decode(np.asarray(model.posterior(x).sample(1))).mean(axis=0)

    def distance(images: np.ndarray) -> float:
        return float(np.abs(images.mean(axis=0) - wanted).mean())

    prior = distance(model.sample(300, seed=0))
    assert distance(model.sample(300, seed=0, sampler=kind)) < 0.2 * prior
    codes = np.asarray(model.posterior(x).sample(2))
    of_prior = stats.norm.logpdf(codes).sum(axis=1).mean()
    assert sampler.log_prob(codes).mean() > of_prior + 10


def test_the_samplers_of_posteriors_are_the_posteriors_of_images() -> None:
    model, x = tiny(latent_dim=3), pixels(40)
    sampler = fit_sampler(model, x, "vamp", num_pseudo_inputs=15)
    assert isinstance(sampler, PosteriorMixtureSampler)
    everything = np.asarray(model.posterior(x).mean)
    for mean in sampler.z_mean:
        assert np.abs(everything - mean).sum(axis=1).min() < 1e-5
    assert len(np.unique(sampler.z_mean, axis=0)) == 15


@pytest.mark.parametrize("kind", ["gmm", "vamp"])
def test_the_same_seed_fits_the_same_bytes(kind: str, tmp_path: Path) -> None:
    model, x = tiny(), pixels()
    options = {"num_components": 3} if kind == "gmm" else {"num_pseudo_inputs": 9}
    paths = [tmp_path / f"{i}.npz" for i in range(3)]
    for path, seed in zip(paths, (0, 0, 1), strict=True):
        write_sampler(fit_sampler(model, x, kind, seed, **options), path)
    first, same, other = (path.read_bytes() for path in paths)
    assert first == same != other


def test_a_map_of_codes_keeps_its_shape() -> None:
    codes = np.random.default_rng(0).normal(size=(40, 2, 3, 2)).astype("float32")
    sampler = fit_sampler(FakeModel(codes), None, "gmm", num_components=2)
    drawn = sampler.sample_codes(5, np.random.default_rng(0))
    assert drawn.shape == (5, 2, 3, 2)
    assert sampler.log_prob(drawn).shape == (5,)


def test_pixels_are_drawn_from_codes_of_a_sampler_too() -> None:
    model = tiny()
    fit_sampler(model, pixels(), "gmm", num_components=2)
    drawn = model.sample(5, seed=0, sampler="gmm", noise=True)
    assert set(np.unique(drawn)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            {"kind": "gnn"},
            ValueError,
            "`kind` must be one of 'gmm', .*Received: kind='gnn'",
        ),
        (
            {"num_component": 3},
            ValueError,
            "Unknown option `num_component` of the sampler 'gmm'.*num_components",
        ),
        ({"num_components": 0}, ValueError, "`num_components` must be an integer"),
        ({"num_components": 61}, ValueError, "60 examples, num_components=61"),
        (
            {"kind": "vamp", "num_pseudo_inputs": 61},
            ValueError,
            "60 examples, num_pseudo_inputs=61",
        ),
        (
            {"kind": "vamp", "num_pseudo_inputs": 0},
            ValueError,
            "`num_pseudo_inputs` must be an integer",
        ),
        (
            {"kind": "flow", "num_steps": 0},
            ValueError,
            "`num_steps` must be an integer",
        ),
        ({"kind": "flow", "width": 1.5}, ValueError, "`width` must be an integer"),
        ({"kind": "flow", "epochs": "a"}, ValueError, "`epochs` must be an integer"),
        ({"seed": None}, ValueError, "`seed` must be a number"),
        ({"seed": -1}, ValueError, "`seed` must be"),
    ],
)
def test_what_cannot_be_fitted_is_named(
    call: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = tiny()
    with pytest.raises(error, match=message):
        fit_sampler(model, pixels(), **call)
    assert not model.samplers


def test_posteriors_that_are_no_gaussians_make_no_mixture() -> None:
    with pytest.raises(UnsupportedOperationError, match=r"has none\. Fit 'gmm'"):
        fit_sampler(tiny("dense_ae"), pixels(), "vamp", num_pseudo_inputs=5)


def test_codes_that_are_not_finite_are_refused() -> None:
    codes = np.zeros((20, 2), "float32")
    codes[3] = np.nan
    with pytest.raises(ValueError, match="codes of `x` hold NaN"):
        fit_sampler(FakeModel(codes), None, "gmm")


# --- Of a model ----------------------------------------------------------------------


def test_a_model_names_the_samplers_that_it_has() -> None:
    model = tiny("dense_ae")
    with pytest.raises(
        UnsupportedOperationError,
        match=r"no prior .*fit_sampler\(model, x, 'gmm'\)",
    ):
        model.sample(1)
    with pytest.raises(
        UnsupportedOperationError, match=r"no sampler 'vamp'. It has: none\. Fit one"
    ):
        model.sample(1, sampler="vamp")
    fit_sampler(model, pixels(), "gmm", num_components=2)
    with pytest.raises(UnsupportedOperationError, match="It has `sampler='gmm'`"):
        model.sample(1)
    with pytest.raises(UnsupportedOperationError, match=r"It has: 'gmm'\."):
        model.sample(1, sampler="vamp")
    with pytest.raises(UnsupportedOperationError, match=r"It has: 'prior'\."):
        tiny().sample(1, sampler="gmm")


def test_samplers_are_a_mapping_by_kind() -> None:
    model = tiny(latent_dim=2)
    assert (len(model.samplers), repr(model.samplers)) == (0, "<samplers: none>")
    model.samplers["gmm"] = mixture()
    model.samplers.read_later({"vamp": lambda: pytest.fail("was read")})
    assert list(model.samplers) == ["gmm", "vamp"]
    assert repr(model.samplers) == "<samplers: gmm, vamp>"
    del model.samplers["vamp"], model.samplers["gmm"]
    assert not model.samplers
    with pytest.raises(KeyError):
        model.samplers["gmm"]
    with pytest.raises(KeyError):
        del model.samplers["gmm"]
    with pytest.raises(ValueError, match=r"must be a sampler of that kind.*Received"):
        model.samplers["vamp"] = mixture()
    with pytest.raises(ValueError, match=r"codes of shape \(2,\). Received: \(3,\)"):
        model.samplers["vamp"] = posteriors()


def test_fitted_samplers_are_kept_in_kerass_files(tmp_path: Path) -> None:
    import keras

    model = tiny(latent_dim=2)
    model.samplers["gmm"] = mixture()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert list(again.samplers) == ["gmm"]
    np.testing.assert_array_equal(
        again.sample(3, seed=0, sampler="gmm"), model.sample(3, seed=0, sampler="gmm")
    )
    assert len(again.weights) == len(model.weights)


# --- Files ---------------------------------------------------------------------------


def stated(path: Path) -> BundledFile:
    return BundledFile(path.name, path.stat().st_size, sha256_of(path))


def read(path: Path, example: Sampler, file: BundledFile | None = None) -> Sampler:
    file = file or stated(path)
    return read_sampler(path, example.kind, example.latent_shape, file, "Copy it.")


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_is_written_is_read(
    example: Callable[[], Sampler], tmp_path: Path
) -> None:
    ours, path = example(), tmp_path / "sampler.npz"
    write_sampler(ours, path)
    theirs = read(path, ours)
    assert type(theirs) is type(ours)
    assert (theirs.fit, theirs.latent_shape) == (ours.fit, ours.latent_shape)
    z = [s.sample_codes(50, np.random.default_rng(0)) for s in (ours, theirs)]
    np.testing.assert_array_equal(*z)
    np.testing.assert_array_equal(ours.log_prob(z[0]), theirs.log_prob(z[0]))


def test_a_file_that_is_not_as_stated_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sampler.npz"
    with pytest.raises(ChecksumError, match=r"sampler.npz is missing\. Copy it\."):
        read(path, mixture(), BundledFile("sampler.npz", 1, "0" * 64))
    write_sampler(mixture(), path)
    file = stated(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChecksumError, match=r"does not match its hash.*Copy it"):
        read(path, mixture(), file)
    path.write_bytes(content[:-1])
    with pytest.raises(ChecksumError, match=rf"expected {file.bytes:,} bytes"):
        read(path, mixture(), file)


def test_a_file_of_another_kind_or_for_other_codes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sampler.npz"
    write_sampler(mixture(), path)
    with pytest.raises(ManifestError, match=r"must be of kind 'vamp' for codes of"):
        read(path, posteriors())
    wider = dataclasses.replace(posteriors(), latent_shape=(3, 1))
    write_sampler(posteriors(), path)
    with pytest.raises(ManifestError, match=r"of shape \(3, 1\). Received"):
        read(path, wider)


def good() -> dict[str, Any]:
    config = {"kind": "gmm", "latent_shape": [2], "fit": FIT}
    return {"config": np.array(json.dumps(config)), **mixture().arrays()}


def with_config(**changes: Any) -> dict[str, Any]:
    config = {**json.loads(str(good()["config"])), **changes}
    return {**good(), "config": np.array(json.dumps(config))}


BAD: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "no config": (
        lambda: {k: v for k, v in good().items() if k != "config"},
        "`config` must be text",
    ),
    "long config": (
        lambda: {**good(), "config": np.array("x" * 20_000)},
        "text of at most 10,000 letters",
    ),
    "no JSON": (lambda: {**good(), "config": np.array("{")}, "`config` is not JSON"),
    "deep JSON": (
        lambda: {**good(), "config": np.array("[" * 10_000)},
        "`config` is not JSON",
    ),
    "other fields": (lambda: with_config(command="rm"), "must hold `kind`, "),
    "unknown kind": (
        lambda: with_config(kind="diffusion"),
        "`kind` must be one of 'gmm'.*Upgrade aezoo",
    ),
    "kind of no text": (lambda: with_config(kind=["gmm"]), "`kind` must be one of"),
    "bad shape": (lambda: with_config(latent_shape=[-2]), "positive integers"),
    "huge shape": (lambda: with_config(latent_shape=[10**12]), "`means` must be"),
    "bad fit": (lambda: with_config(fit={"num_images": "{0}"}), "state `num_images`"),
    "missing array": (
        lambda: {k: v for k, v in good().items() if k != "means"},
        "must hold means, scale_tril, weights",
    ),
    "extra array": (lambda: {**good(), "x": np.zeros(2)}, "must hold means, "),
    "wrong shape": (
        lambda: {**good(), "means": np.zeros((2, 3), "float32")},
        r"`means` must be float32 of shape \(2, 2\)",
    ),
    "empty": (
        lambda: {**good(), "weights": np.zeros(0, "float32")},
        "`weights` must be float32",
    ),
    "wrong dtype": (
        lambda: {**good(), "means": np.zeros((2, 2), "int64")},
        "`means` must be float32 .*int64",
    ),
    "not finite": (
        lambda: {**good(), "means": np.full((2, 2), np.nan, "float32")},
        "`means` holds NaN or infinity",
    ),
    "weights of no sum": (
        lambda: {**good(), "weights": np.ones(2, "float32")},
        "`weights` must not be negative, and have sum 1",
    ),
    "no factor": (
        lambda: {**good(), "scale_tril": np.ones((2, 2, 2), "float32")},
        "`scale_tril` must be lower triangular",
    ),
    "pickle": (
        lambda: {**good(), "means": np.array([Exploding()], object)},
        "is not a readable .npz archive|must hold arrays of plain numbers",
    ),
}


class Exploding:
    """Would create a file if it were ever unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("what", BAD)
def test_a_file_with_other_content_is_refused(what: str, tmp_path: Path) -> None:
    content, message = BAD[what]
    path = tmp_path / "sampler.npz"
    with path.open("wb") as file:
        np.savez(file, **content())
    with pytest.raises(ManifestError, match=rf"(?s)sampler.npz.*({message})"):
        read(path, mixture())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": np.zeros(3, "float32")}, "`scale` must be positive"),
        ({"bias_0": np.zeros((0, 7), "float32")}, "`kernel_0` must be float32"),
        ({"bias_0": np.zeros(7, "float32")}, "must be float32"),
        ({"kernel_2": np.zeros((3, 7, 3), "float32")}, r"of shape \(3, 7, 6\)"),
    ],
)
def test_arrays_that_make_no_flow_are_refused(
    change: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(flow(), **change)


def test_variances_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="`z_log_var` must be within -80 and 80"):
        dataclasses.replace(posteriors(), z_log_var=np.full((5, 3), 90.0, "float32"))


def test_what_unpacks_to_too_much_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sampler.npz"
    header = io.BytesIO()
    array = np.lib.format
    array.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (25_000_000,)}
    )
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("means.npy", "w") as member,
    ):
        member.write(header.getvalue())
        for _ in range(100):
            member.write(bytes(1_000_000))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ManifestError, match="must unpack to at most 50,000,000 bytes"):
        read(path, mixture())


def test_what_is_too_large_to_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sampler.npz"
    write_sampler(mixture(), path)
    monkeypatch.setattr("aezoo.samplers.files.MAX_BYTES", 100_010)
    with pytest.raises(ValueError, match="A sampler may take at most 100,010 bytes"):
        write_sampler(mixture(), tmp_path / "other.npz")
    monkeypatch.setattr("aezoo.samplers.files.MAX_BYTES", 100)
    with pytest.raises(ChecksumError, match=r"at most 100 bytes\. Received"):
        read(path, mixture())


# --- Folders -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tiny("dense_ae", latent_dim=2)
    model.samplers["gmm"] = mixture()
    return aezoo.save(model, tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def saved(_saved: Path, tmp_path: Path) -> Path:
    """A saved model with a sampler, that a test may damage."""
    return Path(shutil.copytree(_saved, tmp_path / "model"))


def change_file(folder: Path, **changes: Any) -> None:
    path = folder / "aezoo.json"
    fields = json.loads(path.read_text())
    fields["samplers"]["gmm"].update(changes)
    path.write_text(json.dumps(fields))


def test_a_folder_keeps_the_samplers(saved: Path) -> None:
    model = tiny("dense_ae", latent_dim=2)
    model.samplers["gmm"] = mixture()
    again = aezoo.load(saved)
    assert list(again.samplers) == ["gmm"]
    wanted = mixture().sample_codes(4, np.random.default_rng(3))
    np.testing.assert_array_equal(
        again.samplers["gmm"].sample_codes(4, np.random.default_rng(3)), wanted
    )
    assert again.sample(4, seed=3, sampler="gmm").shape == (4, 8, 8, 1)
    found = aezoo.verify(saved)
    assert found.ok
    assert "sampler gmm" in [check.what for check in found.checks]


def test_saving_twice_gives_the_same_bytes_and_overwrites(
    saved: Path, tmp_path: Path
) -> None:
    model = aezoo.load(saved)
    other = aezoo.save(model, tmp_path / "other")
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == {
        p.name: p.read_bytes() for p in other.iterdir()
    }
    del model.samplers["gmm"]
    aezoo.save(model, other, overwrite=True)
    assert not (other / "sampler_gmm.npz").exists()
    assert "samplers" not in json.loads((other / "aezoo.json").read_text())


def test_a_folder_of_a_model_without_samplers_is_as_ever(tmp_path: Path) -> None:
    path = aezoo.save(tiny("dense_ae"), tmp_path / "model")
    assert not list(path.glob("sampler_*"))
    assert not aezoo.load(path).samplers


def test_a_damaged_sampler_is_named_when_it_is_used(saved: Path) -> None:
    path = saved / "sampler_gmm.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    model = aezoo.load(saved)
    for _ in range(2):  # a failure does not stick as a success
        with pytest.raises(ChecksumError, match=r"sampler_gmm\.npz does not match"):
            model.sample(1, sampler="gmm")
    found = aezoo.verify(saved)
    assert [check.what for check in found.failures] == ["sampler gmm"]
    path.unlink()
    with pytest.raises(ChecksumError, match=r"sampler_gmm\.npz is missing"):
        aezoo.load(saved).sample(1, sampler="gmm")


def test_the_folder_may_be_loaded_from_another_place(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved.parent)
    model = aezoo.load("./model")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert model.sample(1, sampler="gmm").shape == (1, 8, 8, 1)


def test_a_sampler_cannot_be_taken_from_outside_the_folder(saved: Path) -> None:
    shutil.move(saved / "sampler_gmm.npz", saved.parent / "sampler_gmm.npz")
    change_file(saved, file="../sampler_gmm.npz")
    model = aezoo.load(saved)
    with pytest.raises(UnsafeFileError, match="must stay inside its folder"):
        model.sample(1, sampler="gmm")
    assert not aezoo.verify(saved).ok


@pytest.mark.parametrize(
    ("samplers_field", "message"),
    [
        ([], "`samplers` must be `object`"),
        ({"diffusion": {}}, r"in `samplers` must be .*gmm\|vamp.*'diffusion'"),
        ({"gmm": 3}, r"`samplers\.gmm` must be `object`"),
        ({"gmm": {"file": "a.npz"}}, r"`samplers\.gmm\.bytes` is missing"),
        (
            {"gmm": {"file": "a.npz", "bytes": 3, "sha256": "x"}},
            r"`samplers\.gmm\.sha256` must be `str` that matches",
        ),
    ],
)
def test_an_entry_that_states_samplers_wrongly_is_refused(
    saved: Path, samplers_field: Any, message: str
) -> None:
    path = saved / "aezoo.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "samplers": samplers_field}))
    with pytest.raises(ManifestError, match=message):
        aezoo.load(saved)


# --- The zoo and the Hub -------------------------------------------------------------

NAME, OTHER = "conv_ae_mnist_z32", "dense_vae_mnist_z2"


@pytest.fixture
def zoo(own_zoo: Path) -> Path:  # noqa: F811
    """A zoo whose first model has a sampler."""
    path = own_zoo / "weights" / f"{NAME}.gmm.npz"
    model = aezoo.load(NAME)
    x = np.random.default_rng(0).random((50, 28, 28, 1), dtype="float32")
    write_sampler(fit_sampler(model, x, "gmm", num_components=2), path)
    fields = stated(path).to_dict()
    change_entry(own_zoo, NAME, lambda entry: entry.update(samplers={"gmm": fields}))
    return own_zoo


def test_a_model_of_the_zoo_has_its_samplers(zoo: Path) -> None:
    model = aezoo.load(NAME)
    assert model.sample(2, seed=0, sampler="gmm").shape == (2, 28, 28, 1)
    assert aezoo.verify(NAME).ok
    entry = aezoo.describe(NAME)
    assert "samplers    gmm" in repr(entry)
    assert entry.to_dict()["samplers"]["gmm"]["file"] == f"{NAME}.gmm.npz"
    assert "samplers" not in aezoo.describe(OTHER).to_dict()
    assert "samplers" not in repr(aezoo.describe(OTHER))
    path = zoo / "weights" / f"{NAME}.gmm.npz"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(ChecksumError, match="Reinstall aezoo"):
        aezoo.load(NAME).sample(1, sampler="gmm")
    assert not aezoo.verify(NAME).ok
    damaged = [check.path for check in check_files() if check.damage]
    assert damaged == [path]


def test_the_schema_and_the_manifest_take_samplers(zoo: Path) -> None:
    import jsonschema

    schema = json.loads(
        (Path(aezoo.__file__).parent / "weights_manifest.schema.json").read_text()
    )
    document = json.loads((zoo / "weights_manifest.json").read_text())
    jsonschema.validate(document, schema)
    document["models"][NAME]["samplers"]["other"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)
    change_entry(zoo, NAME, lambda entry: entry.update(samplers={"gmm": {}}))
    with pytest.raises(ManifestError, match=r"z32\.samplers\.gmm\.file` is missing"):
        manifest.entries()


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_folder_with_samplers_goes_to_the_hub_and_back(
    saved: Path, tmp_path: Path
) -> None:
    with HubServer() as hub:
        target = Target("org/model", token=hub.token, endpoint=hub.url)
        done = push_folder(saved, target)
        files = hub.files("org/model", done.revision)
        assert files["sampler_gmm.npz"] == (saved / "sampler_gmm.npz").read_bytes()
        place = Place("org/model", cache_dir=tmp_path / "cache", endpoint=hub.url)
        found = remote.fetch_model(place)
        model = load_folder(*found)
        assert model.sample(1, sampler="gmm").shape == (1, 8, 8, 1)
        assert (found[0] / "sampler_gmm.npz").is_file()
        assert not [c for c in check_files(tmp_path / "cache") if c.damage]

        change_file(saved, file="other.npz")
        (saved / "sampler_gmm.npz").rename(saved / "other.npz")
        with pytest.raises(ManifestError, match=r"must be named sampler_gmm\.npz"):
            push_folder(saved, target)
        model = aezoo.load(saved)
        del model.samplers["gmm"]
        aezoo.save(model, tmp_path / "without")
        push_folder(tmp_path / "without", target)
        assert "sampler_gmm.npz" not in hub.files("org/model")


def test_another_sampler_on_the_hub_is_refused(saved: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in saved.iterdir()}
    files["sampler_gmm.npz"] = files["sampler_gmm.npz"][:-1] + b"x"
    with HubServer() as hub:
        hub.add_repo("org/model", files)
        place = Place("org/model", cache_dir=tmp_path / "cache", endpoint=hub.url)
        with pytest.raises(ChecksumError, match=r"sampler_gmm\.npz of hf://org/model"):
            remote.fetch_model(place)


def test_the_zoos_samplers_come_from_the_hub_where_the_package_has_none(
    zoo: Path, tmp_path: Path
) -> None:
    path = zoo / "weights" / f"{NAME}.gmm.npz"
    files = {"sampler_gmm.npz": path.read_bytes(), "aezoo.json": b"{}"}
    path.unlink()
    with HubServer() as hub:
        revision = hub.add_repo("zoo/model", files)
        place = Place("zoo/model", revision, tmp_path / "cache", endpoint=hub.url)
        sampler = zoo_sampler(aezoo.describe(NAME), "gmm", place)
    assert sampler.latent_shape == (32,)
    with pytest.raises(ChecksumError, match="is missing"):
        zoo_sampler(aezoo.describe(NAME), "gmm")


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_published_model_has_its_samplers(zoo: Path, tmp_path: Path) -> None:
    entry = aezoo.describe(NAME)
    folder = tmp_path / "folder"
    folder.mkdir()
    publish.build_folder(entry, zoo / "weights", folder, "hf://org/model")
    assert aezoo.verify(folder).ok
    model = aezoo.load(folder)
    np.testing.assert_array_equal(
        model.sample(2, seed=0, sampler="gmm"),
        aezoo.load(NAME).sample(2, seed=0, sampler="gmm"),
    )
    (zoo / "weights" / f"{NAME}.gmm.npz").write_bytes(b"x")
    with pytest.raises(ChecksumError, match=r"training\.samplers"):
        publish.build_folder(entry, zoo / "weights", folder, "hf://org/model")


# --- Command and metrics -------------------------------------------------------------


def test_the_script_fits_writes_and_repeats_itself(
    own_zoo: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from aezoo.data.datasets import Dataset
    from aezoo.modalities.image.digits import draw_digits

    images, labels = draw_digits(60, seed=1)
    data = Dataset("mnist", "3.0.1", "train", images, labels)
    monkeypatch.setattr(script.datasets, "load_dataset", lambda *_: data)
    place = (own_zoo / "weights", own_zoo / "weights_manifest.json")
    fitted = [
        script.fit(OTHER, "gmm", *place, options={"num_components": 2})
        for _ in range(2)
    ]
    np.testing.assert_array_equal(fitted[0].means, fitted[1].means)
    manifest.installed.cache_clear()
    assert aezoo.describe(OTHER).samplers["gmm"].file == f"{OTHER}.gmm.npz"
    assert aezoo.verify(OTHER).ok
    assert aezoo.load(OTHER).sample(2, sampler="gmm").shape == (2, 28, 28, 1)
    with pytest.raises(aezoo.errors.UnknownModelError, match="Train it first"):
        script.fit("conv_vae", "gmm", *place)


def test_the_script_takes_the_options_of_every_kind() -> None:
    given = {parameter.name for parameter in script.main.params}
    for fitter in FITTERS.values():
        assert set(inspect.signature(fitter).parameters) - given <= {
            *("model", "posterior", "labels"),
        }


class PixelFeatures:
    """Stands for an extractor: the mean of each row of pixels."""

    @staticmethod
    def features(images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(2, 3)) / 255.0


def test_metrics_of_samples_are_those_of_the_named_sampler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_of_samples, "load_extractor", lambda _: PixelFeatures)
    x = np.round(255 * bright_images(np.random.default_rng(0))).astype("uint8")
    model = shifted_model()
    assert "frechet/gmm" not in list_metrics(model)
    with pytest.raises(
        UnsupportedOperationError, match="no metric 'frechet/gmm/any_v1'"
    ):
        evaluate(model, x, metrics=["frechet/gmm/any_v1"])
    fit_sampler(model, x, "gmm", num_components=2)
    assert "frechet/gmm" in list_metrics(model)
    assert "frechet" not in list_metrics(model)
    report = evaluate(model, x, metrics=["fid/gmm/any_v1", "recall/gmm/any_v1"])
    assert list(report) == ["frechet/gmm/any_v1", "recall/gmm/any_v1"]
    assert report["frechet/gmm"].value < 0.01
    protocol = report["frechet/gmm"].protocol
    assert "sampler 'gmm', a Gaussian mixture of 2 components" in protocol
    assert "on codes of 400 images, seed 0" in protocol

    vae = tiny(latent_dim=2)
    vae.samplers["gmm"] = mixture()
    report = evaluate(vae, x, metrics=["frechet/any_v1", "frechet/gmm/any_v1"])
    assert report["frechet"].value != report["frechet/gmm"].value
    assert "z from the prior" in report["frechet"].protocol


def test_the_command_draws_from_a_sampler(zoo: Path, tmp_path: Path) -> None:
    def run(name: str, *arguments: str) -> Result:
        output = str(tmp_path / "out.png")
        return CliRunner().invoke(
            cli.main, ["sample", name, "-n", "4", "-o", output, *arguments]
        )

    done = run(NAME, "--sampler", "gmm")
    assert (done.exit_code, done.output.splitlines()[-1]) == (
        0,
        "4 samples from the sampler gmm, seed 0.",
    )
    assert "Pass `--sampler gmm`" in str(run(NAME).output)
    other = run(OTHER, "--sampler", "gmm").output
    assert "has no sampler 'gmm'. It has: prior." in " ".join(other.split())
    del zoo
