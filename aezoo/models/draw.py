"""DRAW: a recurrent VAE that looks at an example and draws it step by step."""

from typing import Any

import numpy as np
from keras import ops

from aezoo.errors import UnsupportedOperationError
from aezoo.models.arguments import units
from aezoo.models.hierarchical_vae import HierarchicalVAE
from aezoo.networks import Latent
from aezoo.networks.draw import Draw
from aezoo.registry import register_family
from aezoo.utils.validation import check_positive_int, check_seed

Tensor = Any


@register_family(
    "draw",
    network=Draw(),
    tiny={
        "input_shape": (8, 8, 1),
        "latent_dim": 3,
        "steps": 3,
        "encoder_units": 12,
        "decoder_units": 16,
        "read_size": 2,
        "write_size": 3,
    },
)
class DRAW(HierarchicalVAE):
    """Deep recurrent attentive writer of Gregor et al. (2015).

    "DRAW: a recurrent neural network for image generation"
    (https://arxiv.org/abs/1502.04623), equations 3 to 8: at each step an LSTM reads
    the example and what the canvas lacks of it, another one decodes a latent, and adds
    what it writes to the canvas. The canvas after the last step is the decoder's
    output. Reading and writing are either through a grid of Gaussian filters, which
    the decoder places, scales and sharpens (section 3.2), or of the whole
    (section 3.1).

    A code is one vector per step, `(steps, latent_dim)`.

    Args:
        latent_dim: Units of the latent of one step.
        **kwargs: As in `HierarchicalVAE`.
    """

    latent_dim: int = units(10)
    rematerialise = False

    @property
    def latent(self) -> Latent:
        """A vector per step."""
        return Latent(self.latent_dim, is_hierarchical=True)

    def generate_steps(
        self, n: int, seed: int | None = None, *, temperature: float = 1.0
    ) -> np.ndarray:
        """New examples as they come to be: the canvas after each step.

        Args:
            n: Number of examples; at least 1.
            seed: Same seed, same examples, on every backend. None draws afresh.
            temperature: As in `sample`.

        Returns:
            Shape `(n, steps, *input_shape)`; of images float32 in [0, 1]. After
            the last step, `sample(n, seed, temperature=temperature)`.
        """
        check_positive_int("n", n)
        generator = np.random.default_rng(check_seed(seed))
        return self.decode_steps(self.draw_codes(n, generator, temperature))

    def decode_steps(self, z: Any, batch_size: int = 256) -> np.ndarray:
        """Examples of codes as they come to be: the canvas after each step.

        Args:
            z: Codes `(n, steps, latent_dim)`, float; `encode` gives those of examples.
            batch_size: Codes per compiled call; does not change the result.

        Returns:
            Shape `(n, steps, *input_shape)`; of images float32 in [0, 1]. After
            the last step, `decode(z)`.
        """
        return self.run("decode_steps", self.check_codes(z), batch_size)

    def _graph_decode_steps(self, z: Tensor) -> Tensor:
        canvases = self.decoder.canvases(ops.cast(z, self.compute_dtype))
        shown = self.point(ops.stack(canvases, axis=1))
        return self.modality.from_model(shown)

    def windows(self, x: Any, batch_size: int = 256) -> dict[str, np.ndarray]:
        """Where the model looks, and where it draws, step by step.

        Args:
            x: Examples `(n, *input_shape)`, which it reconstructs from the modes of its
                latents.
            batch_size: Examples per compiled call.

        Returns:
            `read` and `write`, float32 `(n, steps, 4)`: top, left, bottom and right of
            the attention's window in pixels, which may lie outside the image.

        Raises:
            UnsupportedOperationError: If the model neither reads nor writes with
                attention.
        """
        network: Any = self.network
        if network.read_size is None and network.write_size is None:
            raise UnsupportedOperationError(
                f"{self.name!r} reads and writes the whole {self.modality.noun} at "
                "each step, without attention, so it has no windows."
            )
        return dict(self.run("windows", self.modality.check(x), batch_size))

    def _graph_windows(self, x: Tensor) -> dict[str, Tensor]:
        tensors = self.to_tensors(x, self.compute_dtype)
        return dict(self.encoder.windows(tensors, self.point))
