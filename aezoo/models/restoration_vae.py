"""Restoration of what is ambiguous: a latent says what the degraded example cannot."""

from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.modalities import Image
from aezoo.models.arguments import number, units, weight
from aezoo.models.restoration import Restoration
from aezoo.networks import UNet
from aezoo.nn.distributions import (
    DiagonalGaussian,
    PointMass,
    Posterior,
    standard_normal,
)
from aezoo.registry import register_family
from aezoo.utils.validation import check_count, check_seed

Tensor = Any


class AmbiguousCode(PointMass):
    """All probability on the degraded example, with a latent of what it does not say.

    Args:
        z: Degraded examples, `(batch, *latent_shape)`.
        latent: Of them.
    """

    def __init__(self, z: Tensor, latent: DiagonalGaussian) -> None:
        super().__init__(z)
        self.latent = latent

    def parameters(self) -> dict[str, Tensor]:
        """`{"z", "u_mean", "u_log_var"}`."""
        return {
            **super().parameters(),
            "u_mean": self.latent.mean,
            "u_log_var": self.latent.log_var,
        }


@register_family(
    "restoration_vae",
    network=UNet(),
    modality=Image(32, 32, 3),
    tiny={
        "input_shape": (8, 8, 3),
        "filters": (4, 6),
        "blocks": 1,
        "latent_units": 2,
    },
)
class RestorationVAE(Restoration):
    """Conditional variational autoencoder of examples given how they are degraded.

    Sohn et al. (2015, https://papers.nips.cc/paper/5775), equation 4, with the
    degraded example d as the condition: the negative ELBO of `log p(x|d)`, with
    `q(u|x)`, `p(x|d, u)` and a standard normal prior of u. The network restores d, and
    u is added to its maps at each size (the probabilistic U-Net of Kohl et al., 2018,
    https://arxiv.org/abs/1806.05034, adds it to the last ones). Where many examples
    look alike once they are degraded, as colours do in grey, the single best answer is
    their mean; samples of u are answers that differ.

    `encode` gives d, `decode` and `reconstruct` restore with u = 0, the most probable
    one; `restore(x, n=5, seed=0)` draws. The Gaussian likelihood has one scale for all
    elements.

    Args:
        latent_units: Units of u.
        likelihood_scale: Standard deviation of an element, of values in [0, 1].
        beta: Weight of the KL term, in nats.
        **kwargs: As in `Restoration`, without `reconstruction_loss` and
            `smooth_l1_beta`.
    """

    latent_units: int = units(32)
    likelihood_scale: float = number(0.1, above=0.0)
    beta: float = weight(1.0)
    reconstruction_loss = "mse"
    smooth_l1_beta = 1.0

    # --- Codes ----------------------------------------------------------------------

    def create_layers(self) -> None:
        """Create the network, what tells u of an example, and what u adds to maps."""
        super().create_layers()
        self.recognition = self.unet.recognition(2 * self.latent_units)
        self.guides = [
            keras.layers.Dense(channels, name=f"guide_{i}")
            for i, channels in enumerate(self.unet.filters)
        ]

    def build_layers(self) -> None:
        """Create all weights."""
        super().build_layers()
        if not self.recognition.built:
            self.recognition.build((None, *self.modality.tensor_shape))
        for guide in self.guides:
            guide.build((None, self.latent_units))

    def encode_parameters(
        self, x: Tensor, training: bool = False, **given: Tensor
    ) -> dict[str, Tensor]:
        """`z`, degraded examples, and mean and log variance of q(u|x); float32."""
        found = ops.cast(self.recognition(x), "float32")
        u_mean, u_log_var = ops.split(found, 2, axis=-1)
        degraded = super().encode_parameters(x, training, **given)
        return {**degraded, "u_mean": u_mean, "u_log_var": u_log_var}

    def latent_of(self, parameters: dict[str, Tensor]) -> DiagonalGaussian:
        """q(u|x), for encoder outputs or `call` outputs."""
        return DiagonalGaussian(parameters["u_mean"], parameters["u_log_var"])

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """An `AmbiguousCode`."""
        return AmbiguousCode(parameters["z"], self.latent_of(parameters))

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; without a seed, and not in training, u is 0."""
        self.check_conditions(given)
        posterior: Any = self.infer(inputs, training, **given)
        if training and sample_seed is None:
            sample_seed = self.seed_generator
        u = None if sample_seed is None else posterior.latent.sample(sample_seed)
        decoder_output = self.decode_parameters(posterior.mode(), training, u=u)
        return {
            "x_hat": self.point(decoder_output),
            "decoder_output": decoder_output,
            **posterior.parameters(),
        }

    def decode_parameters(
        self,
        z: Tensor,
        training: bool = False,  # noqa: ARG002
        u: Tensor | None = None,
        **given: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """Restored examples of degraded ones, given u `(batch, latent_units)`, or 0."""
        z = ops.cast(z, self.compute_dtype)
        if u is None:
            u = ops.zeros((ops.shape(z)[0], self.latent_units))
        u = ops.cast(u, self.compute_dtype)
        guide = [dense(u) for dense in self.guides]
        return ops.cast(self.decoder(z, guide=guide), "float32")

    # --- Objective --------------------------------------------------------------------

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term, so that the loss is the negative ELBO but a constant."""
        return {"reconstruction": 0.5 / self.likelihood_scale**2, "kl": self.beta}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The squared error, and the KL term in nats."""
        terms = super().compute_terms(x, outputs, step)
        return {**terms, "kl": self.latent_of(outputs).kl()}

    # --- What it is for ---------------------------------------------------------------

    def restore(
        self,
        x: Any,
        tile: int = 256,
        batch_size: int = 1,
        ensemble: bool = False,
        n: int | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        """As in `Restoration`: the most probable answer, or `n` that differ.

        Args:
            x: As in `Restoration`.
            tile: As in `Restoration`; all tiles of an image have the same u.
            batch_size: As in `Restoration`.
            ensemble: As in `Restoration`.
            n: Answers for each image; None for one, with u = 0.
            seed: Same seed, same answers; None draws afresh.

        Returns:
            As in `Restoration`; with `n`, `(images, n, height, width, channels)`, or
            `(n, height, width, channels)` of a single image.

        Raises:
            ValueError: If an argument is invalid.
        """
        if n is None:
            return super().restore(x, tile, batch_size, ensemble)
        check_count("n", n, minimum=1)
        images, is_single = self.check_degraded(x)
        drawn = standard_normal((len(images) * n, self.latent_units), check_seed(seed))
        u = ops.convert_to_numpy(drawn)
        found = self.restored(images.repeat(n, axis=0), tile, batch_size, ensemble, u=u)
        found = found.reshape(len(images), n, *found.shape[1:])
        return found[0] if is_single else found
