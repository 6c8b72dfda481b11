"""Vector-quantised autoencoder."""

from collections.abc import Sequence
from typing import Any, ClassVar

from keras import ops

from aezoo.models._discrete import QuantizedAutoencoder
from aezoo.nn.distributions import uniform
from aezoo.nn.layers import VectorQuantizer
from aezoo.registry import register_family
from aezoo.utils.validation import check_choice, check_number, check_positive_int

Tensor = Any
CODEBOOK_UPDATES = ("gradient", "ema")


@register_family("vq_vae")
class VQVAE(QuantizedAutoencoder):
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
        input_shape: Image shape `(height, width, channels)`.
        num_codes: Codes in the codebook.
        code_dim: Width of a code.
        commitment_cost: Weight of the term `commitment`.
        codebook_update: `"ema"` or `"gradient"`.
        ema_decay: Decay of the averages per optimiser step, and of the counts of use.
        restart_below: In training, a code whose average use falls below this fraction
            of the mean over all codes moves to a random vector of the batch (Dhariwal
            et al., 2020, https://arxiv.org/abs/2005.00341, section 3.1); 0 for none.
        **kwargs: As in `ConvMapNetwork` and `DeterministicAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "filters": (4, 6),
        "num_codes": 7,
        "code_dim": 3,
        # so that training moves the weights which the common checks expect to move
        "codebook_update": "gradient",
        "restart_below": 0.0,
    }

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        *,
        num_codes: int = 512,
        code_dim: int = 16,
        commitment_cost: float = 0.25,
        codebook_update: str = "ema",
        ema_decay: float = 0.99,
        restart_below: float = 0.03,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, **kwargs)
        self.num_codes = check_positive_int("num_codes", num_codes)
        self.code_dim = check_positive_int("code_dim", code_dim)
        self.commitment_cost = check_number("commitment_cost", commitment_cost, low=0.0)
        self.codebook_update = check_choice(
            "codebook_update", codebook_update, CODEBOOK_UPDATES
        )
        self.ema_decay = check_number("ema_decay", ema_decay, low=0.0, high=1.0)
        self.restart_below = check_number(
            "restart_below", restart_below, low=0.0, high=1.0
        )
        self.add_networks(self.code_dim, self.new_quantizer(self.num_codes))

    def new_quantizer(self, num_codes: int) -> VectorQuantizer:
        """A quantiser of so many codes, which follow as the arguments say."""
        return VectorQuantizer(
            num_codes,
            is_averaged=self.codebook_update == "ema",
            has_usage=self.restart_below > 0.0,
        )

    def call(
        self, inputs: Tensor, training: bool = False, sample_seed: Any = None
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`, with the codes as `z_quantized`; training moves them."""
        outputs = super().call(inputs, training, sample_seed)
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

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "num_codes": self.num_codes,
            "code_dim": self.code_dim,
            "commitment_cost": self.commitment_cost,
            "codebook_update": self.codebook_update,
            "ema_decay": self.ema_decay,
            "restart_below": self.restart_below,
        }


def _mean_square(difference: Tensor) -> Tensor:
    """Squared length at a position, mean over positions: `(batch,)`."""
    squares = ops.sum(ops.square(difference), axis=-1)
    return ops.mean(squares, axis=tuple(range(1, squares.ndim)))
