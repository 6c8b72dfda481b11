"""How Keras computes what people call on a model: compiled functions, and graphs."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.inference.entry_points import EntryPoints
from aezoo.inference.finite import EXAMPLES, IS_FINITE, check_finite
from aezoo.modalities.label import Label
from aezoo.nn.backend import compile_inference, is_concrete
from aezoo.nn.structure import StructureWatch
from aezoo.utils.batches import batched
from aezoo.utils.validation import check_count

Tensor = Any


class CompiledEntryPoints(EntryPoints):
    """The methods of `Autoencoder` for people; not of use by itself."""

    def _start_entry_points(self: Any) -> None:
        self.compiled_functions: dict[tuple[Any, ...], Callable[..., Any]] = {}
        self._structure: StructureWatch | None = None

    def likelihood_of(
        self: Any,
        z: Any,
        batch_size: int = 256,
        *,
        given: Mapping[str, Any] | None = None,
        labels: Any = None,
    ) -> Any:
        """The likelihood p(x|z) of codes, as one object.

        Args:
            z: Codes `(n, *latent_shape)`, float.
            batch_size: Codes per compiled call; does not change the result.
            given: As in `encode`.
            labels: As in `encode`.

        Returns:
            An object with `.log_prob(x)`, of tensors of examples, `.point()` and
            `.sample(seed)`.

        Raises:
            UnsupportedOperationError: If the model has no likelihood.
        """
        z = self.check_codes(z)
        told = self.check_all(len(z), given, labels)
        return self.make_likelihood(
            self.run("decode_parameters", z, batch_size, **told)
        )

    def draw_elements(
        self: Any, z: np.ndarray, seed: int, **given: np.ndarray
    ) -> np.ndarray:
        """Examples of codes whose elements are drawn from p(x|z)."""
        parameters = self.run("decode_parameters", z, 256, **given)
        drawn = self.make_likelihood(parameters).sample(seed)
        return ops.convert_to_numpy(self.modality.from_model(drawn))

    def search_codes(
        self: Any, z: np.ndarray, batch_size: int, beams: int, **given: np.ndarray
    ) -> np.ndarray:
        """Examples of codes by beam search, of an autoregressive p(x|z)."""
        graph = functools.partial(self._graph_search, beams=beams)
        found: np.ndarray = self.run_graph(
            ("search", beams), graph, z, batch_size, **given
        )
        return found

    def inpaint(
        self: Any,
        x: Any,
        mask: Any,
        n: int = 1,
        seed: int | None = None,
        *,
        steps: int = 50,
        candidates: int = 1,
        given: Mapping[str, Any] | None = None,
        labels: Any = None,
    ) -> np.ndarray:
        """The missing elements of examples given the others, `n` times.

        A model with a likelihood draws them from p(x_missing|x_known) as far as its
        posterior tells (Rezende et al., 2014, https://arxiv.org/abs/1401.4082,
        appendix F; Mattei & Frellsen, 2019, https://arxiv.org/abs/1812.02633): the
        completions differ where it is not sure, and their mean is the estimate of the
        least squared error. A masked autoencoder answers at once, and always the same;
        other autoencoders reconstruct and put back what is known, again and again.

        Args:
            x: Examples `(m, *input_shape)`; missing elements may have any value in
                range.
            mask: Bools, True where an element is missing: `(m, *positions)`, or
                `(*positions,)` for all; of images `(height, width)`.
            n: Completions of each example.
            seed: Same seed, same completions, whatever the other examples.
            steps: Steps from the first guess: a sample that agrees with what is known,
                or noise.
            candidates: Codes of which each step keeps one, by how well it explains
                what is known; 1 keeps whatever the posterior draws.
            given: As in `encode`.
            labels: As in `encode`.

        Returns:
            Shape `(m, n, *input_shape)`, of the dtype that came in; known elements
            as they were.

        Raises:
            ValueError: If an argument is invalid, or nothing is missing.
            UnsupportedOperationError: If the elements are not continuous, or written
                one after another.
        """
        from aezoo.models.inpainting import inpaint

        told = self.check_all(len(x), given, labels)
        return inpaint(self, x, mask, n, seed, steps, candidates, **told)

    def project(
        self: Any,
        x: Any,
        steps: int = 200,
        starts: int = 4,
        seed: int | None = 0,
        batch_size: int = 256,
        *,
        given: Mapping[str, Any] | None = None,
        labels: Any = None,
    ) -> np.ndarray:
        """Codes whose decoded examples come near to some examples, by optimisation.

        Takes no encoder, and many times the time of one: descends the squared error of
        the decoded example from codes of the prior (Bora et al., 2017,
        https://arxiv.org/abs/1703.03208, without their penalty on the code's norm) by
        Adam, whose rate falls to zero, and keeps the best code that it saw.

        Args:
            x: Examples `(n, *input_shape)`, as in `encode`.
            steps: Steps of the descent.
            starts: Codes from which it starts, the same for each example; the best end
                is kept.
            seed: Of the starts; None draws afresh.
            batch_size: Codes per compiled call.
            given: As in `encode`.
            labels: As in `encode`.

        Returns:
            Float32, shape `(n, *latent_shape)`.

        Raises:
            ValueError: If an argument is invalid.
            UnsupportedOperationError: If codes or elements are not continuous, or
                elements are written one after another.
        """
        from aezoo.models.projection import find_codes

        x = self.modality.check(x)
        told = self.check_all(len(x), given, labels)
        return find_codes(self, x, steps, starts, seed, batch_size, **told)

    # --- Inside graphs ----------------------------------------------------------------

    def is_symbol(self: Any, x: Any) -> bool:
        """As in `EntryPoints`."""
        return is_symbol(x)

    def in_graph(
        self: Any, name: str, x: Tensor, given: Mapping[str, Any] | None, labels: Any
    ) -> Tensor:
        """`encode`, `decode` or `reconstruct` of a symbol."""
        graphs = {
            "encode": self._graph_encode,
            "decode": self._graph_decode,
            "reconstruct": self.reconstruct_tensors,
        }
        return graphs[name](x, **self.given_in_graph(given, labels))

    def check_given_batch(self: Any, name: str, value: Tensor) -> Tensor:
        """A condition of a batch in a graph; labels as int32, `(batch,)`."""
        if name not in self.told_in_training:
            raise self.not_told(name, self.told_in_training)
        modality = self.told_in_training[name]
        if isinstance(modality, Label):
            kind = keras.backend.standardize_dtype(value.dtype)
            if "int" not in kind or tuple(value.shape[1:]) not in ((), (1,)):
                raise ValueError(
                    f"{self.family!r} learns from labels: pass batches (x, labels), "
                    "with one integer per example, -1 where it is unknown. Received: "
                    f"labels.shape={tuple(value.shape)}, dtype={kind}."
                )
            return ops.reshape(ops.cast(value, "int32"), (-1,))
        if tuple(value.shape[1:]) != modality.shape:
            raise ValueError(
                f"`{name}` must be a batch of {modality.nouns} of shape "
                f"{modality.shape}. Received: {name}.shape={tuple(value.shape)}."
            )
        return value

    def given_in_graph(
        self: Any, given: Mapping[str, Any] | None, labels: Any
    ) -> dict[str, Tensor]:
        """Conditions as tensors, for methods that are called inside a graph."""
        told = {} if given is None else dict(given)
        if labels is not None:
            told["labels"] = labels
        self.check_conditions(told)
        return {name: self.check_given_batch(name, v) for name, v in told.items()}

    # --- Compiled calls ---------------------------------------------------------------

    def run(
        self: Any, name: str, inputs: np.ndarray, batch_size: int, **given: np.ndarray
    ) -> Any:
        """Run a compiled function over arrays in batches, and join the outputs.

        Args:
            name: Which: the method `_graph_<name>`.
            inputs: Its first argument, `(n, ...)`, checked.
            batch_size: Rows per call.
            **given: Its other arguments, `(n, ...)` each.

        Raises:
            ValueError: If what comes out is not finite.
        """
        graph = getattr(self, f"_graph_{name}")
        return self.run_graph((name,), graph, inputs, batch_size, **given)

    def run_graph(
        self: Any,
        key: tuple[Any, ...],
        graph: Callable[..., Any],
        inputs: np.ndarray,
        batch_size: int,
        **given: np.ndarray,
    ) -> Any:
        """As `run`, of any function.

        Args:
            key: As in `compiled_function`.
            graph: The function, of tensors.
            inputs: As in `run`.
            batch_size: As in `run`.
            **given: As in `run`.
        """
        check_count("batch_size", batch_size, minimum=1)
        self.ensure_built()
        arrays = [inputs, *given.values()]
        names = tuple(given)

        def of_checked(x: Tensor, *rest: Tensor) -> Any:
            with self.of_checked_examples():
                return graph(x, **dict(zip(names, rest, strict=True)))

        function = self.compiled_function(
            (*key, *names),
            of_checked,
            *((array.shape[1:], array.dtype.name) for array in arrays),
        )
        found = batched(function, *arrays, batch_size=batch_size)
        return check_finite(found, self.name)

    def compiled_function(
        self: Any,
        key: tuple[Any, ...],
        function: Callable[..., Any],
        *specs: tuple[Sequence[int], str],
    ) -> Callable[..., Any]:
        """A compiled inference function, kept until the model's layers change.

        Args:
            key: What it computes; the same key must always mean the same function.
            function: Maps tensors `(batch, *shape)`, one per spec, to a tensor or a
                dictionary of them; reads the model's weights.
            *specs: Shape of one example, and dtype, of each input.

        Returns:
            A function from NumPy arrays `(batch, *shape)` to NumPy arrays.
        """
        self.ensure_built()
        if self._structure is None:
            self._structure = StructureWatch(self)
        elif self._structure.has_changed():  # quantised, or with adapters
            self.compiled_functions.clear()
        full = (*key, *((tuple(shape), dtype) for shape, dtype in specs))
        if full not in self.compiled_functions:
            self.compiled_functions[full] = compile_inference(function, self, *specs)
        return self.compiled_functions[full]

    def _graph_encode_parameters(self: Any, x: Tensor, **given: Any) -> Any:
        return self.encode_parameters(self.to_tensors(x, self.compute_dtype), **given)

    def _graph_encode(self: Any, x: Tensor, **given: Any) -> Tensor:
        return self.make_posterior(self._graph_encode_parameters(x, **given)).mode()

    def _graph_decode_parameters(self: Any, z: Tensor, **given: Any) -> Tensor:
        return self.decode_parameters(z, **given)

    def _graph_decode(self: Any, z: Tensor, **given: Any) -> Tensor:
        decoder_output = self.decode_parameters(z, **given)
        return self.modality.from_model(self.point(decoder_output))

    def _graph_search(self: Any, z: Tensor, beams: int, **given: Any) -> Tensor:
        likelihood = self.make_likelihood(self.decode_parameters(z, **given))
        return self.modality.from_model(likelihood.search(beams))

    def _graph_write(
        self: Any, z: Tensor, noise: Tensor, temperature: Tensor, **given: Any
    ) -> Tensor:
        likelihood = self.make_likelihood(self.decode_parameters(z, **given))
        return self.modality.from_model(likelihood.sample(noise, temperature))

    def reconstruct_tensors(self: Any, x: Tensor, **given: Any) -> Tensor:
        """Reconstructions of a batch in a graph, of its dtype."""
        like = keras.backend.standardize_dtype(x.dtype)
        parameters = self.decode_parameters(self._graph_encode(x, **given), **given)
        return self.modality.from_model(self.point(parameters), like)

    def _graph_reconstruct(self: Any, x: Tensor, **given: Any) -> Any:
        """Also whether each is finite, where the dtype of the examples hides it."""
        like = keras.backend.standardize_dtype(x.dtype)
        parameters = self.decode_parameters(self._graph_encode(x, **given), **given)
        point = self.point(parameters)
        examples = self.modality.from_model(point, like)
        if "float" in like:
            return examples
        proof = point if self.modality.is_continuous else parameters
        axes = tuple(range(1, len(proof.shape)))
        return {EXAMPLES: examples, IS_FINITE: ops.all(ops.isfinite(proof), axes)}

    # --- Elsewhere --------------------------------------------------------------------

    def push_to_hub(self: Any, repo_id: str, **options: Any) -> Any:
        """Publish the model on the Hugging Face Hub: `aezoo.push_to_hub(self, ...)`.

        Args:
            repo_id: `"organisation/name"`.
            **options: As in `aezoo.push_to_hub`.

        Returns:
            Where the model now is, as `aezoo.push_to_hub` does.
        """
        import aezoo

        return aezoo.push_to_hub(self, repo_id, **options)


def is_symbol(x: Any) -> bool:
    """Whether `x` is a tensor without values: of a graph, or of a trace.

    Raises:
        ValueError: If it is of a functional model of Keras, which calls models itself.
    """
    if isinstance(x, np.ndarray):  # by far the most frequent; the rest takes time
        return False
    if isinstance(x, keras.KerasTensor):
        raise ValueError(
            "`x` is symbolic. Inside a functional model call the model itself, or use "
            "`aezoo.feature_extractor`."
        )
    return keras.ops.is_tensor(x) and not is_concrete(x)
