"""Examples as bytes: `compress` and `decompress`.

Discrete codes are coded under the prior that a model ships, examples without loss by
bits back. What is decoded is the same on every machine and backend, because the
probabilities are: `aezoo.compression.arithmetic` says how.
"""

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo.compression.container import (
    MAX_BYTES,
    Header,
    check_content,
    digest,
    little_endian,
    pack,
    unpack,
)
from aezoo.errors import ChecksumError, CompressionError, UnsupportedOperationError
from aezoo.modalities.image.check import check_any_size

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

__all__ = ["compress", "decompress"]

PRIOR = "autoregressive"


def compress(
    model: "str | Autoencoder", x: Any, *, lossless: bool = False, batch_size: int = 256
) -> bytes:
    """Examples as few bytes, which say themselves how to read them.

    With loss: the indices of discrete codes (`vq_vae`, `vq_vae_2`, `fsq`), coded under
    the model's autoregressive prior if it has one, else by how often each is used; or
    images of any size by a `hyperprior`, whose maps are coded under what their
    hyperlatents expect.
    Without loss: bits back (Townsend et al., 2019, https://arxiv.org/abs/1901.04866)
    with a variational autoencoder, one level of Gaussian latents or several
    (`hierarchical_vae`); about the negative bound of the examples in bits. That is for
    many examples at once: the first takes some hundred bits more.

    Args:
        model: A name from `aezoo.list_models()`, or a model.
        x: Examples `(n, *input_shape)`; of images uint8, or floats in [0, 1]. A
            `hyperprior` takes images of any size, `(n, height, width, channels)`.
            Without loss, images of a Bernoulli likelihood must be binary, and others
            uint8.
        lossless: Whether examples come back bit by bit, rather than their
            reconstructions.
        batch_size: Examples per compiled call of the encoder.

    Returns:
        Bytes for `decompress`.

    Raises:
        ValueError: If `x` is nothing that the model takes, or not binary, or not uint8.
        UnsupportedOperationError: If the model has no discrete codes, or without loss
            no such likelihood, posterior, prior or network; says which.
        MissingDependencyError: If `constriction` is not installed.

    Example:
        >>> blob = aezoo.compress("vq_vae_mnist", digits)
        >>> reconstructions = aezoo.decompress(blob)
    """
    found_model, name, revision = _find(model)
    return _compress(found_model, name, revision, x, lossless, batch_size)


def _compress(
    model: Any, name: str, revision: str, x: Any, lossless: bool, batch_size: int
) -> bytes:
    _check_plain(model)
    is_hyper = not lossless and has_hyperlatents(model)
    if is_hyper:
        x, _ = check_any_size(x, model.modality.channels)
    else:
        x = model.modality.check(x)
    fields = {
        "model": name,
        "revision": revision,
        "shape": x.shape,
        "dtype": x.dtype.name,
    }
    if lossless:
        found, words = _compress_lossless(model, x)
    elif is_hyper:
        found, words = _compress_maps(model, x, batch_size)
    else:
        found, words = _compress_codes(model, x, batch_size)
    weights = _hash_of(model, found["mode"])
    return pack(Header(**fields, **found, weights=weights), words)


