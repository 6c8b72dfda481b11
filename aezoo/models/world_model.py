"""World model: a latent space to live in, with what follows what is done there."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.modalities import Image, Label, Modality, Numbers, from_config
from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import Argument, units
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.nn.distributions import Posterior
from aezoo.nn.layers.dynamics import MixtureDynamics
from aezoo.registry import register_family
from aezoo.utils.arrays import to_numpy
from aezoo.utils.validation import check_number, check_positive_int, check_seed

Tensor = Any
# Episodes only say which examples follow each other.
ANY_EPISODE = 2**31 - 1


def check_actions(name: str, value: Any) -> Numbers:
    """What is done at each step, as a modality.

    Args:
        name: The argument.
        value: A `Numbers`, or its configuration.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(value, Mapping):
        value = from_config(dict(value))
    if not isinstance(value, Numbers):
        raise ValueError(
            f"`{name}` must be an `aezoo.modalities.Numbers`, the ranges of what can "
            f"be done. Received: {name}={value!r:.200}."
        )
    return value


@register_family(
    "world_model",
    network=Conv(),
    modality=Image(64, 64, 3),
    tiny={**TINY_CONV, "dynamics_units": 6, "dynamics_components": 2},
)
class WorldModel(VAE):
    """Variational autoencoder of what is seen, and the dynamics of its codes.

    Ha & Schmidhuber (2018), "World models" (https://arxiv.org/abs/1803.10122), without
    their controller: V, a VAE of single frames, and M, a recurrent network that gives
    the density of the next code, given the action and all that was before, as a mixture
    of Gaussians of each unit. M is of the change of the code, which is nearer to zero
    than the code itself, and learns after V: `fit(frames)`, then `fit_dynamics`.

    `training.train` takes actions and episodes from the dataset (`given_action`,
    `given_episode`), and fits both.

    Args:
        actions: What is done at each step: an `aezoo.modalities.Numbers`.
        dynamics_units: Units of the recurrent network.
        dynamics_components: Gaussians of a mixture.
        **kwargs: As in `VAE`.
    """

    actions: Any = Argument(Numbers((-1.0,), (1.0,)), check_actions, is_fixed=True)
    dynamics_units: int = units(256)
    dynamics_components: int = units(5)

    @property
    def told_in_training(self) -> Mapping[str, Modality]:
        """What was done at each example, and in which episode; `fit` needs neither."""
        return {"action": self.actions, "episode": Label(ANY_EPISODE)}

    def create_layers(self) -> None:
        """Create encoder, decoder and dynamics, which `fit` does not train."""
        super().create_layers()
        self.dynamics = MixtureDynamics(
            self.latent_dim,
            self.dynamics_units,
            self.dynamics_components,
            name="dynamics",
        )
        self.dynamics.trainable = False

    def build_layers(self) -> None:
        """Create all weights, those of the dynamics among them."""
        super().build_layers()
        if not self.dynamics.built:
            self.dynamics.build((None, None, self.latent_dim + self.actions.channels))
            self.dynamics.built = True

    def infer(
        self, inputs: Tensor, training: bool = False, **told: Tensor
    ) -> Posterior:
        """The posterior of single examples, whatever was done."""
        del told
        return super().infer(inputs, training)

    def decode_parameters(
        self, z: Tensor, training: bool = False, **told: Tensor
    ) -> Tensor:
        """As in `Autoencoder`, whatever was done."""
        del told
        return super().decode_parameters(z, training)

    # --- Learning what follows --------------------------------------------------------

    def finish(
        self, x: np.ndarray, told: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Fit the dynamics, if it is known what was done; see `fit_dynamics`."""
        if told is not None:
            self.fit_dynamics(x, told["action"], told["episode"])

    def fit_dynamics(
        self,
        x: Any,
        actions: Any,
        episodes: Any,
        *,
        epochs: int = 40,
        steps: int = 32,
        batch_size: int = 32,
        learning_rate: float = 2e-3,
        seed: int = 0,
    ) -> list[float]:
        """Learn what follows what, from codes that are drawn anew in each epoch.

        Args:
            x: Examples `(n, *input_shape)`, in the order of time.
            actions: What was done after each, `(n, numbers of an action)`.
            episodes: Integers `(n,)`: an example follows the one before where both are
                of the same episode.
            epochs: Passes over all episodes.
            steps: Longest stretch of an episode that is learnt from at once.
            batch_size: Stretches of a step of the optimiser.
            learning_rate: At the start, of Adam; falls to 0 along a cosine.
            seed: Of codes and order.

        Returns:
            Mean negative log density of the next code, in nats, of each epoch.

        Raises:
            ValueError: If shapes or values are wrong, or nothing follows anything.
        """
        epochs, steps, batch_size = (
            check_positive_int(name, value)
            for name, value in (
                ("epochs", epochs),
                ("steps", steps),
                ("batch_size", batch_size),
            )
        )
        check_number("learning_rate", learning_rate, above=0.0)
        parameters = self.run("encode_parameters", self.modality.check(x), 256)
        mean = parameters["z_mean"]
        std = np.exp(0.5 * parameters["z_log_var"])
        told = self._check_told(len(mean), actions, episodes)
        spans = list(stretches(told["episode"], steps))
        if not spans:
            raise ValueError(
                "`episodes` holds no two examples of the same episode that follow each "
                f"other. Received: {len(mean)} examples."
            )
        trainer = _Trainer(self.dynamics)
        updates = epochs * -(-len(spans) // batch_size)
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, updates)
        trainer.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss=trainer.loss_of)
        generator = np.random.default_rng(check_seed(seed))
        history = []
        self.dynamics.trainable = True
        try:
            for _ in range(epochs):
                noise = generator.standard_normal(mean.shape).astype("float32")
                z = mean + std * noise
                found = _windows(z, told["action"], spans, steps)
                order = generator.permutation(len(spans))
                inputs, changes, weights = (part[order] for part in found)
                logs = trainer.fit(
                    inputs,
                    changes,
                    sample_weight=weights,
                    batch_size=batch_size,
                    shuffle=False,
                    verbose=0,
                )
                share = weights.size / weights.sum()  # Keras counts what is empty
                history.append(share * logs.history["loss"][0])
        finally:
            self.dynamics.trainable = False
        return history

    def _check_told(self, n: int, actions: Any, episodes: Any) -> dict[str, np.ndarray]:
        known = self.told_in_training
        return {
            name: self.check_given(name, value, n, known)
            for name, value in (("action", actions), ("episode", episodes))
        }

    def next_log_prob(self, z: Any, actions: Any, episodes: Any) -> np.ndarray:
        """Log density of each code that follows another one, given all before.

        Args:
            z: Codes `(n, latent_dim)`, in the order of time.
            actions: As in `fit_dynamics`.
            episodes: As there.

        Returns:
            Nats, one for each code that follows another: float32.

        Raises:
            ValueError: If shapes or values are wrong.
        """
        z = self.check_codes(z)
        told = self._check_told(len(z), actions, episodes)
        longest = len(z)
        spans = list(stretches(told["episode"], longest))
        if not spans:
            return np.empty(0, "float32")
        steps = max(stop - start for start, stop in spans)
        inputs, changes, weights = _windows(z, told["action"], spans, steps)
        found = self.run("next_log_prob", inputs, 64, change=changes)
        return np.asarray(found[weights > 0])

    def _graph_next_log_prob(self, inputs: Tensor, change: Tensor) -> Tensor:
        return self.dynamics.log_prob(self.dynamics(inputs), change)

    # --- Living in it -----------------------------------------------------------------

    def remember(self, z: Any, actions: Any) -> np.ndarray:
        """What the recurrent network knows after each step, for a controller.

        Args:
            z: Codes `(n, steps, latent_dim)`, or of one sequence without `n`.
            actions: What was done at each, `(n, steps, numbers of an action)`.

        Returns:
            Float32, `(n, steps, dynamics_units)`.

        Raises:
            ValueError: If shapes or values are wrong.
        """
        codes = to_numpy(z, "float32")
        is_single = codes.ndim == 2
        codes = codes[None] if is_single else codes
        if codes.ndim != 3:
            raise ValueError(
                f"`z` must have shape (n, steps, {self.latent_dim}). Received: "
                f"z.shape={codes.shape}."
            )
        done = self._check_sequences(actions, codes.shape[:2])
        self.check_codes(codes.reshape(-1, codes.shape[-1]))
        found = self.run("remember", np.concatenate([codes, done], axis=-1), 64)
        return np.asarray(found[0] if is_single else found)

    def _graph_remember(self, inputs: Tensor) -> Tensor:
        return self.dynamics.states(inputs)

    def advance(
        self, z: Any, action: Any, state: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """What is known after one step, for a controller that lives in real time.

        Args:
            z: Codes of what is seen, `(n, latent_dim)`.
            action: What is done then, `(n, numbers of an action)`.
            state: What was known before; None at the beginning.

        Returns:
            `hidden`, what `remember` gives for such a sequence, and `cell`, both
            `(n, dynamics_units)`.

        Raises:
            ValueError: If a shape or a value is wrong.
        """
        codes = self.check_codes(z)
        done = self.check_given("action", action, len(codes), self.told_in_training)
        zeros = np.zeros((len(codes), self.dynamics_units), "float32")
        state = state or {"hidden": zeros, "cell": zeros}
        still = np.zeros_like(codes)
        found = self._step(codes, done, state, still, still, np.ones(len(codes)))
        return {name: found[name] for name in ("hidden", "cell")}

    def _step(
        self,
        z: np.ndarray,
        action: np.ndarray,
        state: Mapping[str, np.ndarray],
        share: np.ndarray,
        noise: np.ndarray,
        heat: np.ndarray,
    ) -> Any:
        return self.run(
            "dream",
            z,
            256,
            action=np.ascontiguousarray(action),
            hidden=state["hidden"],
            cell=state["cell"],
            share=share,
            noise=noise,
            temperature=heat.astype("float32"),
        )

    def dream(
        self, z: Any, actions: Any, seed: int | None = None, *, temperature: float = 1.0
    ) -> np.ndarray:
        """What is seen in a dream, from codes on, if one does certain things.

        Args:
            z: Codes to begin at, `(n, latent_dim)`, or one.
            actions: What is done at each step, `(n, steps, numbers of an action)`, or
                for all alike without `n`.
            seed: Same seed, same dream, on every backend up to rounding. None draws
                afresh.
            temperature: Above 0; below 1 what follows is surer than it is.

        Returns:
            Examples `(n, steps, *input_shape)`, or without `n` for one code; of images
            float32 in [0, 1]. The first is what follows the first action.

        Raises:
            ValueError: If a shape is wrong, or an action is out of its range.
        """
        codes = to_numpy(z)
        is_single = codes.shape == self.latent_shape
        path = self.dream_codes(z, actions, seed, temperature=temperature)
        path = path[None] if is_single else path
        frames = self.decode_grid(path, "float32")
        return frames[0] if is_single else frames

    def dream_codes(
        self, z: Any, actions: Any, seed: int | None = None, *, temperature: float = 1.0
    ) -> np.ndarray:
        """The codes of `dream`, `(n, steps, latent_dim)`; arguments as there."""
        codes = to_numpy(z)
        is_single = codes.shape == self.latent_shape
        state = self.check_codes(codes[None] if is_single else codes)
        n = len(state)
        done = to_numpy(actions)
        if done.ndim == 2:
            done = np.broadcast_to(done, (n, *done.shape))
        done = self._check_sequences(done, (n, done.shape[1] if done.ndim > 1 else 0))
        heat = np.full(
            n, check_number("temperature", temperature, above=0.0), "float32"
        )
        generator = np.random.default_rng(check_seed(seed))
        zeros = np.zeros((n, self.dynamics_units), "float32")
        known, path = {"hidden": zeros, "cell": zeros}, []
        for action in done.swapaxes(0, 1):
            share, noise = (
                draw(state.shape).astype("float32")
                for draw in (generator.random, generator.standard_normal)
            )
            known = self._step(state, action, known, share, noise, heat)
            state = known["z"]
            path.append(state)
        dreamt = np.stack(path, axis=1)
        return dreamt[0] if is_single else dreamt

    def _graph_dream(
        self,
        z: Tensor,
        action: Tensor,
        hidden: Tensor,
        cell: Tensor,
        share: Tensor,
        noise: Tensor,
        temperature: Tensor,
    ) -> dict[str, Tensor]:
        inputs = ops.concatenate([z, action], axis=-1)
        parameters, states = self.dynamics.step(inputs, [hidden, cell])
        heat = temperature[:, None]
        change = self.dynamics.draw(parameters, share, noise, heat)
        return {"z": z + change, "hidden": states[0], "cell": states[1]}

    def _check_sequences(self, actions: Any, shape: tuple[int, ...]) -> np.ndarray:
        done = to_numpy(actions)
        size = self.actions.channels
        if done.shape != (*shape, size) or 0 in done.shape:
            raise ValueError(
                f"`actions` must have shape (n, steps, {size}), of as many sequences "
                f"and steps as there are codes. Received: actions.shape={done.shape}."
            )
        flat = self.actions.check(done.reshape(-1, size), "actions")
        return flat.reshape(done.shape)


class _Trainer(keras.Model):
    """The dynamics by themselves, to be fitted by Keras."""

    def __init__(self, dynamics: MixtureDynamics) -> None:
        super().__init__(name="dynamics_trainer")
        self.dynamics = dynamics

    def call(self, inputs: Tensor) -> Tensor:
        """Parameters of what follows each step."""
        return self.dynamics(inputs)

    def loss_of(self, change: Tensor, parameters: Tensor) -> Tensor:
        """Negative log density, `(batch, steps)`."""
        return -self.dynamics.log_prob(parameters, ops.cast(change, "float32"))


def stretches(episodes: np.ndarray, steps: int) -> Iterator[tuple[int, int]]:
    """Where examples follow each other: start and end of stretches.

    Args:
        episodes: Integers `(n,)`.
        steps: Pairs of an example and the next one in a stretch, at most.

    Yields:
        `(start, stop)`: example `i + 1` follows `i` for `i` from start to stop - 1.
    """
    follows = episodes[1:] == episodes[:-1]
    start = 0
    while start < len(follows):
        if not follows[start]:
            start += 1
            continue
        stop = start
        while stop < len(follows) and follows[stop] and stop - start < steps:
            stop += 1
        yield start, stop
        start = stop


def _windows(
    z: np.ndarray, actions: np.ndarray, spans: list[tuple[int, int]], steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes with actions, changes that follow, and which steps there are."""
    inputs = np.zeros((len(spans), steps, z.shape[1] + actions.shape[1]), "float32")
    changes = np.zeros((len(spans), steps, z.shape[1]), "float32")
    weights = np.zeros((len(spans), steps), "float32")
    both = np.concatenate([z, actions], axis=1)
    for row, (start, stop) in enumerate(spans):
        length = stop - start
        inputs[row, :length] = both[start:stop]
        changes[row, :length] = z[start + 1 : stop + 1] - z[start:stop]
        weights[row, :length] = 1.0
    return inputs, changes, weights
