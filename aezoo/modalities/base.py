"""What an example is: the contract that every modality keeps."""

import abc
import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aezoo.utils.text import did_you_mean, plural
from aezoo.utils.validation import check_number

Tensor = Any
_KINDS: dict[str, type["Modality"]] = {}
_IS_CHECKED = contextvars.ContextVar("_IS_CHECKED", default=False)


@dataclasses.dataclass(frozen=True)
class Preview:
    """What a terminal or a page shows of examples: a picture, or lines of text.

    Attributes:
        picture: A sheet of examples, uint8, `(height, width, channels)`; or None.
        lines: Lines of text; empty where there is a picture.
    """

    picture: np.ndarray | None = None
    lines: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Modality(abc.ABC):
    """What an example is, as a value without weights; the base of all modalities.

    It knows how examples are checked, turned into tensors and back, read, written and
    shown, and which likelihoods, errors and corruptions make sense for them. It knows
    no network, no dataset and no metric. A subclass is a frozen dataclass whose fields
    are its arguments; defining it makes it known by its `kind`.
    """

    # Its name in configurations, and what one example and one of its parts are called.
    kind: ClassVar[str]
    noun: ClassVar[str]
    element: ClassVar[str]
    # Files that `read` takes, and its options.
    suffixes: ClassVar[tuple[str, ...]] = ()
    read_options: ClassVar[tuple[str, ...]] = ()
    # Files that `write_many` writes, where pictures are not all there is to look at.
    outputs: ClassVar[tuple[str, ...]] = ()
    # Names that make sense, the first one the default: of `aezoo.nn.distributions`
    # likelihoods, of errors without a likelihood, of corruptions.
    likelihoods: ClassVar[tuple[str, ...]] = ()
    errors: ClassVar[tuple[str, ...]] = ()
    corruptions: ClassVar[tuple[str, ...]] = ()
    # Of these, for models that restore examples; and those whose level may be drawn.
    degradations: ClassVar[tuple[str, ...]] = ()
    noises: ClassVar[tuple[str, ...]] = ()
    # Output activations of decoders; the first one is the default.
    activations: ClassVar[tuple[str, ...]] = ("linear",)
    # Other looks at the same examples, by name: variants of a metric.
    views: ClassVar[tuple[str, ...]] = ()
    # Whether a preview is lines of text, rather than a picture.
    is_text: ClassVar[bool] = False
    # Whether tensors hold values that can be differentiated, rather than indices.
    is_continuous: ClassVar[bool] = True
    # Whether all examples have as many elements, so that figures per dimension compare.
    has_fixed_size: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls):
            _KINDS[cls.kind] = cls

    # --- Shape ------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one example, as users have it."""

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """Shape of one example inside models, `(*positions, channels)`."""
        return self.shape

    @property
    def positions(self) -> tuple[int, ...]:
        """Shape of the grid on which an example lives: all axes but the channels."""
        return self.tensor_shape[:-1]

    @property
    def channels(self) -> int:
        """Values at a position."""
        return self.tensor_shape[-1]

    @property
    def dims(self) -> int:
        """Number of elements, for figures per dimension."""
        return math.prod(self.shape)

    @property
    def nouns(self) -> str:
        """What several examples are called."""
        return plural(self.noun)

    @property
    def num_symbols(self) -> int:
        """Of sequences of indices, how many indices there are; 0 of all others.

        The index 0 ends a sequence and fills what is left of it, or occurs in none.
        """
        return 0

    @property
    def is_shown(self) -> bool:
        """Whether `sheet` can draw examples."""
        return False

    @property
    def has_drawn_examples(self) -> bool:
        """Whether `examples` are worth a look, rather than noise."""
        return False

    # --- Values -----------------------------------------------------------------

    @abc.abstractmethod
    def check(self, x: Any, name: str = "x") -> np.ndarray:
        """Examples that a model can take.

        Args:
            x: Examples, `(n, *shape)`.
            name: What to call them in a message.

        Raises:
            ValueError: If shape, dtype or range is wrong; says what to do.
        """

    def is_single(self, x: Any) -> bool:
        """Whether users would pass this as one example, rather than as several."""
        return np.shape(x) == self.shape

    def present(self, x: np.ndarray) -> Any:
        """Examples as users want them back; `check` takes them again.

        Args:
            x: Examples as arrays, `(..., *shape)`.
        """
        return x

    def sizes(self, x: np.ndarray) -> np.ndarray | None:  # noqa: ARG002
        """Elements of each example, `(n,)`, where they differ; None where they do not.

        Args:
            x: Examples as arrays, `(n, *shape)`.
        """
        return None

    def adapt(self, examples: Iterable[Any]) -> "Modality":  # noqa: ARG002
        """The modality with what it takes from training data, such as a vocabulary.

        Args:
            examples: Training examples, as users have them.
        """
        return self

    @abc.abstractmethod
    def convert(self, x: Tensor, dtype: str = "float32") -> Tensor:
        """Examples as users have them to tensors `(batch, *tensor_shape)`, in a graph.

        Args:
            x: Examples that `check` allows, `(batch, *shape)`.
            dtype: Of the tensor, for modalities of continuous values.
        """

    def to_model(self, x: Tensor, dtype: str = "float32") -> Tensor:
        """As `convert`, of examples that nobody has checked, in a graph.

        Nothing can be refused there, so examples that are not valid become NaN, or -1
        of integers, and with them all that follows, rather than a plausible answer. In
        a graph that is traced in a block of `checked_before`, as they are.

        Args:
            x: Examples, `(batch, *shape)`.
            dtype: Of the tensor, for modalities of continuous values.
        """
        is_trusted = _IS_CHECKED.get()
        return marked_unless(is_trusted or self.is_valid(x), self.convert(x, dtype))

    @abc.abstractmethod
    def from_model(self, x: Tensor, like: str = "float32") -> Tensor:
        """Tensors `(batch, *tensor_shape)` to examples as users have them, in a graph.

        Args:
            x: What a decoder shows: the point of a likelihood.
            like: The dtype of examples that came in.
        """

    def to_dtype(self, x: np.ndarray, like: str) -> np.ndarray:
        """Examples as models give them in the dtype of those that came in.

        As `from_model` does it in a graph; the inverse of `unrounded`.

        Args:
            x: Examples, `(n, *shape)`, already cut to the range.
            like: The dtype of examples that came in.
        """
        if "float" in like or x.dtype.name == like:
            return x
        return np.floor(x + 0.5).astype(like)

    @property
    def target_dtype(self) -> str:
        """Dtype of what a likelihood or an error compares with: see `to_model`."""
        return "float32"

    def corrupt(self, x: Tensor, kind: str, level: float, seed: Any) -> Tensor:
        """Tensors `(batch, *tensor_shape)` corrupted for a denoising autoencoder.

        Args:
            x: What `to_model` gave.
            kind: One of `corruptions`.
            level: How much.
            seed: As in `aezoo.distributions.standard_normal`.
        """
        raise NotImplementedError(f"{self.noun.capitalize()}s know no corruptions.")

    def degraded(self, x: Tensor, kind: str, level: Any, seed: Any) -> Tensor:
        """As `corrupt`, in no more elements than are left.

        Args:
            x: What `to_model` gave.
            kind: One of `corruptions`.
            level: How much; of `noises` also one of each example, `(batch, 1, ...)`.
            seed: As in `corrupt`.
        """
        raise NotImplementedError(f"{self.noun.capitalize()}s are not degraded.")

    def degraded_shape(self, kind: str, level: float) -> tuple[int, ...]:
        """Shape of what `degraded` makes of one example.

        Args:
            kind: One of `corruptions`.
            level: How much.
        """
        raise NotImplementedError(f"{self.noun.capitalize()}s are not degraded.")

    def check_corruption(self, kind: str, level: float) -> None:
        """Refuse a level that makes no sense for a corruption.

        Args:
            kind: One of `corruptions`.
            level: How much: a probability, or of `"gaussian"` a standard deviation.

        Raises:
            ValueError: Says what does.
        """
        if kind != "gaussian":
            check_number("corruption_level", level, low=0.0, high=1.0)

    def is_valid(self, x: Tensor) -> "Tensor | bool":  # noqa: ARG002
        """Whether the values of examples are what `check` allows, in a graph.

        Args:
            x: Examples, `(batch, *shape)`.

        Returns:
            Bools `(batch,)`; True alone where their dtype holds no other values.
        """
        return True

    # --- Files and pictures -----------------------------------------------------

    def read(self, path: Path, **options: Any) -> tuple[np.ndarray, str | None]:
        """One example from a file, and a remark on what was changed, or None."""
        raise NotImplementedError(f"{self.noun.capitalize()}s are read from arrays.")

    def read_many(self, source: str, **options: Any) -> tuple[np.ndarray, str | None]:
        """Examples from what a command was given, here the path of a file with one.

        Args:
            source: The argument.
            **options: As in `read`.

        Returns:
            Examples `(n, *shape)`, and a remark on what was changed, or None.
        """
        example, note = self.read(Path(source), **options)
        return example[None], note

    def write(self, x: np.ndarray, path: Path) -> None:
        """Write one example to a file."""
        raise NotImplementedError(f"{self.noun.capitalize()}s are written as arrays.")

    def write_many(self, x: np.ndarray, path: Path) -> None:
        """Write examples to one file, of a suffix in `outputs`.

        Args:
            x: Examples, `(n, *shape)`.
            path: The file.
        """
        raise NotImplementedError(f"{self.noun.capitalize()}s are written as arrays.")

    @abc.abstractmethod
    def preview(self, x: np.ndarray, columns: int | None = None) -> Preview:
        """A look at examples.

        Args:
            x: Examples, `(n, *shape)`.
            columns: Examples per row; None chooses.
        """

    def preview_given(
        self,
        x: np.ndarray,
        given: Mapping[str, np.ndarray],  # noqa: ARG002
        columns: int | None = None,
    ) -> Preview:
        """A look at examples beside what a model was told of them: here without it.

        Args:
            x: As in `preview`.
            given: Conditions by name, `(n, ...)` each.
            columns: As in `preview`.
        """
        return self.preview(x, columns)

    def sheet(self, x: np.ndarray, columns: int, height: int) -> np.ndarray:
        """Examples side by side as one picture, each at least so high.

        Args:
            x: Examples, `(n, *shape)`.
            columns: Examples per row.
            height: Pixels, at least, of a row.

        Returns:
            uint8, `(height, width, channels)`.
        """
        raise NotImplementedError(f"{self.noun.capitalize()}s are shown as text.")

    def sound(self, x: np.ndarray) -> "tuple[int, np.ndarray] | None":  # noqa: ARG002
        """Examples to listen to, one after the other.

        Args:
            x: Examples, `(n, *shape)`.

        Returns:
            Samples a second, and the samples, int16, `(m,)`; None where there is
            nothing to be heard.
        """
        return None

    def mesh(self, x: np.ndarray) -> Any:  # noqa: ARG002
        """Examples as one mesh to turn, side by side.

        Args:
            x: Examples, `(n, *shape)`.

        Returns:
            A `trimesh.Trimesh`; None where examples have no surface.

        Raises:
            MissingDependencyError: If `aezoo[shapes]`, which it needs, is not there.
        """
        return None

    @abc.abstractmethod
    def examples(self, n: int, seed: int = 0) -> np.ndarray:
        """Examples made by a program, for golden files, tests and benchmarks.

        Args:
            n: How many; the first ones do not depend on it.
            seed: Same seed, same examples.
        """

    def pipeline_tag(self, can_sample: bool) -> str:  # noqa: ARG002
        """What the Hub calls the task of a model of such examples.

        Args:
            can_sample: Whether the model draws new examples.
        """
        return "feature-extraction"

    def unrounded(self, x: np.ndarray) -> np.ndarray:
        """The same examples in the dtype for which models round nothing."""
        return x

    def difference(self, x: np.ndarray, x_hat: np.ndarray) -> str:
        """How far reconstructions are from examples, in words.

        Args:
            x: Examples, `(n, *shape)`.
            x_hat: Their reconstructions.
        """
        error = np.mean(np.square(self.unrounded(x) - self.unrounded(x_hat)))
        return (
            f"mean squared error per {self.element} {error:.4f} (of values in [0, 1])"
        )

    # --- Configuration ----------------------------------------------------------

    def to_config(self) -> dict[str, Any]:
        """`{"kind": ...}` and the arguments, as JSON values."""
        fields = dataclasses.fields(self)
        return {"kind": self.kind, **{f.name: getattr(self, f.name) for f in fields}}


