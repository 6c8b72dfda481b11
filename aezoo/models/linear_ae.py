"""Linear autoencoder: one linear map each way."""

from typing import Any

from aezoo.models.ae import AE, SMALL_IMAGE
from aezoo.models.arguments import choice, units
from aezoo.networks import Dense, NetworkError
from aezoo.nn.pca import principal_components
from aezoo.registry import register_family


@register_family("linear_ae", network=Dense(()), tiny=SMALL_IMAGE)
class LinearAE(AE):
    """Linear autoencoder, whose optimum under squared error is PCA.

    `z = A x + a`, `x_hat = B z + b`. Baldi & Hornik (1989), "Neural networks and
    principal component analysis" (https://doi.org/10.1016/0893-6080(89)90014-2),
    prove that the global optimum spans the top principal components and that there is
    no other minimum. `fit` finds that subspace by gradient; `fit_closed_form` writes
    the components themselves, orthonormal and by falling variance.

    Args:
        latent_dim: Number of components.
        output_activation: `"linear"`, the default and the only one that is PCA, or
            `"sigmoid"`.
        **kwargs: As in `AE`.
    """

    latent_dim: int = units(32)
    output_activation: str = choice("linear", ("linear", "sigmoid"), is_fixed=True)
    code_activation = "linear"

    def check_arguments(self) -> None:
        """Refuse networks that are no linear map."""
        super().check_arguments()
        if not isinstance(self.network, Dense) or self.network.hidden_units:
            raise NetworkError(
                f"{self.family!r} is one linear map each way: a dense network without "
                f"hidden layers. Received: network={self.network!r}."
            )

    def fit_closed_form(self, x: Any, batch_size: int = 4096) -> "LinearAE":
        """Set the weights to the exact optimum: PCA of examples, in one pass.

        Args:
            x: Array `(n, *input_shape)`, or an iterable of such batches; memory does
                not grow with `n`.
            batch_size: Examples per step where `x` is an array.

        Returns:
            The model itself.
        """
        self.ensure_built()
        pca = principal_components(self, x, batch_size)
        self.encoder.heads["z"].set_weights(
            [pca.components.T, -pca.components @ pca.mean]
        )
        self.decoder.pixels.set_weights([pca.components, pca.mean])
        return self
