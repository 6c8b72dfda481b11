"""What objectives share whose codes are made of named groups of units."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from keras import ops

from aezoo.modalities import Label, Modality
from aezoo.models.vae import VAE
from aezoo.nn.distributions import DiagonalGaussian
from aezoo.utils.text import did_you_mean

Tensor = Any
# Labels only say which examples of a batch are alike, whatever their number.
ANY_LABEL = 2**31 - 1


class GroupedVAE(VAE):
    """A VAE whose code is made of groups of units, one for each factor. No family.

    Batches for `fit` are `(x, {factor: integers})`, which say what examples have in
    common, or `x` alone, of which each is by itself.
    """

    @property
    def group_sizes(self) -> Mapping[str, int]:
        """Units of each group by the name of its factor, in the order of the code."""
        raise NotImplementedError

    @property
    def latent_groups(self) -> dict[str, slice]:
        """Where in a code the units of each group stand."""
        ends = np.cumsum([*self.group_sizes.values()]).tolist()
        starts = [0, *ends[:-1]]
        return {
            name: slice(start, end)
            for name, start, end in zip(self.group_sizes, starts, ends, strict=True)
        }

    @property
    def told_in_training(self) -> Mapping[str, Modality]:
        """Which value each factor has, as integers of any meaning; -1 is unknown."""
        return {name: Label(ANY_LABEL) for name in self.group_sizes}

    def group(self, name: str) -> slice:
        """Where in a code the units of a factor stand.

        Raises:
            ValueError: If there is no such factor; names those that there are.
        """
        groups = self.latent_groups
        if name not in groups:
            raise ValueError(
                f"{self.name!r} has no factor {name!r}.{did_you_mean(name, groups)} "
                f"It has: {', '.join(groups)}."
            )
        return groups[name]

    def of_group(self, name: str) -> Tensor:
        """Ones at the units of a factor, zeros at the others, `(latent_dim,)`."""
        row = np.zeros(self.latent_dim, "float32")
        row[self.group(name)] = 1.0
        return ops.convert_to_tensor(row)

    def make_posterior(self, parameters: dict[str, Tensor]) -> DiagonalGaussian:
        """A diagonal Gaussian."""
        return DiagonalGaussian(parameters["z_mean"], parameters["z_log_var"])

    def infer_alone(self, inputs: Tensor, training: bool = False) -> DiagonalGaussian:
        """The posterior of each example by itself, inside a graph."""
        return cast("DiagonalGaussian", super().infer(inputs, training))

    def decode_parameters(
        self, z: Tensor, training: bool = False, **told: Tensor
    ) -> Tensor:
        """As in `Autoencoder`; what is told says nothing that a code does not."""
        del told
        return super().decode_parameters(z, training)


def alike(labels: Tensor) -> Tensor:
    """Which examples of a batch have the same label, themselves at least.

    Args:
        labels: Integers, `(batch,)`; -1 is unknown, so like no other.

    Returns:
        Float32 zeros and ones, `(batch, batch)`.
    """
    known = ops.logical_and(labels[:, None] == labels[None, :], labels[:, None] >= 0)
    itself = ops.eye(ops.shape(labels)[0], dtype="bool")
    return ops.cast(ops.logical_or(known, itself), "float32")
