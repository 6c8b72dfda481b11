"""Semi-supervised variational autoencoder: few labels, many examples."""

import math
from typing import Any, ClassVar

import numpy as np
from keras import ops

from aezoo.inference.priors import NormalAndClass, Prior
from aezoo.models._labels import LabelledVAE
from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import weight
from aezoo.networks import Conv
from aezoo.nn.distributions import standard_normal
from aezoo.nn.distributions.labelled import ClassPosterior, is_known
from aezoo.registry import register_family

Tensor = Any


@register_family(
    "semi_supervised_vae",
    network=Conv(),
    tiny={**TINY_CONV, "num_classes": 3, "classification_weight": 1.0},
)
class SemiSupervisedVAE(LabelledVAE):
    """Semi-supervised VAE of Kingma, Mohamed, Rezende & Welling (2014): their M2.

    "Semi-supervised learning with deep generative models"
    (https://arxiv.org/abs/1406.5298): an example comes from its class y, all equally
    probable, and a normal code z of everything else, by `p(x|y, z)`. The encoder is
    `q(y|x) q(z|x, y)`, equation 4, and so a classifier as well: `classify`. One
    convolutional trunk serves both; z has a linear head per class for its mean and
    one for its log-variance.

    Batches for `fit` are pairs `(x, labels)`, with the label -1 for an unlabelled
    example. Those with a label are trained on equation 6, the bound of `log p(x, y)`,
    and the others on equation 7, the bound of `log p(x)`, which sums over all classes
    exactly: hence `num_classes` examples are decoded for each. `classification`, the
    cross entropy of q(y|x) where there is a label (equation 9), is 0 elsewhere. With
    -1 alone, it learns without labels, and finds clusters of its own.

    A code is the pair: `latent_dim` units of z, then `num_classes` of y, one-hot.
    `encode` gives the most probable class and the mean of z for it; `posterior` is of
    both, its KL too; `labels` in any method take the place of q(y|x) or of the code's
    class, so `decode(z, labels=3)` repeats the style of a code in another class.

    Args:
        latent_dim: Units of z.
        num_classes: Number of classes.
        classification_weight: Weight of the cross entropy of one labelled example. The
            paper's alpha, `0.1 * examples` on the mean over the labelled ones, is
            `0.1 * examples / labelled` here. As the trunk is shared, most examples
            then end in one class; `5 * examples / labelled` keeps them apart: the
            default for 100 labels among 60,000.
        **kwargs: As in `VAE`, but for
            `likelihood_scale="optimal"`.

    Raises:
        ValueError: If an argument is out of range.
    """

    classification_weight: float = weight(3000.0)

    CODES: ClassVar[str] = "mixed"
    SAMPLES: ClassVar[str] = "means of p(x|y, z), y and z from the prior"
    has_diagonal_posterior: ClassVar[bool] = False
    has_standard_prior: ClassVar[bool] = False
    is_classifier: ClassVar[bool] = True
    LEARNS_FROM_HOLES: ClassVar[bool] = False

    def check_arguments(self) -> None:
        """Refuse a scale for each class."""
        super().check_arguments()
        if self.has_optimal_scale:
            raise ValueError(
                "`likelihood_scale` must be a number or 'learned': the optimal one is "
                "of a single example, and here each class has its own. Received: "
                f"likelihood_scale={self.likelihood_scale!r}."
            )

    @property
    def heads(self) -> dict[str, int]:
        """Of z its log variance and a mean for each class, and the classes' odds."""
        return {
            "z_log_var": self.latent_dim,
            "z_mean": self.num_classes * self.latent_dim,
            "class_logits": self.num_classes,
        }

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one code, `(latent_dim + num_classes,)`."""
        return (self.latent_dim + self.num_classes,)

    @property
    def code_head(self) -> str:
        """The head on which codes depend; feature extractors train no other."""
        return "z_mean"

    # --- Graph ----------------------------------------------------------------

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """Encode once and decode a code of every class, inside a graph.

        Args:
            inputs: As in `Autoencoder`.
            training: As there.
            sample_seed: As there.
            **given: `labels`, integers `(batch,)`, -1 where unknown.

        Returns:
            As in `Autoencoder`, for the label or the most probable class; the
            posterior is that given the labels. Also `decoder_outputs`
            `(batch, num_classes, *input_shape)`, and `label_nll`, the negative log of
            q(y|x) at the labels, `(batch,)`.
        """
        posterior: Any = self.make_posterior(
            self.to_parameters(
                self.encoder(self.to_input(inputs, training), training=training)
            )
        )
        if training and sample_seed is None:
            sample_seed = self.seed_generator
        classes = self.one_hot(given.get("labels"), inputs)
        surprise = -ops.log_softmax(posterior.class_logits, axis=-1)
        posterior = posterior.given(classes)
        z = posterior.z_mean  # (batch, num_classes, latent_dim)
        if sample_seed is not None:
            noise = standard_normal(ops.shape(posterior.z_log_var), sample_seed)
            z = posterior.sample_of_every_class(noise)
        one_hots = ops.eye(self.num_classes, dtype="float32")[None]
        one_hots = ops.tile(one_hots, (ops.shape(z)[0], 1, 1))
        codes = ops.concatenate([z, one_hots], axis=-1)
        decoder_outputs = ops.reshape(
            self.decode_parameters(
                ops.reshape(codes, (-1, *self.latent_shape)), training
            ),
            (-1, self.num_classes, *self.output_shape),
        )
        chosen = posterior.one_hot(ops.argmax(posterior.class_logits, axis=-1))
        decoder_output = ops.einsum("nc...,nc->n...", decoder_outputs, chosen)
        return {
            "x_hat": self.point(decoder_output),
            "decoder_output": decoder_output,
            **posterior.parameters(),
            "z": ops.einsum("ncd,nc->nd", codes, chosen),
            "decoder_outputs": decoder_outputs,
            "label_nll": ops.sum(classes * surprise, axis=-1),
        }

    def encode_parameters(
        self, x: Tensor, training: bool = False, **given: Tensor
    ) -> dict[str, Tensor]:
        """Parameters of q(y|x) q(z|x, y) for tensors and labels; float32."""
        posterior = self.make_posterior(
            self.to_parameters(self.encoder(x, training=training))
        )
        return posterior.given(self.one_hot(given.get("labels"), x)).parameters()

    def to_parameters(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters of q(y|x) q(z|x, y) without labels; float32."""
        parameters = super().to_parameters(outputs)
        by_class = (-1, self.num_classes, self.latent_dim)
        parameters["z_mean"] = ops.reshape(parameters["z_mean"], by_class)
        return parameters

    def decode_parameters(
        self, z: Tensor, training: bool = False, **given: Tensor
    ) -> Tensor:
        """Decoder output for codes, whose class a label replaces; float32."""
        classes = self.one_hot(given.get("labels"), z)
        y = ops.where(is_known(classes), classes, z[:, self.latent_dim :])
        z = ops.concatenate([z[:, : self.latent_dim], y], axis=-1)
        return super().decode_parameters(z, training)

    def make_posterior(self, parameters: dict[str, Tensor]) -> ClassPosterior:
        """The posterior of class and z."""
        names = ("class_logits", "z_mean", "z_log_var")
        return ClassPosterior(*(parameters[name] for name in names))

    def log_prior(self, z: Tensor) -> Tensor:
        """Log p(y) p(z) of codes `(batch, *latent_shape)`, `(batch,)`."""
        log_density = super().log_prior(z[:, : self.latent_dim])
        return log_density - math.log(self.num_classes)

    def make_prior(self) -> Prior:
        """Of codes, which hold their classes."""
        return NormalAndClass(self.latent_dim, self.num_classes)

    # --- Objective --------------------------------------------------------------

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        weight = self.classification_weight
        return {**super().loss_weights, "classification": weight}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        return {**terms, "classification": outputs["label_nll"]}

    def reconstruction_term(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """-log p(x|y, z), expected over the classes by q(y|x), `(batch,)`."""
        flat = ops.reshape(outputs["decoder_outputs"], (-1, *self.output_shape))
        targets = ops.repeat(x, self.num_classes, axis=0)
        nll = super().reconstruction_term(targets, {"decoder_output": flat})
        by_class = ops.reshape(nll, (-1, self.num_classes))
        return ops.sum(self.make_posterior(outputs).probabilities * by_class, axis=-1)

    # --- Eager entry points -------------------------------------------------------

    def classify(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Probabilities q(y|x) of an example's class.

        Args:
            x: Examples `(n, *input_shape)`.
            batch_size: Examples per compiled call; does not change the result.

        Returns:
            Float32, shape `(n, num_classes)`; rows sum to 1.

        Raises:
            ValueError: If the shape, dtype or range is wrong, or a value not finite.
        """
        return self.run("classify", self.modality.check(x), batch_size)

    def _graph_classify(self, x: Tensor) -> Tensor:
        return self.make_posterior(self._graph_encode_parameters(x)).probabilities
