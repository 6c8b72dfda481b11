"""Variational autoencoder whose posterior is a normalising flow."""

from typing import Any, ClassVar

import keras

from aezoo.models._flows import (
    FlowEncoder,
    InverseAutoregressiveStep,
    NormalizingFlow,
    PlanarStep,
)
from aezoo.models._priors import SampledKL
from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import choice, sizes, units
from aezoo.networks import Conv
from aezoo.nn.distributions import FlowPosterior, Posterior
from aezoo.registry import register_family

Tensor = Any
TINY = {**TINY_CONV, "num_flows": 2, "context_dim": 4, "flow_units": (6,)}
FLOWS = ("iaf", "planar")


@register_family("flow_vae", network=Conv(), tiny=TINY)
class FlowVAE(SampledKL):
    """VAE whose codes are Gaussian before they go through a normalising flow.

    `"iaf"` is the inverse autoregressive flow of Kingma et al. (2016), "Improved
    variational inference with inverse autoregressive flow"
    (https://arxiv.org/abs/1606.04934), algorithm 1; `"planar"` the planar flow of
    Rezende & Mohamed (2015), "Variational inference with normalizing flows"
    (https://arxiv.org/abs/1505.05770), equation 10. Both see a context that the
    encoder makes beside the mean and log variance of the Gaussian. The density of a
    sample is known with it; that of a given code takes the inverse of the flow.

    The codes of `encode` are the flow of the Gaussian's mean: the posterior's mode has
    no closed form.

    Args:
        flow: `"iaf"` or `"planar"`.
        num_flows: Steps of the flow.
        context_dim: Units of the context.
        flow_units: Width of each hidden layer of a step's network in `"iaf"`; unused
            for `"planar"`.
        **kwargs: As in `VAE`.
    """

    flow: str = choice("iaf", FLOWS, is_fixed=True)
    num_flows: int = units(4)
    context_dim: int = units(64)
    flow_units: tuple[int, ...] = sizes((128,))

    has_diagonal_posterior: ClassVar[bool] = False

    @property
    def heads(self) -> dict[str, int]:
        """Mean and log variance of the Gaussian, and the context of the flow."""
        return {
            "base_mean": self.latent_dim,
            "base_log_var": self.latent_dim,
            "context": self.context_dim,
        }

    def create_layers(self) -> None:
        """Create encoder, with the flow behind it, and decoder."""
        latent = self.latent
        steps = [self._step(f"step_{i}") for i in range(1, self.num_flows + 1)]
        self.encoder = FlowEncoder(
            self.network.encoder(self.modality, self.heads, latent),
            NormalizingFlow(steps),
            (self.latent_dim, self.context_dim),
        )
        self.decoder = self.network.decoder(self.modality, self.output_width, latent)

    def _step(self, name: str) -> keras.layers.Layer:
        if self.flow == "planar":
            return PlanarStep(name=name)
        return InverseAutoregressiveStep(
            self.flow_units, self.flow_activation, name=name
        )

    @property
    def flow_activation(self) -> str:
        """Activation in the networks of a flow: that of the model's network."""
        return getattr(self.network, "activation", "relu")

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """The flow of a diagonal Gaussian."""
        return FlowPosterior(
            parameters["base_mean"],
            parameters["base_log_var"],
            parameters["context"],
            self.encoder.flow,
            self.prior_density,
            self.KL_DRAWS,
        )

    def draw_code(self, posterior: Any, sample_seed: Any) -> dict[str, Tensor]:
        """The code `z` that `call` decodes, and its `log_q`, without an inverse."""
        if sample_seed is not None:
            return super().draw_code(posterior, sample_seed)
        z, log_q = posterior.push(posterior.base.mean)
        return {"z": z, "log_q": log_q}
