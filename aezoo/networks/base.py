"""How examples are encoded and decoded: the contract that every network keeps."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aezoo.modalities.base import Modality
from aezoo.utils.text import did_you_mean

_KINDS: dict[str, type["Network"]] = {}


@dataclasses.dataclass(frozen=True)
class Latent:
    """What an objective asks of a network: the kind of latent it works on.

    Attributes:
        units: Units of a flat latent, or channels of a map.
        is_map: Whether the latent keeps positions, `(*grid, units)`.
        activation: Keras activation of the heads of the encoder.
        quantizer: Layer whose `bound` and `nearest` give the code of each position
            of a map; None where latents are not quantised.
        is_hierarchical: Whether there are many latents of the network's own, of which
            each depends on those before it; `units` are then of one of them, or 0.
        is_masked: Whether the objective hides parts of an example from the encoder.
        is_degraded: Whether it is a degraded example, of the objective's own shape.
        has_hyperlatent: Whether a code of the map, of the network's own, goes with it.
        is_told: Whether encoder and decoder also take, as `context`, what the network's
            `context` makes of conditions.
    """

    units: int
    is_map: bool = False
    activation: str = "linear"
    quantizer: Any = None
    is_hierarchical: bool = False
    is_masked: bool = False
    is_degraded: bool = False
    has_hyperlatent: bool = False
    is_told: bool = False

    @property
    def words(self) -> str:
        """What it is, for messages."""
        if self.is_degraded:
            return "a degraded example"
        if self.has_hyperlatent:
            return "a map with a hyperlatent"
        if self.is_hierarchical:
            return "hierarchical latents"
        if self.quantizer is not None:
            return "a map of codes"
        return "a map" if self.is_map else "a flat latent"


class NetworkError(ValueError):
    """A network cannot carry a modality, or the latent that an objective needs."""


@dataclasses.dataclass(frozen=True)
class Network(abc.ABC):
    """How examples are encoded and decoded, as a value without weights.

    The base of all networks. A subclass is a frozen dataclass whose fields are its
    arguments; defining it makes it known by its `kind`.
    """

    # Its name in configurations.
    kind: ClassVar[str]
    # Whether its decoder has a `likelihood`, whose elements depend on those before.
    is_autoregressive: ClassVar[bool] = False
    # Whether its layers take any number of positions, where the strides allow it.
    takes_any_size: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls):
            _KINDS[cls.kind] = cls

    # --- What a network defines --------------------------------------------------

    @abc.abstractmethod
    def check(self, modality: Modality, latent: Latent) -> None:
        """Refuse what it cannot carry.

        Args:
            modality: What an example is.
            latent: What the objective needs.

        Raises:
            NetworkError: Names what would fit.
        """

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """Shape of the latent of one example.

        Args:
            modality: What an example is.
            latent: What the objective needs.
        """
        if latent.is_map:
            raise self.cannot_carry(modality, latent)
        return (latent.units,)

    @abc.abstractmethod
    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> Any:
        """A new encoder: tensors of examples to one tensor per head.

        Args:
            modality: What an example is.
            heads: Width of each output, by its name.
            latent: What the objective needs.

        Returns:
            An `aezoo.networks.stages.Encoder`.
        """

    @abc.abstractmethod
    def decoder(self, modality: Modality, width: int, latent: Latent) -> Any:
        """A new decoder: latents to parameters of a likelihood.

        Args:
            modality: What an example is.
            width: Parameters per position of an example.
            latent: What the objective needs.

        Returns:
            A Keras layer, to `(batch, *output_shape)`.
        """

    def context(self, given: Mapping[str, Modality]) -> Any:
        """A new layer: tensors of conditions by name to one vector, `context`.

        Args:
            given: Modality of each condition by name.

        Returns:
            A Keras layer, to `(batch, units)`, with the number `units`.

        Raises:
            NetworkError: If the network can be told nothing.
        """
        able = [k for k, c in _KINDS.items() if c.context is not Network.context]
        raise NetworkError(
            f"The network {self.kind!r} cannot be told {', '.join(given)} beside an "
            f"example. Networks that can: {', '.join(map(repr, sorted(able)))}."
        )

    def output_shape(
        self,
        modality: Modality,
        width: int,
        input_shape: Sequence[int],  # noqa: ARG002
    ) -> tuple[int, ...]:
        """Shape of what a decoder makes of one latent, here `(*positions, width)`.

        Args:
            modality: What an example is.
            width: As in `decoder`.
            input_shape: Shape of what the decoder sees of one example.
        """
        return (*modality.positions, width)

    # --- Configuration -------------------------------------------------------------

    def unused(self, latent: Latent) -> tuple[str, ...]:  # noqa: ARG002
        """Names of the arguments that make no difference to such a latent.

        Args:
            latent: What the objective needs.
        """
        return ()

    def to_config(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        fields = dataclasses.fields(self)
        return {f.name: _as_json(getattr(self, f.name)) for f in fields}

    @classmethod
    def argument_names(cls) -> tuple[str, ...]:
        """Names of its arguments."""
        return tuple(f.name for f in dataclasses.fields(cls))

    def cannot_carry(
        self, modality: Modality, latent: Latent | None = None
    ) -> NetworkError:
        """The error that says that it cannot carry a modality, or such a latent."""
        what = f"{modality.nouns}" if latent is None else latent.words
        return NetworkError(
            f"The network {self.kind!r} cannot carry {what}. Networks: "
            f"{', '.join(sorted(_KINDS))}; `aezoo.networks` says what each is for."
        )


@dataclasses.dataclass(frozen=True)
class HalvingNetwork(Network):
    """A network whose stages, all but one, halve an image: its latents are maps."""

    # The argument that has an element for each stage.
    stages_argument: ClassVar[str]
    # Whether the vectors of a map may be quantised.
    can_quantize: ClassVar[bool] = False

    @property
    def stride(self) -> int:
        """Pixels along an axis for each position of the code."""
        return 1 << (len(getattr(self, self.stages_argument)) - 1)

    def check(self, modality: Modality, latent: Latent) -> None:
        """Maps of images and other continuous values on two axes.

        Raises:
            NetworkError: If it is another modality or latent.
            ValueError: If a side cannot be halved so often.
        """
        if len(modality.positions) != 2 or not modality.is_continuous:
            raise self.cannot_carry(modality)
        is_quantized = latent.quantizer is not None
        if (
            not latent.is_map
            or latent.is_hierarchical
            or (is_quantized and not self.can_quantize)
            or not latent.units
        ):
            raise self.cannot_carry(modality, latent)
        if any(size % self.stride for size in modality.positions):
            name = self.stages_argument
            raise ValueError(
                f"Both sides must be multiples of {self.stride}, as each of `{name}` "
                f"but one halves them. Received: input_shape={modality.shape}, "
                f"{name}={getattr(self, name)}."
            )

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """`(h, w, units)`."""
        self.check(modality, latent)
        height, width = (size // self.stride for size in modality.positions)
        return (height, width, latent.units)


def _as_json(value: Any) -> Any:
    return [_as_json(v) for v in value] if isinstance(value, tuple) else value


def check_activation(name: str, value: Any) -> str:
    """Return `value` if it is the name of a Keras activation.

    Args:
        name: The argument.
        value: What came in.

    Raises:
        ValueError: If Keras knows no such activation.
    """
    import keras

    if not isinstance(value, str) or not hasattr(keras.activations, value):
        raise ValueError(
            f"`{name}` must be the name of a Keras activation, such as 'relu'. "
            f"Received: {name}={value!r}."
        )
    return value


def as_tuples(value: Any) -> Any:
    """Lists, as JSON has them, to tuples, also within."""
    return tuple(map(as_tuples, value)) if isinstance(value, list | tuple) else value


def network_class(kind: str) -> type[Network]:
    """The class of a kind of network.

    Args:
        kind: E.g. `"conv"`.

    Raises:
        ValueError: If there is none; names the closest.
    """
    if kind not in _KINDS:
        raise ValueError(
            f"Unknown network {kind!r}.{did_you_mean(kind, _KINDS)} "
            f"Networks: {', '.join(sorted(_KINDS))}."
        )
    return _KINDS[kind]


def network_kinds() -> list[str]:
    """Names of all networks, sorted."""
    return sorted(_KINDS)
