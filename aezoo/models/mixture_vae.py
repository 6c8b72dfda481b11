"""Variational autoencoder with a learned mixture of Gaussians as its prior."""

from typing import Any

import keras
from keras import ops

from aezoo.models._priors import MixturePrior
from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import units
from aezoo.networks import Conv
from aezoo.registry import register_family

Tensor = Any


@register_family("mixture_vae", network=Conv(), tiny={**TINY_CONV, "num_components": 4})
class MixtureVAE(MixturePrior):
    """VAE whose prior is a mixture of Gaussians, learned with the rest.

    The "MoG" prior of Tomczak & Welling (2018), "VAE with a VampPrior"
    (https://arxiv.org/abs/1705.07120), section 2:
    `p(z) = sum_c weight_c N(z; mean_c, diag(var_c))`, with means, variances and
    weights as parameters of the model, trained on the ELBO like all others.

    Args:
        num_components: Gaussians in the mixture.
        **kwargs: As in `VAE`.
    """

    num_components: int = units(100)

    def build_layers(self) -> None:
        """Create all weights, those of the prior among them."""
        super().build_layers()
        shape = (self.num_components, self.latent_dim)
        self.prior_logits = self.add_weight(
            shape=shape[:1], initializer="zeros", dtype="float32", name="prior_logits"
        )
        self.prior_means = self.add_weight(
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            dtype="float32",
            name="prior_means",
        )
        self.prior_log_vars = self.add_weight(
            shape=shape, initializer="zeros", dtype="float32", name="prior_log_vars"
        )

    def prior_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, means and log variances of the mixture's Gaussians."""
        logits, means, log_vars = (
            ops.convert_to_tensor(v)
            for v in (self.prior_logits, self.prior_means, self.prior_log_vars)
        )
        return ops.log_softmax(logits), means, log_vars
