"""Posteriors of hierarchical latents."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from aezoo.nn import losses
from aezoo.nn.distributions.gaussian import DiagonalGaussian
from aezoo.nn.distributions.noise import IndexedNoise, standard_normal
from aezoo.nn.distributions.posterior import EstimatedKL

Tensor = Any


class HierarchicalGaussian(EstimatedKL):
    """Gaussian latents, each of which depends on the example and those before it.

    `q(z|x) = q(z_1|x) q(z_2|z_1, x) q(z_3|z_1, z_2, x) ...`, with independent units in
    each factor, under a standard-normal prior: the posterior of sequential (Gregor et
    al., 2015, https://arxiv.org/abs/1502.04623, equation 10) and of hierarchical VAEs.
    Only a walk through the latents tells its factors, so it keeps the example alone.

    Args:
        x: Examples that the latents depend on, float, `(batch, *tensor_shape)`.
        walk: Called with `x` and either `noise` or `z`, both `(batch, *latent_shape)`,
            walks through the latents with the codes that the standard normal noise
            draws, or with those given. Answers with `z`, and with `z_mean` and
            `z_log_var` of each latent given the ones before it; all of that shape.
        latent_shape: Shape of the code, all latents together.
        draws: Walks from which `kl` is estimated.
    """

    def __init__(
        self,
        x: Tensor,
        walk: Callable[..., dict[str, Tensor]],
        latent_shape: Sequence[int],
        draws: int,
    ) -> None:
        self.x = x
        self.walk = walk
        self.latent_shape = tuple(latent_shape)
        self.draws = draws

    @property
    def mean(self) -> Tensor:
        """The same as `mode()`: the mean over all walks has no formula."""
        return self.mode()

    def mode(self) -> Tensor:
        """Each latent at the mode of its factor, given the ones before it."""
        return self.walk(self.x, noise=ops.zeros(self._shape, "float32"))["z"]

    def sample(self, seed: Any = None) -> Tensor:
        """One code per example, differentiable in all factors (reparameterised)."""
        return self._draw(seed)["z"]

    def sample_with_log_prob(self, seed: Any = None) -> tuple[Tensor, Tensor]:
        """One code per example, and its log density `(batch,)`, in one walk."""
        path = self._draw(seed)
        return path["z"], _log_prob_of_path(path)

    def log_density(self, z: Tensor) -> Tensor:
        """Log density at `z` of shape `(batch, *latent_shape)`. Nats, `(batch,)`."""
        return _log_prob_of_path(self.walk(self.x, z=z))

    def estimate_kl(self, noise: IndexedNoise) -> Tensor:
        """KL(q(z|x) || p(z)): the mean over `draws` walks of their factors' KLs.

        Each factor's is in closed form, so there is less noise in it than in
        `log q - log p` of the code.

        Args:
            noise: Where the codes come from.

        Returns:
            Nats, `(batch,)`; unbiased, and not negative.
        """
        total: Tensor = 0.0
        for draw in range(self.draws):
            path = self._draw(noise.with_draws(1, draw))
            total = total + losses.gaussian_kl(path["z_mean"], path["z_log_var"])
        return total / self.draws

    def _draw(self, seed: Any) -> dict[str, Tensor]:
        return self.walk(self.x, noise=standard_normal(self._shape, seed))

    @property
    def _shape(self) -> tuple[Any, ...]:
        return (ops.shape(self.x)[0], *self.latent_shape)

    @property
    def code_shape(self) -> tuple[Any, ...]:
        """`(batch, *latent_shape)`."""
        return (self.x.shape[0], *self.latent_shape)

    def parameters(self) -> dict[str, Tensor]:
        """`{"x"}`."""
        return {"x": self.x}


def _log_prob_of_path(path: dict[str, Tensor]) -> Tensor:
    z = ops.convert_to_tensor(path["z"])  # the path of an array is of arrays
    return DiagonalGaussian(path["z_mean"], path["z_log_var"]).log_density(z)
