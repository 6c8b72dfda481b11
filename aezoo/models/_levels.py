"""What people call on a model of hierarchical latents beside all else."""

from typing import Any

import numpy as np

from aezoo.utils.validation import check_number, check_seed


class Levels:
    """The methods of `HierarchicalVAE` for people; not of use by itself."""

    def split_levels(self: Any, z: Any) -> list[np.ndarray]:
        """The latents of codes, in the order in which they are drawn.

        Args:
            z: Codes `(n, *latent_shape)`, as `encode` gives them.

        Returns:
            One array `(n, *shape)` for each of `level_shapes`.
        """
        codes = self.check_codes(z).reshape(len(z), -1)
        levels = np.split(codes, self.level_ends[:-1], axis=1)
        return [
            level.reshape(-1, *shape)
            for level, shape in zip(levels, self.level_shapes, strict=True)
        ]

    def reconstruct_by_level(self: Any, x: Any) -> np.ndarray:
        """What each level adds: examples of the first level alone, the first two...

        The latents that are left out are the most probable ones under the prior.

        Args:
            x: Examples `(n, *input_shape)`.

        Returns:
            Shape `(n, levels, *input_shape)`; the last column is `reconstruct(x)`.
            Of the dtype of `x`.
        """
        examples = self.modality.check(x)
        codes = self.encode(examples).reshape(len(examples), 1, -1)
        is_kept = np.arange(codes.shape[-1]) < self.level_ends[:, None]
        grid = (codes * is_kept).reshape(len(examples), -1, *self.latent_shape)
        return self.decode_grid(grid, examples.dtype.name)

    def resample(
        self: Any,
        x: Any,
        levels: int,
        seed: int | None = None,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """Examples that share their first latents with given ones; the rest is drawn.

        Args:
            x: Examples `(n, *input_shape)`.
            levels: How many levels keep the mode of the posterior; 0 draws all anew,
                and `len(level_shapes)` reconstructs.
            seed: Same seed, same examples, on every backend. None draws afresh.
            temperature: As in `sample`.

        Returns:
            As `sample`, shape `(n, *input_shape)`.

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
        codes = self.draw_codes(len(kept), generator, temperature)
        units = self.level_ends[levels - 1] if levels else 0
        codes.reshape(len(kept), -1)[:, :units] = kept.reshape(len(kept), -1)[:, :units]
        return self.decode(codes)

    def draw_codes(
        self: Any,
        n: int,
        generator: np.random.Generator,
        temperature: float,
        sampler: str = "prior",
        labels: Any = None,
    ) -> np.ndarray:
        """Codes at a temperature."""
        check_number("temperature", temperature, low=0.0)
        codes = self.sample_codes(n, generator, sampler, labels)
        return np.float32(temperature) * codes
