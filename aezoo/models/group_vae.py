"""VAE of grouped examples: style and content as two groups of latents."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from aezoo.modalities import Label, Modality
from aezoo.models._groups import ANY_LABEL, GroupedVAE, alike
from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import flag, units
from aezoo.networks import Conv
from aezoo.nn.distributions import DiagonalGaussian
from aezoo.registry import register_family

Tensor = Any


class PooledGaussian(DiagonalGaussian):
    """A Gaussian posterior of which a unit may belong to several examples.

    Args:
        z_mean: Mean, `(batch, latent_dim)`.
        z_log_var: Natural log of the variance, same shape.
        share: Of its KL, how much counts for this example: one over the number of
            examples that share the unit; same shape.
    """

    def __init__(self, z_mean: Tensor, z_log_var: Tensor, share: Tensor) -> None:
        super().__init__(z_mean, z_log_var)
        self.share = share

    def kl(self) -> Tensor:
        """KL to the standard normal, that of each group once, `(batch,)`."""
        excess = ops.expm1(self.log_var) - self.log_var
        return 0.5 * ops.sum(self.share * (ops.square(self.mean) + excess), axis=-1)

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_mean", "z_log_var", "share"}`."""
        return {**super().parameters(), "share": self.share}


@register_family("group_vae", network=Conv(), tiny={**TINY_CONV, "style_dim": 1})
class GroupVAE(GroupedVAE):
    """Multi-level VAE of Bouchacourt et al. (2018): style and content apart.

    "Multi-level variational autoencoder: learning disentangled representations from
    grouped observations" (https://arxiv.org/abs/1705.08841), algorithm 1: the
    posterior of what examples of a group have in common is the product of those that
    each gives alone. Here both parts are of groups: the first `style_dim` units of a
    code are shared by the examples of one style, the others by those of one content.
    In place of one draw a group each example has its own. Batches for `fit` are `(x,
    {"style": integers, "content": integers})`, in which groups recur: an example that
    is alone in its group, or whose group is unknown, -1, is learnt from as by a VAE,
    and so is `x` alone. `encode` sees each example by itself.

    If `adaptive`, nobody says which units examples share. Batches are `(x, {"pair":
    integers})`: the two examples of a number differ in few factors, whichever. Of each
    pair the units whose posteriors differ by less than halfway from the least to the
    most are shared, with the mean of both means and variances. This is Ada-GVAE of
    Locatello et al. (2020), "Weakly-supervised disentanglement without compromises"
    (https://arxiv.org/abs/2002.02886), section 4.

    Args:
        style_dim: Units of the style, below `latent_dim`; the rest is the content's.
        adaptive: Whether pairs are told in the place of style and content.
        **kwargs: As in `VAE`.
    """

    style_dim: int = units(8)
    adaptive: bool = flag(False)

    def check_arguments(self) -> None:
        """Refuse a style that leaves no unit for the content."""
        super().check_arguments()
        if self.style_dim >= self.latent_dim:
            raise ValueError(
                "`style_dim` must be below `latent_dim`, so that units are left for "
                f"the content. Received: style_dim={self.style_dim}, "
                f"latent_dim={self.latent_dim}."
            )

    @property
    def group_sizes(self) -> Mapping[str, int]:
        """Units of style and content."""
        return {"style": self.style_dim, "content": self.latent_dim - self.style_dim}

    @property
    def told_in_training(self) -> Mapping[str, Modality]:
        """Style and content, or pairs, as integers of any meaning; -1 is unknown."""
        return {"pair": Label(ANY_LABEL)} if self.adaptive else super().told_in_training

    def check_given(
        self,
        name: str,
        value: Any,
        n: int,
        known: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """As in `EntryPoints`; refuses groups of which each is of one example.

        Raises:
            ValueError: If so, as no two examples then have anything in common; or if
                more than two are a pair.
        """
        labels = super().check_given(name, value, n, known)
        groups = labels[labels >= 0]
        sizes = np.unique(groups, return_counts=True)[1]
        if name == "pair" and sizes.max(initial=0) > 2:
            raise ValueError(
                "`pair` must number pairs: two examples of a batch may have the same "
                f"number, no more. Received: pair={labels[:8]}."
            )
        if len(groups) > 1 and len(np.unique(groups)) == len(groups):
            raise ValueError(
                f"`{name}` puts each of {len(groups)} examples into a group of one "
                "example, which says nothing of what examples have in common. Let "
                "groups recur, in every batch of a dataset; or pass -1 where they are "
                "not known."
            )
        return labels

    def infer(
        self, inputs: Tensor, training: bool = False, **told: Tensor
    ) -> DiagonalGaussian:
        """The posterior of each example alone, or with its groups where it is told."""
        posterior = self.infer_alone(inputs, training)
        if not told:
            return posterior
        if self.adaptive:
            return shared_by_pairs(posterior, told["pair"])
        precision = ops.exp(-posterior.log_var)
        weighted, total, size = 0.0, 0.0, 0.0
        for name, labels in told.items():
            members, here = alike(labels), self.of_group(name)
            total += here * ops.matmul(members, precision)
            weighted += here * ops.matmul(members, precision * posterior.mean)
            size += here * ops.sum(members, axis=1, keepdims=True)
        return PooledGaussian(weighted / total, -ops.log(total), 1.0 / size)

    def make_posterior(self, parameters: dict[str, Tensor]) -> DiagonalGaussian:
        """A diagonal Gaussian, of single examples or of groups."""
        if "share" not in parameters:
            return super().make_posterior(parameters)
        names = ("z_mean", "z_log_var", "share")
        return PooledGaussian(*(parameters[name] for name in names))

    def swap(self, content_of: Any, style_of: Any) -> Any:
        """The content of some examples in the style of others.

        Args:
            content_of: Examples `(n, *input_shape)`, as in `encode`.
            style_of: As many, or one for all, `(1, *input_shape)`.

        Returns:
            Shape `(n, *input_shape)`, of the dtype of `content_of`.

        Raises:
            ValueError: If the numbers differ, or what `encode` refuses.
        """
        content = self.modality.check(content_of, "content_of")
        style = self.modality.check(style_of, "style_of")
        if len(style) not in (1, len(content)):
            raise ValueError(
                "`style_of` must hold one example, or as many as `content_of`. "
                f"Received: {len(style)} and {len(content)}."
            )
        z, here = np.array(self.encode(content)), self.group("style")
        z[:, here] = self.encode(style)[:, here]
        shown = self.decode_grid(z[:, None], content.dtype.name)[:, 0]
        return self.modality.present(shown)

    def complete(self, examples: Any, characters: Any) -> Any:
        """More examples in a style that a few of them show, e.g. a font from 5 letters.

        The evidence of all `examples` on the style is multiplied, as in training.

        Args:
            examples: Of one style, `(n, *input_shape)`, as in `encode`; of a single
                one the style is what `encode` sees.
            characters: Which contents, shown in any other style: `(m, *input_shape)`;
                or `(m, k, *input_shape)`, by several examples each, whose evidence on
                the content is multiplied.

        Returns:
            Shape `(m, *input_shape)`, of the dtype of `examples`.

        Raises:
            ValueError: If `encode` refuses the examples or characters.
        """
        known = self.modality.check(examples, "examples")
        shown = np.asarray(characters)
        if shown.ndim == len(self.input_shape) + 1:
            shown = shown[:, None]
        flat = shown.reshape(-1, *shown.shape[2:])
        contents = self.posterior(self.modality.check(flat, "characters"))
        z = pooled_mean(contents, shown.shape[:2])
        z[:, self.group("style")] = pooled_mean(self.posterior(known), (1, len(known)))[
            :, self.group("style")
        ]
        completed = self.decode_grid(z[:, None], known.dtype.name)[:, 0]
        return self.modality.present(completed)


def shared_by_pairs(posterior: DiagonalGaussian, labels: Tensor) -> DiagonalGaussian:
    """Posteriors whose nearest units are those of both examples of a pair.

    Locatello et al. (2020), section 4: the KL divergence of each unit from the earlier
    example of a pair to the later one; units below the middle of its least and its most
    are shared.

    Args:
        posterior: Of each example alone.
        labels: Integers, `(batch,)`: the two examples of a pair have the same one; -1
            is of no pair.
    """
    mean, variance = posterior.mean, ops.exp(posterior.log_var)
    of_other = alike(labels) - ops.eye(ops.shape(mean)[0])
    is_paired = ops.sum(of_other, axis=1, keepdims=True)
    other = ops.matmul(of_other, mean) + (1.0 - is_paired) * mean
    spread = ops.matmul(of_other, variance) + (1.0 - is_paired) * variance
    apart = ops.square(mean - other)
    forth = (variance + apart) / spread - ops.log(variance / spread)
    back = (spread + apart) / variance - ops.log(spread / variance)
    place = ops.arange(ops.shape(mean)[0])
    is_first = place < ops.cast(ops.argmax(of_other, axis=1), place.dtype)
    divergence = ops.where(is_first[:, None], forth, back)
    least = ops.min(divergence, axis=1, keepdims=True)
    most = ops.max(divergence, axis=1, keepdims=True)
    is_near = divergence < (least + most) / 2.0
    is_shared = ops.logical_and(is_near, is_paired > 0.0)
    return DiagonalGaussian(
        ops.where(is_shared, (mean + other) / 2.0, mean),
        ops.log(ops.where(is_shared, (variance + spread) / 2.0, variance)),
    )


def pooled_mean(posterior: Any, groups: tuple[int, int]) -> np.ndarray:
    """Mean of the product of the Gaussians of each group, `(groups[0], latent_dim)`.

    Args:
        posterior: Of examples, group by group.
        groups: Number of groups, and of examples in each.
    """
    precision = np.exp(-np.asarray(posterior.log_var)).reshape(*groups, -1)
    weighted = precision * np.asarray(posterior.mean).reshape(*groups, -1)
    mean: np.ndarray = weighted.sum(axis=1) / precision.sum(axis=1)
    return mean
