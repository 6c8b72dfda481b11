"""Variational autoencoder: a posterior, a likelihood, and the bound they give."""

import math
from typing import Any, ClassVar

from keras import ops

from aezoo.errors import UnsupportedOperationError
from aezoo.modalities import Image, Voxels
from aezoo.models.ae import TINY_CONV, TINY_DENSE, TINY_RESNET
from aezoo.models.arguments import Argument, count, flag, keep, weight
from aezoo.models.autoencoder import Autoencoder, check_for_modality
from aezoo.networks import Conv, Dense, Grid3D, ResNet
from aezoo.nn import losses
from aezoo.nn.distributions import (
    Bernoulli,
    DiagonalGaussian,
    DiscretizedLogisticMixture,
    Gaussian,
    Laplace,
    Posterior,
    uniform,
)
from aezoo.registry import register_family
from aezoo.utils.validation import check_number

Tensor = Any
TINY_VOXELS: dict[str, Any] = {
    "modality": {"kind": "voxels", "depth": 6, "height": 6, "width": 6},
    "latent_dim": 3,
    "filters": (2, 4),
    "strides": (2, 2),
    "hidden_units": (8,),
}
# In place of a number for `likelihood_scale`.
FITTED_SCALES = ("learned", "optimal")
# Of the running mean of the optimal scale, after as many steps as make it so.
SCALE_MOMENTUM = 0.99
# Likelihoods of one scale for all elements, and the log scale that fits a batch best.
SCALED: dict[str, tuple[Any, Any]] = {
    "gaussian": (Gaussian, losses.gaussian_log_scale),
    "laplace": (Laplace, losses.laplace_log_scale),
}


def check_scale(name: str, value: Any) -> Any:
    """Return `value` if it is a number above 0, or says how to fit one."""
    if isinstance(value, str) and value in FITTED_SCALES:
        return value
    return check_number(name, value, above=0.0)


