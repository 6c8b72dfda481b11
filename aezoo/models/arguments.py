"""Arguments of objectives: declared once, then checked, stored and reported.

An objective lists its arguments as attributes of its class:

    class WAE(AE):
        divergence: str = choice("mmd", DIVERGENCES)
        divergence_weight: float = number(300.0, low=0.0)

From these follow the signature, the check of every value (also of one that is set
later: `model.divergence_weight = 100.0`), the configuration and its tables. A subclass
inherits them; what it defines by another attribute of the name is none of its own.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aezoo.utils.text import did_you_mean
from aezoo.utils.validation import (
    check_choice,
    check_count,
    check_flag,
    check_number,
    check_positive_ints,
)


class Argument:
    """A keyword argument of an objective.

    Args:
        default: Its default.
        check: Given name and value, returns the value to keep, or raises ValueError.
        is_fixed: Whether it shapes weights, so that it cannot be set later.
        is_weight: Whether it acts through `loss_weights` alone, so that nothing is
            compiled anew when it is set.
    """

    def __init__(
        self,
        default: Any,
        check: Callable[[str, Any], Any],
        is_fixed: bool = False,
        is_weight: bool = False,
    ) -> None:
        self.default = default
        self.check = check
        self.is_fixed = is_fixed
        self.is_weight = is_weight
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the name of the attribute."""
        self.name = name

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        """The value of a model; of a class, the argument itself."""
        return self if model is None else model.argument_values[self.name]

    def __set__(self, model: Any, value: Any) -> None:
        """Check and keep a value."""
        model.set_argument(self, value)


def arguments_of(cls: type) -> dict[str, Argument]:
    """All arguments of an objective by name, those of its bases first."""
    found: dict[str, Argument] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Argument):
                found[name] = value
            else:  # a base's argument that this class computes or fixes
                found.pop(name, None)
    return found


def signature_of(cls: type, first: Sequence[inspect.Parameter]) -> inspect.Signature:
    """The signature of an objective: `first`, then its arguments, then the rest.

    Args:
        cls: The class.
        first: Parameters that every objective takes.
    """
    own = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=argument.default
        )
        for name, argument in arguments_of(cls).items()
    ]
    rest = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
    return inspect.Signature([*first, *own, rest])


# --- Kinds of arguments -----------------------------------------------------------
# They return `Any`, so that the class says of what type the values are.


def keep(name: str, value: Any) -> Any:  # noqa: ARG001
    """The value as it is: for what `check_arguments` checks."""
    return value


def number(
    default: float | None,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
) -> Any:
    """A finite number within bounds; may be None if the default is."""

    def check(name: str, value: Any) -> Any:
        if value is None and default is None:
            return None
        return check_number(name, value, low=low, high=high, above=above)

    return Argument(default, check)


def weight(
    default: float,
    *,
    low: float | None = 0.0,
    high: float | None = None,
    above: float | None = None,
) -> Any:
    """A finite number within bounds that `loss_weights` alone makes use of."""

    def check(name: str, value: Any) -> Any:
        return check_number(name, value, low=low, high=high, above=above)

    return Argument(default, check, is_weight=True)


def count(default: int | None, *, low: int = 0, is_fixed: bool = False) -> Any:
    """A whole number of at least `low`; may be None if the default is."""

    def check(name: str, value: Any) -> Any:
        if value is None and default is None:
            return None
        return check_count(name, value, minimum=low)

    return Argument(default, check, is_fixed)


def units(default: int | None) -> Any:
    """A size of a network: a whole number above 0."""
    return count(default, low=1, is_fixed=True)


def choice(default: Any, choices: Sequence[Any], *, is_fixed: bool = False) -> Any:
    """One of a few values."""
    return Argument(
        default, lambda name, value: check_choice(name, value, choices), is_fixed
    )


def flag(default: bool) -> Any:
    """True or False."""
    return Argument(default, check_flag)


def sizes(default: Sequence[int], *, minimum: int = 0) -> Any:
    """Sizes of layers: at least `minimum` whole numbers above 0."""
    return Argument(
        tuple(default),
        lambda name, value: check_positive_ints(name, value, minimum),
        is_fixed=True,
    )


def names(default: Sequence[str]) -> Any:
    """Names of parts: different identifiers, at least one."""

    def check(name: str, value: Any) -> tuple[str, ...]:
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        found = tuple(value) if is_list else ()
        are_names = all(isinstance(v, str) and v.isidentifier() for v in found)
        if not found or not are_names or len(set(found)) < len(found):
            raise ValueError(
                f"`{name}` must be different names, such as {tuple(default)}. "
                f"Received: {name}={value!r}."
            )
        return found

    return Argument(tuple(default), check, is_fixed=True)


def activation(default: str) -> Any:
    """The name of a Keras activation."""
    from aezoo.networks.base import check_activation

    return Argument(default, check_activation, is_fixed=True)


def conditions(default: Mapping[str, Any]) -> Any:
    """What a model is told beside examples: a modality by each name, at least one.

    Modalities may also come as their configurations.
    """
    from aezoo import modalities

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value:
            raise ValueError(
                f"`{name}` must be a dictionary of modalities by name, such as "
                f"{{'labels': aezoo.modalities.Label(10)}}. Received: "
                f"{name}={value!r:.200}."
            )
        found = {}
        for key, part in value.items():
            if not isinstance(key, str) or re.fullmatch("[a-z_]+", key) is None:
                raise ValueError(
                    f"Names in `{name}` must be lower-case words. Received: {key!r}."
                )
            if isinstance(part, Mapping):
                part = modalities.from_config(dict(part))
            if not isinstance(part, modalities.Modality):
                raise ValueError(
                    f"`{name}[{key!r}]` must be one of `aezoo.modalities`. "
                    f"Received: {part!r:.200}."
                )
            found[key] = part
        return MappingProxyType(found)

    return Argument(default, check, is_fixed=True)


def check_known(family: str, given: Mapping[str, Any], known: Any) -> None:
    """Refuse arguments that there are not.

    Args:
        family: Whose arguments.
        given: What came in, by name.
        known: Names that there are.

    Raises:
        ValueError: Names the unknown argument and the closest known one.
    """
    for name in given:
        if name not in known:
            raise ValueError(
                f"Unknown argument `{name}` for family {family!r}."
                f"{did_you_mean(name, known)} Known: {', '.join(sorted(known))}."
            )
