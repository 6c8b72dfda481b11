"""The light engine: what people call on a model, computed by exported graphs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from aezoo.engines.entry import NORMAL, UNIFORM, ExportEntry, GraphRecord
from aezoo.engines.posterior import ExportedPosterior
from aezoo.errors import UnsupportedOperationError
from aezoo.inference.entry_points import EntryPoints
from aezoo.inference.finite import check_finite
from aezoo.inference.priors import Prior
from aezoo.modalities import UNLABELLED, Label
from aezoo.samplers import Samplers
from aezoo.utils.batches import batched
from aezoo.utils.validation import check_seed

# Rows per call where people do not choose.
BATCH_SIZE = 256
Function = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


class ExportedModel(EntryPoints):
    """A pretrained model outside of Keras: `aezoo.load(name, engine="onnx")`.

    `encode`, `posterior`, `decode`, `reconstruct`, `sample`, `interpolate` and
    `traverse` take and give what those of the Keras model do, with the same seeds, and
    agree with it within 1e-4 (`tests/test_export.py`). It computes; it does not train.

    Args:
        entry: What it is.
        functions: Its functions by name, from arrays by name to arrays by name; made
            when they are first called.
        prior: The prior; None where it has none.
    """

    def __init__(
        self,
        entry: ExportEntry,
        functions: Mapping[str, Function],
        prior: Prior | None = None,
    ) -> None:
        self.entry = entry
        self.name, self.family = entry.name, entry.family
        self.modality = entry.example_modality()
        self.given = entry.given_modalities()
        self.required_conditions = tuple(entry.required)
        self.latent_shape = tuple(entry.latent_shape)
        self.input_shape = self.modality.shape
        self.has_levels = entry.has_levels
        self.is_autoregressive = entry.is_autoregressive
        self.network_kind = entry.network
        self.license = entry.license
        self.TASKS: tuple[str, ...] = entry.tasks
        self.CODES = entry.codes
        self.has_encoder = "encode" in entry.graphs
        self.samplers = Samplers(self)
        self._functions = functions
        self._prior = prior

    @property
    def latent_dim(self) -> int:
        """Number of code units."""
        return int(np.prod(self.latent_shape))

    @property
    def num_label_classes(self) -> int | None:
        """Number of classes of the labels that the model is told; None without."""
        label = self.given.get("labels")
        return label.num_classes if isinstance(label, Label) else None

    def get_weights(self) -> list[np.ndarray]:
        """None that may change: they are in the graphs."""
        return []

    def __repr__(self) -> str:
        """Name, family, format and parts."""
        parts = ", ".join(self.entry.parts)
        return f"<{self.name} ({self.family}) in {self.entry.format}: {parts}>"

    # --- How it computes --------------------------------------------------------------

    def run(
        self, name: str, inputs: np.ndarray, batch_size: int, **given: np.ndarray
    ) -> Any:
        """Run a graph over arrays in batches, and join the outputs.

        Args:
            name: Which.
            inputs: Its first input, `(n, ...)`.
            batch_size: Rows per call.
            **given: Its other inputs; labels that are missing are unknown.

        Raises:
            UnsupportedOperationError: If it was not exported.
            ValueError: If what comes out is not finite.
        """
        first, *rest = self._names_of_inputs(name)
        for told in rest:
            if told not in given and isinstance(self.given.get(told), Label):
                given[told] = np.full(len(inputs), UNLABELLED, "int32")
        given[first] = inputs
        return self.compute(name, batch_size, is_checked=True, **given)

    def compute(
        self,
        name: str,
        batch_size: int = BATCH_SIZE,
        is_checked: bool = False,
        **inputs: np.ndarray,
    ) -> Any:
        """What a graph makes of its inputs.

        Args:
            name: Which graph.
            batch_size: Rows per call.
            is_checked: Refuse what is not finite.
            **inputs: By name, `(n, ...)` each; examples as `check` returned them.

        Returns:
            An array, or a dictionary of them if the graph has several outputs.
        """
        names = self._names_of_inputs(name)

        def one_batch(*rows: np.ndarray) -> Any:
            feeds = dict(zip(names, rows, strict=True))
            return self._compute_batch(name, feeds, is_checked)

        arrays = [np.ascontiguousarray(inputs[name]) for name in names]
        return batched(one_batch, *arrays, batch_size=batch_size)

    def _compute_batch(
        self, name: str, feeds: dict[str, np.ndarray], is_checked: bool
    ) -> Any:
        x = feeds.get("x")
        if x is not None:
            feeds["x"] = self.modality.unrounded(x)
        for told, modality in self.given.items():
            if told in feeds:
                feeds[told] = modality.unrounded(feeds[told])
        found = self._functions[name](feeds)
        if len(found) > 1:
            if is_checked:  # a divergence may be infinite
                check_finite({k: v for k, v in found.items() if k != "kl"}, self.name)
            return found
        ((output, values),) = found.items()
        if is_checked:
            check_finite(values, self.name)
        if output != "x_hat":
            return values
        return self.modality.to_dtype(values, "float32" if x is None else x.dtype.name)

    def _names_of_inputs(self, name: str) -> tuple[str, ...]:
        return tuple(port.name for port in self._graph(name).inputs)

    def _graph(self, name: str) -> GraphRecord:
        if name not in self.entry.graphs:
            raise self.unsupported(name)
        return self.entry.graphs[name]

    def unsupported(self, name: str) -> UnsupportedOperationError:
        """Why a function is not there."""
        reason = self.entry.left_out.get(
            name, f"it was exported with parts={list(self.entry.parts)}"
        )
        return UnsupportedOperationError(
            f"The exported model {self.name!r} has no {name!r}: {reason}. Load it with "
            "`engine='keras'` for everything."
        )

    def noise(self, name: str, n: int, seed: int | None) -> dict[str, np.ndarray]:
        """Noise that a graph takes, drawn as Keras models draw it from a seed."""
        drawn = {}
        for port in self._graph(name).inputs:
            generator = np.random.default_rng(check_seed(seed))
            if port.name.startswith(NORMAL):
                noise = generator.standard_normal((n, *port.shape), "float32")
            elif port.name.startswith(UNIFORM):
                noise = generator.random((n, *port.shape), "float32")
            else:
                continue
            drawn[port.name] = noise
        return drawn

    def make_posterior(self, parameters: Mapping[str, np.ndarray]) -> ExportedPosterior:
        """The posterior for what `encode_parameters` gave."""
        return ExportedPosterior(self, parameters)

    def nearest_codes(self, codes: np.ndarray) -> np.ndarray:
        """As in `EntryPoints`; as they are if the prior was not exported."""
        return codes if self._prior is None else self._prior.nearest(codes)

    def make_prior(self) -> Prior:
        """The prior over codes.

        Raises:
            UnsupportedOperationError: If it was not exported.
        """
        if self._prior is None:
            raise self.unsupported("sample")
        return self._prior

    def draw_elements(
        self, z: np.ndarray, seed: int, **given: np.ndarray
    ) -> np.ndarray:
        """Examples of codes whose elements are drawn from p(x|z)."""
        noise = self.noise("draw_elements", len(z), seed)
        drawn: np.ndarray = self.run("draw_elements", z, BATCH_SIZE, **noise, **given)
        return drawn

    def search_codes(self, *_: Any, **__: Any) -> np.ndarray:
        """Not exported."""
        raise UnsupportedOperationError(
            f"Beam search is not exported. Load {self.name!r} with `engine='keras'`."
        )
