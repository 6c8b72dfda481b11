"""Autoencoder with a spatial latent and a small KL term, for latent diffusion."""

import functools
import math
from typing import Any, ClassVar

from keras import ops

from aezoo import manifest
from aezoo.modalities.image.classifier import bundled_classifier
from aezoo.models._maps import CodeMaps
from aezoo.models.arguments import Argument, count, keep, sizes, units, weight
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.nn import losses
from aezoo.nn.layers.discriminators import PatchDiscriminator
from aezoo.registry import register_family
from aezoo.utils.validation import check_choice

Tensor = Any


@register_family(
    "kl_autoencoder",
    network=Conv(),
    tiny={
        "input_shape": (8, 8, 1),
        "filters": (4, 6),
        "code_dim": 3,
        "beta": 0.01,
        "discriminator_filters": (4, 4),
    },
)
class KLAutoencoder(CodeMaps, VAE):  # type: ignore[override]
    """Autoencoder of latent diffusion models, of Rombach et al. (2022).

    "High-resolution image synthesis with latent diffusion models"
    (https://arxiv.org/abs/2112.10752), section 3.1 and appendix G: a diagonal Gaussian
    over a map of codes, held near the standard normal by a KL term of very small
    weight. Beside the likelihood, reconstructions may be compared by the features of
    one of the zoo's classifiers (`perceptual`, the LPIPS of Zhang et al., 2018,
    https://arxiv.org/abs/1801.03924, times the number of pixels and channels), and
    judged patch by patch by a discriminator (Isola et al., 2017,
    https://arxiv.org/abs/1611.07004) with the hinge loss: it minimises `discriminator`,
    and the model `generator`, its mean logit with the sign turned, with a fixed weight.

    The KL term is too weak for codes to be like draws from the prior, so it cannot
    sample by itself. For what is trained on its codes, such as a diffusion model,
    `scale_codes` gives each channel mean 0 and variance 1 over the training examples,
    and `unscale_codes` takes that back.

    On the network `"ldm"` it is the autoencoder of Stable Diffusion and its kin, whose
    weights `aezoo.load` converts.

    Images of other sizes than `input_shape` go through it in overlapping tiles:
    `encode_tiled`, `decode_tiled`. Many images never need more memory than
    `batch_size` of them, the argument of every method (what others call slicing).

    Args:
        code_dim: Channels of the code; it has shape `(h, w, code_dim)`.
        likelihood: As in `VAE`: `"laplace"` is the absolute error,
            `"gaussian"` the squared one.
        beta: Weight of the KL term in nats.
        perceptual: Name of the classifier, e.g. `"lenet_mnist_v1"`: one of the
            manifest's extractors, for images of as many channels. None for no such
            term.
        perceptual_weight: Weight of the term `perceptual`.
        discriminator_filters: Channels of each convolution of the discriminator,
            which halve the image; empty for no discriminator.
        adversarial_weight: Weight of the term `generator`.
        discriminator_start: Optimiser step from which `generator` counts; the
            discriminator learns from the first.
        **kwargs: As in `VAE`, without `latent_dim`.
    """

    code_dim: int = units(4)
    likelihood: str = Argument("laplace", keep, is_fixed=True)  # type: ignore[assignment]
    beta: float = weight(1e-6)
    perceptual: str | None = Argument(None, keep, is_fixed=True)  # type: ignore[assignment]
    perceptual_weight: float = weight(1.0)
    discriminator_filters: tuple[int, ...] = sizes(())
    adversarial_weight: float = weight(1.0)
    discriminator_start: int = count(0)

    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features")
    LEARNS_FROM_HOLES: ClassVar[bool] = False

    def check_arguments(self) -> None:
        """Refuse a classifier of other images."""
        super().check_arguments()
        if not self.perceptual:
            return
        classifiers = manifest.extractors()
        check_choice("perceptual", self.perceptual, (None, *classifiers))
        channels = classifiers[self.perceptual].input_shape[-1]
        if channels != self.modality.channels:
            raise ValueError(
                f"`perceptual={self.perceptual!r}` takes images of {channels} "
                f"channels. Received: input_shape={self.input_shape}."
            )

    def create_layers(self) -> None:
        """Create encoder, decoder and, if there is one, the discriminator."""
        super().create_layers()
        if self.discriminator_filters:
            self.adversary_term = "discriminator"
            self.adversary = PatchDiscriminator(self.discriminator_filters)

    @property
    def adversary_input_shape(self) -> tuple[int, ...]:
        """Examples."""
        return self.modality.tensor_shape

    def to_parameters(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters of the posterior; log variances from -30 to 20, as published."""
        parameters = super().to_parameters(outputs)
        return {**parameters, "z_log_var": ops.clip(parameters["z_log_var"], -30, 20)}

    # --- Objective ------------------------------------------------------------

    @functools.cached_property
    def _classifier(self) -> Any:
        entry = manifest.extractors()[str(self.perceptual)]
        return bundled_classifier(entry)  # no part of the model

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As in `Autoencoder`; reads the classifier, where there is one."""
        if self.perceptual:
            _ = self._classifier  # cannot be read inside a compiled step
        super().compile(*args, **kwargs)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`; the discriminator's own loss has none."""
        weights = super().loss_weights
        if self.perceptual:
            weights["perceptual"] = self.perceptual_weight
        if self.adversary_term:
            weights |= {"generator": self.adversarial_weight, "discriminator": 0.0}
        return weights

    def loss_schedule(self, step: Tensor) -> dict[str, Tensor]:
        """That of the KL term, and 0 for `generator` before its start."""
        started = ops.cast(step >= self.discriminator_start, "float32")
        return {**super().loss_schedule(step), "generator": started}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        x_hat = outputs["x_hat"]
        if self.perceptual:
            maps = self._classifier.maps
            error = losses.perceptual_error(maps(x), maps(x_hat))
            terms["perceptual"] = math.prod(self.modality.tensor_shape) * error
        if self.adversary_term:
            # One pass serves both players: each moves its own weights only.
            seen = ops.reshape(
                ops.stack([x, x_hat], axis=1), (-1, *self.modality.tensor_shape)
            )
            logits = self.adversary(seen)  # (2 * batch, patches)
            logits = ops.reshape(logits, (-1, 2, logits.shape[-1]))
            real, fake = logits[:, 0], logits[:, 1]
            errors = ops.relu(1.0 - real) + ops.relu(1.0 + fake)
            terms["generator"] = -ops.mean(fake, axis=-1)
            terms["discriminator"] = 0.5 * ops.mean(errors, axis=-1)
        return terms
