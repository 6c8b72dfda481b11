"""The samplers that a model has."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING

from aezoo.errors import UnsupportedOperationError
from aezoo.samplers.base import Sampler
from aezoo.samplers.kinds import CLASSES, KINDS

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder


class Samplers(MutableMapping[str, Sampler]):
    """The fitted samplers of a model, by kind; those in files are read on first use.

    Args:
        model: The model.
    """

    def __init__(self, model: "Autoencoder") -> None:
        self._model = model
        self._fitted: dict[str, Sampler] = {}
        self._readers: dict[str, Callable[[], Sampler]] = {}

    def read_later(self, readers: Mapping[str, Callable[[], Sampler]]) -> None:
        """Take what reads samplers when they are first used, by kind."""
        self._readers.update(readers)

    def find(self, kind: str) -> Sampler:
        """The sampler of a kind.

        Raises:
            UnsupportedOperationError: If the model has none; says which it has.
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
        if kind in self._readers:
            self[kind] = self._readers[kind]()
        return self._fitted[kind]

    def __setitem__(self, kind: str, sampler: Sampler) -> None:
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

    def __iter__(self) -> Iterator[str]:
        yield from (k for k in KINDS if k in self._fitted or k in self._readers)

    def __contains__(self, kind: object) -> bool:
        return kind in self._fitted or kind in self._readers

    def __len__(self) -> int:
        return len(self._fitted.keys() | self._readers.keys())

    def __repr__(self) -> str:
        """The kinds."""
        return f"<samplers: {', '.join(self) or 'none'}>"


def how_to_fit(model: "Autoencoder", kind: str | None = None) -> str:
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
