"""A model of ours as files that diffusers loads."""

import json
from pathlib import Path

import keras
import numpy as np

from aezoo.errors import ConversionError
from aezoo.models.autoencoder import Autoencoder
from aezoo.store.foreign.build import weight_name
from aezoo.store.foreign.files import CONFIG, STEMS, SUFFIX
from aezoo.store.foreign.names import Names
from aezoo.store.foreign.sources import EXPORTED, source_module
from aezoo.utils.folders import write_folder

WEIGHTS = f"{STEMS[0]}{SUFFIX}"


def to_diffusers(model: Autoencoder, folder: str | Path) -> Path:
    """Write a model as a folder that `from_pretrained` of diffusers loads.

    The way back of `aezoo.load` of such a folder: on the network `ldm`, a
    `kl_autoencoder` becomes an `AutoencoderKL` and a `vq_vae` a `VQModel`; a
    `spatial_ae` on the network `taesd` becomes an `AutoencoderTiny`. What trains the
    model but computes neither codes nor images, such as a discriminator, is left out.
    Images of diffusers are in [-1, 1], channels first.

    Args:
        model: The model.
        folder: The folder to create; its parent must exist.

    Returns:
        The folder.

    Raises:
        ConversionError: If diffusers has no class for the model; says why.
        FileExistsError: If the folder exists and is not empty.
        FileNotFoundError: If the parent folder does not exist.
        DiskError: If the disk is full or the parent folder cannot be written.

    Example:
        >>> folder = aezoo.to_diffusers(model, "my_vae")
        >>> vae = diffusers.AutoencoderKL.from_pretrained(folder)
    """
    from safetensors.numpy import save

    kind = EXPORTED.get(getattr(model, "family", ""))
    if kind is None:
        raise ConversionError(
            f"diffusers has no class for {getattr(model, 'family', type(model))!r}. "
            f"Families that it has one for: {', '.join(EXPORTED)}."
        )
    module = source_module(kind)
    model.ensure_built()
    names: Names = module.NAMES
    tensors: dict[str, np.ndarray] = {}
    own: dict[str, np.ndarray] = {}
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight).astype("float32")
        name = weight_name(weight)
        theirs = names.translate(name)
        if theirs is None:
            own[name] = values
        else:
            layout = names.layout(name, values.ndim)
            tensors[theirs] = np.ascontiguousarray(layout.to_theirs(values))
    config = module.export(model.config, own)
    target = Path(folder)
    files = {
        CONFIG: (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
        WEIGHTS: save(tensors, metadata={"format": "pt"}),
    }
    _check_target(target)
    write_folder(target.absolute(), files, files, lambda: _check_target(target))
    return target


def _check_target(target: Path) -> None:
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"The folder {target.parent}, in which to write, does not exist. Create it "
            f"with `mkdir -p {target.parent}`."
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(
            f"`folder` must be new or empty. Received: {target}. Choose another."
        )
