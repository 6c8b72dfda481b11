"""Variational autoencoder whose posterior is a normalising flow."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from aezoo.models._flows import (
    FlowEncoder,
    InverseAutoregressiveStep,
    NormalizingFlow,
    PlanarStep,
)
from aezoo.models._priors import SampledKL
from aezoo.models.conv_vae import ConvVAE
from aezoo.nn.distributions import FlowPosterior, Posterior
from aezoo.registry import register_family
from aezoo.utils.validation import check_choice, check_positive_int, check_positive_ints

Tensor = Any
FLOWS = ("iaf", "planar")


@register_family("flow_vae")
class FlowVAE(SampledKL, ConvVAE):
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
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        flow: `"iaf"` or `"planar"`.
        num_flows: Steps of the flow.
        context_dim: Units of the context.
        flow_units: Width of each hidden layer of a step's network in `"iaf"`; unused
            for `"planar"`.
        **kwargs: As in `ConvVAE`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        **ConvVAE.TINY_CONFIG,
        "num_flows": 2,
        "context_dim": 4,
        "flow_units": (6,),
    }
    HEADS: ClassVar[tuple[str, ...]] = ("base_mean", "base_log_var")

    def __init__(
        self,
        *args: Any,
        flow: str = "iaf",
        num_flows: int = 4,
        context_dim: int = 64,
        flow_units: Sequence[int] = (128,),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.flow = check_choice("flow", flow, FLOWS)
        self.num_flows = check_positive_int("num_flows", num_flows)
        self.context_dim = check_positive_int("context_dim", context_dim)
        self.flow_units = check_positive_ints("flow_units", flow_units)
        network = self.encoder
        network.heads["context"] = keras.layers.Dense(self.context_dim, name="context")
        steps = [self._step(f"step_{i}") for i in range(1, self.num_flows + 1)]
        del self.encoder
        widths = (self.latent_dim, self.context_dim)
        self.encoder = FlowEncoder(network, NormalizingFlow(steps), widths)

    def _step(self, name: str) -> keras.layers.Layer:
        if self.flow == "planar":
            return PlanarStep(name=name)
        return InverseAutoregressiveStep(self.flow_units, self.activation, name=name)

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

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "flow": self.flow,
            "num_flows": self.num_flows,
            "context_dim": self.context_dim,
            "flow_units": list(self.flow_units),
        }
