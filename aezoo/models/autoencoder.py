"""What all objectives share: networks, graph, terms and training of any model."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.errors import UnsupportedOperationError
from aezoo.inference.priors import Prior, StandardNormal
from aezoo.modalities.base import Modality
from aezoo.modalities.label import Label
from aezoo.models.arguments import (
    Argument,
    arguments_of,
    check_known,
    keep,
    number,
    signature_of,
    units,
    weight,
)
from aezoo.models.batches import MASK
from aezoo.models.entry_points import CompiledEntryPoints
from aezoo.models.families import compose, flat_config
from aezoo.models.inpainting import nearest_sample, project, resample
from aezoo.models.training import Training
from aezoo.networks.base import Latent, Network
from aezoo.networks.stages import NoEncoder
from aezoo.nn import losses
from aezoo.nn.backend import SeedGenerator
from aezoo.nn.distributions import IndexedNoise, Posterior, standard_normal
from aezoo.nn.keras_private import flat_layers
from aezoo.nn.structure import is_quantized
from aezoo.registry import find_family
from aezoo.samplers import Samplers
from aezoo.utils.text import did_you_mean

Tensor = Any
# Seed of the codes drawn by `test_step`, so that `evaluate` repeats itself.
TEST_SEED = 0


class Autoencoder(CompiledEntryPoints, Training, keras.Model):
    """The base of all objectives: any modality, on any network that carries it.

    Minimises `reconstruction + sparsity * L1(z)` plus the objective's own terms, each
    summed over elements or units and averaged over examples. `compile(optimizer)` and
    `fit(x)` train it; the target is the clean example, also with `corruption`.

    An objective lists its arguments as in `aezoo.models.arguments`, and defines what
    follows: heads of the encoder, posterior, prior, terms.

    Args:
        modality: What an example is.
        network: How it is encoded and decoded.
        family: Name under which `aezoo.create` knows the model; None for the
            objective's own.
        latent_dim: Number of latent units; of a map, channels.
        output_activation: Of the decoder: `"sigmoid"`, or `"linear"` with values cut
            to the modality's range by `decode`; None for the modality's default.
        sparsity: Weight of the L1 norm of the code (its posterior mean).
        corruption: Corrupts the input in training only (Vincent et al., 2010,
            https://www.jmlr.org/papers/v11/vincent10a.html): for images
            `"gaussian"`, `"masking"`, `"salt_and_pepper"`, `"blocks"`,
            `"downsample"`, `"grayscale"`, `"jpeg"` or `"blur"`, at their own size; or
            None.
        corruption_level: Standard deviation of noise, or of a blur in pixels; a
            probability per element or block; a factor; or a quality.
        **kwargs: `name`, `dtype` and `trainable` of `keras.Model`.
    """

    latent_dim: int = units(16)
    output_activation: str = Argument(
        None,
        keep,  # the modality checks it
        is_fixed=True,
    )  # type: ignore[assignment]
    sparsity: float = weight(0.0)
    corruption: str | None = Argument(None, keep)  # type: ignore[assignment]
    corruption_level: float = number(0.5, low=0.0)

    # --- What an objective says of itself -----------------------------------------

    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features")
    # Units of a code: "continuous"; "discrete", of finitely many values; or "mixed",
    # `latent_dim` continuous ones and then a class as a one-hot row.
    CODES: ClassVar[str] = "continuous"
    # What `sample` returns, for the protocols of metrics.
    SAMPLES: ClassVar[str] = "means of p(x|z), z from the prior"
    # Terms that are a property of a batch and the same for all of its examples.
    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset()
    # Latents per example from which KL(q(z|x)||p(z)) is estimated; 0: in closed form.
    KL_DRAWS: ClassVar[int] = 0
    # What is averaged over them, for the protocols of metrics.
    KL_ESTIMATE: ClassVar[str] = "log q(z|x) - log p(z)"

    # Whether examples are encoded; else `project` alone finds codes of them.
    has_encoder: ClassVar[bool] = True
    # Whether p(x|z) is a distribution, rather than an error in its place.
    has_likelihood: bool = False
    # Its name, e.g. `"bernoulli"`; None without one.
    likelihood_name: str | None = None
    # Whether `fit` and `evaluate` see each element as a fresh draw of 0 or 1.
    learns_binarised: bool = False
    # Whether the prior over codes is the standard normal.
    has_standard_prior: ClassVar[bool] = True
    # Whether the posterior is a Gaussian with independent units.
    has_diagonal_posterior: ClassVar[bool] = False
    # Whether `log_likelihood` gives log p(x) itself.
    has_exact_likelihood: ClassVar[bool] = False
    # Whether `classify` gives classes.
    is_classifier: ClassVar[bool] = False
    # Whether a code holds latents of which each depends on those before it.
    has_levels: ClassVar[bool] = False
    # Whether `fit` can leave out of its objective what is missing of examples.
    LEARNS_FROM_HOLES: ClassVar[bool] = False

    # Where the weights were converted from, and their licence; None where that is not
    # known. Saved with the model.
    origin: str | None = None
    license: str | None = None

    encoder: keras.layers.Layer
    decoder: keras.layers.Layer
    # A network beside the model that minimises `adversary_term` against it, if any.
    adversary: Any
    adversary_term: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        keyword = inspect.Parameter.KEYWORD_ONLY
        first = [
            inspect.Parameter("modality", keyword),
            inspect.Parameter("network", keyword),
            inspect.Parameter("family", keyword, default=None),
        ]
        cls.__signature__ = signature_of(cls, first)
        keras.saving.register_keras_serializable("aezoo")(cls)

    def __init__(
        self,
        *,
        modality: Modality,
        network: Network,
        family: str | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        **arguments: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.is_complete = False
        self.family = family or type(self).__module__.rpartition(".")[2]
        self.modality = modality
        self.network = network
        self.argument_values: dict[str, Any] = {}
        self._set_arguments(arguments)
        self.check_arguments()
        self.seed_generator = SeedGenerator()
        self.adversary = None  # on the class, it would hide PyTorch's modules
        self.create_layers()
        self._samplers = Samplers(self)
        self._start_entry_points()
        self._start_training()
        self.is_complete = True

    # --- Arguments ------------------------------------------------------------------

    def _set_arguments(self, given: Mapping[str, Any]) -> None:
        known = arguments_of(type(self))
        check_known(self.family, given, known)
        given = {**given, **self._defaults_of_modality(known, given)}
        for name, argument in known.items():
            value = given.get(name, argument.default)
            self.argument_values[name] = argument.check(name, value)

    def _defaults_of_modality(
        self, known: Mapping[str, Argument], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The modality's first choices, where an objective's default is none of its."""
        choices = {
            "output_activation": self.modality.activations,
            "likelihood": self.modality.likelihoods,
            "reconstruction_loss": self.modality.errors,
        }
        return {
            name: allowed[0]
            for name, allowed in choices.items()
            if name in known and given.get(name) is None and allowed
            if known[name].default not in allowed
        }

    def set_argument(self, argument: Argument, value: Any) -> None:
        """Set an argument of a model that exists: it counts from the next step on.

        Args:
            argument: Which.
            value: Its new value.

        Raises:
            ValueError: If the value is out of range, does not go with the others, or
                shapes the network.
        """
        name = argument.name
        value = argument.check(name, value)
        old = self.argument_values[name]
        if value == old:
            return
        if argument.is_fixed:
            raise ValueError(
                f"`{name}` shapes the network of {self.name!r}, so it cannot be set "
                f"later. Received: {name}={value!r}. Create a new model with it."
            )
        self.argument_values[name] = value
        try:
            self.check_arguments()
        except ValueError:
            self.argument_values[name] = old
            raise
        if not argument.is_weight:
            self._forget_functions()
        self._update_term_weights()

    def check_arguments(self) -> None:
        """Refuse values that do not go with each other, or with the modality.

        Raises:
            ValueError: Says which.
        """
        modality = self.modality
        check_for_modality(
            "output_activation", self.output_activation, modality.activations, modality
        )
        check_for_modality(
            "corruption", self.corruption, (None, *modality.corruptions), modality
        )
        if self.corruption is not None:
            modality.check_corruption(self.corruption, self.corruption_level)

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return flat_config(self)

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the model, without weights."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "family": self.family,
            **self.config,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:  # noqa: ARG003
        """A model from what `get_config` gave."""
        arguments = dict(config)
        dtype = arguments.pop("dtype", None)
        if isinstance(dtype, dict):
            dtype = keras.saving.deserialize_keras_object(dtype)
        # of this class: a user's own may be none of the registered ones
        family = dataclasses.replace(
            find_family(arguments.pop("family")), objective=cls
        )
        return compose(family, dtype=dtype, **arguments)

    # --- Networks -------------------------------------------------------------------

    @property
    def latent(self) -> Latent:
        """What the objective asks of a network: here a flat latent."""
        return Latent(self.latent_dim)

    @property
    def heads(self) -> dict[str, int]:
        """Width of each output of the encoder, by its name; codes depend on the first.

        Defined by each objective; empty without an encoder.
        """
        raise NotImplementedError

    @property
    def code_head(self) -> str:
        """The head on which codes depend; feature extractors train no other."""
        return next(iter(self.heads))

    @property
    def output_width(self) -> int:
        """Parameters that the decoder gives per position of an example."""
        return self.modality.channels

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the parameters of the likelihood of one example."""
        return self.network.output_shape(
            self.modality, self.output_width, self.decoder_input_shape
        )

    def create_layers(self) -> None:
        """Create encoder and decoder, and what else an objective trains; no weights.

        Raises:
            NetworkError: If the network cannot carry the modality or the latent.
        """
        latent = self.latent
        if self.has_encoder:
            self.encoder = self.network.encoder(self.modality, self.heads, latent)
        else:
            self.encoder = NoEncoder(name="encoder")
        self.decoder = self.network.decoder(self.modality, self.output_width, latent)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, as users have it."""
        return self.modality.shape

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one code."""
        return self.network.latent_shape(self.modality, self.latent)

    @property
    def decoder_input_shape(self) -> tuple[int, ...]:
        """Shape of what the decoder sees of one example: here its code."""
        return self.latent_shape

    @property
    def adversary_input_shape(self) -> tuple[int, ...]:
        """Shape of what the adversary sees: here codes."""
        return self.latent_shape

    def build(self, input_shape: Any = None) -> None:
        """Create all weights. Happens by itself on first use.

        Args:
            input_shape: `(batch, *input_shape)` or None; must agree with the model's
                own `input_shape`.
        """
        if input_shape is not None and tuple(input_shape[1:]) != self.input_shape:
            raise ValueError(
                f"{self.name!r} takes {self.modality.nouns} of shape (batch, "
                f"{', '.join(map(str, self.input_shape))}). "
                f"Received: input_shape={tuple(input_shape)}."
            )
        if self.is_built:
            return
        self.share_dtype_policy()
        self.build_layers()
        self.is_built = True
        self.built = True

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Create all weights when Keras reads a file; raises as `build` does.

        Keras's own passes over whatever `build` raises, and then over the weights.
        """
        if config:
            self.build(config.get("input_shape"))

    # Whether `build` has created the weights.
    is_built: bool = False

    def build_layers(self) -> None:
        """Create all weights; an objective adds its own."""
        if not self.encoder.built:
            self.encoder.build((None, *self.modality.tensor_shape))
        if not self.decoder.built:
            self.decoder.build((None, *self.decoder_input_shape))
        if self.adversary is not None and not self.adversary.built:
            self.adversary.build((None, *self.adversary_input_shape))

    def ensure_built(self) -> None:
        """Create the weights if there are none yet."""
        if not self.is_built:
            self.build((None, *self.input_shape))

    def share_dtype_policy(self) -> None:
        """Give all layers the model's `dtype`; Keras gives them its global one."""
        for layer in flat_layers(self, include_self=False):
            if not layer.built:
                layer.dtype_policy = self.dtype_policy

    def adapt(self, x: np.ndarray, seed: int = 0) -> None:
        """Set the weights that an objective starts from data; none, in most.

        Args:
            x: Training examples, `(n, *input_shape)`.
            seed: Seed of the choice among them.
        """

    def finish(
        self, x: np.ndarray, told: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Set the weights that an objective takes from data once it is trained.

        None, in most objectives. `training.train` calls it after `fit`.

        Args:
            x: As in `adapt`.
            told: What else it learnt from, `(n, ...)` each, by its name in
                `told_in_training`; or None.
        """

    @property
    def is_autoregressive(self) -> bool:
        """Whether the decoder writes one element after another."""
        return self.network.is_autoregressive

    @property
    def network_kind(self) -> str:
        """Name of the network."""
        return self.network.kind

    # --- Graph ----------------------------------------------------------------------

    @property
    def given(self) -> Mapping[str, Modality]:
        """What the model is told besides the example: modality by name."""
        return {}

    @property
    def required_conditions(self) -> tuple[str, ...]:
        """Names in `given` without which nothing can be computed: here all.

        An objective that has learnt to do without some leaves these out.
        """
        return tuple(self.given)

    @property
    def told_in_training(self) -> Mapping[str, Modality]:
        """What batches for `fit` hold besides examples: modality by name.

        What stands here and not in `given` may be missing in them.
        """
        return self.given

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """Encode and decode a batch inside a graph. Does not check values.

        Args:
            inputs: Examples `(batch, *input_shape)`.
            training: Corrupts the input and samples the posterior.
            sample_seed: Samples the posterior also when not training, with this
                source of noise; None decodes the mode.
            **given: What else the model is told, `(batch, ...)` each.

        Returns:
            `x_hat` (what the decoder shows), `decoder_output` (the parameters of the
            likelihood), `z` (the decoded code) and the parameters of the posterior;
            all float32.
        """
        self.check_conditions(given)
        posterior = self.infer(inputs, training, **given)
        if training and sample_seed is None:
            sample_seed = self.seed_generator
        code = self.draw_code(posterior, sample_seed)
        decoder_output = self.decode_parameters(code["z"], training=training, **given)
        return {
            "x_hat": self.point(decoder_output),
            "decoder_output": decoder_output,
            **posterior.parameters(),
            **code,
        }

    def infer(
        self, inputs: Tensor, training: bool = False, **given: Tensor
    ) -> Posterior:
        """The posterior of examples inside a graph; of corrupted ones in training.

        Args:
            inputs: As in `call`.
            training: As in `call`.
            **given: As in `call`.
        """
        x = self.to_input(inputs, training)
        return self.make_posterior(
            self.encode_parameters(x, training=training, **given)
        )

    def to_input(self, inputs: Tensor, training: bool = False) -> Tensor:
        """What the encoder sees of examples: tensors, corrupted in training."""
        x = self.to_tensors(inputs, self.compute_dtype)
        if training and self.corruption is not None:
            return self.modality.corrupt(
                x, self.corruption, self.corruption_level, self.seed_generator
            )
        return x

    def encode_parameters(
        self, x: Tensor, training: bool = False, **given: Tensor
    ) -> dict[str, Tensor]:
        """Parameters of the posterior for tensors of examples; float32."""
        return self.to_parameters(self.encoder(x, training=training, **given))

    def to_parameters(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters of the posterior from the encoder's outputs; float32."""
        return {name: ops.cast(output, "float32") for name, output in outputs.items()}

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """The posterior object for encoder outputs or `call` outputs."""
        raise NotImplementedError

    def draw_code(self, posterior: Posterior, sample_seed: Any) -> dict[str, Tensor]:
        """The code `z` that `call` decodes: a sample, or the mode without a seed."""
        if sample_seed is None:
            return {"z": posterior.mode()}
        return {"z": posterior.sample(sample_seed)}

    def decode_parameters(
        self, z: Tensor, training: bool = False, **given: Tensor
    ) -> Tensor:
        """Parameters of the likelihood for codes; float32."""
        z = ops.cast(z, self.compute_dtype)
        return ops.cast(self.decoder(z, training=training, **given), "float32")

    def make_likelihood(self, parameters: Tensor) -> Any:
        """The distribution p(x|z) for decoder outputs, where there is one.

        An autoregressive network has it, whatever the objective.

        Raises:
            UnsupportedOperationError: If there is none.
        """
        if self.network.is_autoregressive:
            return self.decoder.likelihood(parameters)
        raise UnsupportedOperationError(
            f"{self.family!r} is trained with a loss, not a likelihood, so it has no "
            f"distribution over {self.modality.element}s."
        )

    def point(self, parameters: Tensor) -> Tensor:
        """What the decoder shows for its outputs; may leave the modality's range.

        The point of the likelihood; without one, the outputs through their activation.
        """
        if self.has_likelihood or self.network.is_autoregressive:
            return self.make_likelihood(parameters).point()
        return self.activated(parameters)

    def activated(self, parameters: Tensor) -> Tensor:
        """The decoder's outputs through their activation."""
        is_sigmoid = self.output_activation == "sigmoid"
        return ops.sigmoid(parameters) if is_sigmoid else parameters

    def noise(self, shape: Any, training: bool, sample_seed: Any) -> Tensor:
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

    def first_guess(
        self,
        x: np.ndarray,
        hidden: np.ndarray,
        noise: IndexedNoise,
        **given: np.ndarray,
    ) -> np.ndarray:
        """What `inpaint` starts from in the place of what is hidden.

        A sample that agrees with what is known, where the model has a likelihood and a
        prior of its own; else noise. Arguments as in `inpaint_step`; as `x`.
        """
        if self.has_likelihood and "sampling" in self.TASKS and not given:
            return nearest_sample(self, x, hidden, noise)
        return ops.convert_to_numpy(noise.uniform(x.shape))

    def inpaint_step(
        self,
        x: np.ndarray,
        hidden: np.ndarray,
        noise: IndexedNoise,
        share: float,
        candidates: int,
        **given: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """One step of `inpaint`: better guesses of what is hidden.

        Args:
            x: Examples with a guess in the place of what is hidden, float32,
                `(rows, *tensor_shape)`.
            hidden: Which positions are, `(rows, *positions)`.
            noise: Source of what is drawn.
            share: Of the steps that are done, in [0, 1).
            candidates: As in `inpaint`.
            **given: What the model is told, `(rows, ...)` each.

        Returns:
            What the next step starts from, and what is shown after the last one; both
            as `x`, of which the hidden positions count.
        """
        if self.has_likelihood:
            return resample(self, x, hidden, noise, candidates, **given)
        return project(self, x, hidden, noise, share, **given)

    # --- Prior ----------------------------------------------------------------------

    def log_prior(self, z: Tensor) -> Tensor:
        """Log p(z) of codes `(batch, *latent_shape)`: standard normal. `(batch,)`."""
        return -0.5 * losses.sum_per_example(ops.square(z) + losses.LOG_2PI)

    def prior_density(self) -> Callable[[Tensor], Tensor]:
        """`log_prior`, with all work done that does not depend on the codes."""
        return self.log_prior

    def make_prior(self) -> Prior:
        """The prior over codes, from which `sample` draws: standard normal."""
        return StandardNormal(self.latent_shape)

    # --- Objective --------------------------------------------------------------------

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
            x: Target examples as tensors, `(batch, *tensor_shape)`.
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
        """How badly `outputs` reconstruct `x`, summed over elements, `(batch,)`."""
        parameters, hidden = outputs["decoder_output"], outputs.get(MASK)
        return -self.log_prob_given_code(x, parameters, hidden)

    def log_prob_given_code(
        self, x: Tensor, parameters: Tensor, hidden: Tensor | None = None
    ) -> Tensor:
        """Log p(x|z) of the elements that are there. Nats, `(batch,)`.

        Args:
            x: Examples as tensors, `(batch, *positions, channels)`.
            parameters: What the decoder gave, `(batch, *positions, width)`.
            hidden: Bools `(batch, *positions)`, True where an element is missing, of
                likelihoods whose positions are independent; None for none.
        """
        if hidden is None:
            return self.make_likelihood(parameters).log_prob(x)
        flat = ops.reshape(parameters, (-1, parameters.shape[-1]))
        values = ops.reshape(x, (-1, x.shape[-1]))
        at_positions = self.make_likelihood(flat).log_prob(values)
        at_positions = ops.reshape(at_positions, ops.shape(hidden))
        seen = ops.where(hidden, ops.zeros_like(at_positions), at_positions)
        return ops.sum(seen, axis=tuple(range(1, len(seen.shape))))

    def loss_schedule(self, step: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Factors in [0, 1] on the loss weights at an optimiser step."""
        return {}

    def observed(
        self,
        x: Tensor,
        target: Tensor,
        seed: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """What `fit` and `evaluate` see of a batch: here the examples as they are."""
        return x, target

    @property
    def samplers(self) -> Samplers:
        """Fitted distributions over codes by kind, e.g. `"gmm"`; see `fit_sampler`."""
        return self._samplers

    def save_assets(self, dir_path: str) -> None:
        """Write the samplers, where Keras saves the model: `save`, copies, pickles."""
        self.samplers.write(Path(dir_path))

    def load_assets(self, dir_path: str) -> None:
        """Read the samplers that `save_assets` wrote."""
        self.samplers.read(Path(dir_path))

    def save_own_variables(self, store: Any) -> None:
        """Write weights of the model's own; refuses a quantised model.

        Raises:
            UnsupportedOperationError: If a layer is quantised.
        """
        self.check_can_be_saved()
        super().save_own_variables(store)

    def check_can_be_saved(self) -> None:
        """Refuse what the configuration cannot rebuild.

        Raises:
            UnsupportedOperationError: If a layer is quantised.
        """
        if is_quantized(self):
            raise UnsupportedOperationError(
                f"{self.name!r} is quantised, which its configuration does not say, so "
                "it cannot be saved. Save it before `quantize`, and call that again "
                "after loading."
            )

    def export(self, filepath: Any, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.export` of the map from examples to what `call` returns.

        Inputs are float32, or of indices int32. Floats are in the modality's range, as
        everywhere: of images in [0, 1]. What is exported cannot refuse others, and
        answers them with NaN.

        Args:
            filepath: As in Keras.
            *args: As in Keras.
            **kwargs: As in Keras; `input_signature` states another dtype.
        """
        if self.required_conditions:
            raise UnsupportedOperationError(
                f"Keras exports models of one input, and {self.family!r} must also be "
                f"told {' and '.join(self.required_conditions)}. Use `aezoo.export`."
            )
        self.ensure_built()
        dtype = self.modality.target_dtype
        signature = [keras.InputSpec(dtype, (None, *self.input_shape))]
        kwargs.setdefault("input_signature", signature)
        return super().export(filepath, *args, **kwargs)

    @property
    def num_label_classes(self) -> int | None:
        """Number of classes of the labels that the model is told; None without."""
        label = self.given.get("labels")
        return label.num_classes if isinstance(label, Label) else None


def check_for_modality(
    name: str, value: Any, choices: tuple[Any, ...], modality: Modality
) -> None:
    """Refuse a value that makes no sense for a modality.

    Args:
        name: The argument.
        value: What came in.
        choices: What makes sense.
        modality: For which.

    Raises:
        ValueError: Names what makes sense.
    """
    if value not in choices:
        hint = did_you_mean(str(value), [c for c in choices if isinstance(c, str)])
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))} for "
            f"{modality.nouns}. Received: {name}={value!r}.{hint}"
        )
