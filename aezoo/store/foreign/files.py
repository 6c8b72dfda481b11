"""Which files of a folder hold a model of another library; pickles are refused."""

import json
import re
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from aezoo.errors import ConversionError, UnsafeFileError

CONFIG, PIPELINE, CARD = "config.json", "model_index.json", "README.md"
# What transformers do to images before the model sees them; need not be there.
PREPROCESSOR = "preprocessor_config.json"
MAX_CONFIG_BYTES = 1_000_000
# Of files that list the tensors of others.
MAX_INDEX_BYTES = 10_000_000
SUFFIX, INDEX = ".safetensors", ".safetensors.index"
# Names of weights without their suffixes: of diffusers, of transformers.
STEMS = ("diffusion_pytorch_model", "model")
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack")
# Variants of the same weights, taken if there are no others: the first that is there.
VARIANTS = ("fp32", "fp16", "bf16")


def has_pickles(names: Iterable[str]) -> list[str]:
    """Those of some names that are weights as pickles, or the like."""
    return sorted(n for n in names if PurePosixPath(n).suffix in PICKLES)


def find_weights(names: Collection[str], where: str) -> str:
    """The file of weights, or the one that lists several.

    Single precision is taken before half, whose values are a part of it.

    Args:
        names: Files of a folder, without those of folders in it.
        where: What folder it is; for messages.

    Raises:
        UnsafeFileError: If there are pickles alone.
        ConversionError: If there is none, or there are several and none is the one.
    """
    for stem in STEMS:
        for name in (f"{stem}{SUFFIX}", f"{stem}{INDEX}.json"):
            if name in names:
                return name
        for variant in VARIANTS:
            for name in (f"{stem}.{variant}{SUFFIX}", f"{stem}{INDEX}.{variant}.json"):
                if name in names:
                    return name
    others = sorted(n for n in names if n.endswith(SUFFIX))
    if len(others) == 1:
        return others[0]
    if others:
        raise ConversionError(
            f"{where} has several files of weights, and none has the name that "
            f"diffusers or transformers give it: {_some(others)}. Rename the one that "
            f"counts to {STEMS[0]}{SUFFIX}."
        )
    if pickles := has_pickles(names):
        raise UnsafeFileError(
            f"{where} has its weights as {_some(pickles)} alone: reading a pickle runs "
            "whatever code it holds. Take a revision with safetensors, which many "
            "repositories have as a pull request (`revision='refs/pr/1'`), or convert "
            "it where you trust it: load it with diffusers or transformers, and call "
            "`save_pretrained(folder, safe_serialization=True)`."
        )
    raise ConversionError(f"{where} has no weights: no file {STEMS[0]}{SUFFIX}.")


def find_parts(content: bytes, what: str) -> tuple[str, ...]:
    """The files that a list of tensors names, sorted.

    Args:
        content: The file that lists them.
        what: What file it is; begins messages.

    Raises:
        ConversionError: If it is no such list.
        UnsafeFileError: If it names a file in another folder.
    """
    try:
        files = set(json.loads(content)["weight_map"].values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConversionError(
            f"{what} is no list of tensors: it has no `weight_map` from their names to "
            "files."
        ) from error
    for file in files:
        if not isinstance(file, str) or not re.fullmatch(r"[\w.-]+\.safetensors", file):
            raise UnsafeFileError(
                f"{what} must name safetensors files beside it. Received: {file!r:.80}."
            )
    return tuple(sorted(files))


def no_config(names: Collection[str], where: str) -> ConversionError:
    """The error of a folder without a `config.json`: says where there is one.

    Args:
        names: Files of the folder and of those in it.
        where: What folder it is.
    """
    folders = sorted(
        name.removesuffix(f"/{CONFIG}") for name in names if name.endswith(f"/{CONFIG}")
    )
    if folders:
        return ConversionError(
            f"{where} has several models: {_some(folders)}. Name one, e.g. "
            f"{where}/{folders[-1]}."
        )
    return ConversionError(
        f"{where} has no {CONFIG}, so that nothing says what its weights are of."
    )


def _some(names: Collection[str], count: int = 5) -> str:
    more = ", …" if len(names) > count else ""
    return ", ".join(list(names)[:count]) + more
