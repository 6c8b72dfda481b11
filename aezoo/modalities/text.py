"""Sentences of words out of a closed vocabulary as a modality."""

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aezoo.modalities.base import Modality, Preview
from aezoo.utils.arrays import to_numpy
from aezoo.utils.validation import check_positive_int

Tensor = Any
# The index that ends a sentence and fills what is left of its row, and that of words
# outside the vocabulary.
END, UNKNOWN = 0, 1
UNKNOWN_WORD = "<unk>"
# Words with what an apostrophe joins to them, and single marks.
_WORD = re.compile(r"<unk>|\w+(?:'\w+)*|[^\w\s]")


def split_words(sentence: str) -> list[str]:
    """The words and marks of a sentence: lower case, NFC, straight apostrophes.

    Args:
        sentence: Any text; white space separates and is not kept.

    Example:
        >>> split_words("Tom's late,  isn't he?")
        ["tom's", 'late', ',', "isn't", 'he', '?']
    """
    text = unicodedata.normalize("NFC", sentence).lower()
    return _WORD.findall(text.replace("\u2019", "'"))


@dataclasses.dataclass(frozen=True)
class Text(Modality):
    """Sentences: lists of `str` in and out, rows of indices of words within.

    Users pass and get sentences. Models have `(batch, length)` integers: 0 ends a
    sentence and fills the rest of its row, 1 is `<unk>`, a word outside the
    vocabulary, and from 2 on come the words. Such rows are taken, too. Sentences are
    split by `split_words`; joined again, words and marks have spaces between them.

    The vocabulary is a part of the value, and so of a model's configuration: what
    reads a file of weights knows its words. `adapt` takes it from training data.

    Args:
        length: Most words of a sentence, marks among them.
        min_count: Times that `adapt` must find a word to keep it.
        words: The vocabulary, the most frequent word first, separated by spaces.
    """

    length: int = 20
    min_count: int = 2
    words: str = dataclasses.field(default="", repr=False)

    kind: ClassVar[str] = "text"
    noun: ClassVar[str] = "sentence"
    element: ClassVar[str] = "word"
    suffixes: ClassVar[tuple[str, ...]] = (".txt",)
    read_options: ClassVar[tuple[str, ...]] = ("strict",)
    likelihoods: ClassVar[tuple[str, ...]] = ("autoregressive",)
    errors: ClassVar[tuple[str, ...]] = ("nll",)
    corruptions: ClassVar[tuple[str, ...]] = ("masking",)
    is_text: ClassVar[bool] = True
    is_continuous: ClassVar[bool] = False
    has_fixed_size: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            ValueError: If a number is no whole one of at least 1, or `words` holds a
                word twice or one that `split_words` would not give.
        """
        for field in ("length", "min_count"):
            value = check_positive_int(field, getattr(self, field))
            object.__setattr__(self, field, value)
        if not isinstance(self.words, str):
            raise ValueError(
                "`words` must be one str, words separated by spaces. Received: "
                f"{type(self.words).__name__}."
            )
        if len(self._index) != len(self.vocabulary):
            repeated = Counter(self.vocabulary).most_common(1)[0][0]
            raise ValueError(f"`words` holds {repeated!r} twice; name each word once.")
        if split_words(self.words) != list(self.vocabulary[2:]):
            raise ValueError(
                "`words` must be in lower case, separated by spaces, each a word or a "
                "mark as `aezoo.modalities.text.split_words` gives them. Received: "
                f"{self.words[:60]!r}."
            )

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """What each index stands for, "" and `<unk>` first."""
        return ("", UNKNOWN_WORD, *self.words.split())

    @cached_property
    def _index(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.vocabulary)}

    @property
    def num_symbols(self) -> int:
        """Number of indices, the end and `<unk>` among them."""
        return len(self.vocabulary)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(length,)`."""
        return (self.length,)

    @property
    def positions(self) -> tuple[int, ...]:
        """`(length,)`."""
        return self.shape

    @property
    def channels(self) -> int:
        """One index at a position."""
        return 1

    @property
    def target_dtype(self) -> str:
        """Indices."""
        return "int32"

    @property
    def has_drawn_examples(self) -> bool:
        """No: they are words in any order."""
        return False

    # --- Vocabulary ---------------------------------------------------------------

    def adapt(self, examples: Iterable[str]) -> "Text":
        """With the words that training data hold `min_count` times; as it is, if any.

        Args:
            examples: Sentences.
        """
        if self.words:
            return self
        counts = Counter(word for text in examples for word in split_words(text))
        del counts[UNKNOWN_WORD]
        kept = [w for w, count in counts.items() if count >= self.min_count]
        words = sorted(kept, key=lambda word: (-counts[word], word))
        return dataclasses.replace(self, words=" ".join(words))

    def sizes(self, x: np.ndarray) -> np.ndarray:
        """Words of each sentence, `(n,)`."""
        return np.count_nonzero(x, axis=1)

    def unknown_words(self, sentences: Iterable[str]) -> Counter[str]:
        """Words outside the vocabulary, and how often each occurs.

        Args:
            sentences: Sentences.
        """
        words = (word for text in sentences for word in split_words(text))
        return Counter(word for word in words if word not in self._index)

    # --- Values -------------------------------------------------------------------

    def check(self, x: Any, name: str = "x") -> np.ndarray:
        """Sentences, or rows of indices, as rows of indices: int32, `(n, length)`.

        Words outside the vocabulary become `<unk>`; `unknown_words` counts them.

        Args:
            x: Strings, or bytes in UTF-8, `(n,)`; or integers `(n, length)`.
            name: What to call them in a message.

        Raises:
            ValueError: If it is none of these, or a sentence is empty, too long, or no
                text.
        """
        if isinstance(x, str | bytes):
            raise ValueError(
                f"`{name}` must be a list of sentences. Received: one "
                f"{type(x).__name__}. For a single sentence pass `[{name}]`."
            )
        if isinstance(x, Sequence):
            is_rows = not any(isinstance(item, str | bytes) for item in x)
        else:
            x = to_numpy(x)
            is_rows = x.dtype.kind not in "OSU"
        if is_rows and len(x):
            return self._check_rows(x, name)
        if not len(x):
            raise ValueError(f"`{name}` is empty. Received: no sentences.")
        if np.ndim(x) != 1:
            raise ValueError(
                f"`{name}` must be a flat list of sentences. Received: shape="
                f"{np.shape(x)}."
            )
        rows = np.zeros((len(x), self.length), "int32")
        for row, item in enumerate(x):
            words = split_words(as_text(item, f"{name}[{row}]"))
            self._check_length(len(words), f"{name}[{row}]")
            indices = [self._index.get(word, UNKNOWN) for word in words]
            rows[row, : len(words)] = indices
        return rows

    def _check_length(self, count: int, name: str) -> None:
        if not count:
            raise ValueError(f"`{name}` is empty. A sentence has a word at least.")
        if count > self.length:
            raise ValueError(
                f"`{name}` is too long: at most {self.length} words and marks. "
                f"Received: {count}. Split it into sentences."
            )

    def _check_rows(self, x: Any, name: str) -> np.ndarray:
        try:
            rows = to_numpy(x)
        except ValueError:  # ragged
            rows = np.asarray(x, dtype=object)
        if rows.dtype.kind not in "iu" or rows.shape[1:] != self.shape:
            raise ValueError(
                f"`{name}` must be sentences, a list of str; or indices of words, "
                f"integers (n, {self.length}). Received: dtype={rows.dtype}, shape="
                f"{rows.shape}."
            )
        low, high = int(rows.min()), int(rows.max())
        if low < 0 or high >= self.num_symbols:
            raise ValueError(
                f"`{name}` must hold indices of words, 0 to {self.num_symbols - 1}. "
                f"Received: {low} to {high}."
            )
        is_end = rows == END
        if is_end[:, 0].any() or (is_end[:, :-1] & ~is_end[:, 1:]).any():
            raise ValueError(
                f"`{name}` must hold rows that begin with a word and hold {END} from "
                "their end on, and nowhere else."
            )
        return np.ascontiguousarray(rows, "int32")

    def is_single(self, x: Any) -> bool:
        """Whether it is one sentence, or one row of indices."""
        if isinstance(x, str | bytes):
            return True
        return np.shape(x) == self.shape and to_numpy(x).dtype.kind in "iu"

    def is_valid(self, x: Tensor) -> Tensor:
        """Whether rows hold what `check` allows, in a graph; bools `(batch,)`."""
        from keras import ops

        known = ops.logical_and(x >= 0, x < self.num_symbols)
        is_end = x == END
        goes_on = ops.logical_and(is_end[:, :-1], ops.logical_not(is_end[:, 1:]))
        is_wrong = ops.logical_or(ops.any(goes_on, axis=1), is_end[:, 0])
        return ops.logical_and(ops.all(known, axis=1), ops.logical_not(is_wrong))

    def convert(self, x: Tensor, dtype: str = "float32") -> Tensor:  # noqa: ARG002
        """Indices, int32 `(batch, length)`."""
        from keras import ops

        return ops.cast(x, "int32")

    def from_model(self, x: Tensor, like: str = "int32") -> Tensor:  # noqa: ARG002
        """Indices, int32."""
        from keras import ops

        return ops.cast(x, "int32")

    def present(self, x: np.ndarray) -> Any:
        """Sentences of rows `(..., length)`: a str, or lists of them."""
        if x.ndim > 1:
            return [self.present(row) for row in x]
        return " ".join(self.vocabulary[index] for index in x if index != END)

    def corrupt(self, x: Tensor, kind: str, level: float, seed: Any) -> Tensor:  # noqa: ARG002
        """Words become `<unk>` with probability `level`."""
        from keras import ops

        from aezoo.nn.distributions import uniform

        is_hidden = ops.logical_and(uniform(ops.shape(x), seed) < level, x != END)
        return ops.where(is_hidden, UNKNOWN, x)

    # --- Files --------------------------------------------------------------------

    def read_many(
        self, source: str, strict: bool = False, **_: Any
    ) -> tuple[np.ndarray, str | None]:
        """Sentences from a .txt file, one a line; or the sentence itself.

        Args:
            source: Path of a file that ends in .txt, in UTF-8; or a sentence.
            strict: Refuse words outside the vocabulary.
            **_: None.

        Returns:
            Rows of indices, and a remark on words that became `<unk>`, or None.

        Raises:
            ValueError: As `check`, or if `strict` refuses a word.
            OSError: If the file cannot be read.
        """
        path = Path(source)
        if path.suffix.lower() in self.suffixes:
            sentences = read_lines(path)
            if not sentences:
                raise ValueError(f"{path} is empty. A sentence stands on each line.")
            name = str(path)
        else:
            sentences, name = [source], "sentence"
        unknown = self.unknown_words(sentences)
        note = None
        if unknown:
            listed = ", ".join(repr(word) for word, _ in unknown.most_common(5))
            rest = len(unknown) - 5
            listed += f" and {rest} more" if rest > 0 else ""
            times = unknown.total()
            note = (
                f"{times} {'word' if times == 1 else 'words'} outside the vocabulary "
                f"became {UNKNOWN_WORD}: {listed}"
            )
            if strict:
                raise ValueError(
                    f"{name} holds {times} of its words outside the vocabulary: "
                    f"{listed}. Drop --strict to have them become {UNKNOWN_WORD}."
                )
        return self.check(sentences, name), note

    def read(self, path: Path, **options: Any) -> tuple[np.ndarray, str | None]:
        """The one sentence of a file."""
        rows, note = self.read_many(str(path), **options)
        if len(rows) != 1:
            raise ValueError(f"{path} must hold one sentence. Received: {len(rows)}.")
        return rows[0], note

    def write(self, x: np.ndarray, path: Path) -> None:
        """One line."""
        path.write_text(f"{self.present(x)}\n", encoding="utf-8")

    def preview(self, x: np.ndarray, columns: int | None = None) -> Preview:
        """A sentence a line; an empty line between rows of `columns` sentences."""
        sentences = self.present(np.asarray(x))
        step = columns or len(sentences)
        lines: list[str] = []
        for start in range(0, len(sentences), step):
            lines += [""] * bool(lines) + sentences[start : start + step]
        return Preview(lines=tuple(lines))

    def difference(self, x: np.ndarray, x_hat: np.ndarray) -> str:
        """How many words are right where they stand."""
        is_word = x != END
        right = np.count_nonzero(is_word & (x == x_hat))
        return f"{right} of {np.count_nonzero(is_word)} words are right"

    def examples(self, n: int, seed: int = 0) -> np.ndarray:
        """Words in any order, sentences of any length; int32, `(n, length)`."""
        generator = np.random.default_rng(seed)
        rows = np.zeros((n, self.length), "int32")
        for row in rows:
            count = generator.integers(1, self.length + 1)
            low = min(2, self.num_symbols - 1)
            row[:count] = generator.integers(low, self.num_symbols, count)
        return rows


def as_text(item: Any, name: str) -> str:
    """A string, or bytes in UTF-8, as a string.

    Args:
        item: What came in.
        name: What to call it in a message.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(item, bytes):
        try:
            return item.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"`{name}` holds bytes that are no UTF-8: {error.reason} at byte "
                f"{error.start}. Decode it first."
            ) from error
    if not isinstance(item, str):
        raise ValueError(
            f"`{name}` must be a str. Received: {type(item).__name__}, "
            f"{str(item)[:40]!r}."
        )
    return item


def read_lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, without empty ones.

    Args:
        path: The file.

    Raises:
        ValueError: If it is no UTF-8; names the line.
        OSError: If it cannot be read.
    """
    lines = path.read_bytes().splitlines()
    texts = [as_text(line, f"{path}, line {i}") for i, line in enumerate(lines, 1)]
    texts[:1] = [text.removeprefix("\ufeff") for text in texts[:1]]
    return [text.strip() for text in texts if text.strip()]
