"""Inverse graphics: latents of pose and light that each can be turned by hand."""

from collections.abc import Mapping
from typing import Any, ClassVar

from keras import ops

from aezoo.models._groups import ValuedVAE, alike
from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import names, sizes, weight
from aezoo.networks import Conv
from aezoo.nn.distributions import DiagonalGaussian, uniform
from aezoo.registry import register_family

Tensor = Any


class ClampedGaussian(DiagonalGaussian):
    """A Gaussian posterior, some of whose means were set to those of a group.

    Args:
        z_mean: Mean, `(batch, latent_dim)`.
        z_log_var: Natural log of the variance, same shape.
        deviation: How far the means were from their group's; same shape, zero in units
            that are free.
    """

    def __init__(self, z_mean: Tensor, z_log_var: Tensor, deviation: Tensor) -> None:
        super().__init__(z_mean, z_log_var)
        self.deviation = deviation

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_mean", "z_log_var", "deviation"}`."""
        return {**super().parameters(), "deviation": self.deviation}


@register_family(
    "dc_ign",
    network=Conv(),
    tiny={
        **TINY_CONV,
        "factors": ("pose", "shape"),
        "factor_dims": (1,),
        "factor_values": (4,),
    },
)
class DCIGN(ValuedVAE):
    """Deep convolutional inverse graphics network of Kulkarni et al. (2015).

    "Deep convolutional inverse graphics network" (https://arxiv.org/abs/1503.03167),
    section 3.2: a VAE, each factor of which has units of its own. Among examples that
    differ in one factor alone, all other units are set to their mean over these
    examples before they are decoded, and their gradient is replaced by the difference
    from it; here that is the term `invariance`. Batches for `fit` are `(x, {factor:
    integers})` that hold such examples for every factor; which factor is free is drawn
    for each example, the last one as often as all others together. `x` alone is learnt
    from as by a VAE.

    `training.train` keeps the mean units of each value of a factor, by which `move`
    sets it and `read` reads it.

    Args:
        factors: Names of the factors, in the order of the code; the last one is what
            the others leave, such as the shape.
        factor_dims: Units of each factor but the last, which has the rest.
        factor_values: Values of each factor but the last.
        invariance_weight: Weight of half the squared difference from the mean, itself
            a mean over the batch.
        **kwargs: As in `VAE`.
    """

    factors: tuple[str, ...] = names(("azimuth", "elevation", "light", "shape"))
    factor_dims: tuple[int, ...] = sizes((2, 1, 2), minimum=1)
    factor_values: tuple[int, ...] = sizes((16, 2, 3), minimum=1)
    invariance_weight: float = weight(1.0)
    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset({"invariance"})

    def check_arguments(self) -> None:
        """Refuse factors without units or values."""
        super().check_arguments()
        told = {len(self.factor_dims), len(self.factor_values), len(self.factors) - 1}
        if len(told) > 1:
            raise ValueError(
                "`factor_dims` and `factor_values` must have one number for each of "
                f"`factors` but the last. Received: factors={self.factors}, "
                f"factor_dims={self.factor_dims}, factor_values={self.factor_values}."
            )
        if sum(self.factor_dims) >= self.latent_dim:
            raise ValueError(
                "`factor_dims` must leave units of `latent_dim` for the last factor. "
                f"Received: factor_dims={self.factor_dims}, "
                f"latent_dim={self.latent_dim}."
            )

    @property
    def group_sizes(self) -> Mapping[str, int]:
        """Units of each factor."""
        rest = self.latent_dim - sum(self.factor_dims)
        return dict(zip(self.factors, (*self.factor_dims, rest), strict=True))

    def infer(
        self, inputs: Tensor, training: bool = False, **told: Tensor
    ) -> DiagonalGaussian:
        """The posterior; in training, where it is told, with units that are clamped."""
        posterior = self.infer_alone(inputs, training)
        if not (training and told):
            return posterior
        mean, last = posterior.mean, len(self.factors) - 1
        draws = uniform((ops.shape(mean)[0], 1), self.seed_generator)
        same = {name: alike(labels) for name, labels in told.items()}
        target, clamped = 0.0, 0.0
        for i, name in enumerate(self.factors):
            low, high = (i / (2 * last), (i + 1) / (2 * last)) if i < last else (0.5, 1)
            is_free = ops.logical_and(draws >= low, draws < high)
            units = ops.cast(is_free, "float32") * (1.0 - self.of_group(name))
            members = 1.0
            for other in self.factors:
                members = members if other == name else members * same[other]
            size = ops.sum(members, axis=1, keepdims=True)
            target += units * ops.matmul(members, mean) / size
            clamped += units
        target = ops.stop_gradient(target)
        free = (1.0 - clamped) * mean
        deviation = clamped * mean - target
        return ClampedGaussian(free + target, posterior.log_var, deviation)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {**super().loss_weights, "invariance": self.invariance_weight}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        deviation = outputs.get("deviation", ops.zeros_like(outputs["z_mean"]))
        half = 0.5 * ops.mean(ops.sum(ops.square(deviation), axis=-1))
        return {**terms, "invariance": half * ops.ones_like(terms["kl"])}
