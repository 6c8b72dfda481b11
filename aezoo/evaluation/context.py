"""What metrics are computed from: each pass of a model happens once, whoever asks."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from keras import ops

from aezoo.data.datasets import GIVEN, Dataset, DatasetError, open_dataset
from aezoo.evaluation.views import views_of
from aezoo.metrics import PRIOR, MetricDefinition
from aezoo.metrics.definition import words
from aezoo.modalities import Modality
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.distributions import IndexedNoise, Posterior
from aezoo.utils.progress import with_progress

_Value = TypeVar("_Value")
# Examples per step; no result depends on it.
CHUNK = 1000
# Added to the seed, so that noise of different use is independent.
VIEW_STREAMS = {"binarised": 1_000_003, "dequantised": 2_000_003}
KL_STREAM = 3_000_017


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an evaluation can be told.

    Attributes:
        seed: Seed of sampled codes, noise and subsets.
        importance_samples: Codes per example in `iwae_nll` and `bits_per_dim`.
        num_samples: Generated examples in the metrics of samples; None takes as many
            as are measured on.
        data_dir: Where named datasets are, as in `aezoo.datasets.load_dataset`.
        train: Training data for probes, if it is not the dataset's split `train`.
        limit: Only so many examples, and so many to train on; None takes all.
    """

    seed: int = 0
    importance_samples: int = 500
    num_samples: int | None = None
    data_dir: Any = None
    train: Any = None
    limit: int | None = None


