"""`ViTMAEForPreTraining` and `ViTMAEModel` of transformers: masked autoencoders."""

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from aezoo.store.foreign.ldm import ACTIVATIONS
from aezoo.store.foreign.names import Names, within
from aezoo.store.foreign.sources import Conversion, ForeignConfig, unsupported
from aezoo.utils.records import Count

Width = Annotated[int, Meta(ge=1, le=1 << 20)]
# What images are shifted and scaled by: of red, green and blue in ImageNet.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = Names(
    (
        ("encoder/tokens/class_token", "embeddings.cls_token"),
        ("encoder/tokens/positions", "embeddings.position_embeddings"),
        ("encoder/tokens/projection", "embeddings.patch_embeddings.projection"),
        ("encoder/norm", "layernorm"),
        ("decoder/embed", "decoder.decoder_embed"),
        ("decoder/mask_token", "decoder.mask_token"),
        ("decoder/positions", "decoder.decoder_pos_embed"),
        ("decoder/norm", "decoder.decoder_norm"),
        ("decoder/pixels", "decoder.decoder_pred"),
        *within(
            (
                ("encoder/block_{i}", "encoder.layer.{i}"),
                ("decoder/block_{i}", "decoder.decoder_layers.{i}"),
            ),
            (
                ("norm_1", "layernorm_before"),
                ("norm_2", "layernorm_after"),
                ("query", "attention.attention.query"),
                ("key", "attention.attention.key"),
                ("value", "attention.attention.value"),
                ("merge", "attention.output.dense"),
                ("widen", "intermediate.dense"),
                ("narrow", "output.dense"),
            ),
        ),
    ),
    aliases=(
        (r"^vit\.", ""),  # of the model without its decoder there is no such part
        (r"^decoder\.decoder_encoder\.layer\.", "decoder.decoder_layers."),
    ),
)


class Config(ForeignConfig, frozen=True):
    """Its `config.json`; names and defaults are those of transformers."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {
            "architectures",
            "attention_probs_dropout_prob",  # of training alone, as the next
            "hidden_dropout_prob",
            "dtype",
            "initializer_range",
            "model_type",
            "torch_dtype",
            "transformers_version",
        }
    )
    has_decoder: ClassVar[bool] = True

    hidden_size: Width = 768
    num_hidden_layers: Count = 12
    num_attention_heads: Count = 12
    intermediate_size: Width = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: Annotated[float, Meta(gt=0)] = 1e-12
    image_size: Count = 224
    patch_size: Count = 16
    num_channels: int = 3
    qkv_bias: bool = True
    decoder_num_attention_heads: Count = 16
    decoder_hidden_size: Width = 512
    decoder_num_hidden_layers: Count = 8
    decoder_intermediate_size: Width = 2048
    mask_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.75
    norm_pix_loss: bool = False

    def convert(self) -> Conversion:
        """A `masked_ae` on the network `mae`."""
        for name, wanted in (("num_channels", 3), ("qkv_bias", True)):
            if getattr(self, name) != wanted:
                raise unsupported(name, getattr(self, name), f"{wanted!r}")
        if self.hidden_act not in ACTIVATIONS:
            names = ", ".join(ACTIVATIONS)
            raise unsupported("hidden_act", self.hidden_act, f"one of {names}")
        for heads, width in (
            ("num_attention_heads", self.hidden_size),
            ("decoder_num_attention_heads", self.decoder_hidden_size),
        ):
            if width % getattr(self, heads):
                raise unsupported(heads, getattr(self, heads), f"a divisor of {width}")
        if self.image_size % self.patch_size:
            raise unsupported(
                "image_size", self.image_size, f"a multiple of {self.patch_size}"
            )
        input_shape = (self.image_size, self.image_size, self.num_channels)
        config = {
            "input_shape": list(input_shape),
            "output_activation": "linear",
            "latent_dim": self.hidden_size,
            "mask_ratio": self.mask_ratio,
            "visible_weight": 0.0,
            "network": "mae",
            "patch_size": self.patch_size,
            "num_layers": self.num_hidden_layers,
            "num_heads": self.num_attention_heads,
            "mlp_dim": self.intermediate_size,
            "activation": ACTIVATIONS[self.hidden_act],
            "epsilon": self.layer_norm_eps,
            "normalize_targets": self.norm_pix_loss,
            "channel_mean": list(IMAGENET_MEAN),
            "channel_std": list(IMAGENET_STD),
            **self._decoder(),
        }
        patches = (self.image_size // self.patch_size) ** 2
        tasks = ("reconstruction", "features") if self.has_decoder else ("features",)
        return Conversion(
            family="masked_ae",
            config=config,
            input_shape=input_shape,
            latent_shape=(1 + patches, self.hidden_size),
            tasks=tasks,
            names=NAMES,
            normalization="ImageNet",
        )

    def _decoder(self) -> dict[str, Any]:
        if not self.has_decoder:
            return {"decoder_dim": None}
        return {
            "decoder_dim": self.decoder_hidden_size,
            "decoder_layers": self.decoder_num_hidden_layers,
            "decoder_heads": self.decoder_num_attention_heads,
            "decoder_mlp_dim": self.decoder_intermediate_size,
        }