def decompress(
    blob: bytes,
    model: "Autoencoder | None" = None,
    *,
    max_bytes: int = MAX_BYTES,
    batch_size: int = 256,
) -> np.ndarray:
    """The examples of `compress`, or their reconstructions.

    Codes and lossless examples are the same on all machines and backends; pixels that
    a decoder computes from codes differ by its rounding, as `decode` does.

    Args:
        blob: What `compress` returned.
        model: The model, if it is none of `aezoo.list_models()`: nothing is loaded
            from folders or the Hub because bytes say so.
        max_bytes: Most bytes that the examples may take.
        batch_size: Codes per compiled call of the decoder.

    Returns:
        Examples `(n, *input_shape)`, of the dtype that was compressed.

    Raises:
        CompressionError: If the bytes are foreign, damaged or incomplete, or unpack to
            more than `max_bytes`, or name a model that is not of the zoo.
        ChecksumError: If the model has other weights than the one that compressed, or
            what was decoded is not what was encoded.
        MissingDependencyError: If `constriction` is not installed.
    """
    header, words = unpack(blob, max_bytes)
    if model is None:
        from aezoo.manifest import entries

        if header.model not in entries():
            raise CompressionError(
                f"The bytes are of the model {header.model!r}, which is none of "
                "`aezoo.list_models()`. Pass it: `aezoo.decompress(blob, model)`."
            )
        model, _, _ = _find(header.model)
    _check_plain(model)
    if _hash_of(model, header.mode) != header.weights:
        raise ChecksumError(
            f"The bytes were compressed by a model {header.model!r} of other weights, "
            "configuration or prior than those of "
            f"{model.name!r}. Pass the one that compressed them."
        )
    if header.mode == "hyper":
        return _decompress_maps(model, header, words)
    if header.shape[1:] != tuple(model.modality.shape):
        raise CompressionError(
            f"The bytes hold examples of shape {header.shape[1:]}, and "
            f"{model.name!r} has {tuple(model.modality.shape)}."
        )
    if header.mode == "lossless":
        return _decompress_lossless(model, header, words)
    return _decompress_codes(model, header, words, batch_size)


def _find(model: Any) -> tuple[Any, str, str]:
    """The model, its name and the revision of its weights."""
    if not isinstance(model, str):
        return model, model.name, ""
    from aezoo.manifest import entries
    from aezoo.store.load import load

    place = entries()[model].weights.hub if model in entries() else None
    loaded = load(model)
    return loaded, model, place.revision if place else ""


def _check_plain(model: Any) -> None:
    from aezoo.nn.structure import is_quantized

    model.ensure_built()
    if model.given:
        raise UnsupportedOperationError(
            f"{model.name!r} is told {', '.join(model.given)}, which is not coded. "
            "Take a model that sees examples alone."
        )
    if is_quantized(model):
        raise UnsupportedOperationError(
            f"{model.name!r} is quantised, and its layers have no exact arithmetic."
        )


def _hash_of(model: Any, mode: str) -> bytes:
    """Of everything that decoding depends on."""
    parts: list[Any] = [
        json.dumps([model.family, model.config], sort_keys=True).encode()
    ]
    parts += [np.asarray(array) for array in model.get_weights()]
    if mode == "prior":
        arrays = model.samplers.find(PRIOR).arrays()
        parts += [arrays[name] for name in sorted(arrays)]
    return digest(*parts)


# --- Discrete codes -------------------------------------------------------------------


def _check_discrete(model: Any) -> None:
    if not hasattr(model, "codebooks"):
        raise UnsupportedOperationError(
            f"{model.name!r} has {model.CODES} codes without a codebook. With loss, "
            "models of the families 'vq_vae', 'vq_vae_2', 'fsq' and 'hyperprior' "
            "compress; "
            "variational autoencoders compress with `lossless=True`."
        )


def _compress_codes(model: Any, x: np.ndarray, batch_size: int) -> Any:
    from aezoo.compression import codes

    _check_discrete(model)
    indices = model.encode_indices(x, batch_size).reshape(len(x), -1)
    found: dict[str, Any] = {"content": digest(indices.astype("int32"))}
    if PRIOR not in model.samplers:
        times = codes.frequencies(model.codebooks, indices)
        words = codes.encode_with_tables(model.codebooks, times, indices)
        return {
            "mode": "tables",
            "tables": tuple(map(little_endian, times)),
            **found,
        }, words
    sampler = model.samplers.find(PRIOR)
    words = codes.encode_with_prior(codes.ExactPrior(sampler), indices)
    return {"mode": "prior", **found}, words


