"""Autoencoder whose code resists small changes of the example."""

from typing import Any

import keras
from keras import ops

from aezoo.models.ae import AE, TINY_CONV
from aezoo.models.arguments import activation, choice, weight
from aezoo.networks import Conv, Dense, NetworkError
from aezoo.nn import losses
from aezoo.nn.backend import jacobian_product
from aezoo.registry import register_family

Tensor = Any
ESTIMATORS = ("exact", "hutchinson")


@register_family(
    "contractive_conv_ae",
    network=Conv(),
    tiny={**TINY_CONV, "contraction_weight": 0.01},
    estimator="hutchinson",
    code_activation="linear",
)
@register_family(
    "contractive_ae",
    network=Dense(()),
    tiny={
        "input_shape": (8, 8, 1),
        "latent_dim": 8,
        "reconstruction_loss": "bce",  # as in the paper
        "contraction_weight": 0.01,
    },
)
class ContractiveAE(AE):
    """Contractive autoencoder of Rifai et al. (2011).

    "Contractive auto-encoders: explicit invariance during feature extraction"
    (https://icml.cc/2011/papers/455_icmlpaper.pdf), equation 3: the reconstruction
    error plus `contraction_weight` times `contraction`, the squared Frobenius norm of
    the Jacobian of the code with respect to the example; of the clean one, also with
    `corruption`. With one dense layer to the code, as in the paper, it is known in
    closed form (section 3.2); other networks estimate it without bias along one random
    direction per example (Hutchinson, 1990). The weights of the decoder are its own,
    not the encoder's transposed.

    Args:
        contraction_weight: Weight of the term.
        code_activation: Keras activation of the code.
        estimator: `"exact"`, which needs a dense network without hidden layers and an
            activation of each unit by itself, or `"hutchinson"`, one random direction
            per example.
        **kwargs: As in `AE`.
    """

    contraction_weight: float = weight(1.0)
    code_activation: str = activation("sigmoid")
    estimator: str = choice("exact", ESTIMATORS)

    def check_arguments(self) -> None:
        """Refuse the closed form where there is none, and indices."""
        super().check_arguments()
        if not self.modality.is_continuous:
            raise NetworkError(
                f"{self.modality.noun.capitalize()}s have no derivative, so "
                f"{self.family!r} cannot learn from them."
            )
        is_one_layer = isinstance(self.network, Dense) and not self.network.hidden_units
        if self.estimator == "exact" and (
            not is_one_layer or self.code_activation in ("softmax", "log_softmax")
        ):
            raise ValueError(
                "`estimator='exact'` needs one dense layer to the code, "
                "`hidden_units=()`, and a `code_activation` of each unit by itself. "
                f"Received: network={self.network!r}, "
                f"code_activation={self.code_activation!r}. Use "
                "`estimator='hutchinson'`."
            )

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {**super().loss_weights, "contraction": self.contraction_weight}

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; also `contraction`, `(batch,)`.

        Args:
            inputs: Examples `(batch, *input_shape)`.
            training: As in `Autoencoder`.
            sample_seed: Draws the direction of the derivative.
            **given: As in `Autoencoder`.
        """
        outputs = super().call(inputs, training, sample_seed, **given)
        x = self.to_tensors(inputs)
        noise = self.noise(ops.shape(x), training, sample_seed)
        return {**outputs, "contraction": self.contraction(x, noise, **given)}

    def contraction(self, x: Tensor, noise: Tensor, **given: Tensor) -> Tensor:
        """The term at tensors of examples, along the signs of `noise`; `(batch,)`.

        For one layer `activation(W'x + b)` it is the sum over code units of the
        squared slope of the activation times the squared norm of the unit's weights.
        """
        if self.estimator == "hutchinson":
            return losses.squared_jacobian_norm(
                lambda x: self.encode_parameters(
                    ops.cast(x, self.compute_dtype), **given
                )["z"],
                x,
                noise,
            )
        layer: keras.layers.Dense = self.encoder.heads["z"]
        # Mixed precision lowers weights inside `call`.
        kernel, bias = (ops.cast(w, "float32") for w in (layer.kernel, layer.bias))
        flat = ops.reshape(x, (-1, kernel.shape[0]))  # (batch, elements)
        z = ops.matmul(flat, kernel) + bias
        slope = jacobian_product(layer.activation, z, ops.ones_like(z))
        norms = ops.sum(ops.square(kernel), axis=0)  # (latent_dim,)
        return ops.sum(ops.square(slope) * norms, axis=-1)

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        return {**terms, "contraction": outputs["contraction"]}