def known_suffixes() -> tuple[str, ...]:
    """Endings of the files that one modality or another reads."""
    return tuple(suffix for kind in _KINDS.values() for suffix in kind.suffixes)


@contextlib.contextmanager
def checked_before() -> Iterator[None]:
    """In its block, graphs are traced of examples that were checked before they come.

    They then have no check of their own: `Modality.to_model` is `Modality.convert`.
    """
    token = _IS_CHECKED.set(True)
    try:
        yield
    finally:
        _IS_CHECKED.reset(token)


def all_within(x: Tensor, low: float, high: float) -> Tensor:
    """Whether all values of an example are within bounds, in a graph; `(batch,)`.

    False for NaN, too, which minimum and maximum may pass over.
    """
    from keras import ops

    within = ops.logical_and(x >= low, x <= high)
    return ops.all(within, axis=tuple(range(1, len(x.shape))))


def marked_unless(valid: "Tensor | bool", x: Tensor) -> Tensor:
    """Tensors of examples, with NaN or -1 in place of those that are not valid.

    Args:
        valid: What `Modality.is_valid` returned.
        x: Floats or integers, `(batch, ...)`.
    """
    import keras
    from keras import ops

    if valid is True:
        return x
    valid = ops.reshape(valid, (-1, *[1] * (len(x.shape) - 1)))
    is_float = "float" in keras.backend.standardize_dtype(x.dtype)
    return ops.where(valid, x, ops.cast(float("nan") if is_float else -1, x.dtype))


def from_config(config: dict[str, Any]) -> Modality:
    """The modality of a configuration.

    Args:
        config: What `to_config` gave.

    Raises:
        ValueError: If the kind is unknown, or an argument.
    """
    arguments = dict(config)
    kind = str(arguments.pop("kind", None))
    if kind not in _KINDS:
        raise ValueError(
            f"Unknown modality {kind!r}.{did_you_mean(kind, _KINDS)} "
            f"Known: {', '.join(sorted(_KINDS))}."
        )
    try:
        return _KINDS[kind](**arguments)
    except TypeError as error:
        raise ValueError(f"The modality {kind!r} is not valid: {error}") from error


def lines_of(texts: Iterable[str], columns: int | None = None) -> tuple[str, ...]:
    """Texts as lines, so many beside each other; one a line without a number."""
    texts, step = list(texts), columns or 1
    return tuple("  ".join(texts[i : i + step]) for i in range(0, len(texts), step))
