"""Wasserstein autoencoder: codes whose distribution as a whole is the prior's."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.ae import AE, TINY_CONV
from aezoo.models.arguments import choice, count, weight
from aezoo.models.autoencoder import TEST_SEED
from aezoo.networks import Conv
from aezoo.nn import losses
from aezoo.nn.distributions import IndexedNoise
from aezoo.registry import register_family

Tensor = Any
DIVERGENCES = ("mmd", "sliced_wasserstein")
KERNELS = ("imq", "rbf")


@register_family("wae", network=Conv(), tiny=TINY_CONV)
class WAE(AE):
    """Wasserstein autoencoder of Tolstikhin et al. (2018), or the sliced one.

    "Wasserstein auto-encoders" (https://arxiv.org/abs/1711.01558), equation 4: the
    reconstruction error plus `divergence_weight` times `divergence`, between the
    codes of a batch and as many from the prior, a standard normal. `"mmd"` is their
    maximum mean discrepancy (section 3), estimated without bias, so that it may be
    negative; `"sliced_wasserstein"` that of Kolouri et al. (2018), "Sliced-Wasserstein
    autoencoder" (https://arxiv.org/abs/1804.01947), algorithm 1. The codes of single
    examples stay points, so nothing is added to a reconstruction; `sample` decodes
    codes from the prior.

    Args:
        divergence: `"mmd"` or `"sliced_wasserstein"`.
        divergence_weight: Weight of the divergence.
        kernel: Kernel of `"mmd"`: `"imq"`, inverse multiquadric at seven scales, or
            `"rbf"`, Gaussian.
        num_projections: Random directions of `"sliced_wasserstein"` per step.
        **kwargs: As in `AE`.
    """

    divergence: str = choice("mmd", DIVERGENCES)
    divergence_weight: float = weight(300.0)
    kernel: str = choice("imq", KERNELS)
    num_projections: int = count(50, low=1)

    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features", "sampling")
    SAMPLES: ClassVar[str] = "decoded codes from the prior"
    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset({"divergence"})

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {**super().loss_weights, "divergence": self.divergence_weight}

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; also `prior_z`, as many codes from the prior.

        Args:
            inputs: Examples `(batch, *input_shape)`.
            training: As in `Autoencoder`.
            sample_seed: Draws the codes from the prior.
            **given: As in `Autoencoder`.
        """
        outputs = super().call(inputs, training, sample_seed, **given)
        if sample_seed is None and not training:
            sample_seed = IndexedNoise(TEST_SEED)
        shape = ops.shape(outputs["z"])
        return {**outputs, "prior_z": self.noise(shape, training, sample_seed)}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        z, prior_z = outputs["z"], outputs["prior_z"]
        if self.divergence == "mmd":
            divergence = losses.maximum_mean_discrepancy(z, prior_z, self.kernel)
        else:
            divergence = losses.sliced_wasserstein(z, prior_z, self.directions(step))
        return {
            **super().compute_terms(x, outputs, step),
            "divergence": ops.broadcast_to(divergence, (ops.shape(z)[0],)),
        }

    def directions(self, step: Tensor | None) -> Tensor:
        """Directions of an optimiser step, each step others, `(num, latent_dim)`.

        Without a step those of step 0, so that `evaluate` repeats itself.
        """
        first = 0 if step is None else ops.cast(step, "int32") * self.num_projections
        noise = IndexedNoise(TEST_SEED + 1, first)  # not the stream of `prior_z`
        return noise.normal((self.num_projections, self.latent_dim))
