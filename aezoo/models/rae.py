"""Autoencoder with regularised codes and a regularised decoder."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.ae import AE, TINY_CONV
from aezoo.models.arguments import choice, weight
from aezoo.networks import Conv, NetworkError
from aezoo.nn import losses
from aezoo.registry import register_family

Tensor = Any
PENALTIES = ("l2", "gradient")


@register_family("rae", network=Conv(), tiny=TINY_CONV)
class RAE(AE):
    """Regularised autoencoder (RAE) of Ghosh et al. (2020).

    "From variational to deterministic autoencoders"
    (https://arxiv.org/abs/1903.12436), equation 11: the reconstruction error plus
    `code_norm_weight` times `code_norm`, `||z||^2 / 2`, plus `penalty_weight` times a
    penalty that keeps the decoder smooth. `"l2"` is the decoder's weight decay,
    `decoder_norm`, the sum of its squared kernels; `"gradient"` is
    `decoder_gradient`, the squared Frobenius norm of the Jacobian of the decoded
    example at the code (section 3.2), estimated without bias along one random
    direction per example. A sampler fitted to the codes makes it generate (section 4).

    Args:
        code_norm_weight: Weight of the norm of the code.
        penalty: Penalty on the decoder: `"l2"`, `"gradient"` or None.
        penalty_weight: Weight of that penalty; unused without one.
        **kwargs: As in `AE`.
    """

    code_norm_weight: float = weight(0.1)
    penalty: str | None = choice("l2", (None, *PENALTIES))
    penalty_weight: float = weight(1e-3)

    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset({"decoder_norm"})

    def check_arguments(self) -> None:
        """Refuse a derivative of what is written in symbols."""
        super().check_arguments()
        if self.penalty == "gradient" and not self.modality.is_continuous:
            raise NetworkError(
                f"{self.modality.noun.capitalize()}s have no derivative, so "
                "`penalty='gradient'` has no meaning for them. Take 'l2' or None."
            )

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        weights = {**super().loss_weights, "code_norm": self.code_norm_weight}
        if self.penalty == "l2":
            weights["decoder_norm"] = self.penalty_weight
        elif self.penalty == "gradient":
            weights["decoder_gradient"] = self.penalty_weight
        return weights

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; with `"gradient"` also `decoder_gradient`, `(batch,)`.

        Args:
            inputs: Examples `(batch, *input_shape)`.
            training: As in `Autoencoder`.
            sample_seed: Draws the direction of the derivative.
            **given: As in `Autoencoder`.
        """
        outputs = super().call(inputs, training, sample_seed, **given)
        if self.penalty == "gradient":
            z = outputs["z"]
            outputs["decoder_gradient"] = losses.squared_jacobian_norm(
                lambda z: self.point(self.decode_parameters(z, **given)),
                z,
                self.noise(ops.shape(z), training, sample_seed),
            )
        return outputs

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        z = outputs["z"]
        terms["code_norm"] = 0.5 * losses.sum_per_example(ops.square(z))
        if self.penalty == "l2":
            terms["decoder_norm"] = ops.broadcast_to(
                self.decoder_norm(), (ops.shape(z)[0],)
            )
        elif self.penalty == "gradient":
            terms["decoder_gradient"] = outputs["decoder_gradient"]
        return terms

    def decoder_norm(self) -> Tensor:
        """Sum of the squares of the decoder's kernels; biases and scales are free."""
        kernels = [w for w in self.decoder.trainable_weights if len(w.shape) > 1]
        return sum(ops.sum(ops.square(ops.convert_to_tensor(w))) for w in kernels)
