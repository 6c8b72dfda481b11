"""The bundled weights are as good as the project says, on the test split."""

import numpy as np
import pytest

import aezoo
from aezoo.evaluation import evaluate
from aezoo.manifest import entries


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
    assert value(name, "negative_elbo") <= bound
    assert value(name, "kl") > 15.0


def test_few_units_of_the_sparse_autoencoder_are_active() -> None:
    assert value("sparse_conv_ae_mnist_z64", "active_code_fraction") <= 0.25


@pytest.mark.parametrize("name", sorted(entries()))
def test_the_manifests_metrics_are_measured_again(
    name: str, mnist: tuple[np.ndarray, np.ndarray]
) -> None:
    """All metrics of all models on the whole test split, in seconds each."""
    stated = aezoo.describe(name).metrics["mnist/test"]
    report = evaluate(aezoo.load(name), mnist[1], list(stated), dataset="mnist/test")
    for metric, record in stated.items():
        assert report[metric].value == pytest.approx(record.value, rel=1e-4), metric
        assert report[metric].protocol == record.protocol
