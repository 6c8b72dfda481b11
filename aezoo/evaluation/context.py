"""What metrics are computed from: each pass of a model happens once, whoever asks."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from aezoo.data.datasets import Dataset, DatasetError, open_dataset
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.distributions import IndexedNoise, Posterior
from aezoo.utils.progress import with_progress

_Value = TypeVar("_Value")
# Images per step; no result depends on it.
CHUNK = 1000
# Added to the seed, so that noise of different use is independent.
BINARISATION_STREAM = 1_000_003
DEQUANTISATION_STREAM = 2_000_003
KL_STREAM = 3_000_017


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an evaluation can be told.

    Attributes:
        seed: Seed of sampled codes, noise and subsets.
        importance_samples: Codes per image in `iwae_nll` and `bits_per_dim`.
        num_samples: Generated images in the metrics of samples; None takes as many
            as there are images.
        data_dir: Where named datasets are, as in `aezoo.datasets.load_dataset`.
        train: Training data for probes, if it is not the dataset's split `train`.
        limit: Only so many images, and so many training images; None takes all.
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
        data: The images to measure on, checked and limited.
        settings: Seed and sizes.
        total: Images in the dataset before any limit.
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
        self.data = data
        self.settings = settings
        self.total = total
        self.source = source
        self.seed = settings.seed
        self._computed: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.data.images)

    def once(self, key: Any, compute: Callable[[], _Value]) -> _Value:
        """What `compute` returns, computed at the first call with this key."""
        if key not in self._computed:
            self._computed[key] = compute()
        value: _Value = self._computed[key]
        return value

    def with_model(self, model: Autoencoder) -> "Evaluation":
        """Another model on the same data."""
        other = Evaluation(model, self.data, self.settings, self.total, self.source)
        if "train" in self.__dict__:  # read already
            other.train = self.train
        return other

    @property
    def num_samples(self) -> int:
        """Generated images in the metrics of samples."""
        return self.settings.num_samples or len(self)

    @property
    def stated(self) -> dict[str, Any]:
        """What protocols can mention."""
        return {
            "seed": self.seed,
            "importance_samples": self.settings.importance_samples,
            "num_samples": f"{self.num_samples:,}",
            "samples": self.model.SAMPLES,
            "samplers": self.model.samplers,
            "kl": self._kl_protocol,
        }

    @property
    def _kl_protocol(self) -> str:
        draws = self.model.KL_DRAWS
        if not draws:
            return "in closed form"
        return (
            f"as the mean of {self.model.KL_ESTIMATE} over {draws} codes z ~ q(z|x) "
            f"per image, seed {self.seed},"
        )

    @cached_property
    def parameters(self) -> dict[str, np.ndarray]:
        """Parameters of the posteriors of all images, by name; first axis images."""
        images = self.data.images
        parameters: dict[str, np.ndarray] = self.model.run(
            "encode_parameters", images, 256
        )
        return parameters

    @cached_property
    def posterior(self) -> Posterior:
        """The posteriors of all images."""
        return self.model.make_posterior(self.parameters)

    @cached_property
    def codes(self) -> np.ndarray:
        """Modes of the posteriors, flat: float32, shape `(n, units)`."""
        return np.asarray(self.posterior.mode()).reshape(len(self), -1)

    @cached_property
    def sampled_codes(self) -> np.ndarray:
        """One code per image from its posterior: float32, `(n, *latent_shape)`."""
        return np.asarray(self.posterior.sample(IndexedNoise(self.seed, 0)))

    def chunks(self, description: str) -> Iterator["Chunk"]:
        """All images, in pieces."""
        for start in with_progress(range(0, len(self), CHUNK), description, "chunk"):
            yield Chunk(self, start, min(start + CHUNK, len(self)))

    @property
    def labels(self) -> np.ndarray:
        """Labels of the images, `(n,)`.

        Raises:
            DatasetError: If the dataset has none.
        """
        return _labels_of(self.data)

    @property
    def factors(self) -> np.ndarray:
        """Classes of the images' generative factors, `(n, num_factors)`.

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
            source, "train", self.settings.data_dir, self.model.input_shape
        ).take(self.settings.limit)
        images = self.model.modality.check(data.images, "train.images")
        return dataclasses.replace(data, images=images)

    @cached_property
    def train_codes(self) -> np.ndarray:
        """Modes of the posteriors of the training images: float32, `(n, units)`."""
        return self.model.encode(self.train.images).reshape(len(self.train.images), -1)

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the training images, `(n,)`.

        Raises:
            DatasetError: If they have none.
        """
        return _labels_of(self.train)

    def other(self, name: str) -> "Evaluation":
        """The same model on the same split of another dataset."""
        data = open_dataset(
            name, self.data.split, self.settings.data_dir, self.model.input_shape
        )
        total = len(data.images)
        data = data.take(self.settings.limit)
        images = self.model.modality.check(data.images, f"images of {name!r}")
        data = dataclasses.replace(data, images=images)
        return Evaluation(self.model, data, self.settings, total, name)


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
    """A piece of the images, and what the model makes of it; each thing once.

    Args:
        evaluation: The evaluation.
        start: Position of the first image among all.
        stop: Position after the last one.
        x: In place of the images themselves, `(n, height, width, channels)`.
    """

    def __init__(
        self, evaluation: Evaluation, start: int, stop: int, x: Any = None
    ) -> None:
        self.evaluation = evaluation
        self.model = evaluation.model
        self.start, self.stop = start, stop
        if x is not None:
            self.x = x
        self._is_replaced = x is not None
        self._computed: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return self.stop - self.start

    def once(self, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """What `compute` returns, computed at the first call with this key."""
        if key not in self._computed:
            self._computed[key] = compute()
        return self._computed[key]

    def noise(self, stream: int = 0) -> IndexedNoise:
        """Noise that depends on the seed and each image's position alone."""
        return IndexedNoise((self.evaluation.seed + stream) % 2**31, self.start)

    @cached_property
    def x(self) -> np.ndarray:
        """The images, float32 in [0, 1]."""
        images = self.evaluation.data.images[self.start : self.stop]
        return np.asarray(self.model.modality.to_model(images))

    @cached_property
    def parameters(self) -> dict[str, np.ndarray]:
        """Parameters of the posteriors, by name."""
        if self._is_replaced:
            parameters: dict[str, np.ndarray] = self.model.run(
                "encode_parameters", self.x, 256
            )
            return parameters
        everything = self.evaluation.parameters
        return {k: v[self.start : self.stop] for k, v in everything.items()}

    @cached_property
    def posterior(self) -> Posterior:
        """The posteriors."""
        return self.model.make_posterior(self.parameters)

    @cached_property
    def x_hat(self) -> np.ndarray:
        """Reconstructions from the mode, float32 in [0, 1]."""
        return self.model.decode(np.asarray(self.posterior.mode()))

    @cached_property
    def reconstruction_nll(self) -> np.ndarray:
        """-log p(x|z) for one sampled code per image; nats, float64, `(n,)`."""
        z = np.asarray(self.posterior.sample(self.noise()))
        observation = self.model.make_likelihood(
            self.model.run("decode_parameters", z, 256)
        )
        return -np.asarray(observation.log_prob(self.x), "float64")

    @cached_property
    def kl(self) -> np.ndarray:
        """KL(q(z|x)||p(z)) to the model's prior; nats, float64, `(n,)`."""
        if not self.model.KL_DRAWS:
            return np.asarray(self.posterior.kl(), "float64")
        posterior: Any = self.posterior
        return np.asarray(posterior.estimate_kl(self.noise(KL_STREAM)), "float64")

    @cached_property
    def binarised(self) -> "Chunk":
        """The same images, each pixel drawn as 0 or 1 with its grey value."""
        draws = np.asarray(self.noise(BINARISATION_STREAM).uniform(self.x.shape))
        return self._with_x((draws < self.x).astype("float32"))

    @cached_property
    def dequantised(self) -> "Chunk":
        """The same images as `(256 levels + uniform noise) / 256`."""
        draws = np.asarray(self.noise(DEQUANTISATION_STREAM).uniform(self.x.shape))
        levels = np.round(self.x * 255.0)
        return self._with_x(((levels + draws) / 256.0).astype("float32"))

    def _with_x(self, x: np.ndarray) -> "Chunk":
        return Chunk(self.evaluation, self.start, self.stop, x)
