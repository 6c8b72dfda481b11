"""Vector-quantised autoencoder."""

from typing import Any

from keras import ops

from aezoo.models._discrete import QuantizedAE
from aezoo.models.arguments import Argument, choice, number, units, weight
from aezoo.networks import Conv
from aezoo.nn.distributions import uniform
from aezoo.nn.layers.quantizers import VectorQuantizer
from aezoo.registry import register_family
from aezoo.utils.validation import check_number

Tensor = Any
CODEBOOK_UPDATES = ("gradient", "ema")
TINY: dict[str, Any] = {
    "input_shape": (8, 8, 1),
    "filters": (4, 6),
    "num_codes": 7,
    "code_dim": 3,
    # so that training moves the weights which the common checks expect to move
    "codebook_update": "gradient",
    "restart_below": 0.0,
}


@register_family("vq_vae", network=Conv(), tiny=TINY)
class VQVAE(QuantizedAE):
    """Vector-quantised autoencoder of van den Oord et al. (2017).

    "Neural discrete representation learning" (https://arxiv.org/abs/1711.00937): each
    vector of the encoder's map is replaced by the nearest of `num_codes` codes, and
    passes its gradient straight through. Equation 3: to the reconstruction come
    `commitment`, `|z_encoded - stop(code)|**2`, which holds the encoder near the
    codes, with weight `commitment_cost`, and `codebook`,
    `|stop(z_encoded) - code|**2`, which moves the codes. Both are means over the
    positions of the map, as in section 3.2. With `codebook_update="ema"` the codes are
    moving averages of the vectors that chose them (appendix A.1), and there is no
    term `codebook`.

    It learns no prior, so it cannot sample by itself.

    Args:
        num_codes: Codes in the codebook.
        code_dim: Width of a code.
        commitment_cost: Weight of the term `commitment`.
        codebook_update: `"ema"` or `"gradient"`.
        ema_decay: Decay of the averages per optimiser step, and of the counts of use.
        restart_below: In training, a code whose average use falls below this fraction
            of the mean over all codes moves to a random vector of the batch (Dhariwal
            et al., 2020, https://arxiv.org/abs/2005.00341, section 3.1); 0 for none.
        **kwargs: As in `AE`, without `latent_dim` and `code_activation`.
    """

    num_codes: int = units(512)
    code_dim: int = units(16)
    commitment_cost: float = weight(0.25)
    codebook_update: str = choice("ema", CODEBOOK_UPDATES, is_fixed=True)
    ema_decay: float = number(0.99, low=0.0, high=1.0)
    restart_below: float = Argument(
        0.03,
        lambda name, value: check_number(name, value, low=0.0, high=1.0),
        is_fixed=True,
    )  # type: ignore[assignment]

    def new_quantizer(self, num_codes: int | None = None) -> VectorQuantizer:
        """A codebook, which follows as the arguments say.

        Args:
            num_codes: Codes in it; None for the argument.
        """
        return VectorQuantizer(
            num_codes or self.num_codes,
            is_averaged=self.codebook_update == "ema",
            has_usage=self.restart_below > 0.0,
        )

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`, with the codes as `z_quantized`; training moves them."""
        outputs = super().call(inputs, training, sample_seed, **given)
        quantizer, indices = self.quantizer, outputs["indices"]
        outputs["z_quantized"] = quantizer.lookup(indices)
        if training and quantizer.has_usage:
            draws = None
            if self.restart_below:
                draws = uniform((quantizer.num_codes,), self.seed_generator)
            quantizer.update(
                outputs["z_encoded"], indices, self.ema_decay, self.restart_below, draws
            )
        return outputs

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        weights = {**super().loss_weights, "commitment": self.commitment_cost}
        if self.codebook_update == "gradient":
            weights["codebook"] = 1.0
        return weights

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        encoded, codes = outputs["z_encoded"], outputs["z_quantized"]
        terms["commitment"] = _mean_square(encoded - ops.stop_gradient(codes))
        if self.codebook_update == "gradient":
            terms["codebook"] = _mean_square(ops.stop_gradient(encoded) - codes)
        return terms


def _mean_square(difference: Tensor) -> Tensor:
    """Squared length at a position, mean over positions: `(batch,)`."""
    squares = ops.sum(ops.square(difference), axis=-1)
    return ops.mean(squares, axis=tuple(range(1, squares.ndim)))
