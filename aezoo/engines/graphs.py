"""The functions of a model that are exported, as graphs of tensors."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from aezoo.engines.entry import NORMAL, PARAMETER, UNIFORM, Port
from aezoo.modalities import Modality
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.distributions import IndexedNoise

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Graph:
    """A function of a model.

    Attributes:
        name: Its name.
        description: In words.
        function: From tensors by name to tensors by name, `(batch, ...)` each.
        inputs: What it takes, in this order.
        remarks: Why an output is not among what it gives, by name.
    """

    name: str
    description: str
    function: Callable[..., dict[str, Tensor]]
    inputs: tuple[Port, ...]
    remarks: Mapping[str, str] = dataclasses.field(default_factory=dict)


class GivenNoise(IndexedNoise):
    """Noise that is given, in place of a seed.

    Distributions ask for their noise by shape. With none given it is zeros, and
    `ports` says what was asked for.

    Args:
        given: Noise by name.
    """

    def __init__(self, given: Mapping[str, Tensor] | None = None) -> None:
        super().__init__(0)
        self.given = given
        self.ports: list[Port] = []

    def normal(self, shape: Sequence[Any]) -> Tensor:
        """Standard normal noise, float32."""
        return self._next(NORMAL, shape)

    def uniform(self, shape: Sequence[Any]) -> Tensor:
        """Uniform noise in [0, 1), float32."""
        return self._next(UNIFORM, shape)

    def _next(self, kind: str, shape: Sequence[Any]) -> Tensor:
        name = kind + "_again" * len(self.ports)
        row = tuple(int(size) if self.given is None else 0 for size in shape[1:])
        self.ports.append(Port(name, "float32", row))
        if self.given is None:
            return ops.zeros(tuple(int(size) for size in shape), "float32")
        return self.given[name]


def graphs_of(model: Autoencoder) -> dict[str, Graph]:
    """All functions of a model that can be exported, by name.

    Args:
        model: The model, built.
    """
    x = _port("x", model.modality)
    z = Port("z", "float32", tuple(model.latent_shape))
    given = tuple(_port(name, told) for name, told in model.given.items())
    told = "" if not given else f", given {', '.join(port.name for port in given)}"
    noun = model.modality.noun
    graphs = [
        Graph(
            "decode",
            f"{noun.capitalize()}s x_hat of codes z{told}.",
            lambda z, **told: {"x_hat": model._graph_decode(z, **told)},
            (z, *given),
        ),
    ]
    if model.has_encoder:
        graphs += [
            Graph(
                "encode",
                f"Codes z of {model.modality.nouns} x{told}.",
                _encode(model),
                (x, *given),
            ),
            Graph(
                "reconstruct",
                f"Reconstructions x_hat of {model.modality.nouns} x{told}.",
                lambda x, **told: {"x_hat": model.reconstruct_tensors(x, **told)},
                (x, *given),
            ),
            *_of_posterior(model, x, z, given),
        ]
    if model.is_autoregressive:
        ports = (
            Port("noise", "float32", model.input_shape),
            Port("temperature", "float32", ()),
        )
        graphs.append(
            Graph(
                "write",
                f"{noun.capitalize()}s x_hat drawn from p(x|z) of codes z, by noise "
                "uniform in [0, 1).",
                lambda **inputs: {"x_hat": model._graph_write(**inputs)},
                (z, *ports, *given),
            )
        )
    elif model.has_likelihood:
        graphs.append(_draw_elements(model, z, given))
    return {graph.name: graph for graph in graphs}


def _rows(modality: Modality, n: int) -> np.ndarray:
    """Examples of which a model rounds nothing."""
    return modality.unrounded(modality.check(modality.examples(n)))


def _port(name: str, modality: Modality) -> Port:
    return Port(name, _rows(modality, 1).dtype.name, tuple(modality.shape))


def _encode(model: Autoencoder) -> Callable[..., dict[str, Tensor]]:
    return lambda x, **told: {"z": model._graph_encode(x, **told)}


def _of_posterior(
    model: Autoencoder, x: Port, z: Port, given: tuple[Port, ...]
) -> list[Graph]:
    """The posterior's parameters, draws and density."""

    def parameters(x: Tensor, **told: Tensor) -> dict[str, Tensor]:
        posterior = model.make_posterior(model._graph_encode_parameters(x, **told))
        found = {PARAMETER + k: v for k, v in posterior.parameters().items()}
        found |= {"mean": posterior.mean, "mode": posterior.mode()}
        return found if model.KL_DRAWS else {**found, "kl": posterior.kl()}

    # what it is made of, and what noise it asks for, by a pass of two examples
    rows = {"x": _rows(model.modality, 2)}
    rows |= {name: _rows(told, 2) for name, told in model.given.items()}
    tensors = {name: ops.convert_to_tensor(row) for name, row in rows.items()}
    posterior = model.make_posterior(model._graph_encode_parameters(**tensors))
    known = {k: ops.convert_to_tensor(v) for k, v in posterior.parameters().items()}
    ports = tuple(
        Port(
            PARAMETER + name,
            ops.convert_to_numpy(value).dtype.name,
            tuple(value.shape[1:]),
        )
        for name, value in known.items()
    )
    noise = GivenNoise()
    model.make_posterior(known).sample(noise)

    def rebuilt(inputs: Mapping[str, Tensor]) -> Any:
        return model.make_posterior({k: inputs[PARAMETER + k] for k in known})

    def sample(**inputs: Tensor) -> dict[str, Tensor]:
        return {"z": rebuilt(inputs).sample(GivenNoise(inputs))}

    def log_prob(z: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        return {"log_prob": rebuilt(inputs).log_prob(z)}

    remarks = {
        "kl": f"the divergence is estimated from {model.KL_DRAWS} draws, not in closed "
        "form"
    }
    return [
        Graph(
            "encode_parameters",
            f"Parameters of the posterior of {model.modality.nouns} x, with its mean, "
            "mode and KL to the prior in nats.",
            parameters,
            (x, *given),
            remarks if model.KL_DRAWS else {},
        ),
        Graph(
            "sample_posterior",
            "Codes z drawn from a posterior, by noise.",
            sample,
            (*ports, *noise.ports),
        ),
        Graph(
            "log_prob",
            "Log density of codes z under a posterior, in nats.",
            log_prob,
            (z, *ports),
        ),
    ]


def _draw_elements(model: Autoencoder, z: Port, given: tuple[Port, ...]) -> Graph:
    def draw(noise: GivenNoise, z: Tensor, **told: Tensor) -> Tensor:
        likelihood = model.make_likelihood(model.decode_parameters(z, **told))
        return likelihood.sample(noise)

    noise = GivenNoise()
    codes = np.zeros((1, *model.latent_shape), "float32")
    rows = {name: _rows(told, 1) for name, told in model.given.items()}
    tensors = {k: ops.convert_to_tensor(v) for k, v in {"z": codes, **rows}.items()}
    draw(noise, **tensors)
    names = {port.name for port in noise.ports}

    def function(**inputs: Tensor) -> dict[str, Tensor]:
        others = {name: v for name, v in inputs.items() if name not in names}
        drawn = draw(GivenNoise(inputs), **others)
        return {"x_hat": model.modality.from_model(drawn)}

    return Graph(
        "draw_elements",
        f"{model.modality.noun.capitalize()}s x_hat drawn from p(x|z) of codes z, by "
        "noise.",
        function,
        (z, *given, *noise.ports),
    )
