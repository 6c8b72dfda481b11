"""Variational autoencoder with a learned mixture of Gaussians as its prior."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.models._priors import MixturePrior
from aezoo.models.conv_vae import ConvVAE
from aezoo.registry import register_family
from aezoo.utils.validation import check_positive_int

Tensor = Any


@register_family("mixture_vae")
class MixtureVAE(MixturePrior, ConvVAE):
    """VAE whose prior is a mixture of Gaussians, learned with the rest.

    The "MoG" prior of Tomczak & Welling (2018), "VAE with a VampPrior"
    (https://arxiv.org/abs/1705.07120), section 2:
    `p(z) = sum_c weight_c N(z; mean_c, diag(var_c))`, with means, variances and
    weights as parameters of the model, trained on the ELBO like all others.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        num_components: Gaussians in the mixture.
        **kwargs: As in `ConvVAE`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {**ConvVAE.TINY_CONFIG, "num_components": 4}

    def __init__(self, *args: Any, num_components: int = 100, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.num_components = check_positive_int("num_components", num_components)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Create all weights, those of the prior among them."""
        is_rebuilt = self.built
        super().build(input_shape)
        if is_rebuilt:
            return
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

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {**super().config, "num_components": self.num_components}
