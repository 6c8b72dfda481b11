"""The public API of every model, and the only `train_step` and `test_step`.

A family is a subclass that sets `encoder` and `decoder` in `__init__` and lists its
arguments in `get_config`. It inherits the rest:

- eager entry points for people (`encode`, `posterior`, `decode`, `reconstruct`,
  `sample`, `interpolate`, `traverse`): they check their input, run compiled code in
  batches and return NumPy arrays;
- `call` for graphs, which never checks values;
- `compute_losses` and the training steps.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.errors import UnsupportedOperationError
from aezoo.modalities.image.check import check_images
from aezoo.modalities.image.corruption import CORRUPTIONS, apply_corruption
from aezoo.nn import losses
from aezoo.nn.backend import (
    SeedGenerator,
    Steps,
    compile_inference,
    first_position,
    num_replicas,
    replica_sum,
)
from aezoo.nn.distributions import (
    Bernoulli,
    DiagonalGaussian,
    Gaussian,
    IndexedNoise,
    Laplace,
    PointMass,
    Posterior,
    check_seed,
    interpolate_codes,
    standard_normal,
    uniform,
)
from aezoo.nn.optimizers import Adam, OptimizerPair
from aezoo.samplers import Samplers, how_to_fit
from aezoo.utils.progress import with_progress
from aezoo.utils.validation import (
    check_choice,
    check_input_shape,
    check_number,
    check_positive_int,
)

Tensor = Any
RECONSTRUCTION_LOSSES = ("mse", "mae", "smooth_l1", "bce", "ms_ssim")
OUTPUT_ACTIVATIONS = ("sigmoid", "linear")
# In place of a number for `likelihood_scale`.
FITTED_SCALES = ("learned", "optimal")
# Of the running mean of the optimal scale, after as many steps as make it so.
SCALE_MOMENTUM = 0.99
INTERPOLATIONS = ("spherical", "linear")
# Seed of the codes drawn by `test_step`, so that `evaluate` repeats itself.
TEST_SEED = 0


class Autoencoder(Steps, keras.Model):
    """What every family shares; not a family itself.

    Minimises `reconstruction + sparsity * L1(z)` plus the family's own terms, each
    summed over pixels or units and averaged over examples. `compile(optimizer)` and
    `fit(images)` train it; the target is the clean image, also with `corruption`.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of code units.
        output_activation: `"sigmoid"`, or `"linear"` with values clipped to [0, 1]
            by `decode`.
        sparsity: Weight of the L1 norm of the code (its posterior mean).
        corruption: Corrupts the input in training only: `"gaussian"`, `"masking"`,
            `"salt_and_pepper"` or None (Vincent et al., 2010).
        corruption_level: Noise standard deviation, or probability per pixel.
        **kwargs: `name`, `dtype` and `trainable` of `keras.Model`.
    """

    family: ClassVar[str] = ""
    TINY_CONFIG: ClassVar[dict[str, Any]] = {}
    HEADS: ClassVar[tuple[str, ...]] = ("z",)
    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features")
    # Units of a code: "continuous"; "discrete", of finitely many values; or "mixed",
    # `latent_dim` continuous ones and then a class as a one-hot row.
    CODES: ClassVar[str] = "continuous"
    # What `sample` returns, for the protocols of metrics.
    SAMPLES: ClassVar[str] = "means of p(x|z), z from the prior"
    # Arguments of the bases that a family computes from its own, and does not take.
    DERIVED_ARGUMENTS: ClassVar[frozenset[str]] = frozenset()
    # Of every head of the encoder.
    code_activation: str = "linear"
    # Whether batches for `fit` are pairs (images, labels), rather than images.
    LEARNS_FROM_LABELS: ClassVar[bool] = False
    # Terms that are a property of a batch and the same for all of its examples.
    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset()
    # Term that `adversary`, a network beside the model, minimises against it. Where
    # the adversary is an option, a model sets its own.
    ADVERSARY_TERM: str | None = None
    adversary: keras.layers.Layer
    # Codes per image from which KL(q(z|x)||p(z)) is estimated; 0: in closed form.
    KL_DRAWS: ClassVar[int] = 0
    # What is averaged over them, for the protocols of metrics.
    KL_ESTIMATE: ClassVar[str] = "log q(z|x) - log p(z)"

    encoder: keras.layers.Layer
    decoder: keras.layers.Layer

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 32,
        *,
        output_activation: str = "sigmoid",
        sparsity: float = 0.0,
        corruption: str | None = None,
        corruption_level: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_shape = check_input_shape(input_shape)
        self.latent_dim = check_positive_int("latent_dim", latent_dim)
        self.output_activation = check_choice(
            "output_activation", output_activation, OUTPUT_ACTIVATIONS
        )
        self.sparsity = check_number("sparsity", sparsity, low=0.0)
        self.corruption = check_choice("corruption", corruption, (None, *CORRUPTIONS))
        highest = None if corruption in (None, "gaussian") else 1.0  # a probability
        self.corruption_level = check_number(
            "corruption_level", corruption_level, low=0.0, high=highest
        )
        self.seed_generator = SeedGenerator()
        self._compiled_functions: dict[tuple[Any, ...], Callable[..., Any]] = {}
        self._means = _RunningMeans(())
        self._samplers = Samplers(self)

    # --- What a family defines ------------------------------------------------

    @property
    def samplers(self) -> Samplers:
        """Fitted distributions over codes by kind, e.g. `"gmm"`; see `fit_sampler`."""
        return self._samplers

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one code."""
        return (self.latent_dim,)

    @property
    def code_head(self) -> str:
        """The head on which codes depend; feature extractors train no other."""
        return self.HEADS[0]

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`, by the term's name.

        `loss` is the sum of weight times term; the terms are reported unweighted.
        """
        weights = {"reconstruction": 1.0}
        if self.sparsity:
            weights["sparsity"] = self.sparsity
        return weights

    def compute_terms(
        self,
        x: Tensor,
        outputs: dict[str, Tensor],
        step: Tensor | None = None,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`.

        Args:
            x: Target images in [0, 1], float32, shape `(batch, *input_shape)`.
            outputs: What `call` returned.
            step: Optimiser step, for terms that follow a schedule; None is the end of
                the schedule.
        """
        terms = {"reconstruction": self.reconstruction_term(x, outputs)}
        if self.sparsity:
            code = self.make_posterior(outputs).mean
            terms["sparsity"] = losses.sum_per_example(ops.abs(code))
        return terms

    def reconstruction_term(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """How badly `outputs` reconstruct `x`, summed over pixels, `(batch,)`."""
        return -self.observation(outputs["decoder_output"]).log_prob(x)

    def observation(self, decoder_output: Tensor) -> Any:  # noqa: ARG002
        """The distribution p(x|z) over pixels, for families that have one."""
        raise UnsupportedOperationError(
            f"{self.family!r} is trained with a loss, not a likelihood, so it has no "
            "distribution over pixels."
        )

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """The posterior object for encoder outputs or `call` outputs."""
        raise NotImplementedError

    def log_prior(self, z: Tensor) -> Tensor:
        """Log p(z) of codes `(batch, *latent_shape)`: standard normal. `(batch,)`."""
        return -0.5 * losses.sum_per_example(ops.square(z) + losses.LOG_2PI)

    def prior_density(self) -> Callable[[Tensor], Tensor]:
        """`log_prior`, with all work done that does not depend on the codes."""
        return self.log_prior

    def sample_prior(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Codes from the prior, float32, `(n, *latent_shape)`: standard normal.

        The first codes of a generator do not depend on how many are drawn.
        """
        return generator.standard_normal((n, *self.latent_shape), dtype="float32")

    def to_pixels(self, decoder_output: Tensor) -> Tensor:
        """Decoder output to the mean image; may leave [0, 1] if linear."""
        if self.output_activation == "sigmoid":
            return ops.sigmoid(decoder_output)
        return decoder_output

    # --- Graph ----------------------------------------------------------------

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Create all weights. Happens by itself on first use.

        Args:
            input_shape: `(batch, height, width, channels)` or None; must agree with
                the model's own `input_shape`.
        """
        if input_shape is not None and tuple(input_shape[1:]) != self.input_shape:
            raise ValueError(
                f"{self.name!r} takes images of shape (batch, "
                f"{', '.join(map(str, self.input_shape))}). "
                f"Received: input_shape={tuple(input_shape)}."
            )
        self.share_dtype_policy()
        if not self.encoder.built:
            self.encoder.build((None, *self.input_shape))
        if not self.decoder.built:
            self.decoder.build((None, *self.latent_shape))

    def start_from_images(self, images: np.ndarray, seed: int = 0) -> None:
        """Set the weights that a family starts from data; none, in most families.

        Args:
            images: Training images, `(n, *input_shape)`: uint8, or floats in [0, 1].
            seed: Seed of the choice among them.
        """

    def finish_on_images(self, images: np.ndarray) -> None:
        """Set the weights that a family takes from data once it is trained.

        None, in most families. `training.train` calls it after `fit`.

        Args:
            images: As in `start_from_images`.
        """

    def share_dtype_policy(self) -> None:
        """Give all layers the model's `dtype`; Keras gives them its global one."""
        for layer in self._flatten_layers(include_self=False):
            if not layer.built:
                layer.dtype_policy = self.dtype_policy

    def call(
        self, inputs: Tensor, training: bool = False, sample_seed: Any = None
    ) -> dict[str, Tensor]:
        """Encode and decode a batch inside a graph. Does not check values.

        Args:
            inputs: Images `(batch, *input_shape)`: floats in [0, 1] or uint8.
            training: Corrupts the input and samples the posterior.
            sample_seed: Samples the posterior also when not training, with this
                source of noise; None decodes the mode.

        Returns:
            `x_hat` (mean image), `decoder_output` (before the output activation),
            `z` (the decoded code) and the parameters of the posterior; all float32.
        """
        posterior = self.infer(inputs, training)
        if training and sample_seed is None:
            sample_seed = self.seed_generator
        code = self.draw_code(posterior, sample_seed)
        decoder_output = self.decode_parameters(code["z"], training=training)
        return {
            "x_hat": self.to_pixels(decoder_output),
            "decoder_output": decoder_output,
            **posterior.parameters(),
            **code,
        }

    def infer(self, inputs: Tensor, training: bool = False, **given: Any) -> Posterior:
        """The posterior of images inside a graph; of corrupted ones in training.

        Args:
            inputs: As in `call`.
            training: As in `call`.
            **given: What else `encode_parameters` of the family takes.
        """
        x = self.to_unit_range(inputs, self.compute_dtype)
        if training and self.corruption is not None:
            x = apply_corruption(
                x, self.corruption, self.corruption_level, self.seed_generator
            )
        return self.make_posterior(
            self.encode_parameters(x, training=training, **given)
        )

    def draw_code(self, posterior: Posterior, sample_seed: Any) -> dict[str, Tensor]:
        """The code `z` that `call` decodes: a sample, or the mode without a seed."""
        if sample_seed is None:
            return {"z": posterior.mode()}
        return {"z": posterior.sample(sample_seed)}

    def noise(self, shape: Sequence[Any], training: bool, sample_seed: Any) -> Tensor:
        """Standard normal noise for a term that `call` prepares to estimate.

        Args:
            shape: Shape of the noise, `(batch, ...)`.
            training: As in `call`.
            sample_seed: As in `call`; None, when not training, gives all examples the
                same noise, so that none depends on its place.

        Returns:
            Float32, of that shape.
        """
        if sample_seed is None and not training:
            return IndexedNoise(TEST_SEED, is_shared=True).normal(shape)
        return standard_normal(shape, sample_seed or self.seed_generator)

    def encode_parameters(self, x: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Parameters of the posterior for images in [0, 1]; float32."""
        return self.to_parameters(self.encoder(x, training=training))

    def to_parameters(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters of the posterior from the encoder's outputs; float32."""
        return {name: ops.cast(output, "float32") for name, output in outputs.items()}

    def decode_parameters(self, z: Tensor, training: bool = False) -> Tensor:
        """Decoder output for codes, before the output activation; float32."""
        z = ops.cast(z, self.compute_dtype)
        return ops.cast(self.decoder(z, training=training), "float32")

    @staticmethod
    def to_unit_range(inputs: Tensor, dtype: str = "float32") -> Tensor:
        """Images as floats in [0, 1]: integers are divided by 255."""
        kind = keras.backend.standardize_dtype(inputs.dtype)
        if kind == "bool" or "float" in kind:
            return ops.cast(inputs, dtype)
        return ops.cast(ops.cast(inputs, "float32") / 255.0, dtype)

    # --- Objective and training -----------------------------------------------

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of all reported losses; `fit` and `evaluate` report these."""
        return ("loss", *self.loss_weights)

    def compute_losses(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """All losses of a batch, each of shape `(batch,)`; lower is better.

        Args:
            x: Target images in [0, 1], float32, shape `(batch, *input_shape)`.
            outputs: What `call` returned.
            step: Optimiser step, for weights that follow a schedule; None uses the
                final weights.

        Returns:
            `loss`, the weighted sum of the terms, and each term unweighted.
        """
        terms = self.compute_terms(x, outputs, step)
        schedule = self.loss_schedule(step) if step is not None else {}
        total = 0.0
        for name, weight in self.loss_weights.items():
            total = total + weight * schedule.get(name, 1.0) * terms[name]
        return {"loss": total, **terms}

    def loss_schedule(self, step: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Factors in [0, 1] on the loss weights at an optimiser step."""
        return {}

    @property
    def players(self) -> tuple[list[keras.Variable], ...]:
        """The weights that each objective of `training_objectives` moves."""
        variables = self.trainable_variables
        if self.ADVERSARY_TERM is None:
            return (variables,)
        opponents = {id(v) for v in self.adversary.trainable_variables}
        return (
            [v for v in variables if id(v) not in opponents],
            [v for v in variables if id(v) in opponents],
        )

    def training_objectives(
        self, data: Any
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor], Tensor]:
        """One step's scalars to differentiate, losses and example weights `(batch,)`.

        The first scalar moves the model; the second, where there is an adversary,
        moves the adversary.
        """
        x, target, weights = self.unpack(data)
        x, target = self.observed_images(x, target, self.seed_generator)
        outputs = self(x, training=True, **self.conditions(data))
        step = self.optimizer.iterations
        batch_losses = self.compute_losses(target, outputs, step)
        # Mean over *all* examples of the step, so that replicas with fewer examples
        # and short last batches weigh by their examples.
        count = ops.maximum(replica_sum(weights), keras.config.epsilon())
        objective = ops.sum(batch_losses["loss"] * weights) / count
        if self.losses:  # regularisers that layers add
            objective = objective + sum(self.losses) / num_replicas()
        if self.ADVERSARY_TERM is None:
            return (objective,), batch_losses, weights
        against = ops.sum(batch_losses[self.ADVERSARY_TERM] * weights) / count
        return (objective, against), batch_losses, weights

    def test_losses(self, data: Any) -> tuple[dict[str, Tensor], Tensor]:
        """Losses `(batch,)` and weights; codes are sampled as the ELBO demands."""
        x, target, weights = self.unpack(data)
        seen = ops.convert_to_tensor(self._means.metrics[0].num_examples)
        position = first_position(seen, ops.shape(x)[0])
        pixel_noise = IndexedNoise(TEST_SEED + 1, position)
        x, target = self.observed_images(x, target, pixel_noise)
        noise = IndexedNoise(TEST_SEED, position)
        outputs = self(x, sample_seed=noise, **self.conditions(data))
        return self.compute_losses(target, outputs), weights

    def observed_images(
        self,
        x: Tensor,
        target: Tensor,
        seed: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """What `fit` and `evaluate` see of a batch's images: here the images."""
        return x, target

    def update_metrics(
        self, batch_losses: dict[str, Tensor], weights: Tensor
    ) -> dict[str, Tensor]:
        """Add a batch to the running means, and return the means."""
        for mean in self._means.metrics:
            mean.update_state(batch_losses[mean.name], sample_weight=weights)
        return {mean.name: mean.result() for mean in self._means.metrics}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """One running mean per loss."""
        return self._means.metrics

    def unpack(self, data: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Images, target images in [0, 1] and example weights of a batch for `fit`.

        Raises:
            ValueError: If the batch holds labels, or images of another shape.
        """
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        target = x if y is None else y
        for name, images in (("x", x), ("y", target)):
            if tuple(images.shape[1:]) != self.input_shape:
                raise ValueError(
                    f"`{name}` must be a batch of images of shape "
                    f"{self.input_shape}. Received: {name}.shape="
                    f"{tuple(images.shape)}. Autoencoders learn without labels: drop "
                    "them with `dataset.map(lambda image, label: image)`."
                )
        if weights is None:
            weights = ops.ones((ops.shape(x)[0],))
        else:
            weights = ops.reshape(ops.cast(weights, "float32"), (-1,))
        return x, self.to_unit_range(target), weights

    def conditions(self, data: Any) -> dict[str, Tensor]:  # noqa: ARG002
        """What `call` takes from a batch beside its images: here nothing."""
        return {}

    def compile(
        self, optimizer: Any = "adam", adversary_optimizer: Any = None, **kwargs: Any
    ) -> None:
        """Choose the optimiser; the objective is part of the model.

        Args:
            optimizer: A Keras optimiser or its name; `"adam"` is the faster
                `aezoo.optimizers.Adam`.
            adversary_optimizer: The same for the adversary, in families that have
                one; None copies `optimizer`.
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile` and
                `auto_scale_loss`, as in `keras.Model.compile`.

        Raises:
            ValueError: If a loss or metrics are passed, or an optimiser for an
                adversary that there is not.
        """
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.pop(name, None) is not None:
                raise ValueError(
                    f"`{name}` cannot be set in `compile`: the objective is part of "
                    f"the model and reports {', '.join(self.loss_names)}. Choose it "
                    "when creating the model, e.g. by `reconstruction_loss`, "
                    "`likelihood` or `beta`."
                )
        self._ensure_built()
        self._means = _RunningMeans(self.loss_names)
        optimizer = _get_optimizer(optimizer)
        if self.ADVERSARY_TERM is not None:
            optimizer = self._pair_of(optimizer, adversary_optimizer)
        elif adversary_optimizer is not None:
            raise ValueError(
                "`adversary_optimizer` belongs to families with an adversary, and "
                f"{self.family!r} has none. Received: "
                f"adversary_optimizer={adversary_optimizer!r}."
            )
        super().compile(optimizer=optimizer, **kwargs)

    def _pair_of(
        self, optimizer: keras.optimizers.Optimizer, adversary_optimizer: Any
    ) -> keras.optimizers.Optimizer:
        # Keras wraps what it restores in mixed precision.
        pair = getattr(optimizer, "inner_optimizer", optimizer)
        if not isinstance(pair, OptimizerPair):
            opponent = _get_optimizer(adversary_optimizer or optimizer)
            if opponent is optimizer:
                opponent = type(optimizer).from_config(optimizer.get_config())
            optimizer = pair = OptimizerPair(optimizer, opponent)
        pair.assign_adversary(self.players[1])
        return optimizer

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Restore what `compile` was given, for `keras.saving.load_model`."""
        config = keras.saving.deserialize_keras_object(config)
        self.compile(**{k: v for k, v in config.items() if v is not None})
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    # --- Eager entry points ---------------------------------------------------

    def encode(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Codes of images: the mode of the posterior, so the same at every call.

        Args:
            x: Images `(n, *input_shape)`: uint8, or floats in [0, 1].
            batch_size: Images per compiled call; does not change the result.

        Returns:
            Float32, shape `(n, *latent_shape)`.

        Raises:
            ValueError: If the shape, dtype or range is wrong, or a value not finite.
        """
        return self._run("encode", self._check_images(x), batch_size)

    def posterior(self, x: Any, batch_size: int = 256) -> Posterior:
        """The posterior q(z|x) of images, as one object.

        Args:
            x: Images `(n, *input_shape)`: uint8, or floats in [0, 1].
            batch_size: Images per compiled call; does not change the result.

        Returns:
            An object with `.mean`, `.mode()`, `.sample(seed)`, `.kl()` and
            `.log_prob(z)`, whatever the family.
        """
        return self.make_posterior(
            self._run("encode_parameters", self._check_images(x), batch_size)
        )

    def decode(self, z: Any, batch_size: int = 256) -> np.ndarray:
        """Images of codes: the mean of p(x|z), clipped to [0, 1].

        Args:
            z: Codes `(n, *latent_shape)`, float.
            batch_size: Codes per compiled call; does not change the result.

        Returns:
            Float32 in [0, 1], shape `(n, *input_shape)`.
        """
        return self._run("decode", self._check_codes(z), batch_size)

    def reconstruct(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Encode and decode images, with the mode of the posterior.

        Args:
            x: Images `(n, *input_shape)`: uint8, or floats in [0, 1].
            batch_size: Images per compiled call; does not change the result.

        Returns:
            The dtype that came in: uint8, or float32 in [0, 1].
        """
        return self._run("reconstruct", self._check_images(x), batch_size)

    def sample(
        self,
        n: int,
        seed: int | None = None,
        *,
        sampler: str = "prior",
        pixel_noise: bool = False,
        labels: Any = None,
    ) -> np.ndarray:
        """New images from codes drawn from the prior, or from a fitted sampler.

        Args:
            n: Number of images; at least 1.
            seed: Same seed, same images, on every backend. None draws afresh.
            sampler: `"prior"`, or one of `samplers`, e.g. `"gmm"`.
            pixel_noise: Also draw the pixels from p(x|z); the default returns its
                mean.
            labels: Classes, integers `(n,)`, or one for all, for a sampler that was
                fitted with them; None draws them, all equally probable.

        Returns:
            Float32 in [0, 1], shape `(n, *input_shape)`.

        Raises:
            UnsupportedOperationError: If the family has no prior over codes, or the
                model no such sampler, and says which it has; or if there are labels
                for what knows no classes.
            ValueError: If an argument is invalid.
        """
        check_positive_int("n", n)
        generator = np.random.default_rng(check_seed(seed))
        z = self._sample_codes(n, generator, sampler, labels)
        return self._sample_images(z, generator, pixel_noise)

    def _sample_images(
        self,
        z: np.ndarray,
        generator: np.random.Generator,
        pixel_noise: bool,
        **given: np.ndarray,
    ) -> np.ndarray:
        """Images of drawn codes: the mean of p(x|z), or with pixels drawn from it."""
        if not pixel_noise:
            return self._run("decode", z, 256, **given)
        decoder_output = self._run("decode_parameters", z, 256, **given)
        pixels = self.observation(decoder_output).sample(int(generator.integers(2**31)))
        return np.clip(np.asarray(pixels), 0.0, 1.0)

    def _sample_codes(
        self, n: int, generator: np.random.Generator, sampler: str, labels: Any = None
    ) -> np.ndarray:
        if sampler != "prior":
            fitted: Any = self.samplers.find(sampler)
            given = {} if labels is None else {"labels": fitted.check_labels(labels, n)}
            codes: np.ndarray = fitted.sample_codes(n, generator, **given)
            return codes
        if "sampling" in self.TASKS:
            if labels is not None:
                raise UnsupportedOperationError(
                    f"The prior of {self.family!r} knows no classes, so `labels` must "
                    "be None."
                )
            return self.sample_prior(n, generator)
        fitted = ", ".join(f"`sampler={kind!r}`" for kind in self.samplers)
        has = f"It has {fitted}." if fitted else how_to_fit(self)
        raise UnsupportedOperationError(
            f"{self.family!r} has no prior over its codes, so it cannot sample. {has} "
            "`aezoo.list_models(task='sampling')` lists the models that can."
        )

    def interpolate(
        self, a: Any, b: Any, steps: int = 9, method: str = "spherical"
    ) -> np.ndarray:
        """Images along a path between two images, straight or round in code space.

        Args:
            a: Start: one image or code, or a batch of them.
            b: End, of the same shape as `a`.
            steps: Number of images on the path, both ends included; at least 2.
            method: `"spherical"` turns the direction at an even rate and grows the
                norm evenly (Shoemake, 1985; the path stays where a Gaussian prior has
                its mass); `"linear"` is the straight line.

        Returns:
            Shape `(steps, *input_shape)`, or `(n, steps, *input_shape)` for batches.
            uint8 if `a` is uint8, else float32 in [0, 1].
        """
        check_choice("method", method, INTERPOLATIONS)
        if check_positive_int("steps", steps) < 2:
            raise ValueError(f"`steps` must be at least 2. Received: steps={steps}.")
        z_a, is_uint8, is_single = self._as_codes(a, "a")
        z_b, _, _ = self._as_codes(b, "b")
        if z_a.shape != z_b.shape:
            raise ValueError(
                "`a` and `b` must have the same shape. Received: "
                f"a.shape={np.shape(a)}, b.shape={np.shape(b)}."
            )
        path = interpolate_codes(z_a, z_b, steps, method)  # (n, steps, *latent_shape)
        images = self._decode_grid(path, is_uint8)
        return images[0] if is_single else images

    def traverse(
        self, x: Any, dim: int, values: Sequence[float] = (-3, -1.5, 0, 1.5, 3)
    ) -> np.ndarray:
        """Images while one code unit moves and the others keep their value.

        Args:
            x: Images `(n, *input_shape)` or codes `(n, *latent_shape)`, or one.
            dim: Index of the unit, from 0; negative counts from the end.
            values: What the unit is set to, in the code's own unit (standard
                deviations of the prior for a VAE).

        Returns:
            Shape `(n, len(values), *input_shape)`, or without `n` for a single image.
            uint8 if `x` is uint8, else float32 in [0, 1].
        """
        z, is_uint8, is_single = self._as_codes(x, "x")
        units = math.prod(self.latent_shape)
        if not isinstance(dim, int | np.integer) or not -units <= dim < units:
            raise ValueError(
                f"`dim` must be an integer in [{-units}, {units - 1}], one of the "
                f"{units} code units. Received: dim={dim!r}."
            )
        moves = np.asarray(values, "float32")
        if moves.ndim != 1 or moves.size == 0 or not np.isfinite(moves).all():
            raise ValueError(
                "`values` must be a non-empty sequence of finite numbers. "
                f"Received: values={values!r}."
            )
        codes = np.repeat(z.reshape(len(z), 1, units), len(moves), axis=1)
        codes[:, :, dim] = moves
        images = self._decode_grid(
            codes.reshape(len(z), len(moves), *self.latent_shape), is_uint8
        )
        return images[0] if is_single else images

    # --- Serialisation --------------------------------------------------------

    def push_to_hub(self, repo_id: str, **options: Any) -> Any:
        """Publish the model on the Hugging Face Hub: `aezoo.push_to_hub(self, ...)`.

        Args:
            repo_id: `"organisation/name"`.
            **options: As in `aezoo.push_to_hub`.

        Returns:
            Where the model now is, as `aezoo.push_to_hub` does.
        """
        from aezoo.store.publish import push_to_hub

        return push_to_hub(self, repo_id, **options)

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the model, without weights."""
        return {**super().get_config(), **self.config}

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        arguments = {
            "input_shape": list(self.input_shape),
            "latent_dim": self.latent_dim,
            "output_activation": self.output_activation,
            "sparsity": self.sparsity,
            "corruption": self.corruption,
            "corruption_level": self.corruption_level,
        }
        derived = self.DERIVED_ARGUMENTS
        return {name: v for name, v in arguments.items() if name not in derived}

    # --- Checks and compiled calls --------------------------------------------

    def _ensure_built(self) -> None:
        if not self.built:
            self.build((None, *self.input_shape))

    def _run(
        self, name: str, inputs: np.ndarray, batch_size: int, **given: np.ndarray
    ) -> Any:
        """Run a compiled function over `inputs` in batches, and join the outputs.

        Args:
            name: Which: `_graph_<name>`.
            inputs: Its first argument, `(n, ...)`.
            batch_size: Rows per call.
            **given: Its other arguments, `(n, ...)` each.
        """
        check_positive_int("batch_size", batch_size)
        arrays = [inputs, *given.values()]
        function = self._compiled(name, arrays, tuple(given))
        if len(inputs) <= batch_size:
            return function(*arrays)
        starts = range(0, len(inputs), batch_size)
        parts = [
            function(*(array[i : i + batch_size] for array in arrays))
            for i in with_progress(starts)
        ]
        if isinstance(parts[0], dict):
            return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
        return np.concatenate(parts)

    def _compiled(
        self, name: str, arrays: list[np.ndarray], given: tuple[str, ...]
    ) -> Callable[..., Any]:
        key = (name, arrays[0].dtype.name, *given)
        if key not in self._compiled_functions:
            self._ensure_built()
            graph = getattr(self, f"_graph_{name}")
            self._compiled_functions[key] = compile_inference(
                lambda x, *rest: graph(x, **dict(zip(given, rest, strict=True))),
                self,
                *((array.shape[1:], array.dtype.name) for array in arrays),
            )
        return self._compiled_functions[key]

    def _graph_encode_parameters(self, x: Tensor, **given: Any) -> dict[str, Tensor]:
        x = self.to_unit_range(x, self.compute_dtype)
        return self.encode_parameters(x, **given)

    def _graph_encode(self, x: Tensor, **given: Any) -> Tensor:
        return self.make_posterior(self._graph_encode_parameters(x, **given)).mode()

    def _graph_decode_parameters(self, z: Tensor, **given: Any) -> Tensor:
        return self.decode_parameters(z, **given)

    def _graph_decode(self, z: Tensor, **given: Any) -> Tensor:
        decoder_output = self.decode_parameters(z, **given)
        return ops.clip(self.to_pixels(decoder_output), 0.0, 1.0)

    def _graph_reconstruct(self, x: Tensor, **given: Any) -> Tensor:
        x_hat = self._graph_decode(self._graph_encode(x, **given), **given)
        if keras.backend.standardize_dtype(x.dtype) == "uint8":
            return ops.cast(ops.round(255.0 * x_hat), "uint8")
        return x_hat

    def _check_images(self, x: Any, name: str = "x") -> np.ndarray:
        if isinstance(x, keras.KerasTensor):
            raise ValueError(
                f"`{name}` is symbolic. Inside a functional model call the model "
                "itself, or use `aezoo.feature_extractor`."
            )
        return check_images(x, self.input_shape, name)

    def _check_codes(self, z: Any, name: str = "z") -> np.ndarray:
        codes = np.asarray(z)
        if codes.shape[1:] != self.latent_shape or codes.ndim < 2:
            raise ValueError(
                f"`{name}` must have shape (n, "
                f"{', '.join(map(str, self.latent_shape))}), one row per code. "
                f"Received: {name}.shape={codes.shape}."
            )
        if len(codes) == 0:
            raise ValueError(f"`{name}` is empty. Received: shape={codes.shape}.")
        if codes.dtype.kind not in "fiu":
            raise ValueError(
                f"`{name}` must be numeric. Received: dtype={codes.dtype}."
            )
        codes = np.ascontiguousarray(codes, "float32")
        if not np.isfinite(codes).all():
            raise ValueError(
                f"`{name}` holds NaN or infinity. Find them with `np.isfinite({name})`."
            )
        return codes

    def _as_codes(self, value: Any, name: str) -> tuple[np.ndarray, bool, bool]:
        """Codes of images or codes; whether uint8 came in; whether it was a single."""
        array = np.asarray(value)
        is_single = array.shape in (self.input_shape, self.latent_shape)
        batch = array[None] if is_single else array
        if batch.shape[1:] == self.latent_shape:
            return self._check_codes(batch, name), False, is_single
        batch = self._check_images(batch, name)
        return self.encode(batch), batch.dtype == np.uint8, is_single

    def _decode_grid(self, codes: np.ndarray, is_uint8: bool) -> np.ndarray:
        """Decode `(n, m, *latent_shape)` to `(n, m, *input_shape)`."""
        images = self.decode(codes.reshape(-1, *self.latent_shape))
        images = images.reshape(*codes.shape[:2], *self.input_shape)
        return np.round(255.0 * images).astype("uint8") if is_uint8 else images


def _get_optimizer(optimizer: Any) -> keras.optimizers.Optimizer:
    is_adam = isinstance(optimizer, str) and optimizer.lower() == "adam"
    return Adam() if is_adam else keras.optimizers.get(optimizer)


class _RunningMeans:
    """One mean per loss, hidden from Keras's tracking: no part of a saved model."""

    def __init__(self, names: Sequence[str]) -> None:
        self.metrics = [_CountingMean(name=name) for name in names]


class _CountingMean(keras.metrics.Mean):
    """A mean that also counts its examples, whatever they weigh."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_examples = self.add_variable(
            shape=(), initializer="zeros", name="num_examples"
        )

    def update_state(self, values: Tensor, sample_weight: Tensor | None = None) -> None:
        super().update_state(values, sample_weight)
        self.num_examples.assign_add(ops.cast(ops.shape(values)[0], "float32"))

    def reset_state(self) -> None:
        super().reset_state()
        self.num_examples.assign(0)


class DeterministicAutoencoder(Autoencoder):
    """Autoencoder with one code per image: the base of the `*_ae` families.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of code units.
        reconstruction_loss: `"mse"` squared error, `"mae"` absolute error,
            `"smooth_l1"` (Huber), `"bce"` Bernoulli negative log-likelihood, each
            summed over pixels; or `"ms_ssim"`, one minus the multi-scale structural
            similarity, times the number of pixels (Snell et al., 2017,
            https://arxiv.org/abs/1511.06409).
        smooth_l1_beta: Error at which `"smooth_l1"` turns from quadratic to linear.
        **kwargs: As in `Autoencoder`. `"bce"` needs `output_activation="sigmoid"`.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 32,
        *,
        reconstruction_loss: str = "mse",
        smooth_l1_beta: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, latent_dim, **kwargs)
        self.reconstruction_loss = check_choice(
            "reconstruction_loss", reconstruction_loss, RECONSTRUCTION_LOSSES
        )
        self.smooth_l1_beta = check_number("smooth_l1_beta", smooth_l1_beta, above=0.0)
        if reconstruction_loss == "bce" and self.output_activation != "sigmoid":
            raise ValueError(
                "`reconstruction_loss='bce'` needs `output_activation='sigmoid'`. "
                f"Received: output_activation={self.output_activation!r}."
            )
        if reconstruction_loss == "ms_ssim":
            losses.check_ssim_size(*self.input_shape[:2])

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """A point mass on the code."""
        return PointMass(parameters["z"])

    def reconstruction_term(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """The reconstruction loss, summed over pixels, `(batch,)`."""
        if self.reconstruction_loss == "bce":
            return losses.bernoulli_nll(x, outputs["decoder_output"])
        if self.reconstruction_loss == "smooth_l1":
            return losses.smooth_l1(x, outputs["x_hat"], self.smooth_l1_beta)
        if self.reconstruction_loss == "mae":
            return losses.absolute_error(x, outputs["x_hat"])
        if self.reconstruction_loss == "ms_ssim":
            return losses.ms_ssim_error(x, outputs["x_hat"])
        return losses.squared_error(x, outputs["x_hat"])

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "reconstruction_loss": self.reconstruction_loss,
            "smooth_l1_beta": self.smooth_l1_beta,
        }


class VariationalAutoencoder(Autoencoder):
    """Autoencoder with a diagonal-Gaussian posterior and a standard-normal prior.

    Minimises the negative evidence lower bound `reconstruction + beta * kl` of
    Kingma & Welling (2014), equation 10 (https://arxiv.org/abs/1312.6114), by the
    reparameterisation trick; `beta` other than 1 is the beta-VAE of Higgins et al.
    (2017). `fit` and `evaluate` estimate it with one sampled code per image, in nats
    per example. The encoder has the heads `z_mean` and `z_log_var`.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of code units.
        likelihood: `"bernoulli"` (grey values as probabilities), `"gaussian"` or
            `"laplace"`; or `"ms_ssim"`, in their place one minus the multi-scale
            structural similarity, times the number of pixels (Snell et al., 2017,
            https://arxiv.org/abs/1511.06409): no distribution, so without a bound
            on the likelihood.
        likelihood_scale: Standard deviation (`"gaussian"`) or scale b (`"laplace"`)
            of a pixel; `"learned"` for one trained scalar; or `"optimal"`, the
            sigma-VAE of Rybkin et al. (2021, https://arxiv.org/abs/2006.13202):
            training takes the most probable scale of each batch (equation 5), and
            keeps a running mean of its log for everything else. Divides the
            `"ms_ssim"` term; unused for `"bernoulli"`.
        beta: Weight of the KL term.
        kl_warmup_steps: Optimiser steps over which the weight of the KL term grows
            linearly from 0 to `beta`; 0 starts at `beta`.
        binarize: `fit` and `evaluate` see each pixel as 0 or 1, drawn anew each time
            with its grey value as probability (dynamic binarisation; Salakhutdinov &
            Murray, 2008, https://doi.org/10.1145/1390156.1390266). Needs
            `"bernoulli"`. All other methods take grey values as they are.
        **kwargs: As in `Autoencoder`. `"bernoulli"` needs
            `output_activation="sigmoid"`.
    """

    HEADS: ClassVar[tuple[str, ...]] = ("z_mean", "z_log_var")
    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features", "sampling")
    LIKELIHOODS: ClassVar[tuple[str, ...]] = (
        "bernoulli",
        "gaussian",
        "laplace",
        "ms_ssim",
    )

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 16,
        *,
        likelihood: str = "bernoulli",
        likelihood_scale: float | str = 1.0,
        beta: float = 1.0,
        kl_warmup_steps: int = 0,
        binarize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, latent_dim, **kwargs)
        self.likelihood = check_choice("likelihood", likelihood, self.LIKELIHOODS)
        if likelihood_scale not in FITTED_SCALES:
            check_number("likelihood_scale", likelihood_scale, above=0.0)
        self.likelihood_scale = likelihood_scale
        if likelihood == "ms_ssim":
            check_number("likelihood_scale", likelihood_scale, above=0.0)
            losses.check_ssim_size(*self.input_shape[:2])
        self.beta = check_number("beta", beta, low=0.0)
        self.kl_warmup_steps = int(
            check_number("kl_warmup_steps", kl_warmup_steps, low=0)
        )
        if likelihood == "bernoulli" and self.output_activation != "sigmoid":
            raise ValueError(
                "`likelihood='bernoulli'` needs `output_activation='sigmoid'`. "
                f"Received: output_activation={self.output_activation!r}."
            )
        self.binarize = bool(binarize)
        if self.binarize and likelihood != "bernoulli":
            raise ValueError(
                "`binarize=True` needs `likelihood='bernoulli'`. "
                f"Received: likelihood={likelihood!r}."
            )

    def observed_images(
        self, x: Tensor, target: Tensor, seed: Any
    ) -> tuple[Tensor, Tensor]:
        """Images, or with `binarize` one draw of zeros and ones for both."""
        if not self.binarize:
            return x, target
        draws = uniform(ops.shape(x), seed)
        x = self.to_unit_range(x)
        return tuple(ops.cast(draws < v, "float32") for v in (x, target))

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Create all weights, among them the learned scale where there is one."""
        is_rebuilt = self.built
        super().build(input_shape)
        if is_rebuilt or self.likelihood not in ("gaussian", "laplace"):
            return
        if self.likelihood_scale in FITTED_SCALES:
            is_learned = self.likelihood_scale == "learned"
            self.log_scale = self.add_weight(
                shape=(),
                initializer="zeros",
                dtype="float32",
                trainable=is_learned,
                aggregation="none" if is_learned else "mean",  # of replicas
                name="log_scale",
            )
        else:
            self.log_scale = math.log(float(self.likelihood_scale))

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """A diagonal Gaussian."""
        return DiagonalGaussian(parameters["z_mean"], parameters["z_log_var"])

    def observation(self, decoder_output: Tensor) -> Bernoulli | Gaussian | Laplace:
        """The distribution p(x|z) over pixels for a decoder output."""
        if self.likelihood == "bernoulli":
            return Bernoulli(decoder_output)
        if self.likelihood == "ms_ssim":
            raise UnsupportedOperationError(
                "`likelihood='ms_ssim'` compares images without a distribution over "
                "pixels. Train with 'bernoulli', 'gaussian' or 'laplace' for one."
            )
        cls = Gaussian if self.likelihood == "gaussian" else Laplace
        return cls(self.to_pixels(decoder_output), self.log_scale)

    def reconstruction_term(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """-log p(x|z), or the dissimilarity in its place, `(batch,)`."""
        if self.likelihood == "ms_ssim":
            error = losses.ms_ssim_error(x, self.to_pixels(outputs["decoder_output"]))
            return error / self.likelihood_scale
        return super().reconstruction_term(x, outputs)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`; that of `kl` is `beta`."""
        return {**super().loss_weights, "kl": self.beta}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`.

        At an optimiser step, an optimal scale is first fitted to the batch.
        """
        terms = super().compute_terms(x, outputs, step)
        if step is not None and self.has_optimal_scale:
            mean = self.to_pixels(outputs["decoder_output"])
            is_gaussian = self.likelihood == "gaussian"
            fit = losses.gaussian_log_scale if is_gaussian else losses.laplace_log_scale
            # At its optimum the scale has no gradient.
            log_scale = ops.stop_gradient(fit(x, mean))
            cls = Gaussian if is_gaussian else Laplace
            terms["reconstruction"] = -cls(mean, log_scale).log_prob(x)
            seen = ops.cast(step, "float32")
            momentum = ops.minimum(seen / (seen + 1.0), SCALE_MOMENTUM)
            running = momentum * self.log_scale + (1.0 - momentum) * log_scale
            self.log_scale.assign(running)
        return {**terms, "kl": self.kl_term(outputs)}

    @property
    def has_optimal_scale(self) -> bool:
        """Whether training fits the scale of the likelihood to each batch."""
        is_scaled = self.likelihood in ("gaussian", "laplace")
        return is_scaled and self.likelihood_scale == "optimal"

    def kl_term(self, outputs: dict[str, Tensor]) -> Tensor:
        """KL(q(z|x) || p(z)) of what `call` returned, `(batch,)`: in closed form."""
        return self.make_posterior(outputs).kl()

    def loss_schedule(self, step: Tensor) -> dict[str, Tensor]:
        """The KL term's warm-up: a factor that grows from 0 to 1."""
        if not self.kl_warmup_steps:
            return {}
        progress = ops.cast(step, "float32") / self.kl_warmup_steps
        return {"kl": ops.minimum(progress, 1.0)}

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "likelihood": self.likelihood,
            "likelihood_scale": self.likelihood_scale,
            "beta": self.beta,
            "kl_warmup_steps": self.kl_warmup_steps,
            "binarize": self.binarize,
        }
