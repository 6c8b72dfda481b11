"""Each common check rejects a model that breaks its promise."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from aezoo.models.ae import AE
from aezoo.models.arguments import number
from aezoo.models.vae import VAE
from aezoo.nn import losses
from aezoo.nn.distributions import DiagonalGaussian
from aezoo.registry import Family, find_family
from tests import checks

DENSE_AE, DENSE_VAE = find_family("dense_ae"), find_family("dense_vae")
TINY = dict(DENSE_AE.tiny)


def family_of(cls) -> Family:
    """The dense family whose objective a broken class takes the place of."""
    base = DENSE_VAE if issubclass(cls, VAE) else DENSE_AE
    return dataclasses.replace(base, objective=cls)


class ForgetsATerm(VAE):
    def compute_losses(self, x, outputs, step=None):
        found = super().compute_losses(x, outputs, step)
        return {**found, "loss": found["reconstruction"]}


class AveragesOverTheBatch(AE):
    def reconstruction_term(self, x, outputs):
        term = super().reconstruction_term(x, outputs)
        return ops.mean(term) * ops.ones_like(term)


class NormalisesOverTheBatch(AE):
    def encode_parameters(self, x, training=False, **given):
        z = super().encode_parameters(x, training, **given)["z"]
        return {"z": z - ops.mean(z, axis=0)}


class ReportsALossThatItDoesNotName(AE):
    @property
    def loss_names(self):
        names = super().loss_names
        return names[:-1] if self.compiled else names


class AveragesBatchesNotExamples(AE):
    def update_metrics(self, batch_losses, weights):  # noqa: ARG002
        means = {name: ops.mean(v)[None] for name, v in batch_losses.items()}
        return super().update_metrics(means, ops.ones((1,)))


class GivesNaN(AE):
    def reconstruction_term(self, x, outputs):
        return super().reconstruction_term(x, outputs) * float("nan")


class ReturnsACodeInHalfPrecision(AE):
    def call(self, inputs, training=False, sample_seed=None, **given):
        outputs = super().call(inputs, training, sample_seed, **given)
        return {**outputs, "z": ops.cast(outputs["z"], "float16")}


class HasAWeightWithoutGradient(AE):
    def build_layers(self):
        super().build_layers()
        self.unused = self.add_weight(shape=(), name="unused")


class StopsTheGradient(AE):
    def decode_parameters(self, z, training=False, **given):
        return super().decode_parameters(ops.stop_gradient(z), training, **given)


class _SampledMode(DiagonalGaussian):
    generator = keras.random.SeedGenerator(0)

    def mode(self):
        return self.sample(self.generator)


class SamplesItsMode(VAE):
    def make_posterior(self, parameters):
        return _SampledMode(parameters["z_mean"], parameters["z_log_var"])


class _LooseKL(DiagonalGaussian):
    def kl(self):
        return losses.gaussian_kl(self.mean, self.log_var) - 1.0


class HasANegativeKL(VAE):
    def make_posterior(self, parameters):
        return _LooseKL(parameters["z_mean"], parameters["z_log_var"])


class _SameDraw(DiagonalGaussian):
    def sample(self, seed=None):  # noqa: ARG002
        return super().sample(0)


class IgnoresTheSeed(VAE):
    def make_posterior(self, parameters):
        return _SameDraw(parameters["z_mean"], parameters["z_log_var"])


class SamplesTheSameImages(VAE):
    def sample(self, n, seed=None, *, noise=False):  # noqa: ARG002
        return super().sample(n, 0, noise=noise)


class ForgetsAnArgument(AE):
    slope = number(0.1)

    @property
    def config(self):
        return {k: v for k, v in super().config.items() if k != "slope"}


class ForgetsAValue(AE):
    @property
    def config(self):
        return {**super().config, "activation": "tanh"}


class LosesWeightsWhenSaved(AE):
    def load_own_variables(self, store):
        pass

    def save_weights(self, path, **kwargs):
        self.decoder.pixels.bias.assign(ops.zeros_like(self.decoder.pixels.bias))
        super().save_weights(path, **kwargs)
        self.decoder.pixels.bias.assign(ops.ones_like(self.decoder.pixels.bias))


@keras.saving.register_keras_serializable("test")
class ForgetsTheOptimiser(AE):
    def compile_from_config(self, config):  # noqa: ARG002
        self.compile("sgd")


class DividesTwice(AE):
    def to_input(self, inputs, training=False):
        x = super().to_input(inputs, training)
        is_uint8 = keras.backend.standardize_dtype(inputs.dtype) == "uint8"
        return x * 255.0 / 256.0 if is_uint8 else x


class LearnsLabels(AE):
    def unpack(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return x, self.modality.to_model(x), ops.ones((ops.shape(x)[0],)), {}

    def _checked_data(self, x, y, weights):
        return x, y, weights


class CitesNothing(AE):
    """An autoencoder."""


class CannotLearnItsCode(AE):
    def decode_parameters(self, z, training=False, **given):
        return super().decode_parameters(0.0 * z, training, **given)


class StaysInFloat32(AE):
    def share_dtype_policy(self):
        pass


class OverflowsInMixedPrecision(AE):
    def reconstruction_term(self, x, outputs):
        term = super().reconstruction_term(x, outputs)
        return term if self.compute_dtype == "float32" else 1e38 * (term + 1e3)


class ReconstructsAtRandom(AE):
    def reconstruct(self, x, batch_size=256):
        images = super().reconstruct(x, batch_size)
        return np.clip(images + np.random.random(images.shape) / 50, 0, 1).astype(  # noqa: NPY002
            images.dtype
        )


class KeepsFloats(AE):
    def reconstruct(self, x, batch_size=256):
        return super().reconstruct(self.modality.unrounded(np.asarray(x)), batch_size)


class LeavesTheRange(AE):
    def _graph_decode(self, z):
        return 1.1 * super()._graph_decode(z)


class MissesTheEnd(AE):
    def interpolate(self, a, b, steps=9, method="spherical"):
        path = super().interpolate(a, b, steps + 1, method)
        return path[..., :-1, :, :, :]


class MovesTwoUnits(AE):
    def traverse(self, x, dim, values=(-3, 3)):
        return super().traverse(np.roll(np.asarray(x), 1, axis=1), dim, values)


BROKEN = [
    (ForgetsATerm, checks.check_loss_is_weighted_sum),
    (ForgetsATerm, checks.check_evaluate_reports_what_fit_reports),
    (AveragesOverTheBatch, checks.check_losses_are_per_example),
    (NormalisesOverTheBatch, checks.check_metrics_ignore_the_batch_split),
    (NormalisesOverTheBatch, checks.check_encode_is_the_mode),
    (ReportsALossThatItDoesNotName, checks.check_evaluate_reports_what_fit_reports),
    (AveragesBatchesNotExamples, checks.check_metrics_ignore_the_batch_split),
    (GivesNaN, checks.check_losses),
    (ReturnsACodeInHalfPrecision, checks.check_call),
    (HasAWeightWithoutGradient, checks.check_every_weight_learns),
    (StopsTheGradient, checks.check_every_weight_learns),
    (SamplesItsMode, checks.check_deterministic_when_not_training),
    (SamplesItsMode, checks.check_posterior),
    (HasANegativeKL, checks.check_posterior),
    (IgnoresTheSeed, checks.check_posterior),
    (SamplesTheSameImages, checks.check_sampling_seeds),
    (ForgetsAnArgument, checks.check_config_round_trip),
    (ForgetsAValue, checks.check_config_round_trip),
    (DividesTwice, checks.check_kinds_of_input),
    (CitesNothing, checks.check_docstring_cites_a_paper),
    (ReconstructsAtRandom, checks.check_deterministic_when_not_training),
    (ReconstructsAtRandom, checks.check_reconstruct),
    (KeepsFloats, checks.check_reconstruct),
    (LeavesTheRange, checks.check_decode_stays_in_range),
    (MissesTheEnd, checks.check_interpolate),
    (MovesTwoUnits, checks.check_traverse),
]


@pytest.mark.parametrize(
    ("cls", "check"),
    BROKEN,
    ids=[f"{cls.__name__}-{check.__name__[6:]}" for cls, check in BROKEN],
)
def test_check_rejects(cls, check) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check(family_of(cls), {**TINY, "activation": "relu"})


@pytest.mark.parametrize("cls", [StaysInFloat32, OverflowsInMixedPrecision])
def test_mixed_precision_check_rejects(cls) -> None:
    with pytest.raises(AssertionError):
        checks.check_mixed_precision(family_of(cls), TINY, "mixed_bfloat16")


def test_weights_round_trip_check_rejects_lost_weights(tmp_path) -> None:
    with pytest.raises(AssertionError):
        checks.check_weights_round_trip(
            family_of(LosesWeightsWhenSaved), TINY, tmp_path
        )


def test_keras_round_trip_check_rejects_a_lost_optimiser(tmp_path) -> None:
    with pytest.raises((AssertionError, ValueError)):
        checks.check_keras_round_trip(family_of(ForgetsTheOptimiser), TINY, tmp_path)


def test_labels_check_rejects_a_model_that_takes_labels() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        checks.check_labels_are_refused(family_of(LearnsLabels), TINY)


def test_training_seed_check_rejects_noise_from_outside() -> None:
    class Unrepeatable(AE):
        def create_layers(self):
            super().create_layers()
            rng = np.random.default_rng()
            self.decoder.pixels.bias_initializer = keras.initializers.Constant(
                rng.random()
            )

    with pytest.raises(AssertionError):
        checks.check_training_repeats_with_its_seed(family_of(Unrepeatable), TINY)


@pytest.mark.slow
def test_overfitting_check_rejects_a_model_that_ignores_its_code() -> None:
    with pytest.raises(AssertionError):
        checks.check_overfits_four_images(family_of(CannotLearnItsCode), TINY)


def test_every_check_has_a_broken_model() -> None:
    rejected = {check for _, check in BROKEN} | {
        checks.check_weights_round_trip,
        checks.check_keras_round_trip,
        checks.check_labels_are_refused,
        checks.check_training_repeats_with_its_seed,
        # its assertions are `pytest.raises` with messages of our own
        checks.check_mismatched_loads,
    }
    assert rejected == {*checks.CHECKS, *checks.FILE_CHECKS}
