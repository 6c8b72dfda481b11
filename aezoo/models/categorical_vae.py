"""Variational autoencoder with categorical codes."""

import math
from typing import Any, ClassVar

from keras import ops

from aezoo.inference.priors import Prior, UniformClasses
from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import count, flag, number, units
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.nn.distributions import Categorical, Posterior
from aezoo.registry import register_family

Tensor = Any
TINY = {
    **{name: v for name, v in TINY_CONV.items() if name != "latent_dim"},
    "num_variables": 3,
    "num_classes": 4,
}


@register_family("categorical_vae", network=Conv(), tiny=TINY)
class CategoricalVAE(VAE):
    """Variational autoencoder with categorical codes, by Gumbel-softmax.

    "Categorical reparameterization with Gumbel-softmax" of Jang et al. (2017),
    https://arxiv.org/abs/1611.01144, and "The concrete distribution" of Maddison et
    al. (2017), https://arxiv.org/abs/1611.00712: `num_variables` variables of
    `num_classes` equally probable classes, as one-hot rows. Training decodes the
    relaxed draws of equation 2, at a temperature that falls exponentially; the KL
    term is that of the discrete variables, in closed form. Everything but training
    (`evaluate`, `encode`, metrics, samples) uses one-hot codes.

    Args:
        num_variables: Categorical variables of a code.
        num_classes: Classes of each; at least 2.
        temperature: Of the relaxed draws, at the first step.
        final_temperature: In the end.
        anneal_steps: Optimiser steps until then; 0 starts at `final_temperature`.
        hard: Training decodes one-hot draws with the gradient of the relaxed ones
            (straight-through Gumbel-softmax, section 2.2).
        **kwargs: As in `VAE`, without `latent_dim`.
    """

    num_variables: int = units(20)
    num_classes: int = count(10, low=2, is_fixed=True)
    temperature: float = number(1.0, above=0.0)
    final_temperature: float = number(0.5, above=0.0)
    anneal_steps: int = count(10_000)
    hard: bool = flag(False)

    CODES: ClassVar[str] = "discrete"
    has_diagonal_posterior: ClassVar[bool] = False
    has_standard_prior: ClassVar[bool] = False

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        """Number of units, all classes of all variables."""
        return self.num_variables * self.num_classes

    @property
    def heads(self) -> dict[str, int]:
        """`z_logits`, the log-odds of all classes."""
        return {"z_logits": self.latent_dim}

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one code, `(num_variables, num_classes)`."""
        return (self.num_variables, self.num_classes)

    @property
    def decoder_input_shape(self) -> tuple[int, ...]:
        """Codes as flat vectors, `(num_variables * num_classes,)`."""
        return (self.latent_dim,)

    def to_parameters(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """`z_logits`, `(batch, *latent_shape)`; float32."""
        flat = super().to_parameters(outputs)["z_logits"]
        return {"z_logits": ops.reshape(flat, (-1, *self.latent_shape))}

    def decode_parameters(
        self, z: Tensor, training: bool = False, **given: Tensor
    ) -> Tensor:
        """Parameters of the likelihood for codes; float32."""
        flat = ops.reshape(z, (-1, self.latent_dim))
        return super().decode_parameters(flat, training, **given)

    def make_posterior(self, parameters: dict[str, Tensor]) -> Categorical:
        """Independent categorical variables."""
        return Categorical(parameters["z_logits"])

    def draw_code(self, posterior: Posterior, sample_seed: Any) -> dict[str, Tensor]:
        """The code that `call` decodes: relaxed in training, else one-hot."""
        if sample_seed is not self.seed_generator:
            return super().draw_code(posterior, sample_seed)
        temperature = self.temperature_at(self.current_step)
        z = posterior.sample_relaxed(sample_seed, temperature, self.hard)  # type: ignore[attr-defined]
        return {"z": z}

    @property
    def current_step(self) -> Tensor | None:
        """Steps taken by the optimiser; None where there is none."""
        optimizer = getattr(self, "optimizer", None)
        return None if optimizer is None else optimizer.iterations

    def temperature_at(self, step: Tensor | None) -> Tensor | float:
        """Temperature of training at an optimiser step; None is the end."""
        if step is None or not self.anneal_steps:
            return self.final_temperature
        progress = ops.minimum(ops.cast(step, "float32") / self.anneal_steps, 1.0)
        factor = math.log(self.final_temperature / self.temperature)
        return self.temperature * ops.exp(factor * progress)

    def log_prior(self, z: Tensor) -> Tensor:
        """Log of the mass of one-hot codes: all are equally probable. `(batch,)`."""
        constant = -self.num_variables * math.log(self.num_classes)
        return ops.full((ops.shape(z)[0],), constant, "float32")

    def make_prior(self) -> Prior:
        """Equally probable classes."""
        return UniformClasses(self.num_variables, self.num_classes)
