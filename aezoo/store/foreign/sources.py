"""Classes of other libraries that can be converted, and what a configuration makes."""

import dataclasses
import importlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import msgspec

from aezoo.errors import ConversionError, ManifestError
from aezoo.store.foreign.files import CONFIG
from aezoo.store.foreign.names import Names
from aezoo.utils.records import Record, decode
from aezoo.utils.text import did_you_mean

# The module of each class, in this folder.
MODULES = {
    "AutoencoderKL": "autoencoder_kl",
    "AutoencoderTiny": "autoencoder_tiny",
    "VQModel": "vq_model",
    "ViTMAEForPreTraining": "vit_mae",
    "ViTMAEModel": "vit_mae_encoder",
}
LIBRARIES = {
    "AutoencoderKL": "diffusers",
    "AutoencoderTiny": "diffusers",
    "VQModel": "diffusers",
    "ViTMAEForPreTraining": "transformers",
    "ViTMAEModel": "transformers",
}
# Classes that look as if they could be converted, and why they cannot.
REFUSED = {
    "AsymmetricAutoencoderKL": "its decoder sees the masked image beside the code, "
    "which no family here does",
    "AutoencoderDC": "no network here has its blocks, linear attention in several "
    "scales and residual shuffling of pixels",
}
# Families that `to_diffusers` writes: as which class.
EXPORTED = {
    "kl_autoencoder": "AutoencoderKL",
    "spatial_ae": "AutoencoderTiny",
    "vq_vae": "VQModel",
}
PAGE = "docs/imports.md says what can be loaded."


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What a configuration of another library makes of ours.

    Attributes:
        family: The family.
        config: Its arguments, JSON values.
        input_shape: Shape of an image.
        latent_shape: Shape of a code.
        tasks: What the model can do.
        names: Where each weight stands.
        constants: Weights that the configuration itself states, by name.
        normalization: Where the mean and the deviation are from that the network takes
            from images in [0, 1]; empty for the scale to [-1, 1].
    """

    family: str
    config: dict[str, Any]
    input_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    tasks: tuple[str, ...]
    names: Names
    constants: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    normalization: str = ""

    @property
    def remark(self) -> str:
        """What is done to images inside, where the class alone does not say it."""
        if not self.normalization:
            return ""
        mean, std = (
            ", ".join(f"{value:g}" for value in self.config[f"channel_{name}"])
            for name in ("mean", "std")
        )
        return f"; images normalised by mean {mean} and std {std} " + (
            f"({self.normalization})"
        )


class ForeignRecord(Record, frozen=True):
    """The fields of a file of another library.

    Fields that begin with an underscore are notes of the library, and not read.
    """

    # Fields that make no difference to what a model computes here.
    IGNORED: ClassVar[frozenset[str]] = frozenset()


_Record = TypeVar("_Record", bound=ForeignRecord)


class ForeignConfig(ForeignRecord, frozen=True):
    """The fields of a `config.json`; a subclass for each class of another library."""

    def convert(self) -> Conversion:
        """What it makes.

        Raises:
            ConversionError: If it asks for what there is not here.
        """
        raise NotImplementedError


def source_class(values: Mapping[str, Any]) -> str | None:
    """The class that a `config.json` is of; None if it is of no such library."""
    for key in ("_class_name", "model_type"):
        if isinstance(values.get(key), str):
            return _architecture(values) or str(values[key])
    return None


def _architecture(values: Mapping[str, Any]) -> str | None:
    """Of transformers, the class; a type of model has several."""
    names = values.get("architectures")
    if "_class_name" in values or not isinstance(names, list) or not names:
        return None
    return str(names[0])


def read_config(content: bytes) -> dict[str, Any] | None:
    """The object of a `config.json`; None if it is none."""
    try:
        values = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def reads_preprocessor(content: bytes) -> bool:
    """Whether a `preprocessor_config.json` counts beside a `config.json`."""
    values = read_config(content)
    return LIBRARIES.get(source_class(values or {}) or "") == "transformers"


def convert_config(content: bytes, where: str) -> tuple[str, Conversion]:
    """The class of a `config.json`, and what it makes.

    Args:
        content: The file.
        where: In what folder it is; begins messages.

    Raises:
        ConversionError: If it is no such file, of a class that is not known here, or
            asks for what there is not here; a field is unknown or of another type.
    """
    what = f"{where}: {CONFIG}"
    values = read_config(content)
    name = None if values is None else source_class(values)
    if values is None or name is None:
        raise ConversionError(
            f"{what} names no class: `_class_name` of diffusers, or `model_type` of "
            f"transformers. {PAGE} Models of Keras are read by "
            "`keras.saving.load_model`."
        )
    config = read_fields(values, find_source(name, what), name, what)
    try:
        return name, config.convert()
    except ConversionError as error:
        raise ConversionError(f"{what}: {error}") from error


def read_fields(
    values: Mapping[str, Any], cls: type[_Record], name: str, what: str
) -> _Record:
    """A record of the fields that count, all of which must be known.

    Args:
        values: All fields.
        cls: The kind of record.
        name: The class of the other library.
        what: Where they are from; begins messages.

    Raises:
        ConversionError: If one is not known, or of another type.
    """
    known = {f.encode_name for f in msgspec.structs.fields(cls)}
    told = {
        key: value
        for key, value in values.items()
        if not key.startswith("_") and key not in cls.IGNORED
    }
    for key in told:
        if key not in known:
            raise ConversionError(
                f"{what} has the field {key!r} = {told[key]!r:.80}, which aezoo does "
                f"not know for {name}, so the model may compute something else."
                f"{did_you_mean(key, known)} {PAGE}"
            )
    try:
        return decode(json.dumps(told).encode(), cls, what)
    except ManifestError as error:
        raise ConversionError(str(error)) from error


def find_source(name: str, what: str) -> type[ForeignConfig]:
    """The fields of a class of another library.

    Args:
        name: The class.
        what: What file names it; begins messages.

    Raises:
        ConversionError: If there is no such class here; lists those that there are.
    """
    if name not in MODULES:
        reason = f": {REFUSED[name]}." if name in REFUSED else "."
        hint = "" if name in REFUSED else did_you_mean(name, MODULES)
        raise ConversionError(
            f"{what} is of the class {name!r:.80}, which aezoo cannot convert{reason}"
            f"{hint} It converts {', '.join(sorted(MODULES))}."
        )
    config: type[ForeignConfig] = source_module(name).Config
    return config


def source_module(name: str) -> Any:
    """The module of a class."""
    return importlib.import_module(f"aezoo.store.foreign.{MODULES[name]}")


def unsupported(field: str, value: Any, supported: str) -> ConversionError:
    """The error that says that a field has a value that there is not here.

    Args:
        field: The field.
        value: Its value.
        supported: What it must be.
    """
    return ConversionError(
        f"`{field}` must be {supported}. Received: {field}={value!r:.120}."
    )
