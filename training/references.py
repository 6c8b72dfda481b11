"""Tiny models of diffusers and transformers, and what these libraries make of them.

    python -m venv references && references/bin/pip install torch diffusers transformers
    PYTHONPATH=. references/bin/python training/references.py

writes `tests/fixtures/imports/<name>/`, of all names or those given: the files that
`save_pretrained` writes, and `expected.npz`, what the library computes on their images.
The tests compare what aezoo makes of the same files, so that they need none of these
libraries. Needs neither Keras nor aezoo.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers

FOLDER = Path(__file__).parents[1] / "tests" / "fixtures" / "imports"
IMAGES = 2


def to_reference(images: np.ndarray) -> torch.Tensor:
    """Images in [0, 1], channels last, as tensors in [-1, 1], channels first."""
    return torch.from_numpy(2.0 * images - 1.0).permute(0, 3, 1, 2).contiguous()


def perturb(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Move all weights, so that none is 0 or 1 and no mistake goes unseen."""
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.add_(noise * (0.2 if weight.ndim == 1 else 0.02))


def of_autoencoder_kl(model: Any, images: np.ndarray) -> dict[str, Any]:
    """Moments of the posterior, and what its mean decodes to."""
    posterior = model.encode(to_reference(images)).latent_dist
    decoded = model.decode(posterior.mean).sample
    return {"mean": posterior.mean, "logvar": posterior.logvar, "decoded": decoded}


def autoencoder_kl(**config: Any) -> Any:
    """A tiny `AutoencoderKL`."""
    channels = config.pop("block_out_channels", (8, 16))
    return diffusers.AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        norm_num_groups=4,
        sample_size=16,
        **config,
    )


def of_vq_model(model: Any, images: np.ndarray) -> dict[str, Any]:
    """Vectors before they are quantised, indices, and what the codes decode to."""
    encoded = model.encode(to_reference(images)).latents
    codes, _, (_, _, indices) = model.quantize(encoded)
    decoded = model.decode(encoded).sample
    shape = (len(images), *encoded.shape[2:])
    return {
        "encoded": encoded,
        "indices": indices.reshape(shape),
        "codes": codes,
        "decoded": decoded,
    }


def vq_model(**config: Any) -> Any:
    """A tiny `VQModel`, whose codes are as far apart as its vectors."""
    model = diffusers.VQModel(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        norm_num_groups=4,
        sample_size=16,
        num_vq_embeddings=32,
        **config,
    )
    torch.nn.init.normal_(model.quantize.embedding.weight)
    return model


def of_autoencoder_tiny(model: Any, images: np.ndarray) -> dict[str, Any]:
    """Codes, and what they decode to."""
    codes = model.encode(to_reference(images)).latents
    return {"codes": codes, "decoded": model.decode(codes).sample}


def vit_mae(**config: Any) -> Any:
    """A tiny `ViTMAEConfig`: widths, heads and layers that all differ."""
    return transformers.ViTMAEConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=16,
        patch_size=4,
        decoder_hidden_size=12,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=3,
        decoder_intermediate_size=20,
        **config,
    )


def to_imagenet(images: np.ndarray) -> torch.Tensor:
    """Images in [0, 1], channels last, as vision transformers take them."""
    mean, std = (
        np.array(v, "float32") for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return torch.from_numpy((images - mean) / std).permute(0, 3, 1, 2).contiguous()


def of_vit_mae(model: Any, images: np.ndarray) -> dict[str, Any]:
    """Hidden states of whole images."""
    encoder, x = getattr(model, "vit", model), to_imagenet(images)
    encoder.config.mask_ratio = 0.0
    whole = encoder(
        x, noise=torch.arange(16.0).expand(len(images), -1), output_hidden_states=True
    )
    states = {f"state_{i}": state for i, state in enumerate(whole.hidden_states[:-1])}
    return {**states, "codes": whole.last_hidden_state}


def of_vit_mae_for_pretraining(model: Any, images: np.ndarray) -> dict[str, Any]:
    """The same; what is drawn of images with hidden patches, and the loss."""
    found = of_vit_mae(model, images)
    model.config.mask_ratio = 0.75
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand((len(images), 16), generator=generator)
    x = to_imagenet(images)
    outputs = model(x, noise=noise)
    drawn = model.unpatchify(outputs.logits, (16, 16))
    return {
        **found,
        "hidden": outputs.mask.bool(),
        "drawn": drawn,
        "loss": outputs.loss,
    }


Reference = tuple[Callable[[], Any], Callable[[Any, np.ndarray], Any], dict[str, Any]]
REFERENCES: dict[str, Reference] = {
    # quant convolutions, attention, four channels: Stable Diffusion 1 and 2
    "kl_sd": (
        lambda: autoencoder_kl(block_out_channels=(4, 8)),
        of_autoencoder_kl,
        {},
    ),
    # neither of the convolutions, 16 channels, a shift: Stable Diffusion 3 and Flux;
    # in several files
    "kl_flux": (
        lambda: autoencoder_kl(
            latent_channels=16,
            shift_factor=0.1159,
            scaling_factor=0.3611,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        of_autoencoder_kl,
        {"max_shard_size": "30KB"},
    ),
    # no attention, moments by channel, more blocks and stages; in half precision
    "kl_plain": (
        lambda: autoencoder_kl(
            mid_block_add_attention=False,
            layers_per_block=2,
            block_out_channels=(4, 4, 8),
            latents_mean=(0.1, -0.2, 0.3, 0.4),
            latents_std=(1.5, 0.5, 2.0, 1.0),
            use_post_quant_conv=False,
        ),
        of_autoencoder_kl,
        {"variant": "fp16"},
    ),
    # attention in a stage, codes of another width than the encoder's last map
    "vq": (lambda: vq_model(latent_channels=3, vq_embed_dim=4), of_vq_model, {}),
    "tiny": (
        lambda: diffusers.AutoencoderTiny(
            encoder_block_out_channels=(8, 8, 8),
            decoder_block_out_channels=(8, 8, 8),
            num_encoder_blocks=(1, 2, 1),
            num_decoder_blocks=(2, 1, 1),
        ),
        of_autoencoder_tiny,
        {},
    ),
    "mae": (
        lambda: transformers.ViTMAEForPreTraining(vit_mae()),
        of_vit_mae_for_pretraining,
        {},
    ),
    "mae_normalized": (
        lambda: transformers.ViTMAEForPreTraining(vit_mae(norm_pix_loss=True)),
        of_vit_mae_for_pretraining,
        {},
    ),
    "mae_encoder": (lambda: transformers.ViTMAEModel(vit_mae()), of_vit_mae, {}),
}


def write(name: str) -> None:
    """Write the folder of one model."""
    create, expect, options = REFERENCES[name]
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = create().eval()
    perturb(model, generator)
    if options.get("variant") == "fp16":
        model = model.half()
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **options)
    size = 16
    images = np.random.default_rng(0).random((IMAGES, size, size, 3), "float32")
    with torch.no_grad():
        found = expect(model.float(), images)
    arrays: dict[str, Any] = {k: np.asarray(value) for k, value in found.items()}
    np.savez_compressed(folder / "expected.npz", images=images, **arrays)


if __name__ == "__main__":
    print(f"diffusers {diffusers.__version__}, transformers {transformers.__version__}")  # noqa: T201
    for reference in sys.argv[1:] or REFERENCES:
        write(reference)
