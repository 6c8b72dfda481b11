"""The samplers that a model has."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np

from aezoo.errors import StaleSamplerError, UnsupportedOperationError
from aezoo.samplers.base import Sampler
from aezoo.samplers.files import load_sampler, write_sampler
from aezoo.samplers.kinds import CLASSES, KINDS

# In Keras's files: of the weights to which each sampler was fitted.
FINGERPRINTS = "samplers.json"


class Samplers(MutableMapping[str, Sampler]):
    """The fitted samplers of a model, by kind; those in files are read on first use.

    Each belongs to the weights that the model had when it was fitted or attached, and
    is not given out once these have changed.

    Args:
        model: The model: of Keras, or exported.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._fitted: dict[str, Sampler] = {}
        self._readers: dict[str, Callable[[], Sampler]] = {}
        self._weights: dict[str, int] = {}  # fingerprints

    def read_later(self, readers: Mapping[str, Callable[[], Sampler]]) -> None:
        """Take what reads samplers when they are first used, by kind."""
        self._readers.update(readers)
        if readers:
            self._weights.update(dict.fromkeys(readers, fingerprint(self._model)))

    def find(self, kind: str) -> Sampler:
        """The sampler of a kind.

        Raises:
            UnsupportedOperationError: If the model has none; says which it has.
            StaleSamplerError: If the model has been trained since.
        """
        if kind in self:
            return self[kind]
        own = ["prior"] if "sampling" in self._model.TASKS else []
        has = ", ".join(map(repr, [*own, *self])) or "none"
        raise UnsupportedOperationError(
            f"The model {self._model.name!r} has no sampler {kind!r}. It has: {has}. "
            f"{how_to_fit(self._model, kind)}"
        )

    def __getitem__(self, kind: str) -> Sampler:
        """The sampler of a kind.

        Raises:
            KeyError: If there is none.
            StaleSamplerError: If the model's weights are others than when it was
                fitted.
        """
        if kind in self and self._weights[kind] != fingerprint(self._model):
            raise StaleSamplerError(
                f"The sampler {kind!r} of {self._model.name!r} was fitted to the codes "
                "of other weights: the model has been trained, or given weights, "
                "since. Fit it again with `aezoo.samplers.fit_sampler(model, x, "
                f"{kind!r})`, or drop it with `del model.samplers[{kind!r}]`."
            )
        return self._read(kind)

    def _read(self, kind: str) -> Sampler:
        """A sampler, whatever the weights."""
        if kind in self._readers:
            self._keep(kind, self._readers[kind]())
        return self._fitted[kind]

    def __setitem__(self, kind: str, sampler: Sampler) -> None:
        self._keep(kind, sampler)
        self._weights[kind] = fingerprint(self._model)

    def _keep(self, kind: str, sampler: Sampler) -> None:
        if not isinstance(sampler, Sampler) or sampler.kind != kind:
            raise ValueError(
                f"`samplers[{kind!r}]` must be a sampler of that kind, as "
                f"`fit_sampler` returns it. Received: {sampler!r:.80}."
            )
        if sampler.latent_shape != self._model.latent_shape:
            raise ValueError(
                f"`samplers[{kind!r}]` must have codes of shape "
                f"{self._model.latent_shape}. Received: {sampler.latent_shape}."
            )
        self._fitted[kind] = sampler
        self._readers.pop(kind, None)

    def __delitem__(self, kind: str) -> None:
        if self._readers.pop(kind, None) is None:
            del self._fitted[kind]
        del self._weights[kind]

    def write(self, folder: Path) -> None:
        """Write all samplers to a folder, with what they are fitted to.

        Args:
            folder: An existing folder.
        """
        for kind in self:
            write_sampler(self._read(kind), folder / f"{kind}.npz")
        if self:
            (folder / FINGERPRINTS).write_text(json.dumps(self._weights))

    def read(self, folder: Path) -> None:
        """Take what `write` wrote.

        Args:
            folder: The folder; may hold none.

        Raises:
            ManifestError: If a file is none of a sampler for such codes.
        """
        if not (folder / FINGERPRINTS).is_file():
            return
        known = json.loads((folder / FINGERPRINTS).read_text())
        for kind in KINDS:
            if kind in known:
                path = folder / f"{kind}.npz"
                self._keep(kind, load_sampler(path, kind, self._model.latent_shape))
                self._weights[kind] = known[kind]

    def __iter__(self) -> Iterator[str]:
        yield from (k for k in KINDS if k in self._fitted or k in self._readers)

    def __contains__(self, kind: object) -> bool:
        return kind in self._fitted or kind in self._readers

    def __len__(self) -> int:
        return len(self._fitted.keys() | self._readers.keys())

    def __repr__(self) -> str:
        """The kinds."""
        return f"<samplers: {', '.join(self) or 'none'}>"


def fingerprint(model: Any) -> int:
    """A number that differs, but for rare chances, where a model's weights differ.

    Args:
        model: The model, built or not.
    """
    value = 0
    for array in model.get_weights():
        value = zlib.crc32(np.ascontiguousarray(array).tobytes(), value)
    return value


def how_to_fit(model: Any, kind: str | None = None) -> str:
    """What to do for a sampler that a model does not have: one for its codes."""
    kinds = [k for k, cls in CLASSES.items() if cls.CODES == model.CODES]
    if not kinds:
        return (
            f"None can be fitted to {model.CODES} codes; `model.sample(n)` needs none."
        )
    wanted = kind if kind in kinds else kinds[0]
    return (
        f"Fit one with `aezoo.samplers.fit_sampler(model, x, {wanted!r})`; kinds "
        f"for its {model.CODES} codes: {', '.join(map(repr, kinds))}."
    )
