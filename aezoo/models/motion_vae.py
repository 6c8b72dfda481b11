"""Motion VAE: what may happen next, given what is seen now."""

from typing import Any

import keras
from keras import ops

from aezoo.modalities import Image, Trajectory
from aezoo.models.arguments import choice, conditions
from aezoo.models.vae import VAE
from aezoo.networks import Motion
from aezoo.networks.base import Latent
from aezoo.registry import register_family

Tensor = Any
PRIORS = ("learned", "standard")
# In what `call` hands on, the vector of what the model is told.
CONTEXT = "context"
TINY_MOTION: dict[str, Any] = {
    "modality": Trajectory(4).to_config(),
    "given": {"image": Image(8, 8, 1).to_config()},
    "latent_dim": 3,
    "hidden_units": (16,),
    "filters": (4, 6),
    "context_units": 8,
}


@register_family(
    "motion_vae",
    network=Motion(),
    modality=Trajectory(),
    tiny=TINY_MOTION,
    given={"image": Image(64, 64, 3)},
    latent_dim=8,
)
class MotionVAE(VAE):
    """Conditional variational autoencoder of motion of Walker et al. (2016).

    "An uncertain future: forecasting from static images using variational
    autoencoders" (https://arxiv.org/abs/1606.07873), equation 4: the negative ELBO of
    `log p(x|c)`, x a trajectory, c an image of the moment before, with `q(z|x, c)` and
    `p(x|c, z)`. One network makes a vector of c, which encoder, decoder and prior
    share. What cannot be seen in c is left to the code: samples for one image are its
    possible futures.

    The learned prior `p(z|c)` is that of Sohn et al. (2015,
    https://papers.nips.cc/paper/5775): a Gaussian whose mean and standard deviation
    follow from c. Codes are in its units: they are standard normal a priori, whatever
    c is, and the decoder moves and scales them before it looks at them. The bound is
    the same, as no KL divergence depends on the units. The paper's own prior is
    standard normal.

    It is such a model of any modality, given anything, on a network that can be told
    something. Batches for `fit` are `(x, {name: condition})`.

    Args:
        given: What the model is told: a modality, or its configuration, by each name.
        prior: `"learned"`, p(z|c); or `"standard"`, the same whatever c is.
        **kwargs: As in `VAE`.
    """

    given: Any = conditions({})
    prior: str = choice("learned", PRIORS, is_fixed=True)

    @property
    def latent(self) -> Latent:
        """A flat latent, of a network that is told something."""
        return Latent(self.latent_dim, is_told=True)

    def create_layers(self) -> None:
        """Create what reads the conditions, encoder, decoder and prior."""
        self.context = self.network.context(self.given)
        super().create_layers()
        self.prior_heads = {
            name: keras.layers.Dense(
                self.latent_dim, kernel_initializer="zeros", name=f"prior_{name}"
            )
            for name in ("mean", "log_var")
            if self.prior == "learned"
        }

    def build_layers(self) -> None:
        """Create all weights."""
        super().build_layers()
        if not self.context.built:
            self.context.build()
            self.context.built = True
        for head in self.prior_heads.values():
            head.build((None, self.context.units))

    def make_context(self, given: dict[str, Tensor], training: bool = False) -> Tensor:
        """The vector of what the model is told, `(batch, units)`, unless it is there.

        Args:
            given: Conditions by name, or what this method made of them.
            training: As in `call`.
        """
        if CONTEXT in given:
            return given[CONTEXT]
        self.check_conditions(given)
        told = {
            name: modality.to_model(given[name], self.compute_dtype)
            for name, modality in self.given.items()
        }
        return self.context(told, training=training)

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; the conditions are read once."""
        given[CONTEXT] = self.make_context(given, training)
        return super().call(inputs, training, sample_seed, **given)

    def prior_parameters(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of p(z|c), float32, `(batch, latent_dim)` each."""
        mean, log_var = (
            ops.cast(self.prior_heads[name](context), "float32")
            for name in ("mean", "log_var")
        )
        return mean, log_var

    def encode_parameters(
        self, x: Tensor, training: bool = False, **given: Tensor
    ) -> dict[str, Tensor]:
        """Mean and log variance of q(z|x, c), in units of the prior; float32."""
        context = self.make_context(given, training)
        found = super().encode_parameters(x, training, context=context)
        if self.prior_heads:
            mean, log_var = self.prior_parameters(context)
            found["z_mean"] = (found["z_mean"] - mean) * ops.exp(-0.5 * log_var)
            found["z_log_var"] = found["z_log_var"] - log_var
        return found

    def decode_parameters(
        self, z: Tensor, training: bool = False, **given: Tensor
    ) -> Tensor:
        """Decoder output for codes in units of the prior; float32."""
        context = self.make_context(given, training)
        if self.prior_heads:
            mean, log_var = self.prior_parameters(context)
            z = mean + ops.exp(0.5 * log_var) * ops.cast(z, "float32")
        return super().decode_parameters(z, training, context=context)
