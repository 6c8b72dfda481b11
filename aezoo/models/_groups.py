"""What objectives share whose codes are made of named groups of units."""

from collections.abc import Mapping, Sequence
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


class ValuedVAE(GroupedVAE):
    """A grouped VAE that knows the units of each value of a factor. No family.

    Its subclasses have the arguments `factors`, `factor_dims` and `factor_values`, of
    which the last factor has no values.
    """

    factors: tuple[str, ...]
    factor_dims: tuple[int, ...]
    factor_values: tuple[int, ...]

    def build_layers(self) -> None:
        """Create all weights, among them the mean units of each value of a factor."""
        super().build_layers()
        self.value_means = {
            name: self.add_weight(
                shape=(values, dims),
                initializer="zeros",
                dtype="float32",
                trainable=False,
                name=f"means_of_{name}",
            )
            for name, values, dims in zip(
                self.factors, self.factor_values, self.factor_dims, strict=False
            )
        }

    def finish(
        self, x: np.ndarray, told: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Keep the mean units of each value of a factor.

        Args:
            x: As in `adapt`.
            told: The factors of the examples by name, `(n,)` each; None keeps nothing.

        Raises:
            ValueError: If a factor has other values than the model was made for.
        """
        if not told:
            return
        codes = self.encode(x)
        for name, means in self.value_means.items():
            labels, units = np.asarray(told[name]), codes[:, self.group(name)]
            values = np.arange(means.shape[0])
            if not np.array_equal(np.unique(labels), values):
                raise ValueError(
                    f"`factor_values` says that {name!r} has the values 0 to "
                    f"{values[-1]}. Received: {np.unique(labels)}."
                )
            found = [units[labels == value].mean(axis=0) for value in values]
            means.assign(np.stack(found))

    def read(self, x: Any, factor: str) -> np.ndarray:
        """The value of a factor in examples: the one whose mean units are nearest.

        Args:
            x: Examples, as in `encode`.
            factor: One of `factors` but the last.

        Returns:
            Integers, `(n,)`.
        """
        units = self.encode(x)[:, self.group(factor)]
        apart = units[:, None] - self._means_of(factor)[None]
        return np.square(apart).sum(axis=-1).argmin(axis=1)

    def move(
        self,
        x: Any,
        factor: str,
        values: Sequence[int] | None = None,
        *,
        of: str | None = None,
    ) -> Any:
        """As in `EntryPoints`: `factor` is one of `factors` but the last.

        Raises:
            ValueError: If there is no such factor, or no such value of it.
        """
        means = self._means_of(factor)
        chosen = np.arange(len(means)) if values is None else np.asarray(values)
        is_whole = chosen.ndim == 1 and chosen.size and chosen.dtype.kind in "iu"
        if not is_whole or chosen.min() < 0 or chosen.max() >= len(means):
            raise ValueError(
                f"`values` must be integers from 0 to {len(means) - 1}, those of "
                f"{factor!r}. Received: values={values!r}."
            )
        z, like, is_single = self.as_codes(x, "x", of)
        codes = np.repeat(z[:, None], len(chosen), axis=1)
        codes[:, :, self.group(factor)] = means[chosen]
        moved = self.decode_grid(codes, like)
        return self.modality.present(moved[0] if is_single else moved)

    def _means_of(self, factor: str) -> np.ndarray:
        if factor == self.factors[-1]:
            raise ValueError(
                f"{factor!r} is what the other factors leave, and has no values. "
                f"Factors with values: {', '.join(self.factors[:-1])}."
            )
        self.group(factor)
        return np.asarray(ops.convert_to_numpy(self.value_means[factor]))


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
