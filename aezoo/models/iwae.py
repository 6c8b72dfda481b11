"""Variational autoencoders trained on bounds from several samples."""

import math
from typing import Any

from keras import ops

from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import choice, count, number
from aezoo.models.autoencoder import TEST_SEED
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.nn import losses
from aezoo.nn.distributions import IndexedNoise
from aezoo.registry import register_family

Tensor = Any
BOUNDS = ("iwae", "miwae", "ciwae")
GRADIENTS = ("standard", "doubly_reparameterised")


@register_family("iwae", network=Conv(), tiny={**TINY_CONV, "num_samples": 3})
class IWAE(VAE):
    """Importance-weighted autoencoder of Burda et al. (2016), and its relatives.

    "Importance weighted autoencoders" (https://arxiv.org/abs/1509.00519), equation 8:
    the log of the mean of `w = p(x|z) p(z) / q(z|x)` over `num_samples` codes bounds
    `log p(x)` more tightly than the ELBO, the mean of `log w`. Rainforth et al.
    (2018), "Tighter variational bounds are not necessarily better"
    (https://arxiv.org/abs/1802.04537), give the encoder a stronger signal: `"miwae"`
    is the mean of `num_bounds` such bounds (equation 11), `"ciwae"` is
    `elbo_weight` times the ELBO plus the rest of one bound (equation 13).

    `loss` is the negative bound, in three terms: `reconstruction` and `kl`, means
    over all samples whose sum is the negative ELBO, and `tightening`, what the bound
    gains on it, at most 0. All are estimates from samples, `kl` too. With `beta`,
    `w` is `p(x|z) (p(z) / q(z|x))**beta`.

    Args:
        bound: `"iwae"`, `"miwae"` or `"ciwae"`.
        num_samples: Codes per image in one bound; 1 is the VAE.
        num_bounds: Bounds of the mean in `"miwae"`; unused for the others.
        elbo_weight: Share of the ELBO in `"ciwae"`; unused for the others.
        gradient: `"standard"`, the derivative of the bound; or
            `"doubly_reparameterised"`, the encoder's gradient of Tucker et al. (2019),
            equation 8 (https://arxiv.org/abs/1810.04152): as unbiased, and its signal
            does not vanish among the noise as samples grow.
        **kwargs: As in `VAE`.
    """

    bound: str = choice("iwae", BOUNDS)
    num_samples: int = count(50, low=1)
    num_bounds: int = count(8, low=1)
    elbo_weight: float = number(0.5, low=0.0, high=1.0)
    gradient: str = choice("standard", GRADIENTS)

    @property
    def codes_per_image(self) -> int:
        """Codes that are drawn for each image."""
        return self.num_samples * (self.num_bounds if self.bound == "miwae" else 1)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {**super().loss_weights, "tightening": 1.0}

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """Encode once and decode all codes of each image, inside a graph.

        Args:
            inputs: Images `(batch, *input_shape)`: floats in [0, 1] or uint8.
            training: Corrupts the input.
            sample_seed: Source of noise; None, when not training, gives all images
                the same noise and makes `z` the mode.
            **given: As in `Autoencoder`.

        Returns:
            As in `Autoencoder`, with the first code as `z`, and all as `codes`
            `(batch, codes_per_image, latent_dim)` with their `decoder_outputs`. For
            doubly reparameterised gradients also `gate`: see `gate_gradient`.
        """
        posterior = self.infer(inputs, training, **given)
        if training and sample_seed is None:
            sample_seed = self.seed_generator
        codes = self._draw_codes(posterior, sample_seed)
        per_image = self.codes_per_image
        extra = {}
        if self.gradient == "doubly_reparameterised":
            codes, gate = gate_gradient(codes)
            extra["gate"] = ops.reshape(gate, (-1, per_image, 2))
        decoder_outputs = ops.reshape(
            self.decode_parameters(codes, training=training, **self._for_codes(given)),
            (-1, per_image, *self.output_shape),
        )
        codes = ops.reshape(codes, (-1, per_image, *self.latent_shape))
        z, decoder_output = codes[:, 0], decoder_outputs[:, 0]
        if sample_seed is None:
            z = posterior.mode()
            decoder_output = self.decode_parameters(z, **given)
        return {
            "x_hat": self.point(decoder_output),
            "decoder_output": decoder_output,
            **posterior.parameters(),
            "z": z,
            "codes": codes,
            "decoder_outputs": decoder_outputs,
            **extra,
        }

    def _for_codes(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        repeats = self.codes_per_image
        return {name: ops.repeat(v, repeats, axis=0) for name, v in given.items()}

    def _draw_codes(self, posterior: Any, sample_seed: Any) -> Tensor:
        """Codes `(batch * codes_per_image, latent_dim)`, an image's codes together."""
        draws = self.codes_per_image
        if sample_seed is None:
            sample_seed = IndexedNoise(TEST_SEED, is_shared=True)
        if isinstance(sample_seed, IndexedNoise):
            sample_seed = sample_seed.with_draws(draws)
        return self._posterior_of_codes(posterior.parameters()).sample(sample_seed)

    def _posterior_of_codes(self, parameters: dict[str, Tensor]) -> Any:
        repeats = self.codes_per_image
        return self.make_posterior(
            {name: ops.repeat(p, repeats, axis=0) for name, p in parameters.items()}
        )

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        by_image = (-1, self.codes_per_image)
        codes = ops.reshape(outputs["codes"], (-1, *self.latent_shape))
        decoded = ops.reshape(outputs["decoder_outputs"], (-1, *self.output_shape))
        targets = ops.repeat(x, self.codes_per_image, axis=0)
        is_doubly = self.gradient == "doubly_reparameterised"
        parameters = self.make_posterior(outputs).parameters()
        if is_doubly:  # the encoder learns through the codes alone
            parameters = {name: ops.stop_gradient(p) for name, p in parameters.items()}
        log_q = self._posterior_of_codes(parameters).log_prob(codes)
        nll = ops.reshape(-self.make_likelihood(decoded).log_prob(targets), by_image)
        log_ratio = ops.reshape(log_q - self.log_prior(codes), by_image)
        kl_weight = self.term_weights()["kl"]
        if step is not None:
            kl_weight = kl_weight * self.loss_schedule(step).get("kl", 1.0)
        log_weights = -(nll + kl_weight * log_ratio)  # (batch, codes_per_image)
        elbo = ops.mean(log_weights, axis=1)
        bound = self.bound_of(log_weights)
        terms["reconstruction"] = ops.mean(nll, axis=1)
        terms["kl"] = ops.mean(log_ratio, axis=1)
        terms["tightening"] = elbo - bound
        if is_doubly:
            gradients = self._doubly_reparameterised(log_weights, outputs["gate"])
            for name in ("reconstruction", "kl", "tightening"):
                terms[name] = ops.stop_gradient(terms[name])
            terms["tightening"] = terms["tightening"] - gradients
        return terms

    def bound_of(self, log_weights: Tensor) -> Tensor:
        """The bound on log p(x) from log weights `(batch, codes_per_image)`."""
        elbo = ops.mean(log_weights, axis=1)
        # relative to the ELBO, so that what the bound gains keeps its digits
        centred = self._by_bound(log_weights - elbo[:, None])
        gain = ops.logsumexp(centred, axis=-1) - math.log(self.num_samples)
        return elbo + (1.0 - self._elbo_share) * ops.mean(gain, axis=-1)

    @property
    def _elbo_share(self) -> float:
        return self.elbo_weight if self.bound == "ciwae" else 0.0

    def _by_bound(self, values: Tensor) -> Tensor:
        """`(batch, codes_per_image)` to `(batch, bounds, num_samples)`."""
        bounds = self.codes_per_image // self.num_samples
        return ops.reshape(values, (-1, bounds, self.num_samples))

    def _doubly_reparameterised(self, log_weights: Tensor, gate: Tensor) -> Tensor:
        """Zeros `(batch,)` with the gradient of the bound by Tucker et al. (2019).

        With normalised weights `v`, the decoder's gradient is that of
        `sum(v * log w)` and the encoder's has `v**2` in place of `v`, through the
        codes alone (equation 8). The ELBO is the bound of one sample, where `v` is 1.
        """
        rest, share = 1.0 - self._elbo_share, self._elbo_share
        v = ops.softmax(self._by_bound(log_weights), axis=-1)
        v = ops.reshape(ops.stop_gradient(v), (-1, self.codes_per_image))
        one = 1.0 / self.num_samples
        decoder = share * one + rest * v
        encoder = share * one + rest * ops.square(v)
        ratio = encoder / ops.maximum(decoder, 1e-30)
        bounds = self.codes_per_image // self.num_samples
        surrogate = ops.sum(decoder * log_weights, axis=1) / bounds
        zeros = losses.sum_per_example(
            gate * ops.stack([ratio, ops.ones_like(ratio)], axis=-1)
        )
        return surrogate - ops.stop_gradient(surrogate) + zeros


def gate_gradient(z: Tensor) -> tuple[Tensor, Tensor]:
    """Codes whose gradient is scaled by a number that is known only later.

    The encoder's gradient is to be weighted by what the decoder makes of the codes.
    So two zeros per code are returned beside the codes: whoever adds `a` times the
    first and `b` times the second to the objective scales the gradient that passes
    back through the codes by `a / b`. (Derivatives are linear, so `b` takes along
    whatever the objective is scaled with; where it is 0, so is the gradient.)

    Args:
        z: Codes `(n, latent_dim)`.

    Returns:
        The codes, and zeros `(n, 2)`.
    """

    def gate(z: Tensor) -> Any:
        def backward(*upstream: Tensor) -> Tensor:
            (gradient,) = upstream
            scale, unit = gradient[:, -2:-1], gradient[:, -1:]
            is_used = unit != 0.0
            scale = ops.where(is_used, scale / ops.where(is_used, unit, 1.0), 0.0)
            return scale * gradient[:, :-2]

        return ops.pad(z, ((0, 0), (0, 2))), backward

    gated = ops.custom_gradient(gate)(z)
    return gated[:, :-2], gated[:, -2:]
