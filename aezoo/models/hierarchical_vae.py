"""A very deep VAE: a chain of latents from coarse to fine, in residual networks."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from keras import ops

from aezoo.models._chain import ChainedLatents
from aezoo.models._hierarchy import BottomUp, TopDown, check_blocks, map_sizes
from aezoo.nn import losses
from aezoo.nn.distributions import DiscretizedLogisticMixture
from aezoo.registry import register_family
from aezoo.utils.validation import check_number, check_positive_int

Tensor = Any
# Components of the mixture of logistics, as in the paper.
NUM_COMPONENTS = 10
# Arguments of networks of three sizes: for 28x28 images on a CPU, and for 32x32 RGB
# images on a GPU, the last of about the size of the paper's network for CIFAR-10.
SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "input_shape": (28, 28, 1),
        "blocks": ((1, 1), (4, 2), (7, 2)),
        "width": 96,
        "bottleneck": 48,
        "code_dim": 8,
    },
    "medium": {
        "input_shape": (32, 32, 3),
        "blocks": ((1, 2), (4, 4), (8, 6), (16, 10), (32, 12)),
        "width": 192,
        "bottleneck": 48,
        "code_dim": 16,
        "activation": "gelu",
        "likelihood": "discretized_logistic",
        "rematerialise": True,
    },
    "large": {
        "input_shape": (32, 32, 3),
        "blocks": ((1, 1), (4, 2), (8, 5), (16, 10), (32, 21)),
        "width": 384,
        "bottleneck": 96,
        "code_dim": 16,
        "activation": "gelu",
        "likelihood": "discretized_logistic",
        "rematerialise": True,
    },
}


@register_family("hierarchical_vae")
class HierarchicalVAE(ChainedLatents):
    """Very deep VAE of Child (2021): latents at several resolutions, coarse to fine.

    "Very deep VAEs generalize autoregressive models and can outperform them on
    images" (https://arxiv.org/abs/2011.10650), section 3: a bottom-up residual
    network extracts features of the image; a top-down one starts from learned biases,
    and each of its blocks says what the next latent is like (the prior), looks at the
    features of its resolution in training (the posterior), and adds the latent to its
    state. No batch normalisation; last convolutions start scaled down by the root of
    the depth.

    Codes hold latents in units of the prior, `(latent - prior mean) / prior std`, so
    that the prior over codes is the standard normal (`ChainedLatents`). A code is
    flat, `(units,)`; `split_levels` gives the latents, one `(h, w, code_dim)` a block.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        blocks: Pairs `(resolution, number)` of top-down blocks, the coarsest first. A
            resolution is the height of a feature map; one finer map must pool to it by
            a whole factor, rounded up, as 14 does to 7 by 2, and 7 to 4. The
            bottom-up network has half as many blocks at each, rounded up.
        width: Channels of the feature maps.
        bottleneck: Channels within a block.
        code_dim: Channels of a latent.
        activation: Keras activation before each convolution; the paper's is `"gelu"`,
            which takes a CPU a quarter longer.
        free_bits: Nats per latent that cost nothing: the term `free_bits` is what the
            KL of each block's latent, as a mean over the batch, lacks of them (Kingma
            et al., 2016, https://arxiv.org/abs/1606.04934, appendix C.8). So
            `kl + free_bits` is the sum of `max(free_bits, KL)`.
        rematerialise: Computes blocks once more in the backward pass of training
            instead of keeping what is inside of them: less memory, the same gradient.
        likelihood: As in `VariationalAutoencoder`; or `"discretized_logistic"`, a
            mixture of discretised logistics for images of 256 levels (Salimans et
            al., 2017), for which `output_activation` is not used.
        **kwargs: As in `VariationalAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "blocks": ((1, 1), (4, 1)),
        "width": 8,
        "bottleneck": 6,
        "code_dim": 2,
    }
    DERIVED_ARGUMENTS: ClassVar[frozenset[str]] = frozenset({"latent_dim"})
    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset({"free_bits"})
    LIKELIHOODS: ClassVar[tuple[str, ...]] = (
        *ChainedLatents.LIKELIHOODS,
        "discretized_logistic",
    )

    def __init__(
        self,
        input_shape: Sequence[int] = SIZES["small"]["input_shape"],
        *,
        blocks: Sequence[Sequence[int]] = SIZES["small"]["blocks"],
        width: int = SIZES["small"]["width"],
        bottleneck: int = SIZES["small"]["bottleneck"],
        code_dim: int = SIZES["small"]["code_dim"],
        activation: str = "silu",
        free_bits: float = 0.0,
        rematerialise: bool = False,
        likelihood: str = "bernoulli",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, likelihood=likelihood, **kwargs)
        self.blocks = check_blocks(blocks, self.input_shape[0])
        self.width = check_positive_int("width", width)
        self.bottleneck = check_positive_int("bottleneck", bottleneck)
        self.code_dim = check_positive_int("code_dim", code_dim)
        self.activation = activation
        self.free_bits = check_number("free_bits", free_bits, low=0.0)
        self.rematerialise = bool(rematerialise)
        height, image_width, channels = self.input_shape
        sizes = map_sizes((height, image_width), [r for r, _ in self.blocks])
        counts = [count for _, count in self.blocks]
        outputs = channels
        if likelihood == "discretized_logistic":
            outputs = DiscretizedLogisticMixture.num_parameters(
                NUM_COMPONENTS, channels
            )
        shape: dict[str, Any] = {
            "width": width,
            "bottleneck": bottleneck,
            "activation": activation,
        }
        self.decoder = TopDown(
            sizes,
            counts,
            (height, image_width, outputs),
            code_dim,
            name="decoder",
            **shape,
        )
        self.encoder = BottomUp(
            self.decoder,
            sizes,
            [-(-count // 2) for count in counts],
            name="encoder",
            **shape,
        )
        self.latent_dim = sum(map(math.prod, self.level_shapes))

    @property
    def level_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape `(h, w, code_dim)` of the latent of each top-down block."""
        shapes: tuple[tuple[int, ...], ...] = self.decoder.level_shapes
        return shapes

    def walk(
        self,
        x: Tensor,
        noise: Tensor | None = None,
        z: Tensor | None = None,
        training: bool = False,
    ) -> dict[str, Tensor]:
        """Bottom-up, then top-down; as in `ChainedLatents`."""
        is_recomputed = training and self.rematerialise
        features = self.encoder.pyramid(ops.cast(x, self.compute_dtype), is_recomputed)
        return self.decoder.walk(features, noise, z, is_recomputed)

    # --- Likelihood and objective -------------------------------------------------

    def to_pixels(self, decoder_output: Tensor) -> Tensor:
        """Decoder output to the mean image."""
        if self.likelihood == "discretized_logistic":
            return self.observation(decoder_output).mean
        return super().to_pixels(decoder_output)

    def observation(self, decoder_output: Tensor) -> Any:
        """The distribution p(x|z) over pixels for a decoder output."""
        if self.likelihood == "discretized_logistic":
            return DiscretizedLogisticMixture(decoder_output, self.input_shape[-1])
        return super().observation(decoder_output)

    def kl_by_level(self, outputs: dict[str, Tensor]) -> Tensor:
        """KL of each latent on the path that `call` walked: nats, `(batch, levels)`."""
        means, log_vars = (
            self.decoder.split(outputs[name]) for name in ("z_mean", "z_log_var")
        )
        return ops.stack(list(map(losses.gaussian_kl, means, log_vars)), axis=1)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`; free bits count as the KL does."""
        weights = super().loss_weights
        return {**weights, "free_bits": self.beta} if self.free_bits else weights

    def loss_schedule(self, step: Tensor) -> dict[str, Tensor]:
        """As in `VariationalAutoencoder`, for both terms of the KL."""
        schedule = super().loss_schedule(step)
        return {**schedule, "free_bits": schedule["kl"]} if schedule else {}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        if self.free_bits:
            means = ops.mean(self.kl_by_level(outputs), axis=0)
            lacking = ops.sum(ops.maximum(self.free_bits - means, 0.0))
            terms["free_bits"] = lacking * ops.ones_like(terms["kl"])
        return terms

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "blocks": [list(pair) for pair in self.blocks],
            "width": self.width,
            "bottleneck": self.bottleneck,
            "code_dim": self.code_dim,
            "activation": self.activation,
            "free_bits": self.free_bits,
            "rematerialise": self.rematerialise,
        }
