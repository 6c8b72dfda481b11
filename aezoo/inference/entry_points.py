"""What people call on any model, whatever computes it: arrays in, arrays out."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo.errors import UnsupportedOperationError
from aezoo.inference.attributes import check_continuous
from aezoo.modalities.label import Label
from aezoo.nn.codes import check_codes, interpolate_codes
from aezoo.samplers import how_to_fit
from aezoo.utils.arrays import to_numpy
from aezoo.utils.validation import (
    check_choice,
    check_number,
    check_positive_int,
    check_seed,
)

if TYPE_CHECKING:
    from aezoo.nn.distributions import Posterior

INTERPOLATIONS = ("spherical", "linear")
# Codes that are decoded at once, and where a step writes one symbol of each.
ROWS, WRITTEN_ROWS = 256, 1024


class EntryPoints:
    """The methods for people that every model has; not of use by itself.

    They rest on what a model says of itself (`family`, `modality`, `latent_shape`,
    `given`, `required_conditions`, `TASKS`, `CODES`, `samplers`, ...) and on how it
    computes: `run`, `make_posterior`, `make_prior`, `draw_elements`, `search_codes`.
    Keras does that in `aezoo.models.entry_points`, other runtimes in `aezoo.engines`.
    """

    def is_symbol(self: Any, x: Any) -> bool:  # noqa: ARG002
        """Whether `x` is a tensor without values, which Keras alone has."""
        return False

    # --- Codes ------------------------------------------------------------------------

    def encode(
        self: Any,
        x: Any,
        batch_size: int = 256,
        *,
        given: Mapping[str, Any] | None = None,
        labels: Any = None,
    ) -> np.ndarray:
        """Codes of examples: the mode of the posterior, so the same at every call.

        Args:
            x: Examples `(n, *input_shape)`; of images uint8, or floats in [0, 1].
            batch_size: Examples per compiled call; does not change the result.
            given: What else the model is told, by name; `(n, ...)` each, or one for
                all.
            labels: Short for `given={"labels": labels}`.

        Returns:
            Float32, shape `(n, *latent_shape)`.

        Raises:
            ValueError: If the shape, dtype or range is wrong, or a value not finite.
        """
        if self.is_symbol(x):
            return self.in_graph("encode", x, given, labels)
        x = self.modality.check(x)
        return self.run(
            "encode", x, batch_size, **self.check_all(len(x), given, labels)
        )

    def posterior(
        self: Any,
        x: Any,
        batch_size: int = 256,
        *,
        given: Mapping[str, Any] | None = None,
        labels: Any = None,
    ) -> "Posterior":
        """The posterior q(z|x) of examples, as one object.

        Args:
            x: Examples `(n, *input_shape)`; of images uint8, or floats in [0, 1].
            batch_size: Examples per compiled call; does not change the result.
            given: As in `encode`.
            labels: As in `encode`.

        Returns:
            An object with `.mean`, `.mode()`, `.sample(seed)`, `.kl()` and
            `.log_prob(z)`, whatever the family.
        """
        x = self.modality.check(x)
        told = self.check_all(len(x), given, labels)
        return self.make_posterior(self.run("encode_parameters", x, batch_size, **told))

    def decode(
        self: Any,
        z: Any,
        batch_size: int | None = None,
        *,
        beams: int = 1,
        given: Mapping[str, Any] | None = None,
        labels: Any = None,
    ) -> Any:
        """Examples of codes: the point of p(x|z), cut to the modality's range.

        Args:
            z: Codes `(n, *latent_shape)`, float.
            batch_size: Codes per compiled call; does not change the result. None
                takes 256, or 1,024 where elements are written one after another.
            beams: Of models that write one element after another, such as sentences:
                sequences that beam search follows at once; 1 takes the most probable
                element each time.
            given: As in `encode`.
            labels: As in `encode`.

        Returns:
            Shape `(n, *input_shape)`; of images float32 in [0, 1], of sentences a list.
        """
        if self.is_symbol(z):
            return self.in_graph("decode", z, given, labels)
        z = self.check_codes(z)
        told = self.check_all(len(z), given, labels)
        if batch_size is None:
            is_greedy = self.is_autoregressive and beams == 1
            batch_size = WRITTEN_ROWS if is_greedy else ROWS
        return self.modality.present(self.decode_codes(z, batch_size, beams, **told))

    def decode_codes(
        self: Any, z: np.ndarray, batch_size: int, beams: int = 1, **given: np.ndarray
    ) -> np.ndarray:
        """`decode` of checked codes, as an array.

        Raises:
            UnsupportedOperationError: If there is nothing to search.
        """
        if check_positive_int("beams", beams) == 1:
            decoded: np.ndarray = self.run("decode", z, batch_size, **given)
            return decoded
        self._check_autoregressive("beams", beams)
        searched: np.ndarray = self.search_codes(z, batch_size, beams, **given)
        return searched

    def _check_autoregressive(self: Any, name: str, value: Any) -> None:
        if not self.is_autoregressive:
            raise UnsupportedOperationError(
                f"`{name}` is for models that write one {self.modality.element} after "
                f"another, such as those of sentences; {self.family!r} on the network "
                f"{self.network_kind!r} decodes all at once. Received: {name}={value}."
            )

    def reconstruct(
        self: Any,
        x: Any,
        batch_size: int = 256,
        *,
        beams: int = 1,
        given: Mapping[str, Any] | None = None,
        labels: Any = None,
    ) -> Any:
        """Encode and decode examples, with the mode of the posterior.

        Args:
            x: Examples `(n, *input_shape)`; of images uint8, or floats in [0, 1].
            batch_size: Examples per compiled call; does not change the result.
            beams: As in `decode`.
            given: As in `encode`.
            labels: As in `encode`.

        Returns:
            The dtype that came in: of images uint8, or float32 in [0, 1]; of sentences
            a list.
        """
        if self.is_symbol(x):
            return self.in_graph("reconstruct", x, given, labels)
        x = self.modality.check(x)
        told = self.check_all(len(x), given, labels)
        if beams == 1:
            x_hat = self.run("reconstruct", x, batch_size, **told)
            return self.modality.present(x_hat)
        z = self.run("encode", x, batch_size, **told)
        return self.modality.present(self.decode_codes(z, batch_size, beams, **told))

    # --- New examples -----------------------------------------------------------------

    def sample(
        self: Any,
        n: int,
        seed: int | None = None,
        *,
        sampler: str = "prior",
        noise: bool = False,
        temperature: float | None = None,
        given: Mapping[str, Any] | None = None,
        labels: Any = None,
    ) -> Any:
        """New examples from codes drawn from the prior, or from a fitted sampler.

        Args:
            n: Number of examples; at least 1.
            seed: Same seed, same examples, on every backend. None draws afresh.
            sampler: `"prior"`, or one of `samplers`, e.g. `"gmm"`.
            noise: Also draw the elements from p(x|z); the default shows its point.
            temperature: Of models that write one element after another: draws each
                with its log-probabilities divided by this, above 0; below 1 favours
                what is probable, 1 is p(x|z). Of hierarchical models, a factor on the
                spread of each latent, 0 for the most probable code. None leaves it to
                `noise`.
            given: What the model is told, by name; `(n, ...)` each, or one for all.
            labels: Short for `given={"labels": labels}`: classes, integers `(n,)`, or
                one for all; None draws them, all equally probable. Also for a sampler
                that was fitted with labels.

        Returns:
            Shape `(n, *input_shape)`; of images float32 in [0, 1], of sentences a list.

        Raises:
            UnsupportedOperationError: If the family has no prior over codes, or the
                model no such sampler, and says which it has; or if there are labels
                for what knows no classes, or a temperature for what has none.
            ValueError: If an argument is invalid.
        """
        check_positive_int("n", n)
        heat = self._check_temperature(temperature)
        generator = np.random.default_rng(check_seed(seed))
        told = self.sample_given(n, generator, given, labels)
        labels_for_sampler = None if "labels" in self.given else labels
        z = self.sample_codes(n, generator, sampler, labels_for_sampler)
        if self.has_levels:
            z = np.float32(heat) * z
        elif self.is_autoregressive and (noise or temperature is not None):
            x = self.write_codes(z, generator, heat, **told)
            return self.modality.present(x)
        return self.modality.present(self.show_codes(z, generator, noise, **told))

    def _check_temperature(self: Any, temperature: float | None) -> float:
        """The temperature, 1 where none is given."""
        if temperature is None:
            return 1.0
        if self.has_levels:
            return check_number("temperature", temperature, low=0.0)
        check_number("temperature", temperature, above=0.0)
        if not self.is_autoregressive:
            raise UnsupportedOperationError(
                f"Models of the family {self.family!r} cannot sample with "
                "`temperature`: it is for hierarchical ones, such as 'draw', and for "
                f"those that write one {self.modality.element} after another, such as "
                f"'sentence_vae'. Received: temperature={temperature}."
            )
        return temperature

    def sample_given(
        self: Any,
        n: int,
        generator: np.random.Generator,
        given: Mapping[str, Any] | None,
        labels: Any,
    ) -> dict[str, np.ndarray]:
        """What the model is told of `n` new examples; draws labels that are missing."""
        if "labels" in self.given:
            if labels is None and "labels" not in (given or {}):
                labels = self.sample_labels(n, generator)
        elif given or self.given:
            return self.check_all(n, given, None)
        else:
            return {}
        return self.check_all(n, given, labels)

    def sample_labels(self: Any, n: int, generator: np.random.Generator) -> Any:
        """Classes, all equally probable, `(n,)`; None if codes hold them."""
        if self.CODES == "mixed":
            return None
        # from a stream of their own, whatever n
        drawn = np.random.default_rng(int(generator.integers(2**31)))
        return drawn.integers(self.num_label_classes, size=n)

    def sample_codes(
        self: Any,
        n: int,
        generator: np.random.Generator,
        sampler: str = "prior",
        labels: Any = None,
    ) -> np.ndarray:
        """Codes from the prior or a fitted sampler, `(n, *latent_shape)`.

        Args:
            n: How many.
            generator: Source of the noise.
            sampler: As in `sample`.
            labels: Classes for the sampler.
        """
        if sampler != "prior":
            fitted: Any = self.samplers.find(sampler)
            told = {} if labels is None else {"labels": fitted.check_labels(labels, n)}
            codes: np.ndarray = fitted.sample_codes(n, generator, **told)
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

    def show_codes(
        self: Any,
        z: np.ndarray,
        generator: np.random.Generator,
        noise: bool,
        **given: np.ndarray,
    ) -> np.ndarray:
        """Examples of drawn codes: points of p(x|z), or with elements drawn from it."""
        if not noise:
            return self.run("decode", z, 256, **given)
        return self.draw_elements(z, int(generator.integers(2**31)), **given)

    def write_codes(
        self: Any,
        z: np.ndarray,
        generator: np.random.Generator,
        temperature: float,
        **given: np.ndarray,
    ) -> np.ndarray:
        """Examples of codes, drawn element by element from an autoregressive p(x|z)."""
        noise = generator.random((len(z), *self.input_shape), "float32")
        heat = np.full(len(z), temperature, "float32")
        written: np.ndarray = self.run(
            "write", z, 256, noise=noise, temperature=heat, **given
        )
        return written

    def interpolate(
        self: Any,
        a: Any,
        b: Any,
        steps: int = 9,
        method: str = "spherical",
        *,
        of: str | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Any:
        """Examples along a path between two of them, straight or round in code space.

        Args:
            a: Start: one example or code, or a batch of them.
            b: End, of the same shape as `a`.
            steps: Number of examples on the path, both ends included; at least 2.
            method: `"spherical"` turns the direction at an even rate and grows the
                norm evenly (Shoemake, 1985; the path stays where a Gaussian prior has
                its mass); `"linear"` is the straight line.
            of: What `a` and `b` are, `"examples"` or `"codes"`; None tells it by
                shape and dtype, and refuses where these fit both.
            given: As in `encode`; the same for both ends.

        Returns:
            Shape `(steps, *input_shape)`, or `(n, steps, *input_shape)` for batches;
            of the dtype of `a` if that is one of examples.
        """
        check_choice("method", method, INTERPOLATIONS)
        if check_positive_int("steps", steps) < 2:
            raise ValueError(f"`steps` must be at least 2. Received: steps={steps}.")
        z_a, like, is_single = self.as_codes(a, "a", of, given)
        z_b, _, _ = self.as_codes(b, "b", of, given)
        if z_a.shape != z_b.shape:
            raise ValueError(
                "`a` and `b` must have the same shape. Received: "
                f"a.shape={np.shape(a)}, b.shape={np.shape(b)}."
            )
        path = interpolate_codes(z_a, z_b, steps, method)  # (n, steps, *latent_shape)
        examples = self.decode_grid(path, like, given)
        return self.modality.present(examples[0] if is_single else examples)

    def traverse(
        self: Any,
        x: Any,
        dim: int,
        values: Sequence[float] = (-3, -1.5, 0, 1.5, 3),
        *,
        of: str | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Any:
        """Examples while one code unit moves and the others keep their value.

        Args:
            x: Examples `(n, *input_shape)` or codes `(n, *latent_shape)`, or one.
            dim: Index of the unit, from 0; negative counts from the end.
            values: What the unit is set to, in the code's own unit (standard
                deviations of the prior for a VAE).
            of: As in `interpolate`.
            given: As in `encode`.

        Returns:
            Shape `(n, len(values), *input_shape)`, or without `n` for a single one;
            of the dtype of `x` if that is one of examples.
        """
        z, like, is_single = self.as_codes(x, "x", of, given)
        num_units = math.prod(self.latent_shape)
        is_whole = hasattr(dim, "__index__") and type(dim).__name__ != "bool"
        if not is_whole or not -num_units <= dim < num_units:
            raise ValueError(
                f"`dim` must be an integer in [{-num_units}, {num_units - 1}], one of "
                f"the {num_units} code units. Received: dim={dim!r}."
            )
        moves = to_numpy(values)
        if (
            moves.dtype.kind not in "fiu"
            or moves.ndim != 1
            or moves.size == 0
            or not np.isfinite(moves.astype("float32")).all()
        ):
            raise ValueError(
                "`values` must be a non-empty sequence of finite numbers. "
                f"Received: values={values!r}."
            )
        codes = np.repeat(z.reshape(len(z), 1, num_units), len(moves), axis=1)
        codes[:, :, dim] = moves.astype("float32")
        examples = self.decode_grid(
            codes.reshape(len(z), len(moves), *self.latent_shape), like, given
        )
        return self.modality.present(examples[0] if is_single else examples)

    def move(
        self: Any,
        x: Any,
        factor: str,
        values: Sequence[int] | None = None,
        *,
        of: str | None = None,
    ) -> Any:
        """Examples while one factor takes other values, and its units alone move.

        For models that were told of factors, such as `dc_ign`.

        Args:
            x: Examples `(n, *input_shape)` or codes `(n, *latent_shape)`, or one.
            factor: Name of a factor that has values, such as `"azimuth"`.
            values: Which of them, integers; None for all.
            of: As in `interpolate`.

        Returns:
            Shape `(n, len(values), *input_shape)`, or without `n` for a single one;
            of the dtype of `x` if that is one of examples.

        Raises:
            UnsupportedOperationError: If the model keeps no values of factors.
        """
        del x, values, of
        raise UnsupportedOperationError(
            f"{self.name!r}, of the family {self.family!r}, keeps no values of "
            f"factors, so it cannot move {factor!r}. Models of the family 'dc_ign' do, "
            "in Keras."
        )

    def edit(
        self: Any,
        x: Any,
        vector: Any,
        amount: float = 1.0,
        *,
        of: str | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Any:
        """Examples with more or less of an attribute: codes moved along a vector.

        Args:
            x: Examples `(n, *input_shape)` or codes `(n, *latent_shape)`, or one.
            vector: A direction in code space, `latent_shape`, float: of
                `aezoo.attribute_vector`, or sums and differences of such.
            amount: How many times the vector is added: 1 gives the attribute to what
                is without it, -1 takes it away, 0 reconstructs.
            of: As in `interpolate`.
            given: As in `encode`.

        Returns:
            Shape as that of `x` in examples; of the dtype of `x` if that is one of
            examples.

        Raises:
            UnsupportedOperationError: If codes are not continuous.
            ValueError: If the vector is of another shape, or a number is not finite.
        """
        check_continuous(self)
        amount = check_number("amount", amount)
        if np.shape(vector) != self.latent_shape:
            raise ValueError(
                f"`vector` must have the shape of one code, {self.latent_shape}. "
                f"Received: vector.shape={np.shape(vector)}."
            )
        vector = check_codes(np.asarray(vector)[None], self.latent_shape, "vector")
        z, like, is_single = self.as_codes(x, "x", of, given)
        moved = self.nearest_codes(z + amount * vector)[:, None]
        examples = self.decode_grid(moved, like, given)[:, 0]
        return self.modality.present(examples[0] if is_single else examples)

    def decode_grid(
        self: Any,
        codes: np.ndarray,
        like: str,
        given: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """Decode `(n, m, *latent_shape)` to `(n, m, *input_shape)`.

        Args:
            codes: The codes.
            like: Dtype of the examples that are wanted.
            given: What the model is told of each of the `n`, or of all.
        """
        told = self.check_all(len(codes), given)
        told = {k: np.repeat(v, codes.shape[1], axis=0) for k, v in told.items()}
        flat = codes.reshape(-1, *self.latent_shape)
        decoded = self.decode_codes(self.check_codes(flat), 256, **told)
        examples = self.modality.to_dtype(decoded, like)
        return examples.reshape(*codes.shape[:2], *self.input_shape)

    def as_codes(
        self: Any,
        value: Any,
        name: str,
        of: str | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> tuple[np.ndarray, str, bool]:
        """Codes of examples or of codes, one or many.

        Args:
            value: Examples or codes.
            name: What to call them in a message.
            of: `"examples"`, `"codes"`, or None to tell.
            given: What the encoder is told of examples.

        Returns:
            Codes; the dtype of the examples that are wanted back; and whether it was a
            single one.

        Raises:
            ValueError: If it fits neither, or both.
        """
        check_choice("of", of, (None, "examples", "codes"))
        array = to_numpy(value)
        rank = array.ndim
        fits = {
            "examples": (len(self.input_shape), self.input_shape),
            "codes": (len(self.latent_shape), self.latent_shape),
        }
        kinds = [
            kind
            for kind, (axes, shape) in fits.items()
            if (array.shape == shape or (rank == axes + 1 and array.shape[1:] == shape))
            and not (kind == "codes" and array.dtype.kind not in "fi")
        ]
        if of is not None:
            kinds = [of]
        elif len(kinds) == 2:
            raise ValueError(
                f"`{name}` has the shape of {self.modality.nouns} and of codes. Say "
                f"which it is with `of='examples'` or `of='codes'`. Received: "
                f"{name}.shape={array.shape}, dtype={array.dtype}."
            )
        kind = kinds[0] if kinds else "examples"
        if kind == "codes":
            is_single = array.shape == self.latent_shape
            codes = array[None] if is_single else array
            return self.check_codes(codes, name), "float32", is_single
        is_single = self.modality.is_single(value)
        batch = self.modality.check([value] if is_single else value, name)
        return self.encode(batch, given=given), batch.dtype.name, is_single

    def nearest_codes(self: Any, codes: np.ndarray) -> np.ndarray:
        """The codes that the prior can draw which are closest to some points.

        Args:
            codes: The points, float32, `(n, *latent_shape)`; as they are where the
                model has no prior.
        """
        if "sampling" not in self.TASKS:
            return codes
        nearest: np.ndarray = self.make_prior().nearest(codes)
        return nearest

    def sample_prior(self: Any, n: int, generator: np.random.Generator) -> np.ndarray:
        """Codes from the prior, float32, `(n, *latent_shape)`.

        The first codes of a generator do not depend on how many are drawn.
        """
        drawn: np.ndarray = self.make_prior().sample(n, generator)
        return drawn

    # --- Checks -----------------------------------------------------------------------

    def check_codes(self: Any, z: Any, name: str = "z") -> np.ndarray:
        """Codes that the model can take, float32.

        Args:
            z: Codes `(n, *latent_shape)`.
            name: What to call them in a message.

        Raises:
            ValueError: If the shape or dtype is wrong, or a value not finite.
        """
        return check_codes(z, self.latent_shape, name)

    def check_conditions(self: Any, names: Collection[str]) -> None:
        """Refuse to go on without what the model must be told.

        Args:
            names: What it is told.

        Raises:
            ValueError: Says what is missing, and how to pass it.
        """
        missing = [name for name in self.required_conditions if name not in names]
        if missing:
            told = ", ".join(f"{name!r}: ..." for name in missing)
            raise ValueError(
                f"{self.family!r} must be told {' and '.join(missing)} beside each "
                f"{self.modality.noun}: pass `given={{{told}}}`, with "
                + ", ".join(
                    f"{name!r} of shape {self.given[name].shape}" for name in missing
                )
                + ", or one for each."
            )

    def refuse_if_told(self: Any, what: str) -> None:
        """Refuse something that depends on examples alone.

        Args:
            what: What it is; begins the message.

        Raises:
            UnsupportedOperationError: If the model must be told more than examples.
        """
        if self.required_conditions:
            raise UnsupportedOperationError(
                f"{what} depends on {self.modality.nouns} alone, and {self.name!r} "
                f"must also be told {' and '.join(self.required_conditions)}."
            )

    def not_told(self: Any, name: str, known: Mapping[str, Any]) -> ValueError:
        """The error for a condition that the model knows nothing of."""
        names = ", ".join(known)
        return ValueError(
            f"{self.family!r} is not told {name!r}. "
            + (f"It is told: {names}." if names else "It is told nothing.")
        )

    def check_given(
        self: Any,
        name: str,
        value: Any,
        n: int,
        known: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """One condition of `n` examples, `(n, ...)`.

        Args:
            name: Which, one of `known`.
            value: `(n, ...)`, or one for all.
            n: How many.
            known: Modality of each condition by name; None for `given`.

        Raises:
            ValueError: If it is none that the model is told, or shape, dtype or range
                is wrong.
        """
        known = self.given if known is None else known
        if name not in known:
            raise self.not_told(name, known)
        modality = known[name]
        values = to_numpy(value)
        if isinstance(modality, Label) and values.shape == (n, 1):  # a column
            values = values[:, 0]
        is_single = values.shape == modality.shape
        if not is_single and values.shape != (n, *modality.shape):
            if isinstance(modality, Label):
                raise ValueError(
                    f"`{name}` must be {n} integers, or one for all. Received: "
                    f"{name}.shape={values.shape}, dtype={values.dtype}."
                )
            raise ValueError(
                f"`{name}` must have shape ({n}, "
                f"{', '.join(map(str, modality.shape))}), or be one "
                f"{modality.noun} for all. Received: {name}.shape={values.shape}."
            )
        checked = modality.check(values[None] if is_single else values, name)
        return np.array(np.broadcast_to(checked, (n, *modality.shape)))

    def check_all(
        self: Any,
        n: int,
        given: Mapping[str, Any] | None,
        labels: Any = None,
    ) -> dict[str, np.ndarray]:
        """All conditions of `n` examples, checked, by name.

        Args:
            n: How many.
            given: By name; or None.
            labels: Short for `{"labels": labels}`; or None.

        Raises:
            ValueError: If one is missing or superfluous, or wrong.
        """
        told = {} if given is None else dict(given)
        if labels is not None:
            if "labels" in told:
                raise ValueError("`labels` stands in `given` already. Pass it once.")
            told["labels"] = labels
        self.check_conditions(told)
        return {name: self.check_given(name, v, n) for name, v in told.items()}
