"""The posterior of examples, computed by exported graphs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from aezoo.engines.entry import PARAMETER
from aezoo.nn.codes import check_codes


class ExportedPosterior:
    """q(z|x) of a batch, as `aezoo.distributions.Posterior`, in NumPy arrays.

    Args:
        model: The exported model.
        found: What its graph `encode_parameters` gave.
    """

    def __init__(self, model: Any, found: Mapping[str, np.ndarray]) -> None:
        self._model = model
        self._found = dict(found)

    def __getattr__(self, name: str) -> np.ndarray:
        """A parameter by its name, e.g. `z_log_var`."""
        found = self.__dict__.get("_found", {})
        if PARAMETER + name not in found:
            raise AttributeError(f"This posterior has no {name!r}.")
        return found[PARAMETER + name]

    @property
    def mean(self) -> np.ndarray:
        """Mean, shape `(batch, *latent_shape)`."""
        return self._found["mean"]

    def mode(self) -> np.ndarray:
        """Most probable code, shape `(batch, *latent_shape)`."""
        return self._found["mode"]

    def kl(self) -> np.ndarray:
        """KL to the model's prior. Nats, shape `(batch,)`.

        Raises:
            UnsupportedOperationError: If it has no closed form.
        """
        if "kl" not in self._found:
            raise self._model.unsupported("kl")
        return self._found["kl"]

    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters, by name."""
        return {k.removeprefix(PARAMETER): v for k, v in self._inputs.items()}

    @property
    def _inputs(self) -> dict[str, np.ndarray]:
        return {k: v for k, v in self._found.items() if k.startswith(PARAMETER)}

    def sample(self, seed: Any = None) -> np.ndarray:
        """One code per example: for a seed the same as the Keras model's."""
        noise = self._model.noise("sample_posterior", len(self.mean), seed)
        z: np.ndarray = self._model.compute("sample_posterior", **self._inputs, **noise)
        return z

    def log_prob(self, z: Any) -> np.ndarray:
        """Log q(z|x) of one code per example. Nats, shape `(batch,)`.

        Raises:
            ValueError: If shape or dtype are wrong, or a value is not finite.
        """
        codes = check_codes(z, self._model.latent_shape, n=len(self.mean))
        found: np.ndarray = self._model.compute("log_prob", z=codes, **self._inputs)
        return found

    def sample_with_log_prob(self, seed: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """One code per example and its `log_prob`."""
        z = self.sample(seed)
        return z, self.log_prob(z)
