"""Masked autoencoder: a transformer that completes images from some patches."""

import functools
import math
from typing import Any

import numpy as np
from keras import ops

from aezoo.models.ae import AE
from aezoo.models.arguments import Argument, flag, units, weight
from aezoo.networks import Latent, NetworkError, ViT
from aezoo.networks.mae import NoDecoder
from aezoo.networks.vit import PatchNetwork, to_patches
from aezoo.nn.distributions import IndexedNoise
from aezoo.registry import register_family
from aezoo.utils.validation import check_number

Tensor = Any
# Added to the variance of a patch, so that flat ones have a finite weight.
VARIANCE_FLOOR = 0.01
TINY: dict[str, Any] = {
    "input_shape": (8, 8, 1),
    "latent_dim": 6,
    "patch_size": 4,
    "mask_ratio": 0.5,
    "visible_weight": 1.0,
    "num_layers": 1,
    "num_heads": 2,
    "decoder_dim": 8,
}


@register_family("masked_ae", network=ViT(), tiny=TINY)
class MaskedAE(AE):
    """Masked autoencoder (MAE) of He et al. (2021).

    "Masked autoencoders are scalable vision learners"
    (https://arxiv.org/abs/2111.06377), section 3: in training a transformer encodes a
    random part of the image's patches, and a smaller one decodes them, with one
    learned token in place of each hidden patch. `reconstruction` is the error on the
    hidden patches, `visible` that on the others, each as the mean over such patches
    times their number in the image. Without training (`encode`, `reconstruct`)
    nothing is hidden, and both are the error of the whole image.

    The code is one vector per patch, `(patches, latent_dim)`, row by row, so that
    `decode` gives an image back. On the network `"mae"`, that of the published weights
    which `aezoo.load` converts, one vector of the class token stands before them.
    `inpaint` draws patches that are hidden. The paper trains on hidden patches alone
    (`visible_weight=0`); its decoder then never learns to draw what it sees, and
    `reconstruct` is poor. Positions are encoded by sines, as in the paper.

    Args:
        latent_dim: Units of the code of one patch, and width of the encoder.
        mask_ratio: Share of patches to hide in training; at least one is hidden, and
            at least one is not.
        visible_weight: Weight of the error on visible patches.
        normalize_patches: Divides each patch's error by its variance, as predicting
            normalised pixels does (with 0.01 added to the variance), while `decode`
            still answers with pixels. Needs `reconstruction_loss="mse"`.
        **kwargs: As in `AE`. `"ms_ssim"` is that of the whole
            image, whatever is hidden.
    """

    latent_dim: int = units(64)
    mask_ratio: float = Argument(
        0.75,
        lambda name, value: check_number(name, value, low=0.0, high=1.0),
        is_fixed=True,
    )  # type: ignore[assignment]
    visible_weight: float = weight(0.1)
    normalize_patches: bool = flag(False)
    code_activation = "linear"

    def create_layers(self) -> None:
        """Create encoder and decoder; without a decoder, features are all there is."""
        super().create_layers()
        if isinstance(self.decoder, NoDecoder):
            self.TASKS = ("features",)  # type: ignore[misc]

    def check_arguments(self) -> None:
        """Refuse other networks than transformers of patches."""
        super().check_arguments()
        network = self.network
        if not isinstance(network, PatchNetwork) or not network.hides_patches:
            raise NetworkError(
                f"{self.family!r} hides patches from a transformer: it needs the "
                "network 'vit', with `dim=None`, or 'mae'. Received: "
                f"network={network!r}."
            )
        if self.normalize_patches and self.reconstruction_loss != "mse":
            raise ValueError(
                "`normalize_patches=True` needs `reconstruction_loss='mse'`. "
                f"Received: reconstruction_loss={self.reconstruction_loss!r}."
            )

    @property
    def latent(self) -> Latent:
        """A vector per patch."""
        return Latent(self.latent_dim, is_map=True, is_masked=True)

    @property
    def patches(self) -> PatchNetwork:
        """The network."""
        return self.network  # type: ignore[return-value]

    @property
    def patch_size(self) -> int:
        """Height and width of a patch."""
        return self.patches.patch_size

    @property
    def num_patches(self) -> int:
        """Number of patches of an example."""
        return math.prod(self.patches.grid(self.modality))

    @property
    def num_visible(self) -> int:
        """Number of patches that training does not hide."""
        visible = self.num_patches - round(self.mask_ratio * self.num_patches)
        return min(max(visible, 1), self.num_patches - 1)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {**super().loss_weights, "visible": self.visible_weight}

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """Encode and decode a batch inside a graph, as in `Autoencoder`.

        Args:
            inputs: Images `(batch, *input_shape)`: floats in [0, 1] or uint8.
            training: Hides patches (and corrupts the input).
            sample_seed: Hides patches also when not training, by this source.
            **given: As in `Autoencoder`.

        Returns:
            As in `Autoencoder`, and `hidden`, 1 for each hidden patch and else 0,
            `(batch, patches)`. Hidden patches have the mask token as their code.
        """
        if sample_seed is None and not training:
            outputs = super().call(inputs, **given)
            hidden = ops.zeros((ops.shape(inputs)[0], self.num_patches), "float32")
            return {**outputs, "hidden": hidden}
        x = self.to_input(inputs, training)
        noise = self.noise((ops.shape(x)[0], self.num_patches), training, sample_seed)
        rank = ops.argsort(ops.argsort(noise, axis=1), axis=1)  # (batch, patches)
        return self.call_in_part(x, rank, self.num_visible, training)

    def call_in_part(
        self, x: Tensor, rank: Tensor, num_visible: int, training: bool = False
    ) -> dict[str, Tensor]:
        """Encode some patches of a batch, and decode all.

        Args:
            x: Tensors of examples.
            rank: An order of the patches, `(batch, patches)`.
            num_visible: The first so many are seen.
            training: As in `call`.

        Returns:
            As `call`.
        """
        z = self.encoder(x, rank=rank, num_visible=num_visible)["z"]
        hidden = rank >= num_visible
        decoder_output = self.decode_parameters(z, training=training, hidden=hidden)
        return {
            "x_hat": self.point(decoder_output),
            "decoder_output": decoder_output,
            "z": ops.cast(z, "float32"),
            "hidden": ops.cast(hidden, "float32"),
        }

    def inpaint_step(
        self,
        x: np.ndarray,
        hidden: np.ndarray,
        noise: IndexedNoise,
        share: float,
        candidates: int,
        **given: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is hidden from the patches that are known as a whole, at once.

        As in `AE` for examples without such a patch.
        """
        values = hidden[..., None].astype("float32")
        patches = ops.convert_to_numpy(to_patches(values, self.patch_size))
        is_hidden = patches.max(axis=2) > 0.5
        rank = np.argsort(np.argsort(is_hidden, axis=1, kind="stable"), axis=1)
        visible = self.num_patches - is_hidden.sum(axis=1)
        found = np.empty_like(x)
        if not visible.all():
            found, _ = super().inpaint_step(
                x, hidden, noise, share, candidates, **given
            )
        for count in np.unique(visible[visible > 0]):
            rows = visible == count
            graph = functools.partial(self._graph_complete, num_visible=int(count))
            found[rows] = self.run_graph(
                ("complete", int(count)),
                graph,
                np.ascontiguousarray(x[rows]),
                256,
                rank=rank[rows].astype("int32"),
            )
        return found, found

    def _graph_complete(self, x: Tensor, rank: Tensor, num_visible: int) -> Tensor:
        x = self.to_tensors(x, self.compute_dtype)
        return self.call_in_part(x, rank, num_visible)["x_hat"]

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        if self.reconstruction_loss == "ms_ssim":  # of the image, not of patches
            return {**terms, "visible": terms["reconstruction"]}
        errors, hidden = self.patch_errors(x, outputs), outputs["hidden"]
        for name, chosen in (("reconstruction", hidden), ("visible", 1.0 - hidden)):
            count = ops.sum(chosen, axis=1, keepdims=True)
            # of the whole image, where there are none of these
            chosen = ops.where(count > 0.0, chosen, 1.0)
            share = ops.sum(errors * chosen, axis=1) / ops.sum(chosen, axis=1)
            terms[name] = self.num_patches * share
        return terms

    def patch_errors(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """Reconstruction loss of each patch, summed over its pixels.

        Args:
            x: Target images in [0, 1], float32, shape `(batch, *input_shape)`.
            outputs: What `call` returned.

        Returns:
            Shape `(batch, patches)`.
        """
        # What fills the image up has no error: logits of 0, and pixels of 0.
        fill = {"x_hat": 0.0, "decoder_output": -100.0}
        flat = {
            name: to_patches(outputs[name], self.patch_size, value)
            for name, value in fill.items()
        }
        target = self.patches.targets(to_patches(x, self.patch_size))
        flat["x_hat"] = self.patches.predictions(flat["x_hat"])
        width = target.shape[-1]
        errors = self.reconstruction_term(
            ops.reshape(target, (-1, width)),
            {name: ops.reshape(v, (-1, width)) for name, v in flat.items()},
        )
        errors = ops.reshape(errors, (-1, self.num_patches))
        if self.normalize_patches:
            errors = errors / (ops.var(target, axis=-1) + VARIANCE_FLOOR)
        return errors
