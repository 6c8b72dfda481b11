"""What families with a chain of latents share: one code, its levels, one walk."""

import math
from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np
from keras import ops

from aezoo.models.autoencoder import VariationalAutoencoder
from aezoo.nn import losses
from aezoo.nn.distributions import GaussianChain, Posterior, check_seed, standard_normal
from aezoo.nn.layers import LATENT, Encoder
from aezoo.utils.validation import check_number, check_positive_int

Tensor = Any


class ChainedLatents(VariationalAutoencoder):
    """A VAE with many latents, of which each depends on those before it.

    The code of an image is all of them at once, each in units of its own prior given
    the ones before it. So the prior over codes is the standard normal, whatever the
    family's prior over latents; a latent at 0 is the most probable one; and all that
    works on codes works on chains: `decode`, `interpolate`, samplers, metrics.

    A family lists `level_shapes` and walks along the chain in `walk`. Not a family
    itself.

    Args:
        *args: As in `VariationalAutoencoder`.
        **kwargs: As in `VariationalAutoencoder`.
    """

    HEADS: ClassVar[tuple[str, ...]] = ("x",)
    KL_DRAWS: ClassVar[int] = 4
    KL_ESTIMATE: ClassVar[str] = "sum_l KL(q(z_l|z_<l,x)||p(z_l|z_<l)) in closed form"

    @property
    def level_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each latent, in the order in which they are drawn."""
        raise NotImplementedError

    def walk(
        self,
        x: Tensor,
        noise: Tensor | None = None,
        z: Tensor | None = None,
        training: bool = False,
    ) -> dict[str, Tensor]:
        """Go along the chain of images once, and decode.

        Args:
            x: Images in [0, 1], float, `(batch, *input_shape)`.
            noise: Draws each latent with it; `(batch, *latent_shape)`.
            z: The code that is taken instead, of that shape; one of both is given.
            training: As in `call`.

        Returns:
            The code `z`; `z_mean` and `z_log_var` of each latent given the image and
            the latents before it, all `(batch, *latent_shape)`; and `decoder_output`.
            All float32.
        """
        raise NotImplementedError

    # --- Graph ------------------------------------------------------------------

    def call(
        self, inputs: Tensor, training: bool = False, sample_seed: Any = None
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; code, its factors and the image come from one walk."""
        x = self.infer(inputs, training).parameters()["x"]
        if training and sample_seed is None:
            sample_seed = self.seed_generator
        shape = (ops.shape(x)[0], *self.latent_shape)
        is_mode = sample_seed is None
        noise = ops.zeros(shape) if is_mode else standard_normal(shape, sample_seed)
        outputs = self.walk(x, noise=noise, training=training)
        return {**outputs, "x_hat": self.to_pixels(outputs["decoder_output"]), "x": x}

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """The chain of Gaussians of images."""
        return GaussianChain(
            parameters["x"], self._walk_posterior, self.latent_shape, self.KL_DRAWS
        )

    def _walk_posterior(self, x: Tensor, **given: Tensor) -> dict[str, Tensor]:
        """`walk`; compiled and in batches where `posterior(x)` holds NumPy arrays."""
        if not isinstance(x, np.ndarray):
            return self.walk(x, **given)
        ((name, codes),) = given.items()
        codes = np.ascontiguousarray(codes, "float32")
        path: dict[str, np.ndarray] = self._run(f"walk_{name}", codes, 256, x=x)
        return path

    def _graph_walk_noise(self, noise: Tensor, x: Tensor) -> dict[str, Tensor]:
        return self._factors(self.walk(x, noise=noise))

    def _graph_walk_z(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        return self._factors(self.walk(x, z=z))

    @staticmethod
    def _factors(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: outputs[name] for name in ("z", "z_mean", "z_log_var")}

    def kl_term(self, outputs: dict[str, Tensor]) -> Tensor:
        """Sum of the factors' KLs along the path that `call` walked, `(batch,)`."""
        return losses.gaussian_kl(outputs["z_mean"], outputs["z_log_var"])

    # --- Levels -----------------------------------------------------------------

    def split_levels(self, z: Any) -> list[np.ndarray]:
        """The latents of codes, in the order in which they are drawn.

        Args:
            z: Codes `(n, *latent_shape)`, as `encode` gives them.

        Returns:
            One array `(n, *shape)` for each of `level_shapes`.
        """
        codes = self._check_codes(z).reshape(len(z), -1)
        levels = np.split(codes, self._level_ends[:-1], axis=1)
        return [
            level.reshape(-1, *shape)
            for level, shape in zip(levels, self.level_shapes, strict=True)
        ]

    @property
    def _level_ends(self) -> np.ndarray:
        """Number of units in the first level, in the first two, and so on."""
        return np.cumsum([math.prod(shape) for shape in self.level_shapes])

    def reconstruct_by_level(self, x: Any) -> np.ndarray:
        """What each level adds: images of the first level alone, the first two...

        The latents that are left out are the most probable ones under the prior.

        Args:
            x: Images `(n, *input_shape)`: uint8, or floats in [0, 1].

        Returns:
            Shape `(n, levels, *input_shape)`; the last column is `reconstruct(x)`.
            uint8 if `x` is uint8, else float32 in [0, 1].
        """
        images = self._check_images(x)
        codes = self.encode(images).reshape(len(images), 1, -1)
        is_kept = np.arange(codes.shape[-1]) < self._level_ends[:, None]
        grid = (codes * is_kept).reshape(len(images), -1, *self.latent_shape)
        return self._decode_grid(grid, images.dtype == np.uint8)

    def resample(
        self, x: Any, levels: int, seed: int | None = None, temperature: float = 1.0
    ) -> np.ndarray:
        """Images that share their first latents with given ones; the rest is drawn.

        Args:
            x: Images `(n, *input_shape)`: uint8, or floats in [0, 1].
            levels: How many levels keep the mode of the posterior; 0 draws all anew,
                and `len(level_shapes)` reconstructs.
            seed: Same seed, same images, on every backend. None draws afresh.
            temperature: As in `sample`.

        Returns:
            Float32 in [0, 1], shape `(n, *input_shape)`.

        Raises:
            ValueError: If there are no such levels, or as in `encode`.
        """
        most = len(self.level_shapes)
        if not isinstance(levels, int | np.integer) or not 0 <= levels <= most:
            raise ValueError(
                f"`levels` must be an integer in [0, {most}], the number of levels to "
                f"keep. Received: levels={levels!r}."
            )
        kept = self.encode(x)
        generator = np.random.default_rng(check_seed(seed))
        codes = self._draw_codes(len(kept), generator, temperature)
        units = self._level_ends[levels - 1] if levels else 0
        codes.reshape(len(kept), -1)[:, :units] = kept.reshape(len(kept), -1)[:, :units]
        return self.decode(codes)

    def sample(
        self,
        n: int,
        seed: int | None = None,
        *,
        sampler: str = "prior",
        pixel_noise: bool = False,
        labels: Any = None,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """As in `Autoencoder`, at a temperature.

        Args:
            n: As there.
            seed: As there.
            sampler: As there.
            pixel_noise: As there.
            labels: As there.
            temperature: Factor on the standard deviation of each latent under the
                prior: below 1 for more typical images, 0 for the most probable code.

        Returns:
            Float32 in [0, 1], shape `(n, *input_shape)`.
        """
        check_positive_int("n", n)
        generator = np.random.default_rng(check_seed(seed))
        z = self._draw_codes(n, generator, temperature, sampler, labels)
        return self._sample_images(z, generator, pixel_noise)

    def _draw_codes(
        self,
        n: int,
        generator: np.random.Generator,
        temperature: float,
        sampler: str = "prior",
        labels: Any = None,
    ) -> np.ndarray:
        """Codes at a temperature."""
        check_number("temperature", temperature, low=0.0)
        codes = self._sample_codes(n, generator, sampler, labels)
        return np.float32(temperature) * codes


class ChainEncoder(Encoder):
    """An encoder whose codes also depend on the decoder: the posterior is a chain.

    Args:
        decoder: The decoder, which walks along the chain.
    """

    def __init__(self, decoder: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decoder = decoder

    def features(self, inputs: Tensor, names: Collection[str]) -> dict[str, Any]:
        """As in `Encoder`; what a chain needs to know of an image is the image."""
        found = super().features(inputs, [name for name in names if name != LATENT])
        return {**found, LATENT: {"x": inputs}} if LATENT in names else found
