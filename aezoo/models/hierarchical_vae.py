"""Hierarchical variational autoencoder: each latent depends on those before it."""

import math
from typing import Any, ClassVar

import numpy as np
from keras import ops

from aezoo.models._free_bits import FreeBits
from aezoo.models._levels import Levels
from aezoo.models.arguments import flag
from aezoo.networks import Latent, NetworkError
from aezoo.networks.hierarchical import Hierarchical
from aezoo.networks.top_down import TopDown
from aezoo.nn import losses
from aezoo.nn.distributions import (
    HierarchicalGaussian,
    Posterior,
    standard_normal,
)
from aezoo.registry import register_family
from aezoo.utils.arrays import to_numpy

Tensor = Any


@register_family(
    "hierarchical_vae",
    network=TopDown(),
    tiny={
        "input_shape": (8, 8, 1),
        "blocks": ((1, 1), (4, 1)),
        "width": 8,
        "bottleneck": 6,
        "code_dim": 2,
    },
)
class HierarchicalVAE(Levels, FreeBits):
    """Very deep VAE of Child (2021): latents at several resolutions, coarse to fine.

    "Very deep VAEs generalize autoregressive models and can outperform them on
    images" (https://arxiv.org/abs/2011.10650), section 3: a bottom-up residual
    network extracts features of the example; a top-down one starts from learned biases,
    and each of its blocks says what the next latent is like (the prior), looks at the
    features of its resolution in training (the posterior), and adds the latent to its
    state. No batch normalisation; last convolutions start scaled down by the root of
    the depth.

    Codes hold latents in units of the prior, `(latent - prior mean) / prior std`, so
    that the prior over codes is the standard normal. A code is flat,
    `(units,)`; `split_levels` gives the latents, one `(h, w, code_dim)` a block.

    The code of an example is all latents at once, so all that works on codes works on
    hierarchical ones: `decode`, `interpolate`, samplers, metrics; and a latent at 0 is
    the most probable one.

    Args:
        free_bits: Nats per latent that cost nothing: the term `free_bits` is what the
            KL of each latent, as a mean over the batch, lacks of them (Kingma et al.,
            2016, https://arxiv.org/abs/1606.04934, appendix C.8). So
            `kl + free_bits` is the sum of `max(free_bits, KL)`.
        rematerialise: Computes blocks once more in the backward pass of training
            instead of keeping what is inside of them: less memory, the same gradient.
        **kwargs: As in `VAE`, without `latent_dim`.
    """

    rematerialise: bool = flag(False)

    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset({"free_bits"})
    KL_DRAWS: ClassVar[int] = 4
    KL_ESTIMATE: ClassVar[str] = "sum_l KL(q(z_l|z_<l,x)||p(z_l|z_<l)) in closed form"
    has_diagonal_posterior: ClassVar[bool] = False
    has_levels: ClassVar[bool] = True

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        """Number of units of all latents."""
        return math.prod(self.latent_shape)

    @property
    def latent(self) -> Latent:
        """Latents of the network's own."""
        return Latent(0, is_hierarchical=True)

    @property
    def heads(self) -> dict[str, int]:
        """None: the posterior is found on the way through the latents."""
        return {"x": 0}

    @property
    def level_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each latent, in the order in which they are drawn."""
        return self._network.level_shapes(self.modality, self.latent)

    @property
    def level_ends(self) -> np.ndarray:
        """Number of units in the first level, in the first two, and so on."""
        return np.cumsum([math.prod(shape) for shape in self.level_shapes])

    @property
    def _network(self) -> Hierarchical:
        if not isinstance(self.network, Hierarchical):
            raise NetworkError(
                f"{self.family!r} needs a network of hierarchical latents, 'top_down' "
                f"or 'draw'. Received: network={self.network.kind!r}."
            )
        return self.network

    def create_layers(self) -> None:
        """Create encoder and decoder, which go through the latents together."""
        encoder, decoder = self._network.pair(
            self.modality, self.output_width, self.latent
        )
        self.decoder = decoder
        self.encoder = encoder

    # --- Graph ------------------------------------------------------------------------

    def walk(
        self,
        x: Tensor,
        noise: Tensor | None = None,
        z: Tensor | None = None,
        training: bool = False,
    ) -> dict[str, Tensor]:
        """Go through the latents of examples once, and decode.

        Args:
            x: Examples as tensors, `(batch, *tensor_shape)`.
            noise: Draws each latent with it; `(batch, *latent_shape)`.
            z: The code that is taken instead, of that shape; one of both is given.
            training: As in `call`.

        Returns:
            As `aezoo.networks.hierarchical.HierarchicalEncoder.walk`.
        """
        is_recomputed = training and self.rematerialise
        path: dict[str, Tensor] = self.encoder.walk(
            x, noise, z, self.point, is_recomputed
        )
        return path

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; code, posterior and example come from one walk."""
        x = self.infer(inputs, training, **given).parameters()["x"]
        if training and sample_seed is None:
            sample_seed = self.seed_generator
        shape = (ops.shape(x)[0], *self.latent_shape)
        is_mode = sample_seed is None
        noise = (
            ops.zeros(shape, "float32")
            if is_mode
            else standard_normal(shape, sample_seed)
        )
        outputs = self.walk(x, noise=noise, training=training)
        return {**outputs, "x_hat": self.point(outputs["decoder_output"]), "x": x}

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """The Gaussians of all latents of examples."""
        return HierarchicalGaussian(
            parameters["x"], self._walk_posterior, self.latent_shape, self.KL_DRAWS
        )

    def _walk_posterior(self, x: Tensor, **given: Tensor) -> dict[str, Tensor]:
        """`walk`; compiled and in batches where `posterior(x)` holds NumPy arrays."""
        if not isinstance(x, np.ndarray):
            return self.walk(x, **given)
        ((name, codes),) = given.items()
        codes = np.ascontiguousarray(to_numpy(codes), "float32")
        path: dict[str, np.ndarray] = self.run(f"walk_{name}", codes, 256, x=x)
        return path

    def _graph_walk_noise(self, noise: Tensor, x: Tensor) -> dict[str, Tensor]:
        return self._factors(self.walk(x, noise=noise))

    def _graph_walk_z(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        return self._factors(self.walk(x, z=z))

    @staticmethod
    def _factors(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: outputs[name] for name in ("z", "z_mean", "z_log_var")}

    # --- Objective --------------------------------------------------------------------

    def kl_term(self, outputs: dict[str, Tensor]) -> Tensor:
        """Sum of the factors' KLs along the path that `call` walked, `(batch,)`."""
        return losses.gaussian_kl(outputs["z_mean"], outputs["z_log_var"])

    def kl_by_level(self, outputs: dict[str, Tensor]) -> Tensor:
        """KL of each latent on the path that `call` walked: nats, `(batch, levels)`."""
        ends = self.level_ends[:-1]
        means, log_vars = (
            ops.split(
                ops.reshape(outputs[name], (-1, self.level_ends[-1])), ends, axis=1
            )
            for name in ("z_mean", "z_log_var")
        )
        return ops.stack(list(map(losses.gaussian_kl, means, log_vars)), axis=1)

    def lacking(
        self,
        outputs: dict[str, Tensor],
        kl: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """What the mean KL of each latent lacks to the free bits, `(batch,)`."""
        return self.lacking_on_average(self.kl_by_level(outputs))
