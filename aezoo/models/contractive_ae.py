"""Dense autoencoder whose code resists small changes of the image."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.models.autoencoder import Autoencoder
from aezoo.models.dense_ae import DenseAE
from aezoo.nn import losses
from aezoo.nn.backend import jacobian_product
from aezoo.registry import register_family
from aezoo.utils.validation import check_choice, check_number

Tensor = Any
ESTIMATORS = ("exact", "hutchinson")


class Contraction(Autoencoder):
    """The contractive term on any encoder; precedes a family in a family's bases.

    `contraction` is the squared Frobenius norm of the Jacobian of the code with
    respect to the image, estimated without bias along one random direction per image
    (Hutchinson, 1990); of the clean image, also with `corruption`.

    Args:
        *args: Arguments of the family.
        contraction_weight: Weight of the term.
        **kwargs: Arguments of the family.
    """

    def __init__(
        self, *args: Any, contraction_weight: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.contraction_weight = check_number(
            "contraction_weight", contraction_weight, low=0.0
        )

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {**super().loss_weights, "contraction": self.contraction_weight}

    def call(
        self, inputs: Tensor, training: bool = False, sample_seed: Any = None
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; also `contraction`, `(batch,)`.

        Args:
            inputs: Images `(batch, *input_shape)`.
            training: As in `Autoencoder`.
            sample_seed: Draws the direction of the derivative.
        """
        outputs = super().call(inputs, training, sample_seed)
        x = self.to_unit_range(inputs)
        noise = self.noise(ops.shape(x), training, sample_seed)
        return {**outputs, "contraction": self.contraction(x, noise)}

    def contraction(self, x: Tensor, noise: Tensor) -> Tensor:
        """The term at images in [0, 1], along the signs of `noise`; `(batch,)`."""
        return losses.squared_jacobian_norm(
            lambda x: self.encode_parameters(ops.cast(x, self.compute_dtype))["z"],
            x,
            noise,
        )

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        return {**terms, "contraction": outputs["contraction"]}

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {**super().config, "contraction_weight": self.contraction_weight}


@register_family("contractive_ae")
class ContractiveAE(Contraction, DenseAE):
    """Contractive autoencoder of Rifai et al. (2011).

    "Contractive auto-encoders: explicit invariance during feature extraction"
    (https://icml.cc/2011/papers/455_icmlpaper.pdf), equation 3: the reconstruction
    error plus `contraction_weight` times `contraction`, the squared Frobenius norm of
    the Jacobian of the code with respect to the image. With one layer to the code, as
    in the paper, it is known in closed form (section 3.2); deeper ones
    (`hidden_units`) estimate it. The weights of the decoder are its own, not the
    encoder's transposed.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        hidden_units: Width of each hidden layer of the encoder.
        code_activation: Keras activation of the code.
        estimator: `"exact"`, which needs `hidden_units=()` and an activation of each
            unit by itself, or `"hutchinson"`, one random direction per image.
        **kwargs: As in `Contraction` and `DenseAE`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "latent_dim": 8,
        "reconstruction_loss": "bce",  # as in the paper
        "contraction_weight": 0.01,
    }

    def __init__(
        self,
        *args: Any,
        hidden_units: Sequence[int] = (),
        code_activation: str = "sigmoid",
        estimator: str = "exact",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *args, hidden_units=hidden_units, code_activation=code_activation, **kwargs
        )
        self.estimator = check_choice("estimator", estimator, ESTIMATORS)
        if estimator == "exact" and (
            self.hidden_units or code_activation in ("softmax", "log_softmax")
        ):
            raise ValueError(
                "`estimator='exact'` needs one layer to the code, `hidden_units=()`, "
                "and a `code_activation` of each unit by itself. Received: "
                f"hidden_units={self.hidden_units!r}, "
                f"code_activation={code_activation!r}. Use `estimator='hutchinson'`."
            )

    def contraction(self, x: Tensor, noise: Tensor) -> Tensor:
        """The term at images in [0, 1], along the signs of `noise`; `(batch,)`.

        For one layer `activation(W'x + b)` it is the sum over code units of the
        squared slope of the activation times the squared norm of the unit's weights.
        """
        if self.estimator != "exact":
            return super().contraction(x, noise)
        layer: keras.layers.Dense = self.encoder.heads["z"]
        # Mixed precision lowers weights inside `call`.
        kernel, bias = (ops.cast(w, "float32") for w in (layer.kernel, layer.bias))
        flat = ops.reshape(x, (-1, kernel.shape[0]))  # (batch, pixels)
        z = ops.matmul(flat, kernel) + bias
        slope = jacobian_product(layer.activation, z, ops.ones_like(z))
        norms = ops.sum(ops.square(kernel), axis=0)  # (latent_dim,)
        return ops.sum(ops.square(slope) * norms, axis=-1)

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {**super().config, "estimator": self.estimator}