@register_family(
    "resnet_vae",
    network=ResNet(),
    modality=Image(32, 32, 3),
    tiny=TINY_RESNET,
    latent_dim=128,
)
@register_family(
    "voxel_vae",
    network=Grid3D(),
    modality=Voxels(),
    tiny=TINY_VOXELS,
    latent_dim=64,
)
@register_family("dense_vae", network=Dense(), tiny=TINY_DENSE)
@register_family("conv_vae", network=Conv(), tiny=TINY_CONV)
@register_family("vae", network=Conv(), tiny=TINY_CONV)
class VAE(Autoencoder):
    """Variational autoencoder of Kingma & Welling (2014).

    "Auto-encoding variational Bayes" (https://arxiv.org/abs/1312.6114), equation 10:
    a diagonal-Gaussian posterior, a standard-normal prior, and the negative evidence
    lower bound `reconstruction + beta * kl`, by the reparameterisation trick; `beta`
    other than 1 is the beta-VAE of Higgins et al. (2017). `fit` and `evaluate`
    estimate it with one sampled code per example, in nats per example. The encoder
    has the heads `z_mean` and `z_log_var`.

    Args:
        likelihood: For images `"bernoulli"` (grey values as probabilities),
            `"gaussian"` or `"laplace"`; `"discretized_logistic"`, a mixture of
            discretised logistics for images of 256 levels (Salimans et al., 2017), for
            which `output_activation` is not used; or `"ms_ssim"`, in their place one
            minus the multi-scale structural similarity, times the number of elements
            (Snell et al., 2017, https://arxiv.org/abs/1511.06409): no distribution, so
            without a bound on the likelihood. `"bernoulli"` needs
            `output_activation="sigmoid"`. For sentences `"autoregressive"`, each word
            given those before it.
        likelihood_scale: Standard deviation (`"gaussian"`) or scale b (`"laplace"`)
            of an element; `"learned"` for one trained scalar; or `"optimal"`, the
            sigma-VAE of Rybkin et al. (2021, https://arxiv.org/abs/2006.13202):
            training takes the most probable scale of each batch (equation 5), and
            keeps a running mean of its log for everything else. Divides the
            `"ms_ssim"` term; unused for the others.
        beta: Weight of the KL term.
        kl_warmup_steps: Optimiser steps over which the weight of the KL term grows
            linearly from 0 to `beta`; 0 starts at `beta`.
        binarize: `fit` and `evaluate` see each element as 0 or 1, drawn anew each time
            with its value as probability (dynamic binarisation; Salakhutdinov &
            Murray, 2008, https://doi.org/10.1145/1390156.1390266). Needs
            `"bernoulli"`. All other methods take values as they are.
        **kwargs: As in `Autoencoder`.
    """

    likelihood: str = Argument("bernoulli", keep, is_fixed=True)  # type: ignore[assignment]
    likelihood_scale: float | str = Argument(1.0, check_scale, is_fixed=True)  # type: ignore[assignment]
    beta: float = weight(1.0)
    kl_warmup_steps: int = count(0)
    binarize: bool = flag(False)

    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features", "sampling")
    has_diagonal_posterior: ClassVar[bool] = True
    LEARNS_FROM_HOLES: ClassVar[bool] = True

    def check_arguments(self) -> None:
        """Refuse likelihoods that do not go with the modality or the activation."""
        super().check_arguments()
        check_for_modality(
            "likelihood", self.likelihood, self.modality.likelihoods, self.modality
        )
        if self.likelihood == "ms_ssim":
            check_number("likelihood_scale", self.likelihood_scale, above=0.0)
            losses.check_ssim_size(*self.modality.positions)
        if self.likelihood == "bernoulli" and self.output_activation != "sigmoid":
            raise ValueError(
                "`likelihood='bernoulli'` needs `output_activation='sigmoid'`. "
                f"Received: output_activation={self.output_activation!r}."
            )
        if self.binarize and self.likelihood != "bernoulli":
            raise ValueError(
                "`binarize=True` needs `likelihood='bernoulli'`. "
                f"Received: likelihood={self.likelihood!r}."
            )

    @property
    def heads(self) -> dict[str, int]:
        """`z_mean` and `z_log_var`."""
        return {"z_mean": self.latent.units, "z_log_var": self.latent.units}

    # --- Likelihood -------------------------------------------------------------------

    @property
    def has_likelihood(self) -> bool:  # type: ignore[override]
        """Whether p(x|z) is a distribution, rather than an error in its place."""
        return self.likelihood != "ms_ssim"

    @property
    def likelihood_name(self) -> str | None:  # type: ignore[override]
        """Name of the likelihood; None without one."""
        return self.likelihood if self.has_likelihood else None

    @property
    def learns_binarised(self) -> bool:  # type: ignore[override]
        """Whether `fit` and `evaluate` see each element as a fresh draw of 0 or 1."""
        return self.binarize

    @property
    def output_width(self) -> int:
        """Parameters of the likelihood per position."""
        channels = self.modality.channels
        if self.likelihood == "discretized_logistic":
            return DiscretizedLogisticMixture.width(channels)
        return channels

    def build_layers(self) -> None:
        """Create all weights, among them the learned scale where there is one."""
        super().build_layers()
        if self.likelihood not in SCALED:
            return
        if self.likelihood_scale in FITTED_SCALES:
            is_learned = self.likelihood_scale == "learned"
            self.log_scale = self.add_weight(
                shape=(),
                initializer="zeros",
                dtype="float32",
                trainable=is_learned,
                aggregation="none" if is_learned else "mean",  # of replicas
                name="log_scale",
            )
        else:
            self.log_scale = math.log(float(self.likelihood_scale))

    def make_likelihood(self, parameters: Tensor) -> Any:
        """The distribution p(x|z) over elements for decoder outputs.

        Raises:
            UnsupportedOperationError: If an error stands in its place.
        """
        if self.network.is_autoregressive:
            return super().make_likelihood(parameters)
        if self.likelihood == "bernoulli":
            return Bernoulli(parameters)
        if self.likelihood == "discretized_logistic":
            return DiscretizedLogisticMixture(parameters, self.modality.channels)
        if self.likelihood in SCALED:
            cls, _ = SCALED[self.likelihood]
            return cls(self.activated(parameters), self.log_scale)
        raise UnsupportedOperationError(
            f"`likelihood={self.likelihood!r}` compares {self.modality.nouns} without "
            f"a distribution over {self.modality.element}s. Train with 'bernoulli', "
            "'gaussian' or 'laplace' for one."
        )

    def reconstruction_term(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """-log p(x|z), or the dissimilarity in its place, `(batch,)`."""
        if self.has_likelihood:
            return super().reconstruction_term(x, outputs)
        error = losses.ms_ssim_error(x, self.point(outputs["decoder_output"]))
        return error / self.likelihood_scale

    def observed(self, x: Tensor, target: Tensor, seed: Any) -> tuple[Tensor, Tensor]:
        """Examples, or with `binarize` one draw of zeros and ones for both."""
        if not self.binarize:
            return x, target
        x = self.to_tensors(x)
        draws = uniform(ops.shape(x), seed)
        return tuple(ops.cast(draws < v, "float32") for v in (x, target))

    # --- Objective --------------------------------------------------------------------

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """A diagonal Gaussian."""
        return DiagonalGaussian(parameters["z_mean"], parameters["z_log_var"])

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`; that of `kl` is `beta`."""
        return {**super().loss_weights, "kl": self.beta}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`.

        At an optimiser step, an optimal scale is first fitted to the batch.
        """
        terms = super().compute_terms(x, outputs, step)
        if step is not None and self.has_optimal_scale:
            mean = self.activated(outputs["decoder_output"])
            cls, fit = SCALED[self.likelihood]
            # At its optimum the scale has no gradient.
            log_scale = ops.stop_gradient(fit(x, mean))
            terms["reconstruction"] = -cls(mean, log_scale).log_prob(x)
            seen = ops.cast(step, "float32")
            momentum = ops.minimum(seen / (seen + 1.0), SCALE_MOMENTUM)
            running = momentum * self.log_scale + (1.0 - momentum) * log_scale
            self.log_scale.assign(running)
        return {**terms, "kl": self.kl_term(outputs)}

    @property
    def has_optimal_scale(self) -> bool:
        """Whether training fits the scale of the likelihood to each batch."""
        return self.likelihood in SCALED and self.likelihood_scale == "optimal"

    def kl_term(self, outputs: dict[str, Tensor]) -> Tensor:
        """KL(q(z|x) || p(z)) of what `call` returned, `(batch,)`: in closed form."""
        return self.make_posterior(outputs).kl()

    def loss_schedule(self, step: Tensor) -> dict[str, Tensor]:
        """The KL term's warm-up: a factor that grows from 0 to 1."""
        if not self.kl_warmup_steps:
            return {}
        progress = ops.cast(step, "float32") / self.kl_warmup_steps
        return {"kl": ops.minimum(progress, 1.0)}
