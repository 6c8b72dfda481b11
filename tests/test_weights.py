"""The bundled weights are as good as the project says, on the test split."""

import dataclasses
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

import aezoo
from aezoo import manifest
from aezoo.manifest import entries
from tests.conftest import needs_dataset
from tests.draws import some_cases, some_of
from training.evaluate import (
    PUBLISHED,
    Subject,
    compare,
    measure,
    published_name,
    sample_figures,
    subjects,
)


def value(name: str, metric: str) -> float:
    record = aezoo.describe(name).metric(metric, "mnist/test")
    assert record is not None
    assert "all 10,000 images" in record.protocol
    return record.value


@pytest.mark.parametrize(
    "name", ["dense_ae_mnist_z32", "conv_ae_mnist_z32", "denoising_conv_ae_mnist_z32"]
)
def test_nonlinear_autoencoders_halve_pcas_error(name: str) -> None:
    assert value(name, "mse") <= 0.5 * value("linear_ae_mnist_z32", "mse")


def test_the_denoiser_makes_a_third_of_the_plain_autoencoders_error() -> None:
    denoiser = value("denoising_conv_ae_mnist_z32", "denoising_mse")
    assert denoiser <= value("conv_ae_mnist_z32", "denoising_mse") / 3


@pytest.mark.parametrize(
    ("name", "bound"), [("dense_vae_mnist_z20", 97.0), ("conv_vae_mnist_z16", 98.0)]
)
def test_vaes_reach_their_bound_without_collapse(name: str, bound: float) -> None:
    assert -value(name, "elbo") <= bound
    assert value(name, "kl") > 15.0


def test_few_units_of_the_sparse_autoencoder_are_active() -> None:
    assert value("sparse_conv_ae_mnist_z64", "active_code_fraction") <= 0.25


def test_samples_of_better_vaes_are_nearer_to_the_images() -> None:
    """Twenty or sixteen code units against two."""
    frechet = "frechet/lenet_mnist_v1"
    worst = value("dense_vae_mnist_z2", "elbo")
    for name in ("dense_vae_mnist_z20", "conv_vae_mnist_z16"):
        assert value(name, "elbo") > worst
        assert value(name, frechet) > 0.0
        assert value(name, "iwae_nll") < -value(name, "elbo")


def test_codes_of_deep_autoencoders_tell_digits_apart() -> None:
    baselines = manifest.baselines()["mnist/test"]
    probe = "linear_probe/1000"
    pixels = baselines["pixels"][probe].value
    assert value("conv_ae_mnist_z32", probe) > 0.0
    assert pixels > 0.5


# --- Measured again ----------------------------------------------------------------

# A second or two each; what needs fits, samples or many codes is drawn by the week.
# A code path needs one model, and `test_golden` shows that all compute what they did.
QUICK = {"mse", "denoising_mse", "log_likelihood", "active_units"}
QUICK |= {"elbo", "elbo/binarised", "kl", "kl/binarised"}
SAMPLED = tuple(
    name
    for name in PUBLISHED
    if name not in QUICK and not name.startswith(("iwae_nll", "bits_per_dim", "knn"))
)


@pytest.fixture(scope="module")
def found() -> list[Subject]:
    """Models and baselines."""
    return subjects()


def of_name(found: list[Subject], name: str) -> Subject:
    return next(subject for subject in found if subject.name == name)


def measured_again(subject: Subject, metrics: Sequence[str]) -> list[str]:
    """What does not agree with the manifest; skips without the dataset."""
    needs_dataset(subject.dataset)
    return list(compare(subject, measure(subject, metrics, None)))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", some_cases(entries(), at_most=2))
def test_quick_figures_are_measured_again(found, name: str) -> None:
    """On the whole test split, by the protocol that the manifest states."""
    subject = of_name(found, name)
    metrics = sorted(QUICK & set(map(published_name, subject.stated)))
    assert metrics
    assert not measured_again(subject, metrics)


def test_a_sample_of_all_figures_is_measured_again(found) -> None:
    """Others every week; `python -m training.evaluate --all --check` measures all."""
    names = {"training_images", "pca_z32", *some_of(entries(), at_most=4)}
    chosen = [subject for subject in found if subject.name in names]
    drawn = sample_figures(chosen, 4, seed=0, metrics=SAMPLED)
    assert drawn
    for subject, metrics in drawn:
        assert not measured_again(subject, metrics)


def test_a_wrong_figure_is_found(found) -> None:
    subject = of_name(found, "linear_ae_mnist_z32")
    stated = subject.stated["mse"]
    wrong = replace(stated, value=1.01 * stated.value)
    changed = dataclasses.replace(subject, stated={**subject.stated, "mse": wrong})
    (line,) = measured_again(changed, ["mse"])
    assert line.startswith("linear_ae_mnist_z32 mse: measured 0.0152")
