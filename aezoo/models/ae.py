"""Deterministic autoencoder: one code per example, and an error to minimise."""

from collections.abc import Callable
from typing import Any

from aezoo.modalities import Image, Text
from aezoo.models.arguments import Argument, activation, keep, number
from aezoo.models.autoencoder import Autoencoder, check_for_modality
from aezoo.networks import Conv, Dense, Latent, Recurrent, ResNet
from aezoo.nn import losses
from aezoo.nn.distributions import PointMass, Posterior
from aezoo.registry import register_family

Tensor = Any
SMALL_IMAGE: dict[str, Any] = {"input_shape": (8, 8, 1), "latent_dim": 3}
TINY_CONV: dict[str, Any] = {**SMALL_IMAGE, "filters": (4, 6), "hidden_units": (8,)}
TINY_DENSE: dict[str, Any] = {**SMALL_IMAGE, "hidden_units": (16,)}
TINY_RESNET: dict[str, Any] = {
    "input_shape": (8, 8, 3),
    "latent_dim": 3,
    "filters": (4, 6),
    "strides": (2, 2),
}
TINY_TEXT: dict[str, Any] = {
    "modality": {"kind": "text", "length": 6, "min_count": 2, "words": "a b c d e f ."},
    "latent_dim": 3,
    "embedding_dim": 8,
    "units": 8,
}
# Errors by name: of targets and what is shown, summed over elements.
ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": losses.squared_error,
    "mae": losses.absolute_error,
    "ms_ssim": losses.ms_ssim_error,
}


@register_family(
    "resnet_ae",
    network=ResNet(),
    modality=Image(32, 32, 3),
    tiny=TINY_RESNET,
    latent_dim=128,
)
@register_family(
    "sentence_ae",
    network=Recurrent(),
    modality=Text(),
    tiny=TINY_TEXT,
    latent_dim=32,
)
@register_family("dense_ae", network=Dense(), tiny=TINY_DENSE)
@register_family("conv_ae", network=Conv(), tiny=TINY_CONV)
@register_family("ae", network=Conv(), tiny=TINY_CONV)
class AE(Autoencoder):
    """Undercomplete autoencoder of Hinton & Salakhutdinov (2006).

    "Reducing the dimensionality of data with neural networks"
    (https://doi.org/10.1126/science.1127647): a network narrows to the code, and its
    mirror widens again; trained end to end instead of by stacked Boltzmann machines.
    With convolutions it is that of Masci et al. (2011), "Stacked convolutional
    auto-encoders" (https://doi.org/10.1007/978-3-642-21735-7_7), strided in place of
    pooling; on sentences, the sequence autoencoder of Dai & Le (2015,
    https://arxiv.org/abs/1511.01432). Trained with `corruption` it is the denoising
    autoencoder of Vincent et al. (2010), with `sparsity` a sparse one.

    Args:
        reconstruction_loss: For images `"mse"` squared error, `"mae"` absolute error,
            `"smooth_l1"` (Huber), `"bce"` Bernoulli negative log-likelihood, each
            summed over elements; or `"ms_ssim"`, one minus the multi-scale structural
            similarity, times the number of elements (Snell et al., 2017,
            https://arxiv.org/abs/1511.06409). `"bce"` needs
            `output_activation="sigmoid"`. For sentences `"nll"`, the negative
            log-likelihood of the decoder's words.
        smooth_l1_beta: Error at which `"smooth_l1"` turns from quadratic to linear.
        code_activation: Keras activation of the code; `"relu"` gives exact zeros.
        **kwargs: As in `Autoencoder`.
    """

    reconstruction_loss: str = Argument("mse", keep)  # type: ignore[assignment]
    smooth_l1_beta: float = number(1.0, above=0.0)
    code_activation: str = activation("linear")

    def check_arguments(self) -> None:
        """Refuse errors that do not go with the modality or the activation."""
        super().check_arguments()
        check_for_modality(
            "reconstruction_loss",
            self.reconstruction_loss,
            self.modality.errors,
            self.modality,
        )
        if self.reconstruction_loss == "bce" and self.output_activation != "sigmoid":
            raise ValueError(
                "`reconstruction_loss='bce'` needs `output_activation='sigmoid'`. "
                f"Received: output_activation={self.output_activation!r}."
            )
        if self.reconstruction_loss == "ms_ssim":
            losses.check_ssim_size(*self.modality.positions)

    @property
    def latent(self) -> Latent:
        """A flat latent, with the code's activation."""
        return Latent(self.latent_dim, activation=self.code_activation)

    @property
    def heads(self) -> dict[str, int]:
        """`z`, the code."""
        return {"z": self.latent_dim}

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """A point mass on the code."""
        return PointMass(parameters["z"])

    def reconstruction_term(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """The reconstruction loss, summed over elements, `(batch,)`."""
        if self.reconstruction_loss == "nll":
            return super().reconstruction_term(x, outputs)
        if self.reconstruction_loss == "bce":
            return losses.bernoulli_nll(x, outputs["decoder_output"])
        if self.reconstruction_loss == "smooth_l1":
            return losses.smooth_l1(x, outputs["x_hat"], self.smooth_l1_beta)
        return ERRORS[self.reconstruction_loss](x, outputs["x_hat"])