def _decompress_codes(
    model: Any, header: Header, words: np.ndarray, batch_size: int
) -> np.ndarray:
    from aezoo.compression import codes

    _check_discrete(model)
    n = header.shape[0]
    shape = model.latent_shape[:-1]
    if header.mode == "tables":
        times = [np.frombuffer(table, "<u4") for table in header.tables]
        sizes = [book.num_codes for book in model.codebooks]
        if len(times) != len(sizes) or any(
            len(t) not in (0, size) or (len(t) and not t.any())
            for t, size in zip(times, sizes, strict=False)
        ):
            raise CompressionError("The tables of the bytes do not fit the codebooks.")
        indices = codes.decode_with_tables(
            model.codebooks, times, words, (n, math.prod(shape))
        )
    else:
        sampler = model.samplers.find(PRIOR)
        indices = codes.decode_with_prior(codes.ExactPrior(sampler), words, n)
    check_content(header, indices)
    decoded = model.decode_indices(indices.reshape(n, *shape), batch_size)
    return np.asarray(model.modality.to_dtype(decoded, header.dtype))


# --- Rounded maps -------------------------------------------------------------------


def has_hyperlatents(model: Any) -> bool:
    """Whether a model codes rounded maps under a hyperprior."""
    return getattr(model.latent, "has_hyperlatent", False)


def _compress_maps(model: Any, x: np.ndarray, batch_size: int) -> Any:
    from aezoo.compression import hyper

    words, symbols = hyper.encode(model, x, batch_size)
    content = digest(*(part.astype("int32") for part in symbols))
    return {"mode": "hyper", "content": content}, words


def _decompress_maps(model: Any, header: Header, words: np.ndarray) -> np.ndarray:
    from aezoo.compression import hyper

    channels = model.modality.channels if has_hyperlatents(model) else None
    if len(header.shape) != 4 or header.shape[-1] != channels:
        raise CompressionError(
            f"The bytes hold images of shape {header.shape[1:]}, which {model.name!r} "
            "does not code."
        )
    z, symbols = hyper.decode(model, words, header.shape)
    check_content(header, *symbols)
    images = hyper.images_of(model, z)[:, : header.shape[1], : header.shape[2]]
    return np.asarray(model.modality.to_dtype(images, header.dtype))


# --- Without loss ---------------------------------------------------------------------


def _latents_of(model: Any) -> Any:
    from aezoo.compression.networks import FlatLatents, TopDownLatents
    from aezoo.networks.top_down import TopDownDecoder

    if model.has_levels and isinstance(model.decoder, TopDownDecoder):
        return TopDownLatents(model)
    if model.has_diagonal_posterior and model.has_standard_prior:
        return FlatLatents(model)
    raise UnsupportedOperationError(
        f"{model.name!r} cannot code without loss, which needs a Gaussian posterior of "
        "independent units and a standard normal prior, or the hierarchical latents of "
        "the network 'top_down'. 'vae', 'iwae' and 'hierarchical_vae' have them."
    )


def _compress_lossless(model: Any, x: np.ndarray) -> Any:
    from aezoo.compression import bits_back
    from aezoo.compression.arithmetic import to_grid

    latents, likelihood = _latents_of(model), bits_back.likelihood_of(model)
    symbols = likelihood.symbols(x)
    probes = to_grid(likelihood.values(symbols[: bits_back.NUM_PROBES]))
    bits = bits_back.choose_bits(latents, probes)
    words = bits_back.encode(latents, likelihood, symbols, bits)
    found = {
        "mode": "lossless",
        "content": digest(symbols.astype("uint8")),
        "tables": tuple(map(little_endian, bits)),
    }
    return found, words


def _decompress_lossless(model: Any, header: Header, words: np.ndarray) -> np.ndarray:
    from aezoo.compression import bits_back

    latents, likelihood = _latents_of(model), bits_back.likelihood_of(model)
    bits = [np.frombuffer(table, "uint8") for table in header.tables]
    if tuple(map(len, bits)) != latents.level_units or any(
        b.max(initial=0) > bits_back.MAX_LATENT_BITS for b in bits
    ):
        raise CompressionError("The tables of the bytes do not fit the latents.")
    symbols = bits_back.decode(latents, likelihood, words, header.shape, bits)
    check_content(header, symbols)
    return likelihood.examples(symbols, header.dtype)
