"""Posteriors by normalising flows."""

from collections.abc import Callable
from typing import Any

from keras import ops

from aezoo.nn.distributions.gaussian import DiagonalGaussian
from aezoo.nn.distributions.noise import IndexedNoise
from aezoo.nn.distributions.posterior import EstimatedKL

Tensor = Any


class FlowPosterior(EstimatedKL):
    """A diagonal Gaussian after a normalising flow.

    Rezende & Mohamed (2015), https://arxiv.org/abs/1505.05770, equation 5: the
    density of a code is that of its origin over the flow's change of volume. A sample
    has it at once; a given code is traced back first.

    Args:
        base_mean: Mean of the Gaussian, float, shape `(batch, latent_dim)`.
        base_log_var: Natural log of its variance, same shape.
        context: What the flow depends on, `(batch, context_dim)`.
        flow: Has `forward(z, context)` and `inverse(z, context)`, each with the log
            determinant of `forward` as the second result.
        prior: Called without arguments, gives log p(z) as a function of codes.
        draws: Codes from which `mean` and `kl` are estimated.
    """

    def __init__(
        self,
        base_mean: Tensor,
        base_log_var: Tensor,
        context: Tensor,
        flow: Any,
        prior: Callable[[], Callable[[Tensor], Tensor]],
        draws: int,
    ) -> None:
        self.base = DiagonalGaussian(base_mean, base_log_var)
        self.context = ops.convert_to_tensor(context)
        self.flow = flow
        self.prior = prior
        self.draws = draws

    def push(self, origin: Tensor) -> tuple[Tensor, Tensor]:
        """Codes that start as `origin` in the Gaussian, and their log density."""
        z, log_det = self.flow.forward(origin, self.context)
        return z, self.base.log_density(origin) - log_det

    @property
    def mean(self) -> Tensor:
        """Mean, estimated from fixed draws, shape `(batch, latent_dim)`."""
        noise = IndexedNoise(0, is_shared=True)
        draws = range(self.draws)
        total = sum(self.sample(noise.with_draws(1, draw)) for draw in draws)
        return total / self.draws

    def mode(self) -> Tensor:
        """The flow of the Gaussian's mode; close to the mode, which has no formula."""
        return self.flow.forward(self.base.mode(), self.context)[0]

    def sample(self, seed: Any = None) -> Tensor:
        """One code per example, differentiable in the Gaussian and the flow."""
        return self.sample_with_log_prob(seed)[0]

    def sample_with_log_prob(self, seed: Any = None) -> tuple[Tensor, Tensor]:
        """One code per example and its log density, without an inverse."""
        return self.push(self.base.sample(seed))

    def log_density(self, z: Tensor) -> Tensor:
        """Log density at `z` of shape `(batch, latent_dim)`. Nats, `(batch,)`."""
        origin, log_det = self.flow.inverse(z, self.context)
        return self.base.log_density(origin) - log_det

    @property
    def code_shape(self) -> tuple[Any, ...]:
        """`(batch, latent_dim)`."""
        return self.base.code_shape

    def parameters(self) -> dict[str, Tensor]:
        """`{"base_mean", "base_log_var", "context"}`."""
        return {
            "base_mean": self.base.mean,
            "base_log_var": self.base.log_var,
            "context": self.context,
        }
