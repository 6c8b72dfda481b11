"""Semi-supervised variational autoencoder: few labels, many images."""

import math
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.models._labels import LabelledAutoencoder
from aezoo.models._networks import ConvNetwork
from aezoo.models.conv_vae import ConvVAE
from aezoo.nn import losses
from aezoo.nn.distributions import SampledThenMeasured, standard_normal
from aezoo.registry import register_family
from aezoo.utils.validation import check_number

Tensor = Any
# Log-odds of a class that is known; in float32 the others' probabilities are then 0.
CERTAIN = 1e4


class ClassPosterior(SampledThenMeasured):
    """q(y|x) q(z|x, y): a class, and a Gaussian that depends on it.

    A code is the pair: the units of z, then the class y as a one-hot row.

    Args:
        class_logits: Log-odds of the classes. Float, `(batch, num_classes)`.
        z_mean: Mean of z for each class, `(batch, num_classes, latent_dim)`.
        z_log_var: Natural log of its variance, for all classes `(batch, latent_dim)`.
    """

    def __init__(self, class_logits: Tensor, z_mean: Tensor, z_log_var: Tensor) -> None:
        self.class_logits = ops.convert_to_tensor(class_logits)
        self.z_mean = ops.convert_to_tensor(z_mean)
        self.z_log_var = ops.convert_to_tensor(z_log_var)
        self.num_classes, self.latent_dim = self.z_mean.shape[1:]

    @property
    def probabilities(self) -> Tensor:
        """q(y|x), `(batch, num_classes)`."""
        return ops.softmax(self.class_logits, axis=-1)

    @property
    def mean(self) -> Tensor:
        """Mean of z over all classes, and their probabilities."""
        return self._pair(self.z_mean, self.probabilities)

    def mode(self) -> Tensor:
        """The most probable class, and the mean of z for it."""
        return self._pair(self.z_mean, self.one_hot(ops.argmax(self.class_logits, -1)))

    def sample(self, seed: Any = None) -> Tensor:
        """A class, then z for it; differentiable in the Gaussian alone."""
        batch = ops.shape(self.class_logits)[0]
        noise = standard_normal((batch, 1 + self.latent_dim), seed)
        chance = 0.5 * ops.erfc(noise[:, :1] / math.sqrt(2.0))  # uniform, (batch, 1)
        borders = ops.cumsum(self.probabilities, axis=-1)[:, :-1]
        drawn = ops.sum(ops.cast(chance > borders, "int32"), axis=-1)
        return self._pair(self.sample_of_every_class(noise[:, 1:]), self.one_hot(drawn))

    def sample_of_every_class(self, noise: Tensor) -> Tensor:
        """One z for each class, from noise `(batch, latent_dim)` common to them.

        Returns:
            Shape `(batch, num_classes, latent_dim)`.
        """
        return self.z_mean + (ops.exp(0.5 * self.z_log_var) * noise)[:, None]

    def kl(self) -> Tensor:
        """KL to equally probable classes and a standard normal z. Nats, `(batch,)`."""
        log_var = ops.repeat(self.z_log_var, self.num_classes, axis=0)
        flat = losses.gaussian_kl(
            ops.reshape(self.z_mean, (-1, self.latent_dim)), log_var
        )
        by_class = ops.reshape(flat, (-1, self.num_classes))
        of_class = losses.categorical_kl(self.class_logits)
        return of_class + ops.sum(self.probabilities * by_class, axis=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log of q(y|x) q(z|x, y) at codes; minus infinity if y is not one-hot."""
        z, y = z[:, : self.latent_dim], z[:, self.latent_dim :]
        differs = ops.not_equal(y, self.one_hot(ops.argmax(y, axis=-1)))
        log_class = ops.sum(y * ops.log_softmax(self.class_logits, axis=-1), axis=-1)
        mean = ops.einsum("ncd,nc->nd", self.z_mean, y)
        log_density = log_class - losses.gaussian_nll(z, mean, 0.5 * self.z_log_var)
        return ops.where(ops.any(differs, axis=-1), -math.inf, log_density)

    def given(self, classes: Tensor) -> "ClassPosterior":
        """The posterior once classes are known: one-hot rows, zeros where unknown."""
        certain = CERTAIN * (classes - 1.0)
        logits = ops.where(_is_known(classes), certain, self.class_logits)
        return ClassPosterior(logits, self.z_mean, self.z_log_var)

    def parameters(self) -> dict[str, Tensor]:
        """`{"class_logits", "z_mean", "z_log_var"}`."""
        return {
            "class_logits": self.class_logits,
            "z_mean": self.z_mean,
            "z_log_var": self.z_log_var,
        }

    def one_hot(self, indices: Tensor) -> Tensor:
        """Classes `(batch,)` as float32 rows `(batch, num_classes)`."""
        return ops.one_hot(indices, self.num_classes, dtype="float32")

    def _pair(self, z: Tensor, classes: Tensor) -> Tensor:
        """Codes of z `(batch, num_classes, latent_dim)` averaged by `classes`."""
        return ops.concatenate([ops.einsum("ncd,nc->nd", z, classes), classes], axis=-1)


def _is_known(classes: Tensor) -> Tensor:
    return ops.any(classes > 0.0, axis=-1, keepdims=True)


@register_family("semi_supervised_vae")
class SemiSupervisedVAE(ConvNetwork, LabelledAutoencoder):
    """Semi-supervised VAE of Kingma, Mohamed, Rezende & Welling (2014): their M2.

    "Semi-supervised learning with deep generative models"
    (https://arxiv.org/abs/1406.5298): an image comes from its class y, all equally
    probable, and a normal code z of everything else, by `p(x|y, z)`. The encoder is
    `q(y|x) q(z|x, y)`, equation 4, and so a classifier as well: `classify`. One
    convolutional trunk serves both; z has a linear head per class for its mean and
    one for its log-variance.

    Batches for `fit` are pairs `(images, labels)`, with the label -1 for an unlabelled
    image. Those with a label are trained on equation 6, the bound of `log p(x, y)`,
    and the others on equation 7, the bound of `log p(x)`, which sums over all classes
    exactly: hence `num_classes` images are decoded for each. `classification`, the
    cross entropy of q(y|x) where there is a label (equation 9), is 0 elsewhere. With
    -1 alone, it learns without labels, and finds clusters of its own.

    A code is the pair: `latent_dim` units of z, then `num_classes` of y, one-hot.
    `encode` gives the most probable class and the mean of z for it; `posterior` is of
    both, its KL too; `labels` in any method take the place of q(y|x) or of the code's
    class, so `decode(z, labels=3)` repeats the style of a code in another class.

    Args:
        *args: `input_shape` and `latent_dim`, the units of z, as in `Autoencoder`.
        num_classes: Number of classes.
        classification_weight: Weight of the cross entropy of one labelled image. The
            paper's alpha, `0.1 * images` on the mean over the labelled ones, is
            `0.1 * images / labelled images` here. As the trunk is shared, most images
            then end in one class; `5 * images / labelled images` keeps them apart: the
            default for 100 labels among 60,000.
        **kwargs: As in `ConvNetwork` and `VariationalAutoencoder`, but for
            `likelihood_scale="optimal"`.

    Raises:
        ValueError: If an argument is out of range.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        **ConvVAE.TINY_CONFIG,
        "num_classes": 3,
        "classification_weight": 1.0,
    }
    # The others are wider than `latent_dim`.
    HEADS: ClassVar[tuple[str, ...]] = ("z_log_var",)
    CODES: ClassVar[str] = "mixed"
    SAMPLES: ClassVar[str] = "means of p(x|y, z), y and z from the prior"

    def __init__(
        self, *args: Any, classification_weight: float = 3000.0, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.has_optimal_scale:
            raise ValueError(
                "`likelihood_scale` must be a number or 'learned': the optimal one is "
                "of a single image, and here each class has its own. Received: "
                f"likelihood_scale={self.likelihood_scale!r}."
            )
        self.classification_weight = check_number(
            "classification_weight", classification_weight, low=0.0
        )
        for name, units in (
            ("z_mean", self.num_classes * self.latent_dim),
            ("class_logits", self.num_classes),
        ):
            self.encoder.heads[name] = keras.layers.Dense(units, name=name)

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
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Encode once and decode a code of every class, inside a graph.

        Args:
            inputs: As in `Autoencoder`.
            training: As there.
            sample_seed: As there.
            labels: Integers `(batch,)`, -1 where unknown; None stands for that.

        Returns:
            As in `Autoencoder`, for the label or the most probable class; the
            posterior is that given the labels. Also `decoder_outputs`
            `(batch, num_classes, *input_shape)`, and `label_nll`, the negative log of
            q(y|x) at the labels, `(batch,)`.
        """
        posterior: Any = self.infer(inputs, training)
        if training and sample_seed is None:
            sample_seed = self.seed_generator
        classes = self.one_hot(labels, inputs)
        surprise = -ops.log_softmax(posterior.class_logits, axis=-1)
        posterior = posterior.given(classes)
        z = posterior.z_mean  # (batch, num_classes, latent_dim)
        if sample_seed is not None:
            noise = standard_normal(ops.shape(posterior.z_log_var), sample_seed)
            z = posterior.sample_of_every_class(noise)
        one_hots = ops.tile(ops.eye(self.num_classes)[None], (ops.shape(z)[0], 1, 1))
        codes = ops.concatenate([z, one_hots], axis=-1)
        decoder_outputs = ops.reshape(
            self.decode_parameters(
                ops.reshape(codes, (-1, *self.latent_shape)), training
            ),
            (-1, self.num_classes, *self.input_shape),
        )
        chosen = posterior.one_hot(ops.argmax(posterior.class_logits, axis=-1))
        decoder_output = ops.einsum("nchwk,nc->nhwk", decoder_outputs, chosen)
        return {
            "x_hat": self.to_pixels(decoder_output),
            "decoder_output": decoder_output,
            **posterior.parameters(),
            "z": ops.einsum("ncd,nc->nd", codes, chosen),
            "decoder_outputs": decoder_outputs,
            "label_nll": ops.sum(classes * surprise, axis=-1),
        }

    def encode_parameters(
        self, x: Tensor, training: bool = False, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Parameters of q(y|x) q(z|x, y) for images in [0, 1] and labels; float32."""
        posterior = self.make_posterior(
            self.to_parameters(self.encoder(x, training=training))
        )
        return posterior.given(self.one_hot(labels, x)).parameters()

    def to_parameters(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters of q(y|x) q(z|x, y) without labels; float32."""
        parameters = super().to_parameters(outputs)
        by_class = (-1, self.num_classes, self.latent_dim)
        parameters["z_mean"] = ops.reshape(parameters["z_mean"], by_class)
        return parameters

    def decode_parameters(
        self, z: Tensor, training: bool = False, labels: Tensor | None = None
    ) -> Tensor:
        """Decoder output for codes, whose class a label replaces; float32."""
        classes = self.one_hot(labels, z)
        y = ops.where(_is_known(classes), classes, z[:, self.latent_dim :])
        z = ops.concatenate([z[:, : self.latent_dim], y], axis=-1)
        decoder_output = self.decoder(
            ops.cast(z, self.compute_dtype), training=training
        )
        return ops.cast(decoder_output, "float32")

    def make_posterior(self, parameters: dict[str, Tensor]) -> ClassPosterior:
        """The posterior of class and z."""
        names = ("class_logits", "z_mean", "z_log_var")
        return ClassPosterior(*(parameters[name] for name in names))

    def log_prior(self, z: Tensor) -> Tensor:
        """Log p(y) p(z) of codes `(batch, *latent_shape)`, `(batch,)`."""
        log_density = super().log_prior(z[:, : self.latent_dim])
        return log_density - math.log(self.num_classes)

    def sample_prior(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Codes from the prior, float32, `(n, *latent_shape)`."""
        # from a stream of their own, whatever n
        drawn = np.random.default_rng(int(generator.integers(2**31)))
        classes = np.eye(self.num_classes, dtype="float32")[
            drawn.integers(self.num_classes, size=n)
        ]
        z = generator.standard_normal((n, self.latent_dim), dtype="float32")
        return np.concatenate([z, classes], axis=1)

    def sample_labels(
        self,
        n: int,
        generator: np.random.Generator,
    ) -> None:
        """None: codes hold their classes."""

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
        flat = ops.reshape(outputs["decoder_outputs"], (-1, *self.input_shape))
        targets = ops.repeat(x, self.num_classes, axis=0)
        nll = super().reconstruction_term(targets, {"decoder_output": flat})
        by_class = ops.reshape(nll, (-1, self.num_classes))
        return ops.sum(self.make_posterior(outputs).probabilities * by_class, axis=-1)

    # --- Eager entry points -------------------------------------------------------

    def classify(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Probabilities q(y|x) of an image's class.

        Args:
            x: Images `(n, *input_shape)`: uint8, or floats in [0, 1].
            batch_size: Images per compiled call; does not change the result.

        Returns:
            Float32, shape `(n, num_classes)`; rows sum to 1.

        Raises:
            ValueError: If the shape, dtype or range is wrong, or a value not finite.
        """
        return self._run("classify", self._check_images(x), batch_size)

    def _graph_classify(self, x: Tensor) -> Tensor:
        return self.make_posterior(self._graph_encode_parameters(x)).probabilities

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {**super().config, "classification_weight": self.classification_weight}
