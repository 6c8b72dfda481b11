"""Hyperprior: an autoencoder that is trained for how many bits its codes take."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from aezoo.modalities import Image
from aezoo.models.ae import AE
from aezoo.models.arguments import Argument, keep, units, weight
from aezoo.networks import Latent, NetworkError, Transforms
from aezoo.nn import losses
from aezoo.nn.distributions import PointMass, Posterior, uniform
from aezoo.nn.layers.factorized import LEAST, FactorizedPrior
from aezoo.registry import register_family

Tensor = Any
# Of the scale of a unit: below, all of its mass is on one integer.
MIN_SCALE = 0.11
MAX_LOG_SCALE = 4.0
# Examples that `adapt` looks at.
ADAPTED = 1000


class RoundedCode(PointMass):
    """All probability on the code that is coded: distances from means, rounded.

    Args:
        y: Maps before rounding, `(batch, h, w, units)`.
        hyper: Their hyperlatents before rounding, `(batch, h/4, w/4, channels)`.
        center: The mean that is expected of each unit, as `y`.
        log_scale: The log of its scale, as `y`.
    """

    def __init__(
        self, y: Tensor, hyper: Tensor, center: Tensor, log_scale: Tensor
    ) -> None:
        self.y, self.hyper = map(ops.convert_to_tensor, (y, hyper))
        self.center, self.log_scale = map(ops.convert_to_tensor, (center, log_scale))
        super().__init__(self.center + rounded(self.y - self.center))

    def parameters(self) -> dict[str, Tensor]:
        """`{"y", "hyper", "center", "log_scale"}`."""
        return {
            "y": self.y,
            "hyper": self.hyper,
            "center": self.center,
            "log_scale": self.log_scale,
        }


def to_blocks(x: Any, block: Sequence[int], xp: Any = ops) -> Any:
    """Maps cut into blocks, which become examples of their own.

    Args:
        x: `(n, h, w, units)`; sides are multiples of a block's.
        block: Height and width of a block.
        xp: Whose `reshape` and `transpose` to use: `keras.ops`, or NumPy.

    Returns:
        `(n * blocks, *block, units)`, row by row.
    """
    (height, width), (h, w, units) = block, x.shape[1:]
    if (h, w) == (height, width):
        return x
    shape = (-1, h // height, height, w // width, width, units)
    x = xp.transpose(xp.reshape(x, shape), (0, 1, 3, 2, 4, 5))
    return xp.reshape(x, (-1, height, width, units))


def from_blocks(x: Any, count: Sequence[int], xp: Any = ops) -> Any:
    """The inverse of `to_blocks`, also of maps that were made of each block.

    Args:
        x: `(n * blocks, height, width, units)`.
        count: Blocks along both axes.
        xp: As there.
    """
    (rows, columns), (height, width, units) = count, x.shape[1:]
    if (rows, columns) == (1, 1):
        return x
    x = xp.reshape(x, (-1, rows, columns, height, width, units))
    x = xp.transpose(x, (0, 1, 3, 2, 4, 5))
    return xp.reshape(x, (-1, rows * height, columns * width, units))


def rounded(x: Tensor) -> Tensor:
    """`x` rounded; its gradient is that of `x`."""
    return x + ops.stop_gradient(ops.round(x) - x)


@register_family(
    "hyperprior",
    network=Transforms(),
    modality=Image(64, 64, 3),
    tiny={
        "input_shape": (8, 8, 1),
        "filters": (4, 5),
        "hyper_filters": 4,
        "code_dim": 3,
    },
)
class Hyperprior(AE):
    """Learned compression by a scale and mean hyperprior, of Balle et al. (2018).

    "Variational image compression with a scale hyperprior"
    (https://arxiv.org/abs/1802.01436), with means as by Minnen et al. (2018,
    https://arxiv.org/abs/1809.02736): a map of an image is rounded to integers, which
    are coded under Gaussians whose mean and scale are decoded from a smaller map, the
    hyperlatent, itself rounded and coded under a distribution of each channel. The
    objective is the length of both codes and the squared error. In training, noise
    between -1/2 and 1/2 takes the place of rounding where bits are counted; the decoder
    sees rounded maps, whose gradient is that of what was rounded.

    `aezoo.compress(model, images)` codes images of any size into bytes of that length.
    `encode` gives the rounded map, `decode` an image of it.

    Args:
        code_dim: Channels of the map.
        distortion_weight: Weight of the mean squared error of levels from 0 to 255,
            against bits per pixel: lambda of the papers, of compressai, for instance
            0.0018 to 0.0483.
        **kwargs: As in `AE`, without `latent_dim`, `reconstruction_loss`,
            `smooth_l1_beta`, `code_activation` and `sparsity`.
    """

    code_dim: int = units(96)
    distortion_weight: float = weight(0.0067)
    output_activation: str = Argument("linear", keep, is_fixed=True)  # type: ignore[assignment]
    reconstruction_loss = "mse"
    smooth_l1_beta = 1.0
    code_activation = "linear"
    sparsity = 0.0

    def check_arguments(self) -> None:
        """Refuse other networks."""
        super().check_arguments()
        if not isinstance(self.network, Transforms):
            raise NetworkError(
                f"{self.family!r} needs a network with a side channel, 'transforms'. "
                f"Received: network={self.network!r}."
            )

    # --- Codes ----------------------------------------------------------------------

    @property
    def transforms(self) -> Transforms:
        """The network."""
        return self.network  # type: ignore[return-value]

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        """Number of units of a map."""
        return math.prod(self.latent_shape)

    @property
    def latent(self) -> Latent:
        """A map with a hyperlatent."""
        return Latent(self.code_dim, is_map=True, has_hyperlatent=True)

    @property
    def heads(self) -> dict[str, int]:
        """`y`, the map before rounding."""
        return {"y": self.code_dim}

    def create_layers(self) -> None:
        """Create encoder, decoder and the side channel."""
        super().create_layers()
        self.hyper_encoder = self.transforms.hyper_encoder()
        self.hyper_decoder = self.transforms.hyper_decoder(self.code_dim)
        self.hyper_prior = FactorizedPrior(name="hyper_prior")

    def build_layers(self) -> None:
        """Create all weights, those of the side channel among them."""
        super().build_layers()
        hyper = (None, None, None, self.transforms.hyper_filters)
        for layer, shape in (
            (self.hyper_encoder, (None, None, None, 2 * self.code_dim)),
            (self.hyper_decoder, hyper),
            (self.hyper_prior, hyper),
        ):
            if not layer.built:
                layer.build(shape)

    def adapt(self, x: np.ndarray, seed: int = 0) -> None:
        """Begin with a linear transform code: principal components of patches.

        A unit of the map is as much of a component as is worth a bit by
        `distortion_weight`, and what is expected of it begins as its spread.

        Args:
            x: Training examples, `(n, *input_shape)`.
            seed: Seed of the choice among them.
        """
        self.ensure_built()
        rows = np.random.default_rng(seed).permutation(len(x))[:ADAPTED]
        drawn = self.modality.check(x[np.sort(rows)], "x")
        spread = self.transforms.start_from_components(
            self.encoder,
            self.decoder,
            ops.convert_to_numpy(self.modality.to_model(drawn)),
            step=self.step,
        )
        log_scale = np.log(np.maximum(spread, MIN_SCALE))
        bias = self.hyper_decoder.layers[-1].bias
        bias.assign(np.concatenate([np.zeros_like(log_scale), log_scale]))

    @property
    def step(self) -> float:
        """The distance of two levels, of 0 to 255, that bits and errors agree on.

        Of components that are coded one by one at a high rate, of which each halving of
        the step takes a bit and leaves a quarter of the error, step**2 / 12.
        """
        weight = max(self.distortion_weight, LEAST)
        return math.sqrt(6.0 * self.modality.channels / (weight * math.log(2.0)))

    def encode_parameters(
        self, x: Tensor, training: bool = False, **given: Tensor
    ) -> dict[str, Tensor]:
        """`y`, `hyper`, and what is expected of `y`; float32.

        Of larger images than the model's own, that is expected in blocks of its size,
        each by itself: a hyperlatent has so few positions that all of them have learnt
        to rely on the zeros beyond the rim.
        """
        y = super().encode_parameters(x, training, **given)["y"]
        block = self.latent_shape[:2]
        count = tuple(
            side // own for side, own in zip(y.shape[1:3], block, strict=True)
        )
        maps = to_blocks(y, block)
        # logs of positive and negative parts, in which scales are close to linear
        parts = ops.log1p(ops.relu(ops.concatenate([maps, -maps], axis=-1)))
        hyper = self.hyper_encoder(ops.cast(parts, self.compute_dtype))
        hyper = ops.cast(hyper, "float32")
        found = {"hyper": hyper, **self.expected(rounded(hyper), maps)}
        return {"y": y, **{k: from_blocks(v, count) for k, v in found.items()}}

    def expected(self, hyper: Tensor, y: Tensor) -> dict[str, Tensor]:
        """What is known of a map before it is decoded; float32.

        Args:
            hyper: Its hyperlatents.
            y: A map of the model's own size.

        Returns:
            `center` and `log_scale` of each unit.
        """
        both = self.hyper_decoder(ops.cast(hyper, self.compute_dtype))
        both = both[:, : y.shape[1], : y.shape[2]]
        center, log_scale = ops.split(ops.cast(both, "float32"), 2, axis=-1)
        low = math.log(MIN_SCALE)
        return {
            "center": center,
            "log_scale": low + ops.softplus(log_scale - low),
        }

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """All probability on the rounded map."""
        names = ("y", "hyper", "center", "log_scale")
        return RoundedCode(**{name: parameters[name] for name in names})

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; but in training, maps are rounded whatever the seed."""
        seed = sample_seed if training else None
        return super().call(inputs, training, seed, **given)

    def draw_code(self, posterior: Any, sample_seed: Any) -> dict[str, Tensor]:
        """The code `z`, and with a seed what stands for rounding where bits count."""
        z = posterior.mode()
        if sample_seed is None:
            return {"z": z}
        hyper = posterior.hyper + self._noise_like(posterior.hyper, sample_seed)
        y = posterior.y + self._noise_like(posterior.y, sample_seed)
        expected = self.expected(hyper, y)
        return {
            "z": expected["center"] + rounded(posterior.y - expected["center"]),
            "noisy": y,
            "noisy_hyper": hyper,
            **{f"noisy_{name}": value for name, value in expected.items()},
        }

    def _noise_like(self, x: Tensor, seed: Any) -> Tensor:
        return uniform(ops.shape(x), seed) - 0.5

    def _graph_decode_whole(self, z: Tensor) -> Tensor:
        """Images of maps of any size, which are not cut to the model's own."""
        found = self.decoder.whole(ops.cast(z, self.compute_dtype))
        return self.modality.from_model(self.point(ops.cast(found, "float32")))

    # --- Objective --------------------------------------------------------------------

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term, so that the loss is in nats of one example."""
        squares = 255.0**2 * math.log(2.0) / self.modality.channels
        return {
            "reconstruction": self.distortion_weight * squares,
            "rate": 1.0,
        }

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The squared error, and the length of map and hyperlatent in nats."""
        terms = super().compute_terms(x, outputs, step)
        if "noisy" in outputs:
            y, hyper = outputs["noisy"], outputs["noisy_hyper"]
            center, log_scale = (
                outputs[f"noisy_{name}"] for name in ("center", "log_scale")
            )
        else:
            y, hyper = outputs["z"], ops.round(outputs["hyper"])
            center, log_scale = outputs["center"], outputs["log_scale"]
        log_mass = losses.sum_per_example(log_mass_of(y - center, log_scale))
        hyper_log_mass = losses.sum_per_example(self.hyper_prior(hyper))
        return {**terms, "rate": -log_mass - hyper_log_mass}


def log_mass_of(distance: Tensor, log_scale: Tensor) -> Tensor:
    """Log of the mass of a Gaussian around 0 from half below to half above a value.

    Args:
        distance: The value.
        log_scale: Log of the standard deviation.
    """
    scale = ops.exp(ops.minimum(log_scale, MAX_LOG_SCALE))
    upper, lower = (
        (half - ops.abs(distance)) / (scale * math.sqrt(2.0)) for half in (0.5, -0.5)
    )
    # in the lower tail, where differences are exact
    mass = 0.5 * (ops.erfc(-upper) - ops.erfc(-lower))
    return ops.log(ops.maximum(mass, LEAST))
