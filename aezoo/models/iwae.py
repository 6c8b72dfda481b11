"""Variational autoencoders trained on bounds from several samples."""

from typing import Any

from keras import ops

from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import choice, count, number
from aezoo.models.autoencoder import TEST_SEED
from aezoo.models.batches import MASK
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.nn import bounds
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
        num_samples: Codes per example in one bound; 1 is the VAE.
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
    def codes_per_example(self) -> int:
        """Codes that are drawn for each example."""
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
        """Encode once and decode all codes of each example, inside a graph.

        Args:
            inputs: Examples `(batch, *input_shape)`.
            training: Corrupts the input.
            sample_seed: Source of noise; None, when not training, gives all examples
                the same noise and makes `z` the mode.
            **given: As in `Autoencoder`.

        Returns:
            As in `Autoencoder`, with the first code as `z`, and all as `codes`
            `(batch, codes_per_example, latent_dim)` with their `decoder_outputs`. For
            doubly reparameterised gradients also `gate`: see `aezoo.nn.bounds`.
        """
        posterior = self.infer(inputs, training, **given)
        if training and sample_seed is None:
            sample_seed = self.seed_generator
        codes = self._draw_codes(posterior, sample_seed)
        per_example = self.codes_per_example
        extra = {}
        if self.gradient == "doubly_reparameterised":
            codes, gate = bounds.gate_gradient(codes)
            extra["gate"] = ops.reshape(gate, (-1, per_example, 2))
        decoder_outputs = ops.reshape(
            self.decode_parameters(codes, training=training, **self._for_codes(given)),
            (-1, per_example, *self.output_shape),
        )
        codes = ops.reshape(codes, (-1, per_example, *self.latent_shape))
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
        repeats = self.codes_per_example
        return {name: ops.repeat(v, repeats, axis=0) for name, v in given.items()}

    def _draw_codes(self, posterior: Any, sample_seed: Any) -> Tensor:
        """Codes `(batch * codes_per_example, latent_dim)`, an example's together."""
        draws = self.codes_per_example
        if sample_seed is None:
            sample_seed = IndexedNoise(TEST_SEED, is_shared=True)
        if isinstance(sample_seed, IndexedNoise):
            sample_seed = sample_seed.with_draws(draws)
        return self._posterior_of_codes(posterior.parameters()).sample(sample_seed)

    def _posterior_of_codes(self, parameters: dict[str, Tensor]) -> Any:
        repeats = self.codes_per_example
        return self.make_posterior(
            {name: ops.repeat(p, repeats, axis=0) for name, p in parameters.items()}
        )

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        by_example = (-1, self.codes_per_example)
        codes = ops.reshape(outputs["codes"], (-1, *self.latent_shape))
        decoded = ops.reshape(outputs["decoder_outputs"], (-1, *self.output_shape))
        targets = ops.repeat(x, self.codes_per_example, axis=0)
        is_doubly = self.gradient == "doubly_reparameterised"
        parameters = self.make_posterior(outputs).parameters()
        if is_doubly:  # the encoder learns through the codes alone
            parameters = {name: ops.stop_gradient(p) for name, p in parameters.items()}
        log_q = self._posterior_of_codes(parameters).log_prob(codes)
        hidden = outputs.get(MASK)
        if hidden is not None:
            hidden = ops.repeat(hidden, self.codes_per_example, axis=0)
        nll = -self.log_prob_given_code(targets, decoded, hidden)
        nll = ops.reshape(nll, by_example)
        log_ratio = ops.reshape(log_q - self.log_prior(codes), by_example)
        kl_weight = self.term_weights()["kl"]
        if step is not None:
            kl_weight = kl_weight * self.loss_schedule(step).get("kl", 1.0)
        log_weights = -(nll + kl_weight * log_ratio)  # (batch, codes_per_example)
        shape = self.num_samples, self._elbo_share
        elbo = ops.mean(log_weights, axis=1)
        bound = bounds.importance_weighted_bound(log_weights, *shape)
        terms["reconstruction"] = ops.mean(nll, axis=1)
        terms["kl"] = ops.mean(log_ratio, axis=1)
        terms["tightening"] = elbo - bound
        if is_doubly:
            gradients = bounds.doubly_reparameterised(
                log_weights, outputs["gate"], *shape
            )
            for name in ("reconstruction", "kl", "tightening"):
                terms[name] = ops.stop_gradient(terms[name])
            terms["tightening"] = terms["tightening"] - gradients
        return terms

    @property
    def _elbo_share(self) -> float:
        return self.elbo_weight if self.bound == "ciwae" else 0.0