class Evaluation:
    """A model on a dataset, with everything that several metrics share.

    Args:
        model: The model.
        data: The examples to measure on, checked and limited.
        settings: Seed and sizes.
        total: Examples in the dataset before any limit.
        source: What the user named the dataset by.
    """

    def __init__(
        self,
        model: Autoencoder,
        data: Dataset,
        settings: Settings,
        total: int,
        source: Any = None,
    ) -> None:
        self.model = model
        self.modality = model.modality
        self.data = data
        self.settings = settings
        self.total = total
        self.source = source
        self.seed = settings.seed
        self._cache: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.examples)

    def cached(self, key: Any, compute: Callable[[], _Value]) -> _Value:
        """What `compute` returns, computed at the first call with this key."""
        if key not in self._cache:
            self._cache[key] = compute()
        value: _Value = self._cache[key]
        return value

    def with_model(self, model: Autoencoder) -> "Evaluation":
        """Another model on the same data."""
        other = Evaluation(model, self.data, self.settings, self.total, self.source)
        if "train" in self.__dict__:  # read already
            other.train = self.train
        return other

    @property
    def examples(self) -> np.ndarray:
        """What is measured on, as users have it: `(n, *shape)`."""
        return self.data.examples

    @cached_property
    def given(self) -> dict[str, np.ndarray]:
        """What the model must be told of each example, by name, `(n, ...)` each.

        Raises:
            DatasetError: If the dataset lacks something.
        """
        return conditions_of(self.model, self.data)

    def sample(self, sampler: str = PRIOR) -> Any:
        """`num_samples` new examples; told what the first examples are, if anything."""
        rows = np.arange(self.num_samples) % len(self)
        return self.model.sample(
            self.num_samples,
            seed=self.seed,
            sampler=sampler,
            given={name: value[rows] for name, value in self.given.items()},
        )

    @property
    def num_samples(self) -> int:
        """Generated examples in the metrics of samples."""
        return self.settings.num_samples or len(self)

    def protocol_fields(
        self, definition: MetricDefinition, variant: str | None
    ) -> dict[str, Any]:
        """What units and protocols can mention of this measurement."""
        return {
            **words_of(self.model, definition.view, self.seed),
            "seed": self.seed,
            "importance_samples": self.settings.importance_samples,
            "num_samples": f"{self.num_samples:,}",
            "samples": self._samples_in_words(definition.arguments.get("sampler")),
            "kl": self._kl_in_words,
            "variant": variant,
        }

    def _samples_in_words(self, sampler: str | None) -> str:
        if sampler in (None, PRIOR):
            return self.model.SAMPLES
        description = self.model.samplers[sampler].describe(self._nouns)
        return f"decoded codes from the sampler {sampler!r}, a {description}"

    @property
    def _kl_in_words(self) -> str:
        draws = self.model.KL_DRAWS
        if not draws:
            return "in closed form"
        return (
            f"as the mean of {self.model.KL_ESTIMATE} over {draws} codes z ~ q(z|x) "
            f"per {self.modality.noun}, seed {self.seed},"
        )

    @cached_property
    def parameters(self) -> dict[str, np.ndarray]:
        """Parameters of the posteriors, by name; first axis examples."""
        return posterior_parameters(self.model, self.examples, self.given)

    @cached_property
    def posterior(self) -> Posterior:
        """The posteriors of all examples."""
        return self.model.make_posterior(self.parameters)

    @cached_property
    def codes(self) -> np.ndarray:
        """Modes of the posteriors, flat: float32, shape `(n, units)`."""
        return ops.convert_to_numpy(self.posterior.mode()).reshape(len(self), -1)

    @cached_property
    def sampled_codes(self) -> np.ndarray:
        """One code per example from its posterior: float32, `(n, *latent_shape)`."""
        return ops.convert_to_numpy(self.posterior.sample(IndexedNoise(self.seed, 0)))

    def chunks(self, description: str) -> Iterator["Chunk"]:
        """All examples, in pieces."""
        for start in with_progress(range(0, len(self), CHUNK), description, "chunk"):
            yield Chunk(self, start, min(start + CHUNK, len(self)))

    @property
    def _nouns(self) -> str:
        return self.modality.nouns

    @property
    def labels(self) -> np.ndarray:
        """Labels of the examples, `(n,)`.

        Raises:
            DatasetError: If the dataset has none.
        """
        return _labels_of(self.data)

    @property
    def factors(self) -> np.ndarray:
        """Classes of the examples' generative factors, `(n, num_factors)`.

        Raises:
            DatasetError: If the dataset has none.
        """
        if self.data.factors is None:
            raise DatasetError(
                f"The dataset {self.data.key!r} has no known factors, which this "
                "metric needs. 'shapes' has them."
            )
        return self.data.factors

    @cached_property
    def train(self) -> Dataset:
        """Training data of the dataset: split `train`, or what was passed.

        Raises:
            DatasetError: If there is none.
        """
        source = self.settings.train
        if source is None and _names_a_train_split(self.source):
            source = self.source
        if source is None:
            raise DatasetError(
                f"This metric is fitted on training data, and {self.data.key!r} comes "
                "without. Pass it as `train=`, in any of the forms of `dataset`; a "
                "folder may have the subfolders `train` and `test`."
            )
        data = open_dataset(
            source, "train", self.settings.data_dir, self.modality
        ).take(self.settings.limit)
        return checked(data, self.modality, f"train.{self._nouns}")

    @cached_property
    def train_codes(self) -> np.ndarray:
        """Modes of the posteriors of the training data: float32, `(n, units)`."""
        examples = self.train.examples
        codes = self.model.encode(examples, given=conditions_of(self.model, self.train))
        return codes.reshape(len(examples), -1)

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the training data, `(n,)`.

        Raises:
            DatasetError: If they have none.
        """
        return _labels_of(self.train)

    def other(self, name: str) -> "Evaluation":
        """The same model on the same split of another dataset."""
        data = open_dataset(
            name, self.data.split, self.settings.data_dir, self.modality
        )
        total = len(data.examples)
        data = data.take(self.settings.limit)
        data = checked(data, self.modality, f"{self._nouns} of {name!r}")
        return Evaluation(self.model, data, self.settings, total, name)


def words_of(model: Autoencoder, view: str | None, seed: Any) -> dict[str, Any]:
    """The fields of templates that a model's modality has words for.

    Args:
        model: The model.
        view: Of the examples, as in `MetricDefinition`.
        seed: What the words say of the seed.
    """
    modality, views = model.modality, views_of(model.modality)
    seen = views.words(view).format(seed=seed)
    return {
        **words(modality.noun, modality.element),
        **views.protocol_words(model.likelihood_name),
        "as_they_are": f" with {seen}" if seen else "",
        "view": f"; {seen}" if seen else "",
    }


def checked(data: Dataset, modality: Modality, name: str) -> Dataset:
    """A dataset with examples that models of a modality can take.

    Raises:
        ValueError: If they are none; calls them `name`.
    """
    return dataclasses.replace(data, examples=modality.check(data.examples, name))


def conditions_of(model: Autoencoder, data: Dataset) -> dict[str, np.ndarray]:
    """What a model must be told of the examples of a dataset, checked, by name.

    Raises:
        DatasetError: If the dataset lacks something.
    """
    missing = [name for name in model.required_conditions if name not in data.given]
    if missing:
        name = missing[0]
        raise DatasetError(
            f"{model.family!r} must be told {' and '.join(model.required_conditions)} "
            f"beside each {model.modality.noun}, and {data.key!r} has no {name}. Pass "
            f"(examples, {{{name!r}: ...}}), or an .npz file with `{GIVEN}{name}`."
        )
    n = len(data.examples)
    return {
        name: model.check_given(name, data.given[name], n)
        for name in model.required_conditions
    }


def posterior_parameters(
    model: Autoencoder, x: np.ndarray, given: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Parameters of the posteriors of examples by name, as NumPy arrays."""
    parameters = model.posterior(x, given=given).parameters()
    return {name: ops.convert_to_numpy(value) for name, value in parameters.items()}


