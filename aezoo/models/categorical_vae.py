"""Variational autoencoder with categorical codes."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from keras import ops

from aezoo.models.conv_vae import ConvVAE
from aezoo.nn.distributions import Categorical, Posterior
from aezoo.registry import register_family
from aezoo.utils.validation import check_number, check_positive_int

Tensor = Any


@register_family("categorical_vae")
class CategoricalVAE(ConvVAE):
    """Variational autoencoder with categorical codes, by Gumbel-softmax.

    "Categorical reparameterization with Gumbel-softmax" of Jang et al. (2017),
    https://arxiv.org/abs/1611.01144, and "The concrete distribution" of Maddison et
    al. (2017), https://arxiv.org/abs/1611.00712: `num_variables` variables of
    `num_classes` equally probable classes, as one-hot rows. Training decodes the
    relaxed draws of equation 2, at a temperature that falls exponentially; the KL
    term is that of the discrete variables, in closed form. Everything but training
    (`evaluate`, `encode`, metrics, samples) uses one-hot codes.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        num_variables: Categorical variables of a code.
        num_classes: Classes of each; at least 2.
        temperature: Of the relaxed draws, at the first step.
        final_temperature: In the end.
        anneal_steps: Optimiser steps until then; 0 starts at `final_temperature`.
        hard: Training decodes one-hot draws with the gradient of the relaxed ones
            (straight-through Gumbel-softmax, section 2.2).
        **kwargs: As in `ConvVAE`, without `latent_dim`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        **{k: v for k, v in ConvVAE.TINY_CONFIG.items() if k != "latent_dim"},
        "num_variables": 3,
        "num_classes": 4,
    }
    HEADS: ClassVar[tuple[str, ...]] = ("z_logits",)
    CODES: ClassVar[str] = "discrete"
    DERIVED_ARGUMENTS: ClassVar[frozenset[str]] = frozenset({"latent_dim"})

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        *,
        num_variables: int = 20,
        num_classes: int = 10,
        temperature: float = 1.0,
        final_temperature: float = 0.5,
        anneal_steps: int = 10_000,
        hard: bool = False,
        **kwargs: Any,
    ) -> None:
        self.num_variables = check_positive_int("num_variables", num_variables)
        self.num_classes = check_positive_int("num_classes", num_classes)
        if num_classes < 2:
            raise ValueError(
                "`num_classes` must be at least 2. "
                f"Received: num_classes={num_classes}."
            )
        super().__init__(input_shape, num_variables * num_classes, **kwargs)
        self.temperature = check_number("temperature", temperature, above=0.0)
        self.final_temperature = check_number(
            "final_temperature", final_temperature, above=0.0
        )
        self.anneal_steps = int(check_number("anneal_steps", anneal_steps, low=0))
        self.hard = bool(hard)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one code, `(num_variables, num_classes)`."""
        return (self.num_variables, self.num_classes)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Create all weights; the decoder sees codes as flat vectors."""
        if not self.decoder.built:
            self.share_dtype_policy()
            self.decoder.build((None, self.latent_dim))
        super().build(input_shape)

    def to_parameters(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """`z_logits`, `(batch, *latent_shape)`; float32."""
        flat = super().to_parameters(outputs)["z_logits"]
        return {"z_logits": ops.reshape(flat, (-1, *self.latent_shape))}

    def decode_parameters(self, z: Tensor, training: bool = False) -> Tensor:
        """Decoder output for codes, before the output activation; float32."""
        return super().decode_parameters(
            ops.reshape(z, (-1, self.latent_dim)), training
        )

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

    def sample_prior(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """One-hot codes with equally probable classes, `(n, *latent_shape)`."""
        classes = generator.integers(self.num_classes, size=(n, self.num_variables))
        return np.eye(self.num_classes, dtype="float32")[classes]

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "num_variables": self.num_variables,
            "num_classes": self.num_classes,
            "temperature": self.temperature,
            "final_temperature": self.final_temperature,
            "anneal_steps": self.anneal_steps,
            "hard": self.hard,
        }
