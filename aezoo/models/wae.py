"""Wasserstein autoencoder: codes whose distribution as a whole is the prior's."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.autoencoder import TEST_SEED
from aezoo.models.conv_ae import ConvAE
from aezoo.nn import losses
from aezoo.nn.distributions import IndexedNoise
from aezoo.registry import register_family
from aezoo.utils.validation import check_choice, check_number, check_positive_int

Tensor = Any
DIVERGENCES = ("mmd", "sliced_wasserstein")
KERNELS = ("imq", "rbf")


@register_family("wae")
class WAE(ConvAE):
    """Wasserstein autoencoder of Tolstikhin et al. (2018), or the sliced one.

    "Wasserstein auto-encoders" (https://arxiv.org/abs/1711.01558), equation 4: the
    reconstruction error plus `divergence_weight` times `divergence`, between the
    codes of a batch and as many from the prior, a standard normal. `"mmd"` is their
    maximum mean discrepancy (section 3), estimated without bias, so that it may be
    negative; `"sliced_wasserstein"` that of Kolouri et al. (2018), "Sliced-Wasserstein
    autoencoder" (https://arxiv.org/abs/1804.01947), algorithm 1. The codes of single
    images stay points, so nothing is added to a reconstruction; `sample` decodes
    codes from the prior.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        divergence: `"mmd"` or `"sliced_wasserstein"`.
        divergence_weight: Weight of the divergence.
        kernel: Kernel of `"mmd"`: `"imq"`, inverse multiquadric at seven scales, or
            `"rbf"`, Gaussian.
        num_projections: Random directions of `"sliced_wasserstein"` per step.
        **kwargs: As in `ConvAE`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {**ConvAE.TINY_CONFIG}
    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features", "sampling")
    SAMPLES: ClassVar[str] = "decoded codes from the prior"
    BATCH_TERMS = frozenset({"divergence"})

    def __init__(
        self,
        *args: Any,
        divergence: str = "mmd",
        divergence_weight: float = 300.0,
        kernel: str = "imq",
        num_projections: int = 50,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.divergence = check_choice("divergence", divergence, DIVERGENCES)
        self.divergence_weight = check_number(
            "divergence_weight", divergence_weight, low=0.0
        )
        self.kernel = check_choice("kernel", kernel, KERNELS)
        self.num_projections = check_positive_int("num_projections", num_projections)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {**super().loss_weights, "divergence": self.divergence_weight}

    def call(
        self, inputs: Tensor, training: bool = False, sample_seed: Any = None
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; also `prior_z`, as many codes from the prior.

        Args:
            inputs: Images `(batch, *input_shape)`.
            training: As in `Autoencoder`.
            sample_seed: Draws the codes from the prior.
        """
        outputs = super().call(inputs, training, sample_seed)
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

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "divergence": self.divergence,
            "divergence_weight": self.divergence_weight,
            "kernel": self.kernel,
            "num_projections": self.num_projections,
        }
