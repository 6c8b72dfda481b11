"""Models of the explorer: loaded when they are asked for, few at a time."""

import contextlib
import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from aezoo import manifest
from aezoo.engines.load import load
from aezoo.errors import UnknownModelError

# Models that are in memory at once: two can be compared.
CAPACITY = 2
# Examples that units are sorted by, where nothing measured is known of the model.
MEASURED = 64


@dataclasses.dataclass(frozen=True)
class Unit:
    """A unit of a code.

    Attributes:
        index: Which, from 0.
        importance: What `measure` says of it; the more, the more it matters.
        measure: `"KL"` in nats, or `"variance"`.
        mean: Of its codes.
        reach: How far it is moved to either side of the mean.
    """

    index: int
    importance: float
    measure: str
    mean: float
    reach: float

    @property
    def title(self) -> str:
        """What a slider of it is called."""
        return f"z{self.index} · {self.measure} {self.importance:.3g}"


@dataclasses.dataclass(frozen=True)
class Opened:
    """A loaded model, and what a page must know of it.

    Attributes:
        name: As it was asked for.
        model: The model.
        units: Units of its code, what matters most first; none where a code is no
            vector.
        sources: Where new codes come from: `"prior"`, and fitted samplers.
        num_classes: Of labels that it, or one of its samplers, is told; 0 for none.
        dataset: What it was trained on; None where nobody says.
    """

    name: str
    model: Any
    units: tuple[Unit, ...]
    sources: tuple[str, ...]
    num_classes: int
    dataset: str | None

    @property
    def is_text(self) -> bool:
        """Whether examples are lines of text, rather than pictures."""
        return bool(self.model.modality.is_text)

    @property
    def is_image(self) -> bool:
        """Whether examples are images, which can be uploaded."""
        return bool(self.model.modality.kind == "image")

    @property
    def takes_class(self) -> bool:
        """Whether the model itself is told labels."""
        return "labels" in self.model.given

    def examples(self, n: int, seed: int) -> np.ndarray:
        """Examples to begin with: drawn by a program, else by the model itself.

        Args:
            n: How many.
            seed: Same seed, same examples.
        """
        modality = self.model.modality
        if modality.has_drawn_examples or not self.sources:
            return np.asarray(modality.examples(n, seed))
        drawn = self.model.sample(n, seed, sampler=self.sources[0])
        return np.asarray(modality.check(drawn))


class Shelf:
    """The models that may be opened, of which a few are loaded at a time.

    Args:
        names: What may be opened, and nothing else: requests come from anyone.
        engine: As in `aezoo.load`.
    """

    def __init__(self, names: Collection[str], engine: str = "keras") -> None:
        self.names = tuple(names)
        self.engine = engine
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def use(self, name: str) -> Iterator[Opened]:
        """A model, for one thread at a time; the least used one makes room for it.

        Args:
            name: One of `names`.

        Raises:
            UnknownModelError: If it is none of them.
            AezooError: As `aezoo.load` does.
        """
        if name not in self.names:
            raise UnknownModelError(f"The explorer does not show {name!r:.80}.")
        with self._lock:
            if name not in self._opened:
                while len(self._opened) >= CAPACITY:
                    self._opened.popitem(last=False)
                self._opened[name] = open_model(name, self.engine)
            self._opened.move_to_end(name)
            yield self._opened[name]

    def like(self, opened: Opened) -> list[str]:
        """Others that reconstruct the same kind of examples.

        Of what was never published, nothing is known before it is loaded: it is among
        them.

        Args:
            opened: A model.

        Returns:
            Names: of the same dataset first, its own last.
        """
        modality = opened.model.modality
        found: dict[str, tuple[bool, bool]] = {}
        for name in self.names:
            entry = manifest.entries().get(name)
            if entry is None or (
                "reconstruction" in entry.tasks
                and entry.kind == modality.kind
                and entry.input_shape == modality.shape
            ):
                dataset = None if entry is None else entry.data.name
                found[name] = name == opened.name, dataset != opened.dataset
        return sorted(found, key=found.__getitem__)


def open_model(name: str, engine: str = "keras") -> Opened:
    """Load a model, and find out what a page must know of it.

    Args:
        name: As in `aezoo.load`.
        engine: As in `aezoo.load`.
    """
    model: Any = load(name, engine=engine)  # type: ignore[call-overload]
    model.refuse_if_told("A page of the explorer")
    sources = (*["prior"] * ("sampling" in model.TASKS), *model.samplers)
    known = manifest.entries().get(name)
    opened = Opened(
        name,
        model,
        (),
        sources,
        _num_classes(model),
        None if known is None else known.data.name,
    )
    if len(model.latent_shape) != 1:
        return opened
    return dataclasses.replace(opened, units=tuple(_units(opened)))


def _num_classes(model: Any) -> int:
    told = model.given.get("labels")
    if told is not None:
        return int(told.num_classes)
    return max(
        (getattr(s, "num_classes", 0) for s in model.samplers.values()), default=0
    )


def _units(opened: Opened) -> list[Unit]:
    """Units by KL or variance, as measured on test data, else on a few examples."""
    parts = _measured(opened.name)
    if "aggregate_variance" not in parts:
        codes = _codes(opened)
        parts = {
            "aggregate_mean": codes.mean(axis=0),
            "aggregate_variance": codes.var(axis=0),
        }
    mean, variance = parts["aggregate_mean"], parts["aggregate_variance"]
    measure = "KL" if "kl_per_dim" in parts else "variance"
    importance = parts.get("kl_per_dim", variance)
    # A prior reaches three standard deviations, however narrow the codes are.
    has_prior = "sampling" in opened.model.TASKS
    reach = np.maximum(3 * np.sqrt(variance), 3.0 if has_prior else 1e-3)
    return [
        Unit(int(i), float(importance[i]), measure, float(mean[i]), float(reach[i]))
        for i in np.argsort(-importance, kind="stable")
    ]


def _codes(opened: Opened) -> np.ndarray:
    """Codes of a few examples; where nothing encodes these, of the first source."""
    if opened.model.has_encoder:
        return np.asarray(opened.model.encode(opened.examples(MEASURED, seed=0)))
    generator = np.random.default_rng(0)
    drawn = opened.model.sample_codes(MEASURED, generator, opened.sources[0])
    return np.asarray(drawn)


def _measured(name: str) -> dict[str, np.ndarray]:
    """What the manifest states of each unit of a model of the zoo."""
    entry = manifest.entries().get(name)
    if entry is None:
        return {}
    wanted = ("kl_per_dim", "aggregate_mean", "aggregate_variance")
    found = {metric: entry.metric(metric) for metric in wanted}
    return {
        key: np.array(metric.values)
        for key, metric in found.items()
        if metric is not None and metric.values
    }
