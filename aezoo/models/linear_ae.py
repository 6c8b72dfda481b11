"""Linear autoencoder: one linear layer each way."""

from collections.abc import Sequence
from typing import Any, ClassVar

from aezoo.models.autoencoder import DeterministicAutoencoder
from aezoo.nn.layers import DenseDecoder, DenseEncoder
from aezoo.nn.pca import principal_components
from aezoo.registry import register_family


@register_family("linear_ae")
class LinearAE(DeterministicAutoencoder):
    """Linear autoencoder, whose optimum under squared error is PCA.

    `z = A x + a`, `x_hat = B z + b`. Baldi & Hornik (1989), "Neural networks and
    principal component analysis" (https://doi.org/10.1016/0893-6080(89)90014-2),
    prove that the global optimum spans the top principal components and that there is
    no other minimum. `fit` finds that subspace by gradient; `fit_closed_form` writes
    the components themselves, orthonormal and by falling variance.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of components.
        output_activation: `"linear"`, the default and the only one that is PCA, or
            `"sigmoid"`.
        **kwargs: As in `DeterministicAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {"input_shape": (8, 8, 1), "latent_dim": 3}

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 32,
        *,
        output_activation: str = "linear",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_shape, latent_dim, output_activation=output_activation, **kwargs
        )
        self.encoder = DenseEncoder((), "linear", latent_dim, self.HEADS)
        self.decoder = DenseDecoder((), "linear", self.input_shape)

    def fit_closed_form(self, images: Any, batch_size: int = 4096) -> "LinearAE":
        """Set the weights to the exact optimum: PCA of `images`, in one pass.

        Args:
            images: Array `(n, *input_shape)`, uint8 or floats in [0, 1], or an
                iterable of such batches; memory does not grow with `n`.
            batch_size: Images per step where `images` is an array.

        Returns:
            The model itself.
        """
        self._ensure_built()
        pca = principal_components(self, images, batch_size)
        self.encoder.heads["z"].set_weights(
            [pca.components.T, -pca.components @ pca.mean]
        )
        self.decoder.pixels.set_weights([pca.components, pca.mean])
        return self
