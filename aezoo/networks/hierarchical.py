"""What networks of hierarchical latents share: each latent depends on those before."""

import abc
import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network
from aezoo.networks.stages import LATENT, Encoder

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Hierarchical(Network):
    """A network with many latents, of which each depends on those before it.

    Its encoder walks through them together with its decoder; no network itself.
    """

    @abc.abstractmethod
    def level_shapes(
        self, modality: Modality, latent: Latent
    ) -> tuple[tuple[int, ...], ...]:
        """Shape of each latent, in the order in which they are drawn."""

    @abc.abstractmethod
    def pair(
        self, modality: Modality, width: int, latent: Latent
    ) -> tuple["HierarchicalEncoder", Any]:
        """A new encoder and the decoder that it walks with.

        Args:
            modality: What an example is.
            width: Parameters per position of an example.
            latent: What the objective needs.
        """

    def encoder(
        self,
        modality: Modality,
        heads: Mapping[str, int],  # noqa: ARG002
        latent: Latent,
    ) -> Any:
        """Refused: it has no encoder without its decoder."""
        raise self.cannot_carry(modality, latent)

    def decoder(self, modality: Modality, width: int, latent: Latent) -> Any:
        """A decoder alone."""
        return self.pair(modality, width, latent)[1]


class HierarchicalEncoder(Encoder):
    """An encoder whose latents also depend on the decoder.

    Args:
        decoder: The decoder, which it walks with.
    """

    def __init__(self, decoder: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decoder = decoder

    def walk(
        self,
        x: Tensor,
        noise: Tensor | None,
        z: Tensor | None,
        point: Callable[[Tensor], Tensor],
        is_recomputed: bool,
    ) -> dict[str, Tensor]:
        """Go through the latents of examples once, and decode.

        Args:
            x: Examples as tensors, `(batch, *tensor_shape)`.
            noise: Draws each latent with it; `(batch, *latent_shape)`.
            z: The code that is taken instead, of that shape; one of both is given.
            point: From parameters of the likelihood to what is shown.
            is_recomputed: Whether the backward pass computes blocks once more.

        Returns:
            The code `z`; `z_mean` and `z_log_var` of each latent given the example and
            the latents before it, all `(batch, *latent_shape)`; and `decoder_output`.
            All float32.
        """
        raise NotImplementedError

    def features(self, inputs: Tensor, names: Collection[str]) -> dict[str, Any]:
        """As in `Encoder`; what hierarchical latents need to know is the example."""
        found = super().features(inputs, [name for name in names if name != LATENT])
        return {**found, LATENT: {"x": inputs}} if LATENT in names else found