def _names_a_train_split(source: Any) -> bool:
    if not isinstance(source, str | Path) or Path(source).suffix == ".npz":
        return False
    return not Path(source).is_dir() or (Path(source) / "train").is_dir()


def _labels_of(data: Dataset) -> np.ndarray:
    if data.labels is None:
        raise DatasetError(
            f"The dataset {data.key!r} has no labels, which this metric needs. An .npz "
            "file holds them as `labels`; a folder has one subfolder per class."
        )
    return data.labels


class Chunk:
    """A piece of the examples, and what the model makes of it; each thing once.

    Args:
        evaluation: The evaluation.
        start: Position of the first example among all.
        stop: Position after the last one.
        view: Name of the modality's view that it is of; None is the examples as they
            are.
        x: That view of the examples, `(n, *tensor_shape)`.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        start: int,
        stop: int,
        view: str | None = None,
        x: Any = None,
    ) -> None:
        self.evaluation = evaluation
        self.model = evaluation.model
        self.modality = evaluation.modality
        self.start, self.stop = start, stop
        if view is not None:
            self.x = x
        self._view = view
        self._cache: dict[str, Any] = {}

    def __len__(self) -> int:
        return self.stop - self.start

    def cached(self, key: str, compute: Callable[[], _Value]) -> _Value:
        """What `compute` returns, computed at the first call with this key."""
        if key not in self._cache:
            self._cache[key] = compute()
        value: _Value = self._cache[key]
        return value

    def kept(self, key: str, compute: Callable[[], _Value]) -> _Value:
        """As `cached`, and known to later passes over the examples: dear, but small."""
        place = (key, self._view, self.start, self.stop)
        return self.evaluation.cached(place, compute)

    def noise(self, stream: int = 0) -> IndexedNoise:
        """Noise that depends on the seed and each example's position alone."""
        return IndexedNoise((self.evaluation.seed + stream) % 2**31, self.start)

    @property
    def examples(self) -> np.ndarray:
        """The examples as users have them."""
        return self.evaluation.examples[self.start : self.stop]

    @property
    def given(self) -> dict[str, np.ndarray]:
        """What the model must be told of the examples, by name."""
        told = self.evaluation.given
        return {name: value[self.start : self.stop] for name, value in told.items()}

    @cached_property
    def x(self) -> np.ndarray:
        """The examples as the model sees them."""
        return ops.convert_to_numpy(self.modality.to_model(self.examples))

    @cached_property
    def parameters(self) -> dict[str, np.ndarray]:
        """Parameters of the posteriors, by name."""
        if self._view is not None:
            return posterior_parameters(self.model, self.x, self.given)
        everything = self.evaluation.parameters
        return {k: v[self.start : self.stop] for k, v in everything.items()}

    @cached_property
    def posterior(self) -> Posterior:
        """The posteriors."""
        return self.model.make_posterior(self.parameters)

    @cached_property
    def x_hat(self) -> np.ndarray:
        """Reconstructions from the mode, as `x`."""
        z = ops.convert_to_numpy(self.posterior.mode())
        return self.modality.check(self.model.decode(z, given=self.given))

    @cached_property
    def reconstruction_nll(self) -> np.ndarray:
        """-log p(x|z) for one sampled code per example; nats, float64, `(n,)`."""
        z = ops.convert_to_numpy(self.posterior.sample(self.noise()))
        likelihood = self.model.likelihood_of(z, given=self.given)
        return -ops.convert_to_numpy(likelihood.log_prob(self.x)).astype("float64")

    @cached_property
    def kl(self) -> np.ndarray:
        """KL(q(z|x)||p(z)) to the model's prior; nats, float64, `(n,)`."""
        if not self.model.KL_DRAWS:
            return ops.convert_to_numpy(self.posterior.kl()).astype("float64")
        posterior: Any = self.posterior
        return ops.convert_to_numpy(
            posterior.estimate_kl(self.noise(KL_STREAM))
        ).astype("float64")

    def view(self, name: str) -> "Chunk":
        """What the modality makes of the same examples, e.g. `"binarised"`."""

        def compute() -> Chunk:
            noise = self.noise(VIEW_STREAMS[name])
            x = views_of(self.modality).view(name, self.x, noise)
            return Chunk(self.evaluation, self.start, self.stop, name, x)

        return self.cached(f"view {name}", compute)
